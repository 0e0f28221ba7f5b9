//! A client is registered on the pages, step by step.

use serde_json::json;

use super::{super::text, Console, Response};
use crate::{officer::bound, world};

const WIZARD: &str = "registrations/new";

/// The fields that a form carries along, without the token of the form.
fn carried(html: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let marks = [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
        marks.iter().fold(text.to_owned(), |text, (mark, plain)| text.replace(mark, plain))
    };
    let field = |part: &str| {
        let (name, rest) = part.split_once("\" value=\"").unwrap();
        (name.to_owned(), plain(rest.split('"').next().unwrap()))
    };
    let fields = html.split("<input type=\"hidden\" name=\"").skip(1).map(field);
    fields.filter(|(name, _)| name != "form_token").collect()
}

/// Fills the form of a page and presses a button.
fn press(console: &mut Console, html: &str, go: &str, written: &[(&str, &str)]) -> Response {
    let carried = carried(html);
    let mut fields: Vec<(&str, &str)> = carried.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields.extend(written);
    fields.push(("go", go));
    console.submit(WIZARD, WIZARD, &fields)
}

/// What stands after a term of a list of facts.
fn fact<'a>(html: &'a str, name: &str) -> &'a str {
    let start = format!("<dt>{name}</dt><dd>");
    html.split(&start).nth(1).unwrap_or_else(|| panic!("no {name} in\n{html}")).split("</dd>").next().unwrap()
}

/// The last page before it is done.
fn filled(console: &mut Console, owner: &str, name: &str) -> String {
    let first = console.text(WIZARD);
    let second = press(console, &first, "next", &[("owner", owner)]).expect(200).text();
    let third = press(console, &second, "next", &[("allow", name)]).expect(200).text();
    press(console, &third, "next", &[("use", "once")]).expect(200).text()
}

#[test]
fn a_client_is_registered_in_four_steps_and_binds_with_the_key_that_is_shown_once() {
    let mut console = Console::open("officer", "registering");
    let first = console.text(WIZARD);
    assert!(first.contains("aria-current=\"step\">Whose it is"), "{first}");
    let second =
        press(&mut console, &first, "next", &[("owner", "print <b> room"), ("comment", "t1")]).expect(200).text();
    assert!(second.contains("aria-current=\"step\">What it may ask for") && !second.contains("<b>"), "{second}");
    let names = "suffix:Wizard.console.test\r\n";
    let list = [("allow", names), ("exclude", "exact:vpn.wizard.console.test")];
    let third = press(&mut console, &second, "next", &list).expect(200).text();
    for part in ["For many clients", ">tls-server</label>", "External account key"] {
        assert!(third.contains(part), "no {part} in\n{third}");
    }
    let key = [
        ("use", "multi"),
        ("max_bindings", "3"),
        ("not_after", "2099-01-01"),
        ("profile", "tls-server"),
        ("days", "20"),
    ];
    let last = press(&mut console, &third, "next", &key).expect(200).text();
    assert_eq!(fact(&last, "owner"), "print &#60;b&#62; room");
    assert_eq!(fact(&last, "allows"), "suffix:wizard.console.test\nexcept exact:vpn.wizard.console.test");
    assert_eq!((fact(&last, "profiles"), fact(&last, "validity")), ("tls-server", "at most 20 days"));
    assert!(fact(&last, "binds").contains("up to 3 accounts"), "{last}");
    assert!(last.contains("vpn.wizard.console.test too."), "the hint about the wildcard is not in\n{last}");

    let shown = press(&mut console, &last, "register", &[]).expect(200);
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let html = shown.text();
    let (kid, key) = (fact(&html, "Key id").to_owned(), fact(&html, "HMAC key").to_owned());
    assert!(fact(&html, "Directory").ends_with("/acme/registered/directory"), "{html}");
    for client in ["certbot", "lego", "acme.sh", "mod_md", "Caddy", "win-acme", "Synology"] {
        assert!(html.contains(client), "no {client} in\n{html}");
    }
    let made = world().desk("officer").json(&["registrations", "show", &kid]);
    let id = text(&made, "/id");
    assert_eq!((text(&made, "/owner"), text(&made, "/comment")), ("print <b> room", "t1"));
    assert_eq!((text(&made, "/max_validity"), &made["allowed_profiles"]), ("P20D", &json!(["tls-server"])));
    assert_eq!((text(&made, "/eab/use"), &made["eab"]["max_bindings"]), ("multi", &json!(3)));
    let client = bound(&json!({"eab": {"kid": kid, "hmac_key": key}}));
    let _ = client.issue(&["www.wizard.console.test"]);
    let _ = client.new_order(&["vpn.wizard.console.test"]).assert_refused(403, "rejectedIdentifier");

    let again = press(&mut console, &last, "register", &[]).expect(409).text();
    assert!(again.contains(id) && again.contains("sent before") && !again.contains(&key), "{again}");
    for page in [WIZARD.to_owned(), format!("registrations/{id}"), "registrations".to_owned()] {
        assert!(!console.text(&page).contains(&key), "{page} shows the key");
    }
    let _ = console.page(&format!("registrations/{id}/sheet")).expect(404);
}

#[test]
fn the_sheet_is_made_from_the_key_on_the_page_and_from_no_other() {
    let mut console = Console::open("officer", "sheet");
    let last = filled(&mut console, "sheets of the console", "suffix:sheet.console.test");
    let html = press(&mut console, &last, "register", &[]).expect(200).text();
    let (kid, key) = (fact(&html, "Key id").to_owned(), fact(&html, "HMAC key").to_owned());
    let made = world().desk("officer").json(&["registrations", "show", &kid]);
    let path = format!("registrations/{}/sheet", text(&made, "/id"));
    let sheet = console.submit(WIZARD, &path, &[("key_id", &kid), ("hmac_key", &key)]).expect(200);
    let policy = sheet.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(sheet.header("cache-control"), Some("no-store"));
    let page = sheet.text();
    assert!(page.contains("sheets of the console") && page.contains("<svg") && !page.contains("<script"), "{page}");
    let _ = console.submit(WIZARD, &path, &[("key_id", &kid)]).expect(400);
    let other = console.submit(WIZARD, &path, &[("key_id", "kid-other"), ("hmac_key", &key)]).expect(409);
    assert!(!other.text().contains(&key), "{other:?}");
}

#[test]
fn mistakes_are_named_beside_their_fields_and_nothing_that_was_written_is_lost() {
    let mut console = Console::open("officer", "wizard-mistakes");
    let first = console.text(WIZARD);
    let html = press(&mut console, &first, "next", &[("comment", "kept \"as it was\"")]).expect(400).text();
    for part in [
        "<title>To mend: Register a client",
        "role=\"alert\" aria-labelledby=\"mistakes\" tabindex=\"-1\" autofocus",
        "<a href=\"#owner\">Say whose it is",
        "id=\"owner\" name=\"owner\" aria-invalid=\"true\" aria-describedby=\"owner-mistake owner-hint\"",
        "id=\"owner-mistake\"",
        "kept &#34;as it was&#34;",
    ] {
        assert!(html.contains(part), "no {part} in\n{html}");
    }
    let second = press(&mut console, &first, "next", &[("owner", "o")]).expect(200).text();
    let wrong = [("allow", "suffix:com\nexample.test"), ("exclude", "exact:<b>"), ("name", "tried.test")];
    for go in ["next", "try"] {
        let html = press(&mut console, &second, go, &wrong).expect(400).text();
        for part in
            ["suffix:com is a public suffix", "says not how it is meant", "exact:&#60;b&#62;", "value=\"tried.test\""]
        {
            assert!(html.contains(part), "no {part} in\n{html}");
        }
        assert!(html.contains("\nsuffix:com\nexample.test</textarea>"), "{html}");
    }
    let third = press(&mut console, &second, "next", &[("allow", "exact:a.console.test")]).expect(200).text();
    let html = press(&mut console, &third, "next", &[("days", "many"), ("not_after", "tomorrow")]).expect(400).text();
    assert!(html.contains("id=\"days-mistake\"") && html.contains("id=\"not_after-mistake\""), "{html}");
    let back = press(&mut console, &third, "back", &[("days", "many")]).expect(200).text();
    assert!(back.contains("\nexact:a.console.test</textarea>") && back.contains("value=\"many\""), "{back}");
    // Who leaves out the steps is led back to the first one that is wrong.
    let early = press(&mut console, &first, "register", &[("owner", "o")]).expect(400).text();
    assert!(early.contains("aria-current=\"step\">What it may ask for"), "{early}");
}

#[test]
fn a_list_is_tried_before_there_is_a_registration() {
    let mut console = Console::open("officer", "wizard-tried");
    let first = console.text(WIZARD);
    let second = press(&mut console, &first, "next", &[("owner", "tried and left")]).expect(200).text();
    let list = "suffix:tried.console.test\nexact:www.tried.console.test";
    for (name, part) in [
        ("a.tried.console.test", "<strong>allow</strong>"),
        ("eviltried.console.test", "identifier.not-listed"),
        ("a b", "identifier.malformed"),
    ] {
        let html = press(&mut console, &second, "try", &[("allow", list), ("name", name)]).expect(200).text();
        let hint = "exact:www.tried.console.test changes nothing: suffix:tried.console.test covers it.";
        for part in [part, hint, "Look twice"] {
            assert!(html.contains(part), "{name}: no {part} in\n{html}");
        }
    }
    assert!(console.text("registrations?owner=tried+and+left").contains("No registration fits"));
}

#[test]
fn who_may_not_register_is_told_so_with_everything_that_was_written() {
    let mut console = Console::open("auditor", "wizard-auditor");
    let last = filled(&mut console, "an auditor's wish", "suffix:auditor.console.test");
    let html = press(&mut console, &last, "register", &[]).expect(400).text();
    assert!(html.contains("this needs another role") && html.contains("an auditor&#39;s wish"), "{html}");
    assert!(console.text("registrations?owner=an+auditor%27s+wish").contains("No registration fits"));
}

#[test]
fn a_directory_url_is_drawn_with_the_key_if_it_is_asked_for() {
    let mut console = Console::open("officer", "wizard-link");
    let first = console.text(WIZARD);
    let second = press(&mut console, &first, "next", &[("owner", "a label printer")]).expect(200).text();
    let third = press(&mut console, &second, "next", &[("allow", "exact:label.console.test")]).expect(200).text();
    let last = press(&mut console, &third, "next", &[("use", "once"), ("link", "yes")]).expect(200).text();
    assert!(fact(&last, "directory link").contains("of its own"), "{last}");
    let html = press(&mut console, &last, "register", &[]).expect(200).text();
    let url = fact(&html, "Directory link");
    assert!(url.contains("/acme/registered/r/") && url.ends_with("/directory"), "{html}");
    let made = world().desk("officer").json(&["registrations", "show", fact(&html, "Key id")]);
    assert!(made["directory_link"].is_object(), "{made}");
}

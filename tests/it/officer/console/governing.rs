//! What an officer does with a registration on the pages: its key and directory link, its end, its waivers.

use serde_json::{Value, json};

use super::{super::text, AT_ONCE, Console, hidden, wait_for};
use crate::{
    officer::{bound, created},
    world,
};

fn registration(id: &str) -> Value {
    world().desk("officer").json(&["registrations", "show", id])
}

/// What stands after a term of a list of facts.
fn fact(html: &str, name: &str) -> String {
    let start = format!("<dt>{name}</dt><dd>");
    let found = html.split(&start).nth(1).unwrap_or_else(|| panic!("no {name} in\n{html}"));
    found.split("</dd>").next().unwrap().to_owned()
}

/// The status that a key is answered with when it is to bind an account.
fn binds(kid: &str, key: &str) -> u16 {
    let mut client = world().client("registered");
    let binding = client.binding(kid, &tests::from_base64url(key));
    client.register(&json!({"externalAccountBinding": binding})).status
}

#[test]
fn a_registration_ends_with_the_certificates_that_are_shown_first() {
    let registration = created(&["--allow", "suffix:ended.console.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id").to_owned());
    let _ = client.issue(&["www.ended.console.test"]);
    let mut console = Console::open("officer", "ended");
    let page = format!("registrations/{id}/revoke");
    let html = console.text(&page);
    assert!(html.contains("www.ended.console.test") && html.contains("cannot be taken back"), "{html}");
    let version = hidden(&html, "version");
    let wrong = console.submit(&page, &page, &[("version", &version), ("with_certificates", "yes")]).expect(400).text();
    for part in
        ["<a href=\"#reason\">Say why", "<a href=\"#sure\">Tick", "name=\"with_certificates\" value=\"yes\" checked"]
    {
        assert!(wrong.contains(part), "no {part} in\n{wrong}");
    }
    let meant = [("version", version.as_str()), ("reason", "scrapped"), ("sure", "yes"), ("with_certificates", "yes")];
    let _ = console.submit(&page, &page, &meant).expect(303);
    wait_for("the effect", AT_ONCE, || (client.new_order(&["www.ended.console.test"]).status == 401).then_some(()));
    let list = world().desk("officer").json(&["certificates", "list", "--registration", &id]);
    assert_eq!(text(&list, "/items/0/status"), "revoked");
    let _ = console.submit("registrations/new", &page, &meant).expect(409);
    assert!(console.text(&page).contains("is revoked or") && !console.text(&page).contains("Revoke this registration"));
}

#[test]
fn without_the_tick_certificates_outlive_their_registration() {
    let registration = created(&["--allow", "suffix:outlive.console.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id").to_owned());
    let _ = client.issue(&["www.outlive.console.test"]);
    let mut console = Console::open("officer", "outlive");
    let page = format!("registrations/{id}/revoke");
    let version = hidden(&console.text(&page), "version");
    let _ = console.submit(&page, &page, &[("version", &version), ("reason", "moved"), ("sure", "yes")]).expect(303);
    let list = world().desk("officer").json(&["certificates", "list", "--registration", &id]);
    assert_eq!(text(&list, "/items/0/status"), "good");
}

#[test]
fn accounts_that_came_from_a_registration_are_found_and_end_with_it() {
    let parent = created(&["--allow", "suffix:many.console.test", "--use", "multi"]);
    let id = text(&parent, "/id");
    let (one, two) = (bound(&parent), bound(&parent));
    let _ = one.issue(&["one.many.console.test"]);
    let _ = two.issue(&["two.many.console.test"]);
    let console = Console::open("officer", "many");
    let html = console.text(&format!("registrations/{id}"));
    let id_of = |url: String| url.rsplit('/').next().unwrap().to_owned();
    let children = [id_of(one.account_url()), id_of(two.account_url())];
    for part in [children[0].as_str(), children[1].as_str(), "one.many.console.test", "two.many.console.test"] {
        assert!(html.contains(part), "no {part} in\n{html}");
    }
    let found = console.text(&format!("registrations?parent={id}"));
    assert!(
        children.iter().all(|child| found.contains(child.as_str()))
            && !found.contains(&format!("/registrations/{id}\"")),
        "{found}"
    );
    assert!(console.text(&format!("registrations/{}", children[0])).contains("The registration it came from"));
    let ending = console.text(&format!("registrations/{id}/revoke"));
    assert!(ending.contains("one.many.console.test") && ending.contains("two.many.console.test"), "{ending}");
}

#[test]
fn a_key_is_exchanged_and_the_one_before_goes_on_for_as_long_as_was_asked() {
    let registration = created(&["--allow", "suffix:rotated.console.test", "--use", "multi"]);
    let (id, kid) = (text(&registration, "/id").to_owned(), text(&registration, "/eab/kid"));
    let first = text(&registration, "/eab/hmac_key");
    let mut console = Console::open("officer", "rotated");
    let (page, rotate) = (format!("registrations/{id}/key"), format!("registrations/{id}/key/rotate"));
    let version = hidden(&console.text(&page), "version");
    let wrong = [("version", version.as_str()), ("overlap", "a week"), ("until", "tomorrow")];
    let html = console.submit(&page, &rotate, &wrong).expect(400).text();
    for part in ["id=\"overlap-mistake\"", "value=\"a week\"", "id=\"until-mistake\"", "value=\"tomorrow\""] {
        assert!(html.contains(part), "no {part} in\n{html}");
    }
    let meant = [("version", version.as_str()), ("overlap", "7d")];
    let html = console.submit(&page, &rotate, &meant).expect(200).text();
    let second = fact(&html, "HMAC key");
    assert!(html.contains("the one before goes on until") && fact(&html, "Key id") == kid, "{html}");
    assert_eq!((binds(kid, first), binds(kid, &second)), (201, 201));
    let again = console.submit(&page, &rotate, &meant).expect(409).text();
    assert!(again.contains("this form was sent before"), "{again}");
    let version = hidden(&console.text(&page), "version");
    let html = console.submit(&page, &rotate, &[("version", &version)]).expect(200).text();
    assert!(html.contains("the one before is dead"), "{html}");
    assert_eq!((binds(kid, first), binds(kid, &second), binds(kid, &fact(&html, "HMAC key"))), (403, 403, 201));
}

#[test]
fn a_client_that_lost_its_account_key_is_let_in_again() {
    let registration = created(&["--allow", "suffix:lost.console.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id").to_owned());
    let kid = text(&registration, "/eab/kid");
    let mut console = Console::open("officer", "lost");
    let (page, rebind) = (format!("registrations/{id}/key"), format!("registrations/{id}/key/rebind"));
    let version = hidden(&console.text(&page), "version");
    let html = console.submit(&page, &rebind, &[("version", &version)]).expect(400).text();
    assert!(html.contains("<a href=\"#reason\">") && html.contains("<a href=\"#sure\">"), "{html}");
    let meant = [("version", version.as_str()), ("reason", "disk died"), ("sure", "yes")];
    let html = console.submit(&page, &rebind, &meant).expect(200).text();
    assert_eq!(text(&self::registration(&id), "/status"), "pending");
    wait_for("the effect", AT_ONCE, || (client.new_order(&["www.lost.console.test"]).status != 201).then_some(()));
    let again = bound(&json!({"eab": {"kid": kid, "hmac_key": fact(&html, "HMAC key")}}));
    assert_eq!(again.account_url(), client.account_url(), "it is the same account");
    let _ = again.issue(&["www.lost.console.test"]);
    let _ = console.submit(&page, &rebind, &meant).expect(409);
}

#[test]
fn a_directory_url_is_drawn_shown_once_and_ended() {
    let registration = created(&["--allow", "suffix:linked.console.test"]);
    let id = text(&registration, "/id").to_owned();
    let mut console = Console::open("officer", "linked");
    let (page, link) = (format!("registrations/{id}/key"), format!("registrations/{id}/link"));
    let version = hidden(&console.text(&page), "version");
    let _ = console.submit(&page, &link, &[("version", &version), ("link_until", "tomorrow")]).expect(400);
    let drawn = console.submit(&page, &link, &[("version", &version)]).expect(200);
    assert_eq!(drawn.header("cache-control"), Some("no-store"));
    let url = fact(&drawn.text(), "Directory link");
    assert!(url.contains("/acme/registered/r/") && url.ends_with("/directory"), "{url}");
    let token = url.rsplit('/').nth(1).unwrap().to_owned();
    for path in [page.clone(), format!("registrations/{id}")] {
        assert!(!console.text(&path).contains(&token), "{path} shows the URL again");
    }
    let sheet = console.submit(&page, &format!("registrations/{id}/sheet"), &[("directory_url", &url)]).expect(200);
    assert!(sheet.text().contains("<svg"), "{sheet:?}");
    let _ = console.submit(&page, &link, &[("version", &version)]).expect(409);
    assert!(self::registration(&id)["directory_link"].is_object());
    let version = hidden(&console.text(&page), "version");
    let _ = console.submit(&page, &format!("registrations/{id}/unlink"), &[("version", &version)]).expect(303);
    assert!(self::registration(&id)["directory_link"].is_null());
}

#[test]
fn an_approver_decides_waivers_and_their_proposer_cannot() {
    let registration = created(&["--allow", "suffix:waived.console.test"]);
    let id = text(&registration, "/id");
    let propose = |name: &str| {
        let words = ["waivers", "propose", id, "--name", name, "--address", "192.0.2.0/24", "--until", "2027-03-01"];
        let proposed = world().desk("officer").json(&[&words[..], &["--reason", "no <port> 80"]].concat());
        text(&proposed, "/id").to_owned()
    };
    let (first, second) = (propose("exact:a.waived.console.test"), propose("exact:b.waived.console.test"));
    let mut officer = Console::open("officer", "waivers-officer");
    let page = format!("waivers/{first}");
    assert!(officer.text(&format!("registrations/{id}")).contains(&format!("/{page}\"")));
    let html = officer.text(&page);
    assert!(!html.contains("<legend>Approve") && html.contains("It waits for an approver"), "{html}");
    let refused = officer.submit(&page, &format!("{page}/approve"), &[]).expect(403);
    assert!(refused.text().contains("another role or another person"), "{refused:?}");
    let mut approver = Console::open("approver", "waivers-approver");
    let waits = approver.text("approvals");
    assert!(waits.contains(&first) && waits.contains("a request from 192.0.2.0/24"), "{waits}");
    assert!(approver.text("").contains(&format!("/{page}\"")), "the overview does not lead to it");
    let html = approver.text(&page);
    assert!(html.contains("exact:a.waived.console.test") && html.contains("no &#60;port&#62; 80"), "{html}");
    let answer = approver.submit(&page, &format!("{page}/approve"), &[]).expect(303);
    let html = approver.text(answer.location().strip_prefix(&format!("{}/", approver.at)).unwrap());
    assert!(html.contains("Done. The waiver is approved") && !html.contains("<legend>Approve"), "{html}");
    let page = format!("waivers/{second}");
    let html = approver.submit(&page, &format!("{page}/reject"), &[("reject_reason", " ")]).expect(400).text();
    assert!(html.contains("<a href=\"#reject_reason\">Say why"), "{html}");
    let _ = approver.submit(&page, &format!("{page}/reject"), &[("reject_reason", "not needed")]).expect(303);
    let waits = approver.text("approvals");
    assert!(!waits.contains(&first) && !waits.contains(&second), "{waits}");
    let page = format!("waivers/{first}");
    let _ = officer.submit(&page, &format!("{page}/withdraw"), &[("withdraw_reason", "moved")]).expect(303);
    let shown = world().desk("auditor").json(&["waivers", "show", &first]);
    assert_eq!(text(&shown, "/status"), "withdrawn");
    let _ = officer.page("waivers/wav_00000000000000000000000000").expect(404);
}

#[test]
fn a_waiver_is_proposed_once_however_often_its_form_is_sent() {
    let registration = created(&["--allow", "suffix:proposed.console.test"]);
    let id = text(&registration, "/id");
    let mut console = Console::open("officer", "proposing");
    let page = format!("registrations/{id}/waive");
    assert!(console.text(&format!("registrations/{id}")).contains(&format!("/{page}\"")));
    let html = console.text(&page);
    assert!(html.contains("No profile that this registration may use takes waivers"), "{html}");
    let key = hidden(&html, "key");
    let wrong = [("key", key.as_str()), ("names", "printers"), ("addresses", "here"), ("until", "soon")];
    let html = console.submit(&page, &page, &wrong).expect(400).text();
    for field in ["names", "addresses", "until", "reason"] {
        assert!(html.contains(&format!("<a href=\"#{field}\">")), "no {field} in\n{html}");
    }
    assert!(html.contains("\nprinters</textarea>") && hidden(&html, "key") == key, "{html}");
    assert!(html.contains("printers says not how it is meant") && !html.contains("printers: printers"), "{html}");
    let names = "suffix:proposed.console.test,no-wildcards";
    let right = [
        ("key", key.as_str()),
        ("names", names),
        ("addresses", "192.0.2.0/24"),
        ("until", "2027-03-01"),
        ("reason", "no port 80"),
    ];
    let first = console.submit(&page, &page, &right).expect(303).location();
    assert_eq!(console.submit(&page, &page, &right).expect(303).location(), first);
    let list = world().desk("officer").json(&["waivers", "list", "--registration", id]);
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    let mut auditor = Console::open("auditor", "proposing-auditor");
    let refused = auditor.submit(&page, &page, &right).expect(403);
    assert!(refused.text().contains("another role"), "{refused:?}");
}

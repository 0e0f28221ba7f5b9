//! The officer's console over HTTP, as a browser without scripts uses it, against the real CM.

mod editing;
mod governing;
mod looking;
mod registering;

use std::{net::SocketAddr, path::Path, time::Duration};

use tests::{client::Client, console, http, process::Process, response::Response, wait_for};

use super::{bound, created, text};
use crate::{registration::waiting_for_approval, world};

/// From the officer's click to its effect on a busy machine; without an event it would come after a minute.
const AT_ONCE: Duration = Duration::from_secs(40);

/// A console of one person, and what her browser knows.
pub(super) struct Console {
    process: Process,
    authority: String,
    /// The path that all pages lie below.
    at: String,
    link: String,
    cookie: String,
    form_token: String,
}

impl Console {
    /// Starts the program with the settings of this person; nobody has used its link yet.
    fn start(person: &'static str, name: &str) -> Self {
        let _ = world().desk(person);
        let config = world().site().dir.join(format!("desk-of-{person}.toml"));
        Self::start_with(&config.display().to_string(), name)
    }

    /// The same with settings of their own.
    fn start_with(config: &str, name: &str) -> Self {
        let (process, url) = console::start_with(world(), Path::new(config), name);
        let (authority, link) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let link = format!("/{link}");
        let at = link.split("/enter/").next().unwrap().to_owned();
        let (authority, cookie, form_token) = (authority.to_owned(), String::new(), String::new());
        Self { process, authority, at, link, cookie, form_token }
    }

    /// The same in a browser that came by the link.
    pub(super) fn open(person: &'static str, name: &str) -> Self {
        Self::start(person, name).entered()
    }

    /// The same with settings of their own.
    fn open_with(config: &str, name: &str) -> Self {
        Self::start_with(config, name).entered()
    }

    fn entered(self) -> Self {
        let mut console = self;
        let entered = console.send("GET", &console.link, &[], None).expect(200);
        let cookie = entered.header("set-cookie").unwrap();
        console.cookie = cookie.split(';').next().unwrap().to_owned();
        console
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Response {
        self.send_as(&self.authority, method, path, headers, body)
    }

    fn send_as(&self, host: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Response {
        let address: SocketAddr = self.authority.parse().unwrap();
        let mut connection = http::Connection::plain(address).unwrap();
        let headers = [headers, &[("Connection", "close")]].concat();
        connection.send(http::request(method, path, host, &headers, body)).unwrap();
        connection.receive(method).unwrap()
    }

    /// A page, by its path below that of the session.
    fn page(&self, path: &str) -> Response {
        self.send("GET", &format!("{}/{path}", self.at), &[("Cookie", &self.cookie)], None)
    }

    fn text(&self, path: &str) -> String {
        self.page(path).expect(200).text()
    }

    /// Sends a form as a browser does that shows the page `from`.
    pub(super) fn submit(&mut self, from: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        self.form_token = hidden(&self.text(from), "form_token");
        self.post(path, Some(&format!("http://{}", self.authority)), Some(&self.form_token), fields)
    }

    fn post(&self, path: &str, origin: Option<&str>, token: Option<&str>, fields: &[(&str, &str)]) -> Response {
        let mut pairs: Vec<String> = fields.iter().map(|(name, text)| format!("{name}={}", encoded(text))).collect();
        pairs.extend(token.map(|token| format!("form_token={token}")));
        let mut headers = vec![("Cookie", self.cookie.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        self.send("POST", &format!("{}/{path}", self.at), &headers, Some(pairs.join("&").as_bytes()))
    }
}

/// The value of a hidden field.
fn hidden(html: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    html.split(&start).nth(1).unwrap_or_else(|| panic!("no {name} in\n{html}")).split('"').next().unwrap().to_owned()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02X}")).collect()
}

fn wait_for_orders(client: &Client, name: &str, status: u16) {
    wait_for("the effect", AT_ONCE, || (client.new_order(&[name]).status == status).then_some(()));
}

/// All pages that need no id.
const PAGES: [&str; 8] =
    ["", "registrations", "registrations/new", "approvals", "certificates", "orders", "reports", "audit"];

#[test]
fn the_link_lets_in_one_browser_and_once() {
    let console = Console::start("officer", "link");
    let wrong = format!("{}/enter/{}", console.at, "0".repeat(32));
    let _ = console.send("GET", &wrong, &[], None).expect(403);
    // Programs that look at links before their people do must not use this one up.
    for method in ["HEAD", "POST"] {
        let _ = console.send(method, &console.link, &[], None).expect(403);
    }
    let entered = console.send("GET", &console.link, &[], None).expect(200);
    let cookie = entered.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", &format!("Path={}", console.at)] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let again = console.send("GET", &console.link, &[], None).expect(403);
    assert!(again.header("set-cookie").is_none() && again.text().contains("works once"), "{again:?}");
}

#[test]
fn nobody_sees_anything_without_the_cookie_or_at_another_host() {
    let console = Console::open("officer", "strangers");
    let port = console.authority.rsplit(':').next().unwrap();
    for page in PAGES {
        let path = format!("{}/{page}", console.at);
        for cookie in ["", "acme-officer-console=", "acme-officer-console=00000000000000000000000000000000"] {
            let refused = console.send("GET", &path, &[("Cookie", cookie)], None).expect(403);
            assert!(!refused.text().contains("realm"), "{refused:?}");
        }
        for host in [format!("localhost:{port}"), format!("evil.test:{port}"), "127.0.0.1".to_owned(), String::new()] {
            let refused = console.send_as(&host, "GET", &path, &[("Cookie", &console.cookie)], None);
            assert!(matches!(refused.status, 400 | 403), "{host}: {refused:?}");
            assert!(!refused.text().contains("realm"), "{refused:?}");
        }
        let _ = console.send("GET", &path, &[("Cookie", &console.cookie)], None).expect(200);
    }
}

#[test]
fn every_page_stands_without_scripts_and_lets_none_run() {
    // An auditor may see all of them.
    let console = Console::open("auditor", "pages");
    for path in PAGES {
        let page = console.page(path).expect(200);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        let html = page.text();
        for part in ["<html lang=\"en\">", "<main id=\"content\"", "<nav aria-label", "<h1>", "aria-current=\"page\""] {
            assert!(html.contains(part), "no {part} in\n{html}");
        }
        for part in ["<script", " style=", " onclick=", "//cdn", "https://fonts"] {
            assert!(!html.contains(part), "{part} in\n{html}");
        }
        assert!(!html.contains("class=\"failure\""), "{html}");
    }
    for (path, kind) in [("style.css", "text/css; charset=utf-8"), ("icon.svg", "image/svg+xml")] {
        assert_eq!(console.page(path).expect(200).header("content-type"), Some(kind));
    }
    let missing = console.page("nowhere").expect(404);
    assert!(missing.text().contains("there is no such page") && missing.header("content-security-policy").is_some());
    let _ = console.send("PUT", &format!("{}/", console.at), &[("Cookie", &console.cookie)], None).expect(405);
}

#[test]
fn a_form_of_another_site_changes_nothing() {
    let registration = created(&["--allow", "suffix:forged.console.test"]);
    let id = text(&registration, "/id");
    let console = Console::open("officer", "forged");
    let token = hidden(&console.text(&format!("registrations/{id}")), "form_token");
    let path = format!("registrations/{id}/suspend");
    let ours = format!("http://{}", console.authority);
    for (origin, token) in [
        (Some(ours.as_str()), None),
        (Some(ours.as_str()), Some("0123456789abcdef0123456789abcdef")),
        (None, Some(token.as_str())),
        (Some("null"), Some(token.as_str())),
        (Some("http://127.0.0.1:1"), Some(token.as_str())),
        (Some("https://evil.test"), Some(token.as_str())),
    ] {
        let refused = console.post(&path, origin, token, &[("reason", "forged")]).expect(403);
        assert!(refused.text().contains("Nothing was done"), "{refused:?}");
    }
    let by_get = format!("{}/{path}?reason=forged&form_token={token}", console.at);
    let _ = console.send("GET", &by_get, &[("Cookie", &console.cookie)], None).expect(404);
    let shown = world().desk("officer").json(&["registrations", "show", id]);
    assert_eq!((text(&shown, "/status"), &shown["version"]), ("pending", &registration["version"]));
}

#[test]
fn suspending_and_resuming_on_the_page_takes_effect_at_the_gateway() {
    let registration = created(&["--allow", "suffix:held.console.test"]);
    let (client, id, name) = (bound(&registration), text(&registration, "/id"), "www.held.console.test");
    let _ = client.order(&[name]);
    let mut console = Console::open("officer", "held");
    let page = format!("registrations/{id}");
    let without = console.submit(&page, &format!("{page}/suspend"), &[("reason", "  ")]).expect(400);
    assert!(without.text().contains("a reason has 1 to 500 characters"), "{without:?}");
    let answer = console.submit(&page, &format!("{page}/suspend"), &[("reason", "moved <away>")]).expect(303);
    wait_for_orders(&client, name, 403);
    let after = answer.location();
    let html = console.send("GET", &after, &[("Cookie", &console.cookie)], None).expect(200).text();
    assert!(html.contains("The registration is suspended") && html.contains("moved &#60;away&#62;"), "{html}");
    assert!(console.text("").contains(id), "the overview shows what is suspended");
    let _ = console.submit(&page, &format!("{page}/resume"), &[]).expect(303);
    wait_for_orders(&client, name, 201);
}

#[test]
fn text_of_others_never_becomes_markup() {
    let owner = "<script>alert('x')</script>\"><img src=x>";
    let registration = world().desk("officer").json(&[
        "registrations",
        "create",
        "--owner",
        owner,
        "--allow",
        "suffix:markup.console.test",
    ]);
    let id = text(&registration, "/id");
    let console = Console::open("officer", "markup");
    let search = format!("registrations?owner={}", encoded(owner));
    for path in [format!("registrations/{id}"), search] {
        let html = console.text(&path);
        assert!(html.contains("&#60;script&#62;alert("), "{html}");
        assert!(html.contains(id) && !html.contains("<script") && !html.contains("<img src=x"), "{html}");
    }
}

#[test]
fn registrations_are_found_by_what_the_form_asks() {
    let registration = created(&["--allow", "suffix:found.console.test"]);
    let id = text(&registration, "/id");
    let console = Console::open("officer", "found");
    assert!(console.text("registrations?status=pending&identifier=www.found.console.test").contains(id));
    assert!(!console.text("registrations?status=active&identifier=www.found.console.test").contains(id));
    let by_key = console.page(&format!("registrations?id={}", text(&registration, "/eab/kid"))).expect(303);
    assert!(by_key.location().ends_with(&format!("/registrations/{id}")), "{by_key:?}");
    let _ = console.page("registrations/reg_00000000000000000000000000").expect(404);
}

#[test]
fn an_approver_decides_on_the_page_and_the_client_reads_why() {
    let mut console = Console::open("approver", "approvals");
    for (name, decision, fields, status) in [
        ("approved.console.test", "approve", [("comment", "seen")], "valid"),
        ("rejected.console.test", "reject", [("reason", "not this printer")], "invalid"),
    ] {
        let (client, order) = waiting_for_approval(name);
        let reference = order.url.rsplit('/').next().unwrap();
        let waiting = world().desk("approver").json(&["approvals", "list"]);
        let waits = waiting["items"].as_array().unwrap().iter().find(|one| one["order_ref"] == reference);
        let request = text(waits.expect("the request waits"), "/id").to_owned();
        assert!(console.text("approvals").contains(&request) && console.text("").contains(&request));
        let path = format!("approvals/{request}/{decision}");
        if decision == "reject" {
            let html = console.submit("approvals", &path, &[("reason", "")]).expect(400).text();
            assert!(html.contains("<a href=\"#reason-") && html.contains("-mistake\">Say why"), "{html}");
        }
        let _ = console.submit("approvals", &path, &fields).expect(303);
        let order = client.wait(&order, status);
        assert!(!console.text("approvals").contains(&request));
        if status == "invalid" {
            assert!(order.object["error"]["detail"].as_str().unwrap().contains("not this printer"), "{order:?}");
        }
    }
}

#[test]
fn an_officer_who_is_no_approver_is_shown_no_way_to_decide_and_the_cm_refuses_her() {
    let (_client, order) = waiting_for_approval("undecided.console.test");
    let reference = order.url.rsplit('/').next().unwrap();
    let mut console = Console::open("officer", "no-approver");
    let waiting = world().desk("officer").json(&["approvals", "list"]);
    let waits = waiting["items"].as_array().unwrap().iter().find(|one| one["order_ref"] == reference);
    let waits = waits.expect("the request waits");
    let html = console.text("approvals");
    assert!(html.contains("undecided.console.test") && html.contains("Approvers decide"), "{html}");
    assert!(!html.contains("<legend>Approve") && !html.contains("<legend>Reject"), "{html}");
    let html = Console::open("approver", "an-approver").text("approvals");
    assert!(html.contains("<legend>Approve") && html.contains("<legend>Reject"), "{html}");
    let path = format!("approvals/{}/approve", text(waits, "/id"));
    let page = format!("registrations/{}", text(waits, "/registration"));
    let refused = console.submit(&page, &path, &[]).expect(403);
    assert!(refused.text().contains("this needs another role"), "{refused:?}");
}

#[test]
fn a_list_is_shown_with_what_it_would_change_before_it_is_saved() {
    let registration = created(&["--allow", "suffix:edited.console.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let _ = client.issue(&["kept.edited.console.test"]);
    let _ = client.issue(&["gone.edited.console.test"]);
    let mut console = Console::open("officer", "edited");
    let editor = format!("registrations/{id}/list");
    let version = hidden(&console.text(&editor), "version");
    let change = [
        ("version", version.as_str()),
        ("allow", "exact:Kept.edited.console.test\r\nexact:new.edited.console.test"),
        ("exclude", ""),
        ("name", "gone.edited.console.test"),
    ];
    let shown = console.submit(&editor, &format!("{editor}/preview"), &change).expect(200).text();
    for part in [
        "<del>suffix:edited.console.test</del>",
        "<ins>exact:kept.edited.console.test</ins>",
        "<ins>exact:new.edited.console.test</ins>",
        "Certificates in force whose renewal will be refused",
        "gone.edited.console.test: <strong>refuse</strong> (by the list that is saved: allow)",
        "identifier.not-listed",
        "Nothing is saved yet",
    ] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
    let lost = shown.split("<caption>Certificates in force").nth(1).unwrap().split("</table>").next().unwrap();
    assert!(lost.contains("gone.edited.console.test") && !lost.contains("kept.edited.console.test"), "{lost}");
    let before = world().desk("officer").json(&["registrations", "show", id]);
    assert_eq!(before["version"].to_string(), version);
    let saved = [("version", version.as_str()), ("allow", &hidden(&shown, "allow")), ("exclude", "")];
    let _ = console.submit(&editor, &editor, &saved).expect(303);
    wait_for_orders(&client, "gone.edited.console.test", 403);
    let _ = client.order(&["new.edited.console.test"]);
    for path in [editor.clone(), format!("{editor}/preview")] {
        let late = console.submit(&editor, &path, &[("version", &version), ("allow", "suffix:edited.console.test")]);
        assert_eq!(late.status, 409, "{late:?}");
        assert!(late.text().contains("nothing was done"), "{late:?}");
    }
    let _ = client.new_order(&["gone.edited.console.test"]).assert_refused(403, "rejectedIdentifier");
}

#[test]
fn every_mistake_in_a_list_is_named_and_nothing_that_was_written_is_lost() {
    let registration = created(&["--allow", "suffix:mistakes.console.test"]);
    let id = text(&registration, "/id");
    let mut console = Console::open("officer", "mistakes");
    let editor = format!("registrations/{id}/list");
    let version = hidden(&console.text(&editor), "version");
    for (allow, exclude, parts) in [
        (
            "example.test\nsuffix:*.a.test",
            "exact:<b>",
            vec!["says not how it is meant", "covers wildcards by itself", "exact:&#60;b&#62;"],
        ),
        ("suffix:com", "", vec!["public suffix"]),
        ("", "", vec!["suspend the registration instead"]),
    ] {
        let fields = [("version", version.as_str()), ("allow", allow), ("exclude", exclude)];
        let html = console.submit(&editor, &format!("{editor}/preview"), &fields).expect(400).text();
        for part in parts {
            assert!(html.contains(part), "no {part} in\n{html}");
        }
        assert!(html.contains(&format!("\n{allow}</textarea>")) && html.contains("role=\"alert\""), "{html}");
        let saved = console.submit(&editor, &editor, &fields);
        assert_eq!(saved.status, 400, "{saved:?}");
    }
    let meant = [("version", version.as_str()), ("allow", "suffix:com"), ("allow_public_suffix", "yes")];
    let _ = console.submit(&editor, &editor, &meant).expect(303);
    let after = world().desk("officer").json(&["registrations", "show", id]);
    assert_eq!(after.pointer("/allowed_identifiers/rules/0/value").unwrap(), "com");
}

#[test]
fn a_name_is_explained_with_its_rules_by_a_get() {
    let registration =
        created(&["--allow", "suffix:explained.console.test", "--exclude", "exact:vpn.explained.console.test"]);
    let console = Console::open("officer", "explained");
    let editor = format!("registrations/{}/list", text(&registration, "/id"));
    for (name, parts) in [
        ("www.explained.console.test", ["<strong>allow</strong>", "suffix:explained.console.test"]),
        ("vpn.explained.console.test", ["<strong>refuse</strong>", "identifier.excluded"]),
        ("evilexplained.console.test", ["<strong>refuse</strong>", "identifier.not-listed"]),
        ("a b", ["<strong>refuse</strong>", "identifier.malformed"]),
    ] {
        let html = console.text(&format!("{editor}?name={}", encoded(name)));
        for part in parts {
            assert!(html.contains(part), "{name}: no {part} in\n{html}");
        }
    }
    assert!(console.text(&format!("{editor}?name=www.explained.console.test&profile=none")).contains("refuse"));
}

#[test]
fn a_certificate_is_held_let_go_on_and_revoked_on_its_page() {
    let registration = created(&["--allow", "suffix:revoked.console.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let _ = client.issue(&["www.revoked.console.test"]);
    let mut console = Console::open("officer", "certificates");
    let desk = world().desk("officer");
    let list = desk.json(&["certificates", "list", "--registration", id]);
    let certificate = text(&list, "/items/0/id").to_owned();
    for page in [format!("registrations/{id}"), "certificates?identifier=www.revoked.console.test".to_owned()] {
        assert!(console.text(&page).contains(&format!("/certificates/{certificate}\"")));
    }
    let page = format!("certificates/{certificate}");
    assert!(console.text(&page).contains("www.revoked.console.test"));
    let status = || text(&desk.json(&["certificates", "show", &certificate]), "/status").to_owned();
    let revoke = format!("{page}/revoke");
    for (fields, part) in [
        (&[("reason", "superseded")][..], "tick that it is meant"),
        (&[("sure", "yes")], "choose a reason"),
        (&[("sure", "yes"), ("reason", "none")], "choose a reason"),
        (&[("sure", "yes"), ("reason", "superseded"), ("block_key", "yes")], "with the reason keyCompromise only"),
    ] {
        let answer = console.submit(&page, &revoke, fields).expect(400);
        assert!(answer.text().contains(part), "{answer:?}");
    }
    assert_eq!(status(), "good");
    let _ = console.submit(&page, &revoke, &[("sure", "yes"), ("reason", "certificateHold")]).expect(303);
    assert_eq!(status(), "hold");
    let _ = console.submit(&page, &format!("{page}/reinstate"), &[]).expect(303);
    assert_eq!(status(), "good");
    let last = console.submit(&page, &revoke, &[("sure", "yes"), ("reason", "privilegeWithdrawn")]).expect(303);
    let html = console.send("GET", &last.location(), &[("Cookie", &console.cookie)], None).expect(200).text();
    assert!(html.contains("The certificate is revoked") && html.contains("privilegeWithdrawn"), "{html}");
    assert!(!html.contains("<form method=\"post\""), "{html}");
}

#[test]
fn an_auditor_reads_the_trail_and_can_change_nothing() {
    let registration = created(&["--allow", "suffix:audited.console.test"]);
    let id = text(&registration, "/id");
    let mut officer = Console::open("officer", "audited");
    let page = format!("registrations/{id}");
    let _ = officer.submit(&page, &format!("{page}/suspend"), &[("reason", "audited")]).expect(303);
    assert!(officer.text("audit").contains("auditors read the audit trail"));
    let mut auditor = Console::open("auditor", "auditor");
    let html = auditor.text(&format!("audit?subject={id}"));
    let html = html.split("<tbody").nth(1).unwrap();
    let (made, held) = (html.find("createRegistration").unwrap(), html.find("setRegistrationStatus").unwrap());
    assert!(made < held && html.contains("urn:cm:officer:anna"), "{html}");
    let none = auditor.text(&format!("audit?subject={id}&from=2099-01-01"));
    assert!(none.contains("Nothing fits") && !none.contains("createRegistration"), "{none}");
    for (page, field) in [("audit?from=tomorrow", "from"), ("certificates?ending_before=tomorrow", "ending_before")] {
        let html = auditor.page(page).expect(400).text();
        assert!(html.contains(&format!("id=\"{field}-mistake\"")) && html.contains("value=\"tomorrow\""), "{html}");
    }
    let refused = auditor.submit(&page, &format!("{page}/resume"), &[]).expect(403);
    assert!(refused.text().contains("this needs another role"), "{refused:?}");
    assert_eq!(text(&world().desk("officer").json(&["registrations", "show", id]), "/status"), "suspended");
}

#[test]
fn the_overview_shows_what_ends_soon_and_nothing_that_does_not() {
    let soon = created(&["--allow", "suffix:soon.console.test", "--max-validity", "P7D"]);
    let later = created(&["--allow", "suffix:later.console.test"]);
    let _ = bound(&soon).issue(&["www.soon.console.test"]);
    let _ = bound(&later).issue(&["www.later.console.test"]);
    let html = Console::open("officer", "overview").text("");
    assert!(html.contains("www.soon.console.test") && !html.contains("www.later.console.test"), "{html}");
}

#[test]
fn the_console_ends_when_it_is_asked_to_and_its_session_with_it() {
    let mut console = Console::open("officer", "ends");
    let port = console.authority.rsplit(':').next().unwrap().to_owned();
    let taken = world().desk("officer").run(&["console", "--port", &port]);
    assert_eq!(taken.code, 3, "{taken:?}");
    assert!(taken.stderr.contains(&format!("127.0.0.1:{port} cannot be used")), "{taken:?}");
    console.process.terminate();
    assert_eq!(console.process.wait(), Some(0));
    let next = Console::open("officer", "begins-again");
    let path = format!("{}/", next.at);
    let _ = next.send("GET", &path, &[("Cookie", &console.cookie)], None).expect(403);
}

#[test]
fn what_is_too_large_or_too_strange_is_refused_with_the_same_headers() {
    let console = Console::open("officer", "large");
    let large = vec![b'a'; 600 * 1024];
    let path = format!("{}/approvals", console.at);
    let refused = console.send("POST", &path, &[("Cookie", &console.cookie)], Some(&large));
    assert_eq!(refused.status, 413, "{refused:?}");
    assert!(refused.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    let ours = format!("http://{}", console.authority);
    let registration = created(&["--allow", "suffix:large.console.test"]);
    let page = console.text(&format!("registrations/{}", text(&registration, "/id")));
    let token = hidden(&page, "form_token");
    let _ = console.post("nowhere", Some(&ours), Some(&token), &[]).expect(404);
}

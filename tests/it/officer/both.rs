//! The same journeys of officers at two CMs: the reference CM, and a real OpenBao that the test starts, each with a
//! gateway before it. What only one of them can do is a row of a table of its own, asserted and printed.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{
    client::Client,
    desk::Desk,
    openbao::{Gateway, OpenBao},
    wait_for,
};

use super::text;
use crate::world;

/// From the officer's click to its effect on a busy machine; without an event it would come after a minute.
const AT_ONCE: Duration = Duration::from_secs(40);

/// One CM, the people who work with it, and a gateway before it.
struct Side<'a> {
    name: &'static str,
    officer: Desk,
    auditor: Desk,
    client: &'a dyn Fn() -> Client,
    dir: PathBuf,
}

type Journey = fn(&Side<'_>);

const JOURNEYS: [(&str, Journey); 12] = [
    ("register, bind, order inside the list only", create),
    ("find, show, explain", look),
    ("narrow a list: shown first, then in force", update),
    ("suspend, resume, revoke within 2 s", hold),
    ("exchange a secret", rotate),
    ("exchange a secret with an overlap", overlap),
    ("take an account key away", rebind),
    ("one key for many, and their parent", many),
    ("certificates: find, show, revoke, end with the registration", certificates),
    ("what happened to an order", order),
    ("import, again, export", import),
    ("reports, and what an auditor may not", look_and_no_more),
];

impl Side<'_> {
    fn created(&self, more: &[&str]) -> Value {
        self.officer.json(&[&["registrations", "create", "--owner", "tests of both"], more].concat())
    }

    fn binding(&self, registration: &Value, client: &Client) -> Value {
        let secret = tests::from_base64url(text(registration, "/eab/hmac_key"));
        json!({"externalAccountBinding": client.binding(text(registration, "/eab/kid"), &secret)})
    }

    fn bound(&self, registration: &Value) -> Client {
        let mut client = (self.client)();
        let payload = self.binding(registration, &client);
        let _ = client.register(&payload).expect(201);
        client
    }

    fn shown(&self, id: &str) -> Value {
        self.officer.json(&["registrations", "show", id])
    }

    fn file(&self, name: &str, contents: &str) -> String {
        let path = self.dir.join(format!("both-{}-{name}", self.name));
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn wait_for_orders(client: &Client, name: &str, status: u16) {
    let asked = Instant::now();
    wait_for("the effect", AT_ONCE, || (client.new_order(&[name]).status == status).then_some(()));
    assert!(asked.elapsed() < AT_ONCE);
}

#[test]
fn officers_do_the_same_at_the_reference_cm_and_at_openbao() {
    let world = world();
    let dir = world.site().dir.join("both");
    fs::create_dir_all(&dir).unwrap();
    let bao = OpenBao::start(&dir.join("openbao"), &world.site().pki(""));
    bao.prepare("open", "open", &[]);
    bao.prepare("registered", "preregistered", &[]);
    let gateway = Gateway::start(world, &bao);
    let at_openbao = |certificate: &str| Desk::at_openbao(&dir, &bao, certificate, "registered");
    let acme_ca = world.site().pki("acme-ca.pem");
    let sides = [
        Side {
            name: "reference",
            officer: world.desk("officer").trusting(&acme_ca),
            auditor: world.desk("auditor"),
            client: &|| world.client("registered"),
            dir: dir.clone(),
        },
        Side {
            name: "openbao",
            officer: at_openbao("officer").telling(&gateway.client("registered").url("directory"), &acme_ca),
            auditor: at_openbao("auditor"),
            client: &|| gateway.client("registered"),
            dir: dir.clone(),
        },
    ];
    for (journey, walk) in JOURNEYS {
        for side in &sides {
            println!("{:<9}  {journey}", side.name);
            walk(side);
        }
    }
    let [reference, openbao] = &sides;
    for (what, words, reference_code, openbao_code, said) in DIFFERENCES {
        let differs = |side: &Side<'_>| {
            let registration = side.created(&["--allow", "suffix:differs.both.test"]);
            let client = side.bound(&registration);
            let _ = client.issue(&["www.differs.both.test"]);
            let id = text(&registration, "/id");
            let list = side.officer.json(&["certificates", "list", "--registration", id]);
            let certificate = text(&list, "/items/0/id").to_owned();
            let words: Vec<_> =
                words.iter().map(|word| word.replace("REG", id).replace("CERT", &certificate)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let desk = if words.first() == Some(&"audit") { &side.auditor } else { &side.officer };
            desk.run(&words)
        };
        let (there, here) = (differs(reference), differs(openbao));
        assert_eq!((there.code, here.code), (reference_code, openbao_code), "{what}: {there:?} {here:?}");
        assert!(here.stderr.contains(said), "{what}: {here:?}");
        println!("{what}: the reference CM has it, OpenBao says: {}", here.stderr.trim());
    }
}

/// What, how it is asked for, the exit codes at the reference CM and at OpenBao, and what OpenBao's says.
type Difference = (&'static str, &'static [&'static str], i32, i32, &'static str);

const DIFFERENCES: [Difference; 5] = [
    ("directory-links", &["registrations", "link", "REG"], 0, 5, "capability-missing"),
    (
        "waivers",
        &[
            "waivers",
            "propose",
            "REG",
            "--name",
            "exact:www.differs.both.test",
            "--address",
            "192.0.2.0/24",
            "--until",
            "2026-12-24",
            "--reason",
            "r",
        ],
        0,
        5,
        "capability-missing",
    ),
    ("audit", &["audit"], 0, 5, "capability-missing"),
    (
        "holds",
        &["certificates", "revoke", "CERT", "--reason", "certificate-hold"],
        0,
        5,
        "revocation-reason-not-allowed",
    ),
    (
        "comments of revocations",
        &["certificates", "revoke", "CERT", "--reason", "superseded", "--comment", "c"],
        0,
        5,
        "capability-missing",
    ),
];

fn create(side: &Side<'_>) {
    let registration = side.created(&["--allow", "suffix:create.both.test", "--exclude", "exact:vpn.create.both.test"]);
    assert_eq!(text(&registration, "/status"), "pending");
    assert_eq!(tests::from_base64url(text(&registration, "/eab/hmac_key")).len(), 32);
    let client = side.bound(&registration);
    let _ = client.issue(&["www.create.both.test"]);
    for (name, rule) in
        [("www.elsewhere.test", "identifier.not-listed"), ("vpn.create.both.test", "identifier.excluded")]
    {
        let detail = client.new_order(&[name]).assert_refused(403, "rejectedIdentifier");
        assert!(detail.contains(rule), "{name}: {detail}");
    }
    let shown = side.shown(text(&registration, "/id"));
    assert_eq!((text(&shown, "/status"), shown["eab"]["bindings"].clone()), ("active", json!(1)));
    let mut second = (side.client)();
    let payload = side.binding(&registration, &second);
    let _ = second.register(&payload).assert_refused(403, "unauthorized");
}

fn look(side: &Side<'_>) {
    let owner = "somebody who is looked for at both";
    let made = side.officer.json(&["registrations", "create", "--owner", owner, "--allow", "suffix:look.both.test"]);
    let (id, kid) = (text(&made, "/id"), text(&made, "/eab/kid"));
    let found = |more: &[&str]| {
        let list = side.officer.json(&[&["registrations", "list", "--owner", owner], more].concat());
        assert_eq!(list["complete"], true);
        list["items"].as_array().unwrap().iter().map(|one| text(one, "/id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["--status", "pending", "--identifier", "www.look.both.test"]), [id]);
    assert_eq!(found(&["--status", "active"]), Vec::<String>::new());
    assert_eq!(found(&["--identifier", "www.elsewhere.test"]), Vec::<String>::new());
    assert_eq!(text(&side.shown(kid), "/id"), id);
    assert!(!side.officer.text(&["registrations", "show", id, "--json"]).contains(text(&made, "/eab/hmac_key")));
    assert_eq!(side.officer.run(&["registrations", "show", "reg_00000000000000000000000000"]).code, 6);
    let first = side.officer.json(&["registrations", "list", "--limit", "1"]);
    assert_eq!((first["complete"].clone(), first["items"].as_array().unwrap().len()), (json!(false), 1));
    for (name, decision) in [("www.look.both.test", "allow"), ("www.elsewhere.test", "refuse")] {
        assert_eq!(text(&side.officer.json(&["explain", id, name]), "/decision"), decision, "{name}");
    }
}

fn update(side: &Side<'_>) {
    let registration = side.created(&["--allow", "suffix:update.both.test"]);
    let (client, id) = (side.bound(&registration), text(&registration, "/id"));
    let _ = client.issue(&["kept.update.both.test"]);
    let _ = client.issue(&["gone.update.both.test", "kept.update.both.test"]);
    let change = ["registrations", "update", id, "--allow", "exact:kept.update.both.test", "--comment", "narrowed"];
    let shown = side.officer.json(&[&change[..], &["--dry-run"]].concat());
    let lost = shown["no_longer_renewable"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "{shown}");
    assert_eq!(lost[0]["names"], json!(["gone.update.both.test"]));
    let _ = client.order(&["gone.update.both.test"]);
    assert_eq!(side.officer.json(&change)["applied"], true);
    wait_for_orders(&client, "gone.update.both.test", 403);
    let _ = client.order(&["kept.update.both.test"]);
    assert_eq!(side.officer.json(&change)["applied"], false);
    assert_eq!(text(&side.shown(id), "/comment"), "narrowed");
    let unknown = side.officer.run(&["registrations", "update", id, "--profile", "none"]);
    assert!(unknown.code == 5 && unknown.stderr.contains("profile-not-allowed"), "{unknown:?}");
}

fn hold(side: &Side<'_>) {
    let registration = side.created(&["--allow", "suffix:hold.both.test"]);
    let (client, id, name) = (side.bound(&registration), text(&registration, "/id"), "www.hold.both.test");
    let _ = client.order(&[name]);
    let suspended = side.officer.json(&["registrations", "suspend", id, "--reason", "moved to another team"]);
    assert_eq!(text(&suspended, "/status"), "suspended");
    assert_eq!(text(&suspended, "/status_reason"), "moved to another team");
    assert!(text(&suspended, "/status_by").contains("anna"), "{suspended}");
    wait_for_orders(&client, name, 403);
    assert_eq!(text(&side.officer.json(&["registrations", "resume", id]), "/status"), "active");
    wait_for_orders(&client, name, 201);
    let revoked = side.officer.text(&["registrations", "revoke", id, "--reason", "scrapped"]);
    assert_eq!(revoked, format!("{id} is revoked\n"));
    wait_for_orders(&client, name, 401);
    let again = side.officer.run(&["registrations", "resume", id]);
    assert!(again.code == 5 && again.stderr.contains("registration-not-active"), "{again:?}");
}

fn rotate(side: &Side<'_>) {
    let registration = side.created(&["--allow", "suffix:rotate.both.test"]);
    let rotated = side.officer.json(&["registrations", "rotate-secret", text(&registration, "/id")]);
    assert_eq!(text(&rotated, "/eab/kid"), text(&registration, "/eab/kid"));
    assert_ne!(text(&rotated, "/eab/hmac_key"), text(&registration, "/eab/hmac_key"));
    let mut client = (side.client)();
    let stale = side.binding(&registration, &client);
    let _ = client.register(&stale).assert_refused(403, "unauthorized");
    let _ = side.bound(&rotated).order(&["www.rotate.both.test"]);
}

fn overlap(side: &Side<'_>) {
    let registration = side.created(&["--allow", "suffix:overlap.both.test", "--use", "multi"]);
    let rotated = side.officer.json(&["registrations", "rotate-secret", text(&registration, "/id"), "--overlap", "7d"]);
    assert!(rotated["eab"]["previous_until"].is_string(), "{rotated}");
    for secret in [&registration, &rotated] {
        let _ = side.bound(secret).order(&["www.overlap.both.test"]);
    }
}

fn rebind(side: &Side<'_>) {
    let registration = side.created(&["--allow", "suffix:rebind.both.test"]);
    let (lost, id, name) = (side.bound(&registration), text(&registration, "/id"), "www.rebind.both.test");
    let issued = lost.issue(&[name]);
    let rebound = side.officer.json(&["registrations", "rebind", id, "--reason", "disk of the server died"]);
    assert_eq!((text(&rebound, "/id"), text(&rebound, "/status")), (id, "pending"), "{rebound}");
    wait_for_orders(&lost, name, 401);
    let detail = lost.new_order(&[name]).assert_refused(401, "unauthorized");
    assert!(detail.contains("withdrawn"), "{detail}");
    let next = side.bound(&rebound);
    assert_eq!(next.account_url(), lost.account_url());
    let _ = next.issue(&[name]);
    let _ = next.revoke(&issued.leaf, json!(4)).expect(200);
    let _ = lost.new_order(&[name]).assert_refused(400, "malformed");
    assert_eq!(text(&side.shown(id), "/status"), "active");
}

fn many(side: &Side<'_>) {
    let allow = ["--allow", "suffix:many.both.test", "--use", "multi", "--max-bindings", "2"];
    let parent = side.created(&allow);
    let id = text(&parent, "/id");
    let clients = [side.bound(&parent), side.bound(&parent)];
    let mut third = (side.client)();
    let payload = side.binding(&parent, &third);
    let _ = third.register(&payload).assert_refused(403, "unauthorized");
    let _ = clients[0].issue(&["www.many.both.test"]);
    let children = side.officer.json(&["registrations", "list", "--parent", id]);
    assert_eq!(children["items"].as_array().unwrap().len(), 2, "{children}");
    let found = side.officer.json(&["certificates", "list", "--parent", id]);
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    let first = clients[0].account_url();
    let child = first.rsplit('/').next().unwrap();
    let _ = side.officer.json(&["registrations", "suspend", child, "--reason", "one of two"]);
    wait_for_orders(&clients[0], "www.many.both.test", 403);
    let _ = clients[1].order(&["www.many.both.test"]);
    let _ = side.officer.json(&["registrations", "resume", child]);
    wait_for_orders(&clients[0], "www.many.both.test", 201);
    let _ = side.officer.json(&["registrations", "suspend", id, "--reason", "all of them"]);
    for client in &clients {
        wait_for_orders(client, "www.many.both.test", 403);
    }
}

fn certificates(side: &Side<'_>) {
    let registration = side.created(&["--allow", "suffix:certificates.both.test"]);
    let (client, id) = (side.bound(&registration), text(&registration, "/id"));
    let names = ["www.certificates.both.test", "mail.certificates.both.test"];
    for name in names {
        let _ = client.issue(&[name]);
    }
    let found = side.officer.json(&["certificates", "list", "--identifier", names[0], "--status", "good"]);
    let certificate = text(&found, "/items/0/id");
    assert!(side.officer.text(&["certificates", "show", certificate]).contains(names[0]));
    let pem = side.officer.text(&["certificates", "show", certificate, "--pem"]);
    assert!(pem.matches("BEGIN CERTIFICATE").count() >= 2, "{pem}");
    let revoked = side.officer.json(&["certificates", "revoke", certificate, "--reason", "superseded"]);
    assert_eq!((text(&revoked, "/status"), text(&revoked, "/revocation/reason")), ("revoked", "superseded"));
    let again = side.officer.run(&["certificates", "revoke", certificate, "--reason", "superseded"]);
    assert!(again.code == 5 && again.stderr.contains("already-revoked"), "{again:?}");
    let command = ["registrations", "revoke", id, "--reason", "scrapped", "--with-certificates"];
    assert!(side.officer.text(&command).contains("--apply"));
    assert_eq!(text(&side.shown(id), "/status"), "active");
    let done = side.officer.json(&[&command[..], &["--apply"]].concat());
    assert_eq!((done["applied"].clone(), text(&done, "/status")), (Value::Bool(true), "revoked"));
    let list = side.officer.json(&["certificates", "list", "--registration", id]);
    let statuses: Vec<_> = list["items"].as_array().unwrap().iter().map(|one| text(one, "/status")).collect();
    assert_eq!(statuses, ["revoked", "revoked"]);
}

fn order(side: &Side<'_>) {
    let registration = side.created(&["--allow", "suffix:order.both.test"]);
    let client = side.bound(&registration);
    let issued = client.issue(&["www.order.both.test"]);
    let shown = side.officer.json(&["orders", "show", issued.order_url.rsplit('/').next().unwrap()]);
    assert_eq!(text(&shown, "/transcript/status"), "valid");
    assert_eq!(text(&shown, "/requests/0/status"), "issued");
    assert_eq!(text(&shown, "/requests/0/registration"), text(&registration, "/id"));
    let refused = client.new_order(&["www.elsewhere.test"]);
    let _ = refused.assert_refused(403, "rejectedIdentifier");
    let shown = side.officer.json(&["orders", "show", refused.json()["instance"].as_str().unwrap()]);
    assert!(shown["transcript"].to_string().contains("identifier.not-listed"), "{shown}");
}

fn import(side: &Side<'_>) {
    let csv =
        "kid,owner,names\nboth-import-1,room one,one.import.both.test\nboth-import-2,room two,two.import.both.test\n";
    let (path, secrets) = (side.file("import.csv", csv), side.file("secrets.csv", ""));
    fs::remove_file(&secrets).unwrap();
    let import = ["registrations", "import", &path, "--from", "nexus"];
    let counted = |answer: &Value, action: &str| {
        answer["items"].as_array().unwrap().iter().filter(|item| item["action"] == action).count()
    };
    let shown = side.officer.json(&import);
    assert_eq!((shown["applied"].clone(), counted(&shown, "create")), (json!(false), 2));
    assert_eq!(side.officer.run(&["registrations", "show", "both-import-1"]).code, 6, "nothing was done");
    let apply = [&import[..], &["--apply", "--secrets", &secrets]].concat();
    assert_eq!(counted(&side.officer.json(&apply), "create"), 2);
    let keys = fs::read_to_string(&secrets).unwrap();
    let (_, rest) = keys.split_once("both-import-2,").unwrap();
    let key = rest.split([',', '\n']).next().unwrap();
    let client = side.bound(&json!({"eab": {"kid": "both-import-2", "hmac_key": key}}));
    let _ = client.order(&["www.two.import.both.test"]);
    let _ = client.new_order(&["www.one.import.both.test"]).assert_refused(403, "rejectedIdentifier");
    assert_eq!(counted(&side.officer.json(&apply), "same"), 2, "again is harmless");
    let exported = side.officer.text(&["registrations", "export"]);
    assert!(exported.contains("both-import-1") && exported.contains("suffix:two.import.both.test"), "{exported}");
}

fn look_and_no_more(side: &Side<'_>) {
    let registration = side.created(&["--allow", "suffix:audited.both.test"]);
    let (client, id) = (side.bound(&registration), text(&registration, "/id"));
    let _ = client.issue(&["www.audited.both.test"]);
    let list = side.auditor.json(&["certificates", "list", "--registration", id]);
    let certificate = text(&list, "/items/0/id");
    for desk in [&side.officer, &side.auditor] {
        let issued = desk.text(&["report", "issued", "--format", "csv"]);
        assert!(issued.contains("www.audited.both.test"), "{issued}");
        let expiring = desk.json(&["report", "expiring", "--within", "3650"]);
        assert!(expiring.to_string().contains(certificate), "{expiring}");
        let could = desk.json(&["report", "who-could", "www.audited.both.test"]);
        assert!(could.to_string().contains(id), "{could}");
        for report in ["refused", "inactive", "missed"] {
            let _ = desk.text(&["report", report]);
        }
    }
    assert_eq!(text(&side.auditor.json(&["registrations", "show", id]), "/owner"), "tests of both");
    let writes: [&[&str]; 6] = [
        &["registrations", "create", "--owner", "o", "--allow", "suffix:forbidden.both.test"],
        &["registrations", "update", id, "--comment", "changed"],
        &["registrations", "suspend", id, "--reason", "r"],
        &["registrations", "revoke", id, "--reason", "r"],
        &["registrations", "rotate-secret", id],
        &["certificates", "revoke", certificate, "--reason", "superseded"],
    ];
    for write in writes {
        let refused = side.auditor.run(write);
        assert!(refused.code == 5 && refused.stderr.contains("forbidden"), "{write:?}: {refused:?}");
    }
    assert_eq!(text(&side.shown(id), "/status"), "active");
    let _ = client.order(&["www.audited.both.test"]);
}

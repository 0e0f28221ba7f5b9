//! Waivers of challenges: an officer proposes one, an approver approves it, and the client that shows what both asked for
//! gets a certificate without a challenge.

use std::{
    net::IpAddr,
    sync::LazyLock,
    time::{Duration, Instant},
};

use openssl::x509::X509;
use serde_json::{Value, json};
use tests::{
    client::{Client, Order, dns_names, strings},
    csr::Csr,
    device::Device,
    key::Key,
    site::Shown,
    time::ahead,
    wait_for,
    world::World,
};

static WORLD: LazyLock<World> =
    LazyLock::new(|| World::start_waiving(&[("server", "client_certificates = \"request\"")]));

/// From the officer's click to its effect on a busy machine; without an event it would come after a minute.
const AT_ONCE: Duration = Duration::from_secs(40);
/// Where the tests come from, and where they do not.
const HERE: &str = "127.0.0.1/32";
const ELSEWHERE: &str = "127.0.0.2/32";

/// Names below `suffix`, wildcards too.
fn below(suffix: &str) -> Value {
    json!([{"type": "dns", "match": "suffix", "value": suffix, "wildcards": true}])
}

fn from(block: &str) -> Value {
    json!({"addresses": [block]})
}

/// A client with an account whose registration has a waiver that was approved before: its id, and that of the waiver.
fn waived(world: &World, suffix: &str, evidence: &Value, seconds: u64) -> (Client, String, String) {
    let officer = world.officer();
    let registration = officer.preregister(&json!({}));
    let waiver = officer.propose_waiver(&registration.id, &below(suffix), evidence, &ahead(seconds));
    officer.decide_waiver(&registration.id, &waiver, "approve");
    let mut client = world.client("registered");
    let binding = client.binding(&registration.kid, &registration.secret);
    let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
    (client, registration.id, waiver)
}

const MONTHS: u64 = 90 * 86_400;

/// The only challenge of the only authorization of an order.
fn only_challenge(client: &Client, order: &Order) -> (Value, Value) {
    let urls = strings(&order.object["authorizations"]);
    assert_eq!(urls.len(), 1);
    let authorization = client.read(&urls[0]).expect(200).json();
    let challenges = authorization["challenges"].as_array().unwrap();
    assert_eq!(challenges.len(), 1, "{authorization}");
    (authorization.clone(), challenges[0].clone())
}

fn issue(client: &Client, order: &Order, names: &[&str]) -> X509 {
    let key = Key::p256();
    let _ = client.finalize(order, &Csr::for_names(names).text(&key)).expect(200);
    client.download(&client.wait(order, "valid"), key).leaf
}

#[test]
fn a_client_at_the_address_of_a_waiver_gets_a_certificate_without_a_challenge() {
    let (client, _, waiver) = waived(&WORLD, "printers.test", &from(HERE), MONTHS);
    let names = ["p7.printers.test"];
    let order = client.order(&names);
    assert_eq!(order.object["status"], "ready", "{}", order.object);
    let (authorization, challenge) = only_challenge(&client, &order);
    assert_eq!(authorization["status"], "valid");
    assert_eq!(challenge["status"], "valid");
    assert!(challenge["validated"].is_string() && challenge["token"].is_string(), "{challenge}");
    assert_eq!(dns_names(&issue(&client, &order, &names)), names);

    let reference = order.url.rsplit('/').next().unwrap();
    let told = WORLD.command(&["order", "show", reference]).unwrap();
    for words in [
        "waived by urn:cm:officer:",
        "approved by urn:cm:approver:",
        "ticket 5120",
        &waiver,
        "evidence: address 127.0.0.1",
    ] {
        assert!(told.contains(words), "{words} is not in {told}");
    }
    let authorization = strings(&order.object["authorizations"]).remove(0);
    let told = WORLD.command(&["order", "show", &authorization]).unwrap();
    assert!(told.contains("valid, waived by urn:cm:officer:") && told.contains(&waiver), "{told}");
    let metrics = WORLD.site().ops("/metrics").text();
    assert!(metrics.contains("acme_gateway_identifiers_waived_total"), "{metrics}");
    let audited = wait_for("the audit event", Duration::from_secs(120), || {
        let log = std::fs::read_to_string(WORLD.site().log("gateway")).unwrap();
        log.lines().find(|line| line.contains("order.waived") && line.contains(&waiver)).map(str::to_owned)
    });
    assert!(audited.contains("proposedBy") && audited.contains("approvedBy"), "{audited}");
}

#[test]
fn a_wildcard_is_waived_with_a_dns_01_challenge() {
    let (client, _, _) = waived(&WORLD, "wild.test", &from(HERE), MONTHS);
    let order = client.order(&["*.wild.test"]);
    let (authorization, challenge) = only_challenge(&client, &order);
    assert_eq!((&authorization["wildcard"], &authorization["status"]), (&json!(true), &json!("valid")));
    assert_eq!(challenge["type"], "dns-01");
    assert_eq!(dns_names(&issue(&client, &order, &["*.wild.test"])), ["*.wild.test"]);
}

#[test]
fn a_client_elsewhere_has_its_challenges_as_ever_and_gets_its_certificate_by_them() {
    let (client, _, waiver) = waived(&WORLD, "elsewhere.test", &from(ELSEWHERE), MONTHS);
    let order = client.order(&["a.elsewhere.test"]);
    assert_eq!(order.object["status"], "pending");
    let authorization = client.read(&strings(&order.object["authorizations"])[0]).expect(200).json();
    assert!(authorization["challenges"].as_array().unwrap().len() > 1, "{authorization}");
    assert!(!authorization.to_string().contains("waiv"), "{authorization}");
    let reference = order.url.rsplit('/').next().unwrap();
    let told = WORLD.command(&["order", "show", reference]).unwrap();
    assert!(told.contains(&format!("waiver {waiver}: the client is not at one of its addresses")), "{told}");
    let _ = client.issue(&["b.elsewhere.test"]);
}

#[test]
fn other_names_of_the_order_are_proven_as_ever() {
    let (client, _, _) = waived(&WORLD, "mixed.test", &from(HERE), MONTHS);
    let names = ["p7.mixed.test", "www.unwaived.test"];
    let order = client.order(&names);
    assert_eq!(order.object["status"], "pending");
    let order = client.prove(&order);
    let mut issued = dns_names(&issue(&client, &order, &names));
    issued.sort();
    assert_eq!(issued, names);
}

#[test]
fn what_was_waived_for_one_order_is_not_reused_by_another() {
    let (client, _, _) = waived(&WORLD, "once.test", &from(HERE), MONTHS);
    assert_eq!(client.order(&["a.once.test"]).object["status"], "ready");
    let source: IpAddr = "127.0.0.3".parse().unwrap();
    let elsewhere = client.showing(Shown { source: Some(source), ..Shown::default() });
    assert_eq!(elsewhere.order(&["a.once.test"]).object["status"], "pending");
}

#[test]
fn finalize_from_elsewhere_is_refused_by_name_and_the_order_stays_ready() {
    let (client, _, _) = waived(&WORLD, "moves.test", &from(HERE), MONTHS);
    let order = client.order(&["a.moves.test"]);
    let source: IpAddr = "127.0.0.3".parse().unwrap();
    let elsewhere = client.showing(Shown { source: Some(source), ..Shown::default() });
    let csr = Csr::for_names(&["a.moves.test"]);
    let problem = elsewhere.finalize(&order, &csr.text(&Key::p256())).assert_refused(403, "unauthorized");
    assert!(problem.contains("(rule waiver.evidence)"), "{problem:?}");
    assert_eq!(client.reread(&order).object["status"], "ready");
    let _ = issue(&client, &order, &["a.moves.test"]);
}

#[test]
fn a_waiver_that_is_withdrawn_counts_for_nothing_at_once() {
    let (client, registration, waiver) = waived(&WORLD, "withdrawn.test", &from(HERE), MONTHS);
    let order = client.order(&["a.withdrawn.test"]);
    assert_eq!(order.object["status"], "ready");
    WORLD.officer().decide_waiver(&registration, &waiver, "withdraw");
    let start = Instant::now();
    wait_for("a new order that has to be proven", AT_ONCE, || {
        (client.order(&["b.withdrawn.test"]).object["status"] == "pending").then_some(())
    });
    assert!(start.elapsed() <= AT_ONCE, "{:?}", start.elapsed());
    let csr = Csr::for_names(&["a.withdrawn.test"]);
    let problem = client.finalize(&order, &csr.text(&Key::p256())).assert_refused(403, "unauthorized");
    assert!(problem.contains("(rule waiver.not-in-force)"), "{problem:?}");
    assert_eq!(WORLD.certificates_of(&order.url), 0);
}

#[test]
fn a_waiver_ends_by_itself_and_its_order_with_it() {
    let (client, _, _) = waived(&WORLD, "ending.test", &from(HERE), 20);
    let order = client.order(&["a.ending.test"]);
    assert_eq!(order.object["status"], "ready");
    assert_eq!(client.wait(&order, "invalid").object["error"]["status"], 400);
    assert_eq!(client.order(&["b.ending.test"]).object["status"], "pending");
    let csr = Csr::for_names(&["a.ending.test"]);
    let _ = client.finalize(&order, &csr.text(&Key::p256())).assert_refused(403, "orderNotReady");
}

#[test]
fn a_waiver_that_nobody_approved_waives_nothing() {
    let officer = WORLD.officer();
    for decision in [None, Some("reject")] {
        let registration = officer.preregister(&json!({}));
        let waiver = officer.propose_waiver(&registration.id, &below("proposed.test"), &from(HERE), &ahead(MONTHS));
        decision.iter().for_each(|decision| officer.decide_waiver(&registration.id, &waiver, decision));
        let mut client = WORLD.client("registered");
        let binding = client.binding(&registration.kid, &registration.secret);
        let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
        assert_eq!(client.order(&["a.proposed.test"]).object["status"], "pending", "{decision:?}");
    }
}

#[test]
fn a_waiver_that_asks_for_a_key_needs_the_key_at_new_order_and_at_finalize() {
    let folder = &WORLD.site().dir;
    let (right, wrong) = (Device::new(folder, "right"), Device::new(folder, "wrong"));
    let evidence = json!({"clientCertificates": [right.digest]});
    let (client, _, waiver) = waived(&WORLD, "device.test", &evidence, MONTHS);
    assert_eq!(client.order(&["none.device.test"]).object["status"], "pending");
    let stranger = client.showing(wrong.shown());
    assert_eq!(stranger.order(&["wrong.device.test"]).object["status"], "pending");

    let device = client.showing(right.shown());
    let order = device.order(&["a.device.test"]);
    assert_eq!(order.object["status"], "ready");
    let csr = Csr::for_names(&["a.device.test"]).text(&Key::p256());
    for other in [&client, &stranger] {
        let problem = other.finalize(&order, &csr).assert_refused(403, "unauthorized");
        assert!(problem.contains("(rule waiver.evidence)"), "{problem:?}");
    }
    assert_eq!(dns_names(&issue(&device, &order, &["a.device.test"])), ["a.device.test"]);
    let told = WORLD.command(&["order", "show", order.url.rsplit('/').next().unwrap()]).unwrap();
    assert!(told.contains(&format!("client certificate {}", right.digest)) && told.contains(&waiver), "{told}");
    assert!(told.contains("the client showed no certificate"), "{told}");
    assert!(told.contains("the client's certificate has another key"), "{told}");
}

#[test]
fn a_suspended_account_gets_nothing_by_a_waiver() {
    let (client, registration, _) = waived(&WORLD, "suspended.test", &from(HERE), MONTHS);
    let order = client.order(&["a.suspended.test"]);
    WORLD.officer().set_status(&registration, "suspended");

    wait_for("the suspension", AT_ONCE, || (client.new_order(&["b.suspended.test"]).status == 403).then_some(()));
    let csr = Csr::for_names(&["a.suspended.test"]);
    let problem = client.finalize(&order, &csr.text(&Key::p256())).assert_refused(403, "unauthorized");
    assert!(problem.contains("(rule registration.suspended)"), "{problem:?}");
}

#[test]
fn a_client_bound_by_a_key_for_many_has_the_waivers_of_its_parent() {
    let officer = WORLD.officer();
    let parent = officer.preregister(&json!({"eab": {"kid": "kid-of-the-fleet", "use": "multi"}}));
    let waiver = officer.propose_waiver(&parent.id, &below("fleet.test"), &from(HERE), &ahead(MONTHS));
    officer.decide_waiver(&parent.id, &waiver, "approve");
    let mut child = WORLD.client("registered");
    let binding = child.binding(&parent.kid, &parent.secret);
    let _ = child.register(&json!({"externalAccountBinding": binding})).expect(201);
    let order = child.order(&["a.fleet.test"]);
    assert_eq!(order.object["status"], "ready");
    let _ = issue(&child, &order, &["a.fleet.test"]);
}

#[test]
fn a_waiver_allows_no_name_that_the_list_does_not() {
    let officer = WORLD.officer();
    let rules = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "inside.test"}]});
    let registration = officer.preregister(&json!({"allowedIdentifiers": rules}));
    let waiver = officer.propose_waiver(&registration.id, &below("inside.test"), &from(HERE), &ahead(MONTHS));
    officer.decide_waiver(&registration.id, &waiver, "approve");
    let mut client = WORLD.client("registered");
    let binding = client.binding(&registration.kid, &registration.secret);
    let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
    assert_eq!(client.order(&["a.inside.test"]).object["status"], "ready");
    let _ = client.new_order(&["evilinside.test"]).assert_refused(403, "rejectedIdentifier");
}

/// The other endpoints of this world have the same profile, and so do other registrations.
#[test]
fn without_a_waiver_of_its_own_nobody_is_waived_anything() {
    let (unwaived, _) = WORLD.registered_account(&json!({"mode": "any"}));
    assert_eq!(unwaived.order(&["a.nothing.test"]).object["status"], "pending");
    assert_eq!(WORLD.account().order(&["a.nothing.test"]).object["status"], "pending");
}

#[test]
fn a_profile_that_does_not_list_the_method_takes_no_waiver() {
    let world = World::start();
    let (client, _, _) = waived(&world, "strict.test", &from(HERE), MONTHS);
    assert_eq!(client.order(&["a.strict.test"]).object["status"], "pending");
}

#[test]
fn caa_records_that_forbid_end_an_order_that_rests_on_a_waiver() {
    let (client, _, _) = waived(&WORLD, "caa-waived.test", &from(HERE), MONTHS);
    let table = [
        ("other.caa-waived.test", "ca.other.test", "no issue property names this certificate authority"),
        ("methods.caa-waived.test", "ca.sandbox.test; validationmethods=http-01,waived", "does not list waived"),
    ];
    for (name, value, words) in table {
        let policies = json!([{"flags": 0, "tag": "issue", "value": value}]);
        let _ = client.site().control("/add-caa", &json!({"host": format!("{name}."), "policies": policies}));
        let order = client.order(&[name]);
        assert_eq!(order.object["status"], "ready", "{name}");
        let _ = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
        let error = client.wait(&order, "invalid").object["error"].clone();
        assert_eq!(error["type"], "urn:ietf:params:acme:error:caa", "{error}");
        assert!(error["detail"].as_str().unwrap().contains(words), "{error}");
    }
}

#[test]
fn clients_are_asked_for_certificates_as_soon_as_the_settings_say_so() {
    let world = World::start_waiving(&[]);
    let device = Device::new(&world.site().dir, "device");
    let evidence = json!({"clientCertificates": [device.digest]});
    let (client, _, _) = waived(&world, "reload.test", &evidence, MONTHS);
    let client = client.showing(device.shown());
    assert_eq!(client.order(&["a.reload.test"]).object["status"], "pending", "nobody asked");
    let file = world.site().settings_file();
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, settings.replace("[server]\n", "[server]\nclient_certificates = \"request\"\n")).unwrap();
    world.signal_gateway("HUP");
    wait_for("an order that is ready", Duration::from_secs(120), || {
        (client.order(&["b.reload.test"]).object["status"] == "ready").then_some(())
    });
}

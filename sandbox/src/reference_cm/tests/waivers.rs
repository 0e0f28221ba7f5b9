//! Waivers: proposed by one person, approved by another, believed by nobody else's word.

use http::Method;
use serde_json::{Value, json};

use super::super::identity::Role;
use super::super::moment::Moment;
use super::world::{Account, Order, Reply, World, bound_account, preregister};

const REALM: &str = "/realms/registered";
const REQUESTS: &str = "/realms/registered/certificate-requests";
const NAME: &str = "p7.printers.example.test";

/// A CM whose profiles let waivers count.
async fn world() -> World {
    World::start_with(|settings| settings.replace("\"dns-account-01\"]", "\"dns-account-01\", \"waived\"]")).await
}

/// A time so many days ahead, as the contract writes times.
fn ahead(days: i64) -> Value {
    json!(Moment::now().plus_seconds(days * 86_400))
}

fn digest(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A waiver as an officer proposes it.
fn wish() -> Value {
    json!({"identifiers": [{"type": "dns", "match": "suffix", "value": "Printers.example.test.", "wildcards": false}],
           "evidence": {"addresses": ["203.0.113.99/24"]}, "notAfter": ahead(30), "reason": "cannot open port 80"})
}

fn path(registration: &str) -> String {
    format!("{REALM}/registrations/{registration}/waivers")
}

async fn propose(world: &World, registration: &str, wish: &Value) -> Reply {
    world.post_once(Role::Officer, &path(registration), wish).await
}

async fn decide(world: &World, role: Role, waiver: &Value, verb: &str, body: Value) -> Reply {
    let (registration, id) = (waiver["registration"].as_str().unwrap(), waiver["id"].as_str().unwrap());
    world.post(role, &format!("{}/{id}/{verb}", path(registration)), &[], &body).await
}

async fn approved(world: &World, registration: &str, wish: &Value) -> Value {
    let waiver = propose(world, registration, wish).await.expect(201).body;
    decide(world, Role::Approver, &waiver, "approve", json!({})).await.expect(200).body
}

async fn registration(world: &World, id: &str) -> Value {
    world.get(Role::Gateway, &format!("{REALM}/registrations/{id}")).await.expect(200).body
}

async fn account(world: &World, kid: &str) -> Account {
    bound_account(world, &preregister(world, kid, json!({})).await).await
}

/// What is known of waivers, changed behind the CM's back.
fn tamper(world: &World, sql: &str) {
    world.cm.database.write(|tx| Ok(tx.execute(sql, [])?)).unwrap();
}

/// A request for one name whose proof is waived.
fn request(account: &Account, name: &'static str, waiver: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut body = account.request(&Order::of(&[name]));
    let validation = &mut body["validations"][0];
    validation["method"] = json!("waived");
    validation["perspectives"] = json!([]);
    validation["waiver"] = json!({"id": waiver["id"], "address": "203.0.113.9", "clientCertificate": null});
    change(validation);
    body
}

async fn ask(world: &World, body: &Value) -> Reply {
    world.post_once(Role::Gateway, REQUESTS, body).await
}

#[tokio::test]
async fn a_waiver_counts_once_a_second_person_has_approved_it_and_until_it_is_withdrawn() {
    let world = world().await;
    let account = account(&world, "kid-a").await;
    let proposed = propose(&world, &account.id, &wish()).await.expect(201);
    assert!(proposed.header("location").unwrap().ends_with(proposed.body["id"].as_str().unwrap()));
    let waiver = proposed.body;
    assert_eq!(waiver["identifiers"][0]["value"], "printers.example.test");
    assert_eq!(waiver["evidence"], json!({"addresses": ["203.0.113.0/24"], "clientCertificates": []}));
    assert_eq!((&waiver["status"], &waiver["proposedBy"]), (&json!("proposed"), &json!("urn:cm:officer:anna")));
    let seen = registration(&world, &account.id).await;
    assert_eq!((&seen["version"], &seen["waivers"]), (&json!(3), &json!([])));

    for _ in 0..2 {
        let approved = decide(&world, Role::Approver, &waiver, "approve", json!({})).await.expect(200).body;
        assert_eq!(
            (&approved["status"], &approved["decidedBy"]),
            (&json!("approved"), &json!("urn:cm:approver:berta"))
        );
    }
    let seen = registration(&world, &account.id).await;
    assert_eq!((&seen["version"], &seen["waivers"][0]["id"]), (&json!(4), &waiver["id"]));
    let rejected = decide(&world, Role::Approver, &waiver, "reject", json!({"reason": "no"})).await;
    assert_eq!(rejected.refusal(), (409, "waiver-decided"));

    let why = json!({"reason": "printers replaced"});
    let withdrawn = decide(&world, Role::Officer, &waiver, "withdraw", why.clone()).await.expect(200).body;
    assert_eq!((&withdrawn["status"], &withdrawn["decisionReason"]), (&json!("withdrawn"), &why["reason"]));
    let seen = registration(&world, &account.id).await;
    assert_eq!((&seen["version"], &seen["waivers"]), (&json!(5), &json!([])));
    let again = decide(&world, Role::Approver, &waiver, "approve", json!({})).await;
    assert_eq!(again.refusal(), (409, "waiver-decided"));

    for role in [Role::Officer, Role::Approver, Role::Auditor] {
        let list = world.get(role, &path(&account.id)).await.expect(200).body;
        assert_eq!(list["items"][0]["status"], "withdrawn");
        let by_id = format!("{REALM}/waivers?id={}", waiver["id"].as_str().unwrap());
        assert_eq!(world.get(role, &by_id).await.expect(200).body["items"][0]["id"], waiver["id"]);
        let none = world.get(role, &format!("{REALM}/waivers?status=proposed")).await.expect(200).body;
        assert_eq!(none["items"], json!([]));
    }
    let audit = world.get(Role::Auditor, &format!("/audit?subject={}", account.id)).await.expect(200).body;
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|item| item["action"].clone()).collect();
    assert_eq!(actions[2..], ["proposeWaiver", "approveWaiver", "rejectWaiver", "withdrawWaiver", "approveWaiver"]);
    assert_eq!(audit["items"][3]["after"]["waiver"], waiver["id"]);
}

#[tokio::test]
async fn each_change_is_an_event_of_the_registration_and_of_its_children() {
    let world = world().await;
    let parent = preregister(&world, "kid-many", json!({"eab": {"kid": "kid-many", "use": "multi"}})).await;
    let child = bound_account(&world, &parent).await;
    let feed = |after: String| {
        let world = &world;
        async move {
            let page = world.get(Role::Gateway, &format!("{REALM}/events?after={after}")).await.expect(200).body;
            let of = |item: &Value| format!("{} {}", item["type"].as_str().unwrap(), item["subject"].as_str().unwrap());
            let items: Vec<_> = page["items"].as_array().unwrap().iter().map(of).collect();
            (items, page["next"].as_str().unwrap().to_owned())
        }
    };
    let (_, start) = feed(String::from("now")).await;
    let parent_id = parent["id"].as_str().unwrap();
    let waiver = propose(&world, parent_id, &wish()).await.expect(201).body;
    let both = [format!("registration.updated {parent_id}"), format!("registration.updated {}", child.id)];
    let (items, next) = feed(start).await;
    assert_eq!(items, both);
    let version = registration(&world, &child.id).await["version"].as_i64().unwrap();
    decide(&world, Role::Approver, &waiver, "approve", json!({})).await.expect(200);
    let (items, _) = feed(next).await;
    assert_eq!(items, both);
    let seen = registration(&world, &child.id).await;
    assert_eq!((&seen["version"], &seen["waivers"][0]["id"]), (&json!(version + 1), &waiver["id"]));
    ask(&world, &request(&child, NAME, &waiver, |_| ())).await.expect(201);
}

#[tokio::test]
async fn who_created_the_registration_or_proposed_the_waiver_does_not_decide() {
    let world = world().await;
    let account = account(&world, "kid-a").await;
    let waiver = propose(&world, &account.id, &wish()).await.expect(201).body;
    let own_registration = "UPDATE registration SET document = json_set(document, '$.officer', 'urn:cm:officer:berta')";
    let own_waiver = "UPDATE waiver SET document = json_set(document, '$.proposedBy', 'urn:cm:officer:berta')";
    let put_back = "UPDATE registration SET document = json_set(document, '$.officer', 'urn:cm:officer:anna')";
    for changes in [&[own_registration][..], &[put_back, own_waiver]] {
        changes.iter().for_each(|sql| tamper(&world, sql));
        for verb in ["approve", "reject"] {
            let refused = decide(&world, Role::Approver, &waiver, verb, json!({"reason": "mine"})).await;
            assert_eq!(refused.refusal(), (403, "forbidden"), "{verb} {changes:?}");
        }
    }
    assert_eq!(registration(&world, &account.id).await["waivers"], json!([]));
    decide(&world, Role::Approver, &waiver, "withdraw", json!({"reason": "mine"})).await.expect(200);
}

#[tokio::test]
async fn a_waiver_that_says_too_little_or_covers_too_much_is_not_taken() {
    let world = world().await;
    let account = account(&world, "kid-a").await;
    let rule = |kind: &str, matches: &str, value: &str| json!([{"type": kind, "match": matches, "value": value}]);
    let table: [(&str, Value, (u16, &str)); 26] = [
        ("/identifiers", json!([]), (400, "malformed")),
        ("/identifiers", json!(vec![rule("dns", "exact", "a.example.test")[0].clone(); 21]), (400, "malformed")),
        ("/identifiers", rule("dns", "suffix", "com"), (400, "malformed")),
        ("/identifiers", rule("dns", "suffix", "co.uk"), (400, "malformed")),
        ("/identifiers", rule("dns", "wildcard", "*.co.uk"), (400, "malformed")),
        ("/identifiers", rule("dns", "exact", "test"), (400, "malformed")),
        ("/identifiers", rule("dns", "any", "*"), (400, "malformed")),
        ("/identifiers", rule("ip", "cidr", "0.0.0.0/0"), (400, "malformed")),
        ("/identifiers", rule("ip", "cidr", "2000::/15"), (400, "malformed")),
        (
            "/identifiers",
            json!([{"type": "dns", "match": "suffix", "value": "test", "allowPublicSuffix": true}]),
            (400, "malformed"),
        ),
        (
            "/identifiers",
            json!([{"type": "dns", "match": "suffix", "value": "example.test", "allowPublicSuffix": true}]),
            (400, "malformed"),
        ),
        ("/evidence", json!({}), (400, "malformed")),
        ("/evidence", json!({"addresses": [], "clientCertificates": []}), (400, "malformed")),
        ("/evidence", json!({"anything": true}), (400, "malformed")),
        ("/evidence", json!({"addresses": ["0.0.0.0/0"]}), (400, "malformed")),
        ("/evidence", json!({"addresses": ["0.0.0.0/8"]}), (400, "malformed")),
        ("/evidence", json!({"addresses": ["10.0.0.0/7"]}), (400, "malformed")),
        ("/evidence", json!({"addresses": ["::ffff:0:0/96"]}), (400, "malformed")),
        ("/evidence", json!({"addresses": ["2000::/15"]}), (400, "malformed")),
        ("/evidence", json!({"addresses": vec!["192.0.2.0/24"; 21]}), (400, "malformed")),
        ("/evidence", json!({"clientCertificates": [digest('A')]}), (400, "malformed")),
        ("/notAfter", ahead(-1), (422, "validity-not-allowed")),
        ("/notAfter", ahead(399), (422, "validity-not-allowed")),
        ("/notAfter", json!(null), (400, "malformed")),
        ("/reason", json!(" "), (400, "malformed")),
        ("/reason", json!("x".repeat(501)), (400, "malformed")),
    ];
    for (pointer, value, expected) in table {
        let mut wish = wish();
        *wish.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(propose(&world, &account.id, &wish).await.refusal(), expected, "{pointer} {value}");
    }
    let mut longest = wish();
    longest["notAfter"] = json!(Moment::now().plus_seconds(398 * 86_400 - 60));
    longest["evidence"] = json!({"addresses": ["10.0.0.0/8", "2001::/16"], "clientCertificates": [digest('a')]});
    for _ in 0..20 {
        propose(&world, &account.id, &longest).await.expect(201);
    }
    let one_more = propose(&world, &account.id, &longest).await;
    assert_eq!(one_more.refusal(), (400, "malformed"));
    assert!(one_more.body["detail"].as_str().unwrap().contains("withdraw one"));
}

#[tokio::test]
async fn only_a_registration_that_an_officer_made_and_that_has_not_ended_has_waivers() {
    let world = world().await;
    let open = world.open_account().await;
    let in_open = format!("/realms/open/registrations/{}/waivers", open.id);
    assert_eq!(world.post_once(Role::Officer, &in_open, &wish()).await.refusal(), (403, "forbidden"));
    let account = account(&world, "kid-a").await;
    let waiver = propose(&world, &account.id, &wish()).await.expect(201).body;
    let status = format!("{REALM}/registrations/{}/status", account.id);
    world.post_at(Role::Officer, &status, 3, &json!({"status": "revoked", "reason": "gone"})).await.expect(200);
    let approved = decide(&world, Role::Approver, &waiver, "approve", json!({})).await;
    assert_eq!(approved.refusal(), (403, "registration-not-active"));
    assert_eq!(propose(&world, &account.id, &wish()).await.refusal(), (403, "registration-not-active"));
    let elsewhere = preregister(&world, "kid-b", json!({})).await;
    let path = format!("{}/{}/approve", path(elsewhere["id"].as_str().unwrap()), waiver["id"].as_str().unwrap());
    assert_eq!(world.post(Role::Approver, &path, &[], &json!({})).await.refusal(), (404, "not-found"));
}

#[tokio::test]
async fn a_proposal_is_made_once_however_often_it_is_sent() {
    let world = world().await;
    let account = account(&world, "kid-a").await;
    let headers = [("idempotency-key", "0123456789abcdef")];
    let wish = wish();
    let first = world.post(Role::Officer, &path(&account.id), &headers, &wish).await.expect(201);
    let second = world.post(Role::Officer, &path(&account.id), &headers, &wish).await.expect(201);
    assert_eq!((&first.body, second.header("idempotency-replayed")), (&second.body, Some("true")));
    let mut other = wish;
    other["reason"] = json!("another");
    let reused = world.post(Role::Officer, &path(&account.id), &headers, &other).await;
    assert_eq!(reused.refusal(), (422, "idempotency-key-reused"));
    let without = world.post(Role::Officer, &path(&account.id), &[], &other).await;
    assert_eq!(without.refusal(), (400, "idempotency-key-missing"));
    let list = world.get(Role::Officer, &path(&account.id)).await.expect(200).body;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_decision_without_a_reason_is_an_approval_only() {
    let world = world().await;
    let account = account(&world, "kid-a").await;
    let waiver = propose(&world, &account.id, &wish()).await.expect(201).body;
    for verb in ["reject", "withdraw"] {
        let refused = decide(&world, Role::Approver, &waiver, verb, json!({})).await;
        assert_eq!(refused.refusal(), (400, "malformed"), "{verb}");
    }
    let bare = format!("{}/{}/approve", path(&account.id), waiver["id"].as_str().unwrap());
    world.try_send(Role::Approver, Method::POST, &bare, &[], None).await.unwrap().expect(200);
}

#[tokio::test]
async fn a_waiver_ends_by_itself() {
    let world = world().await;
    let account = account(&world, "kid-a").await;
    let waiver = approved(&world, &account.id, &wish()).await;
    let waiting = propose(&world, &account.id, &wish()).await.expect(201).body;
    tamper(&world, "UPDATE waiver SET document = json_set(document, '$.notAfter', '2026-01-01T00:00:00Z')");
    assert_eq!(registration(&world, &account.id).await["waivers"], json!([]));
    let refused = ask(&world, &request(&account, NAME, &waiver, |_| ())).await;
    assert_eq!(refused.refusal(), (422, "evidence-rejected"));
    let late = decide(&world, Role::Approver, &waiting, "approve", json!({})).await;
    assert_eq!(late.refusal(), (409, "waiver-decided"));
    decide(&world, Role::Approver, &waiting, "reject", json!({"reason": "too late"})).await.expect(200);
}

#[tokio::test]
async fn a_waived_name_is_certified_for_who_shows_the_evidence() {
    let world = world().await;
    let account = account(&world, "kid-a").await;
    let mut wish = wish();
    wish["evidence"]["clientCertificates"] = json!([digest('a'), digest('b')]);
    wish["identifiers"] =
        json!([{"type": "dns", "match": "suffix", "value": "printers.example.test", "wildcards": true}]);
    let waiver = approved(&world, &account.id, &wish).await;
    let shown = |validation: &mut Value| validation["waiver"]["clientCertificate"] = json!(digest('b'));
    let issued = ask(&world, &request(&account, NAME, &waiver, shown)).await.expect(201).body;
    assert_eq!((&issued["status"], &issued["waivers"]), (&json!("issued"), &json!([waiver["id"]])));
    let subject = issued["id"].as_str().unwrap();
    let audit = world.get(Role::Auditor, &format!("/audit?subject={subject}")).await.expect(200).body;
    assert_eq!(audit["items"][0]["after"]["waivers"], json!([waiver["id"]]));
    let wildcard = request(&account, "*.printers.example.test", &waiver, shown);
    ask(&world, &wildcard).await.expect(201);
    let mapped = request(&account, NAME, &waiver, |validation| {
        shown(validation);
        validation["waiver"]["address"] = json!("::ffff:203.0.113.200");
    });
    ask(&world, &mapped).await.expect(201);
    // Beside it a name that was proven.
    let mut mixed = account.request(&Order::of(&[NAME, "www.example.test"]));
    mixed["validations"][0] = request(&account, NAME, &waiver, shown)["validations"][0].clone();
    assert_eq!(ask(&world, &mixed).await.expect(201).body["waivers"], json!([waiver["id"]]));
    let proven = ask(&world, &account.request(&Order::of(&["www.example.test"]))).await.expect(201).body;
    assert_eq!(proven["waivers"], json!([]));
}

/// What a stolen gateway has is the identity of the gateway and the client's true finalize; it makes up the rest.
#[tokio::test]
async fn a_stolen_gateway_cannot_make_up_a_waiver() {
    let world = world().await;
    let account = account(&world, "kid-a").await;
    let other = self::account(&world, "kid-b").await;
    let mut by_key = wish();
    by_key["evidence"] = json!({"addresses": ["203.0.113.0/24"], "clientCertificates": [digest('a')]});
    let proposed = propose(&world, &account.id, &wish()).await.expect(201).body;
    let rejected = propose(&world, &account.id, &wish()).await.expect(201).body;
    decide(&world, Role::Approver, &rejected, "reject", json!({"reason": "no"})).await.expect(200);
    let withdrawn = approved(&world, &account.id, &wish()).await;
    decide(&world, Role::Approver, &withdrawn, "withdraw", json!({"reason": "no"})).await.expect(200);
    let of_other = approved(&world, &other.id, &wish()).await;
    let with_key = approved(&world, &account.id, &by_key).await;
    let good = approved(&world, &account.id, &wish()).await;
    let before = world.cm.books();

    let rejected_evidence = (422, "evidence-rejected");
    let attack = |name: &'static str, waiver: &Value, change: fn(&mut Value)| request(&account, name, waiver, change);
    let table: Vec<(&str, Value, (u16, &str))> = vec![
        ("a waiver that nobody proposed", attack(NAME, &json!({"id": "wav_1"}), |_| ()), rejected_evidence),
        ("a waiver that nobody approved", attack(NAME, &proposed, |_| ()), rejected_evidence),
        ("a waiver that was rejected", attack(NAME, &rejected, |_| ()), rejected_evidence),
        ("a waiver that was withdrawn", attack(NAME, &withdrawn, |_| ()), rejected_evidence),
        ("a waiver of another registration", attack(NAME, &of_other, |_| ()), rejected_evidence),
        ("another name", attack("www.example.test", &good, |_| ()), rejected_evidence),
        ("a wildcard that it is not about", attack("*.printers.example.test", &good, |_| ()), rejected_evidence),
        (
            "from another address",
            attack(NAME, &good, |validation| validation["waiver"]["address"] = json!("198.51.100.1")),
            rejected_evidence,
        ),
        (
            "without an address",
            attack(NAME, &good, |validation| validation["waiver"]["address"] = json!(null)),
            rejected_evidence,
        ),
        ("without the key", attack(NAME, &with_key, |_| ()), rejected_evidence),
        (
            "with another key",
            attack(NAME, &with_key, |validation| validation["waiver"]["clientCertificate"] = json!("b".repeat(64))),
            rejected_evidence,
        ),
        (
            "used before it was approved",
            attack(NAME, &good, |validation| {
                validation["validatedAt"] = json!(Moment::now().plus_seconds(-3600));
            }),
            rejected_evidence,
        ),
        (
            "used for an earlier order",
            attack(NAME, &good, |validation| validation["reused"] = json!(true)),
            rejected_evidence,
        ),
        (
            "the method without a waiver",
            attack(NAME, &good, |validation| {
                validation.as_object_mut().unwrap().remove("waiver");
            }),
            (400, "malformed"),
        ),
        (
            "a waiver beside another method",
            attack(NAME, &good, |validation| validation["method"] = json!("http-01")),
            (400, "malformed"),
        ),
        (
            "another method without perspectives",
            attack(NAME, &good, |validation| {
                validation["method"] = json!("http-01");
                validation.as_object_mut().unwrap().remove("waiver");
            }),
            (400, "malformed"),
        ),
        (
            "more evidence than there is a word for",
            attack(NAME, &good, |validation| validation["waiver"]["officer"] = json!("anna")),
            (400, "malformed"),
        ),
    ];
    for (what, body, expected) in table {
        assert_eq!(ask(&world, &body).await.refusal(), expected, "{what}");
    }
    for (verb, body) in [("approve", json!({})), ("withdraw", json!({"reason": "no"}))] {
        let refused = decide(&world, Role::Gateway, &proposed, verb, body).await;
        assert_eq!(refused.refusal(), (403, "forbidden"), "{verb}");
    }
    let proposal = world.post_once(Role::Gateway, &path(&account.id), &wish()).await;
    assert_eq!(proposal.refusal(), (403, "forbidden"));
    assert_eq!(world.cm.books()["certificates"], before["certificates"]);
    // It was not something else that was wrong with them.
    ask(&world, &attack(NAME, &good, |_| ())).await.expect(201);
}

#[tokio::test]
async fn a_profile_that_does_not_name_waivers_takes_none() {
    let world = World::start().await;
    let account = account(&world, "kid-a").await;
    let waiver = approved(&world, &account.id, &wish()).await;
    let refused = ask(&world, &request(&account, NAME, &waiver, |_| ())).await;
    assert_eq!(refused.refusal(), (422, "evidence-rejected"));
    assert!(refused.body["detail"].as_str().unwrap().contains("profile"));
}

#[tokio::test]
async fn a_cm_without_the_capability_knows_no_waivers() {
    let world = World::start_with(|settings| {
        settings.replace("\"dns-account-01\"]", "\"waived\"]").replace("lacks = []", "lacks = [\"waivers\"]")
    })
    .await;
    let account = account(&world, "kid-a").await;
    let info = world.get(Role::Officer, "/info").await.expect(200).body;
    assert!(!info["capabilities"].as_array().unwrap().contains(&json!("waivers")));
    assert_eq!(propose(&world, &account.id, &wish()).await.refusal(), (501, "capability-missing"));
    let list = world.get(Role::Officer, &format!("{REALM}/waivers")).await;
    assert_eq!(list.refusal(), (501, "capability-missing"));
    assert_eq!(registration(&world, &account.id).await["waivers"], json!(null));
    let refused = ask(&world, &request(&account, NAME, &json!({"id": "wav_1"}), |_| ())).await;
    assert_eq!(refused.refusal(), (422, "evidence-rejected"));
}

#[tokio::test]
async fn a_withdrawal_stops_an_approval_that_rests_on_the_waiver() {
    let world = world().await;
    let profiles = json!({"allowedProfiles": ["tls-server-approval"]});
    let account = bound_account(&world, &preregister(&world, "kid-a", profiles).await).await;
    let waiver = approved(&world, &account.id, &wish()).await;
    let mut order = Order::of(&[NAME]);
    order.profile = "tls-server-approval";
    let mut body = account.request(&order);
    body["validations"] = request(&account, NAME, &waiver, |_| ())["validations"].clone();
    let pending = ask(&world, &body).await.expect(202).body;
    assert_eq!(pending["waivers"], json!([waiver["id"]]));
    decide(&world, Role::Officer, &waiver, "withdraw", json!({"reason": "moved"})).await.expect(200);
    let path = format!("{REQUESTS}/{}/approve", pending["id"].as_str().unwrap());
    let refused = world.post(Role::Approver, &path, &[], &json!({})).await;
    assert_eq!(refused.refusal(), (422, "evidence-rejected"));
    assert_eq!(world.cm.books()["certificates"], 0);
}

#[tokio::test]
async fn nobody_revokes_the_certificates_of_others_by_a_waiver() {
    let world = world().await;
    let (holder, other) = (account(&world, "kid-a").await, account(&world, "kid-b").await);
    let waiver = approved(&world, &other.id, &wish()).await;
    let order = holder.request(&Order::of(&[NAME]));
    let certificate = ask(&world, &order).await.expect(201).body["certificate"].clone();
    let mut revocation = other.revocation(&certificate, "superseded", 4);
    let validations = request(&other, NAME, &waiver, |_| ())["validations"].clone();
    revocation["basis"] = json!({"type": "authorizations", "registration": other.id, "validations": validations});
    let path = format!("{REALM}/certificates/{}/revoke", certificate["id"].as_str().unwrap());
    let refused = world.post_once(Role::Gateway, &path, &revocation).await;
    assert_eq!(refused.refusal(), (422, "evidence-rejected"));
    revocation["basis"]["validations"] = order["validations"].clone();
    world.post_once(Role::Gateway, &path, &revocation).await.expect(200);
}

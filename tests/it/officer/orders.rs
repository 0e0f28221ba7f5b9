//! `orders show`: the gateway's own words to the client, beside what the CM has under the order.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{bound, created, text};
use crate::{registration::waiting_for_approval, world};

/// The officer's settings with the authority of the gateway's server certificate.
pub(super) fn settings(authority: &str) -> String {
    let site = world().site();
    let _ = world().desk("officer");
    let theirs = fs::read_to_string(site.dir.join("desk-of-officer.toml")).unwrap();
    let file: PathBuf = site.dir.join(format!("desk-with-{authority}.toml"));
    let fresh = site.dir.join(format!("desk-with-{authority}-{:?}.new", std::thread::current().id()));
    fs::write(&fresh, format!("{theirs}[acme]\nca_file = {:?}\n", site.pki(authority))).unwrap();
    fs::rename(fresh, &file).unwrap();
    file.to_str().unwrap().to_owned()
}

fn show(reference: &str) -> Value {
    world().desk("officer").json(&["--config", &settings("acme-ca.pem"), "orders", "show", reference])
}

#[test]
fn the_link_of_a_refusal_shows_the_officer_which_rule_refused() {
    let registration = created(&["--allow", "suffix:shown.officer.test"]);
    let client = bound(&registration);
    let refused = client.new_order(&["www.evil.test"]);
    let _ = refused.assert_refused(403, "rejectedIdentifier");
    let link = refused.json()["instance"].as_str().unwrap().to_owned();
    let shown = show(&link);
    assert_eq!(text(&shown, "/transcript/status"), "refused");
    assert!(shown["transcript"].to_string().contains("identifier.not-listed"), "{shown}");
    assert_eq!(shown["requests"], Value::Array(vec![]));
    let by_id = show(link.rsplit('/').next().unwrap());
    assert_eq!(by_id, shown);
}

#[test]
fn an_order_is_shown_with_its_certificate_at_the_cm() {
    let registration = created(&["--allow", "suffix:issued.officer.test"]);
    let client = bound(&registration);
    let name = "www.issued.officer.test";
    let ready = client.ready_order(&[name]);
    let key = tests::key::Key::p256();
    let _ = client.finalize(&ready, &tests::csr::Csr::for_names(&[name]).text(&key)).expect(200);
    let order = client.wait(&ready, "valid");
    let shown = show(&order.url);
    assert_eq!(text(&shown, "/transcript/status"), "valid");
    assert_eq!(text(&shown, "/requests/0/status"), "issued");
    assert_eq!(text(&shown, "/requests/0/certificate/identifiers/0/value"), name);
    let authorization = show(order.object["authorizations"][0].as_str().unwrap());
    assert_eq!(text(&authorization, "/transcript/about"), "authorization");
    assert_eq!(authorization["requests"], Value::Array(vec![]), "the CM knows orders only");
    let told = world().desk("officer").text(&["--config", &settings("acme-ca.pem"), "orders", "show", &order.url]);
    for part in ["AT THE GATEWAY", "AT THE CM", "The order was made", text(&registration, "/id"), name] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[test]
fn a_gateway_that_is_not_trusted_is_not_believed_and_what_the_cm_has_is_shown_even_so() {
    let (_, order) = waiting_for_approval("untrusted.officer.test");
    let wrong = settings("infra-ca.pem");
    let desk = world().desk("officer");
    let ran = desk.run(&["--config", &wrong, "orders", "show", &order.url]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("acme.ca_file") && ran.stdout.contains("pending-approval"), "{ran:?}");
    // Without the setting, what this computer trusts counts; a throwaway CA is not among that.
    let strange = desk.run(&["orders", "show", &order.url]);
    assert_eq!(strange.code, 3, "{strange:?}");
    assert!(strange.stdout.contains("is not trusted") && strange.stdout.contains("pending-approval"), "{strange:?}");
    let nothing = desk.run(&["--config", &wrong, "orders", "show", "nobody-knows-it"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (3, ""), "{nothing:?}");
}

#[test]
fn what_nobody_knows_and_links_to_elsewhere_are_refused() {
    let (desk, settings) = (world().desk("officer"), settings("acme-ca.pem"));
    let unknown = desk.run(&["--config", &settings, "orders", "show", "nobody-knows-it"]);
    assert_eq!(unknown.code, 6, "{unknown:?}");
    let link = "https://localhost:1/acme/registered/transcript/01KANM7QJ2";
    let elsewhere = desk.run(&["--config", &settings, "orders", "show", link]);
    assert_eq!(elsewhere.code, 2, "{elsewhere:?}");
    assert!(elsewhere.stderr.contains("no link of this realm"), "{elsewhere:?}");
}

//! What the pages tell: the overview, orders, reports.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tests::{client::Order, csr::Csr, key::Key, wait_for};

use super::{super::text, Console, encoded};
use crate::{
    officer::{bound, created, orders::settings},
    registration::waiting_for_approval,
    renewal_info::acme_time,
    world,
};

/// The section of a page with this heading.
fn section<'h>(html: &'h str, heading: &str) -> &'h str {
    let parts = html.split("<section");
    let found = parts.into_iter().find(|part| part.contains(&format!(">{heading}</")));
    found.unwrap_or_else(|| panic!("no {heading} in\n{html}"))
}

#[test]
fn the_overview_tells_refusals_by_rule_and_where_to_look() {
    let (client, order) = waiting_for_approval("refused.looking.test");
    let reference = order.url.rsplit('/').next().unwrap();
    let approver = world().desk("approver");
    let waiting = approver.json(&["approvals", "list"]);
    let request = waiting["items"].as_array().unwrap().iter().find(|one| one["order_ref"] == reference).unwrap();
    let console = Console::open("officer", "refusals");
    let shown = console.text("");
    let waits = section(&shown, "Waiting for approval");
    assert!(waits.contains(text(request, "/id")) && waits.contains("refused.looking.test"), "{waits}");
    let _ = approver.json(&["approvals", "reject", text(request, "/id"), "--reason", "nobody looked"]);
    let _ = client.wait(&order, "invalid");
    let shown = console.text("");
    let refused = section(&shown, "Refused by the CM within 7 days, by rule");
    assert!(refused.contains("request-rejected") && refused.contains("/reports/refused\""), "{refused}");
    assert!(refused.contains("/registrations/reg_"), "{refused}");
    assert!(refused.contains("What the gateway refuses by itself"), "{refused}");
}

#[test]
fn the_overview_tells_of_a_renewal_that_stays_away() {
    let registration = created(&["--allow", "suffix:away.looking.test"]);
    let (client, name) = (bound(&registration), "www.away.looking.test");
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let payload = json!({"identifiers": [{"type": "dns", "value": name}], "notAfter": acme_time(seconds + 40)});
    let response = client.post(&client.url("new-order"), &payload).expect(201);
    let order = client.prove(&Order { url: response.location(), object: response.json() });
    let _ = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
    let _ = client.wait(&order, "valid");
    let console = Console::open("officer", "missed");
    let missed = || section(&console.text(""), "Renewals that should have come and did not").to_owned();
    assert!(!missed().contains(name), "it is not due yet");
    let told =
        wait_for("the radar to tell", Duration::from_secs(45), || Some(missed()).filter(|told| told.contains(name)));
    assert!(told.contains(text(&registration, "/id")) && told.contains("/certificates/"), "{told}");
}

#[test]
fn an_order_is_told_by_its_link_from_both_sides() {
    let registration = created(&["--allow", "suffix:orders.looking.test"]);
    let (client, name) = (bound(&registration), "www.orders.looking.test");
    let ready = client.ready_order(&[name]);
    let _ = client.finalize(&ready, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
    let order = client.wait(&ready, "valid");
    let refused = client.new_order(&["www.evil.test"]);
    let link = refused.json()["instance"].as_str().unwrap().to_owned();

    let console = Console::open_with(&settings("acme-ca.pem"), "orders");
    let html = console.text(&format!("orders?reference={}", encoded(&order.url)));
    assert!(section(&html, "At the gateway").contains("The order was made"), "{html}");
    let at_cm = section(&html, "At the Certificate Manager");
    for part in [name, "issued", &format!("/registrations/{}\"", text(&registration, "/id")), "/certificates/"] {
        assert!(at_cm.contains(part), "no {part} in\n{at_cm}");
    }
    let html = console.text(&format!("orders?reference={}", encoded(&link)));
    assert!(section(&html, "At the gateway").contains("identifier.not-listed"), "{html}");
    assert!(section(&html, "At the Certificate Manager").contains("No certificate was asked for"), "{html}");

    for (reference, status, part) in [
        ("nobody-knows-it", 404, "neither the gateway nor the CM knows"),
        ("https://localhost:1/acme/registered/transcript/01KANM7QJ2", 400, "no link of this realm"),
        ("../<b>", 400, "the id of an order"),
    ] {
        let answer = console.page(&format!("orders?reference={}", encoded(reference))).expect(status).text();
        assert!(answer.contains(part) && answer.contains("<a href=\"#reference\">"), "{reference}: {answer}");
    }
    let untrusting = Console::open("officer", "orders-untrusting");
    let html = untrusting.text(&format!("orders?reference={}", encoded(order.url.rsplit('/').next().unwrap())));
    assert!(section(&html, "At the gateway").contains("is not trusted"), "{html}");
    assert!(section(&html, "At the Certificate Manager").contains(name), "{html}");
}

#[test]
fn a_report_is_a_page_and_a_file_with_the_same_rows() {
    let registration = created(&["--allow", "suffix:reports.looking.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    for name in ["one.reports.looking.test", "two.reports.looking.test"] {
        let _ = client.issue(&[name]);
    }
    let console = Console::open("officer", "reports");
    let list = console.text("reports");
    for name in ["issued", "expiring", "missed", "refused", "inactive", "who-could"] {
        assert!(list.contains(&format!("/reports/{name}\"")), "{list}");
        let page = console.text(&format!("reports/{name}"));
        assert!(page.contains(&format!("/reports/{name}.csv\"")), "{page}");
        assert!(page.contains("<h2 id=\"totals\">") || name == "who-could", "{page}");
    }
    let html = console.text(&format!("reports/issued?registration={id}"));
    for part in ["one.reports.looking.test", "two.reports.looking.test", "total: 2", &format!("value=\"{id}\"")] {
        assert!(html.contains(part), "no {part} in\n{html}");
    }
    let file = console.page(&format!("reports/issued.csv?registration={id}")).expect(200);
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    let named = file.header("content-disposition").unwrap();
    assert!(named.starts_with("attachment; filename=\"issued-20") && named.ends_with(".csv\""), "{named}");
    assert_eq!(
        file.text(),
        world().desk("officer").text(&["report", "issued", "--registration", id, "--format", "csv"])
    );

    let could = console.text("reports/who-could?name=www.reports.looking.test");
    assert!(could.contains(id) && could.contains("allowed by suffix reports.looking.test"), "{could}");
    for (path, part) in [
        ("reports/who-could?name=", "<a href=\"#name\">"),
        ("reports/who-could?name=a+b", "no client can ask for it"),
        ("reports/issued?from=yesterday", "id=\"from-mistake\""),
        ("reports/issued?from=2026-02-01&to=2026-01-01", "is not before"),
        ("reports/who-could?name=a.test&on=2099-01-01", "id=\"on-mistake\""),
        ("reports/expiring.csv?within=0", "id=\"within-mistake\""),
    ] {
        let answer = console.page(path).expect(400).text();
        assert!(answer.contains(part), "{path}: no {part} in\n{answer}");
    }
    let _ = console.page("reports/everything").expect(404);
}

//! What operators see: health, metrics and logs, on a listener of their own.

use std::fs;

use crate::world;

#[test]
fn health_and_readiness_are_told() {
    let site = world().site();
    for path in ["/healthz", "/readyz"] {
        let _ = site.ops(path).expect(200);
    }
}

#[test]
fn metrics_count_what_happens() {
    let site = world().site();
    let client = world().account();
    let issued = client.issue(&["metrics.example.test"]);
    let text = site.ops("/metrics").expect(200).text();
    assert!(text.contains("# TYPE "), "{text}");
    let counted = text
        .lines()
        .any(|line| line.contains("certificates_issued") && !line.starts_with('#') && !line.ends_with(" 0"));
    assert!(counted, "{text}");
    assert!(!text.contains(&issued.order_url) && !text.contains("metrics.example.test"), "no labels without bound");
}

#[test]
fn acme_is_not_served_to_operators_nor_metrics_to_clients() {
    let site = world().site();
    assert_eq!(site.ops("/acme/open/directory").status, 404);
    let _ = site.get(&format!("{}/metrics", site.external_url)).assert_problem(404, "malformed");
}

#[test]
fn logs_hold_no_secrets() {
    let world = world();
    let registration = world.officer().preregister(&serde_json::json!({}));
    let mut client = world.client("registered");
    let binding = client.binding(&registration.kid, &registration.secret);
    let _ = client.register(&serde_json::json!({"externalAccountBinding": binding})).expect(201);
    let order = client.order(&["log.example.test"]);
    let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).json();
    let offered = client.provide(&authorization, "http-01");
    let _ = client.post(offered["url"].as_str().unwrap(), &serde_json::json!({})).expect(200);
    let _ = client.wait(&order, "ready");
    let log = fs::read_to_string(world.site().log("gateway")).unwrap();
    assert!(
        log.contains(&client.account_url()[client.account_url().rfind('/').unwrap() + 1..]),
        "the account is traced"
    );
    for secret in [
        binding["signature"].as_str().unwrap(),
        offered["token"].as_str().unwrap(),
        &tests::base64url(&registration.secret),
        "BEGIN PRIVATE KEY",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

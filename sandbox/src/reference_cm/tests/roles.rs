//! The role table over HTTP, and what every answer has.

use http::Method;
use serde_json::json;

use super::super::identity::Role;
use super::super::routes::ROUTES;
use super::world::{World, method_of, preregister};

#[tokio::test]
async fn every_role_is_let_in_or_not_as_the_table_says() {
    let world = World::start().await;
    println!("| {:<26} | {} |", "operation", Role::ALL.map(Role::name).join(" | "));
    for (method, path, operation, _) in ROUTES {
        let mut words = Vec::new();
        let path = path
            .replace("{realm}", "open")
            .replace("{issuer}", "issuing-1")
            .replace("{chain}", "default")
            .replace("{profile}", "tls-server")
            .replace("{id}", "reg_00000000000000000000000000")
            .replace("{waiver}", "wav_00000000000000000000000000")
            .replace("{certId}", "aaaa.bbbb");
        let method = method_of(*method);
        for role in Role::ALL {
            let body = (method != Method::GET).then(|| "{}".to_owned());
            let reply = world.try_send(role, method.clone(), &path, &[], body).await.unwrap();
            let let_in = reply.body["code"] != "forbidden";
            // A gateway may look registrations and certificates up, but this is a search.
            let searches =
                role == Role::Gateway && ["findRegistrations", "findCertificates"].contains(&operation.name());
            assert_eq!(
                let_in,
                operation.may_be_entered_by(role) && !searches,
                "{} by {}: {}",
                operation.name(),
                role.name(),
                reply.text
            );
            words.push(if let_in { "enters" } else { "refused" });
        }
        println!("| {:<26} | {} |", operation.name(), words.join(" | "));
    }
}

#[tokio::test]
async fn every_answer_has_its_request_id_and_the_version_of_the_api() {
    let world = World::start().await;
    for (method, path, status) in [
        (Method::GET, "/info", 200),
        (Method::GET, "/realms/nowhere", 403),
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, "/info", 405),
    ] {
        let reply = world.try_send(Role::Gateway, method, path, &[], None).await.unwrap().expect(status);
        assert_eq!(reply.header("cm-api-version"), Some("1.4"));
        let id = reply.header("cm-request-id").unwrap();
        if status >= 400 {
            assert_eq!(reply.body["requestId"], id);
            assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        }
    }
}

#[tokio::test]
async fn the_service_tells_what_it_is_and_who_calls() {
    let world = World::start().await;
    let info = world.get(Role::Gateway, "/info").await.expect(200).body;
    assert!(info["capabilities"].as_array().unwrap().contains(&json!("bind-atomic")));
    let me = world.get(Role::Gateway, "/whoami").await.expect(200).body;
    assert_eq!((&me["identity"], &me["realms"]), (&json!("urn:cm:gateway:quickstart"), &json!(["open", "registered"])));
    let ready = world.get(Role::Gateway, "/health/ready").await.expect(200).body;
    assert_eq!((&ready["status"], &ready["serves"]["issuance"]), (&json!("ok"), &json!(true)));
    let issuer = world.get(Role::Gateway, "/issuers/issuing-1").await.expect(200).body;
    assert_eq!(issuer["ocsp"], json!([format!("{}/ocsp", world.status)]));
    let chain = world.get(Role::Gateway, "/issuers/issuing-1/chains/default").await.expect(200);
    assert!(chain.text.starts_with("-----BEGIN CERTIFICATE-----"));
    let profiles = world.get(Role::Gateway, "/realms/registered/profiles").await.expect(200).body;
    assert_eq!(profiles["items"].as_array().unwrap().len(), 2);
    assert_eq!(profiles["items"][0]["validity"]["max"], "P90D");
}

#[tokio::test]
async fn bodies_that_are_too_large_or_not_json_are_refused() {
    let world = World::start().await;
    let path = "/realms/open/registrations";
    let large = format!("{{\"mode\":\"{}\"}}", "x".repeat(256 * 1024));
    let reply = world.try_send(Role::Gateway, Method::POST, path, &[], Some(large)).await.unwrap();
    assert_eq!(reply.refusal(), (413, "malformed"));
    for body in ["", "[]", "{\"mode\":\"open\",\"mode\":\"open\"}", "{\"mode\":\"open\"} x"] {
        let key = super::world::fresh_key();
        let headers = [("idempotency-key", key.as_str())];
        let reply = world.try_send(Role::Gateway, Method::POST, path, &headers, Some(body.to_owned())).await.unwrap();
        assert_eq!(reply.refusal(), (400, "malformed"), "{body}");
    }
}

#[tokio::test]
async fn methods_pages_statuses_and_bodies_that_there_are_none_of_are_refused() {
    let world = World::start().await;
    for method in [Method::TRACE, Method::OPTIONS, Method::DELETE] {
        let reply = world.try_send(Role::Officer, method, "/realms/open/registrations", &[], None).await.unwrap();
        assert_eq!((reply.refusal(), reply.header("allow")), ((405, "malformed"), Some("GET,HEAD,POST")));
    }
    let realm = "/realms/registered";
    for path in ["/issuers", "/realms/registered/profiles", "/realms/registered/registrations"] {
        for query in ["limit=501", "limit=0", "cursor=x"] {
            let reply = world.get(Role::Officer, &format!("{path}?{query}")).await;
            assert_eq!(reply.refusal(), (400, "malformed"), "{path} {query}");
        }
    }
    let looked_up = world.get(Role::Officer, &format!("{realm}/registrations?key=x&limit=501")).await;
    assert_eq!(looked_up.refusal(), (400, "malformed"));
    for list in ["registrations", "certificate-requests", "certificates", "waivers"] {
        let reply = world.get(Role::Officer, &format!("{realm}/{list}?status=lost")).await;
        assert_eq!(reply.refusal(), (400, "malformed"), "{list}");
        assert!(reply.body["detail"].as_str().unwrap().starts_with("status must be one of "), "{}", reply.text);
    }
    let registration = preregister(&world, "kid-a", json!({})).await;
    let path = format!("{realm}/registrations/{}", registration["id"].as_str().unwrap());
    let list = world.post_at(Role::Officer, &format!("{path}/eab"), 1, &json!([null, null, false, null])).await;
    assert_eq!(list.refusal(), (400, "malformed"));
    for patch in [
        json!({"allowedIdentifiers": null}),
        json!({"allowedProfiles": null}),
        json!({"eab": null}),
        json!({"eab": {"maxBindings": null}}),
    ] {
        assert_eq!(world.patch(Role::Officer, &path, 1, &patch).await.refusal(), (400, "malformed"), "{patch}");
    }
    let removed = world.patch(Role::Officer, &path, 1, &json!({"owner": null, "maxValidity": null})).await.expect(200);
    assert_eq!(removed.body.get("owner"), None);
}

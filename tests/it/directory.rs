//! The directory (RFC 8555 §7.1.1).

use tests::snapshot::assert_snapshot;

use crate::world;

#[test]
fn the_directory_names_every_resource_under_the_external_url() {
    let site = world().site();
    let response = site.get(&site.url("open", "directory")).expect(200);
    assert_snapshot("directory_open", &response.to_snapshot());
}

#[test]
fn the_directory_of_registered_clients_asks_for_an_external_account() {
    let site = world().site();
    let response = site.get(&site.url("registered", "directory")).expect(200);
    assert_snapshot("directory_registered", &response.to_snapshot());
}

#[test]
fn the_directory_names_the_terms_of_service() {
    let site = world().site();
    let directory = site.get(&site.url("terms", "directory")).expect(200).json();
    assert_eq!(directory["meta"]["termsOfService"], "https://localhost/terms/v1");
}

#[test]
fn the_directory_is_found_with_and_without_its_last_parts_and_never_redirects() {
    let site = world().site();
    let wanted = site.get(&site.url("open", "directory")).body;
    for resource in ["directory/", ""] {
        let response = site.get(&site.url("open", resource)).expect(200);
        assert_eq!(response.body, wanted, "{resource:?}");
    }
    let bare = site.url("open", "");
    assert_eq!(site.get(bare.trim_end_matches('/')).expect(200).body, wanted);
}

#[test]
fn the_directory_ignores_queries_and_content_types() {
    let site = world().site();
    let url = format!("{}?cached=no", site.url("open", "directory"));
    let _ = site.send("GET", &url, &[("Content-Type", "application/jose+json")], None).expect(200);
}

#[test]
fn head_of_the_directory_has_the_headers_and_no_body() {
    let site = world().site();
    let url = site.url("open", "directory");
    let head = site.send("HEAD", &url, &[], None).expect(200);
    let get = site.get(&url).expect(200);
    assert!(head.body.is_empty(), "{head:?}");
    let length = get.body.len().to_string();
    for name in ["content-type", "content-length", "cache-control", "link", "strict-transport-security"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(
        (head.header("content-length"), head.header("content-type")),
        (Some(&*length), Some("application/json"))
    );
}

#[test]
fn a_signed_request_for_the_directory_is_answered_like_a_get() {
    let client = world().account();
    let directory = client.url("directory");
    let bare = client.url("").trim_end_matches('/').to_owned();
    for url in [directory.clone(), client.url("directory/"), client.url(""), bare] {
        let response = client.read(&url).expect(200);
        assert_eq!(response.body, client.site().get(&directory).body, "{url}");
        assert_eq!(response.all("replay-nonce").count(), 1, "{url}: {response:?}");
    }
}

#[test]
fn a_directory_that_does_not_exist_is_not_found() {
    let site = world().site();
    for resource in ["directory", "new-nonce", "nothing"] {
        let _ = site.get(&site.url("unknown", resource)).assert_problem(404, "malformed");
    }
}

#[test]
fn browsers_are_told_what_they_may_read_and_others_are_not() {
    let site = world().site();
    let url = site.url("open", "directory");
    let response = site.send("GET", &url, &[("Origin", "https://app.example")], None).expect(200);
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    let exposed = response.header("access-control-expose-headers").unwrap();
    for header in ["Link", "Location", "Replay-Nonce", "Retry-After"] {
        assert!(exposed.contains(header), "{exposed}");
    }
    assert_eq!(site.get(&url).header("access-control-expose-headers"), None);
    let url = site.url("open", "new-order");
    let preflight = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")];
    let response = site.send("OPTIONS", &url, &preflight, None);
    assert!(matches!(response.status, 200 | 204), "{response:?}");
    assert_eq!(response.header("access-control-allow-headers"), Some("Content-Type"));
    assert!(response.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
}

//! Help pages: one for each error type, for people.

use std::collections::BTreeSet;

use tests::response::Response;

use crate::world;

/// The targets of the links of a page.
fn links(page: &Response) -> Vec<String> {
    let text = page.text();
    text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[track_caller]
fn assert_page(page: &Response) {
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{page:?}");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    let text = page.text();
    assert!(text.starts_with("<!DOCTYPE html>") && text.contains("name=\"viewport\""), "{text}");
    for fetched in ["<script", "<img", "<link", "src=", "@import", "url("] {
        assert!(!text.contains(fetched), "{fetched} in {text}");
    }
}

#[test]
fn the_list_of_errors_leads_to_a_page_for_each() {
    let site = world().site();
    let list = site.get(&format!("{}/help/", site.external_url));
    assert_page(&list);
    let pages: BTreeSet<_> = links(&list).into_iter().collect();
    assert!(pages.len() >= 25, "RFC 8555 section 6.7 has 25 error types or so: {pages:?}");
    for url in pages {
        let page = site.get(&url);
        assert_page(&page);
        let kind = url.rsplit('/').next().unwrap();
        for words in
            ["What happened", "What it means", "What you can do", "Whom to ask", &format!("acme:error:{kind},")]
        {
            assert!(page.text().contains(words), "{words} is not in the page {url}");
        }
    }
    assert_eq!(site.get(&format!("{}/help", site.external_url)).text(), list.text());
}

#[test]
fn a_refusal_leads_to_the_page_that_explains_it() {
    let client = world().account();
    let refused = client.new_order(&[]);
    let _ = refused.assert_refused(400, "malformed");
    let page = client.site().get(refused.link("help").unwrap());
    assert_page(&page);
    assert!(page.text().contains("The request was not understood"), "{page:?}");
}

#[test]
fn a_page_is_read_by_get_and_head_only() {
    let site = world().site();
    let url = format!("{}/help/badNonce", site.external_url);
    let head = site.send("HEAD", &url, &[], None).expect(200);
    assert!(head.body.is_empty() && head.header("content-type") == Some("text/html; charset=utf-8"), "{head:?}");
    let post = site.send("POST", &url, &[], Some(b""));
    let _ = post.assert_refused(405, "malformed");
    assert_eq!(post.header("allow"), Some("GET, HEAD"));
}

#[test]
fn what_is_no_error_type_has_no_page_and_is_not_repeated() {
    let site = world().site();
    for name in ["BadNonce", "nothing", "urn:ietf:params:acme:error:badNonce"] {
        let detail = site.get(&format!("{}/help/{name}", site.external_url)).assert_problem(404, "malformed");
        assert!(!detail.contains(name) && detail.contains("/help/"), "{detail}");
    }
}

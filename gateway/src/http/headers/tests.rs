//! What surrounds answers that no test can bring about from outside: those to our own defects.

use actix_web::{App as Web, HttpResponse, http::StatusCode, test, web};
use serde_json::Value;
use store::backend::ApplyError;

use super::*;
use crate::testing::Gateway;

async fn panics() -> HttpResponse {
    panic!("the password is swordfish")
}

async fn fails() -> Result<HttpResponse, HttpError> {
    Err(HttpError::internal(&anyhow::anyhow!("the password is swordfish").context("cannot read the store")))
}

/// The answer of a gateway in which two resources have a defect.
async fn answer(gateway: &Gateway, method: Method, path: &str) -> HttpResponse {
    let app = Web::new()
        .app_data(web::Data::new(Current::from(Arc::clone(&gateway.app))))
        .wrap(actix_web::middleware::from_fn(dress))
        .route("/acme/open/panics", web::route().to(panics))
        .route("/acme/open/fails", web::route().to(fails));
    let app = test::init_service(app).await;
    let request = test::TestRequest::with_uri(path).method(method).to_request();
    match test::try_call_service(&app, request).await {
        Ok(response) => HttpResponse::from(response).map_into_boxed_body(),
        Err(error) => error.error_response(),
    }
}

#[tokio::test]
async fn a_defect_of_ours_is_answered_like_any_other_problem_and_tells_nothing() {
    let gateway = Gateway::new().await;
    for path in ["/acme/open/panics", "/acme/open/fails"] {
        let response = answer(&gateway, Method::POST, path).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("application/problem+json"), "{path}");
        assert_eq!(header("content-language").as_deref(), Some("en"), "{path}");
        assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{path}");
        assert_eq!(header("retry-after").as_deref(), Some("60"), "{path}");
        assert!(gateway.app.nonces.redeem(&header("replay-nonce").unwrap(), clock::now()).is_ok(), "{path}");
        let links: Vec<_> = response.headers().get_all(header::LINK).map(|link| link.to_str().unwrap()).collect();
        assert_eq!(
            links,
            [
                "<https://acme.example.com/acme/open/directory>;rel=\"index\"",
                "<https://acme.example.com/help/serverInternal>;rel=\"help\""
            ],
            "{path}"
        );
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["type"], "urn:ietf:params:acme:error:serverInternal");
        assert_eq!(problem["status"], 500);
        let detail = problem["detail"].as_str().unwrap();
        let (words, reference) = detail.rsplit_once(' ').unwrap();
        assert_eq!(words, "internal error; tell the operator of this server the reference");
        assert!(reference.parse::<acme::ids::JobId>().is_ok(), "{reference}");
    }
    assert!(gateway.app.metrics.text().contains("acme_gateway_panics_total 1\n"), "one of the two was a panic");
}

#[tokio::test]
async fn a_flood_of_new_nonces_asks_and_writes_nothing() {
    let gateway = Gateway::new().await;
    gateway.cm.is_away(true);
    gateway.disk.refuse_next(ApplyError::Full);
    let app = Web::new()
        .app_data(web::Data::new(Current::from(Arc::clone(&gateway.app))))
        .wrap(actix_web::middleware::from_fn(dress))
        .configure(crate::http::router::routes);
    let app = test::init_service(app).await;
    let mut nonces = std::collections::BTreeSet::new();
    for _ in 0..5000 {
        let request = test::TestRequest::with_uri("/acme/open/new-nonce").method(Method::HEAD).to_request();
        let response = test::call_service(&app, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        nonces.insert(response.headers().get(REPLAY_NONCE).unwrap().clone().to_str().unwrap().to_owned());
    }
    assert_eq!(nonces.len(), 5000);
    assert!(gateway.disk.forget_interruption(), "something was written");
}

#[tokio::test]
async fn answers_to_get_have_no_nonce() {
    let gateway = Gateway::new().await;
    for path in ["/acme/open/panics", "/acme/open/fails", "/acme/open/a%20b"] {
        let response = answer(&gateway, Method::GET, path).await;
        assert!(response.headers().get(REPLAY_NONCE).is_none(), "{path}");
        assert!(response.headers().contains_key(header::LINK), "{path}");
    }
}

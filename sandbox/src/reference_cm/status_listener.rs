//! Certificate status for relying parties, over plain HTTP: OCSP, revocation list, CA certificates.
//!
//! Everything here is public and signed, so it needs no TLS (RFC 5280 section 8).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};

use super::ReferenceCm;
use super::certificates;
use super::moment::Moment;
use super::ocsp::{self, REQUEST_OCTETS_MAX};

/// The routes.
pub(crate) fn router(cm: Arc<ReferenceCm>) -> Router {
    Router::new()
        .route("/ocsp", post(post_ocsp))
        .route("/ocsp/", post(post_ocsp))
        .route("/ocsp/{*request}", get(get_ocsp))
        .route("/crl/issuing-1.crl", get(get_crl))
        .route("/ca/issuing-1.der", get(get_issuer))
        .route("/ca/root.der", get(get_root))
        .with_state(cm)
}

fn answer(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // Revocation is to be seen at once, so nobody may keep an answer.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn ocsp_answer(cm: Arc<ReferenceCm>, request: Vec<u8>) -> Response {
    let octets = tokio::task::spawn_blocking(move || ocsp::answer(&cm, &request, Moment::now())).await;
    match octets {
        Ok(octets) => {
            tracing::info!(operation = "ocsp", octets = octets.len(), "status request");
            answer(StatusCode::OK, "application/ocsp-response", octets)
        }
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Vec::new()),
    }
}

async fn post_ocsp(State(cm): State<Arc<ReferenceCm>>, request: Request) -> Response {
    match axum::body::to_bytes(request.into_body(), REQUEST_OCTETS_MAX).await {
        Ok(octets) => ocsp_answer(cm, octets.to_vec()).await,
        Err(_) => answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", Vec::new()),
    }
}

/// RFC 6960 appendix A.1: base64 in the path. Some clients leave `/` as it is, hence the wildcard.
async fn get_ocsp(State(cm): State<Arc<ReferenceCm>>, Path(request): Path<String>) -> Response {
    match STANDARD.decode(request.trim_start_matches('/')) {
        Ok(octets) if octets.len() <= REQUEST_OCTETS_MAX => ocsp_answer(cm, octets).await,
        Ok(_) | Err(_) => answer(StatusCode::BAD_REQUEST, "text/plain", Vec::new()),
    }
}

async fn get_crl(State(cm): State<Arc<ReferenceCm>>) -> Response {
    let list = tokio::task::spawn_blocking(move || revocation_list(&cm, Moment::now())).await;
    match list {
        Ok(Ok(octets)) => answer(StatusCode::OK, "application/pkix-crl", octets),
        Ok(Err(cause)) => {
            tracing::error!(%cause, "revocation list failed");
            answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Vec::new())
        }
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Vec::new()),
    }
}

/// A list made now. Its number is the time in milliseconds, so that later lists have higher numbers
/// (RFC 5280 section 5.2.3) and reading writes nothing.
fn revocation_list(cm: &ReferenceCm, now: Moment) -> anyhow::Result<Vec<u8>> {
    let revoked =
        cm.database.read(certificates::all_revoked).map_err(|problem| anyhow::anyhow!(problem.detail().to_owned()))?;
    let number = u64::try_from(now.millis())?;
    cm.authority.revocation_list(&revoked, number, now)
}

async fn get_issuer(State(cm): State<Arc<ReferenceCm>>) -> Response {
    answer(StatusCode::OK, "application/pkix-cert", cm.authority.der().to_vec())
}

async fn get_root(State(cm): State<Arc<ReferenceCm>>) -> Response {
    answer(StatusCode::OK, "application/pkix-cert", cm.authority.root_der().to_vec())
}

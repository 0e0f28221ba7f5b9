//! Control commands that set challenge answers and open or close the responders' ports.

use std::net::SocketAddr;

use axum::Router;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Control, command, done, ensure_loopback};
use crate::challenges::{Behaviour, Flaw};

/// The commands of this file.
pub(super) fn routes() -> Router<Control> {
    Router::new()
        .route("/add-http01", command(add_http_01))
        .route("/del-http01", command(delete_http_01))
        .route("/add-redirect", command(add_redirect))
        .route("/del-redirect", command(clear_behaviour))
        .route("/set-http01-behaviour", command(set_behaviour))
        .route("/clear-http01-behaviour", command(clear_behaviour))
        .route("/http-01/listen", command(listen_http_01))
        .route("/http-01/close", command(close_http_01))
        .route("/http-request-history", command(http_requests))
        .route("/clear-http-request-history", command(clear_http_requests))
        .route("/add-tlsalpn01", command(add_tls_alpn_01))
        .route("/del-tlsalpn01", command(delete_tls_alpn_01))
        .route("/tls-alpn-01/listen", command(listen_tls_alpn_01))
        .route("/tls-alpn-01/close", command(close_tls_alpn_01))
        .route("/tlsalpn01-request-history", command(handshakes))
        .route("/clear-tlsalpn01-request-history", command(clear_handshakes))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddHttp01 {
    token: String,
    content: String,
    /// Opens the configured http-01 address too; it is then in the answer.
    #[serde(default)]
    listen: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redirect {
    path: String,
    #[serde(rename = "targetURL")]
    target_url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathOnly {
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetBehaviour {
    path: String,
    behaviour: Behaviour,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddTlsAlpn01 {
    /// A domain name or an IP address.
    host: String,
    /// The key authorization.
    content: String,
    #[serde(default)]
    flaw: Flaw,
    /// Opens the configured tls-alpn-01 address too; it is then in the answer.
    #[serde(default)]
    listen: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    host: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    /// Left out: the configured address to open, every address to close.
    address: Option<SocketAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn add_http_01(control: Control, body: AddHttp01) -> anyhow::Result<Value> {
    let responder = &control.challenges.http_01;
    responder.set_token(&body.token, &body.content)?;
    match body.listen {
        true => Ok(json!({ "address": responder.listen(control.http_01_address).await? })),
        false => done(),
    }
}

async fn delete_http_01(control: Control, body: Token) -> anyhow::Result<Value> {
    control.challenges.http_01.delete_token(&body.token);
    done()
}

async fn add_redirect(control: Control, body: Redirect) -> anyhow::Result<Value> {
    let redirect = Behaviour::Redirect { location: body.target_url, status: 302 };
    control.challenges.http_01.set_behaviour(&body.path, redirect)?;
    done()
}

async fn set_behaviour(control: Control, body: SetBehaviour) -> anyhow::Result<Value> {
    control.challenges.http_01.set_behaviour(&body.path, body.behaviour)?;
    done()
}

async fn clear_behaviour(control: Control, body: PathOnly) -> anyhow::Result<Value> {
    control.challenges.http_01.clear_behaviour(&body.path);
    done()
}

async fn listen_http_01(control: Control, body: Address) -> anyhow::Result<Value> {
    let address = body.address.unwrap_or(control.http_01_address);
    ensure_loopback(address)?;
    let bound = control.challenges.http_01.listen(address).await?;
    Ok(json!({ "address": bound }))
}

async fn close_http_01(control: Control, body: Address) -> anyhow::Result<Value> {
    let closed = control.challenges.http_01.close(body.address).await;
    Ok(json!({ "closed": closed }))
}

async fn http_requests(control: Control, _body: Nothing) -> anyhow::Result<Value> {
    Ok(json!(control.challenges.http_01.seen()))
}

async fn clear_http_requests(control: Control, _body: Nothing) -> anyhow::Result<Value> {
    control.challenges.http_01.clear_seen();
    done()
}

async fn add_tls_alpn_01(control: Control, body: AddTlsAlpn01) -> anyhow::Result<Value> {
    let responder = &control.challenges.tls_alpn_01;
    let digest = Sha256::digest(body.content.as_bytes()).into();
    responder.set(&body.host, digest, body.flaw)?;
    match body.listen {
        true => Ok(json!({ "address": responder.listen(control.tls_alpn_01_address).await? })),
        false => done(),
    }
}

async fn delete_tls_alpn_01(control: Control, body: Host) -> anyhow::Result<Value> {
    control.challenges.tls_alpn_01.delete(&body.host);
    done()
}

async fn listen_tls_alpn_01(control: Control, body: Address) -> anyhow::Result<Value> {
    let address = body.address.unwrap_or(control.tls_alpn_01_address);
    ensure_loopback(address)?;
    let bound = control.challenges.tls_alpn_01.listen(address).await?;
    Ok(json!({ "address": bound }))
}

async fn close_tls_alpn_01(control: Control, body: Address) -> anyhow::Result<Value> {
    let closed = control.challenges.tls_alpn_01.close(body.address).await;
    Ok(json!({ "closed": closed }))
}

async fn handshakes(control: Control, _body: Nothing) -> anyhow::Result<Value> {
    Ok(json!(control.challenges.tls_alpn_01.seen()))
}

async fn clear_handshakes(control: Control, _body: Nothing) -> anyhow::Result<Value> {
    control.challenges.tls_alpn_01.clear_seen();
    done()
}

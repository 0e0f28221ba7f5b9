//! The control server: plain HTTP and JSON on loopback, by which demos, tests and clients' hook scripts steer the
//! sandbox while it runs. Paths and members follow the test server of the same purpose that ACME clients' suites
//! already know (`/set-txt`, `/add-a`, `/add-http01` and their like), and go on where that one ends.
//!
//! It has no authentication and therefore serves loopback only. Each command is a POST with a JSON object; the
//! content type does not matter (hook scripts rarely set it). Unknown members are refused, so that a misspelt one is
//! never silently without effect. A refusal is `{"error": "sentence"}`.

mod challenges;
mod dns;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get, post};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::challenges::Challenges;
use crate::dns::Zone;
use crate::faults::{Faults, Rule};

/// The largest command body.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Tells what the reference CM has registered, issued and revoked.
pub(crate) type Books = Arc<dyn Fn() -> Value + Send + Sync>;

/// Changes what the operator of the reference CM changes: `{"realm", "allowed_identifiers"}`, `{"profile", "retired"}`.
pub(crate) type Configure = Arc<dyn Fn(Value) -> anyhow::Result<()> + Send + Sync>;

/// What the control server steers.
#[derive(Clone)]
pub(crate) struct Control {
    /// The name server's contents.
    pub(crate) zone: Zone,
    /// The challenge responders.
    pub(crate) challenges: Challenges,
    /// Where the http-01 responder listens when a command names no address.
    pub(crate) http_01_address: SocketAddr,
    /// Where the tls-alpn-01 responder listens when a command names no address.
    pub(crate) tls_alpn_01_address: SocketAddr,
    /// The faults of the reference CM.
    pub(crate) faults: Faults,
    /// The books of the reference CM.
    pub(crate) books: Books,
    /// The settings of the reference CM.
    pub(crate) configure: Configure,
}

/// Binds `address` (port 0: any) and answers the bound address with the server as a future that never ends by
/// itself; dropping it closes the socket.
///
/// # Errors
/// `address` or a responder address is not loopback, or `address` cannot be bound.
pub(crate) async fn serve(
    address: SocketAddr,
    control: Control,
) -> anyhow::Result<(SocketAddr, impl Future<Output = ()> + Send + 'static)> {
    for address in [address, control.http_01_address, control.tls_alpn_01_address] {
        ensure_loopback(address)?;
    }
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for control"))?;
    let bound = listener.local_addr().context("the control socket has no address")?;
    let server = async move {
        if let Err(error) = axum::serve(listener, router(control)).await {
            tracing::error!(%error, "the control server ended");
        }
    };
    Ok((bound, server))
}

fn router(control: Control) -> Router {
    Router::new()
        .merge(dns::routes())
        .merge(challenges::routes())
        .route("/faults", command(add_fault).get(list_faults).delete(clear_faults))
        .route("/books", get(books))
        .route("/configure", command(configure))
        .fallback(no_such_command)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(control)
}

/// A route that reads a `T` from a POST body and answers what `run` answers. An empty body stands for `{}`.
fn command<T, F, R>(run: F) -> MethodRouter<Control>
where
    T: DeserializeOwned + Send + 'static,
    F: Fn(Control, T) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = anyhow::Result<Value>> + Send + 'static,
{
    post(async move |State(control): State<Control>, uri: Uri, body: Bytes| -> Response {
        let body = match body.is_empty() {
            true => b"{}".as_slice(),
            false => &body,
        };
        let parsed = match serde_json::from_slice(body) {
            Ok(parsed) => parsed,
            Err(error) => return refuse(&format!("{uri} does not take this body: {error}")),
        };
        match run(control, parsed).await {
            Ok(answer) => Json(answer).into_response(),
            Err(error) => refuse(&format!("{uri} refused: {error:#}")),
        }
    })
}

fn refuse(sentence: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": sentence }))).into_response()
}

/// The answer of a command that only changes something.
fn done() -> anyhow::Result<Value> {
    Ok(json!({}))
}

fn ensure_loopback(address: SocketAddr) -> anyhow::Result<()> {
    ensure!(address.ip().is_loopback(), "the sandbox listens on loopback addresses only, and {address} is none");
    Ok(())
}

async fn add_fault(control: Control, rule: Rule) -> anyhow::Result<Value> {
    control.faults.add(rule)?;
    done()
}

async fn list_faults(State(control): State<Control>) -> Json<Vec<Rule>> {
    Json(control.faults.list())
}

async fn clear_faults(State(control): State<Control>) -> Json<Value> {
    control.faults.clear();
    Json(json!({}))
}

async fn books(State(control): State<Control>) -> Json<Value> {
    Json((control.books)())
}

async fn configure(control: Control, change: Value) -> anyhow::Result<Value> {
    tokio::task::spawn_blocking(move || (control.configure)(change)).await??;
    done()
}

async fn no_such_command(uri: Uri) -> Response {
    let sentence = format!("there is no command {uri}");
    (StatusCode::NOT_FOUND, Json(json!({ "error": sentence }))).into_response()
}

#[cfg(test)]
mod tests;

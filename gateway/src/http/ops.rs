//! Health and metrics for operators, on a listener of their own that is never the public one.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_server::Server;
use actix_web::{App as Web, HttpResponse, web};
use anyhow::Context as _;

use super::{
    connection::{PaceLimits, Peers},
    server::{Limits, Transport, serve},
};
use crate::{app::Current, audit::Act, server_certificate};

/// A few scrapers and probes on a trusted network.
const LIMITS: Limits = Limits {
    workers: 1,
    connections_per_worker_max: 64,
    handshake: Duration::from_secs(5),
    shutdown: Duration::from_secs(1),
    pace: PaceLimits {
        head: Duration::from_secs(5),
        body: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(5),
        lifetime: Duration::from_secs(600),
        requests_max: 1000,
    },
};

/// Serves `/healthz`, `/readyz` and `/metrics` as plain HTTP.
pub(crate) fn listen(current: &Current, address: SocketAddr) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(address).with_context(|| format!("ops.listen: cannot listen on {address}"))?;
    let data = web::Data::new(current.clone());
    let make = move || {
        Web::new()
            .app_data(data.clone())
            .route("/healthz", web::get().to(healthz))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
    };
    Ok(serve(vec![listener], &Transport::Plain, LIMITS, &Peers::new(u32::MAX, None), make)?)
}

/// The process answers.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// New orders can be taken: the store answers and has space, and what every realm offers is known.
async fn readyz(current: web::Data<Current>) -> HttpResponse {
    let app = current.app();
    let mut missing = Vec::new();
    if let Err(error) = app.store.next_due().await {
        missing.push(format!("store: {error}"));
    }
    if app.store.is_full() {
        missing.push("store: no space left; requests that must write are refused until there is some".to_owned());
    }
    if let Some(trouble) = app.audit.trouble() {
        let stops = app.audit.stops(Act::Issuance, app.settings.audit.on_failure);
        let follows = if stops { "; nothing new is issued" } else { "" };
        missing.push(format!("audit: {trouble}{follows}"));
    }
    for endpoint in app.endpoints.values() {
        if app.catalogue.offer(&endpoint.realm).is_err() {
            missing.push(format!("CM: what realm {} offers has not been read yet", endpoint.realm));
        }
    }
    if let Some(unfit) = app.cm.unfit() {
        missing.push(format!("CM: {unfit}"));
    }
    if server_certificate::is_awaited(&app.settings) {
        missing.push("server certificate: there is none yet; clients see one that nobody vouches for".to_owned());
    }
    if missing.is_empty() {
        HttpResponse::Ok().content_type("text/plain").body("ready\n")
    } else {
        HttpResponse::ServiceUnavailable().content_type("text/plain").body(missing.join("\n") + "\n")
    }
}

async fn metrics(current: web::Data<Current>) -> HttpResponse {
    let app = current.app();
    app.metrics.cm.show(&app.cm.condition());
    app.metrics.store.show(&app.settings.store.dir, app.store.is_full());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(app.metrics.text())
}

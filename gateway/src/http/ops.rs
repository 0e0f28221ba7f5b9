//! Health and metrics for operators, on a listener of their own that is never the public one.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_server::Server;
use actix_web::{App as Web, HttpResponse, web};
use anyhow::Context as _;

use super::{
    connection::{PaceLimits, Peers},
    server::{Limits, Transport, serve},
};
use crate::{app::Current, readiness};

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

/// Set when this process has been told to stop.
pub(crate) type Stopping = Arc<AtomicBool>;

/// Serves `/healthz`, `/readyz` and `/metrics` as plain HTTP.
pub(crate) fn listen(current: &Current, address: SocketAddr, stopping: &Stopping) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!(
            "ops.listen: cannot listen on {address}; choose another address, or see who has the port with: ss -ltnp"
        )
    })?;
    let (data, stopping) = (web::Data::new(current.clone()), web::Data::from(Arc::clone(stopping)));
    let make = move || {
        Web::new()
            .app_data(data.clone())
            .app_data(stopping.clone())
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

/// New orders can be taken: the store answers and has space, what every realm offers is known, and this process is not
/// about to end.
async fn readyz(current: web::Data<Current>, stopping: web::Data<AtomicBool>) -> HttpResponse {
    // Balancers are to turn away from it; for alerts there is nothing the matter.
    if stopping.load(Ordering::Relaxed) {
        return HttpResponse::ServiceUnavailable().content_type("text/plain").body("stopping\n");
    }
    let app = current.app();
    let lacks = readiness::look(&app).await;
    if lacks.is_empty() {
        let note = readiness::note(&app).map(|note| format!("{note}\n")).unwrap_or_default();
        HttpResponse::Ok().content_type("text/plain").body(format!("ready\n{note}"))
    } else {
        let text: String = lacks.iter().map(|lack| format!("{}\n", lack.text)).collect();
        HttpResponse::ServiceUnavailable().content_type("text/plain").body(text)
    }
}

async fn metrics(current: web::Data<Current>) -> HttpResponse {
    let app = current.app();
    let _lacks = readiness::look(&app).await;
    app.metrics.cm.show(&app.cm.condition());
    app.metrics.store.show(&app.settings.store.dir, app.store.is_full());
    app.metrics.audit.show(&app.settings.audit_dir(), &app.settings.store.dir);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(app.metrics.text())
}

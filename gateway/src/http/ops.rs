//! Health and metrics for operators, on a listener of their own that is never the public one.

use std::{net::SocketAddr, sync::Arc};

use actix_web::{App as Web, HttpResponse, HttpServer, dev::Server, web};

use crate::app::App;

/// Serves `/healthz`, `/readyz` and `/metrics` as plain HTTP.
pub(crate) fn serve(app: Arc<App>, address: SocketAddr) -> std::io::Result<Server> {
    let data = web::Data::from(app);
    let server = HttpServer::new(move || {
        Web::new()
            .app_data(data.clone())
            .route("/healthz", web::get().to(healthz))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
    });
    Ok(server.workers(1).disable_signals().shutdown_timeout(1).bind(address)?.run())
}

/// The process answers.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// New orders can be taken: the store answers, and what every realm offers is known.
async fn readyz(app: web::Data<App>) -> HttpResponse {
    let mut missing = Vec::new();
    if let Err(error) = app.store.next_due().await {
        missing.push(format!("store: {error}"));
    }
    for endpoint in app.endpoints.values() {
        if app.catalogue.offer(&endpoint.realm).is_err() {
            missing.push(format!("CM: what realm {} offers has not been read yet", endpoint.realm));
        }
    }
    if missing.is_empty() {
        HttpResponse::Ok().content_type("text/plain").body("ready\n")
    } else {
        HttpResponse::ServiceUnavailable().content_type("text/plain").body(missing.join("\n") + "\n")
    }
}

async fn metrics(app: web::Data<App>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(app.metrics.text())
}

//! What has to be done again and again: forgetting what has expired or is damaged, writing audit events to their
//! files, reading what the CM offers.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{caa, damaged_jobs::end_damaged_jobs};
use crate::{
    app::{App, Current},
    audit, clock,
};

/// Between two sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Records removed in one commit.
const SWEEP_BATCH: usize = 50;
/// Between two looks for audit events.
const AUDIT_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to reach the CM for the first time.
const CATALOGUE_RETRY: Duration = Duration::from_secs(2);

/// Forgets orders and authorizations whose time is over, and jobs that cannot be read, for ever.
pub(crate) async fn sweep(app: Arc<App>) {
    loop {
        match app.store.sweep(clock::now(), SWEEP_BATCH).await {
            Ok(0) => {
                if let Err(error) = end_damaged_jobs(&app).await {
                    tracing::error!(error = format!("{error:#}"), "cannot look for damaged jobs");
                }
                tokio::time::sleep(SWEEP_EVERY).await;
            }
            Ok(forgotten) => tracing::debug!(forgotten, "forgot what has expired"),
            Err(error) => {
                tracing::error!(error = %error, "cannot sweep the store");
                tokio::time::sleep(SWEEP_EVERY).await;
            }
        }
    }
}

/// Writes committed audit events to the audit files and the log, for ever.
pub(crate) async fn keep_audit(app: Arc<App>) {
    let every = app.settings.audit.checkpoint.duration();
    let mut told = Instant::now();
    loop {
        if told.elapsed() >= every {
            audit::tell_refusals(&app).await;
            told = Instant::now();
        }
        match audit::drain(&app).await {
            Ok(0) => tokio::time::sleep(AUDIT_EVERY).await,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "cannot write audit events");
                tokio::time::sleep(AUDIT_EVERY).await;
            }
        }
    }
}

/// Reads the offer of every realm, for ever.
pub(crate) async fn keep_catalogue(current: Current) {
    let mut judged = BTreeSet::new();
    loop {
        let app = current.app();
        let mut pause = app.settings.cm.catalogue_refresh.duration();
        for endpoint in app.endpoints.values() {
            if let Err(error) = app.catalogue.refresh(app.cm.as_ref(), &endpoint.realm).await {
                tracing::warn!(realm = %endpoint.realm, error = %error, "cannot read what the CM offers");
                pause = pause.min(CATALOGUE_RETRY);
                continue;
            }
            if let Ok(offer) = app.catalogue.offer(&endpoint.realm)
                && judged.insert(endpoint.name.clone())
            {
                caa::warn_of_nameless_issuers(endpoint, &offer);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

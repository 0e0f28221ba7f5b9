//! What this gateway lacks to take new orders: one list for `/readyz` and for the metric that alerts look at, so that no
//! probe sees what no alert does.

use store::backend::count_aside;

use crate::{
    app::App,
    audit::Act,
    server_certificate,
    telemetry::metrics::{Metrics, Unready},
};

/// What is lacking, and what to tell people of it.
pub(crate) struct Lack {
    pub(crate) reason: Unready,
    pub(crate) text: String,
}

/// All that is lacking now. The metric says the same from now on.
pub(crate) async fn look(app: &App) -> Vec<Lack> {
    let lacks = find(app).await;
    show(&app.metrics, &lacks);
    lacks
}

/// What keeps nobody from being served, and somebody should look at all the same.
pub(crate) fn note(app: &App) -> Option<String> {
    // A folder that cannot be read has alarms of its own.
    let count = count_aside(&app.settings.store.dir).ok().filter(|count| *count > 0)?;
    Some(format!("store: {count} moved aside, damaged or of another key; look at it, then move sled.damaged-... away"))
}

fn show(metrics: &Metrics, lacks: &[Lack]) {
    for reason in Unready::ALL {
        metrics.unready(reason, lacks.iter().any(|lack| lack.reason == reason));
    }
}

async fn find(app: &App) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let mut lack = |reason, text: String| lacks.push(Lack { reason, text });
    if let Err(error) = app.store.next_due().await {
        lack(Unready::Store, format!("store: {error}"));
    }
    if app.store.is_full() {
        let text = "store: no space left; requests that must write are refused until there is some";
        lack(Unready::StoreSpace, text.to_owned());
    }
    if let Some(trouble) = app.audit.trouble() {
        let is_stopped = app.audit.stops(Act::Issuance, app.settings.audit.on_failure);
        let follows = if is_stopped { "; nothing new is issued" } else { "" };
        lack(Unready::Audit, format!("audit: {trouble}{follows}"));
    }
    for endpoint in app.endpoints.values() {
        if app.catalogue.offer(&endpoint.realm).is_err() {
            let text = format!("CM: what realm {} offers has not been read yet", endpoint.realm);
            lack(Unready::Catalogue, text);
        }
    }
    if let Some(unfit) = app.cm.unfit() {
        lack(Unready::Cm, format!("CM: {unfit}"));
    }
    if server_certificate::is_awaited(&app.settings) {
        let text = "server certificate: there is none yet; clients see one that nobody vouches for";
        lack(Unready::ServerCertificate, text.to_owned());
    }
    lacks
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{ra::catalogue::Catalogue, testing::Gateway};

    /// The reasons that the metric gives.
    fn shown(metrics: &Metrics) -> Vec<String> {
        let text = metrics.text();
        let reasons = text.lines().filter_map(|line| {
            line.strip_prefix("acme_gateway_unready{reason=\"")?.strip_suffix("\"} 1").map(ToOwned::to_owned)
        });
        reasons.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_keeps_the_gateway_from_being_ready_is_in_the_metric_until_it_is_mended() {
        let gateway = Gateway::new().await;
        assert!(look(&gateway.app).await.is_empty() && shown(&gateway.app.metrics).is_empty());
        let unread = App { catalogue: Arc::new(Catalogue::default()), ..App::clone(&gateway.app) };
        assert!(!look(&unread).await.is_empty());
        assert_eq!(shown(&gateway.app.metrics), ["catalogue"]);
        assert!(look(&gateway.app).await.is_empty() && shown(&gateway.app.metrics).is_empty());
    }

    #[test]
    fn each_reason_has_a_series_of_its_own_from_the_start() {
        let metrics = Metrics::new().unwrap();
        for reason in Unready::ALL {
            assert!(metrics.text().contains(&format!("acme_gateway_unready{{reason=\"{}\"}} 0\n", reason.name())));
            show(&metrics, &[Lack { reason, text: String::new() }]);
            assert_eq!(shown(&metrics), [reason.name()]);
            show(&metrics, &[]);
        }
    }
}

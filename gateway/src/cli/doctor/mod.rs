//! `acme-gateway doctor`: looks at everything that the gateway depends on and says what is wrong, what that breaks and
//! which command mends it. It changes nothing, and a gateway that runs is not disturbed.
//!
//! Each check is a file; a finding is told by [`finding`].

mod certificates;
mod cm;
mod configuration;
mod files;
mod finding;
mod holder;
mod limits;
mod listener;
mod offer;
mod openbao;
mod probe;
mod resolvers;
mod running;
mod store;

use std::{future::Future, io::Write as _, path::Path, process::ExitCode, sync::Arc, time::Duration};

use tokio::time::timeout;

use self::{
    finding::{Finding, Report},
    running::Running,
};
use crate::{
    clock,
    settings::{self, Settings},
};

/// One look takes no longer.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// All questions to the CM, which come one after the other.
const CM_MAX: Duration = Duration::from_secs(30);

/// Looks at everything and tells what was found. The exit code is 0 if nothing is wrong, 2 if something is, and with
/// `strict` 1 if there are warnings only.
pub(super) fn run(config: &Path, json: bool, strict: bool) -> anyhow::Result<ExitCode> {
    let report = match configuration::load(config) {
        Ok(settings) => {
            let _service = settings::judge_for_owner_of(&settings.store.dir);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let report = runtime.block_on(look(settings, config));
            // A look that has not ended may be left alone.
            runtime.shutdown_background();
            report
        }
        Err(finding) => {
            let rest = Finding::not_looked_at("all-else", "the settings have to be mended first");
            Report::new(vec![finding, rest], config)
        }
    };
    let text = if json { format!("{:#}", report.to_json()) } else { report.to_text() };
    // Who reads only its beginning wants the exit code all the same.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
    Ok(report.exit_code(strict))
}

async fn look(settings: Settings, config: &Path) -> Report {
    let (settings, now) = (Arc::new(settings), clock::now());
    let running = {
        let settings = Arc::clone(&settings);
        let found = async { tokio::task::spawn_blocking(move || Running::find(&settings)).await };
        timeout(LOOK_MAX, found).await.ok().and_then(Result::ok).unwrap_or_else(Running::unknown)
    };
    let mut findings = configuration::check(&settings, config);
    let local = |name, look: fn(&Settings, &Running) -> Vec<Finding>| {
        let (settings, running) = (Arc::clone(&settings), running.clone());
        blocking(name, move || look(&settings, &running))
    };
    let parts = tokio::join!(
        local("files", |settings, _| files::check(settings)),
        local("certificates", |settings, _| certificates::check(settings, clock::now())),
        local("store", |settings, _| store::check(settings)),
        local("audit", |settings, _| store::check_audit(settings)),
        local("limits", limits::check),
        local("running-gateway", |_, running| running::check(running)),
        within("resolvers", LOOK_MAX, resolvers::check(&settings)),
        within("external-url", LOOK_MAX, listener::check(&settings, running.is_there(), now)),
        within("cm", CM_MAX, cm::check(&settings)),
    );
    let (files, certificates, store, audit, limits, running, resolvers, listener, cm) = parts;
    findings
        .extend([files, certificates, store, audit, limits, running, resolvers, listener, cm].into_iter().flatten());
    Report::new(findings, config)
}

async fn blocking(name: &'static str, look: impl FnOnce() -> Vec<Finding> + Send + 'static) -> Vec<Finding> {
    let looked = async { tokio::task::spawn_blocking(look).await };
    match timeout(LOOK_MAX, looked).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => vec![Finding::not_looked_at(name, error.to_string())],
        Err(_) => vec![too_long(name, LOOK_MAX)],
    }
}

async fn within(name: &'static str, most: Duration, look: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    timeout(most, look).await.unwrap_or_else(|_| vec![too_long(name, most)])
}

fn too_long(name: &'static str, most: Duration) -> Finding {
    Finding::not_looked_at(name, format!("it took longer than {} seconds", most.as_secs()))
}

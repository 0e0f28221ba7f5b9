//! What each request does.

use acme::problem::shown;
use serde_json::{Value, json};
use store::{BadCertificate, Stopped};

use super::{Answer, Request};
use crate::{
    app::App,
    clock,
    ra::{self, profile_stop},
    transcript::{self, story::Story},
};

/// Does what is asked for; `by` is who asks.
pub(super) async fn answer(app: &App, request: Request, by: &str) -> Answer {
    let done = match request {
        Request::OrderShow { reference } => show_order(app, &reference).await,
        Request::ProfileList {} => list_profiles(app).await,
        Request::ProfileResume { realm, profile } => {
            let nothing = || match &profile {
                Some(profile) => anyhow::anyhow!("profile {profile} of realm {realm} is not stopped; see profile list"),
                None => anyhow::anyhow!("realm {realm} is not stopped as a whole; see profile list"),
            };
            match profile_stop::resume(app, &realm, profile.as_ref(), by, clock::now()).await {
                Ok(lifted) => lifted.as_ref().map(of_stop).ok_or_else(nothing),
                Err(error) => Err(told(error)),
            }
        }
    };
    match done {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Error(format!("{error:#}")),
    }
}

async fn show_order(app: &App, reference: &str) -> anyhow::Result<Value> {
    let reference = transcript::reference_in(reference).ok_or_else(|| {
        anyhow::anyhow!(
            "{} is no reference; give the id of an order or authorization, or a URL with it",
            shown(reference)
        )
    })?;
    let story = Story::read(&app.store, &reference).await?;
    let story = story.ok_or_else(|| {
        anyhow::anyhow!("nothing is known of {reference}; it may have been forgotten, see store.keep_after_end_days")
    })?;
    Ok(story.to_json(clock::now()))
}

async fn list_profiles(app: &App) -> anyhow::Result<Value> {
    let stops = app.store.profile_stops().await?;
    let bad = app.store.bad_certificates().await?;
    let stopped: Vec<_> = stops.iter().map(of_stop).collect();
    let bad: Vec<_> = bad.iter().map(|bad| of_bad(&bad.value)).collect();
    Ok(json!({"stopped": stopped, "badCertificates": bad}))
}

fn of_stop(stopped: &Stopped) -> Value {
    let (realm, profile) = (&stopped.realm, &stopped.profile);
    match &stopped.why {
        Ok(stop) => json!({
            "realm": realm, "profile": profile, "since": stop.since, "order": stop.order,
            "certificate": stop.certificate, "failed": stop.failed,
        }),
        Err(error) => json!({"realm": realm, "profile": profile, "unreadable": error.to_string()}),
    }
}

fn of_bad(bad: &BadCertificate) -> Value {
    json!({
        "at": bad.at, "realm": bad.realm, "profile": bad.profile, "order": bad.order, "cmRequest": bad.request,
        "certificate": bad.certificate, "failed": bad.failed, "chain": bad.chain_pem,
    })
}

/// Operators may read what clients may not.
fn told(error: ra::Error) -> anyhow::Error {
    match error {
        ra::Error::Internal(inside) => inside,
        other @ (ra::Error::Refused(_) | ra::Error::Conflict) => other.into(),
    }
}

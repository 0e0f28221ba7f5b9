//! Pauses: when they begin, whom they hold up, and what lifts them.

use super::*;
use crate::{
    clock,
    testing::{Gateway, client, told},
};

/// Three failures in a row, over a day.
const SETTINGS: &str = "pausing.failures = 3\npausing.over_secs = 86400";
const DAY: Duration = Duration::from_secs(86_400);

/// The end of a validation, as the worker commits it.
async fn end_validation(gateway: &Gateway, authorization: &Authorization, failure: Option<&Problem>, now: Timestamp) {
    let mut commit = Commit::new();
    record(&gateway.app, &mut commit, authorization, failure, now).await.unwrap();
    gateway.app.store.commit(commit).await.unwrap();
}

fn no_answer() -> Problem {
    Problem::new(ProblemKind::Connection, "192.0.2.10:80 did not answer")
}

/// Fails three times over a day, the last time now.
async fn fail_until_paused(gateway: &Gateway, authorization: &Authorization) {
    for ago in [DAY, DAY / 2, Duration::ZERO] {
        end_validation(gateway, authorization, Some(&no_answer()), clock::now().minus(ago)).await;
    }
}

#[tokio::test]
async fn a_paused_name_is_refused_with_a_link_and_other_names_are_not() {
    let gateway = Gateway::with(SETTINGS).await;
    let (registration, other) = (gateway.registration(), gateway.registration());
    let view = gateway.order(&registration, &["a.test"]).await.unwrap();
    fail_until_paused(&gateway, &view.authorizations[0]).await;
    assert_eq!(gateway.audited().await.iter().filter(|event| *event == "identifier.paused").count(), 1);

    let problem = told(gateway.order(&registration, &["b.test", "a.test"]).await);
    assert_eq!(problem.kind, ProblemKind::RateLimited);
    assert!(problem.detail.starts_with("a.test: validation has failed 3 times since "), "{}", problem.detail);
    assert!(problem.subproblems.is_empty(), "there is one, and the detail names it");
    let url = problem.detail.rsplit(' ').next().unwrap();
    let sealed = url.strip_prefix("https://acme.example.com/acme/open/unpause/").unwrap();
    let ticket = open_link(&gateway.app, &gateway.endpoint("open").name, sealed).unwrap();
    assert_eq!(ticket.account, registration.id);
    assert!(problem.detail.len() < 600, "clients cut long texts: {}", problem.detail);

    gateway.order(&registration, &["b.test", "*.a.test"]).await.unwrap();
    gateway.order(&other, &["a.test"]).await.unwrap();
    let restarted = gateway.restarted_with_catalogue().await;
    assert_eq!(told(restarted.order(&registration, &["a.test"]).await).kind, ProblemKind::RateLimited, "it is durable");
}

#[tokio::test]
async fn a_success_ends_the_run_of_failures() {
    let gateway = Gateway::with(SETTINGS).await;
    let registration = gateway.registration();
    let authorization = gateway.order(&registration, &["a.test"]).await.unwrap().authorizations.remove(0);
    let now = clock::now();
    for ago in [DAY, DAY / 2] {
        end_validation(&gateway, &authorization, Some(&no_answer()), now.minus(ago)).await;
    }
    end_validation(&gateway, &authorization, None, now.minus(DAY / 4)).await;
    end_validation(&gateway, &authorization, Some(&no_answer()), now).await;
    gateway.order(&registration, &["a.test"]).await.unwrap();
}

#[tokio::test]
async fn troubles_of_our_own_are_nobodys_failures() {
    let gateway = Gateway::with(SETTINGS).await;
    let registration = gateway.registration();
    let authorization = gateway.order(&registration, &["a.test"]).await.unwrap().authorizations.remove(0);
    let ours = Problem::new(ProblemKind::ServerInternal, "no resolver");
    for ago in [DAY, DAY / 2, Duration::ZERO] {
        end_validation(&gateway, &authorization, Some(&ours), clock::now().minus(ago)).await;
    }
    gateway.order(&registration, &["a.test"]).await.unwrap();
    for _ in 0..99 {
        gateway.app.limits.validation_failed(&authorization, ours.kind);
    }
    gateway.order(&registration, &["a.test"]).await.unwrap();
}

#[tokio::test]
async fn several_paused_names_are_each_named_and_lifted_together() {
    let gateway = Gateway::with(SETTINGS).await;
    let registration = gateway.registration();
    let names: Vec<_> = (0..120).map(|number| format!("n{number}.test")).collect();
    for chunk in names.chunks(60) {
        let chunk: Vec<_> = chunk.iter().map(String::as_str).collect();
        for authorization in gateway.order(&registration, &chunk).await.unwrap().authorizations {
            fail_until_paused(&gateway, &authorization).await;
        }
    }
    let problem = told(gateway.order(&registration, &["n0.test", "n1.test"]).await);
    let named: Vec<_> = problem.subproblems.iter().map(|about| about.identifier.1.as_str()).collect();
    assert_eq!(named, ["n0.test", "n1.test"]);
    let (endpoint, now) = (gateway.endpoint("open"), clock::now());
    let shown = paused(&gateway.app, &endpoint, &registration.id, now).await.unwrap();
    assert_eq!((shown.runs.len(), shown.is_all), (SHOWN_MAX, false));
    let lift = async || unpause(&gateway.app, &endpoint, &registration.id, client().ip, now).await.unwrap();
    assert_eq!((lift().await, lift().await), (120, 0), "doing it twice does nothing");
    gateway.order(&registration, &["n0.test", "n119.test"]).await.unwrap();
    let audited = gateway.audited().await;
    assert_eq!(audited.iter().filter(|event| *event == "identifiers.unpaused").count(), 3, "fifty in a commit");
}

#[tokio::test]
async fn whoever_looks_has_only_so_many_failures_read_and_whoever_lifts_lifts_all() {
    let gateway = Gateway::with(SETTINGS).await;
    let (registration, now) = (gateway.registration(), clock::now());
    let endpoint = gateway.endpoint("open");
    let run = |number: usize| FailureRun {
        endpoint: endpoint.name.clone(),
        account: registration.id.clone(),
        identifier: Identifier::parse("dns", &format!("n{number}.test")).unwrap(),
        failures: 3,
        first: now,
        last: now,
        problem: no_answer(),
        paused_at: None,
    };
    let runs: Vec<_> = (0..=SHOWN_PAGES_MAX * PAGE).map(run).collect();
    for some in runs.chunks(PAGE) {
        let mut commit = Commit::new();
        some.iter().for_each(|run| commit.put_failure_run(None, run, now.plus(DAY)));
        gateway.app.store.commit(commit).await.unwrap();
    }
    // The store has them in an order of its own.
    let mut last: Option<Stored<FailureRun>> = None;
    loop {
        let after = last.as_ref().map(|run| &run.value.identifier);
        let some = gateway.app.store.failure_runs_of(&endpoint.name, &registration.id, after, PAGE).await.unwrap();
        let Some(run) = some.into_iter().next_back() else { break };
        last = Some(run);
    }
    let last = last.unwrap();
    let mut commit = Commit::new();
    commit.put_failure_run(Some(&last), &FailureRun { paused_at: Some(now), ..last.value.clone() }, now.plus(DAY));
    gateway.app.store.commit(commit).await.unwrap();
    let shown = paused(&gateway.app, &endpoint, &registration.id, now).await.unwrap();
    assert_eq!((shown.runs.len(), shown.is_all), (0, false), "the paused one is behind a thousand others");
    let lifted = unpause(&gateway.app, &endpoint, &registration.id, client().ip, now).await.unwrap();
    assert_eq!(lifted, 1);
}

#[tokio::test]
async fn a_link_is_good_for_its_endpoint_and_its_time() {
    let gateway = Gateway::with(SETTINGS).await;
    let (open, terms) = (gateway.endpoint("open"), gateway.endpoint("terms"));
    let (registration, now) = (gateway.registration(), clock::now());
    let url = link(&gateway.app, &open, &registration.id, now);
    let sealed = url.rsplit('/').next().unwrap();
    assert_eq!(open_link(&gateway.app, &terms.name, sealed), None);
    let other_use = gateway.app.sealer.seal("certificate", b"open 9999999999 reg_1");
    assert_eq!(open_link(&gateway.app, &open.name, &other_use), None);
    let ticket = open_link(&gateway.app, &open.name, sealed).unwrap();
    let week = 7 * DAY;
    assert!(!ticket.has_expired(now.plus(week - Duration::from_secs(1))) && ticket.has_expired(now.plus(week)));
}

#[tokio::test]
async fn a_damaged_run_holds_up_nobody() {
    let gateway = Gateway::with(SETTINGS).await;
    let registration = gateway.registration();
    let authorization = gateway.order(&registration, &["a.test"]).await.unwrap().authorizations.remove(0);
    fail_until_paused(&gateway, &authorization).await;
    gateway.disk.damage(&format!("failures/open/{}/dns/", registration.id)).await;
    gateway.order(&registration, &["a.test"]).await.unwrap();
    end_validation(&gateway, &authorization, Some(&no_answer()), clock::now()).await;
}

#[tokio::test]
async fn nobody_is_paused_where_pausing_is_off() {
    let gateway = Gateway::with("pausing.failures = 'off'").await;
    let registration = gateway.registration();
    let authorization = gateway.order(&registration, &["a.test"]).await.unwrap().authorizations.remove(0);
    fail_until_paused(&gateway, &authorization).await;
    gateway.order(&registration, &["a.test"]).await.unwrap();
}

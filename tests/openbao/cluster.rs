//! Several nodes: standbys that are behind, and a leader that dies.

use std::time::Duration;

use cm_connector::{CertificateManager, CmError, Outcome, openbao::OpenBaoCertificateManager};
use tests::openbao::OpenBao;

use crate::{
    SHARED, fresh, fresh_folder, gateway_as,
    issuance::{certificate, submit, tests_wait},
    person::{Asking, Person},
    realm,
    standby::Standby,
};

/// Three nodes; the first one leads.
fn cluster() -> [OpenBao; 3] {
    let leader = fresh();
    leader.prepare("open", "open", &[]);
    let standbys = [fresh_folder(), fresh_folder()].map(|dir| leader.join(&dir));
    let [second, third] = standbys;
    [leader, second, third]
}

/// A gateway that knows these nodes, in this order.
fn gateway_at(nodes: &[&OpenBao]) -> OpenBaoCertificateManager {
    gateway_as(nodes[0], "gateway", |settings| settings.addresses = nodes.iter().map(|node| node.url()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_shows_what_was_just_written_and_a_dead_leader_costs_seconds_and_no_second_certificate() {
    const ROUNDS: usize = 60;
    let [mut leader, second, third] = cluster();
    let (cm, open) = (gateway_at(&[&second]), realm("open"));
    for round in 0..ROUNDS {
        let registered = Person::new().register(&cm).await;
        assert!(registered.created, "round {round}");
        let found = cm.registration(&open, &registered.registration.id).await.unwrap();
        assert_eq!(found, Some(registered.registration), "round {round}");
    }

    let cm = gateway_at(&[&leader, &second, &third]);
    let id = Person::new().register(&cm).await.registration.id;
    let asked: Vec<_> = (0..30).map(|n| Asking::of(&id, &[&format!("leader{n}.example.com")])).collect();
    let asked = std::sync::Arc::new(asked);
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..asked.len() {
        let (cm, asked, answered) = (cm.clone(), asked.clone(), answered.clone());
        racers.spawn(async move {
            let outcome = submit(&cm, &asked[n]).await;
            let _ = answered.send(());
            outcome
        });
    }
    tokio::time::timeout(Duration::from_secs(120), answers.recv()).await.unwrap().unwrap();
    leader.kill();
    let _outcomes = racers.join_all().await;
    // All at the same time: each that was not signed costs seconds of looking.
    tests_wait(async || {
        let mut again = tokio::task::JoinSet::new();
        for n in 0..asked.len() {
            let (cm, asked) = (cm.clone(), asked.clone());
            again.spawn(async move { submit(&cm, &asked[n]).await });
        }
        let outcomes = again.join_all().await;
        let is_issued = |outcome| match outcome {
            Err(CmError::Unavailable { .. }) => false,
            other => certificate(other).order_ref.is_some(),
        };
        outcomes.into_iter().all(is_issued).then_some(())
    })
    .await;
    for asking in asked.iter() {
        let _issued = certificate(Ok(cm.request_by_key(&open, &asking.key).await.unwrap().unwrap()));
    }
    assert_eq!(second.serials("open").len(), asked.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_has_not_heard_of_a_certificate_does_not_make_a_second_one() {
    let standby = Standby::before(&SHARED);
    let cm = gateway_as(&SHARED, "gateway", |settings| settings.addresses = vec![standby.url()]);
    let id = Person::new().register(&cm).await.registration.id;
    let asking = Asking::of(&id, &["behind.example.com"]);
    standby.lose_next_sign();
    let lost = submit(&cm, &asking).await;
    assert!(matches!(lost, Err(CmError::Unavailable { outcome: Outcome::Unknown, .. })), "{lost:?}");
    let _issued = tests_wait(async || match cm.request_by_key(&realm("open"), &asking.key).await {
        Ok(Some(state)) => Some(certificate(Ok(state))),
        Ok(None) => Some(certificate(submit(&cm, &asking).await)),
        Err(CmError::Unavailable { .. }) => None,
        Err(other) => panic!("{other:?}"),
    })
    .await;
    assert_eq!(standby.unanswered(), 1);
    assert!(standby.stale_lists() > 0, "it was never asked while it was behind");
    assert_eq!(certificates("behind.example.com"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_that_a_frozen_node_does_after_the_search_is_the_only_one() {
    let standby = Standby::before(&SHARED);
    let cm = gateway_as(&SHARED, "gateway", |settings| settings.addresses = vec![standby.url()]);
    let id = Person::new().register(&cm).await.registration.id;
    let asking = Asking::of(&id, &["thawed.example.com"]);
    standby.hold_next_sign();
    let lost = submit(&cm, &asking).await;
    assert!(matches!(lost, Err(CmError::Unavailable { outcome: Outcome::Unknown, .. })), "{lost:?}");
    assert_eq!(standby.unanswered(), 0, "it is kept until it is looked for");
    let _issued = tests_wait(async || match submit(&cm, &asking).await {
        Err(CmError::Unavailable { .. }) => None,
        other => Some(certificate(other)),
    })
    .await;
    assert_eq!(standby.unanswered(), 1, "it was looked for, and then done");
    assert_eq!(certificates("thawed.example.com"), 1);
}

/// How many certificates of the shared OpenBao are for this name alone.
fn certificates(name: &str) -> usize {
    let names = std::collections::BTreeSet::from([name.to_owned()]);
    SHARED.certificates("open").values().filter(|found| **found == names).count()
}

//! Transcripts as they are told, and what of them a client may see.

use acme::{
    authorization::Authorization,
    caa::{CaaEvidence, CaaResult},
    certificate::{CertificateId, Check, FailedCheck},
    challenge::{ChallengeKind, Evidence},
    identifier::Identifier,
    ids::{AuthorizationId, CertificateRequestId, EndpointName, OrderId, ProfileName, RegistrationId},
    problem::{Problem, Subproblem},
    registration::{AllowedIdentifiers, IdentifierRule, Registration},
};
use cm_connector::{Call, CallOutcome};
use validation::Observation;

use super::{
    client_safe::{ClientStory, client_safe},
    entry::Judged,
    story::{About, Line, Story},
    words::words,
    *,
};
use crate::{
    clock,
    ra::order::OrderView,
    testing::{self, Gateway, new_csr, new_registration},
};

/// Stands in every place that is not for clients.
const CANARY: &str = "canary";
const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

fn detail(kind: ProblemKind, text: &str) -> Problem {
    Problem::new(kind, text.to_owned())
}

/// One of each kind, with canaries wherever something is not for clients, and whether a client sees it at all.
fn samples() -> Vec<(Entry, bool)> {
    let profile = ProfileName::parse("tls-server").unwrap();
    let (endpoint, account) = (EndpointName::parse("open").unwrap(), RegistrationId::parse(CANARY).unwrap());
    let authorization = AuthorizationId::parse(CANARY).unwrap();
    let certificate = CertificateId::parse("AA.BB").unwrap();
    let request = CertificateRequestId::parse(CANARY).unwrap();
    let caa = |result| CaaEvidence { result, checked_at: NOW, identities: vec![CANARY.to_owned()] };
    let permitted = CaaResult::Permitted { domain: CANARY.to_owned(), issuewild: false };
    let evidence = Evidence {
        perspective: CANARY.to_owned(),
        source: CANARY.to_owned(),
        target: CANARY.to_owned(),
        at: NOW,
        caa: Some(caa(CaaResult::NoRecords)),
        reusable_until: None,
    };
    let seen = vec![
        Observation::Judgement { subject: CANARY.to_owned(), flaw: Some(CANARY.to_owned()) },
        Observation::Dial { address: "127.0.0.9:80".parse().unwrap(), failure: Some(CANARY.to_owned()), ms: 7 },
    ];
    let call = Call {
        operation: CANARY.to_owned(),
        attempt: 1,
        trace_id: CANARY.to_owned(),
        outcome: CallOutcome::Problem { status: 503, code: CANARY.to_owned(), request_id: Some(CANARY.to_owned()) },
        elapsed_millis: 12,
    };
    let failed = vec![FailedCheck { check: Check::Names, detail: CANARY.to_owned() }];
    let method = ChallengeKind::Http01;
    let judged = vec![
        Judged::Allowed { identifier: "good.test".into(), by: CANARY.into() },
        Judged::Refused {
            identifier: "bad.test".into(),
            rules: vec!["identifier.not-listed".into()],
            detail: "not listed; ask".into(),
        },
    ];
    let put_off = |why| Entry::IssuancePutOff { why, attempt: 3, again_at: NOW };
    let problem = || detail(ProblemKind::Caa, "why it went wrong");
    vec![
        (Entry::OrderJudged { profile: profile.clone(), identifiers: judged }, true),
        (Entry::OrderRefused { endpoint: endpoint.clone(), account: account.clone(), problem: problem() }, true),
        (
            Entry::OrderCreated {
                profile: profile.clone(),
                expires: NOW,
                reused: vec![authorization.clone()],
                replaces: Some(certificate.clone()),
            },
            true,
        ),
        (Entry::AuthorizationCreated { challenges: vec![method], expires: NOW }, true),
        (Entry::AuthorizationRefused { endpoint, account, problem: problem() }, true),
        (Entry::ChallengeAnswered { method }, true),
        (
            Entry::ValidationAttempted { method, attempt: 1, problem: problem(), again_at: NOW, seen: seen.clone() },
            true,
        ),
        (
            Entry::ValidationEnded { method, attempt: 2, evidence: Some(evidence), problem: None, seen: seen.clone() },
            true,
        ),
        (Entry::ValidationEnded { method, attempt: 2, evidence: None, problem: Some(problem()), seen }, true),
        (Entry::AuthorizationDeactivated {}, true),
        (Entry::AuthorizationRevoked {}, true),
        (Entry::IdentifierPaused { failures: 100, since: NOW }, true),
        (Entry::FinalizeAccepted { csr_sha256: CANARY.into(), rules: vec!["csr.names".into()] }, true),
        (Entry::FinalizeRefused { csr_sha256: CANARY.into(), problem: problem() }, true),
        (
            Entry::CaaLooked {
                permitted: vec![
                    CaaLook { authorization: authorization.clone(), evidence: caa(permitted) },
                    CaaLook { authorization, evidence: caa(CaaResult::NoRecords) },
                ],
                problem: None,
            },
            true,
        ),
        (Entry::CmAsked { calls: vec![call] }, false),
        (put_off(PutOff::ProfileStopped {}), true),
        (put_off(PutOff::AuditUnwritable {}), true),
        (put_off(PutOff::ClockBehind {}), true),
        (put_off(PutOff::CaaUnanswered {}), true),
        (put_off(PutOff::Pending { request: request.clone() }), true),
        (put_off(PutOff::CmUndecided { error: CANARY.into() }), true),
        (put_off(PutOff::Held {}), true),
        (Entry::JobFailed { error: CANARY.into(), attempt: 1, again_at: NOW }, true),
        (Entry::RequestWithdrawn { request }, true),
        (Entry::CertificateChecked { certificate: certificate.clone(), failed: Vec::new() }, true),
        (Entry::CertificateChecked { certificate: certificate.clone(), failed }, true),
        (Entry::CertificateIssued { certificate }, true),
        (Entry::OrderFailed { problem: problem() }, true),
        (Entry::ProfileStopped { profile: Some(profile) }, false),
        (Entry::DeliveryReported { failed: vec![Check::Names], error: Some(CANARY.into()) }, false),
    ]
}

fn story_of(entry: Entry) -> Story {
    let body = serde_json::to_value(&entry).unwrap();
    let line = Line { at: NOW, identifier: None, body, entry: Some(entry) };
    let about = About::Refused {
        endpoint: EndpointName::parse("open").unwrap(),
        account: RegistrationId::parse(CANARY).unwrap(),
    };
    Story { reference: Reference::parse("r").unwrap(), about, lines: vec![line], is_all: true }
}

#[test]
fn a_client_sees_decisions_and_nothing_that_is_for_operators() {
    for (entry, is_seen) in samples() {
        let told = client_safe(&story_of(entry.clone()), NOW);
        let json = serde_json::to_string(&told).unwrap();
        assert!(!json.contains(CANARY) && !json.contains("127.0.0.9"), "{json}");
        assert_eq!(!told.steps.is_empty(), is_seen, "{entry:?}");
        assert!(told.steps.iter().all(|step| !step.what.is_empty()), "{told:?}");
    }
}

#[test]
fn an_operator_reads_what_a_client_does_not() {
    for (entry, is_seen) in samples() {
        let told = words(&entry).join("\n");
        assert!(!told.is_empty(), "{entry:?}");
        let has_canary = serde_json::to_string(&entry).unwrap().contains(CANARY);
        let is_plain = matches!(&entry, Entry::CertificateChecked { failed, .. } if failed.is_empty());
        // Who was proxied for, which perspective and which trace: in the JSON only.
        assert_eq!(told.contains(CANARY), has_canary && !is_plain, "{told}");
        assert!(is_seen || has_canary || matches!(entry, Entry::ProfileStopped { .. }), "{told}");
    }
}

#[test]
fn entries_are_read_as_they_were_written() {
    for (entry, _) in samples() {
        let body = serde_json::to_value(&entry).unwrap();
        assert!(body["step"].as_str().is_some_and(|step| step.contains('.')), "{body}");
        assert_eq!(serde_json::from_value::<Entry>(body).unwrap(), entry);
    }
}

#[test]
fn rules_and_every_refused_name_are_told_to_the_client() {
    let judged = samples().swap_remove(0).0;
    let told = client_safe(&story_of(judged), NOW);
    assert_eq!(told.identifiers, ["good.test", "bad.test"]);
    assert_eq!(told.steps[1].rules, ["identifier.not-listed"]);
    let names = ["a b", "c d"]
        .map(|name| Subproblem::about_text(ProblemKind::Malformed, "dns", name, String::from("cannot be read")));
    let problem = Problem::about_identifiers(names.into(), 2);
    let (endpoint, account) = (EndpointName::parse("open").unwrap(), RegistrationId::parse("r").unwrap());
    let told = client_safe(&story_of(Entry::OrderRefused { endpoint, account, problem }), NOW);
    let about: Vec<_> = told.steps.iter().map(|step| step.identifier.as_deref()).collect();
    assert_eq!(about, [None, Some("a b"), Some("c d")]);
}

#[test]
fn a_reference_is_found_in_what_people_paste() {
    let id = "kq3v7x2mabcdefghijklmnop23";
    for pasted in [
        id.to_owned(),
        format!("  {id}. "),
        format!("\"{id}\""),
        format!("https://acme.example.com/acme/open/transcript/{id}"),
        format!("<https://acme.example.com/acme/open/order/{id}/finalize>"),
        format!("https://acme.example.com/acme/open/authz/{id},"),
        format!("https://acme.example.com/acme/open/chall/{id}/http-01"),
        format!("/acme/order/order/{id}?x"),
    ] {
        let found = reference_in(&pasted);
        // A directory may be called like a resource.
        let is_odd = pasted.starts_with("/acme/order/");
        assert_eq!(
            found.map(|found| found.to_string()),
            Some(if is_odd { "order".into() } else { id.into() }),
            "{pasted}"
        );
    }
    for nothing in ["", "https://acme.example.com/acme/open/directory", "a b"] {
        assert_eq!(reference_in(nothing), None, "{nothing:?}");
    }
}

#[test]
fn attempts_are_told_ever_more_seldom() {
    let told: Vec<u32> = (1..=1000).filter(|attempt| is_told(*attempt)).collect();
    assert_eq!(told.len(), 21);
    assert_eq!(told[16..], [32, 64, 128, 256, 512]);
}

async fn steps(gateway: &Gateway, order: &OrderId) -> Vec<String> {
    let story = Story::read(&gateway.app.store, &Reference::from(order)).await.unwrap().unwrap();
    story.lines.iter().map(|line| line.body["step"].as_str().unwrap().to_owned()).collect()
}

async fn client_story(gateway: &Gateway, reference: &Reference) -> ClientStory {
    client_safe(&Story::read(&gateway.app.store, reference).await.unwrap().unwrap(), clock::now())
}

/// The reference in a refusal.
fn reference_of<T>(outcome: Result<T, Error>) -> Option<Reference> {
    let Err(Error::Refused(refusal)) = outcome else { panic!("not refused") };
    refusal.transcript.map(|url| reference_in(&url).unwrap())
}

fn listed(gateway: &Gateway) -> Registration {
    let only = IdentifierRule::Exact(acme::identifier::DnsName::parse("a.test").unwrap());
    let rules = AllowedIdentifiers::Listed { rules: vec![only], exclude: Vec::new() };
    let registration = Registration { allowed_identifiers: rules, ..new_registration(testing::new_key()) };
    gateway.cm.put(registration.clone());
    registration
}

#[tokio::test(start_paused = true)]
async fn an_order_tells_its_whole_way_without_a_commit_more() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    let before = gateway.disk.commits();
    gateway.finalize(&registration, &order, new_csr(&["a.test"])).await.unwrap();
    gateway.run_issuance(&order).await;
    assert_eq!(gateway.disk.commits() - before, 3, "finalize, the intent to send, the certificate");
    let told = ["order.judged", "order.created", "finalize.accepted", "certificate.checked", "certificate.issued"];
    assert_eq!(steps(&gateway, &order).await, told);
}

#[tokio::test(start_paused = true)]
async fn a_cm_that_is_away_for_days_fills_no_transcript() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    gateway.finalize(&registration, &order, new_csr(&["a.test"])).await.unwrap();
    gateway.cm.is_away(true);
    for _ in 0..300 {
        gateway.run_issuance(&order).await;
    }
    let put_off = async || steps(&gateway, &order).await.iter().filter(|step| *step == "issuance.put-off").count();
    assert_eq!(put_off().await, 20, "16, and 32, 64, 128 and 256");
    gateway.cm.is_away(false);
    gateway.run_issuance(&order).await;
    let told = steps(&gateway, &order).await;
    assert_eq!(told.last().map(String::as_str), Some("certificate.issued"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_person_is_told_once_however_often_it_is_looked_at() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    gateway.finalize(&registration, &order, new_csr(&["a.test"])).await.unwrap();
    gateway.cm.rule(testing::Ruling::IssuedAfter(50));
    for _ in 0..51 {
        gateway.run_issuance(&order).await;
    }
    let told = steps(&gateway, &order).await;
    assert_eq!(told.iter().filter(|step| *step == "issuance.put-off").count(), 1, "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("certificate.issued"), "{told:?}");
}

#[tokio::test]
async fn a_refused_order_has_a_transcript_without_an_order() {
    let gateway = Gateway::new().await;
    let registration = listed(&gateway);
    let reference = reference_of(gateway.order(&registration, &["a.test", "b.test"]).await).unwrap();
    let told = client_story(&gateway, &reference).await;
    assert_eq!((told.about, told.status), ("refusal", "refused"));
    assert_eq!(told.identifiers, ["a.test", "b.test"]);
    assert_eq!(told.steps[1].rules, ["identifier.not-listed"]);
    assert!(told.steps[2].what.contains("b.test"), "{told:?}");
}

#[tokio::test]
async fn refusals_of_finalize_are_told_of_ones_own_order_only() {
    let gateway = Gateway::new().await;
    let (registration, stranger) = (gateway.registration(), gateway.registration());
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    assert_eq!(reference_of(gateway.finalize(&stranger, &order, new_csr(&["a.test"])).await), None);
    assert_eq!(reference_of(gateway.finalize(&registration, &testing_id(), new_csr(&["a.test"])).await), None);
    let reference = reference_of(gateway.finalize(&registration, &order, new_csr(&["b.test"])).await);
    assert_eq!(reference, Some(Reference::from(&order)));
    let told = client_story(&gateway, &Reference::from(&order)).await;
    let last = told.steps.last().unwrap();
    assert!(last.what.contains("csr.names"), "{last:?}");
    assert_eq!((told.status, told.problem), ("ready", Some(ProblemKind::BadCsr)));
}

fn testing_id() -> OrderId {
    OrderId::parse("nobodys").unwrap()
}

#[tokio::test]
async fn one_account_cannot_fill_the_disk_with_refusals() {
    let gateway = Gateway::new().await;
    let (registration, other) = (listed(&gateway), listed(&gateway));
    let before = gateway.disk.commits();
    let mut without = 0;
    for _ in 0..150 {
        without += usize::from(reference_of(gateway.order(&registration, &["b.test"]).await).is_none());
    }
    assert_eq!((without, gateway.disk.commits() - before), (50, 100));
    assert!(reference_of(gateway.order(&other, &["b.test"]).await).is_some());
}

#[tokio::test]
async fn a_refusal_that_cannot_be_written_down_is_the_same_without_a_link() {
    let gateway = Gateway::new().await;
    let registration = listed(&gateway);
    gateway.disk.refuse_next(store::backend::ApplyError::Full);
    let outcome = gateway.order(&registration, &["b.test"]).await;
    let Err(Error::Refused(refusal)) = outcome else { panic!("not refused") };
    assert_eq!((refusal.problem.kind, refusal.transcript), (ProblemKind::RejectedIdentifier, None));
}

#[tokio::test]
async fn refusals_by_a_limit_are_not_told() {
    let gateway = Gateway::with("limits.new_orders_per_account = { burst = 1, per_secs = 3600 }").await;
    let registration = gateway.registration();
    gateway.order(&registration, &["a.test"]).await.unwrap();
    let before = gateway.disk.commits();
    assert_eq!(reference_of(gateway.order(&registration, &["b.test"]).await), None);
    assert_eq!(gateway.disk.commits(), before);
}

#[tokio::test]
async fn an_authorization_ahead_of_any_order_is_told_or_its_refusal_is() {
    let gateway = Gateway::with("endpoint_defaults.pre_authorization = true").await;
    let (registration, endpoint) = (listed(&gateway), gateway.endpoint("open"));
    let ask = async |name: &str| {
        let identifier = testing::new_order(&[name]).identifiers.remove(0);
        crate::ra::new_authorization::create(
            &gateway.app,
            &endpoint,
            testing::asked(&registration),
            &identifier,
            clock::now(),
        )
        .await
    };
    let made = ask("a.test").await.unwrap();
    let told = client_story(&gateway, &Reference::from(&made.id)).await;
    assert_eq!((told.about, told.status, told.steps.len()), ("authorization", "pending", 2));
    let told = client_story(&gateway, &reference_of(ask("b.test").await).unwrap()).await;
    assert_eq!((told.about, told.identifiers), ("refusal", vec![String::from("b.test")]));
    assert_eq!(told.steps[0].rules, ["identifier.not-listed"]);
}

#[tokio::test]
async fn an_order_that_rests_on_an_earlier_proof_tells_of_it() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let first = gateway.ready_order(&registration, &["a.test"]).await;
    let authorization = gateway.order_now(&first).await.authorizations.remove(0);
    let stored = gateway.app.store.authorization(&authorization).await.unwrap().unwrap();
    let mut commit = Commit::new();
    let answered = Entry::ChallengeAnswered { method: ChallengeKind::Http01 };
    tell(&gateway.app, &mut commit, &Subject::from(&stored.value), clock::now(), &answered);
    gateway.app.store.commit(commit).await.unwrap();
    let second = gateway.order(&registration, &["a.test"]).await.unwrap().order;
    assert_eq!(steps(&gateway, &second.id).await, ["challenge.answered", "order.judged", "order.created"]);
    let told = client_story(&gateway, &Reference::from(&second.id)).await;
    assert!(told.steps[2].what.contains("rests on 1 earlier proof"), "{told:?}");
}

#[tokio::test]
async fn an_order_of_the_most_identifiers_tells_of_all_of_them() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let label = "x".repeat(60);
    let names: Vec<_> = (0..100).map(|number| format!("{number}.{label}.{label}.{label}.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let OrderView { order, .. } = gateway.order(&registration, &names).await.unwrap();
    let judged = steps(&gateway, &order.id).await.iter().filter(|step| *step == "order.judged").count();
    assert_eq!(judged, 4);
}

#[tokio::test]
async fn an_order_of_many_looks_is_cut_where_its_names_are_and_tells_how_it_ended() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let names: Vec<_> = (0..50).map(|number| format!("{number}.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let OrderView { order, authorizations } = gateway.order(&registration, &names).await.unwrap();
    let answered = Entry::ChallengeAnswered { method: ChallengeKind::Http01 };
    let now = clock::now();
    for authorization in &authorizations {
        let mut commit = Commit::new();
        (0..30).for_each(|_| tell(&gateway.app, &mut commit, &Subject::from(authorization), now, &answered));
        gateway.app.store.commit(commit).await.unwrap();
    }
    let mut commit = Commit::new();
    let ended = Entry::OrderFailed { problem: detail(ProblemKind::Caa, "the end") };
    tell(&gateway.app, &mut commit, &Subject::from(&order), now.plus(std::time::Duration::from_secs(60)), &ended);
    gateway.app.store.commit(commit).await.unwrap();
    let story = Story::read(&gateway.app.store, &Reference::from(&order.id)).await.unwrap().unwrap();
    assert!(!story.is_all && (900..=1000).contains(&story.lines.len()), "{} entries", story.lines.len());
    assert_eq!(story.lines.last().unwrap().entry, Some(ended));
    for authorization in &authorizations {
        let of_it = story.lines.iter().filter(|line| line.identifier.as_ref() == Some(&authorization.identifier));
        assert!(of_it.count() >= 15, "{} has its share", authorization.identifier);
    }
}

#[tokio::test]
async fn an_entry_of_another_release_is_shown_to_operators_and_not_to_clients() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let OrderView { order, authorizations } = gateway.order(&registration, &["a.test"]).await.unwrap();
    let before = client_story(&gateway, &Reference::from(&order.id)).await.steps.len();
    let mut commit = Commit::new();
    let body = serde_json::json!({"step": "order.blessed", "by": CANARY});
    commit.tell(&Reference::from(&order.id), clock::now(), body, clock::now());
    gateway.app.store.commit(commit).await.unwrap();
    let story = Story::read(&gateway.app.store, &Reference::from(&order.id)).await.unwrap().unwrap();
    assert!(story.to_json(clock::now()).to_string().contains(CANARY));
    assert_eq!(client_safe(&story, clock::now()).steps.len(), before);
    let Authorization { id, identifier, .. } = &authorizations[0];
    let of_authorization = Story::read(&gateway.app.store, &Reference::from(id)).await.unwrap().unwrap();
    let told = client_safe(&of_authorization, clock::now());
    assert_eq!((told.about, told.identifiers), ("authorization", vec![Identifier::to_string(identifier)]));
}

//! Orders that rest on waivers, at the scripted CM.

use std::{net::IpAddr, time::Duration};

use acme::{
    authorization::AuthorizationStatus,
    caa::CaaPolicy,
    challenge::ChallengeKind,
    ids::{OrderId, Reference},
    order::{OrderStatus, Progress},
    problem::ProblemKind,
    registration::IdentifierRule,
    waiver::{KeyDigest, WaiverEvidence},
    wire::order::IdentifierText,
};
use cm_connector::Client;

use super::*;
use crate::{
    clock,
    ra::{self, order::OrderView},
    testing::{self, Gateway, new_csr, new_order, proof, told},
    transcript::{client_safe::client_safe, story::Story, words::words},
};

const INSIDE: &str = "192.0.2.44";
const OUTSIDE: &str = "198.51.100.7";
const DAY: Duration = Duration::from_secs(86_400);

fn shown(address: &str) -> Shown {
    Shown { address: address.parse().unwrap(), client_certificate: None }
}

/// For names below `printers.test` and wildcards there, from the printers' network.
fn waiver(id: &str) -> Waiver {
    Waiver {
        id: id.parse().unwrap(),
        identifiers: vec![IdentifierRule::Suffix {
            name: acme::identifier::DnsName::parse("printers.test").unwrap(),
            wildcards: true,
        }],
        evidence: WaiverEvidence { addresses: vec!["192.0.2.0/24".parse().unwrap()], client_certificates: Vec::new() },
        not_after: clock::now().plus(DAY * 90),
        reason: String::from("printers cannot open port 80"),
        proposed_by: String::from("urn:cm:officer:anna"),
        decided_by: String::from("urn:cm:approver:bert"),
    }
}

/// A gateway whose CM takes waivers, and a registration with some.
struct Case {
    gateway: Gateway,
    registration: Registration,
}

impl Case {
    async fn with(settings: &str, waivers: Vec<Waiver>) -> Self {
        let gateway = Gateway::with(settings).await;
        let registration = Registration { waivers, ..gateway.registration() };
        gateway.cm.put(registration.clone());
        let case = Self { gateway, registration };
        case.change_profiles(|profile| {
            profile.waivers = true;
            profile.caa = CaaPolicy::Off;
        })
        .await;
        case
    }

    async fn new() -> Self {
        Self::with("", vec![waiver("wav_1")]).await
    }

    async fn change_profiles(&self, change: impl Fn(&mut Profile)) {
        self.gateway.cm.change_profiles(change);
        for endpoint in self.gateway.app.endpoints.values() {
            self.gateway.app.catalogue.refresh(self.gateway.app.cm.as_ref(), &endpoint.realm).await.unwrap();
        }
    }

    async fn order_at(&self, endpoint: &str, names: &[&str], shown: Option<Shown>) -> OrderView {
        let endpoint = self.gateway.endpoint(endpoint);
        let asked = new_order(names);
        ra::order::create(&self.gateway.app, &endpoint, &self.registration, (&asked, shown), clock::now())
            .await
            .unwrap()
    }

    async fn order(&self, names: &[&str], address: &str) -> OrderView {
        self.order_at("open", names, Some(shown(address))).await
    }

    async fn finalize(&self, order: &OrderId, names: &[&str], address: &str) -> Result<OrderView, Error> {
        let request = ra::finalize::Request {
            order: order.clone(),
            csr_der: new_csr(names).der().to_vec(),
            client: Client { ip: address.parse().unwrap(), user_agent: None },
            client_certificate: None,
            proof: proof(),
        };
        let endpoint = self.gateway.endpoint("open");
        ra::finalize::finalize(&self.gateway.app, &endpoint, &self.registration, &request, clock::now()).await
    }

    /// The CM's record changes, and with it what the next request finds.
    fn change(&mut self, change: impl Fn(&mut Registration)) {
        change(&mut self.registration);
        self.gateway.cm.put(self.registration.clone());
        self.gateway.app.registrations.invalidate(&self.registration.id);
    }

    async fn status(&self, view: &OrderView) -> OrderStatus {
        self.gateway.status(&view.order.id).await
    }

    /// What operators read, and what whoever has the link does.
    async fn stories(&self, order: &OrderId) -> (String, String) {
        let story = Story::read(&self.gateway.app.store, &Reference::from(order)).await.unwrap().unwrap();
        let lines = story.lines.iter().filter_map(|line| line.entry.as_ref()).flat_map(words);
        let steps = client_safe(&story, clock::now()).steps.into_iter().map(|step| step.what);
        (lines.collect::<Vec<_>>().join("\n"), steps.collect::<Vec<_>>().join("\n"))
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_names_are_all_waived_is_ready_at_once() {
    let case = Case::new().await;
    let view = case.order(&["p7.printers.test", "p8.printers.test"], INSIDE).await;
    assert_eq!(case.status(&view).await, OrderStatus::Ready);
    for authorization in &view.authorizations {
        assert_eq!(authorization.status(clock::now()), AuthorizationStatus::Valid);
        assert_eq!(authorization.challenges.len(), 1);
        let (_, waived) = authorization.waived().unwrap();
        assert_eq!((waived.waiver.as_str(), waived.address), ("wav_1", INSIDE.parse::<IpAddr>().unwrap()));
        assert!(authorization.proof().is_none(), "nothing is proven");
    }
    assert_eq!(view.order.reused, []);
    assert!(case.gateway.audited().await.contains(&String::from("order.waived")));
    assert_eq!(case.gateway.app.metrics.identifiers_waived.get(), 2);
    let (operators, clients) = case.stories(&view.order.id).await;
    let expected = "p7.printers.test, p8.printers.test: waived by urn:cm:officer:anna, approved by urn:cm:approver:bert, because \
                    printers cannot open port 80 (waiver wav_1); evidence: address 192.0.2.44";
    assert!(operators.contains(expected), "{operators}");
    assert!(clients.contains("control need not be proven"), "{clients}");
    for secret in ["anna", "bert", "port 80", "wav_1", "192.0.2.44"] {
        assert!(!clients.contains(secret), "{secret} in {clients}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_names_that_a_waiver_covers_are_waived() {
    let case = Case::new().await;
    let view = case.order(&["p7.printers.test", "evilprinters.test", "a.test"], INSIDE).await;
    let statuses: Vec<_> = view.authorizations.iter().map(|one| one.status(clock::now())).collect();
    assert_eq!(statuses, [AuthorizationStatus::Valid, AuthorizationStatus::Pending, AuthorizationStatus::Pending]);
    assert_eq!(case.status(&view).await, OrderStatus::Pending);
}

#[tokio::test(start_paused = true)]
async fn a_wildcard_is_waived_with_a_challenge_that_could_prove_it() {
    let case = Case::new().await;
    for (endpoint, name, kind) in [
        ("open", "*.printers.test", ChallengeKind::Dns01),
        ("open", "p7.printers.test", ChallengeKind::Http01),
        ("web", "*.printers.test", ChallengeKind::Dns01),
    ] {
        case.change_profiles(|profile| profile.is_default = true).await;
        let view = case.order_at(endpoint, &[name], Some(shown(INSIDE))).await;
        assert_eq!(view.authorizations[0].challenges[0].kind, kind, "{endpoint} {name}");
        assert_eq!(case.status(&view).await, OrderStatus::Ready, "{endpoint} {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_evidence_the_challenges_are_as_ever_and_officers_can_read_why() {
    let case = Case::new().await;
    let view = case.order(&["p7.printers.test"], OUTSIDE).await;
    assert_eq!(case.status(&view).await, OrderStatus::Pending);
    assert!(view.authorizations[0].challenges.len() > 1 && view.authorizations[0].waived().is_none());
    let (operators, clients) = case.stories(&view.order.id).await;
    assert!(
        operators.contains("p7.printers.test: waiver wav_1: the client is not at one of its addresses"),
        "{operators}"
    );
    assert!(!clients.contains("waiver") && !clients.contains("wav_1"), "{clients}");
    assert!(!case.gateway.audited().await.contains(&String::from("order.waived")));
}

#[tokio::test(start_paused = true)]
async fn no_setting_and_no_profile_waives_anything_by_itself() {
    const EVERYTHING: &str = "
        server.client_certificates = 'request'
        endpoint_defaults.pre_authorization = true
        endpoint_defaults.caa = 'off'
        validation.public_addresses = false
    ";
    let mut case = Case::with(EVERYTHING, Vec::new()).await;
    // So that every endpoint takes its orders.
    case.change(|registration| {
        registration.allowed_profiles = ["tls-server", "short"].map(|name| name.parse().unwrap()).to_vec();
        registration.terms_of_service_agreed_at = Some(clock::now());
    });
    for address in [INSIDE, "127.0.0.1", "::1"] {
        let key = Some(KeyDigest::of_spki(b"key"));
        let shown = Shown { client_certificate: key, ..shown(address) };
        for endpoint in case.gateway.app.endpoints.keys() {
            let view = case.order_at(endpoint.as_str(), &["p7.printers.test"], Some(shown)).await;
            assert_eq!(case.status(&view).await, OrderStatus::Pending, "{endpoint} from {address}");
            assert!(view.authorizations[0].waived().is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_does_not_take_waivers_and_a_cm_that_has_none_waive_nothing() {
    let strict = Case::new().await;
    strict.change_profiles(|profile| profile.waivers = false).await;
    let old = Case::new().await;
    old.gateway.cm.lacks(Capability::Waivers);
    for case in [strict, old] {
        let view = case.order(&["p7.printers.test"], INSIDE).await;
        assert_eq!(case.status(&view).await, OrderStatus::Pending);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_waived_for_one_order_is_no_proof_for_anything_else() {
    let case = Case::new().await;
    let first = case.order(&["p7.printers.test"], INSIDE).await;
    assert_eq!(case.status(&first).await, OrderStatus::Ready);
    let second = case.order(&["p7.printers.test"], OUTSIDE).await;
    assert_eq!(case.status(&second).await, OrderStatus::Pending, "not for another order");
    let third = case.order(&["p7.printers.test"], INSIDE).await;
    assert_ne!(third.order.authorizations, first.order.authorizations, "not even with the evidence");
    let name = Identifier::parse_dns("p7.printers.test").unwrap();
    let store = &case.gateway.app.store;
    let proofs = store.proven(&first.order.endpoint, &case.registration.id, &name, 8).await.unwrap();
    assert!(proofs.is_empty(), "not for the revocation of somebody else's certificate");
}

#[tokio::test(start_paused = true)]
async fn a_proof_is_used_before_a_waiver() {
    let case = Case::new().await;
    let proven = case.gateway.ready_order(&case.registration, &["p7.printers.test"]).await;
    let view = case.order(&["p7.printers.test"], INSIDE).await;
    assert_eq!(view.order.authorizations, case.gateway.order_now(&proven).await.authorizations);
}

#[tokio::test(start_paused = true)]
async fn an_authorization_ahead_of_an_order_is_never_waived() {
    let case = Case::with("endpoint_defaults.pre_authorization = true", vec![waiver("wav_1")]).await;
    let endpoint = case.gateway.endpoint("open");
    let asked = IdentifierText { kind: String::from("dns"), value: String::from("p7.printers.test") };
    let made = ra::new_authorization::create(
        &case.gateway.app,
        &endpoint,
        testing::asked(&case.registration),
        &asked,
        clock::now(),
    );
    assert_eq!(made.await.unwrap().status(clock::now()), AuthorizationStatus::Pending);
}

#[tokio::test(start_paused = true)]
async fn an_order_ends_with_its_waiver() {
    let soon = Waiver { not_after: clock::now().plus(Duration::from_secs(90)), ..waiver("wav_1") };
    let case = Case::with("", vec![soon.clone()]).await;
    let view = case.order(&["p7.printers.test", "a.test"], INSIDE).await;
    assert_eq!(view.order.expires, soon.not_after);
    assert!(view.authorizations.iter().all(|one| one.expires == soon.not_after));
    let over = Waiver { not_after: clock::now(), ..waiver("wav_1") };
    let case = Case::with("", vec![over]).await;
    let view = case.order(&["p7.printers.test"], INSIDE).await;
    assert_eq!(case.status(&view).await, OrderStatus::Pending);
    let (operators, _) = case.stories(&view.order.id).await;
    assert!(operators.contains("waiver wav_1: it has ended"), "{operators}");
}

#[tokio::test(start_paused = true)]
async fn a_waiver_ends_by_the_clock_of_the_cm() {
    let soon = Waiver { not_after: clock::now().plus(Duration::from_secs(100)), ..waiver("wav_1") };
    let case = Case::with("", vec![soon]).await;
    case.gateway.app.cm_condition.clock_is_ahead(200);
    let view = case.order(&["p7.printers.test"], INSIDE).await;
    assert_eq!(case.status(&view).await, OrderStatus::Pending);
}

#[tokio::test(start_paused = true)]
async fn finalize_needs_the_evidence_too_and_leaves_the_order_as_it_is_without() {
    let case = Case::new().await;
    let view = case.order(&["p7.printers.test"], INSIDE).await;
    let refused = told(case.finalize(&view.order.id, &["p7.printers.test"], OUTSIDE).await);
    assert_eq!(refused.kind.name_and_status(), ("unauthorized", 403));
    assert!(refused.detail.contains("(rule waiver.evidence)"), "{}", refused.detail);
    assert_eq!(case.status(&view).await, OrderStatus::Ready);
    let (operators, clients) = case.stories(&view.order.id).await;
    assert!(operators.contains("waiver wav_1: the client is not at one of its addresses"), "{operators}");
    assert!(clients.contains("(rule waiver.evidence)") && !clients.contains("wav_1"), "{clients}");
    let view = case.finalize(&view.order.id, &["p7.printers.test"], INSIDE).await.unwrap();
    assert_eq!(case.status(&view).await, OrderStatus::Processing);
}

#[tokio::test(start_paused = true)]
async fn finalize_is_refused_when_the_waiver_is_not_in_force_any_more() {
    for how in ["withdrawn", "narrowed", "replaced", "profile"] {
        let mut case = Case::new().await;
        let view = case.order(&["p7.printers.test"], INSIDE).await;
        case.change(|registration| match how {
            "withdrawn" => registration.waivers.clear(),
            "narrowed" => {
                let other = acme::identifier::DnsName::parse("p8.printers.test").unwrap();
                registration.waivers[0].identifiers = vec![IdentifierRule::Exact(other)];
            }
            "replaced" => registration.waivers = vec![waiver("wav_2")],
            _ => {}
        });
        if how == "profile" {
            case.change_profiles(|profile| profile.waivers = false).await;
        }
        let refused = told(case.finalize(&view.order.id, &["p7.printers.test"], INSIDE).await);
        assert_eq!(refused.kind.name_and_status(), ("unauthorized", 403), "{how}");
        assert!(refused.detail.contains("(rule waiver.not-in-force)"), "{how}: {}", refused.detail);
        assert_eq!(case.status(&view).await, OrderStatus::Ready, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_cm_is_told_by_what_waiver_and_evidence() {
    let case = Case::new().await;
    let view = case.order(&["p7.printers.test"], INSIDE).await;
    case.finalize(&view.order.id, &["p7.printers.test"], INSIDE).await.unwrap();
    case.gateway.run_issuance(&view.order.id).await;
    assert_eq!(case.status(&view).await, OrderStatus::Valid);
    let sent = case.gateway.cm.validations_of(&view.order.id);
    assert_eq!(sent.len(), 1);
    let waived = sent[0].waived.as_ref().expect("waived");
    assert_eq!((waived.waiver.as_str(), waived.address), ("wav_1", INSIDE.parse::<IpAddr>().unwrap()));
    assert!(!sent[0].reused);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_a_waiver_that_was_withdrawn_after_finalize() {
    let mut case = Case::new().await;
    let view = case.order(&["p7.printers.test"], INSIDE).await;
    case.finalize(&view.order.id, &["p7.printers.test"], INSIDE).await.unwrap();
    case.change(|registration| registration.waivers.clear());
    case.gateway.run_issuance(&view.order.id).await;
    let order = case.gateway.order_now(&view.order.id).await;
    let Progress::Failed { problem } = order.progress else { panic!("{order:?}") };
    assert_eq!(problem.kind, ProblemKind::Unauthorized);
    assert!(problem.detail.contains("(rule waiver.not-in-force)"), "{}", problem.detail);
    assert_eq!(case.gateway.cm.certificates(), []);
    let (operators, _) = case.stories(&view.order.id).await;
    assert!(operators.contains("waiver wav_1: it is not in force"), "{operators}");
}

#[tokio::test(start_paused = true)]
async fn caa_records_are_looked_at_for_what_is_waived_too() {
    let case = Case::new().await;
    case.change_profiles(|profile| profile.caa = CaaPolicy::Required).await;
    let view = case.order(&["p7.printers.test"], INSIDE).await;
    case.finalize(&view.order.id, &["p7.printers.test"], INSIDE).await.unwrap();
    case.gateway.run_issuance(&view.order.id).await;
    let (operators, _) = case.stories(&view.order.id).await;
    assert!(operators.contains("no answer for CAA records"), "the resolver of these tests says nothing: {operators}");
    assert_eq!(case.gateway.cm.certificates(), []);
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_hundred_waived_names_is_written_at_once() {
    let one_each: Vec<_> = (0..100)
        .map(|number| {
            let name = acme::identifier::DnsName::parse(&format!("p{number}.printers.test")).unwrap();
            Waiver { identifiers: vec![IdentifierRule::Exact(name)], ..waiver(&format!("wav_{number}")) }
        })
        .collect();
    let names: Vec<_> = (0..100).map(|number| format!("p{number}.printers.test")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for (address, status) in [(INSIDE, OrderStatus::Ready), (OUTSIDE, OrderStatus::Pending)] {
        let case = Case::with("", one_each.clone()).await;
        let view = case.order(&names, address).await;
        assert_eq!(case.status(&view).await, status);
    }
}

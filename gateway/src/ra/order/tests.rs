//! New orders: what is refused and for which identifier, what is chosen, and how long it is kept.

use std::time::Duration;

use acme::{
    authorization::Authorization,
    challenge::ChallengeKind,
    identifier::DnsName,
    order::OrderStatus,
    registration::{AllowedIdentifiers, IdentifierRule, RegistrationStatus},
    wire::order::IdentifierText,
};

use super::*;
use crate::{
    clock,
    testing::{Gateway, new_order, told},
};

const DAY: Duration = Duration::from_secs(86_400);

/// The names of the subproblems and their kinds, in order.
fn subproblems(problem: &Problem) -> Vec<(&str, ProblemKind)> {
    problem.subproblems.iter().map(|one| (one.identifier.1.as_str(), one.kind)).collect()
}

async fn ordered(gateway: &Gateway, endpoint: &str, request: &NewOrder) -> Result<OrderView, Error> {
    let registration = gateway.registration();
    create(&gateway.app, &gateway.endpoint(endpoint), &registration, (request, None), clock::now()).await
}

#[tokio::test(start_paused = true)]
async fn a_new_order_is_pending_and_has_an_authorization_for_each_identifier() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let view = gateway.order(&registration, &["b.test", "*.b.test", "192.0.2.1"]).await.unwrap();
    assert_eq!(gateway.status(&view.order.id).await, OrderStatus::Pending);
    let offered = |authorization: &Authorization| -> Vec<_> {
        authorization.challenges.iter().map(|challenge| challenge.kind).collect()
    };
    let offered: Vec<_> = view.authorizations.iter().map(offered).collect();
    let all = vec![ChallengeKind::Http01, ChallengeKind::Dns01, ChallengeKind::TlsAlpn01];
    let without_dns = vec![ChallengeKind::Http01, ChallengeKind::TlsAlpn01];
    assert_eq!(offered, [all, vec![ChallengeKind::Dns01], without_dns]);
    assert_eq!(gateway.audited().await, ["order.judged", "order.created"]);
    assert_eq!(gateway.app.metrics.orders_created.get(), 1);
    let tokens: BTreeSet<_> = view.authorizations.iter().map(|one| one.challenges[0].token.as_str()).collect();
    assert_eq!(tokens.len(), 3, "no two authorizations share a token");
}

#[tokio::test(start_paused = true)]
async fn repeated_identifiers_count_once_in_the_clients_order() {
    let gateway = Gateway::new().await;
    let view = gateway.order(&gateway.registration(), &["b.test", "a.test", "B.test", "a.test"]).await.unwrap();
    let names: Vec<_> = view.order.identifiers.iter().map(ToString::to_string).collect();
    assert_eq!((names, view.authorizations.len()), (vec![String::from("b.test"), String::from("a.test")], 2));
}

#[tokio::test(start_paused = true)]
async fn every_identifier_that_cannot_be_read_is_named() {
    let gateway = Gateway::new().await;
    let mut request = new_order(&["a.test", "b..test", "-.test"]);
    let mail = IdentifierText { kind: String::from("email"), value: String::from("a@a.test") };
    request.identifiers.push(mail);
    let problem = told(ordered(&gateway, "open", &request).await);
    let malformed = ProblemKind::Malformed;
    let named = [("b..test", malformed), ("-.test", malformed), ("a@a.test", ProblemKind::UnsupportedIdentifier)];
    assert_eq!((problem.kind, subproblems(&problem)), (ProblemKind::Compound, named.to_vec()));
    assert_eq!(gateway.audited().await, ["order.refused"], "nothing was made");
}

#[tokio::test(start_paused = true)]
async fn every_identifier_that_the_registration_may_not_have_is_named() {
    let gateway = Gateway::new().await;
    let only = IdentifierRule::Suffix { name: DnsName::parse("a.test").unwrap(), wildcards: false };
    let registration = Registration {
        allowed_identifiers: AllowedIdentifiers::Listed { rules: vec![only], exclude: Vec::new() },
        ..gateway.registration()
    };
    let problem = told(gateway.order(&registration, &["a.test", "b.test", "*.a.test", "x.a.test"]).await);
    let rejected = ProblemKind::RejectedIdentifier;
    assert_eq!(subproblems(&problem), [("b.test", rejected), ("*.a.test", rejected)]);
}

#[tokio::test(start_paused = true)]
async fn every_identifier_that_no_challenge_on_offer_can_prove_is_named() {
    let gateway = Gateway::new().await;
    let problem = told(ordered(&gateway, "web", &short(new_order(&["*.a.test", "a.test", "*.b.test"]))).await);
    let rejected = ProblemKind::RejectedIdentifier;
    assert_eq!(subproblems(&problem), [("*.a.test", rejected), ("*.b.test", rejected)]);
    assert_eq!(problem.detail, "2 of 3 identifiers were refused; see subproblems");
}

/// The web endpoint's own profile is not the default; this request asks for the default.
fn short(request: NewOrder) -> NewOrder {
    NewOrder { profile: Some(String::from("tls-server")), ..request }
}

#[tokio::test(start_paused = true)]
async fn orders_of_no_and_of_too_many_identifiers_are_refused() {
    let gateway = Gateway::with("orders.identifiers_max = 2").await;
    for names in [&[][..], &["a.test", "b.test", "c.test"]] {
        let problem = told(ordered(&gateway, "open", &new_order(names)).await);
        assert_eq!(problem.kind, ProblemKind::Malformed, "{names:?}");
    }
    assert!(ordered(&gateway, "open", &new_order(&["a.test", "b.test"])).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_profile_is_the_requested_one_or_the_endpoints_or_the_default() {
    let gateway = Gateway::new().await;
    let both = ["tls-server", "short"].map(|name| ProfileName::parse(name).unwrap()).to_vec();
    let registration = Registration { allowed_profiles: both, ..gateway.registration() };
    let chosen = async |endpoint: &str, profile: Option<&str>| {
        let request = NewOrder { profile: profile.map(String::from), ..new_order(&["a.test"]) };
        let endpoint = gateway.endpoint(endpoint);
        let made = create(&gateway.app, &endpoint, &registration, (&request, None), clock::now()).await;
        made.map(|view| view.order.profile.to_string())
    };
    assert_eq!(chosen("open", None).await.unwrap(), "tls-server");
    assert_eq!(chosen("web", None).await.unwrap(), "short");
    assert_eq!(chosen("web", Some("tls-server")).await.unwrap(), "tls-server");
    for unknown in ["tls-client", "no such name"] {
        assert_eq!(told(chosen("open", Some(unknown)).await).kind, ProblemKind::InvalidProfile, "{unknown}");
    }
}

#[tokio::test(start_paused = true)]
async fn times_that_are_none_are_refused_by_the_name_of_their_member() {
    let gateway = Gateway::new().await;
    let request = NewOrder { not_after: Some(String::from("tomorrow")), ..new_order(&["a.test"]) };
    let problem = told(ordered(&gateway, "open", &request).await);
    assert_eq!(problem.kind, ProblemKind::Malformed);
    assert!(problem.detail.starts_with("notAfter"), "{}", problem.detail);
}

#[tokio::test(start_paused = true)]
async fn wanted_times_are_judged_by_the_clock_of_the_cm() {
    for (ahead_secs, is_taken) in [(3600, true), (0, false), (-3600, false)] {
        let gateway = Gateway::new().await;
        gateway.app.cm_condition.clock_is_ahead(ahead_secs);
        let start = clock::now().plus(Duration::from_secs(3600)).to_string();
        let request = NewOrder { not_before: Some(start), ..new_order(&["a.test"]) };
        assert_eq!(ordered(&gateway, "open", &request).await.is_ok(), is_taken, "{ahead_secs}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_active_registrations_get_orders() {
    let gateway = Gateway::new().await;
    let suspended = Registration { status: RegistrationStatus::Suspended, ..gateway.registration() };
    assert_eq!(told(gateway.order(&suspended, &["a.test"]).await).kind, ProblemKind::Unauthorized);
    let ended = Registration { status: RegistrationStatus::Revoked, ..gateway.registration() };
    assert_eq!(told(gateway.order(&ended, &["a.test"]).await).kind, ProblemKind::AccountNotActive);
}

#[tokio::test(start_paused = true)]
async fn without_ever_having_read_the_offer_orders_are_put_off() {
    let gateway = Gateway::new().await.restarted();
    assert_eq!(told(gateway.order(&gateway.registration(), &["a.test"]).await).kind, ProblemKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn an_order_and_its_authorizations_are_remembered_for_a_while_after_their_end() {
    let gateway = Gateway::with("orders.lifetime_secs = 86400\nstore.keep_after_end_days = 7").await;
    let view = gateway.order(&gateway.registration(), &["a.test"]).await.unwrap();
    let expires = view.order.expires;
    assert!(expires <= clock::now().plus(DAY) && expires > clock::now());
    let store = &gateway.app.store;
    assert_eq!(store.sweep(expires.plus(DAY * 7).minus(Duration::from_secs(1)), 50).await.unwrap(), 0);
    assert!(store.order(&view.order.id).await.unwrap().is_some());
    assert_eq!(store.sweep(expires.plus(DAY * 7), 50).await.unwrap(), 2);
    assert!(store.order(&view.order.id).await.unwrap().is_none());
    assert!(store.authorization(&view.order.authorizations[0]).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_order_waits_as_long_as_its_profile_gives_people_to_approve() {
    let gateway = Gateway::with("orders.lifetime_secs = 86400").await;
    gateway.cm.change_profiles(|profile| profile.approval_timeout = Some(DAY * 30));
    let gateway = gateway.restarted_with_catalogue().await;
    let view = gateway.order(&gateway.registration(), &["a.test"]).await.unwrap();
    assert!(view.order.expires > clock::now().plus(DAY * 29));
}

#[tokio::test(start_paused = true)]
async fn the_list_of_orders_comes_in_pages_and_has_each_order_once() {
    const ORDERS: usize = 101;
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let mut made = BTreeSet::new();
    for _ in 0..ORDERS {
        made.insert(gateway.order(&registration, &["a.test"]).await.unwrap().order.id);
    }
    gateway.order(&gateway.registration(), &["a.test"]).await.unwrap();
    let endpoint = gateway.endpoint("open");
    let (mut listed, mut pages, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let page = list(&gateway.app, &endpoint, &registration.id, cursor.as_ref(), clock::now()).await.unwrap();
        pages.push(page.orders.len());
        listed.extend(page.orders);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, [50, 50, 1]);
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), made);
    let elsewhere = gateway.endpoint("web");
    assert_eq!(list(&gateway.app, &elsewhere, &registration.id, None, clock::now()).await.unwrap().orders, []);
}

#[tokio::test(start_paused = true)]
async fn invalid_orders_are_not_listed_and_the_pages_go_on_behind_them() {
    let gateway = Gateway::new().await;
    let (registration, endpoint) = (gateway.registration(), gateway.endpoint("open"));
    let given_up = gateway.ready_order(&registration, &["a.test"]).await;
    for number in 0..60 {
        gateway.order(&registration, &["a.test", &format!("n{number}.test")]).await.unwrap();
    }
    let proof = &gateway.order_now(&given_up).await.authorizations[0];
    let last = gateway.order(&registration, &["b.test"]).await.unwrap().order.id;
    crate::ra::authorization::deactivate(
        &gateway.app,
        &endpoint,
        crate::testing::asked(&registration),
        proof,
        clock::now(),
    )
    .await
    .unwrap();
    let first = list(&gateway.app, &endpoint, &registration.id, None, clock::now()).await.unwrap();
    let second = list(&gateway.app, &endpoint, &registration.id, first.next.as_ref(), clock::now()).await.unwrap();
    let all = [first.orders, second.orders].concat();
    assert_eq!((all, second.next), (vec![last.clone()], None));
    let week = Duration::from_secs(8 * 86_400);
    let later = list(&gateway.app, &endpoint, &registration.id, None, clock::now().plus(week)).await.unwrap();
    assert!(!later.orders.contains(&last), "it has expired");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_got_its_certificate_is_remembered_for_longer() {
    let gateway = Gateway::with("orders.lifetime_secs = 86400\nstore.keep_issued_days = 90").await;
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    gateway.finalize(&registration, &order, crate::testing::new_csr(&["a.test"])).await.unwrap();
    gateway.run_issuance(&order).await;
    let store = &gateway.app.store;
    store.sweep(clock::now().plus(DAY * 89), 50).await.unwrap();
    assert!(store.order(&order).await.unwrap().is_some());
    let authorization = &gateway.order_now(&order).await.authorizations[0];
    assert!(store.authorization(authorization).await.unwrap().is_none(), "what it rested on goes before");
    let listed = list(&gateway.app, &gateway.endpoint("open"), &registration.id, None, clock::now()).await.unwrap();
    assert_eq!(listed.orders, std::slice::from_ref(&order));
    store.sweep(clock::now().plus(DAY * 91), 50).await.unwrap();
    assert!(store.order(&order).await.unwrap().is_none());
}

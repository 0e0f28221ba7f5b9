//! The limits together: what is spent where, and what is not.

use std::{net::IpAddr, time::Duration};

use acme::{problem::ProblemKind, registration::Registration, wire::order::NewOrder};
use store::backend::ApplyError;
use tokio::time::advance;

use super::*;
use crate::{
    clock, ra,
    testing::{Gateway, new_csr, new_key, new_order, new_registration, told},
};

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn retry_after_secs<T>(outcome: Result<T, Exceeded>) -> u64 {
    outcome.err().expect("the limit is met").retry_after.as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_refused_order_spends_nothing_anywhere() {
    let gateway = Gateway::with(
        "limits.new_orders_per_account = { burst = 1, per_secs = 600 }\n\
        limits.new_orders_per_external_account = { burst = 3, per_secs = 600 }\n\
        limits.new_orders_per_endpoint = { burst = 4, per_secs = 600 }",
    )
    .await;
    let (limits, endpoint) = (&gateway.app.limits, gateway.endpoint("registered"));
    let bound = || Registration { external_account: Some(String::from("kid")), ..new_registration(new_key()) };
    let accounts = [bound(), bound(), bound(), bound()];
    let order = |account: &Registration| limits.new_order(&endpoint, account).map(super::NewOrder::keep);
    order(&accounts[0]).unwrap();
    for _ in 0..9 {
        assert_eq!(retry_after_secs(order(&accounts[0])), 600);
    }
    order(&accounts[1]).unwrap();
    drop(limits.new_order(&endpoint, &accounts[2]).unwrap());
    order(&accounts[2]).unwrap();
    assert_eq!(retry_after_secs(order(&accounts[3])), 200, "three accounts of one external account key");
    let others = [new_registration(new_key()), new_registration(new_key())];
    order(&others[0]).unwrap();
    assert_eq!(retry_after_secs(order(&others[1])), 150, "four orders at one endpoint");
    advance(Duration::from_secs(150)).await;
    order(&others[1]).unwrap();
}

#[tokio::test(start_paused = true)]
async fn revocations_have_a_budget_of_their_own() {
    let gateway = Gateway::with(
        "limits.requests_per_address = { burst = 20, per_secs = 1 }\n\
        limits.unknown_accounts_per_address = { burst = 1, per_secs = 60 }",
    )
    .await;
    let limits = &gateway.app.limits;
    while limits.request(Some(HOME), Purpose::Other).is_ok() {}
    limits.request(Some(HOME), Purpose::Revocation).unwrap();
    limits.was_unknown(Asker::Address(HOME, Purpose::Other));
    assert_eq!(retry_after_secs(limits.may_ask_for_unknown(Asker::Address(HOME, Purpose::Other))), 60);
    limits.may_ask_for_unknown(Asker::Address(HOME, Purpose::Revocation)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn exempt_addresses_are_not_counted_and_limits_can_be_off() {
    let gateway = Gateway::with(
        "limits.exempt = ['192.0.2.0/24']\nlimits.new_accounts_per_address = { burst = 1, per_secs = 60 }\n\
        limits.new_orders_per_account = 'off'",
    )
    .await;
    let limits = &gateway.app.limits;
    for address in [HOME, "::ffff:192.0.2.1".parse().unwrap()] {
        for _ in 0..3 {
            assert!(limits.new_account(address).unwrap().is_none(), "nothing is counted");
        }
    }
    let stranger = "198.51.100.1".parse().unwrap();
    limits.new_account(stranger).unwrap().unwrap().keep();
    assert_eq!(retry_after_secs(limits.new_account(stranger)), 60);
    let (endpoint, registration) = (gateway.endpoint("open"), new_registration(new_key()));
    for _ in 0..5000 {
        limits.new_order(&endpoint, &registration).unwrap().keep();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_limit_its_size_and_the_wait() {
    let gateway = Gateway::with("limits.new_orders_per_account = { burst = 2, per_secs = 600 }").await;
    let registration = gateway.registration();
    for name in ["a.test", "b.test"] {
        gateway.order(&registration, &[name]).await.unwrap();
    }
    let Err(ra::Error::Refused(refusal)) = gateway.order(&registration, &["c.test"]).await else {
        panic!("not refused")
    };
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(300)));
    assert_eq!(
        refusal.problem.detail,
        "too many new orders of this account: 2 may come at once and 2 in 600 s (limits.new_orders_per_account); \
        try again in 300 s, or ask the operator of this server to raise the limit"
    );
    let before = gateway.app.metrics.text();
    assert!(before.contains("rate_limited_total{limit=\"new_orders_per_account\"} 1"), "{before}");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_refused_for_itself_is_not_counted() {
    let gateway = Gateway::with("limits.new_orders_per_account = { burst = 1, per_secs = 600 }").await;
    let registration = gateway.registration();
    for _ in 0..3 {
        assert!(gateway.order(&registration, &["not a name"]).await.is_err());
    }
    gateway.disk.refuse_next(ApplyError::Full);
    assert!(gateway.order(&registration, &["a.test"]).await.is_err());
    gateway.order(&registration, &["a.test"]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_order_that_replaces_a_certificate_is_not_counted() {
    let gateway = Gateway::with("limits.new_orders_per_account = { burst = 1, per_secs = 600 }").await;
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    gateway.finalize(&registration, &order, new_csr(&["a.test"])).await.unwrap();
    gateway.run_issuance(&order).await;
    let replaces = gateway.cm.certificates().pop().unwrap().id.to_string();
    let request = NewOrder { replaces: Some(replaces), ..new_order(&["a.test"]) };
    let (endpoint, now) = (gateway.endpoint("open"), clock::now());
    let renew = async || ra::order::create(&gateway.app, &endpoint, &registration, (&request, None), now).await;
    let view = renew().await.unwrap();
    let authorization = &view.order.authorizations[0];
    ra::authorization::deactivate(&gateway.app, &endpoint, crate::testing::asked(&registration), authorization, now)
        .await
        .unwrap();
    assert_eq!(told(renew().await).kind, ProblemKind::RateLimited, "one that was thrown away is");
}

#[tokio::test(start_paused = true)]
async fn a_key_id_is_guessed_at_by_each_address_for_itself() {
    let gateway = Gateway::with(
        "limits.failed_external_accounts_per_address_and_key_id = { burst = 2, per_secs = 600 }\n\
        limits.failed_external_accounts_per_key_id = { burst = 4, per_secs = 600 }",
    )
    .await;
    let (limits, endpoint) = (&gateway.app.limits, gateway.endpoint("registered"));
    let hosts: [IpAddr; 3] = [1, 2, 3].map(|host| IpAddr::from([192, 0, 2, host]));
    for _ in 0..2 {
        limits.may_bind(hosts[0], &endpoint, Some("kid")).unwrap();
        limits.binding_failed(hosts[0], &endpoint, Some("kid"));
    }
    assert_eq!(retry_after_secs(limits.may_bind(hosts[0], &endpoint, Some("kid"))), 300);
    limits.may_bind(hosts[0], &endpoint, Some("another")).unwrap();
    limits.may_bind(hosts[2], &endpoint, Some("kid")).expect("the holder of the key is somewhere else");
    for _ in 0..2 {
        limits.binding_failed(hosts[1], &endpoint, Some("kid"));
    }
    assert_eq!(
        retry_after_secs(limits.may_bind(hosts[2], &endpoint, Some("kid"))),
        150,
        "a search from many addresses"
    );
}

#[tokio::test(start_paused = true)]
async fn who_asked_too_often_for_what_does_not_exist_goes_on_in_a_narrow_lane() {
    let gateway = Gateway::with("limits.unknown_accounts_per_address = { burst = 1, per_secs = 60 }").await;
    let limits = &gateway.app.limits;
    limits.turn(HOME, Purpose::Other).await.unwrap().was_in_vain().unwrap();
    let places = [limits.turn(HOME, Purpose::Other).await.unwrap(), limits.turn(HOME, Purpose::Other).await.unwrap()];
    assert_eq!(retry_after_secs(limits.turn(HOME, Purpose::Other).await), 2, "two at a time, and it moves fast");
    limits.turn(HOME, Purpose::Revocation).await.unwrap().was_in_vain().unwrap();
    let neighbour = IpAddr::from([192, 0, 2, 2]);
    limits.turn(neighbour, Purpose::Other).await.unwrap().was_in_vain().unwrap();
    for place in places {
        assert_eq!(retry_after_secs(place.was_in_vain()), 60);
    }
    advance(Duration::from_secs(60)).await;
    limits.turn(HOME, Purpose::Other).await.unwrap().was_in_vain().expect("what came by the lane was not counted");
}

#[tokio::test(start_paused = true)]
async fn by_default_no_few_addresses_use_up_the_orders_of_all() {
    let limits = &Gateway::new().await.app.settings.limits;
    let (one, all) = (limits.new_orders_per_address.0.unwrap(), limits.new_orders_per_endpoint.0.unwrap());
    assert_eq!(one.period(), all.period());
    assert!(all.burst() >= one.burst() * 50, "{} of {}", one.burst(), all.burst());
}

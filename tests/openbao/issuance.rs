//! Certificate requests as records of OpenBao: half-written ones, searches, what it would sign and must not.

use acme::problem::ProblemKind;
use cm_connector::{Certificate, CertificateManager, CmError, RequestState, openbao::OpenBaoCertificateManager};
use serde_json::json;
use tests::{csr::Csr, key::Key};

use crate::{
    REQUEST_DURATION_MAX, SHARED, gateway,
    person::{Asking, Person},
    realm,
};

pub(crate) fn certificate(outcome: Result<RequestState, CmError>) -> Certificate {
    match outcome {
        Ok(RequestState::Issued { certificate, claims, .. }) => {
            assert!(claims.check(&certificate, &claims).is_ok());
            *certificate
        }
        other => panic!("a certificate expected: {other:?}"),
    }
}

pub(crate) async fn submit(cm: &OpenBaoCertificateManager, asking: &Asking) -> Result<RequestState, CmError> {
    cm.submit(&realm("open"), &asking.key, &asking.octets(), REQUEST_DURATION_MAX).await
}

fn refused(outcome: Result<RequestState, CmError>, expected: ProblemKind) {
    match outcome {
        Err(CmError::Refused(problem)) => assert_eq!(problem.kind, expected, "{}", problem.detail),
        other => panic!("{expected:?} expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_whose_answer_was_lost_is_found_by_its_key() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let asking = Asking::of(&id, &["lost.example.com"]);
    let first = certificate(submit(&cm, &asking).await);
    lose(&asking, &first);
    assert_eq!(cm.find_certificate(&open, &first.claims.sha256).await.unwrap(), None);
    let found = certificate(Ok(cm.request_by_key(&open, &asking.key).await.unwrap().unwrap()));
    assert_eq!(found, first);
    assert_eq!(cm.find_certificate(&open, &first.claims.sha256).await.unwrap(), Some(first));
}

/// As if the gateway had died between the sign and the writing down.
pub(crate) fn lose(asking: &Asking, issued: &Certificate) {
    let path = format!("acme/open/cm/data/req/{}", asking.key);
    let mut record = SHARED.root(&["read", "-format=json", &path], None)["data"].clone();
    let (version, mut data) = (record["metadata"]["version"].clone(), record["data"].take());
    (data["state"], data["serial"]) = (json!("intent"), json!(null));
    let body = json!({"options": {"cas": version}, "data": data});
    let _ = SHARED.root(&["write", "-format=json", &path, "-"], Some(&body));
    for record in [format!("cert/{}", dashed(&issued.claims.serial)), format!("digest/{}", hex(&issued.claims.sha256))]
    {
        let _ = SHARED.root(&["delete", "-format=json", &format!("acme/open/cm/metadata/{record}")], None);
    }
}

/// As if a sign had been sent for it that never arrived. `key` is the public key that it is searched by.
pub(crate) fn begin(asking: &Asking, key: &str) {
    begin_with(asking, key, &json!({}));
}

/// The same with more members in the record.
fn begin_with(asking: &Asking, key: &str, more: &serde_json::Value) {
    let csr = tests::from_base64url(asking.json["csr"].as_str().unwrap());
    let sha256 = |octets: &[u8]| hex(&openssl_sha256(octets));
    let names: Vec<_> =
        asking.json["identifiers"].as_array().unwrap().iter().map(|name| name["value"].clone()).collect();
    let mut intent = json!({"options": {"cas": 0}, "data": {
        "state": "intent", "digest": sha256(&asking.octets()), "registration": asking.json["registration"],
        "orderRef": asking.order, "profile": "tls-server", "csrSha256": sha256(&csr), "spkiSha256": key,
        "dnsNames": names, "issuer": "issuing-1", "attempts": 1, "replaces": asking.json["replaces"]}});
    for (member, value) in more.as_object().unwrap() {
        intent["data"][member] = value.clone();
    }
    let path = format!("acme/open/cm/data/req/{}", asking.key);
    let _ = SHARED.root(&["write", "-format=json", &path, "-"], Some(&intent));
}

#[tokio::test]
async fn a_certificate_of_another_order_with_the_same_key_is_not_taken_for_the_lost_one() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let names = ["reused.example.com"];
    let csr = Csr::for_names(&names).text(&Key::p256());
    let first = certificate(submit(&cm, &Asking::with_csr(&id, &names, &csr)).await);
    let second = Asking::with_csr(&id, &names, &csr);
    begin(&second, &hex(&first.spki_sha256));
    let early = cm.request_by_key(&open, &second.key).await;
    assert!(matches!(early, Err(CmError::Unavailable { .. })), "{early:?}");
    let issued = tests_wait(async || match submit(&cm, &second).await {
        Err(CmError::Unavailable { .. }) => None,
        other => Some(certificate(other)),
    })
    .await;
    assert_ne!(issued.claims.serial, first.claims.serial);
    assert_eq!(issued.order_ref, Some(second.order));
}

#[tokio::test]
async fn a_lost_certificate_is_not_taken_for_that_of_an_order_that_asks_for_something_else_with_the_same_key() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let key = Key::p256();
    let asking = |names: &[&str]| Asking::with_csr(&id, names, &Csr::for_names(names).text(&key));
    let narrow = asking(&["narrow.example.com"]);
    let first = certificate(submit(&cm, &narrow).await);
    lose(&narrow, &first);
    let spki = hex(&first.spki_sha256);
    let make = ["write", "-format=json", "acme/open/pki/root/generate/internal", "issuer_name=issuing-other"];
    let _ = SHARED.root(&[&make[..], &["common_name=other", "ttl=1h"]].concat(), None);
    let wide = asking(&["narrow.example.com", "wide.example.com"]);
    let address = asking(&["narrow.example.com"]);
    let short = asking(&["narrow.example.com"]);
    let elsewhere = asking(&["narrow.example.com"]);
    begin(&wide, &spki);
    begin_with(&address, &spki, &json!({"ipAddresses": ["192.0.2.7"]}));
    begin_with(&short, &spki, &json!({"notAfter": "2040-01-01T00:00:00Z"}));
    begin_with(&elsewhere, &spki, &json!({"issuer": "issuing-other"}));
    for (other, what) in [(&wide, "names"), (&address, "addresses"), (&short, "end"), (&elsewhere, "issuer")] {
        let outcome = cm.request_by_key(&open, &other.key).await;
        assert!(matches!(outcome, Err(CmError::Unavailable { .. })), "{what}: {outcome:?}");
    }
    let found = certificate(Ok(cm.request_by_key(&open, &narrow.key).await.unwrap().unwrap()));
    assert_eq!(found, first);
}

#[tokio::test]
async fn nothing_is_signed_again_before_a_lost_sign_must_have_ended() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let asking = Asking::of(&id, &["again.example.com"]);
    begin(&asking, "00");
    for early in [submit(&cm, &asking).await.map(Some), cm.request_by_key(&open, &asking.key).await] {
        assert!(matches!(early, Err(CmError::Unavailable { retry_after: Some(_), .. })), "{early:?}");
    }
    let late = tests_wait(async || match cm.request_by_key(&open, &asking.key).await {
        Err(CmError::Unavailable { .. }) => None,
        other => Some(other),
    })
    .await;
    assert_eq!(late.unwrap(), None);
    let _issued = certificate(submit(&cm, &asking).await);
}

#[tokio::test]
async fn the_beginning_of_validity_cannot_be_chosen() {
    let cm = gateway(&SHARED);
    let id = Person::new().register(&cm).await.registration.id;
    let chosen = Asking::of(&id, &["begin.example.com"]).with("notBefore", "2026-12-24T00:00:00Z");
    refused(submit(&cm, &chosen).await, ProblemKind::Malformed);
}

#[tokio::test]
async fn a_suspended_registration_gets_nothing_and_a_narrowed_one_what_is_left() {
    let (cm, registered) = (gateway(&SHARED), realm("registered"));
    let secret = SHARED.preregister("registered", "judge", &json!({}));
    let bound = cm.bind_registration(&registered, &Person::new().bound_request("judge", &secret)).await.unwrap();
    let ask = async |name: &str| {
        let asking = Asking::of(&bound.registration.id, &[name]);
        cm.submit(&registered, &asking.key, &asking.octets(), REQUEST_DURATION_MAX).await
    };
    refused(ask("www.example.org").await, ProblemKind::RejectedIdentifier);
    let _issued = certificate(ask("www.example.com").await);
    let narrowed = json!({"status": "active", "allowedIdentifiers": {"mode": "listed",
        "rules": [{"type": "dns", "match": "suffix", "value": "a.example.com"}]}});
    SHARED.officer_writes("registered", "hold/reg_judge", 0, &narrowed).unwrap();
    refused(ask("www.example.com").await, ProblemKind::RejectedIdentifier);
    let _issued = certificate(ask("www.a.example.com").await);
    SHARED.officer_writes("registered", "hold/reg_judge", 1, &json!({"status": "suspended"})).unwrap();
    refused(ask("www.a.example.com").await, ProblemKind::Unauthorized);
}

#[tokio::test]
async fn what_was_not_signed_can_be_withdrawn_and_what_was_cannot() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let asking = Asking::of(&id, &["cancel.example.com"]);
    let issued = certificate(submit(&cm, &asking).await);
    let request = asking.key.as_str().parse().unwrap();
    let late = cm.cancel(&open, &request).await;
    assert!(matches!(&late, Err(CmError::AlreadyIssued(known)) if **known == issued), "{late:?}");
    cm.cancel(&open, &"neverasked".parse().unwrap()).await.unwrap();
    let refused = Asking::of(&id, &["cancel.example.com"]).with("notAfter", "2040-01-01T00:00:00Z");
    assert!(submit(&cm, &refused).await.is_err());
    cm.cancel(&open, &refused.key.as_str().parse().unwrap()).await.unwrap();
    assert!(matches!(submit(&cm, &refused).await, Ok(RequestState::Refused { .. })));
}

#[tokio::test]
async fn the_outcome_of_the_gateways_checks_is_kept_with_the_request() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let asking = Asking::of(&id, &["delivery.example.com"]);
    let _issued = certificate(submit(&cm, &asking).await);
    let request = asking.key.as_str().parse().unwrap();
    for _ in 0..2 {
        cm.confirm_delivery(&open, &request, &cm_connector::Delivery::Accepted).await.unwrap();
    }
    let record = SHARED.root(&["read", "-format=json", &format!("acme/open/cm/data/req/{}", asking.key)], None);
    assert_eq!(record["data"]["data"]["delivery"], json!({"outcome": "accepted"}));
    assert_eq!(record["data"]["data"]["state"], json!("issued"));
}

pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

pub(crate) fn dashed(serial: &str) -> String {
    let digits = if serial.len().is_multiple_of(2) { serial.to_owned() } else { format!("0{serial}") };
    digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect::<Vec<_>>().join("-")
}

fn openssl_sha256(octets: &[u8]) -> [u8; 32] {
    openssl::sha::sha256(octets)
}

/// Looks again and again, for two minutes.
pub(crate) async fn tests_wait<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(200));
    loop {
        pace.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "not within two minutes");
    }
}

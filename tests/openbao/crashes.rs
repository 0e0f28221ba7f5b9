//! A gateway or an officer's program that dies between two records: each time the same request goes on.

use acme::{ids::IdempotencyKey, problem::ProblemKind};
use cm_connector::{Certificate, CertificateManager, CertificateStatus, CmError};
use serde_json::{Value, json};

use crate::{
    SHARED, gateway,
    issuance::{certificate, dashed, hex, submit},
    person::{Asking, Person, no_proof},
    realm,
};

/// Writes a record of the realm `open` behind everybody's back.
fn write(record: &str, version: u64, data: &Value) {
    let body = json!({"options": {"cas": version}, "data": data});
    let _ = SHARED.root(&["write", "-format=json", &format!("acme/open/cm/data/{record}"), "-"], Some(&body));
}

fn read(record: &str) -> (u64, Value) {
    let stored = SHARED.root(&["read", "-format=json", &format!("acme/open/cm/data/{record}")], None);
    (stored["data"]["metadata"]["version"].as_u64().unwrap(), stored["data"]["data"].clone())
}

fn delete(record: &str) {
    let _ = SHARED.root(&["delete", "-format=json", &format!("acme/open/cm/metadata/{record}")], None);
}

#[tokio::test]
async fn a_key_change_that_died_after_the_new_key_was_claimed_goes_on() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let (person, next) = (Person::new(), Person::new());
    let before = person.register(&cm).await.registration;
    write(&format!("key/{}", next.public_key().thumbprint()), 0, &json!({"registration": before.id}));
    // Until then it is nobody's key, and nobody else's for ever.
    assert_eq!(cm.registration_by_key(&open, &next.public_key().thumbprint()).await.unwrap(), None);
    let other = cm.create_registration(&open, &next.request()).await;
    assert!(matches!(&other, Err(CmError::KeyInUse { registration: Some(id) }) if *id == before.id), "{other:?}");
    let stranger = Person::new().register(&cm).await.registration;
    let stolen = cm.change_key(&open, &stranger, &next.public_key(), &no_proof()).await;
    assert!(matches!(stolen, Err(CmError::KeyInUse { .. })), "{stolen:?}");
    let after = cm.change_key(&open, &before, &next.public_key(), &no_proof()).await.unwrap();
    assert_eq!((&after.id, after.key.unwrap().key), (&before.id, next.public_key()));
}

#[tokio::test]
async fn an_account_whose_key_was_claimed_and_no_more_is_made_by_the_same_request() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let person = Person::new();
    let thumbprint = person.public_key().thumbprint();
    write(&format!("key/{thumbprint}"), 0, &json!({"registration": "reg_claimed_and_no_more"}));
    assert_eq!(cm.registration_by_key(&open, &thumbprint).await.unwrap(), None);
    let made = person.register(&cm).await;
    assert_eq!((made.created, made.registration.id.as_str()), (true, "reg_claimed_and_no_more"));
}

async fn issued(asking: &Asking) -> Certificate {
    certificate(submit(&gateway(&SHARED), asking).await)
}

#[tokio::test]
async fn what_was_written_down_of_a_certificate_in_part_is_completed() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    // The records of an issuance, in the order in which they are written: those from here on were not.
    for (written, name) in [(1, "one.part.example.com"), (2, "two.part.example.com")] {
        let asking = Asking::of(&id, &[name]);
        let first = issued(&asking).await;
        let request = format!("req/{}", asking.key);
        let (version, mut data) = read(&request);
        (data["state"], data["serial"]) = (json!("intent"), Value::Null);
        write(&request, version, &data);
        let records =
            [format!("cert/{}", dashed(&first.claims.serial)), format!("digest/{}", hex(&first.claims.sha256))];
        records.iter().skip(written).for_each(|record| delete(record));
        assert_eq!(issued(&asking).await, first, "{written}");
        assert_eq!(cm.find_certificate(&open, &first.claims.sha256).await.unwrap(), Some(first));
        assert_eq!(read(&request).1["state"], "issued");
    }
}

#[tokio::test]
async fn a_revocation_that_died_after_its_reason_was_written_is_made_by_whoever_asks_next() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let octets = |certificate: &Certificate| {
        let basis = json!({"type": "account", "registration": id});
        let sha256 = hex(&certificate.claims.sha256);
        json!({"reason": "superseded", "basis": basis, "certificateSha256": sha256}).to_string().into_bytes()
    };
    for (key, reason) in [("died-key-0000001", "keyCompromise"), ("other-key-000001", "superseded")] {
        let issued = issued(&Asking::of(&id, &["died.example.com"])).await;
        let record = format!("cert/{}", dashed(&issued.claims.serial));
        let (version, mut data) = read(&record);
        data["revocation"] = json!({"request": "died-key-0000001", "reason": "keyCompromise", "basis": "account"});
        write(&record, version, &data);
        let known = cm.certificate(&open, &issued.id).await.unwrap().unwrap();
        assert_eq!((known.status, known.revocation), (CertificateStatus::Good, None), "a reason revokes nothing");
        let key: IdempotencyKey = key.parse().unwrap();
        let revoked = cm.revoke(&open, &issued.id, &key, &octets(&issued)).await.unwrap();
        let known = cm.certificate(&open, &issued.id).await.unwrap().unwrap().revocation.unwrap();
        assert_eq!((known.at, known.reason.as_str()), (revoked.at, reason));
    }
}

#[tokio::test]
async fn an_intent_that_was_never_signed_is_withdrawn_and_stays_so() {
    let (cm, open) = (gateway(&SHARED), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let asking = Asking::of(&id, &["withdrawn.example.com"]).with("notAfter", "2040-01-01T00:00:00Z");
    let refused = submit(&cm, &asking).await;
    assert!(
        matches!(&refused, Err(CmError::Refused(problem)) if problem.kind == ProblemKind::Malformed),
        "{refused:?}"
    );
    assert_eq!(read(&format!("req/{}", asking.key)).1["state"], "refused");
    assert_eq!(cm.request_by_key(&open, &asking.key).await.unwrap(), None);
    cm.cancel(&open, &asking.key.as_str().parse().unwrap()).await.unwrap();
    cm.cancel(&open, &asking.key.as_str().parse().unwrap()).await.unwrap();
    assert_eq!(read(&format!("req/{}", asking.key)).1["state"], "cancelled");
}

//! Mass replacement: an operator has everything renewed that is as old.

use cm_connector::CertificateManager;

use crate::{
    certificates::now,
    fresh, gateway,
    issuance::{certificate, submit},
    person::{Asking, Person},
    realm,
};

#[tokio::test]
async fn what_begins_before_a_time_is_renewed_at_once_when_an_operator_says_so() {
    let bao = fresh();
    bao.prepare("open", "open", &[]);
    let (cm, open) = (gateway(&bao), realm("open"));
    let id = Person::new().register(&cm).await.registration.id;
    let issued = certificate(submit(&cm, &Asking::of(&id, &["renew.example.com"])).await);
    let window = async || cm.renewal_info(&open, &issued.id).await.unwrap().unwrap();
    let usual = window().await;
    assert!(usual.start > now());
    let say = |version: &str, time: &str| {
        let said = format!("renewIssuedBefore={time}");
        let _ =
            bao.said(&["kv", "patch", "-format=json", "-mount=acme/open/cm", version, "realm", &said], None).unwrap();
    };
    // What is issued until then would be renewed again and again.
    say("-cas=1", "2100-01-01T00:00:00Z");
    assert_eq!(window().await, usual);
    say("-cas=2", &issued.not_before.to_string());
    assert_eq!(window().await, usual, "it began at that time, and not before it");
    let time = issued.not_before.plus(std::time::Duration::from_secs(1));
    say("-cas=3", &time.to_string());
    assert_eq!(window().await.end, time);
    let end =
        ["kv", "patch", "-format=json", "-mount=acme/open/cm", "-cas=4", "-remove-data=renewIssuedBefore", "realm"];
    let _ = bao.said(&end, None).unwrap();
    assert_eq!(window().await, usual);
    assert_eq!(cm.profiles(&open).await.unwrap().len(), 1, "nothing else of the realm changed");
}

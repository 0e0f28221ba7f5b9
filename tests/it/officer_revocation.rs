//! What a registration officer revokes in the CM, and what clients see of it.

use serde_json::{Value, json};

use super::renewal_info::{certificate_id, now, window};
use crate::world;

#[test]
fn a_certificate_that_an_officer_revoked_is_revoked_for_its_client_too() {
    let (client, _) = world().registered_account(&json!({"mode": "any"}));
    let issued = client.issue(&["withdrawn.officer.test"]);
    let certificate = certificate_id(&issued.leaf);
    world().officer().revoke(&certificate, &issued.leaf.to_der().unwrap());
    let _ = client.revoke(&issued.leaf, Value::Null).assert_refused(400, "alreadyRevoked");
    let url = format!("{}/{certificate}", client.url("renewal-info"));
    let (_, end) = window(&client.site().get(&url).expect(200));
    assert!(end <= now(), "it should have been renewed by {end}");
    assert_eq!(client.read(&issued.order_url).expect(200).json()["status"], "valid", "the order is not affected");
    assert_eq!(client.read(&issued.url).expect(200).text(), issued.pem);
}

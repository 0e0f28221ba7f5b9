//! Answers of the CM (CM contract section 10): it is trusted, and yet nothing it says may end us.

use acme::ids::RealmName;

pub(crate) fn run(octets: &[u8]) {
    let Ok(realm) = RealmName::parse("tls") else { return };
    let _ = cm_connector::rest::answers::kinds(&realm, octets);
}

//! Certificates that are not revoked (RFC 8555 §7.6).

use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    x509::{X509, X509Builder},
};
use serde_json::{Value, json};
use tests::{
    base64url,
    client::{Client, Issued, revocation},
    key::{Key, Kind},
    response::Response,
};

use super::{Row, prove, trial::Trial};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-152", "What is no certificate of ours is not revoked", 400, "malformed", |trial| {
        let (client, issued) = issued(trial, "garbage.revocation.test");
        let url = client.url("revoke-cert");
        let der = base64url(issued.leaf.to_der().unwrap());
        for (what, payload) in [
            ("no member", json!({})),
            ("a number", json!({"certificate": 7})),
            ("three octets", json!({"certificate": "AAAA"})),
            ("nothing", json!({"certificate": ""})),
            ("PEM", json!({"certificate": issued.pem})),
            ("padding", json!({"certificate": format!("{der}=")})),
            ("an octet too many", json!({"certificate": base64url([issued.leaf.to_der().unwrap(), vec![0]].concat())})),
        ] {
            let _ = trial.refuse(what, || client.post(&url, &payload));
        }
        let _ = trial.refuse("POST-as-GET", || client.read(&url));
        let root = X509::from_pem(&std::fs::read(client.site().pki("root.pem")).unwrap()).unwrap();
        trial.refuse_as("another CA's certificate", 404, "malformed", || client.revoke(&root, Value::Null));
        still_good(&client, &issued);
    }),
    Row::refused("N-153", "An account does not revoke what is another's", 403, "unauthorized", |trial| {
        let (owner, issued) = issued(trial, "theirs.revocation.test");
        let other = trial.account();
        let _ = trial.refuse("an account without authorizations", || other.revoke(&issued.leaf, Value::Null));
        let _ = other.ready_order(&["mine.revocation.test"]);
        trial.watch(&other);
        let _ = trial.refuse("an account with others", || other.revoke(&issued.leaf, Value::Null));
        still_good(&owner, &issued);
    }),
    Row::refused("N-154", "A key that is not the certificate's does not revoke it", 403, "unauthorized", |trial| {
        let (client, issued) = issued(trial, "key.revocation.test");
        for (what, key) in [
            ("a new key", Key::p256()),
            ("a new key of another kind", Key::generate(Kind::Rsa(2048))),
            ("the account's key", client.key.clone()),
        ] {
            let _ = trial.refuse(what, || revoke_by_key(&client, &issued.leaf, &key));
        }
        still_good(&client, &issued);
    }),
    Row::refused("N-155", "Subscribers give the reasons that are theirs", 400, "badRevocationReason", |trial| {
        let (client, issued) = issued(trial, "reason.revocation.test");
        for reason in [7, 11, -1, 6, 2, 8, 9, 10, 1_000_000] {
            let response = trial.refuse(&reason.to_string(), || client.revoke(&issued.leaf, reason));
            let detail = response.member("detail");
            assert!(
                ["0", "1", "3", "4", "5"].iter().all(|good| detail.contains(good)),
                "those that are taken: {detail}"
            );
        }
        still_good(&client, &issued);
    }),
    Row::refused("N-156", "A reason is a whole number", 400, "malformed", |trial| {
        let (client, issued) = issued(trial, "text.revocation.test");
        for reason in [json!("1"), json!(1.5), json!([1]), json!(true)] {
            let _ = trial.refuse(&reason.to_string(), || client.revoke(&issued.leaf, reason.clone()));
        }
        still_good(&client, &issued);
    }),
    Row::refused("N-157", "A certificate is revoked once", 400, "alreadyRevoked", |trial| {
        let (client, issued) = issued(trial, "twice.revocation.test");
        let _ = client.revoke(&issued.leaf, 4).expect(200);
        let _ = trial.refuse("again", || client.revoke(&issued.leaf, 4));
        let _ = trial.refuse("for another reason", || client.revoke(&issued.leaf, 5));
    }),
    Row::refused("N-158", "A certificate that only looks like ours is not found", 404, "malformed", |trial| {
        let (client, issued) = issued(trial, "twin.revocation.test");
        let key = Key::p256();
        let twin = twin_of(&issued.leaf, &key);
        let _ = trial.refuse("the same serial, by the account", || client.revoke(&twin, Value::Null));
        let _ = trial.refuse("the same serial, by its key", || revoke_by_key(&client, &twin, &key));
        let mut der = issued.leaf.to_der().unwrap();
        // Into the signature, which is the last thing in it.
        let at = der.len() - 4;
        der[at] ^= 1;
        let payload = json!({"certificate": base64url(&der)});
        let _ = trial.refuse("one bit of the signature", || client.post(&client.url("revoke-cert"), &payload));
        still_good(&client, &issued);
    }),
];

#[test]
fn certificates_that_are_not_revoked_stay_good() {
    prove(ROWS);
}

/// A certificate of a watched account.
fn issued(trial: &mut Trial, name: &str) -> (Client, Issued) {
    let client = trial.account();
    let issued = client.issue(&[name]);
    trial.watch_also(&client, &[&issued.url]);
    (client, issued)
}

/// That it can be revoked now shows that it was not revoked before.
fn still_good(client: &Client, issued: &Issued) {
    let _ = client.revoke(&issued.leaf, Value::Null).expect(200);
}

/// revokeCert signed by a key that is in the request.
fn revoke_by_key(client: &Client, certificate: &X509, key: &Key) -> Response {
    let url = client.url("revoke-cert");
    client.send(&url, &client.self_signed(&url, &revocation(certificate, Value::Null), key).sign())
}

/// A certificate with the serial number and names of another one, signed by somebody else.
fn twin_of(certificate: &X509, key: &Key) -> X509 {
    let mut twin = X509Builder::new().unwrap();
    twin.set_version(2).unwrap();
    twin.set_serial_number(certificate.serial_number()).unwrap();
    twin.set_subject_name(certificate.subject_name()).unwrap();
    twin.set_issuer_name(certificate.issuer_name()).unwrap();
    twin.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    twin.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    twin.set_pubkey(key.pkey()).unwrap();
    twin.sign(key.pkey(), MessageDigest::sha256()).unwrap();
    twin.build()
}

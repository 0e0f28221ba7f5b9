//! Records for tests.

use std::time::Duration;

use acme::{
    authorization::{Authorization, Response},
    challenge::{Challenge, ChallengeKind, Evidence, KeyAuthorization, Token},
    identifier::Identifier,
    ids::{AuthorizationId, EndpointName, OrderId, ProfileName, RegistrationId},
    order::{Order, Progress},
    secret::Secret,
    time::Timestamp,
};

use crate::RecordSeal;

pub(crate) const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

pub(crate) fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

pub(crate) fn endpoint() -> EndpointName {
    EndpointName::parse("open").unwrap()
}

pub(crate) fn account(text: &str) -> RegistrationId {
    RegistrationId::parse(text).unwrap()
}

pub(crate) fn order_id(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

pub(crate) fn order(text: &str, created: Timestamp) -> Order {
    Order {
        id: order_id(text),
        endpoint: endpoint(),
        account: account("reg_1"),
        identifiers: vec![Identifier::parse_dns("a.test").unwrap()],
        authorizations: vec![AuthorizationId::parse("a1").unwrap()],
        reused: Vec::new(),
        profile: ProfileName::parse("tls-server").unwrap(),
        replaces: None,
        not_before: None,
        not_after: None,
        created,
        expires: created.plus(Duration::from_secs(3600)),
        progress: Progress::Open,
    }
}

pub(crate) fn authorization(text: &str) -> Authorization {
    Authorization {
        id: AuthorizationId::parse(text).unwrap(),
        endpoint: endpoint(),
        account: account("reg_1"),
        identifier: Identifier::parse_dns("a.test").unwrap(),
        challenges: vec![Challenge::new(ChallengeKind::Http01, Token::from_random([7; 32]))],
        expires: after(3600),
        deactivated_at: None,
        revoked_at: None,
    }
}

/// An authorization that was proven so many seconds after [`NOW`].
pub(crate) fn proven_at(text: &str, seconds: u64) -> Authorization {
    let thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".parse().unwrap();
    let key = KeyAuthorization::new(&Token::from_random([7; 32]), &thumbprint);
    let Ok(Response::Started(started)) = authorization(text).respond(ChallengeKind::Http01, key, NOW) else {
        panic!("{text} is pending")
    };
    let evidence = Evidence {
        perspective: String::from("local"),
        source: String::from("192.0.2.1"),
        target: String::from("192.0.2.2:80"),
        at: after(seconds),
        caa: None,
        reusable_until: None,
    };
    started.record_valid(ChallengeKind::Http01, evidence)
}

/// The seal of one of many secrets.
pub(crate) fn seal(secret: u8) -> RecordSeal {
    RecordSeal::derive(&Secret::new([secret; 32])).unwrap()
}

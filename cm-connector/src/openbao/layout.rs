//! Where things are in OpenBao. Each realm has three mounts of its own below one path:
//!
//! | mount | engine | what |
//! | --- | --- | --- |
//! | `MOUNT/REALM/pki` | pki | issues what the realm asks for and nothing else; a role is a profile |
//! | `MOUNT/REALM/eab` | transit | one HMAC key for each external account key, named by its kid |
//! | `MOUNT/REALM/cm` | kv, version 2, `cas_required` | the records of [`super::records`] |
//!
//! Who may write a record is decided by its path, so that OpenBao, and not our code, keeps officer and
//! gateway apart: `realm`, `prereg/` and `hold/` are the officer's, `acct/`, `req/`, `order/` and `cert/`
//! the gateway's, and `key/`, `bind/` and `digest/` can be created and never changed.

use std::fmt;

use acme::{
    account_key::Thumbprint,
    ids::{IdempotencyKey, OrderId, RealmName, RegistrationId},
};

/// The key identifier of an external account, as far as it can be a path. Clients may send any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kid(String);

impl Kid {
    /// Takes a kid; `None` if no officer can have given it out: it is 1 to 64 characters of
    /// `A-Z a-z 0-9 _ - .` and begins with a letter or a digit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The alphabet of all ids.
        RegistrationId::parse(text).ok().map(|id| Self(id.as_str().to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The serial of a certificate, as OpenBao writes it: lowercase hex octets between colons.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Serial(String);

impl Serial {
    /// From the octets of the serial, leading zeros or not; `None` if there are none, or more than a serial can have.
    #[must_use]
    pub fn of(octets: &[u8]) -> Option<Self> {
        const OCTETS_MAX: usize = 20;
        let significant: Vec<u8> = octets.iter().copied().skip_while(|octet| *octet == 0).collect();
        let hex: Vec<String> = significant.iter().map(|octet| format!("{octet:02x}")).collect();
        (1..=OCTETS_MAX).contains(&hex.len()).then(|| Self(hex.join(":")))
    }

    /// From OpenBao's own form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let octets = text.split(':').map(|octet| u8::from_str_radix(octet, 16).ok()).collect::<Option<Vec<u8>>>()?;
        Self::of(&octets)
    }

    /// The octets between colons, as OpenBao's parameters and answers have them.
    #[must_use]
    pub fn colons(&self) -> &str {
        &self.0
    }

    /// The same between hyphens, as paths have them.
    #[must_use]
    pub fn hyphens(&self) -> String {
        self.0.replace(':', "-")
    }

    /// The same without anything between them, as the contract has them.
    #[must_use]
    pub fn plain(&self) -> String {
        self.0.replace(':', "")
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What a record is about; its place in the realm's store follows from it.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// What the realm is: [`super::records::Realm`].
    Realm,
    /// A pre-registration: [`super::records::PreRegistration`].
    PreRegistration(&'a Kid),
    /// An officer's word about a registration: [`super::records::Hold`].
    Hold(&'a RegistrationId),
    /// The client's side of a registration: [`super::records::Account`].
    Account(&'a RegistrationId),
    /// Whose account key it is: [`super::records::Key`].
    Key(&'a Thumbprint),
    /// One use of a pre-registration, from 1: [`super::records::Binding`].
    Binding(&'a Kid, u32),
    /// A certificate request: [`super::records::Request`].
    Request(&'a IdempotencyKey),
    /// Which request is the order's: [`super::records::Order`].
    Order(&'a OrderId),
    /// What is known of a certificate beside itself: [`super::records::Certificate`].
    Certificate(&'a Serial),
    /// Which certificate has this SHA-256: [`super::records::Digest`].
    Digest(&'a [u8; 32]),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Realm => out.write_str("realm"),
            Self::PreRegistration(kid) => write!(out, "prereg/{}", kid.as_str()),
            Self::Hold(id) => write!(out, "hold/{id}"),
            Self::Account(id) => write!(out, "acct/{id}"),
            Self::Key(thumbprint) => write!(out, "key/{thumbprint}"),
            Self::Binding(kid, number) => write!(out, "bind/{}/{number}", kid.as_str()),
            Self::Request(key) => write!(out, "req/{key}"),
            Self::Order(order) => write!(out, "order/{order}"),
            Self::Certificate(serial) => write!(out, "cert/{}", serial.hyphens()),
            Self::Digest(sha256) => write!(out, "digest/{}", data_encoding::HEXLOWER.encode(*sha256)),
        }
    }
}

/// The mounts of one realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounts {
    below: String,
}

impl Mounts {
    /// Those of a realm below this path.
    #[must_use]
    pub fn of(mount: &str, realm: &RealmName) -> Self {
        Self { below: format!("/v1/{mount}/{realm}") }
    }

    /// The path of a record.
    #[must_use]
    pub fn record(&self, place: Place<'_>) -> String {
        format!("{}/cm/data/{place}", self.below)
    }

    /// The path that lists the uses of a pre-registration.
    #[must_use]
    pub fn bindings(&self, kid: &Kid) -> String {
        format!("{}/cm/metadata/bind/{}?list=true", self.below, kid.as_str())
    }

    /// The path that lists the records of a kind, such as `prereg`.
    #[must_use]
    pub fn records(&self, kind: &str) -> String {
        format!("{}/cm/metadata/{kind}/?list=true", self.below)
    }

    /// A path of the realm's external account keys, such as `keys/kid-1`.
    #[must_use]
    pub fn transit(&self, rest: &str) -> String {
        format!("{}/eab/{rest}", self.below)
    }

    /// The path that verifies a MAC by HMAC-SHA256.
    #[must_use]
    pub fn verify(&self, kid: &Kid) -> String {
        format!("{}/eab/verify/{}/sha2-256", self.below, kid.as_str())
    }

    /// A path of the realm's CA, such as `revoke`.
    #[must_use]
    pub fn pki(&self, rest: &str) -> String {
        format!("{}/pki/{rest}", self.below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_lie_where_the_policies_of_the_deployment_look_for_them() {
        let mounts = Mounts::of("acme", &"tls".parse().unwrap());
        let kid = Kid::parse("kid-1").unwrap();
        let id = RegistrationId::parse("reg_1").unwrap();
        let serial = Serial::of(&[0, 0x43, 0x40]).unwrap();
        let table = [
            (Place::Realm, "realm"),
            (Place::PreRegistration(&kid), "prereg/kid-1"),
            (Place::Hold(&id), "hold/reg_1"),
            (Place::Account(&id), "acct/reg_1"),
            (Place::Binding(&kid, 7), "bind/kid-1/7"),
            (Place::Certificate(&serial), "cert/43-40"),
        ];
        for (place, expected) in table {
            assert_eq!(mounts.record(place), format!("/v1/acme/tls/cm/data/{expected}"));
        }
        assert_eq!(mounts.verify(&kid), "/v1/acme/tls/eab/verify/kid-1/sha2-256");
    }

    #[test]
    fn a_kid_that_is_no_path_is_nobodys() {
        assert!(Kid::parse("kid-2026-0417").is_some());
        for refused in ["", "a/b", "../prereg/x", "a?list=true", "a%2fb", "ä", &"a".repeat(65)] {
            assert_eq!(Kid::parse(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_serial_has_one_form() {
        let serial = Serial::parse("43:0f:92").unwrap();
        assert_eq!(Serial::of(&[0x43, 0x0f, 0x92]), Some(serial.clone()));
        assert_eq!((serial.hyphens().as_str(), serial.plain().as_str()), ("43-0f-92", "430f92"));
        assert!(Serial::of(&[]).is_none() && Serial::of(&[0, 0]).is_none() && Serial::of(&[1; 21]).is_none());
        assert!(Serial::parse("43:zz").is_none());
    }
}

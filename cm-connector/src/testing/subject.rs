//! What a CM under test must give to the suite: gateways at it, an officer, a way to kill it, and its own books.

use std::{net::SocketAddr, sync::Arc};

use acme::{
    account_key::PublicKey,
    ids::{CertificateRequestId, ProfileName, RealmName, RegistrationId},
    registration::RegistrationStatus,
    time::Timestamp,
};
use serde_json::{Map, Value};

use crate::{CertificateManager, DirectoryToken};

/// A real CM with an adapter before it, and what only its surroundings can do. Methods block; they panic where the CM
/// does not do what an officer may expect, because then nothing can be said about the adapter.
///
/// It has three realms. `Open` makes accounts for anybody and lets them have any name. `Registered` has pre-registrations
/// only. `Foreign` is like `Registered`, but not given to the gateway.
pub trait Subject: Send + Sync {
    /// The adapter's name, for the table of differences.
    fn adapter(&self) -> &'static str;

    /// What keys and CSRs are made with.
    fn cryptography(&self) -> &dyn Cryptography;

    /// What the CM calls one of its realms.
    fn realm(&self, realm: Realm) -> RealmName;

    /// `https://HOST/acme/NAME`, without a slash at the end: where clients of this realm send their requests, as far as
    /// the CM knows.
    fn acme_base(&self, realm: &RealmName) -> String;

    /// Where the CM listens.
    fn address(&self) -> SocketAddr;

    /// One more adapter, as in a gateway that has just been started: it remembers nothing. It talks to this address,
    /// which is the CM's or leads there, with the certificate of somebody.
    fn gateway_at(&self, address: SocketAddr, caller: Caller) -> Arc<dyn CertificateManager>;

    /// Pre-registers a client, as an officer does.
    fn preregister(&self, realm: &RealmName, wish: &Preregistration) -> ExternalAccount;

    /// Draws a directory link of a registration. Called only if the CM has the capability `directory-links`.
    fn draw_link(&self, realm: &RealmName, id: &RegistrationId) -> DirectoryToken;

    /// Suspends a registration, takes it back, or revokes it, as an officer does.
    fn set_status(&self, realm: &RealmName, id: &RegistrationId, status: RegistrationStatus);

    /// Lets a registration have names at and below this one and no others, as an officer does.
    fn narrow(&self, realm: &RealmName, id: &RegistrationId, suffix: &str);

    /// A profile of the realm `Registered` whose requests wait for a person; it exists exactly if the CM has the
    /// capability `approvals`.
    fn approving_profile(&self) -> Option<ProfileName>;

    /// Decides a request that waits, as an approver does. What it says if the CM refuses.
    ///
    /// # Errors
    /// The CM's words.
    fn decide(&self, realm: &RealmName, id: &CertificateRequestId, decision: Decision) -> Result<(), String>;

    /// How many certificates there are for this name in the CM's own list: not what the adapter has written down.
    fn certificates(&self, realm: &RealmName, name: &str) -> usize;

    /// Tries something that is an officer's with the gateway's own credentials, past the adapter.
    ///
    /// # Errors
    /// How the CM refused: as it should.
    fn attempt(&self, act: OfficersAct, realm: &RealmName, account: &ExternalAccount) -> Result<(), String>;

    /// Ends the CM at once (SIGKILL). Called for a subject of a case's own only.
    fn kill(&self);

    /// Starts it again at the same address, and returns when it serves.
    fn restart(&self);

    /// A gateway straight at the CM.
    fn gateway(&self) -> Arc<dyn CertificateManager> {
        self.gateway_at(self.address(), Caller::Gateway)
    }
}

/// One of the realms that a subject has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm {
    /// Anybody makes accounts.
    Open,
    /// Officers pre-register.
    Registered,
    /// As before, but of another gateway.
    Foreign,
}

/// Whose certificate an adapter shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The gateway's.
    Gateway,
    /// A registration officer's.
    Officer,
    /// One that gives no role at the CM.
    Stranger,
}

/// What an officer wishes for a client.
#[derive(Debug, Clone, Default)]
pub struct Preregistration {
    /// How many accounts may come of it; `None` for one that uses it up.
    pub many: Option<u32>,
    /// Names at and below these; none for any name.
    pub suffixes: Vec<&'static str>,
    /// Profiles beside the realm's default one, which then has to be among them; none for that one only.
    pub profiles: Vec<ProfileName>,
    /// When binding begins.
    pub not_before: Option<Timestamp>,
}

/// What an officer hands on to a client.
#[derive(Debug, Clone)]
pub struct ExternalAccount {
    /// The pre-registration.
    pub registration: RegistrationId,
    /// The key id.
    pub kid: String,
    /// The secret.
    pub secret: Vec<u8>,
}

/// What an approver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Approve,
    /// No.
    Reject,
}

/// What a stolen gateway would like to do (CM contract section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfficersAct {
    /// Pre-register a client of its own.
    Preregister,
    /// Lift a suspension.
    Resume,
    /// Let a registration have more names.
    Widen,
    /// Get hold of an external account's secret, or a new one.
    TakeSecret,
}

impl OfficersAct {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Preregister, Self::Resume, Self::Widen, Self::TakeSecret];
}

/// Cryptography from outside: with another library than the product's, so that no mistake sits on both sides.
pub trait Cryptography: Send + Sync {
    /// A fresh key for an account or a certificate.
    fn new_key(&self) -> Box<dyn ClientKey>;
    /// HMAC with SHA-256.
    fn mac(&self, secret: &[u8], input: &[u8]) -> Vec<u8>;
}

/// A private key of a client.
pub trait ClientKey: Send + Sync {
    /// The public key as a JWK.
    fn jwk(&self) -> Map<String, Value>;
    /// The JWS algorithm.
    fn algorithm(&self) -> &'static str;
    /// A JWS signature.
    fn sign(&self, input: &[u8]) -> Vec<u8>;
    /// A CSR in DER.
    fn csr(&self, wanted: &Wanted<'_>) -> Vec<u8>;

    /// The public key as the product knows it.
    fn public_key(&self) -> PublicKey {
        PublicKey::from_jwk(&self.jwk()).expect("it makes keys that accounts can have")
    }
}

/// What a CSR asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The alternative names.
    pub names: &'a [&'a str],
    /// The common name.
    pub common_name: Option<&'a str>,
}

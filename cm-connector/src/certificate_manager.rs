//! What the gateway asks of any CM.
//!
//! One method is one operation of the CM contract (sections 4.1 to 4.6). An adapter turns each
//! answer into acme types and each failure into what the caller has to do ([`CmError`]). It
//! repeats a call by itself only where that cannot do harm; recovery of a certificate request
//! whose answer was lost belongs to the caller, who asks [`CertificateManager::request_by_key`]
//! before anything else.

use std::time::Duration;

use acme::{
    account_key::{PublicKey, Thumbprint},
    caa::CaaEvidence,
    certificate::CertificateId,
    ids::{AuthorizationId, CertificateRequestId, IdempotencyKey, IssuerName, OrderId, RealmName, RegistrationId},
    profile::Profile,
    registration::Registration,
};
use async_trait::async_trait;

use crate::{
    Capability, Certificate, CertificateRequest, CmError, Condition, Delivery, EventCursor, Events, Identity, Issuer,
    Listener, NewRegistration, Outcome, Proof, Registered, RegistrationUpdate, RenewalInfo, RequestState, Revocation,
    Revoked,
};

/// The outside Certificate Manager, the permanent authority over registrations and certificates.
///
/// Every error is a [`CmError`], whose variant says what to do. Deadlines are the adapter's: a
/// question takes at most 10 s, a write 20 s and [`CertificateManager::submit`] 30 s. Methods that
/// need several calls, such as a write that finds a newer version, can take their sum.
#[async_trait]
pub trait CertificateManager: Send + Sync {
    /// Who we are to the CM, what it can do and what time it has. Asked at start and after each
    /// change of credentials (CM contract section 4.1).
    ///
    /// # Errors
    /// [`CmError::Internal`] if the CM does not see a gateway, or not one of all these realms, or
    /// if it lacks what every issuance needs; then the gateway must not start.
    async fn check_identity(&self, realms: &[RealmName]) -> Result<Identity, CmError>;

    /// Whether the CM could do this when [`CertificateManager::check_identity`] was answered last;
    /// true before that. Nothing is asked.
    fn offers(&self, capability: Capability) -> bool {
        let _every = capability;
        true
    }

    /// Why the CM was not as the gateway needs it when [`CertificateManager::check_identity`] was
    /// answered last: role, realms or capabilities; for operators. Nothing is asked.
    fn unfit(&self) -> Option<String> {
        None
    }

    /// How circuit and queues are now. Nothing is asked.
    fn condition(&self) -> Condition {
        Condition::default()
    }

    /// Has this one told of each attempt of each call from now on, whoever makes it; the first who asks stays.
    fn listen(&self, listener: Listener) {
        drop(listener);
    }

    /// Returns when the CM answers again after calls failed at once: time to look whether it is what
    /// it was (CM contract section 8). Of several who wait one is told.
    async fn reconnected(&self) {
        std::future::pending().await
    }

    /// Whether the CM says that it is ready. Not held back while other calls fail at once.
    async fn ready(&self) -> Result<(), CmError>;

    /// The registration with this id, with its parent's suspension taken into account; `None` if
    /// the realm has none.
    async fn registration(&self, realm: &RealmName, id: &RegistrationId) -> Result<Option<Registration>, CmError>;

    /// The registration that this account key is bound to.
    async fn registration_by_key(&self, realm: &RealmName, key: &Thumbprint) -> Result<Option<Registration>, CmError>;

    /// Creates a registration in open mode, or finds the one that has this key. Repeating it with
    /// the same idempotency key is harmless.
    async fn create_registration(&self, realm: &RealmName, request: &NewRegistration) -> Result<Registered, CmError>;

    /// Binds an account key to the pre-registration that `binding` names. The CM checks MAC or token
    /// and consumes the pre-registration in one transaction. Repeating it is harmless.
    async fn bind_registration(&self, realm: &RealmName, request: &NewRegistration) -> Result<Registered, CmError>;

    /// Changes what a client may change in its registration. If the registration changed since it
    /// was read it is read again and the change is tried once more; but if it has another key by
    /// then, the change is refused, for the word it rests on is not worth anything any more.
    async fn update_registration(
        &self,
        realm: &RealmName,
        registration: &Registration,
        update: &RegistrationUpdate,
        proof: &Proof,
    ) -> Result<Registration, CmError>;

    /// Gives a registration up for good, on its client's word. Harmless to repeat.
    async fn deactivate(
        &self,
        realm: &RealmName,
        registration: &Registration,
        proof: &Proof,
    ) -> Result<Registration, CmError>;

    /// Binds another account key to a registration in place of the one it has, which is never
    /// accepted again in the realm (RFC 8555 §7.3.5). Harmless to repeat: the CM knows a repetition
    /// by its keys. Of two changes at once the first wins.
    ///
    /// # Errors
    /// [`CmError::KeyInUse`] if the new key belongs to a registration already;
    /// [`CmError::Refused`] if this one has meanwhile got a third key.
    async fn change_key(
        &self,
        realm: &RealmName,
        registration: &Registration,
        new_key: &PublicKey,
        proof: &Proof,
    ) -> Result<Registration, CmError>;

    /// The exact octets that ask for this certificate: the caller stores them, together with the
    /// idempotency key, before it calls [`CertificateManager::submit`], and never makes them anew.
    ///
    /// # Errors
    /// [`CmError::Internal`] if they would be larger than the CM takes.
    fn certificate_request(&self, request: &CertificateRequest) -> Result<Vec<u8>, CmError>;

    /// The octets of a request that was certainly never sent, with these looks at CAA records in
    /// place of older ones, each for the authorization that it is about.
    ///
    /// # Errors
    /// [`CmError::Internal`] if the octets are not those of a request, or would be too many.
    fn renew_caa(&self, request: &[u8], looks: &[(AuthorizationId, CaaEvidence)]) -> Result<Vec<u8>, CmError>;

    /// Asks for a certificate and lets the CM take up to `wait` (at most 25 s) to answer with it.
    /// Sent once, never repeated here.
    ///
    /// # Errors
    /// After an error with [`Outcome::Unknown`](crate::Outcome::Unknown) ask
    /// [`CertificateManager::request_by_key`]; if the CM does not know the key, submit the same key
    /// and octets again. Any refusal means that nothing was or will be issued under this key.
    async fn submit(
        &self,
        realm: &RealmName,
        key: &IdempotencyKey,
        request: &[u8],
        wait: Duration,
    ) -> Result<RequestState, CmError>;

    /// What became of the request with this idempotency key; `None` if it never reached the CM.
    async fn request_by_key(&self, realm: &RealmName, key: &IdempotencyKey) -> Result<Option<RequestState>, CmError>;

    /// What became of the request that was made for this order, whatever its key; `None` if the CM
    /// has none. Asked before what is older than ten minutes is sent again, because a CM restored
    /// from a backup may have lost the key (CM contract section 8).
    async fn request_by_order(&self, realm: &RealmName, order: &OrderId) -> Result<Option<RequestState>, CmError>;

    /// What became of a request that the CM has accepted; `None` if it does not have it any more, as one
    /// restored from a backup may not (CM contract section 8).
    async fn request(&self, realm: &RealmName, id: &CertificateRequestId) -> Result<Option<RequestState>, CmError>;

    /// Withdraws a request whose order has ended. Sent once; the caller repeats it later.
    ///
    /// # Errors
    /// [`CmError::AlreadyIssued`] with the certificate if it came too late.
    async fn cancel(&self, realm: &RealmName, id: &CertificateRequestId) -> Result<(), CmError>;

    /// Reports whether the certificate passed the gateway's checks (CM contract section 7). The CM
    /// may publish it only after that. Harmless to repeat.
    async fn confirm_delivery(
        &self,
        realm: &RealmName,
        id: &CertificateRequestId,
        outcome: &Delivery,
    ) -> Result<(), CmError>;

    /// A certificate of the realm with its chains.
    async fn certificate(&self, realm: &RealmName, id: &CertificateId) -> Result<Option<Certificate>, CmError>;

    /// The certificate of the realm whose DER has this SHA-256.
    async fn find_certificate(&self, realm: &RealmName, sha256: &[u8; 32]) -> Result<Option<Certificate>, CmError>;

    /// When a certificate of the realm should be renewed; `None` if the realm has no such
    /// certificate (RFC 9773).
    async fn renewal_info(&self, realm: &RealmName, id: &CertificateId) -> Result<Option<RenewalInfo>, CmError>;

    /// The exact octets that ask for this revocation: the caller stores them, together with the
    /// idempotency key, before it calls [`CertificateManager::revoke`], and never makes them anew.
    ///
    /// # Errors
    /// [`CmError::Internal`] if there are none for it.
    fn revocation_request(&self, revocation: &Revocation) -> Result<Vec<u8>, CmError>;

    /// Revokes a certificate. `Ok` means that OCSP says so from now on. Repeating it with the same
    /// key and the same octets is harmless.
    ///
    /// # Errors
    /// [`CmError::AlreadyRevoked`] if somebody else did.
    async fn revoke(
        &self,
        realm: &RealmName,
        certificate: &CertificateId,
        key: &IdempotencyKey,
        request: &[u8],
    ) -> Result<Revoked, CmError>;

    /// What happened in a realm since the cursor. The CM may take up to `wait` (at most 25 s) until
    /// something does. Without a cursor the answer says where the feed is now.
    ///
    /// # Errors
    /// [`CmError::Internal`] if the CM has no feed, which its capability `events` tells beforehand.
    async fn events(&self, realm: &RealmName, after: Option<&EventCursor>, wait: Duration) -> Result<Events, CmError> {
        let _unused = (after, wait);
        let detail = format!("this CM has no event feed for realm {realm}");
        Err(CmError::Internal { outcome: Outcome::NotSent, detail })
    }

    /// The profiles that are in use in the realm. One that is retired, or that carries something
    /// we do not understand in its limits, is left out.
    async fn profiles(&self, realm: &RealmName) -> Result<Vec<Profile>, CmError>;

    /// One of the CM's issuers.
    async fn issuer(&self, name: &IssuerName) -> Result<Issuer, CmError>;
}

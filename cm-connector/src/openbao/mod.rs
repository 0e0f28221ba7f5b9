//! OpenBao as a CM: its PKI engine signs and revokes, transit verifies external account bindings, KV keeps the
//! registrations (CM contract section 9.3, ADR 35).
//!
//! [`OpenBaoCertificateManager`] is the whole adapter. Where things are is in `layout` and `records`, how it talks in
//! `client`, what OpenBao's refusals mean in `failure`. What the contract has a CM do and OpenBao cannot is done here on
//! top of write-once paths and check-and-set; what nobody can do for it is not among the capabilities.

use std::{sync::Arc, time::Duration};

use acme::{
    account_key::{PublicKey, Thumbprint},
    caa::CaaEvidence,
    certificate::CertificateId,
    ids::{AuthorizationId, CertificateRequestId, IdempotencyKey, IssuerName, OrderId, RealmName, RegistrationId},
    profile::Profile,
    registration::Registration,
};
use async_trait::async_trait;

use self::{client::Client, token::Tokens};
use crate::{
    Capability, Certificate, CertificateManager, CertificateRequest, CmError, Condition, Delivery, Identity, Issuer,
    Listener, NewRegistration, Proof, Registered, RegistrationUpdate, RenewalInfo, RequestState, Revocation, Revoked,
    rest,
    standing::Standing,
    transport::{self, SetupError, tls},
};

mod account;
mod binding;
mod certificates;
mod client;
mod clock;
mod consistency;
pub mod door;
mod exchange;
mod external_account;
mod failure;
mod health;
mod issuance;
mod layout;
pub mod officer;
mod order;
mod records;
mod registration;
mod replacement;
mod revocation;
pub mod rights;
mod service;
mod settings;
mod signed;
mod store;
mod token;

pub use order::Allows;
pub use settings::{Settings, is_path};

/// A CM behind OpenBao's API. Cheap to clone; all clones share connections, token, limits and circuit.
#[derive(Debug, Clone)]
pub struct OpenBaoCertificateManager {
    settings: Arc<Settings>,
    client: Arc<Client>,
    standing: Arc<Standing>,
    /// Whether a registration may have a name: OpenBao signs any, so it is asked before.
    allows: Allows,
}

impl OpenBaoCertificateManager {
    /// Reads the files and sets up the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError`] names the setting that does not do.
    pub fn new(settings: Settings, allows: Allows) -> Result<Self, SetupError> {
        let base_urls = settings::base_urls(&settings.addresses)?;
        let tokens = Tokens::new(&settings.login_mount, &settings.login_role);
        let client = Client::new(base_urls, tls::client_config(&files(&settings))?, tokens)?;
        Ok(Self { settings: Arc::new(settings), client: Arc::new(client), standing: Arc::default(), allows })
    }

    /// Reads the files again and changes to new connections and a new token, after OpenBao has let us log in with
    /// them. To be called every 10 minutes at most apart.
    ///
    /// # Errors
    /// [`SetupError`]; then everything stays as it was.
    pub async fn reload(&self) -> Result<(), SetupError> {
        let files = files(&self.settings);
        let tls = tokio::task::spawn_blocking(move || tls::client_config(&files))
            .await
            .map_err(|error| SetupError::Client(error.to_string()))??;
        self.client.change_credentials(tls).await
    }
}

fn files(settings: &Settings) -> transport::Settings {
    transport::Settings {
        base_url: String::new(),
        ca_file: settings.ca_file.clone(),
        certificate_file: settings.certificate_file.clone(),
        key_file: settings.key_file.clone(),
    }
}

#[async_trait]
impl CertificateManager for OpenBaoCertificateManager {
    async fn check_identity(&self, realms: &[RealmName]) -> Result<Identity, CmError> {
        let identity = service::check_identity(self, realms).await;
        self.standing.heard(&identity);
        identity
    }

    fn offers(&self, capability: Capability) -> bool {
        service::offers(capability)
    }

    fn unfit(&self) -> Option<String> {
        self.standing.unfit()
    }

    fn condition(&self) -> Condition {
        self.client.condition()
    }

    fn listen(&self, listener: Listener) {
        self.client.listen(listener);
    }

    async fn reconnected(&self) {
        self.client.reconnected().await;
    }

    async fn ready(&self) -> Result<(), CmError> {
        service::ready(self).await
    }

    async fn registration(&self, realm: &RealmName, id: &RegistrationId) -> Result<Option<Registration>, CmError> {
        registration::registration(self, realm, id).await
    }

    async fn registration_by_key(&self, realm: &RealmName, key: &Thumbprint) -> Result<Option<Registration>, CmError> {
        registration::registration_by_key(self, realm, key).await
    }

    async fn create_registration(&self, realm: &RealmName, request: &NewRegistration) -> Result<Registered, CmError> {
        binding::create_registration(self, realm, request).await
    }

    async fn bind_registration(&self, realm: &RealmName, request: &NewRegistration) -> Result<Registered, CmError> {
        binding::bind_registration(self, realm, request).await
    }

    async fn update_registration(
        &self,
        realm: &RealmName,
        registration: &Registration,
        update: &RegistrationUpdate,
        _proof: &Proof,
    ) -> Result<Registration, CmError> {
        account::update_registration(self, realm, registration, update).await
    }

    async fn deactivate(
        &self,
        realm: &RealmName,
        registration: &Registration,
        _proof: &Proof,
    ) -> Result<Registration, CmError> {
        account::deactivate(self, realm, registration).await
    }

    async fn change_key(
        &self,
        realm: &RealmName,
        registration: &Registration,
        new_key: &PublicKey,
        _proof: &Proof,
    ) -> Result<Registration, CmError> {
        account::change_key(self, realm, registration, new_key).await
    }

    fn certificate_request(&self, request: &CertificateRequest) -> Result<Vec<u8>, CmError> {
        rest::issuance::certificate_request(request)
    }

    fn renew_caa(&self, request: &[u8], looks: &[(AuthorizationId, CaaEvidence)]) -> Result<Vec<u8>, CmError> {
        rest::issuance::renew_caa(request, looks)
    }

    async fn submit(
        &self,
        realm: &RealmName,
        key: &IdempotencyKey,
        request: &[u8],
        _wait: Duration,
    ) -> Result<RequestState, CmError> {
        issuance::submit(self, realm, key, request).await
    }

    async fn request_by_key(&self, realm: &RealmName, key: &IdempotencyKey) -> Result<Option<RequestState>, CmError> {
        issuance::request_by_key(self, realm, key).await
    }

    async fn request_by_order(&self, realm: &RealmName, order: &OrderId) -> Result<Option<RequestState>, CmError> {
        issuance::request_by_order(self, realm, order).await
    }

    async fn request(&self, realm: &RealmName, id: &CertificateRequestId) -> Result<Option<RequestState>, CmError> {
        issuance::request_by_key(self, realm, &issuance::key_of(id)?).await
    }

    async fn cancel(&self, realm: &RealmName, id: &CertificateRequestId) -> Result<(), CmError> {
        issuance::cancel(self, realm, id).await
    }

    async fn confirm_delivery(
        &self,
        realm: &RealmName,
        id: &CertificateRequestId,
        outcome: &Delivery,
    ) -> Result<(), CmError> {
        issuance::confirm_delivery(self, realm, id, outcome).await
    }

    async fn certificate(&self, realm: &RealmName, id: &CertificateId) -> Result<Option<Certificate>, CmError> {
        certificates::certificate(self, realm, id).await
    }

    async fn find_certificate(&self, realm: &RealmName, sha256: &[u8; 32]) -> Result<Option<Certificate>, CmError> {
        certificates::find_certificate(self, realm, sha256).await
    }

    async fn renewal_info(&self, realm: &RealmName, id: &CertificateId) -> Result<Option<RenewalInfo>, CmError> {
        certificates::renewal_info(self, realm, id).await
    }

    fn revocation_request(&self, revocation: &Revocation) -> Result<Vec<u8>, CmError> {
        rest::certificates::revocation_request(revocation)
    }

    async fn revoke(
        &self,
        realm: &RealmName,
        certificate: &CertificateId,
        key: &IdempotencyKey,
        request: &[u8],
    ) -> Result<Revoked, CmError> {
        revocation::revoke(self, realm, certificate, key, request).await
    }

    async fn profiles(&self, realm: &RealmName) -> Result<Vec<Profile>, CmError> {
        service::profiles(self, realm).await
    }

    async fn issuer(&self, name: &IssuerName) -> Result<Issuer, CmError> {
        service::issuer(self, name).await
    }
}

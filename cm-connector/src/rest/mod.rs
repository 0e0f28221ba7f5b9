//! The CM REST API, version 1, over mutual TLS.
//!
//! [`RestCertificateManager`] is the whole adapter: its operations are in `service`, `registration`,
//! `issuance`, `certificates` and `events`, how it talks in `client`, what refusals mean in `refusal`,
//! and the JSON in `wire`. It shares no code with any CM: the contract is the document.

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
use serde::Serialize;

use self::{
    call::{Answer, Call, decode},
    client::Client,
    failure::Failure,
    realm::Realms,
    refusal::{Code, Subject},
    wire::{Broken, Page, service::WhoAmIIn},
};
use crate::{
    Capability, Certificate, CertificateManager, CertificateRequest, CmError, Condition, Delivery, EventCursor, Events,
    Identity, Issuer, Listener, NewRegistration, Proof, Registered, RegistrationUpdate, RenewalInfo, RequestState,
    Revocation, Revoked,
    standing::Standing,
    transport::{self, deadline::Deadline, lane::Lane},
};

pub mod answers;
mod call;
pub(crate) mod certificates;
mod client;
pub mod door;
mod events;
#[cfg(test)]
mod examples;
mod exchange;
mod failure;
mod headers;
pub(crate) mod issuance;
mod realm;
mod refusal;
mod registration;
#[cfg(test)]
mod scripted;
mod service;
mod template;
#[cfg(test)]
mod tests;
mod wire;

pub use crate::transport::{Settings, SetupError};

/// Longest time that the CM lets a request wait.
const WAIT_SECS_MAX: u64 = 25;
const JSON: &str = "application/json";
/// A CM behind its REST API. Cheap to clone; all clones share connections, limits and circuit.
#[derive(Debug, Clone)]
pub struct RestCertificateManager {
    settings: Settings,
    client: Arc<Client>,
    standing: Arc<Standing>,
    realms: Arc<Realms>,
}

impl RestCertificateManager {
    /// Reads the files and sets up the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError`] names the setting that does not do.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let base_url = transport::settings::base_url(&settings.base_url)?;
        let client = Client::new(base_url, transport::tls::client_config(&settings)?)?;
        Ok(Self { settings, client: Arc::new(client), standing: Arc::default(), realms: Arc::default() })
    }

    /// Reads the files again and changes to new connections, after the CM has accepted them for a
    /// gateway of these realms. To be called every 10 minutes at most apart: that is the whole life of a connection (CM contract
    /// section 6), and how renewed certificates come into use without a restart.
    ///
    /// # Errors
    /// [`SetupError`]; then everything stays as it was.
    pub async fn reload(&self, realms: &[RealmName]) -> Result<(), SetupError> {
        let settings = self.settings.clone();
        let tls = tokio::task::spawn_blocking(move || transport::tls::client_config(&settings))
            .await
            .map_err(|error| SetupError::Client(error.to_string()))??;
        let accept = |caller: WhoAmIIn| {
            let is_in = |realm: &RealmName| caller.realms.iter().any(|known| known == realm.as_str());
            service::check_caller(&caller.identity, &caller.roles, is_in, realms)
        };
        self.client.change_credentials(tls, accept).await
    }

    async fn read(&self, lane: Lane, path: String, query: Option<(&'static str, String)>) -> Result<Answer, Failure> {
        self.client.send(&Call::read(lane, path, query)).await
    }

    /// One thing, or none: `not-found` is an answer too.
    async fn find(&self, lane: Lane, path: String) -> Result<Option<Answer>, Failure> {
        match self.read(lane, path, None).await {
            Ok(answer) => Ok(Some(answer)),
            Err(failure) if failure.is(Code::NotFound) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A look-up by something unique: a page of at most one item.
    async fn look_up(&self, lane: Lane, path: String, by: (&'static str, String)) -> Result<Option<Answer>, Failure> {
        let by_name = by.0;
        let answer = match self.read(lane, path, Some(by)).await {
            Ok(answer) => answer,
            Err(failure) if failure.is(Code::NotFound) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let mut items = decode::<Page>(answer.json)?.items.into_iter();
        match (items.next(), items.next()) {
            (json, None) => Ok(json.map(|json| Answer { json, ..answer })),
            (_, Some(_)) => Err(broken(format!("several things with one {by_name}"))),
        }
    }
}

#[async_trait]
impl CertificateManager for RestCertificateManager {
    async fn check_identity(&self, realms: &[RealmName]) -> Result<Identity, CmError> {
        let identity = service::check_identity(self, realms).await;
        self.standing.heard(&identity);
        identity
    }

    fn offers(&self, capability: Capability) -> bool {
        self.standing.offers(capability)
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
        registration::create_registration(self, realm, request).await
    }

    async fn bind_registration(&self, realm: &RealmName, request: &NewRegistration) -> Result<Registered, CmError> {
        registration::bind_registration(self, realm, request).await
    }

    async fn update_registration(
        &self,
        realm: &RealmName,
        registration: &Registration,
        update: &RegistrationUpdate,
        proof: &Proof,
    ) -> Result<Registration, CmError> {
        registration::update_registration(self, realm, registration, update, proof).await
    }

    async fn deactivate(
        &self,
        realm: &RealmName,
        registration: &Registration,
        proof: &Proof,
    ) -> Result<Registration, CmError> {
        registration::deactivate(self, realm, registration, proof).await
    }

    async fn change_key(
        &self,
        realm: &RealmName,
        registration: &Registration,
        new_key: &PublicKey,
        proof: &Proof,
    ) -> Result<Registration, CmError> {
        registration::change_key(self, realm, registration, new_key, proof).await
    }

    fn certificate_request(&self, request: &CertificateRequest) -> Result<Vec<u8>, CmError> {
        issuance::certificate_request(request)
    }

    fn renew_caa(&self, request: &[u8], looks: &[(AuthorizationId, CaaEvidence)]) -> Result<Vec<u8>, CmError> {
        issuance::renew_caa(request, looks)
    }

    async fn submit(
        &self,
        realm: &RealmName,
        key: &IdempotencyKey,
        request: &[u8],
        wait: Duration,
    ) -> Result<RequestState, CmError> {
        issuance::submit(self, realm, key, request, wait).await
    }

    async fn request_by_key(&self, realm: &RealmName, key: &IdempotencyKey) -> Result<Option<RequestState>, CmError> {
        issuance::request_by_key(self, realm, key).await
    }

    async fn request_by_order(&self, realm: &RealmName, order: &OrderId) -> Result<Option<RequestState>, CmError> {
        issuance::request_by_order(self, realm, order).await
    }

    async fn request(&self, realm: &RealmName, id: &CertificateRequestId) -> Result<Option<RequestState>, CmError> {
        issuance::request(self, realm, id).await
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
        certificates::revocation_request(revocation)
    }

    async fn revoke(
        &self,
        realm: &RealmName,
        certificate: &CertificateId,
        key: &IdempotencyKey,
        request: &[u8],
    ) -> Result<Revoked, CmError> {
        certificates::revoke(self, realm, certificate, key, request).await
    }

    async fn events(&self, realm: &RealmName, after: Option<&EventCursor>, wait: Duration) -> Result<Events, CmError> {
        let heard = events::events(self, realm, after, wait).await?;
        self.realms.heard(realm, &heard);
        Ok(heard)
    }

    async fn profiles(&self, realm: &RealmName) -> Result<Vec<Profile>, CmError> {
        service::profiles(self, realm).await
    }

    async fn issuer(&self, name: &IssuerName) -> Result<Issuer, CmError> {
        service::issuer(self, name).await
    }
}

fn post(path: String, body: &impl Serialize, lane: Lane, deadline: Deadline) -> Result<Call, CmError> {
    Ok(Call::post(lane, path, Some((JSON, octets(body)?)), deadline))
}

fn octets(body: &impl Serialize) -> Result<Vec<u8>, CmError> {
    serde_json::to_vec(body).map_err(|error| unfit(error.to_string()))
}

fn broken(detail: String) -> Failure {
    Failure::Broken(Broken(detail))
}

fn not_what_was_asked_for() -> Failure {
    broken(String::from("it is not about what was asked for"))
}

fn unfit(detail: String) -> CmError {
    Failure::Unfit(detail).into_error(Subject::Configuration)
}

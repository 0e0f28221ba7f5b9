//! The CM REST API, version 1, over mutual TLS.
//!
//! [`RestCertificateManager`] is the whole adapter; how it talks is in `client`, what refusals mean
//! in `refusal`, and the JSON in `wire`. It shares no code with any CM: the contract is the
//! document.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use acme::{
    account_key::{PublicKey, Thumbprint},
    caa::CaaEvidence,
    certificate::CertificateId,
    ids::{AuthorizationId, CertificateRequestId, IdempotencyKey, IssuerName, OrderId, RealmName, RegistrationId},
    profile::Profile,
    registration::{Registration, RegistrationStatus},
};
use async_trait::async_trait;
use reqwest::Method;
use serde::Serialize;
use tokio::time::Instant;

use self::{
    client::{Answer, BODY_OCTETS_MAX, Call, Client, decode},
    deadline::Deadline,
    failure::Failure,
    headers::{idempotency_key, if_match},
    lane::Lane,
    refusal::{Code, Subject},
    submission::{About, request_state, submitted},
    wire::{
        Broken, Page,
        certificate::CertificateIn,
        profile::ProfileIn,
        registration::{BindOut, CreateOpenOut, DeactivationOut, KeyChangeOut, UpdateOut},
        renewal_info::RenewalInfoIn,
        request::{DeliveryOut, RequestIn, RequestOut, with_caa},
        revocation::{RevocationOut, RevokedIn},
        service::{InfoIn, IssuerIn, WhoAmIIn},
    },
};
use crate::{
    Certificate, CertificateManager, CertificateRequest, CmError, Delivery, EventCursor, Events, Identity, Issuer,
    NewRegistration, Outcome, Proof, Registered, RegistrationUpdate, RenewalInfo, RequestState, Revocation, Revoked,
};

pub mod answers;
mod circuit;
mod client;
mod deadline;
mod events;
#[cfg(test)]
mod examples;
mod exchange;
mod failure;
mod headers;
mod lane;
mod refusal;
mod registration;
#[cfg(test)]
mod scripted;
mod settings;
mod submission;
mod template;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use settings::{Settings, SetupError};

/// What no issuance can do without: without `idempotency` a lost answer could issue twice.
const CAPABILITIES: [&str; 2] = ["registrations", "idempotency"];
/// The role that we need.
const ROLE: &str = "gateway";
/// Longest time that the CM lets a request wait.
const WAIT_SECS_MAX: u64 = 25;
/// Most pages of profiles that are read; at 500 a page.
const PAGES_MAX: usize = 10;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A CM behind its REST API. Cheap to clone; all clones share connections, limits and circuit.
#[derive(Debug, Clone)]
pub struct RestCertificateManager {
    settings: Settings,
    client: Arc<Client>,
}

impl RestCertificateManager {
    /// Reads the files and sets up the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SetupError`] names the setting that does not do.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let base_url = settings::base_url(&settings.base_url)?;
        let client = Client::new(base_url, tls::client_config(&settings)?)?;
        Ok(Self { settings, client: Arc::new(client) })
    }

    /// Reads the files again and changes to new connections, after the CM has accepted them for a
    /// gateway of these realms. To be called every 10 minutes at most apart: that is the whole life of a connection (CM contract
    /// section 6), and how renewed certificates come into use without a restart.
    ///
    /// # Errors
    /// [`SetupError`]; then everything stays as it was.
    pub async fn reload(&self, realms: &[RealmName]) -> Result<(), SetupError> {
        let settings = self.settings.clone();
        let tls = tokio::task::spawn_blocking(move || tls::client_config(&settings))
            .await
            .map_err(|error| SetupError::Client(error.to_string()))??;
        let accept = |caller: WhoAmIIn| {
            let is_in = |realm: &RealmName| caller.realms.iter().any(|known| known == realm.as_str());
            check_caller(&caller.identity, &caller.roles, is_in, realms)
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
        let identity = async {
            let info = self.read(Lane::Rest, String::from("/info"), None).await?;
            let caller = self.read(Lane::Rest, String::from("/whoami"), None).await?;
            decode::<InfoIn>(info.json)?.convert(decode::<WhoAmIIn>(caller.json)?).map_err(Failure::Broken)
        };
        let identity = identity.await.map_err(|failure| failure.into_error(Subject::Configuration))?;
        check(&identity, realms)?;
        Ok(identity)
    }

    async fn ready(&self) -> Result<(), CmError> {
        match self.client.probe(Instant::now() + Deadline::READ.total).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(CmError::Unavailable { retry_after: None, outcome: Outcome::NotSent }),
            Err(failure) => Err(failure.into_error(Subject::Configuration)),
        }
    }

    async fn registration(&self, realm: &RealmName, id: &RegistrationId) -> Result<Option<Registration>, CmError> {
        let found = async {
            let Some(answer) = self.find(Lane::Rest, registration_path(realm, id)).await? else { return Ok(None) };
            let registration = self.registration_of(realm, answer).await?;
            if registration.id == *id { Ok(Some(registration)) } else { Err(not_what_was_asked_for()) }
        };
        found.await.map_err(|failure| failure.into_error(Subject::Registration))
    }

    async fn registration_by_key(&self, realm: &RealmName, key: &Thumbprint) -> Result<Option<Registration>, CmError> {
        let found = async {
            let path = format!("/realms/{realm}/registrations");
            let Some(answer) = self.look_up(Lane::Rest, path, ("key", key.to_string())).await? else {
                return Ok(None);
            };
            let registration = self.registration_of(realm, answer).await?;
            let is_bound = registration.key.as_ref().is_some_and(|bound| bound.thumbprint == *key);
            if is_bound { Ok(Some(registration)) } else { Err(not_what_was_asked_for()) }
        };
        found.await.map_err(|failure| failure.into_error(Subject::Registration))
    }

    async fn create_registration(&self, realm: &RealmName, request: &NewRegistration) -> Result<Registered, CmError> {
        let path = format!("/realms/{realm}/registrations");
        let mut call = post(path, &CreateOpenOut::of(request), Lane::Rest, Deadline::WRITE)?;
        call.headers.push(idempotency_key(&request.idempotency_key)?);
        self.registered(realm, request, call).await
    }

    async fn bind_registration(&self, realm: &RealmName, request: &NewRegistration) -> Result<Registered, CmError> {
        let Some(body) = BindOut::of(request) else {
            return Err(unfit(String::from("a registration cannot be bound without an external account binding")));
        };
        let call = post(format!("/realms/{realm}/registrations/bind"), &body, Lane::Rest, Deadline::WRITE)?;
        self.registered(realm, request, call).await
    }

    async fn update_registration(
        &self,
        realm: &RealmName,
        registration: &Registration,
        update: &RegistrationUpdate,
        proof: &Proof,
    ) -> Result<Registration, CmError> {
        let write = |current: &Registration| {
            let body = UpdateOut::of(update, proof);
            let mut call = post(registration_path(realm, &current.id), &body, Lane::Rest, Deadline::WRITE)?;
            call.method = Method::PATCH;
            call.body = call.body.map(|(_, octets)| (MERGE_PATCH, octets));
            call.headers.push(if_match(current));
            Ok(call)
        };
        self.conditional(realm, registration, write, |current| update.is_in(current)).await
    }

    async fn deactivate(
        &self,
        realm: &RealmName,
        registration: &Registration,
        proof: &Proof,
    ) -> Result<Registration, CmError> {
        let write = |current: &Registration| {
            let path = format!("{}/status", registration_path(realm, &current.id));
            let mut call = post(path, &DeactivationOut::of(proof), Lane::Rest, Deadline::WRITE)?;
            call.headers.push(if_match(current));
            Ok(call)
        };
        let done = |current: &Registration| current.status == RegistrationStatus::Deactivated;
        let changed = self.conditional(realm, registration, write, done).await?;
        if done(&changed) {
            return Ok(changed);
        }
        let detail = String::from("the CM answered a deactivation with a registration that is not deactivated");
        Err(CmError::Internal { outcome: Outcome::Unknown, detail })
    }

    async fn change_key(
        &self,
        realm: &RealmName,
        registration: &Registration,
        new_key: &PublicKey,
        proof: &Proof,
    ) -> Result<Registration, CmError> {
        let write = |current: &Registration| {
            let path = format!("{}/key-change", registration_path(realm, &current.id));
            let mut call = post(path, &KeyChangeOut::of(new_key, proof), Lane::Rest, Deadline::WRITE)?;
            call.headers.push(if_match(current));
            Ok(call)
        };
        let done = |current: &Registration| current.key.as_ref().is_some_and(|bound| bound.key == *new_key);
        let changed = self.conditional(realm, registration, write, done).await?;
        if done(&changed) {
            return Ok(changed);
        }
        let detail = String::from("the CM answered a key change with a registration that has another key");
        Err(CmError::Internal { outcome: Outcome::Unknown, detail })
    }

    fn certificate_request(&self, request: &CertificateRequest) -> Result<Vec<u8>, CmError> {
        not_too_large(octets(&RequestOut::of(request))?)
    }

    fn renew_caa(&self, request: &[u8], looks: &[(AuthorizationId, CaaEvidence)]) -> Result<Vec<u8>, CmError> {
        not_too_large(with_caa(request, looks).map_err(|error| unfit(error.to_string()))?)
    }

    async fn submit(
        &self,
        realm: &RealmName,
        key: &IdempotencyKey,
        request: &[u8],
        wait: Duration,
    ) -> Result<RequestState, CmError> {
        let path = format!("/realms/{realm}/certificate-requests");
        let mut call = Call::post(Lane::Issuance, path, Some((JSON, request.to_vec())), Deadline::SUBMIT);
        call.headers.push(idempotency_key(key)?);
        call.headers.push(("prefer", format!("wait={}", wait.as_secs().min(WAIT_SECS_MAX))));
        // What the octets are about is in the octets: they may come from a journal.
        let about = serde_json::from_slice::<About>(request).ok();
        let state = self.client.send(&call).await.and_then(|answer| submitted(answer, about.as_ref()));
        match (state, about) {
            (Ok(state), _) => Ok(state),
            (Err(failure), Some(about)) => {
                Err(self.refused(realm, &about.registration, failure, Subject::Registration).await)
            }
            (Err(failure), None) => Err(failure.into_error(Subject::Registration)),
        }
    }

    async fn request_by_key(&self, realm: &RealmName, key: &IdempotencyKey) -> Result<Option<RequestState>, CmError> {
        let found = async {
            let path = format!("/realms/{realm}/certificate-requests");
            let by = ("idempotencyKey", key.to_string());
            self.look_up(Lane::Issuance, path, by).await?.map(request_state).transpose()
        };
        found.await.map_err(|failure| failure.into_error(Subject::Request))
    }

    async fn request_by_order(&self, realm: &RealmName, order: &OrderId) -> Result<Option<RequestState>, CmError> {
        let found = async {
            let path = format!("/realms/{realm}/certificate-requests");
            let Some(answer) = self.look_up(Lane::Issuance, path, ("orderRef", order.to_string())).await? else {
                return Ok(None);
            };
            let request = decode::<RequestIn>(answer.json)?;
            if !request.is_about(order.as_str()) {
                return Err(not_what_was_asked_for());
            }
            request.convert(answer.retry_after).map(Some).map_err(Failure::Broken)
        };
        found.await.map_err(|failure| failure.into_error(Subject::Request))
    }

    async fn request(&self, realm: &RealmName, id: &CertificateRequestId) -> Result<RequestState, CmError> {
        let state = async {
            let answer = self.read(Lane::Issuance, request_path(realm, id), None).await?;
            let state = request_state(answer)?;
            let (RequestState::Issued { id: answered, .. }
            | RequestState::Pending { id: answered, .. }
            | RequestState::Refused { id: answered, .. }) = &state;
            if answered == id { Ok(state) } else { Err(not_what_was_asked_for()) }
        };
        state.await.map_err(|failure| failure.into_error(Subject::Request))
    }

    async fn cancel(&self, realm: &RealmName, id: &CertificateRequestId) -> Result<(), CmError> {
        let path = format!("{}/cancel", request_path(realm, id));
        let call = Call::post(Lane::Issuance, path, None, Deadline::WRITE_ONCE);
        match self.client.send(&call).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.into_error(Subject::Request)),
        }
    }

    async fn confirm_delivery(
        &self,
        realm: &RealmName,
        id: &CertificateRequestId,
        outcome: &Delivery,
    ) -> Result<(), CmError> {
        let path = format!("{}/delivery", request_path(realm, id));
        let call = post(path, &DeliveryOut::of(outcome), Lane::Issuance, Deadline::WRITE)?;
        match self.client.send(&call).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.into_error(Subject::Request)),
        }
    }

    async fn certificate(&self, realm: &RealmName, id: &CertificateId) -> Result<Option<Certificate>, CmError> {
        let found = async {
            let path = format!("/realms/{realm}/certificates/{id}");
            let Some(answer) = self.find(Lane::Rest, path).await? else { return Ok(None) };
            let certificate = certificate_of(answer)?;
            if certificate.id == *id { Ok(Some(certificate)) } else { Err(not_what_was_asked_for()) }
        };
        found.await.map_err(|failure| failure.into_error(Subject::Certificate))
    }

    async fn find_certificate(&self, realm: &RealmName, sha256: &[u8; 32]) -> Result<Option<Certificate>, CmError> {
        let found = async {
            let path = format!("/realms/{realm}/certificates");
            let by = ("sha256", data_encoding::HEXLOWER.encode(sha256));
            let Some(answer) = self.look_up(Lane::Revocation, path, by).await? else { return Ok(None) };
            let certificate = certificate_of(answer)?;
            if certificate.claims.sha256 == *sha256 { Ok(Some(certificate)) } else { Err(not_what_was_asked_for()) }
        };
        found.await.map_err(|failure| failure.into_error(Subject::Certificate))
    }

    async fn renewal_info(&self, realm: &RealmName, id: &CertificateId) -> Result<Option<RenewalInfo>, CmError> {
        let found = async {
            let path = format!("/realms/{realm}/certificates/{id}/renewal-info");
            let Some(Answer { json, retry_after, .. }) = self.find(Lane::Rest, path).await? else { return Ok(None) };
            decode::<RenewalInfoIn>(json)?.convert(retry_after).map(Some).map_err(Failure::Broken)
        };
        found.await.map_err(|failure| failure.into_error(Subject::Certificate))
    }

    async fn revoke(&self, realm: &RealmName, request: &Revocation, key: &IdempotencyKey) -> Result<Revoked, CmError> {
        let path = format!("/realms/{realm}/certificates/{}/revoke", request.certificate);
        let mut call = post(path, &RevocationOut::of(request), Lane::Revocation, Deadline::REVOKE)?;
        call.headers.push(idempotency_key(key)?);
        let revoked = async {
            let answer = self.client.send(&call).await?;
            decode::<RevokedIn>(answer.json)?.convert(request).map_err(Failure::Broken)
        };
        revoked.await.map_err(|failure| failure.into_error(Subject::Certificate))
    }

    async fn events(&self, realm: &RealmName, after: Option<&EventCursor>, wait: Duration) -> Result<Events, CmError> {
        self.read_events(realm, after, wait).await
    }

    async fn profiles(&self, realm: &RealmName) -> Result<Vec<Profile>, CmError> {
        let mut profiles = Vec::new();
        let mut query = ("limit", String::from("500"));
        for _ in 0..PAGES_MAX {
            let page = async {
                let answer = self.read(Lane::Rest, format!("/realms/{realm}/profiles"), Some(query)).await?;
                decode::<Page>(answer.json)
            };
            let page = page.await.map_err(|failure| failure.into_error(Subject::Configuration))?;
            profiles.extend(page.items.into_iter().filter_map(usable_profile));
            match page.next {
                Some(cursor) if cursor.bytes().all(is_safe_in_query) => query = ("cursor", cursor),
                Some(_) => return Err(broken(String::from("a cursor that is no token")).into_error(Subject::Request)),
                None => return Ok(profiles),
            }
        }
        Err(broken(format!("more than {PAGES_MAX} pages of profiles")).into_error(Subject::Configuration))
    }

    async fn issuer(&self, name: &IssuerName) -> Result<Issuer, CmError> {
        let issuer = async {
            let answer = self.read(Lane::Rest, format!("/issuers/{name}"), None).await?;
            let issuer = decode::<IssuerIn>(answer.json)?.convert().map_err(Failure::Broken)?;
            if issuer.name == *name { Ok(issuer) } else { Err(not_what_was_asked_for()) }
        };
        issuer.await.map_err(|failure| failure.into_error(Subject::Configuration))
    }
}

fn check(identity: &Identity, realms: &[RealmName]) -> Result<(), CmError> {
    check_caller(&identity.name, &identity.roles, |realm| identity.realms.contains(realm), realms)?;
    match CAPABILITIES.iter().find(|capability| !identity.capabilities.contains(**capability)) {
        Some(capability) => Err(not_as_we_need(&identity.name, &format!("it lacks the capability {capability}"))),
        None => Ok(()),
    }
}

/// Whether the CM takes us for a gateway of these realms (section 3, whoami).
fn check_caller(
    name: &str,
    roles: &BTreeSet<String>,
    is_in: impl Fn(&RealmName) -> bool,
    realms: &[RealmName],
) -> Result<(), CmError> {
    if !roles.contains(ROLE) {
        return Err(not_as_we_need(name, &format!("without the role {ROLE}")));
    }
    match realms.iter().find(|realm| !is_in(realm)) {
        Some(realm) => Err(not_as_we_need(name, &format!("not in the realm {realm}"))),
        None => Ok(()),
    }
}

fn not_as_we_need(name: &str, what: &str) -> CmError {
    let detail = format!("the CM knows us as {}, but {what}", acme::problem::shown(name));
    CmError::Internal { outcome: Outcome::NotSent, detail }
}

fn registration_path(realm: &RealmName, id: &RegistrationId) -> String {
    format!("/realms/{realm}/registrations/{id}")
}

fn request_path(realm: &RealmName, id: &CertificateRequestId) -> String {
    format!("/realms/{realm}/certificate-requests/{id}")
}

fn post(path: String, body: &impl Serialize, lane: Lane, deadline: Deadline) -> Result<Call, CmError> {
    Ok(Call::post(lane, path, Some((JSON, octets(body)?)), deadline))
}

fn octets(body: &impl Serialize) -> Result<Vec<u8>, CmError> {
    serde_json::to_vec(body).map_err(|error| unfit(error.to_string()))
}

fn not_too_large(request: Vec<u8>) -> Result<Vec<u8>, CmError> {
    if request.len() > BODY_OCTETS_MAX {
        return Err(unfit(format!("a certificate request of {} octets is larger than the CM takes", request.len())));
    }
    Ok(request)
}

fn certificate_of(answer: Answer) -> Result<Certificate, Failure> {
    decode::<CertificateIn>(answer.json)?.convert().map_err(Failure::Broken)
}

/// One profile that we do not understand must not take the others away.
fn usable_profile(json: serde_json::Value) -> Option<Profile> {
    match wire::read::<ProfileIn>(json).and_then(ProfileIn::convert) {
        Ok(profile) => profile,
        Err(error) => {
            tracing::warn!(%error, "a profile of the CM is left out");
            None
        }
    }
}

const fn is_safe_in_query(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'~' | b'=')
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

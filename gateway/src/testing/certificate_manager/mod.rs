//! A Certificate Manager that does what its script says, and otherwise what the CM contract says.
//!
//! Its certificates are real. It remembers every call, knows octets and keys again as section 3
//! of the contract demands, and can fail before or after the effect of any call. It shares no
//! code with the adapters.

mod calls;
mod issuing;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use acme::{
    account_key::{PublicKey, Thumbprint},
    base64url,
    caa::CaaPolicy,
    certificate::CertificateId,
    identifier::Identifier,
    ids::{CertificateRequestId, IdempotencyKey, IssuerName, OrderId, ProfileName, RegistrationId},
    problem::{Problem, ProblemKind},
    profile::{MustStaple, Profile},
    registration::{AccountKeyRecord, AllowedIdentifiers, Registration, RegistrationStatus},
};
use cm_connector::{
    Capability, Certificate, CmError, Delivery, NewRegistration, Outcome, Registered, Revocation, Validation,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    Moment,
    authority::Authority,
    feed::Feed,
    script::{Call, Fault, Operation, Ruling},
};
use crate::{clock, random};

/// The CM.
pub(crate) struct ScriptedCm {
    /// Signs what the profiles name as their issuer.
    pub(crate) authority: Authority,
    /// A root that the gateway trusts and no profile names.
    pub(crate) other: Authority,
    stranger: Authority,
    pub(crate) feed: Feed,
    state: Mutex<State>,
    hung: Notify,
    back: Notify,
}

#[derive(Default)]
struct State {
    registrations: BTreeMap<RegistrationId, Registration>,
    /// Comes into being while somebody else asks for a registration with its key.
    rival: Option<Registration>,
    profiles: Vec<Profile>,
    requests: Vec<Request>,
    certificates: Vec<Certificate>,
    deliveries: Vec<Delivery>,
    /// What renewal information says about the next look at it.
    ask_again_after: Option<Duration>,
    revocations: Vec<Revocation>,
    /// The key and the octets of each.
    revoked_under: Vec<(IdempotencyKey, Vec<u8>)>,
    last_serial: Option<[u8; 16]>,
    octets_made: u32,
    calls: Vec<Call>,
    is_away: bool,
    lacking: Vec<Capability>,
    ahead_secs: i64,
    faults: BTreeMap<Operation, VecDeque<Fault>>,
    rulings: VecDeque<Ruling>,
}

struct Request {
    id: CertificateRequestId,
    key: IdempotencyKey,
    octets: Vec<u8>,
    asked: Asked,
    ruling: Option<Ruling>,
    issued: Option<Certificate>,
}

/// What a submission says. `made` differs each time octets are made.
#[derive(Clone, Serialize, Deserialize)]
struct Asked {
    made: u32,
    registration: RegistrationId,
    order: OrderId,
    csr: String,
    identifiers: Vec<Identifier>,
    validations: Vec<cm_connector::Validation>,
    replaces: Option<CertificateId>,
}

impl ScriptedCm {
    pub(crate) fn new() -> Self {
        let state = State { profiles: vec![profile("tls-server", true), profile("short", false)], ..State::default() };
        Self {
            authority: Authority::new("issuing 1"),
            other: Authority::new("issuing 2"),
            stranger: Authority::new("issuing 1"),
            feed: Feed::default(),
            state: Mutex::new(state),
            hung: Notify::default(),
            back: Notify::default(),
        }
    }

    /// The next call of this kind meets this fault; several queue up.
    pub(crate) fn next(&self, operation: Operation, fault: Fault) {
        self.state().faults.entry(operation).or_default().push_back(fault);
    }

    /// Waits until a call hangs that is scripted to.
    pub(crate) async fn hung(&self) {
        self.hung.notified().await;
    }

    /// Whether a fault was scripted that no call has met.
    pub(crate) fn forget_faults(&self) -> bool {
        let faults = std::mem::take(&mut self.state().faults);
        faults.values().any(|faults| !faults.is_empty())
    }

    /// The next new certificate request is ruled on like this.
    pub(crate) fn rule(&self, ruling: Ruling) {
        self.state().rulings.push_back(ruling);
    }

    /// Nothing reaches it, or everything does again.
    pub(crate) fn is_away(&self, is_away: bool) {
        self.state().is_away = is_away;
        if !is_away {
            self.back.notify_one();
        }
    }

    /// Forgets under which keys requests came, as one restored from a backup may.
    pub(crate) fn forget_keys(&self) {
        self.state().requests.iter_mut().for_each(|request| request.key = random::id());
    }

    /// Forgets every request, as one restored from a backup of before them does.
    pub(crate) fn forget_requests(&self) {
        self.state().requests.clear();
    }

    /// From now on its clock shows a time so many seconds ahead of ours.
    pub(crate) fn clock_is_ahead(&self, secs: i64) {
        self.state().ahead_secs = secs;
    }

    /// Puts a registration there, or in place of an earlier state of it.
    pub(crate) fn put(&self, registration: Registration) {
        self.state().registrations.insert(registration.id.clone(), registration);
    }

    /// This registration comes into being right before the next one is created.
    pub(crate) fn put_just_before_the_next(&self, registration: Registration) {
        self.state().rival = Some(registration);
    }

    /// Changes a registration, as an officer does.
    pub(crate) fn change(&self, id: &RegistrationId, change: impl FnOnce(&mut Registration)) {
        change(self.state().registrations.get_mut(id).unwrap());
    }

    /// Loses a registration, as one restored from a backup does.
    pub(crate) fn lose(&self, id: &RegistrationId) {
        self.state().registrations.remove(id);
    }

    /// Changes every profile that it offers.
    pub(crate) fn change_profiles(&self, change: impl Fn(&mut Profile)) {
        self.state().profiles.iter_mut().for_each(change);
    }

    /// From now on it is a CM that cannot do this.
    pub(crate) fn lacks(&self, capability: Capability) {
        self.state().lacking.push(capability);
    }

    pub(crate) fn withdraw_profiles(&self) {
        self.state().profiles.clear();
    }

    pub(crate) fn registrations(&self) -> Vec<Registration> {
        self.state().registrations.values().cloned().collect()
    }

    /// From now on renewal information says that it is to be asked for again after this time.
    pub(crate) fn ask_again_after(&self, wait: Duration) {
        self.state().ask_again_after = Some(wait);
    }

    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        self.state().certificates.clone()
    }

    /// The identifiers that evidence was sent for with this order, and whether it was reused.
    pub(crate) fn evidence_of(&self, order: &OrderId) -> Vec<(String, bool)> {
        let state = self.state();
        let asked = state.requests.iter().filter(|request| request.asked.order == *order);
        let validations = asked.flat_map(|request| &request.asked.validations);
        validations.map(|validation| (validation.identifier.to_string(), validation.reused)).collect()
    }

    /// The evidence that was sent with this order.
    pub(crate) fn validations_of(&self, order: &OrderId) -> Vec<Validation> {
        let state = self.state();
        let asked = state.requests.iter().filter(|request| request.asked.order == *order);
        asked.flat_map(|request| request.asked.validations.clone()).collect()
    }

    /// The certificate that this order replaces.
    pub(crate) fn replaced_by(&self, order: &OrderId) -> Option<String> {
        let state = self.state();
        let asked = state.requests.iter().find(|request| request.asked.order == *order);
        asked.and_then(|request| request.asked.replaces.as_ref()).map(ToString::to_string)
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.state().deliveries.clone()
    }

    pub(crate) fn revocations(&self) -> Vec<Revocation> {
        self.state().revocations.clone()
    }

    /// What the CM has on record about a certificate.
    pub(crate) fn change_certificate(&self, id: &CertificateId, change: impl FnOnce(&mut Certificate)) {
        change(self.state().certificates.iter_mut().find(|certificate| certificate.id == *id).unwrap());
    }

    pub(crate) fn calls(&self, operation: Operation) -> Vec<Call> {
        self.state().calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn at<T>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Self, &mut State) -> Result<T, CmError>,
    ) -> Result<T, CmError> {
        self.at_with(Call { operation, key: None, octets: Vec::new() }, work).await
    }

    /// Remembers the call, lets it meet its fault, and does its work.
    async fn at_with<T>(
        &self,
        call: Call,
        work: impl FnOnce(&Self, &mut State) -> Result<T, CmError>,
    ) -> Result<T, CmError> {
        let fault = {
            let mut state = self.state();
            let fault = state.faults.get_mut(&call.operation).and_then(VecDeque::pop_front);
            state.calls.push(call);
            if state.is_away { Some(Fault::Answers(away(Outcome::NotSent))) } else { fault }
        };
        match fault {
            None => work(self, &mut self.state()),
            Some(Fault::AnswerLost(moment)) => {
                if moment == Moment::AfterTheEffect {
                    work(self, &mut self.state())?;
                }
                Err(away(Outcome::Unknown))
            }
            Some(Fault::Hangs(moment)) => {
                if moment == Moment::AfterTheEffect {
                    work(self, &mut self.state())?;
                }
                self.hung.notify_one();
                std::future::pending().await
            }
            Some(Fault::Overtaken(happens)) => {
                let answer = work(self, &mut self.state());
                happens();
                answer
            }
            Some(Fault::Answers(error)) => Err(error),
            Some(Fault::Panics) => panic!("the script says so"),
        }
    }
}

impl Asked {
    fn csr(&self) -> Vec<u8> {
        base64url::decode(&self.csr).unwrap()
    }
}

impl State {
    /// The answer to newAccount; a key that is bound already has its registration.
    fn register(&mut self, request: &NewRegistration) -> Result<Registered, CmError> {
        if let Some(rival) = self.rival.take() {
            let id = rival.id.clone();
            self.registrations.insert(id.clone(), rival);
            return Err(CmError::KeyInUse { registration: Some(id) });
        }
        let thumbprint = request.key.thumbprint();
        if let Some(known) = self.by_key(&thumbprint) {
            return Ok(Registered { registration: known, created: false });
        }
        let registration = Registration {
            id: random::id(),
            version: 1,
            status: RegistrationStatus::Active,
            key: Some(AccountKeyRecord { key: request.key.clone(), thumbprint, since: Some(clock::now()) }),
            had_key: false,
            contacts: request.contacts.clone(),
            terms_of_service_agreed_at: request.terms_of_service_agreed_at,
            external_account: request.binding.as_ref().map(|_| String::from("kid-1")),
            allowed_identifiers: AllowedIdentifiers::Any { exclude: Vec::new() },
            allowed_profiles: Vec::new(),
            validity_max: None,
            parent: None,
            realm: None,
            waivers: Vec::new(),
        };
        self.registrations.insert(registration.id.clone(), registration.clone());
        Ok(Registered { registration, created: true })
    }

    /// The same change again is no change (section 4.3), and of two the first wins.
    fn change_key(&mut self, registration: &Registration, new_key: &PublicKey) -> Result<Registration, CmError> {
        let thumbprint = new_key.thumbprint();
        match self.by_key(&thumbprint) {
            Some(owner) if owner.id == registration.id => return Ok(owner),
            Some(owner) => return Err(CmError::KeyInUse { registration: Some(owner.id) }),
            None => {}
        }
        let found = self.registrations.get_mut(&registration.id).unwrap();
        if found.key != registration.key {
            return Err(CmError::Refused(Problem::new(ProblemKind::Malformed, "the key was changed meanwhile")));
        }
        found.key = Some(AccountKeyRecord { key: new_key.clone(), thumbprint, since: Some(clock::now()) });
        found.had_key = true;
        Ok(found.clone())
    }

    fn by_key(&self, key: &Thumbprint) -> Option<Registration> {
        let has_key = |found: &&Registration| found.key.as_ref().is_some_and(|record| record.thumbprint == *key);
        self.registrations.values().find(has_key).cloned()
    }

    /// Sections 3 and 4.4: known keys first, then the registration, then whether the order has its
    /// certificate. Says where the request is.
    fn take(&mut self, key: &IdempotencyKey, octets: &[u8]) -> Result<usize, CmError> {
        if let Some(index) = self.requests.iter().position(|request| request.key == *key) {
            let is_same = self.requests[index].octets == octets;
            return if is_same { Ok(index) } else { Err(internal("the idempotency key is reused for other octets")) };
        }
        let asked: Asked = serde_json::from_slice(octets).unwrap();
        let registration = self.registrations.get(&asked.registration).unwrap();
        if registration.status != RegistrationStatus::Active {
            let refused = Problem::new(ProblemKind::Unauthorized, "the CM says that the registration is not active");
            return Err(CmError::Refused(refused));
        }
        assert_eq!(asked.validations.len(), asked.identifiers.len(), "one piece of evidence an identifier");
        let issued = |certificate: &&Certificate| certificate.order_ref.as_ref() == Some(&asked.order);
        if let Some(certificate) = self.certificates.iter().find(issued) {
            return Err(CmError::AlreadyIssued(Box::new(certificate.clone())));
        }
        let ruling = self.rulings.pop_front();
        let (id, key, octets) = (random::id(), key.clone(), octets.to_vec());
        self.requests.push(Request { id, key, octets, asked, ruling, issued: None });
        Ok(self.requests.len() - 1)
    }
}

/// The CM cannot be reached.
pub(crate) const fn away(outcome: Outcome) -> CmError {
    CmError::Unavailable { retry_after: None, outcome }
}

fn internal(detail: &str) -> CmError {
    CmError::Internal { outcome: Outcome::NotSent, detail: detail.to_owned() }
}

fn profile(name: &str, is_default: bool) -> Profile {
    Profile {
        name: ProfileName::parse(name).unwrap(),
        description: String::from("TLS server"),
        is_default,
        issuer: IssuerName::parse("issuing-1").unwrap(),
        dns: true,
        ip: true,
        wildcards: true,
        identifiers_max: 100,
        key_types: vec![String::from("EC-P256")],
        validity_max: Some(Duration::from_secs(90 * 86_400)),
        client_may_choose_validity: true,
        approval_timeout: None,
        must_staple: MustStaple::Never,
        caa: CaaPolicy::Optional,
        methods: None,
        waivers: false,
        proof_age_max: None,
    }
}

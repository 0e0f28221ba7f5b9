//! The calls of the contract, each with the fault that the script has for it.

use std::{collections::BTreeSet, time::Duration};

use acme::{
    account_key::{PublicKey, Thumbprint},
    base64url,
    caa::CaaEvidence,
    certificate::CertificateId,
    ids::{AuthorizationId, CertificateRequestId, IdempotencyKey, IssuerName, OrderId, RealmName, RegistrationId},
    problem::{Problem, ProblemKind},
    profile::Profile,
    registration::{Registration, RegistrationStatus},
    time::Timestamp,
};
use async_trait::async_trait;
use cm_connector::{
    Capability, Certificate, CertificateManager, CertificateRequest, CmError, Delivery, EventCursor, Events, Identity,
    Issuer, NewRegistration, Outcome, Proof, Registered, RegistrationUpdate, RenewalInfo, RequestState, Revocation,
    RevocationRecord, Revoked,
};

use super::{
    super::script::{Call, Operation, Ruling},
    Asked, ScriptedCm, away, internal,
};
use crate::clock;

#[async_trait]
impl CertificateManager for ScriptedCm {
    fn offers(&self, capability: Capability) -> bool {
        !self.state().lacking.contains(&capability)
    }

    async fn check_identity(&self, realms: &[RealmName]) -> Result<Identity, CmError> {
        self.at(Operation::Identity, |_, state| {
            Ok(Identity {
                name: String::from("urn:cm:gateway:test"),
                roles: BTreeSet::from([String::from("gateway")]),
                realms: realms.iter().cloned().collect(),
                time: Timestamp::from_unix_secs(clock::now().unix_secs() + state.ahead_secs),
                capabilities: self.feed.capabilities(),
                product: String::from("a scripted CM"),
            })
        })
        .await
    }

    async fn reconnected(&self) {
        self.back.notified().await;
    }

    async fn ready(&self) -> Result<(), CmError> {
        if self.state().is_away { Err(away(Outcome::NotSent)) } else { Ok(()) }
    }

    async fn registration(&self, _: &RealmName, id: &RegistrationId) -> Result<Option<Registration>, CmError> {
        self.at(Operation::Registration, |_, state| Ok(state.registrations.get(id).cloned())).await
    }

    async fn registration_by_key(&self, _: &RealmName, key: &Thumbprint) -> Result<Option<Registration>, CmError> {
        self.at(Operation::RegistrationByKey, |_, state| Ok(state.by_key(key))).await
    }

    async fn create_registration(&self, _: &RealmName, request: &NewRegistration) -> Result<Registered, CmError> {
        assert!(request.binding.is_none(), "nothing can be bound in open mode");
        self.at(Operation::CreateRegistration, |_, state| state.register(request)).await
    }

    async fn bind_registration(&self, _: &RealmName, request: &NewRegistration) -> Result<Registered, CmError> {
        assert!(request.binding.is_some(), "there must be a binding");
        self.at(Operation::BindRegistration, |_, state| state.register(request)).await
    }

    async fn update_registration(
        &self,
        _: &RealmName,
        registration: &Registration,
        update: &RegistrationUpdate,
        _: &Proof,
    ) -> Result<Registration, CmError> {
        self.at(Operation::UpdateRegistration, |_, state| {
            let found = state.registrations.get_mut(&registration.id).unwrap();
            found.contacts = update.contacts.clone().unwrap_or(found.contacts.clone());
            found.terms_of_service_agreed_at = update.terms_of_service_agreed_at.or(found.terms_of_service_agreed_at);
            Ok(found.clone())
        })
        .await
    }

    async fn change_key(
        &self,
        _: &RealmName,
        registration: &Registration,
        new_key: &PublicKey,
        _: &Proof,
    ) -> Result<Registration, CmError> {
        self.at(Operation::ChangeKey, |_, state| state.change_key(registration, new_key)).await
    }

    async fn deactivate(&self, _: &RealmName, registration: &Registration, _: &Proof) -> Result<Registration, CmError> {
        self.at(Operation::Deactivate, |_, state| {
            let found = state.registrations.get_mut(&registration.id).unwrap();
            found.status = RegistrationStatus::Deactivated;
            Ok(found.clone())
        })
        .await
    }

    fn renew_caa(&self, request: &[u8], looks: &[(AuthorizationId, CaaEvidence)]) -> Result<Vec<u8>, CmError> {
        let mut asked: Asked = serde_json::from_slice(request).unwrap();
        for validation in &mut asked.validations {
            if let Some((_, caa)) = looks.iter().find(|(id, _)| *id == validation.authorization) {
                validation.evidence.caa = Some(caa.clone());
            }
        }
        Ok(serde_json::to_vec(&asked).unwrap())
    }

    fn certificate_request(&self, request: &CertificateRequest) -> Result<Vec<u8>, CmError> {
        let mut state = self.state();
        state.octets_made += 1;
        let asked = Asked {
            made: state.octets_made,
            registration: request.registration.clone(),
            order: request.order.clone(),
            csr: base64url::encode(&request.csr_der),
            identifiers: request.identifiers.clone(),
            validations: request.validations.clone(),
            replaces: request.replaces.clone(),
        };
        Ok(serde_json::to_vec(&asked).unwrap())
    }

    async fn submit(
        &self,
        _: &RealmName,
        key: &IdempotencyKey,
        request: &[u8],
        _: Duration,
    ) -> Result<RequestState, CmError> {
        let call = Call { operation: Operation::Submit, key: Some(key.clone()), octets: request.to_vec() };
        self.at_with(call, |cm, state| {
            let index = state.take(key, request)?;
            Ok(cm.state_of(state, index))
        })
        .await
    }

    async fn request_by_key(&self, _: &RealmName, key: &IdempotencyKey) -> Result<Option<RequestState>, CmError> {
        let call = Call { operation: Operation::RequestByKey, key: Some(key.clone()), octets: Vec::new() };
        self.at_with(call, |cm, state| {
            let found = state.requests.iter().position(|request| request.key == *key);
            Ok(found.map(|index| cm.state_of(state, index)))
        })
        .await
    }

    async fn request_by_order(&self, _: &RealmName, order: &OrderId) -> Result<Option<RequestState>, CmError> {
        self.at(Operation::RequestByOrder, |cm, state| {
            let found = state.requests.iter().position(|request| request.asked.order == *order);
            Ok(found.map(|index| cm.state_of(state, index)))
        })
        .await
    }

    async fn request(&self, _: &RealmName, id: &CertificateRequestId) -> Result<Option<RequestState>, CmError> {
        self.at(Operation::Request, |cm, state| {
            let found = state.requests.iter().position(|request| request.id == *id);
            Ok(found.map(|index| cm.state_of(state, index)))
        })
        .await
    }

    async fn cancel(&self, _: &RealmName, id: &CertificateRequestId) -> Result<(), CmError> {
        self.at(Operation::Cancel, |cm, state| {
            let Some(index) = state.requests.iter().position(|request| request.id == *id) else {
                let detail = String::from("there is no such request");
                return Err(CmError::Internal { outcome: Outcome::Unknown, detail });
            };
            if let RequestState::Issued { certificate, .. } = cm.state_of(state, index) {
                return Err(CmError::AlreadyIssued(certificate));
            }
            let cancelled = Problem::new(ProblemKind::ServerInternal, "the request was cancelled");
            state.requests[index].ruling = Some(Ruling::RefusedAfter(0, cancelled));
            Ok(())
        })
        .await
    }

    async fn confirm_delivery(
        &self,
        _: &RealmName,
        _: &CertificateRequestId,
        outcome: &Delivery,
    ) -> Result<(), CmError> {
        self.at(Operation::ConfirmDelivery, |_, state| {
            state.deliveries.push(outcome.clone());
            Ok(())
        })
        .await
    }

    async fn certificate(&self, _: &RealmName, id: &CertificateId) -> Result<Option<Certificate>, CmError> {
        self.at(Operation::Certificate, |_, state| {
            Ok(state.certificates.iter().find(|certificate| certificate.id == *id).cloned())
        })
        .await
    }

    async fn find_certificate(&self, _: &RealmName, sha256: &[u8; 32]) -> Result<Option<Certificate>, CmError> {
        self.at(Operation::Certificate, |_, state| {
            Ok(state.certificates.iter().find(|certificate| certificate.claims.sha256 == *sha256).cloned())
        })
        .await
    }

    async fn renewal_info(&self, _: &RealmName, id: &CertificateId) -> Result<Option<RenewalInfo>, CmError> {
        self.at(Operation::RenewalInfo, |_, state| {
            let found = state.certificates.iter().find(|certificate| certificate.id == *id);
            Ok(found.map(|certificate| RenewalInfo {
                start: certificate.not_after.minus(Duration::from_secs(86_400)),
                end: certificate.not_after,
                explanation_url: None,
                retry_after: state.ask_again_after,
            }))
        })
        .await
    }

    fn revocation_request(&self, revocation: &Revocation) -> Result<Vec<u8>, CmError> {
        let mut state = self.state();
        state.octets_made += 1;
        Ok(serde_json::to_vec(&(state.octets_made, revocation)).unwrap())
    }

    async fn revoke(
        &self,
        _: &RealmName,
        certificate: &CertificateId,
        key: &IdempotencyKey,
        request: &[u8],
    ) -> Result<Revoked, CmError> {
        let call = Call { operation: Operation::Revoke, key: Some(key.clone()), octets: request.to_vec() };
        self.at_with(call, |_, state| {
            if state.revoked_under.iter().any(|(used, octets)| used == key && octets != request) {
                return Err(internal("the idempotency key is reused for other octets"));
            }
            let at = clock::now();
            let (_, revocation): (u32, Revocation) = serde_json::from_slice(request).unwrap();
            let found = state.certificates.iter_mut().find(|found| found.id == *certificate);
            found.unwrap().revocation = Some(RevocationRecord { at, reason: format!("{:?}", revocation.reason) });
            state.revocations.push(revocation);
            state.revoked_under.push((key.clone(), request.to_vec()));
            Ok(Revoked { at })
        })
        .await
    }

    async fn events(&self, _: &RealmName, after: Option<&EventCursor>, wait: Duration) -> Result<Events, CmError> {
        self.feed.read(after, wait).await
    }

    async fn profiles(&self, _: &RealmName) -> Result<Vec<Profile>, CmError> {
        self.at(Operation::Profiles, |_, state| Ok(state.profiles.clone())).await
    }

    async fn issuer(&self, name: &IssuerName) -> Result<Issuer, CmError> {
        Ok(Issuer {
            name: name.clone(),
            is_active: true,
            not_after: clock::now().plus(Duration::from_secs(86_400)),
            subject_key_id: Some(self.authority.key_id.clone()),
            caa_identities: Vec::new(),
        })
    }
}

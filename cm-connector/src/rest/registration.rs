//! Registrations: read, made and changed, with what that takes beyond one call: parents, versions,
//! and the two meanings of "not active" (CM contract sections 3, 4.3 and 5).

use acme::{
    account_key::{PublicKey, Thumbprint},
    ids::{RealmName, RegistrationId},
    problem::{Problem, ProblemKind},
    registration::{Registration, RegistrationStatus},
};
use reqwest::Method;

use super::{
    RestCertificateManager, broken,
    call::{Answer, Call, decode},
    failure::Failure,
    headers::{idempotency_key, if_match},
    not_what_was_asked_for, post,
    refusal::{Code, Subject},
    unfit,
    wire::registration::{BindOut, CreateOpenOut, DeactivationOut, KeyChangeOut, RegistrationIn, UpdateOut, under},
};
use crate::{
    CertificateManager, CmError, NewRegistration, Outcome, Proof, Registered, RegistrationUpdate,
    transport::{deadline::Deadline, lane::Lane},
};

const MERGE_PATCH: &str = "application/merge-patch+json";

pub(super) async fn registration(
    cm: &RestCertificateManager,
    realm: &RealmName,
    id: &RegistrationId,
) -> Result<Option<Registration>, CmError> {
    let found = async {
        let Some(answer) = cm.find(Lane::Rest, registration_path(realm, id)).await? else { return Ok(None) };
        let registration = cm.registration_of(realm, answer).await?;
        if registration.id == *id { Ok(Some(registration)) } else { Err(not_what_was_asked_for()) }
    };
    found.await.map_err(|failure| failure.into_error(Subject::Registration))
}

pub(super) async fn registration_by_key(
    cm: &RestCertificateManager,
    realm: &RealmName,
    key: &Thumbprint,
) -> Result<Option<Registration>, CmError> {
    let found = async {
        let path = format!("/realms/{realm}/registrations");
        let Some(answer) = cm.look_up(Lane::Rest, path, ("key", key.to_string())).await? else {
            return Ok(None);
        };
        let registration = cm.registration_of(realm, answer).await?;
        let is_bound = registration.key.as_ref().is_some_and(|bound| bound.thumbprint == *key);
        if is_bound { Ok(Some(registration)) } else { Err(not_what_was_asked_for()) }
    };
    found.await.map_err(|failure| failure.into_error(Subject::Registration))
}

pub(super) async fn create_registration(
    cm: &RestCertificateManager,
    realm: &RealmName,
    request: &NewRegistration,
) -> Result<Registered, CmError> {
    let path = format!("/realms/{realm}/registrations");
    let mut call = post(path, &CreateOpenOut::of(request), Lane::Rest, Deadline::WRITE)?;
    call.headers.push(idempotency_key(&request.idempotency_key)?);
    cm.registered(realm, request, call).await
}

pub(super) async fn bind_registration(
    cm: &RestCertificateManager,
    realm: &RealmName,
    request: &NewRegistration,
) -> Result<Registered, CmError> {
    let Some(body) = BindOut::of(request) else {
        return Err(unfit(String::from(
            "a registration cannot be bound without an external account binding or a directory link",
        )));
    };
    let call = post(format!("/realms/{realm}/registrations/bind"), &body, Lane::Rest, Deadline::WRITE)?;
    cm.registered(realm, request, call).await
}

pub(super) async fn update_registration(
    cm: &RestCertificateManager,
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
    cm.conditional(realm, registration, write, |current| update.is_in(current)).await
}

pub(super) async fn deactivate(
    cm: &RestCertificateManager,
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
    let changed = cm.conditional(realm, registration, write, done).await?;
    if done(&changed) {
        return Ok(changed);
    }
    let detail = String::from("the CM answered a deactivation with a registration that is not deactivated");
    Err(CmError::Internal { outcome: Outcome::Unknown, detail })
}

pub(super) async fn change_key(
    cm: &RestCertificateManager,
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
    let changed = cm.conditional(realm, registration, write, done).await?;
    if done(&changed) {
        return Ok(changed);
    }
    let detail = String::from("the CM answered a key change with a registration that has another key");
    Err(CmError::Internal { outcome: Outcome::Unknown, detail })
}

impl RestCertificateManager {
    /// The registration of an answer, under its parent and its realm.
    pub(super) async fn registration_of(&self, realm: &RealmName, answer: Answer) -> Result<Registration, Failure> {
        let answered = decode::<RegistrationIn>(answer.json)?.convert(realm).map_err(Failure::Broken)?;
        let realm_list = self.realm_list(realm).await?;
        let in_realm = |registration: Registration| Registration { realm: realm_list, ..registration };
        let Some(parent) = answered.parent else { return Ok(in_realm(answered.registration)) };
        let parent = match self.find(Lane::Rest, registration_path(realm, &parent)).await? {
            Some(answer) => {
                let parent = decode::<RegistrationIn>(answer.json)?.convert(realm).map_err(Failure::Broken)?;
                Some(parent.registration)
            }
            None => {
                tracing::error!(registration = %answered.registration.id, "the CM does not know the parent it names");
                None
            }
        };
        Ok(in_realm(under(answered.registration, parent)))
    }

    pub(super) async fn registered(
        &self,
        realm: &RealmName,
        request: &NewRegistration,
        call: Call,
    ) -> Result<Registered, CmError> {
        let registered = async {
            let answer = self.client.send(&call).await?;
            let created = answer.status == reqwest::StatusCode::CREATED;
            let registration = self.written(realm, answer).await?;
            if registration.key.as_ref().is_none_or(|bound| bound.key != request.key) {
                return Err(broken(String::from("the registration does not have the key it was made with")));
            }
            Ok(Registered { registration, created })
        };
        registered.await.map_err(|failure| failure.into_error(Subject::Registration))
    }

    /// A write that holds for one version only, on the word of the key that the registration had
    /// when it was read. If it has changed since, it is read again: `done` tells whether the wish is
    /// fulfilled by now, else it is tried once more (section 5, `precondition-failed`).
    ///
    /// A CM that judges proofs before versions says `proof-invalid` once the key has been changed.
    pub(super) async fn conditional(
        &self,
        realm: &RealmName,
        registration: &Registration,
        write: impl Fn(&Registration) -> Result<Call, CmError> + Send,
        done: impl Fn(&Registration) -> bool + Send,
    ) -> Result<Registration, CmError> {
        let id = &registration.id;
        let mut current = registration.clone();
        let mut is_first = true;
        loop {
            let failure = match self.versioned(realm, id, write(&current)?).await {
                Ok(changed) => return Ok(changed),
                Err(failure) => failure,
            };
            let is_stale = failure.is(Code::PreconditionFailed);
            if !is_stale && !failure.is(Code::ProofInvalid) {
                return Err(self.refused(realm, id, failure, Subject::Registration).await);
            }
            current = self.registration(realm, id).await?.ok_or_else(no_such_account)?;
            if done(&current) {
                return Ok(current);
            }
            if current.key != registration.key {
                return Err(key_was_changed());
            }
            if !is_stale || !std::mem::take(&mut is_first) {
                return Err(self.refused(realm, id, failure, Subject::Registration).await);
            }
        }
    }

    async fn versioned(&self, realm: &RealmName, id: &RegistrationId, call: Call) -> Result<Registration, Failure> {
        let answer = self.client.send(&call).await?;
        let changed = self.written(realm, answer).await?;
        if changed.id == *id { Ok(changed) } else { Err(broken(String::from("another registration was changed"))) }
    }

    /// As [`Self::registration_of`], after a write: whatever fails now, the write was done.
    async fn written(&self, realm: &RealmName, answer: Answer) -> Result<Registration, Failure> {
        self.registration_of(realm, answer).await.map_err(|failure| failure.after(Outcome::Unknown))
    }

    /// What a refusal means. `registration-not-active` has two meanings (section 5), and only the
    /// registration itself tells which.
    pub(super) async fn refused(
        &self,
        realm: &RealmName,
        id: &RegistrationId,
        failure: Failure,
        subject: Subject,
    ) -> CmError {
        if failure.is(Code::RegistrationNotActive)
            && let Ok(Some(registration)) = self.registration(realm, id).await
        {
            match registration.status {
                RegistrationStatus::Deactivated | RegistrationStatus::Revoked => {
                    return CmError::Refused(Problem::new(
                        ProblemKind::AccountNotActive,
                        "the account has been deactivated or revoked",
                    ));
                }
                RegistrationStatus::Pending | RegistrationStatus::Active | RegistrationStatus::Suspended => {}
            }
        }
        failure.into_error(subject)
    }
}

/// To the client the same as a signature that does not verify, for that is what it is now.
fn key_was_changed() -> CmError {
    CmError::Refused(Problem::new(
        ProblemKind::Malformed,
        "the key of this account was changed meanwhile (RFC 8555 section 7.3.5); sign with the key it has now",
    ))
}

fn no_such_account() -> CmError {
    CmError::Refused(Problem::new(ProblemKind::AccountDoesNotExist, "there is no such account"))
}

fn registration_path(realm: &RealmName, id: &RegistrationId) -> String {
    format!("/realms/{realm}/registrations/{id}")
}

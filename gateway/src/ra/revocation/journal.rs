//! The journal of revocations (CM contract sections 6 and 8): what was authorised is written down
//! before the CM is called, and called for until the CM has confirmed or refused it for good, also if
//! the client was told to come back, or we die in between.
//!
//! A client that repeats its request meets the same entry: the CM gets the same octets under the same
//! key. If the CM says no to them, because the account has another key or the proofs have become old
//! since, it is asked what the client has asked last. A store that cannot be written to does not keep a
//! certificate from being revoked.

use std::time::Duration;

use acme::{
    ids::{EndpointName, IdempotencyKey, RealmName, RegistrationId},
    time::Timestamp,
};
use anyhow::Context as _;
use cm_connector::{Basis, CmError, Outcome, Revocation, Revoked};
use store::{Commit, CommitError, Job, RevocationCall, RevocationWork, Stored, Work};
use tokio::time::timeout;

use super::{
    super::{Error, again_on_conflict},
    answer::{GOES_ON, goes_on, may_still_be_done, told},
};
use crate::{
    app::{App, Endpoint},
    audit::{self, Event},
    clock, random,
};

/// How long the request that wrote an entry has for itself: the CM may take 20 s to answer.
const OWN_ATTEMPT: Duration = Duration::from_secs(21);

/// How long a client waits for the CM to confirm (CM contract section 8).
const CALL_MAX: Duration = Duration::from_secs(20);

/// How often one attempt goes over to what was asked since.
const NEWER_CALLS_MAX: usize = 3;
/// How often the end of a revocation is tried to be written down while its job changes.
const SETTLING_ATTEMPTS: usize = 5;

/// A revocation that was authorised.
pub(crate) struct Entry {
    /// Its job; `None` if it could not be written down.
    job: Option<Stored<Job>>,
    endpoint: EndpointName,
    realm: RealmName,
    key: IdempotencyKey,
    revocation: Revocation,
    /// What goes to the CM; nothing if an earlier release wrote it down or it could not be made.
    request: Vec<u8>,
    /// Whether somebody may have been told that it goes on.
    is_promised: bool,
}

/// What follows a refusal.
enum Next {
    /// The CM is asked what the client has asked last.
    AskNewer,
    /// The CM is called again later.
    GoOn,
    /// Nothing.
    Over,
}

/// Why a revocation is not confirmed.
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    /// What the client is told.
    pub(crate) error: Error,
    /// Whether it goes on; else nothing is left to be done.
    pub(crate) goes_on: bool,
}

impl Entry {
    /// Writes a revocation down, or finds it: the same account or key has asked for the same before.
    pub(super) async fn write(
        app: &App,
        endpoint: &Endpoint,
        revocation: Revocation,
        not_after: Timestamp,
        now: Timestamp,
    ) -> Self {
        match again_on_conflict(async || find_or_create(app, endpoint, &revocation, not_after, now).await).await {
            Ok(entry) => entry,
            Err(error) => {
                tracing::error!(certificate = %revocation.certificate, error = %error,
                    "ALARM: a revocation cannot be written down; the CM is called all the same, and once only");
                let (endpoint, realm) = (endpoint.name.clone(), endpoint.realm.clone());
                Self {
                    job: None,
                    endpoint,
                    realm,
                    key: random::id(),
                    revocation,
                    request: Vec::new(),
                    is_promised: false,
                }
            }
        }
    }

    /// Reads an entry back.
    ///
    /// # Errors
    /// It is about something else, or was written by another version.
    pub(crate) fn of(job: Stored<Job>) -> anyhow::Result<Self> {
        let Work::Revoke(work) = &job.value.work else { anyhow::bail!("not a revocation job") };
        let RevocationWork { endpoint, realm, call, .. } = work.clone();
        let revocation = serde_json::from_slice(&call.revocation).context("a journalled revocation cannot be read")?;
        let RevocationCall { idempotency_key: key, request, .. } = call;
        Ok(Self { endpoint, realm, key, revocation, request, job: Some(job), is_promised: true })
    }

    /// The first call, by the request that asks for it; if it is not enough, the worker goes on at once. Whatever becomes of the
    /// call, an answer comes within [`CALL_MAX`].
    pub(super) async fn begin(self, app: &App) -> Result<(), Error> {
        let written = self.job.clone();
        // Whoever is cut short here is in the middle of a call that may be made again, or of settling what the CM did: both
        // are the worker's to finish.
        let unconfirmed = match timeout(CALL_MAX, self.carry_out(app)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(unconfirmed)) => unconfirmed,
            Err(_) => Unconfirmed { error: Error::unavailable(GOES_ON, None), goes_on: written.is_some() },
        };
        if let Some(job) = written.filter(|job| unconfirmed.goes_on && job.value.attempt == 0) {
            let mut commit = Commit::new();
            commit.update_job(&job, Job { due_at: clock::now(), ..job.value.clone() });
            // Somebody else may go on with it already; else it is due a little later.
            if app.store.commit(commit).await.is_ok() {
                app.wake.now();
            }
        }
        Err(if unconfirmed.goes_on { goes_on(unconfirmed.error) } else { unconfirmed.error })
    }

    /// Calls the CM and settles the entry as far as the answer goes. To be repeated until it is.
    pub(crate) async fn carry_out(mut self, app: &App) -> Result<(), Unconfirmed> {
        let mut newer_calls = 0;
        loop {
            let error = match self.call(app).await {
                Ok(_) => {
                    self.confirm(app).await;
                    return Ok(());
                }
                Err(error) => error,
            };
            if !matches!(error, CmError::Unavailable { .. } | CmError::RateLimited { .. })
                && let Some(account) = account(&self.revocation.basis)
            {
                // It was let through by what is remembered of it: its key or status may have changed.
                app.registrations.invalidate(account);
            }
            let goes_on = match self.after(app, &error).await {
                Next::AskNewer if newer_calls < NEWER_CALLS_MAX => {
                    newer_calls += 1;
                    continue;
                }
                Next::AskNewer | Next::GoOn => true,
                Next::Over => false,
            };
            // Of an answer that says nothing it is told where it becomes an error for clients.
            if let CmError::Internal { outcome: Outcome::NotSent, .. } = error {
                tracing::error!(certificate = %self.revocation.certificate, %error, goes_on,
                    "ALARM: the CM does not take a revocation from this gateway");
            }
            return Err(Unconfirmed { error: told(error), goes_on });
        }
    }

    async fn call(&mut self, app: &App) -> Result<Revoked, CmError> {
        // The CM would refuse for good what seems to it to have been proven in its future.
        let pause = self.until_believed(app);
        if !pause.is_zero() {
            return Err(CmError::Unavailable { retry_after: Some(pause), outcome: Outcome::NotSent });
        }
        if self.request.is_empty() {
            self.request = app.cm.revocation_request(&self.revocation)?;
        }
        app.cm.revoke(&self.realm, &self.revocation.certificate, &self.key, &self.request).await
    }

    /// How long it takes until the CM believes the newest of the proofs that this rests on, as far as its clock is known.
    fn until_believed(&self, app: &App) -> Duration {
        let proofs = match &self.revocation.basis {
            Basis::Authorizations { validations, .. } => validations.as_slice(),
            Basis::Account { .. } | Basis::CertificateKey | Basis::GatewayPolicy => &[],
        };
        let newest = proofs.iter().map(|proof| proof.evidence.at).max();
        newest.map_or(Duration::ZERO, |newest| app.cm_condition.until_believed(newest, clock::now()))
    }

    /// Ends an entry whose certificate has expired.
    pub(crate) async fn expire(self, app: &App) -> Result<(), Error> {
        let mut commit = Commit::new();
        if let Some(job) = &self.job {
            commit.finish_job(job);
        }
        self.fail(app, commit, "the certificate expired before the CM confirmed that it is revoked").await
    }

    /// The CM has revoked. If that cannot be written down the entry comes up again, and the CM knows its key.
    async fn confirm(&self, app: &App) {
        app.metrics.certificates_revoked.inc();
        app.renewal_infos.forget(&self.realm, &self.revocation.certificate);
        let mut confirmed = self.try_to_confirm(app).await;
        // Somebody else may have put the job off meanwhile.
        for _ in 1..SETTLING_ATTEMPTS {
            if !matches!(confirmed, Err(Error::Conflict)) {
                break;
            }
            confirmed = self.try_to_confirm(app).await;
        }
        if let Err(error) = confirmed {
            tracing::error!(certificate = %self.revocation.certificate, %error,
                "ALARM: that a certificate was revoked could not be written down");
        }
    }

    async fn try_to_confirm(&self, app: &App) -> Result<(), Error> {
        let mut commit = Commit::new();
        if let Some(job) = &self.job {
            // Whoever finished it has told the auditors too.
            let Some(job) = app.store.job(&job.value.id).await? else { return Ok(()) };
            commit.finish_job(&job);
        }
        audit::add(app, &mut commit, clock::now(), &self.event());
        Ok(app.store.commit(commit).await?)
    }

    /// What follows this refusal. What cannot be written down comes up again.
    async fn after(&mut self, app: &App, error: &CmError) -> Next {
        if self.job.is_none() {
            return Next::Over;
        }
        let mut decided = self.decide(app, error).await;
        // Somebody else may have put the job off meanwhile, or the client may have asked again.
        for _ in 1..SETTLING_ATTEMPTS {
            if !matches!(decided, Err(Error::Conflict)) {
                break;
            }
            decided = self.decide(app, error).await;
        }
        decided.unwrap_or_else(|failed| {
            tracing::error!(certificate = %self.revocation.certificate, error = %failed,
                "ALARM: what became of a revocation could not be written down");
            Next::GoOn
        })
    }

    async fn decide(&mut self, app: &App, error: &CmError) -> Result<Next, Error> {
        let is_no = match error {
            CmError::Unavailable { .. } | CmError::RateLimited { .. } => return Ok(Next::GoOn),
            CmError::Internal { outcome, .. } => *outcome == Outcome::NotSent,
            CmError::AlreadyRevoked => false,
            CmError::Refused(_)
            | CmError::EvidenceRefused(_)
            | CmError::BindingRefused(_)
            | CmError::KeyInUse { .. }
            | CmError::AlreadyIssued(_) => true,
        };
        let Some(job) = &self.job else { return Ok(Next::Over) };
        // Somebody else has finished it.
        let Some(job) = app.store.job(&job.value.id).await? else { return Ok(Next::Over) };
        let Work::Revoke(mut work) = job.value.work.clone() else { return Ok(Next::Over) };
        let mut commit = Commit::new();
        if let Some(newer) = work.newer.take().filter(|_| is_no) {
            work.call = newer;
            commit.update_job(&job, Job { work: Work::Revoke(work), ..job.value.clone() });
            app.store.commit(commit).await?;
            let job = app.store.job(&job.value.id).await?.ok_or(Error::Conflict)?;
            *self = Self::of(job).map_err(Error::internal)?;
            return Ok(Next::AskNewer);
        }
        if may_still_be_done(error) {
            return Ok(Next::GoOn);
        }
        commit.finish_job(&job);
        if self.is_promised && *error != CmError::AlreadyRevoked {
            self.fail(app, commit, &error.to_string()).await?;
        } else {
            let event = Event::RevocationUnconfirmed {
                endpoint: &self.endpoint,
                account: account(&self.revocation.basis),
                certificate: &self.revocation.certificate,
                reason: self.revocation.reason,
                client: self.revocation.client.ip,
                why: &error.to_string(),
            };
            audit::add(app, &mut commit, clock::now(), &event);
            app.store.commit(commit).await?;
        }
        Ok(Next::Over)
    }

    /// Ends what somebody relies on: operators and auditors learn of it.
    async fn fail(&self, app: &App, mut commit: Commit, why: &str) -> Result<(), Error> {
        let event = Event::RevocationFailed {
            endpoint: Some(&self.endpoint),
            account: account(&self.revocation.basis),
            certificate: Some(&self.revocation.certificate),
            reason: Some(self.revocation.reason),
            why,
        };
        audit::add(app, &mut commit, clock::now(), &event);
        app.store.commit(commit).await?;
        app.metrics.revocations_failed.inc();
        tracing::error!(certificate = %self.revocation.certificate, why,
            "ALARM: a revocation that was accepted has ended without being made");
        Ok(())
    }

    fn event(&self) -> Event<'_> {
        Event::CertificateRevoked {
            endpoint: &self.endpoint,
            account: account(&self.revocation.basis),
            basis: &self.revocation.basis,
            client: self.revocation.client.ip,
            certificate: &self.revocation.certificate,
            reason: self.revocation.reason,
        }
    }
}

async fn find_or_create(
    app: &App,
    endpoint: &Endpoint,
    revocation: &Revocation,
    not_after: Timestamp,
    now: Timestamp,
) -> Result<Entry, Error> {
    let call = RevocationCall {
        idempotency_key: random::id(),
        revocation: serde_json::to_vec(revocation).map_err(Error::internal)?,
        request: app.cm.revocation_request(revocation)?,
    };
    let job = Job::revoke(
        RevocationWork {
            endpoint: endpoint.name.clone(),
            realm: endpoint.realm.clone(),
            certificate: revocation.certificate.clone(),
            asked: asked(revocation),
            not_after,
            call: call.clone(),
            newer: None,
        },
        now.plus(OWN_ATTEMPT),
    );
    let id = job.id.clone();
    let mut commit = Commit::new();
    let event = Event::RevocationRequested {
        endpoint: &endpoint.name,
        account: account(&revocation.basis),
        basis: &revocation.basis,
        client: revocation.client.ip,
        certificate: &revocation.certificate,
        reason: revocation.reason,
    };
    audit::add(app, &mut commit, now, &event);
    let Some(found) = app.store.job(&id).await? else {
        commit.create_job(job);
        app.store.commit(commit).await?;
        let written = app.store.job(&id).await?.ok_or(Error::Conflict)?;
        return Ok(Entry { is_promised: false, ..Entry::of(written).map_err(Error::internal)? });
    };
    let Work::Revoke(work) = found.value.work.clone() else { return Err(Error::Conflict) };
    let work = RevocationWork { newer: Some(call), ..work };
    commit.update_job(&found, Job { work: Work::Revoke(work), ..found.value.clone() });
    let found = match app.store.commit(commit).await {
        Ok(()) => app.store.job(&id).await?.ok_or(Error::Conflict)?,
        Err(CommitError::Conflict) => return Err(Error::Conflict),
        // What was written down first goes on all the same.
        Err(error) => {
            tracing::error!(certificate = %revocation.certificate, %error,
                "ALARM: that a revocation was asked for again cannot be written down");
            found
        }
    };
    Entry::of(found).map_err(Error::internal)
}

/// Who asks and why: what tells requests about one certificate apart. The job's id follows from it, so it
/// stays as it is from version to version.
fn asked(revocation: &Revocation) -> String {
    let by = match &revocation.basis {
        Basis::Account { registration } | Basis::Authorizations { registration, .. } => registration.as_str(),
        Basis::CertificateKey => "certificate-key",
        Basis::GatewayPolicy => "gateway-policy",
    };
    format!("{by}/{}", revocation.reason.code())
}

const fn account(basis: &Basis) -> Option<&RegistrationId> {
    match basis {
        Basis::Account { registration } | Basis::Authorizations { registration, .. } => Some(registration),
        Basis::CertificateKey | Basis::GatewayPolicy => None,
    }
}

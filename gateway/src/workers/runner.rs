//! Starts due jobs while there are slots for them, and sees to it that each ends.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use acme::{
    identifier::Identifier,
    ids::{JobId, RegistrationId},
    time::Timestamp,
};
use store::{Commit, Job, ReadError, Stored, Work};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::{issue, revoke, validate};
use crate::{
    app::{App, Current},
    clock, transcript,
};

/// Jobs looked at in one round, and the most rounds before others may have their turn.
const ROUND: usize = 512;
const ROUNDS_MAX: usize = 16;
/// Jobs put off in one commit.
const PUT_OFF_BATCH: usize = 32;
/// How long a job without a slot is put off while a round is full of such jobs.
const PUT_OFF_BY: Duration = Duration::from_secs(5);
/// Longest pause between two looks at the store: the truth, where waking is only faster.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Shortest pause while due jobs wait for slots.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Looks at the store that may fail in a row.
const FAILURES_MAX: u32 = 30;
/// Revocations called for at a time: as many as the way to the CM has room for (CM contract section 6).
const REVOCATIONS_MAX: usize = 4;
/// Reports of deliveries at a time: each is a call or two, and must not wait for issuances that look at slow DNS servers.
const DELIVERIES_MAX: usize = 8;
/// Longest wait before a job that failed by our own fault runs again.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Tells the runner that there is work.
#[derive(Default)]
pub(crate) struct Wake(Notify);

impl Wake {
    pub(crate) fn now(&self) {
        self.0.notify_one();
    }

    async fn wait(&self) {
        self.0.notified().await;
    }
}

/// Runs jobs until it is dropped.
pub(crate) struct Runner {
    current: Current,
    validations: Arc<Semaphore>,
    issuances: Arc<Semaphore>,
    deliveries: Arc<Semaphore>,
    revocations: Arc<Semaphore>,
    running: Mutex<Running>,
}

/// Work that has slots of its own, and in which accounts have their shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    Validations,
    Issuances,
}

#[derive(Default)]
struct Running {
    jobs: HashSet<JobId>,
    /// Slots that count for each of these.
    held_by: HashMap<Share, usize>,
}

/// Whose share of the slots a job takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Share {
    Account(Lane, RegistrationId),
    /// Validations of names under a registered domain: what is asked of the servers behind it at a time.
    Domain(String),
}

/// What a running job holds; dropping it gives everything back.
struct Slot {
    runner: Arc<Runner>,
    job: JobId,
    shares: Vec<Share>,
    _permit: OwnedSemaphorePermit,
}

impl Runner {
    pub(crate) fn new(current: impl Into<Current>) -> Arc<Self> {
        let current = current.into();
        let app = current.app();
        Arc::new(Self {
            validations: Arc::new(Semaphore::new(app.settings.validation.concurrent_max)),
            issuances: Arc::new(Semaphore::new(app.settings.issuance.concurrent_max)),
            deliveries: Arc::new(Semaphore::new(DELIVERIES_MAX)),
            revocations: Arc::new(Semaphore::new(REVOCATIONS_MAX)),
            running: Mutex::default(),
            current,
        })
    }

    /// Runs until the store has been away for long: then nothing that was promised can be done.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut failures = 0;
        let wake = Arc::clone(&self.current.app().wake);
        while failures < FAILURES_MAX {
            let pause = match self.start_due().await {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(error) => {
                    failures += 1;
                    tracing::error!(%error, "cannot read due jobs");
                    PAUSE_MAX
                }
            };
            tokio::select! {
                () = wake.wait() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Waits until no job is being worked on. For when nothing starts jobs any longer.
    pub(crate) async fn idle(&self) {
        let wake = Arc::clone(&self.current.app().wake);
        while !self.lock().jobs.is_empty() {
            wake.wait().await;
        }
    }

    /// Starts what is due and has a slot; says how long to pause.
    async fn start_due(self: &Arc<Self>) -> Result<Duration, ReadError> {
        let (app, now) = (self.current.app(), clock::now());
        for _ in 0..ROUNDS_MAX {
            let due = app.store.due_jobs(now, ROUND).await?;
            let full = due.len() == ROUND;
            let (mut without_slot, mut damaged) = (Vec::new(), Vec::new());
            for job in due {
                if self.lock().jobs.contains(&job.value.id) {
                    continue;
                }
                match self.take_slot(&app, &job.value).await {
                    Ok(Some(slot)) => drop(tokio::spawn(supervise(slot, now))),
                    Ok(None) => without_slot.push(job),
                    Err(error @ ReadError::Unavailable(_)) => return Err(error),
                    // A damaged record spoils what it belongs to and nothing else.
                    Err(error) => {
                        tracing::error!(job = %job.value.id, %error,
                            "ALARM: what a job belongs to cannot be read; the job is put off for minutes");
                        damaged.push(job);
                    }
                }
            }
            // Whoever mends it takes longer than that, and the alarm would come with every look.
            put_off(&app, &damaged, now.plus(RETRY_MAX)).await;
            if !full || without_slot.is_empty() && damaged.is_empty() {
                break;
            }
            // One account with very many slow targets must not hide the jobs of all others.
            put_off(&app, &without_slot, now.plus(PUT_OFF_BY)).await;
        }
        let next = app.store.next_due().await?;
        Ok(next.map_or(PAUSE_MAX, |due| due.since(now)).clamp(PAUSE_MIN, PAUSE_MAX))
    }

    async fn take_slot(self: &Arc<Self>, app: &App, job: &Job) -> Result<Option<Slot>, ReadError> {
        let settings = &app.settings;
        let (semaphore, shares) = match &job.work {
            Work::Validate { authorization, .. } => {
                let found = app.store.authorization(authorization).await?.map(|found| found.value);
                let most = &settings.validation;
                let domain = found.as_ref().and_then(|found| registered_domain(&found.identifier)).map(Share::Domain);
                let account = found.map(|found| Share::Account(Lane::Validations, found.account));
                let account = account.map(|share| (share, most.concurrent_per_account_max));
                let domain = domain.map(|share| (share, most.concurrent_per_target_max));
                (&self.validations, account.into_iter().chain(domain).collect())
            }
            Work::Issue { order, .. } => {
                let found = app.store.order(order).await?;
                let account = found.map(|found| Share::Account(Lane::Issuances, found.value.account));
                let most = settings.issuance.concurrent_per_account_max;
                (&self.issuances, account.map(|share| (share, most)).into_iter().collect::<Vec<_>>())
            }
            Work::ConfirmDelivery { .. } => (&self.deliveries, Vec::new()),
            Work::Revoke(_) => (&self.revocations, Vec::new()),
        };
        let Ok(permit) = semaphore.clone().try_acquire_owned() else { return Ok(None) };
        let mut running = self.lock();
        if shares.iter().any(|(share, most)| running.held_by.get(share).is_some_and(|count| count >= most)) {
            return Ok(None);
        }
        let shares: Vec<_> = shares.into_iter().map(|(share, _)| share).collect();
        for share in &shares {
            *running.held_by.entry(share.clone()).or_default() += 1;
        }
        running.jobs.insert(job.id.clone());
        Ok(Some(Slot { runner: self.clone(), job: job.id.clone(), shares, _permit: permit }))
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What somebody has registered, such as `example.co.uk` for all names under it, by the public suffix list.
fn registered_domain(identifier: &Identifier) -> Option<String> {
    match identifier {
        Identifier::Dns(name) | Identifier::Wildcard(name) => {
            Some(psl::domain_str(name.as_str()).unwrap_or(name.as_str()).to_owned())
        }
        Identifier::Ip(_) => None,
    }
}

async fn put_off(app: &App, jobs: &[Stored<Job>], due_at: Timestamp) {
    for batch in jobs.chunks(PUT_OFF_BATCH) {
        let mut commit = Commit::new();
        for job in batch {
            commit.update_job(job, Job { due_at, ..job.value.clone() });
        }
        // A job that changed meanwhile keeps its batch in place: the next round finds it again.
        if let Err(error) = app.store.commit(commit).await {
            tracing::debug!(error = %error, "some jobs stay due");
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.runner.lock();
        running.jobs.remove(&self.job);
        for share in &self.shares {
            if let Some(count) = running.held_by.get_mut(share) {
                *count -= 1;
                if *count == 0 {
                    running.held_by.remove(share);
                }
            }
        }
        drop(running);
        self.runner.current.app().wake.now();
    }
}

/// Runs one job in a task of its own, so that a panic ends this job's attempt and nothing else.
///
/// The job is read now that nobody else here runs it: since it was found due, an attempt that was
/// under way may have finished it or put it off.
async fn supervise(slot: Slot, now: Timestamp) {
    let app = slot.runner.current.app();
    let job = match app.store.job(&slot.job).await {
        Ok(Some(job)) if job.value.due_at <= now => job,
        Ok(Some(_) | None) => return,
        Err(error) => {
            tracing::error!(job = %slot.job, error = %error, "cannot read a due job; it stays due");
            return tokio::time::sleep(PAUSE_MAX).await;
        }
    };
    let timer = app.metrics.job_seconds.start_timer();
    let attempt = tokio::spawn(perform(app.clone(), job.clone())).await;
    timer.observe_duration();
    let failure = match attempt {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(panic) => {
            app.metrics.panics.inc();
            Some(format!("{panic}"))
        }
    };
    if let Some(failure) = failure {
        tracing::error!(job = %job.value.id, attempt = job.value.attempt, failure, "job failed; it will run again");
        retry_later(&app, &job.value.id, &failure).await;
    }
    drop(slot);
}

pub(super) async fn perform(app: Arc<App>, job: Stored<Job>) -> anyhow::Result<()> {
    match job.value.work.clone() {
        Work::Validate { authorization, kind } => validate::validate(&app, &job, &authorization, kind).await,
        Work::Issue { .. } => Box::pin(issue::issue(&app, job)).await,
        Work::ConfirmDelivery { realm, request, failed, .. } => {
            issue::confirm_delivery(&app, &job, &realm, &request, &failed).await
        }
        Work::Revoke(revocation) => revoke::revoke(&app, job, &revocation).await,
    }
}

/// The job's own state may have moved on before it failed, so it is read again.
async fn retry_later(app: &App, id: &JobId, failure: &str) {
    let outcome: anyhow::Result<()> = async {
        let Some(job) = app.store.job(id).await? else { return Ok(()) };
        let wait = Duration::from_secs(1 << job.value.attempt.min(16)).min(RETRY_MAX);
        let later =
            Job { due_at: clock::now().plus(wait), attempt: job.value.attempt.saturating_add(1), ..job.value.clone() };
        let mut commit = Commit::new();
        transcript::job_failed(app, &mut commit, &later, failure, clock::now()).await;
        commit.update_job(&job, later);
        Ok(app.store.commit(commit).await?)
    }
    .await;
    if let Err(error) = outcome {
        tracing::error!(job = %id, error = format!("{error:#}"), "cannot put the job off; it stays due");
        tokio::time::sleep(PAUSE_MAX).await;
    }
}

#[cfg(test)]
mod tests;

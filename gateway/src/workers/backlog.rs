//! How long the oldest work has waited for the CM: for dashboards, and for operators where it is too long (CM contract
//! section 8, alarms).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use acme::{ids::JobId, order::Progress};
use store::{Job, Stored, Submission, Work};

use crate::{
    app::{App, Current},
    clock,
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(30);
/// Jobs that are looked at; of more than these the oldest may be overlooked.
const JOBS_MAX: usize = 1000;
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// From when on the oldest is an alarm.
const PROCESSING_ALARM: Duration = Duration::from_secs(10 * 60);
const REVOCATION_ALARM: Duration = Duration::from_secs(5 * 60);

/// What is remembered between two looks.
#[derive(Debug, Default)]
struct Backlog {
    /// Revocations that wait, and since when this process knows of them.
    revocations: HashMap<JobId, Instant>,
    is_told: Told,
}

/// What is too old was told; it is told again when it has been in order meanwhile.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Told {
    processing: bool,
    revocation: bool,
}

/// The ages of the oldest.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Ages {
    processing: Duration,
    revocation: Duration,
}

/// Looks at what waits, for ever.
pub(crate) async fn watch_backlog(current: Current) {
    let mut backlog = Backlog::default();
    loop {
        if let Err(error) = backlog.look(&current.app()).await {
            tracing::warn!(error = format!("{error:#}"), "cannot look at what waits for the CM");
        }
        tokio::time::sleep(EVERY).await;
    }
}

impl Backlog {
    async fn look(&mut self, app: &App) -> anyhow::Result<()> {
        let jobs = app.store.due_jobs(clock::now().plus(YEAR), JOBS_MAX).await?;
        app.metrics.jobs(jobs.iter().map(|job| &job.value.work));
        let ages =
            Ages { processing: oldest_in_processing(app, &jobs).await?, revocation: self.oldest_revocation(&jobs) };
        let secs = |age: Duration| i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        app.metrics.processing_oldest.set(secs(ages.processing));
        app.metrics.revocation_oldest.set(secs(ages.revocation));
        self.tell(ages);
        Ok(())
    }

    fn oldest_revocation(&mut self, jobs: &[Stored<Job>]) -> Duration {
        let now = Instant::now();
        let waiting = jobs.iter().filter(|job| matches!(job.value.work, Work::Revoke(_)));
        let known = |id: &JobId| self.revocations.get(id).copied().unwrap_or(now);
        self.revocations = waiting.map(|job| (job.value.id.clone(), known(&job.value.id))).collect();
        let ages = self.revocations.values().map(|since| now.duration_since(*since));
        ages.max().unwrap_or_default()
    }

    fn tell(&mut self, ages: Ages) {
        let too_old =
            Told { processing: ages.processing > PROCESSING_ALARM, revocation: ages.revocation > REVOCATION_ALARM };
        if too_old.processing && !self.is_told.processing {
            tracing::error!(
                secs = ages.processing.as_secs(),
                "ALARM: an order has been in processing for more than ten minutes, and no person has to approve it"
            );
        }
        if too_old.revocation && !self.is_told.revocation {
            tracing::error!(
                secs = ages.revocation.as_secs(),
                "ALARM: a revocation has waited for its confirmation by the CM for more than five minutes"
            );
        }
        self.is_told = too_old;
    }
}

/// Since finalize; what a person has to approve takes as long as it takes.
async fn oldest_in_processing(app: &App, jobs: &[Stored<Job>]) -> anyhow::Result<Duration> {
    let mut oldest = Duration::ZERO;
    for job in jobs {
        let Work::Issue { order, submission, .. } = &job.value.work else { continue };
        if matches!(submission, Submission::Accepted { approval: true, .. }) {
            continue;
        }
        let Some(order) = app.store.order(order).await? else { continue };
        if let Progress::Finalizing { since, .. } = order.value.progress {
            oldest = oldest.max(clock::now().since(since));
        }
    }
    Ok(oldest)
}

#[cfg(test)]
mod tests {
    use acme::ids::OrderId;
    use store::Commit;

    use super::*;
    use crate::testing::{Gateway, Ruling, new_csr};

    /// An order that was finalized an hour ago.
    async fn old_order(gateway: &Gateway) -> OrderId {
        let registration = gateway.registration();
        let order = gateway.ready_order(&registration, &["a.test"]).await;
        gateway.finalize(&registration, &order, new_csr(&["a.test"])).await.unwrap();
        let stored = gateway.app.store.order(&order).await.unwrap().unwrap();
        let mut older = stored.value.clone();
        let Progress::Finalizing { since, .. } = &mut older.progress else { panic!("{older:?}") };
        *since = since.minus(Duration::from_secs(3600));
        let mut commit = Commit::new();
        commit.update_order(&stored, older, gateway.app.keep_until(stored.value.expires));
        gateway.app.store.commit(commit).await.unwrap();
        order
    }

    /// What the CM says of the request that it has.
    async fn waits_for_a_person(gateway: &Gateway, order: &OrderId, says_so: bool) {
        let job = gateway.job(&Job::issuance_id(order)).await.unwrap();
        let mut work = job.value.work.clone();
        let Work::Issue { submission: Submission::Accepted { approval, .. }, .. } = &mut work else {
            panic!("{job:?}")
        };
        assert!(*approval, "so the CM of the tests says always");
        *approval = says_so;
        let mut commit = Commit::new();
        commit.update_job(&job, Job { work, ..job.value.clone() });
        gateway.app.store.commit(commit).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_what_the_cm_does_not_do_is_shown_and_of_what_a_person_has_to_do_is_not() {
        for (approval, shown) in [(false, 3600), (true, 0)] {
            let gateway = Gateway::new().await;
            let mut backlog = Backlog::default();
            let order = old_order(&gateway).await;
            let age = || gateway.app.metrics.processing_oldest.get();
            backlog.look(&gateway.app).await.unwrap();
            assert!((3600..3610).contains(&age()), "nobody has approved what was not sent: {}", age());
            gateway.cm.rule(Ruling::IssuedAfter(2));
            gateway.run_issuance(&order).await;
            waits_for_a_person(&gateway, &order, approval).await;
            backlog.look(&gateway.app).await.unwrap();
            assert!((shown..shown + 10).contains(&age()), "{} where {shown} is expected", age());
            assert_eq!(backlog.is_told.processing, !approval);
            while gateway.job(&Job::issuance_id(&order)).await.is_some() {
                gateway.run_issuance(&order).await;
            }
            backlog.look(&gateway.app).await.unwrap();
            assert_eq!((age(), backlog.is_told), (0, Told::default()));
        }
    }

    #[test]
    fn what_is_too_old_is_told_once_until_it_is_in_order_again() {
        let mut backlog = Backlog::default();
        let second = Duration::from_secs(1);
        for (processing, revocation) in [
            (Duration::ZERO, Duration::ZERO),
            (PROCESSING_ALARM, REVOCATION_ALARM),
            (PROCESSING_ALARM + second, second),
        ] {
            backlog.tell(Ages { processing, revocation });
            assert_eq!(backlog.is_told, Told { processing: processing > PROCESSING_ALARM, revocation: false });
        }
        backlog.tell(Ages { processing: second, revocation: REVOCATION_ALARM + second });
        assert_eq!(backlog.is_told, Told { processing: false, revocation: true });
    }
}

//! How long the oldest work has waited for the CM: for dashboards, and for operators where it is too long (CM contract
//! section 8, alarms).

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use acme::{
    ids::{JobId, OrderId},
    order::Progress,
};
use store::{Job, ReadError, Submission, Work};

use crate::{
    app::{App, Current},
    clock,
    telemetry::metrics::work_name,
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(30);
/// Jobs that are looked at; of more than these the oldest may be overlooked. They are not all held at once.
const JOBS_PER_PAGE: usize = 500;
const PAGES_MAX: usize = 200;
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

/// What one look has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Jobs by what they do.
    jobs: BTreeMap<&'static str, i64>,
    oldest_in_processing: Duration,
    /// Orders whose age is not known.
    unreadable: i64,
    revocations: Vec<JobId>,
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
        let seen = see(app).await?;
        app.metrics.jobs(&seen.jobs);
        app.metrics.orders_unreadable.set(seen.unreadable);
        let ages = Ages { processing: seen.oldest_in_processing, revocation: self.oldest_revocation(seen.revocations) };
        let secs = |age: Duration| i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        app.metrics.processing_oldest.set(secs(ages.processing));
        app.metrics.revocation_oldest.set(secs(ages.revocation));
        self.tell(ages);
        Ok(())
    }

    fn oldest_revocation(&mut self, waiting: Vec<JobId>) -> Duration {
        let now = Instant::now();
        let known = |id: &JobId| self.revocations.get(id).copied().unwrap_or(now);
        self.revocations = waiting.into_iter().map(|id| (id.clone(), known(&id))).collect();
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

/// Looks at all jobs, page by page: those that wait for a person may be many, and hide nothing.
async fn see(app: &App) -> Result<Seen, ReadError> {
    let (mut seen, mut after) = (Seen::default(), None::<Job>);
    for _ in 0..PAGES_MAX {
        let mut jobs = app.store.jobs_after(after.as_ref(), JOBS_PER_PAGE).await?;
        for job in &jobs {
            seen.add(app, &job.value).await?;
        }
        let Some(last) = jobs.pop() else { break };
        after = Some(last.value);
    }
    Ok(seen)
}

impl Seen {
    async fn add(&mut self, app: &App, job: &Job) -> Result<(), ReadError> {
        let count = self.jobs.entry(work_name(&job.work)).or_default();
        *count = count.saturating_add(1);
        match &job.work {
            Work::Revoke(_) => self.revocations.push(job.id.clone()),
            Work::Issue { order, submission, .. }
                if !matches!(submission, Submission::Accepted { approval: true, .. }) =>
            {
                self.add_order(app, order).await?;
            }
            // What a person has to approve takes as long as it takes.
            Work::Issue { .. } | Work::Validate { .. } | Work::ConfirmDelivery { .. } => {}
        }
        Ok(())
    }

    /// Its age is counted from finalize on.
    async fn add_order(&mut self, app: &App, order: &OrderId) -> Result<(), ReadError> {
        match app.store.order(order).await {
            Ok(Some(order)) => {
                if let Progress::Finalizing { since, .. } = order.value.progress {
                    self.oldest_in_processing = self.oldest_in_processing.max(clock::now().since(since));
                }
            }
            Ok(None) => {}
            Err(why @ ReadError::Unavailable(_)) => return Err(why),
            // One that is damaged says nothing of the others.
            Err(why @ (ReadError::Damaged { .. } | ReadError::UnknownVersion { .. })) => {
                tracing::warn!(%order, %why, "cannot see how long an order has waited for the CM");
                self.unreadable = self.unreadable.saturating_add(1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use acme::challenge::ChallengeKind;
    use store::{Commit, RevocationCall, RevocationWork};

    use super::*;
    use crate::{
        random,
        testing::{Gateway, Ruling, new_csr},
    };

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

    #[tokio::test(start_paused = true)]
    async fn an_order_that_cannot_be_read_hides_no_other() {
        let gateway = Gateway::new().await;
        let (damaged, _other) = (old_order(&gateway).await, old_order(&gateway).await);
        gateway.disk.damage(&format!("order/{damaged}")).await;
        Backlog::default().look(&gateway.app).await.unwrap();
        assert!(gateway.app.metrics.processing_oldest.get() >= 3600);
        assert_eq!(gateway.app.metrics.orders_unreadable.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_revocation_behind_very_many_other_jobs_is_seen() {
        let gateway = Gateway::new().await;
        let endpoint = gateway.endpoint("open");
        let revocation = RevocationWork {
            endpoint: endpoint.name.clone(),
            realm: endpoint.realm.clone(),
            certificate: "a.b".parse().unwrap(),
            asked: String::from("key/4"),
            not_after: clock::now(),
            call: RevocationCall { idempotency_key: random::id(), revocation: Vec::new(), request: Vec::new() },
            newer: None,
        };
        let mut commit = Commit::new();
        commit.create_job(Job::revoke(revocation, clock::now().plus(Duration::from_secs(60))));
        gateway.app.store.commit(commit).await.unwrap();
        for _ in 0..21 {
            let mut commit = Commit::new();
            for _ in 0..50 {
                commit.create_job(Job::validate(random::id(), ChallengeKind::Http01, clock::now()));
            }
            gateway.app.store.commit(commit).await.unwrap();
        }
        let mut backlog = Backlog::default();
        backlog.look(&gateway.app).await.unwrap();
        assert_eq!(backlog.revocations.len(), 1);
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

//! The runner: what is started, how much of it, and what a failed attempt leaves behind.

use acme::{challenge::ChallengeKind, ids::Reference, order::OrderStatus, registration::Registration};
use cm_connector::{CmError, Outcome};

use super::*;
use crate::{
    ra,
    testing::{self, Fault, Gateway, Moment, Operation, Ruling, new_csr},
    workers::damaged_jobs::end_damaged_jobs,
};

/// Promises a validation of each of these addresses, none of which answers.
async fn respond(gateway: &Gateway, registration: &Registration, addresses: &[&str]) {
    let endpoint = gateway.endpoint("open");
    let key = &registration.key.as_ref().unwrap().key;
    let view = gateway.order(registration, addresses).await.unwrap();
    for id in &view.order.authorizations {
        let account = (testing::asked(registration), key);
        ra::challenge::respond(&gateway.app, &endpoint, account, id, ChallengeKind::Http01, clock::now())
            .await
            .unwrap();
    }
}

/// Slots for validations that these two hold.
fn held(one: &Registration, slots: usize, other: &Registration, others: usize) -> HashMap<Share, usize> {
    let share = |registration: &Registration| Share::Account(Lane::Validations, registration.id.clone());
    HashMap::from([(share(one), slots), (share(other), others)])
}

/// An order that was finalized, and its job.
async fn finalize(gateway: &Gateway) -> (acme::ids::OrderId, JobId) {
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["a.test"]).await;
    gateway.finalize(&registration, &order, new_csr(&["a.test"])).await.unwrap();
    let job = Job::issuance_id(&order);
    (order, job)
}

/// Waits until every attempt that was started has ended.
async fn ended(runner: &Runner) {
    let all = async {
        while !runner.lock().jobs.is_empty() {
            runner.current.app().wake.wait().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), all).await.expect("every attempt ends");
}

#[tokio::test(start_paused = true)]
async fn one_account_cannot_take_all_slots() {
    let gateway = Gateway::with("validation.concurrent_per_account_max = 2").await;
    gateway.cm.is_away(true); // attempts go as far as asking for the registration, and no further
    let (many, one) = (gateway.registration(), gateway.registration());
    respond(&gateway, &many, &["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]).await;
    respond(&gateway, &one, &["192.0.2.5"]).await;
    let runner = Runner::new(gateway.app.clone());
    runner.start_due().await.unwrap();
    let running = runner.lock().held_by.clone();
    assert_eq!(running, held(&many, 2, &one, 1));
    ended(&runner).await;
    assert!(runner.lock().held_by.is_empty(), "slots are given back");
}

#[tokio::test(start_paused = true)]
async fn an_account_with_very_many_slow_targets_does_not_hide_the_jobs_of_others() {
    let gateway = Gateway::with("validation.concurrent_per_account_max = 2").await;
    gateway.cm.is_away(true);
    let (many, one) = (gateway.registration(), gateway.registration());
    for network in 0..ROUND.div_ceil(100) {
        let addresses: Vec<_> = (0..100).map(|host| format!("192.0.{network}.{host}")).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        respond(&gateway, &many, &addresses).await;
    }
    respond(&gateway, &one, &["198.51.100.5"]).await;
    let runner = Runner::new(gateway.app.clone());
    runner.start_due().await.unwrap();
    let running = runner.lock().held_by.clone();
    assert_eq!(running, held(&many, 2, &one, 1));
    ended(&runner).await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_spoils_its_own_job_and_no_other() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    respond(&gateway, &registration, &["192.0.2.1"]).await;
    let damaged = gateway.jobs().await.remove(0).value;
    let Work::Validate { authorization, .. } = &damaged.work else { panic!("not a validation") };
    gateway.disk.damage(&format!("authorization/{authorization}")).await;
    let (order, _) = finalize(&gateway).await;
    let runner = Runner::new(gateway.app.clone());
    runner.start_due().await.unwrap();
    ended(&runner).await;
    assert_eq!(gateway.status(&order).await, OrderStatus::Valid);
    let left = gateway.job(&damaged.id).await.expect("the damaged one stays for whoever mends it").value;
    let pause = left.due_at.since(clock::now());
    assert!(pause > RETRY_MAX - PAUSE_MAX, "and is not looked at again at once: {pause:?}");
}

#[tokio::test(start_paused = true)]
async fn deliveries_are_reported_while_all_slots_for_issuances_are_taken() {
    let gateway = Gateway::with("issuance.concurrent_max = 1").await;
    let (order, _) = finalize(&gateway).await;
    let runner = Runner::new(gateway.app.clone());
    runner.start_due().await.unwrap();
    ended(&runner).await;
    assert_eq!(gateway.status(&order).await, OrderStatus::Valid);
    let taken = runner.issuances.clone().try_acquire_owned().unwrap();
    assert_eq!(gateway.cm.deliveries(), []);
    for job in gateway.jobs().await {
        gateway.make_due(&job.value.id).await;
    }
    runner.start_due().await.unwrap();
    ended(&runner).await;
    assert_eq!(gateway.cm.deliveries().len(), 1);
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_job_is_damaged_ends_and_the_job_is_forgotten() {
    let gateway = Gateway::new().await;
    let (order, job) = finalize(&gateway).await;
    gateway.disk.damage(&format!("job/{job}")).await;
    let (other, _) = finalize(&gateway).await;
    let runner = Runner::new(gateway.app.clone());
    runner.start_due().await.unwrap();
    ended(&runner).await;
    let stood = (gateway.status(&order).await, gateway.status(&other).await);
    assert_eq!(stood, (OrderStatus::Processing, OrderStatus::Valid));
    end_damaged_jobs(&gateway.app).await.unwrap();
    assert_eq!(gateway.status(&order).await, OrderStatus::Invalid);
    assert_eq!(gateway.status(&other).await, OrderStatus::Valid);
    assert_eq!(gateway.audited().await.last().unwrap(), "order.failed");
    assert!(gateway.app.store.damaged_jobs(clock::now()).await.unwrap().is_empty(), "it is forgotten");
    assert!(gateway.app.store.job(&job).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn one_registered_domain_cannot_take_all_slots_whoever_asks_for_its_names() {
    let gateway = Gateway::with("validation.concurrent_per_target_max = 2").await;
    gateway.cm.is_away(true);
    for name in ["a.example.co.uk", "b.example.co.uk", "c.b.example.co.uk", "a.other.co.uk", "192.0.2.1", "192.0.2.2"] {
        respond(&gateway, &gateway.registration(), &[name]).await;
    }
    let runner = Runner::new(gateway.app.clone());
    runner.start_due().await.unwrap();
    let running = runner.lock().held_by.clone();
    let domain = |name: &str| running.get(&Share::Domain(name.to_owned())).copied();
    assert_eq!([domain("example.co.uk"), domain("other.co.uk"), domain("co.uk")], [Some(2), Some(1), None]);
    assert_eq!(runner.lock().jobs.len(), 2 + 1 + 2, "addresses belong to no domain");
    ended(&runner).await;
    assert!(runner.lock().held_by.is_empty(), "slots are given back");
    runner.start_due().await.unwrap();
    assert!(runner.lock().held_by.contains_key(&Share::Domain("example.co.uk".to_owned())), "the third has its turn");
}

#[tokio::test(start_paused = true)]
async fn no_more_attempts_run_than_there_are_slots() {
    let gateway = Gateway::with("validation.concurrent_max = 3\nissuance.concurrent_max = 1").await;
    for last in 1..=5 {
        respond(&gateway, &gateway.registration(), &[&format!("192.0.2.{last}")]).await;
    }
    for _ in 0..3 {
        finalize(&gateway).await;
    }
    let runner = Runner::new(gateway.app.clone());
    runner.start_due().await.unwrap();
    assert_eq!(runner.lock().jobs.len(), 3 + 1, "validations and issuances have slots of their own");
    assert_eq!((runner.validations.available_permits(), runner.issuances.available_permits()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_own_attempt_only_and_the_job_runs_again() {
    let gateway = Gateway::new().await;
    let (first, job) = finalize(&gateway).await;
    let (second, _) = finalize(&gateway).await;
    gateway.cm.next(Operation::Submit, Fault::Panics);
    let runner = Runner::new(gateway.app.clone());
    runner.start_due().await.unwrap();
    ended(&runner).await;
    let statuses = [gateway.status(&first).await, gateway.status(&second).await];
    assert!(statuses.contains(&OrderStatus::Processing) && statuses.contains(&OrderStatus::Valid), "{statuses:?}");
    assert_eq!(gateway.app.metrics.panics.get(), 1);

    let unlucky = if statuses[0] == OrderStatus::Processing { job } else { Job::issuance_id(&second) };
    let put_off = gateway.job(&unlucky).await.unwrap().value;
    assert!(put_off.due_at > clock::now().minus(Duration::from_secs(1)) && put_off.attempt == 1);
    let order = if statuses[0] == OrderStatus::Processing { &first } else { &second };
    let told = gateway.app.store.transcript(&Reference::from(order), 100).await.unwrap();
    assert_eq!(told.last().unwrap().body["step"], "job.failed");
    gateway.make_due(&unlucky).await;
    runner.start_due().await.unwrap();
    ended(&runner).await;
    assert_eq!([gateway.status(&first).await, gateway.status(&second).await], [OrderStatus::Valid; 2]);
    assert_eq!(gateway.cm.certificates().len(), 2);
    assert_eq!(gateway.app.metrics.panics.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_again_and_again_is_tried_less_and_less_often_and_never_given_up() {
    let gateway = Gateway::new().await;
    let (order, _) = finalize(&gateway).await;
    let runner = Runner::new(gateway.app.clone());
    runner.start_due().await.unwrap();
    ended(&runner).await;
    assert_eq!(gateway.status(&order).await, OrderStatus::Valid);
    let [delivery] = gateway.jobs().await.try_into().unwrap();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let broken = CmError::Unavailable { retry_after: None, outcome: Outcome::Unknown };
        gateway.cm.next(Operation::ConfirmDelivery, Fault::Answers(broken));
        gateway.make_due(&delivery.value.id).await;
        let before = clock::now();
        runner.start_due().await.unwrap();
        ended(&runner).await;
        pauses.push(gateway.job(&delivery.value.id).await.unwrap().value.due_at.since(before));
    }
    assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause <= RETRY_MAX + PAUSE_MAX), "{pauses:?}");
    assert!(pauses[0] <= Duration::from_secs(2) && pauses[11] >= RETRY_MAX, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_put_off_after_it_was_found_due_is_not_started() {
    let gateway = Gateway::new().await;
    let (_, job) = finalize(&gateway).await;
    let runner = Runner::new(gateway.app.clone());
    let due = gateway.job(&job).await.unwrap();
    let slot = runner.take_slot(&gateway.app, &due.value).await.unwrap().unwrap();
    let mut commit = Commit::new();
    commit.update_job(&due, Job { due_at: clock::now().plus(Duration::from_secs(3600)), ..due.value.clone() });
    gateway.app.store.commit(commit).await.unwrap();
    supervise(slot, clock::now()).await;
    assert_eq!(gateway.cm.calls(Operation::Submit), []);
    assert!(runner.lock().jobs.is_empty(), "its slot is free");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_running_is_not_started_again() {
    let gateway = Gateway::new().await;
    finalize(&gateway).await;
    gateway.cm.next(Operation::Submit, Fault::Hangs(Moment::BeforeTheEffect));
    let runner = Runner::new(gateway.app.clone());
    for _ in 0..3 {
        runner.start_due().await.unwrap();
        tokio::time::advance(PAUSE_MAX).await;
    }
    assert_eq!(gateway.cm.calls(Operation::Submit).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn orders_left_behind_by_an_earlier_process_are_finished_by_the_next_one() {
    let gateway = Gateway::new().await;
    gateway.cm.rule(Ruling::IssuedAfter(0));
    let (order, _) = finalize(&gateway).await;
    let restarted = gateway.restarted();
    let runner = tokio::spawn(Runner::new(restarted.app.clone()).run());
    let done = async {
        let waiting = restarted.app.waiters.register(&order);
        waiting.at_most(Duration::from_secs(60)).await;
    };
    done.await;
    assert_eq!(restarted.status(&order).await, OrderStatus::Valid);
    runner.abort();
}

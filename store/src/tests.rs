//! The typed store on the backend in memory: reads, commits, sweeping, and a model that random histories agree with.

use std::collections::BTreeMap;

use acme::{
    authorization::AuthorizationStatus,
    certificate::CertificateId,
    challenge::{self, ChallengeKind, Token},
    identifier::Identifier,
    ids::{IdempotencyKey, RealmName},
    order::{CsrDigest, Progress},
    problem::{Problem, ProblemKind},
    waiver::Waived,
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    backend::{Batch, Change, Memory},
    samples::{NOW, account, after, authorization, endpoint, order, order_id, proven_at, seal},
};

fn store() -> (Store, Arc<Memory>) {
    let memory = Arc::new(Memory::new());
    (Store::new(Arc::clone(&memory) as Arc<dyn Backend>, seal(7)), memory)
}

async fn commit(store: &Store, fill: impl FnOnce(&mut Commit)) -> Result<(), CommitError> {
    let mut commit = Commit::new();
    fill(&mut commit);
    store.commit(commit).await
}

fn issue(text: &str, due_at: Timestamp) -> Job {
    let realm = RealmName::parse("realm").unwrap();
    Job::issue(order_id(text), realm, IdempotencyKey::parse("key").unwrap(), vec![1], vec![0, 0xff], None, due_at)
}

async fn read(store: &Store, text: &str) -> Stored<Authorization> {
    store.authorization(&AuthorizationId::parse(text).unwrap()).await.unwrap().unwrap()
}

async fn proven(store: &Store, registration: &str, identifier: &str) -> Vec<String> {
    let identifier = Identifier::parse_dns(identifier).unwrap();
    let found = store.proven(&endpoint(), &account(registration), &identifier, 9).await.unwrap();
    found.iter().map(|stored| stored.value.id.to_string()).collect()
}

async fn number_of_keys(memory: &Memory) -> usize {
    let range = KeyRange { from: Key::new(String::new()), below: Key::new("~".into()) };
    memory.scan(&range, usize::MAX).await.unwrap().len()
}

async fn overwrite(memory: &Memory, key: Key, octets: &[u8]) {
    let batch = Batch { changes: [(key, Change::Put(octets.to_vec()))].into(), ..Batch::default() };
    memory.apply(batch).await.unwrap();
}

#[tokio::test]
async fn an_order_its_authorization_and_its_job_come_back_as_they_were_committed() {
    let (store, _) = store();
    let (order, authorization, job) = (order("o1", NOW), authorization("a1"), issue("o1", NOW));
    commit(&store, |commit| {
        commit.create_order(order.clone(), after(60));
        commit.create_authorization(authorization.clone(), after(60));
        commit.create_job(job.clone());
    })
    .await
    .unwrap();
    assert_eq!(store.order(&order.id).await.unwrap().unwrap().value, order);
    assert_eq!(store.authorization(&authorization.id).await.unwrap().unwrap().value, authorization);
    assert_eq!(store.job(&job.id).await.unwrap().unwrap().value, job);
    assert_eq!(store.order(&order_id("o2")).await.unwrap(), None);
    let ids = ["a2", "a1"].map(|id| AuthorizationId::parse(id).unwrap());
    assert_eq!(store.authorizations(&ids).await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_two_updates_of_what_was_read_once_the_second_is_refused_whole() {
    let (store, _) = store();
    commit(&store, |commit| commit.create_order(order("o1", NOW), after(60))).await.unwrap();
    let was = store.order(&order_id("o1")).await.unwrap().unwrap();
    let failed = was.value.record_failed(Problem::new(ProblemKind::Caa, "no")).unwrap();
    commit(&store, |commit| commit.update_order(&was, failed.clone(), after(60))).await.unwrap();
    let second = commit(&store, |commit| {
        commit.update_order(&was, was.value.clone(), after(60));
        commit.create_job(issue("o1", NOW));
        commit.audit(NOW, json!("finalized"));
    });
    assert_eq!(second.await, Err(CommitError::Conflict));
    assert_eq!(store.order(&order_id("o1")).await.unwrap().unwrap().value, failed);
    assert_eq!(store.job(&Job::issuance_id(&order_id("o1"))).await.unwrap(), None);
    assert_eq!(store.audit_entries(9).await.unwrap(), []);
}

#[tokio::test]
async fn a_commit_can_depend_on_what_it_does_not_change() {
    let (store, _) = store();
    commit(&store, |commit| {
        commit.create_order(order("o1", NOW), after(60));
        commit.create_authorization(authorization("a1"), after(60));
    })
    .await
    .unwrap();
    let order = store.order(&order_id("o1")).await.unwrap().unwrap();
    let authorization = store.authorization(&AuthorizationId::parse("a1").unwrap()).await.unwrap().unwrap();
    let depending = |commit: &mut Commit| {
        commit.unchanged_order(&order);
        commit.unchanged_authorization(&authorization);
        commit.audit(NOW, json!(1));
    };
    assert_eq!(commit(&store, depending).await, Ok(()));
    let given_up = authorization.value.deactivate(NOW).unwrap();
    commit(&store, |commit| commit.update_authorization(&authorization, given_up, after(60))).await.unwrap();
    assert_eq!(commit(&store, depending).await, Err(CommitError::Conflict));
}

#[tokio::test]
async fn what_exists_is_not_made_again() {
    let (store, _) = store();
    let create = |commit: &mut Commit| {
        commit.create_order(order("o1", NOW), after(60));
    };
    commit(&store, create).await.unwrap();
    assert_eq!(commit(&store, create).await, Err(CommitError::Conflict));
    commit(&store, |commit| commit.create_job(issue("o1", NOW))).await.unwrap();
    let again = commit(&store, |commit| commit.create_job(issue("o1", after(5)))).await;
    assert_eq!(again, Err(CommitError::Conflict));
}

#[tokio::test]
async fn an_update_with_another_record_is_a_defect_and_writes_nothing() {
    let (store, _) = store();
    commit(&store, |commit| {
        commit.create_order(order("o1", NOW), after(60));
        commit.create_order(order("o2", NOW), after(60));
    })
    .await
    .unwrap();
    let was = store.order(&order_id("o1")).await.unwrap().unwrap();
    for other in [order("o2", NOW), order("o1", after(1)), Order { account: account("reg_2"), ..order("o1", NOW) }] {
        let refused = commit(&store, |commit| commit.update_order(&was, other, after(60))).await;
        assert!(matches!(refused, Err(CommitError::Invalid(InvalidCommit::DifferentRecord { .. }))), "{refused:?}");
    }
    assert_eq!(store.order(&order_id("o1")).await.unwrap().unwrap(), was);
}

#[tokio::test]
async fn an_order_of_100_identifiers_fits_in_one_commit_and_more_than_fits_is_refused() {
    let (store, memory) = store();
    let create = |authorizations: usize| {
        let mut commit = Commit::new();
        commit.create_order(order("o1", NOW), after(60));
        (0..authorizations)
            .for_each(|number| commit.create_authorization(authorization(&format!("a{number}")), after(60)));
        commit.audit(NOW, json!(1));
        commit
    };
    let refused = store.commit(create(125)).await;
    assert!(matches!(refused, Err(CommitError::Invalid(InvalidCommit::TooLarge { keys: 129, .. }))), "{refused:?}");
    let mut large = create(1);
    large.audit(NOW, json!("x".repeat(backend::BATCH_OCTETS_MAX)));
    let refused = store.commit(large).await;
    assert!(matches!(refused, Err(CommitError::Invalid(InvalidCommit::TooLarge { .. }))), "{refused:?}");
    assert_eq!(number_of_keys(&memory).await, 0);
    assert_eq!(store.commit(create(100)).await, Ok(()));
}

#[tokio::test]
async fn jobs_are_found_by_the_time_they_are_due() {
    let (store, _) = store();
    assert_eq!(store.next_due().await.unwrap(), None);
    let validation = Job::validate(AuthorizationId::parse("a1").unwrap(), ChallengeKind::Dns01, after(1));
    for job in [issue("late", after(9)), issue("first", NOW), validation, issue("second", after(1))] {
        commit(&store, |commit| commit.create_job(job)).await.unwrap();
    }
    let due = async |at, limit| -> Vec<Timestamp> {
        store.due_jobs(at, limit).await.unwrap().into_iter().map(|job| job.value.due_at).collect()
    };
    assert_eq!(store.next_due().await.unwrap(), Some(NOW));
    assert_eq!(due(NOW, 9).await, [NOW]);
    assert_eq!(due(after(8), 9).await, [NOW, after(1), after(1)]);
    assert_eq!(due(after(9), 2).await, [NOW, after(1)]);
    let was = store.job(&Job::issuance_id(&order_id("first"))).await.unwrap().unwrap();
    let put_off = Job { due_at: after(20), attempt: 1, ..was.value.clone() };
    commit(&store, |commit| commit.update_job(&was, put_off.clone())).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(after(1)));
    assert_eq!(commit(&store, |commit| commit.finish_job(&was)).await, Err(CommitError::Conflict));
    let was = store.job(&put_off.id).await.unwrap().unwrap();
    assert_eq!(was.value, put_off);
    commit(&store, |commit| commit.finish_job(&was)).await.unwrap();
    assert_eq!(due(after(99), 9).await, [after(1), after(1), after(9)]);
}

#[tokio::test]
async fn a_job_that_is_finished_leaves_nothing_behind() {
    let (store, memory) = store();
    commit(&store, |commit| commit.create_job(issue("o1", NOW))).await.unwrap();
    let was = store.job(&Job::issuance_id(&order_id("o1"))).await.unwrap().unwrap();
    commit(&store, |commit| commit.update_job(&was, Job { due_at: after(5), ..was.value.clone() })).await.unwrap();
    let was = store.job(&was.value.id).await.unwrap().unwrap();
    commit(&store, |commit| commit.update_job(&was, Job { attempt: 2, ..was.value.clone() })).await.unwrap();
    let was = store.job(&was.value.id).await.unwrap().unwrap();
    commit(&store, |commit| commit.finish_job(&was)).await.unwrap();
    assert_eq!(number_of_keys(&memory).await, 0);
}

#[tokio::test]
async fn a_damaged_job_does_not_stand_in_the_way_of_the_others() {
    let (store, memory) = store();
    for (name, due_at) in [("bad", NOW), ("worse", after(1)), ("good", after(2)), ("better", after(3))] {
        commit(&store, |commit| commit.create_job(issue(name, due_at))).await.unwrap();
    }
    for name in ["bad", "worse"] {
        overwrite(&memory, keys::job(&Job::issuance_id(&order_id(name))), b"garbage").await;
    }
    assert_eq!(store.next_due().await.unwrap(), Some(after(2)));
    let due = store.due_jobs(after(9), 2).await.unwrap();
    assert_eq!(due.iter().map(|job| job.value.due_at).collect::<Vec<_>>(), [after(2), after(3)]);
    assert!(matches!(store.job(&Job::issuance_id(&order_id("bad"))).await, Err(ReadError::Damaged { .. })));
}

#[tokio::test]
async fn the_orders_of_an_account_come_in_pages_newest_last() {
    let (store, _) = store();
    for (name, created) in [("o3", after(2)), ("o1", NOW), ("o4", after(2)), ("o2", after(1))] {
        commit(&store, |commit| commit.create_order(order(name, created), after(60))).await.unwrap();
    }
    let of_another = Order { account: account("reg_2"), ..order("other", NOW) };
    commit(&store, |commit| commit.create_order(of_another, after(60))).await.unwrap();
    let page = async |after: Option<&OrderCursor>, limit| {
        let page = store.orders_of(&endpoint(), &account("reg_1"), after, limit).await.unwrap();
        (page.orders.iter().map(ToString::to_string).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(page(None, 9).await, (["o1", "o2", "o3", "o4"].map(String::from).to_vec(), None));
    let (first, next) = page(None, 3).await;
    assert_eq!(first, ["o1", "o2", "o3"]);
    let next: OrderCursor = next.unwrap().to_string().parse().unwrap();
    assert_eq!(page(Some(&next), 3).await, (vec!["o4".into()], None));
    assert_eq!(page(None, 4).await.1, None);
}

#[tokio::test]
async fn what_an_account_has_proven_is_found_by_identifier_the_latest_first() {
    let (store, _) = store();
    let proofs = [("a1", 10), ("a2", 30), ("a3", 20)];
    for (id, _) in proofs {
        commit(&store, |commit| commit.create_authorization(authorization(id), after(60))).await.unwrap();
    }
    assert_eq!(proven(&store, "reg_1", "a.test").await, [""; 0], "nothing is proven yet");
    for (id, seconds) in proofs {
        let was = read(&store, id).await;
        commit(&store, |commit| commit.update_authorization(&was, proven_at(id, seconds), after(60))).await.unwrap();
    }
    assert_eq!(proven(&store, "reg_1", "a.test").await, ["a2", "a3", "a1"]);
    for (account, identifier) in [("reg_2", "a.test"), ("reg_1", "*.a.test"), ("reg_1", "b.a.test"), ("reg", "a.test")]
    {
        assert_eq!(proven(&store, account, identifier).await, [""; 0], "{account} {identifier}");
    }
    let identifier = Identifier::parse_dns("a.test").unwrap();
    let first = store.proven(&endpoint(), &account("reg_1"), &identifier, 1).await.unwrap();
    assert_eq!(first[0].value, proven_at("a2", 30));
}

#[tokio::test]
async fn what_is_waived_is_valid_and_among_no_proofs() {
    let (store, memory) = store();
    let was = authorization("a1");
    let by = Waived {
        waiver: "wav_1".parse().unwrap(),
        proposed_by: String::from("anna"),
        decided_by: String::from("bert"),
        reason: String::from("no port 80"),
        address: "192.0.2.44".parse().unwrap(),
        client_certificate: None,
    };
    let challenge = challenge::waived(&[], &was.identifier, Token::from_random([7; 32]), NOW, by);
    let waived = Authorization { challenges: vec![challenge], ..was };
    commit(&store, |commit| commit.create_authorization(waived.clone(), after(60))).await.unwrap();
    let stored = read(&store, "a1").await;
    assert_eq!((stored.value.status(NOW), &stored.value), (AuthorizationStatus::Valid, &waived));
    assert_eq!(proven(&store, "reg_1", "a.test").await, [""; 0]);
    let revoked = waived.revoke(NOW).unwrap();
    commit(&store, |commit| commit.update_authorization(&stored, revoked, after(60))).await.unwrap();
    assert_eq!(store.sweep(after(60), 9).await, Ok(1));
    assert_eq!(number_of_keys(&memory).await, 0, "nothing of it is left in an index");
}

#[tokio::test]
async fn a_proof_that_cannot_be_read_does_not_stand_in_the_way_of_the_others() {
    let (store, memory) = store();
    for (id, seconds) in [("a1", 10), ("a2", 20)] {
        commit(&store, |commit| commit.create_authorization(proven_at(id, seconds), after(60))).await.unwrap();
    }
    overwrite(&memory, Key::new("authorization/a2".into()), b"garbage").await;
    assert_eq!(proven(&store, "reg_1", "a.test").await, ["a1"]);
}

#[tokio::test]
async fn a_proof_that_was_given_up_is_not_found_and_the_ones_before_it_are() {
    let (store, memory) = store();
    for (id, seconds) in [("a1", 10), ("a2", 20)] {
        commit(&store, |commit| commit.create_authorization(proven_at(id, seconds), after(60))).await.unwrap();
    }
    let was = read(&store, "a2").await;
    let given_up = was.value.deactivate(after(25)).unwrap();
    commit(&store, |commit| commit.update_authorization(&was, given_up, after(60))).await.unwrap();
    assert_eq!(proven(&store, "reg_1", "a.test").await, ["a1"]);
    assert_eq!(store.sweep(after(60), 9).await, Ok(2));
    assert_eq!(number_of_keys(&memory).await, 0, "the index is swept with its records");
}

#[tokio::test]
async fn of_two_orders_that_replace_a_certificate_at_the_same_time_one_is_refused() {
    let (store, _) = store();
    let certificate = CertificateId::parse("AA.BB").unwrap();
    let claim = async |order: &str, was: Option<&Stored<OrderId>>| {
        commit(&store, |commit| {
            commit.claim_replacement(&endpoint(), &certificate, was, &order_id(order), after(60));
        })
        .await
    };
    assert_eq!(store.replacement(&endpoint(), &certificate).await.unwrap(), None);
    assert_eq!(claim("o1", None).await, Ok(()));
    assert_eq!(claim("o2", None).await, Err(CommitError::Conflict));
    let first = store.replacement(&endpoint(), &certificate).await.unwrap().unwrap();
    assert_eq!(claim("o3", Some(&first)).await, Ok(()), "its order has let go");
    assert_eq!(claim("o4", Some(&first)).await, Err(CommitError::Conflict));
    assert_eq!(store.replacement(&endpoint(), &certificate).await.unwrap().unwrap().value, order_id("o3"));
    let elsewhere = EndpointName::parse("other").unwrap();
    assert_eq!(store.replacement(&elsewhere, &certificate).await.unwrap(), None);
}

#[tokio::test]
async fn a_replacement_outlives_the_order_that_was_issued_and_goes_with_the_one_that_was_not() {
    let csr = CsrDigest([1; 32]);
    let issued = Progress::Issued { csr, certificate: CertificateId::parse("CC.DD").unwrap() };
    let failed = Progress::Failed { problem: Problem::new(ProblemKind::Caa, "no") };
    for (progress, is_left) in [(issued, true), (failed, false), (Progress::Open, false)] {
        let (store, memory) = store();
        let certificate = CertificateId::parse("AA.BB").unwrap();
        let replacing = Order { replaces: Some(certificate.clone()), progress, ..order("o1", NOW) };
        commit(&store, |commit| {
            commit.claim_replacement(&endpoint(), &certificate, None, &replacing.id, after(600));
            commit.create_order(replacing.clone(), after(60));
        })
        .await
        .unwrap();
        assert_eq!(store.sweep(after(60), 9).await, Ok(1));
        let left = store.replacement(&endpoint(), &certificate).await.unwrap();
        assert_eq!(left.is_some(), is_left, "{:?}", replacing.progress);
        store.sweep(after(600), 9).await.unwrap();
        assert_eq!(number_of_keys(&memory).await, 0);
    }
}

#[tokio::test]
async fn the_last_audit_entry_that_was_handed_on_is_remembered_and_is_none_that_waits() {
    let (store, _memory) = store();
    assert_eq!(store.audit_head().await.unwrap(), None);
    let promises = vec![String::from("hash of 9"), String::from("hash of 10")];
    for (sequence, key, promised) in [(7, None, Vec::new()), (8, Some(String::from("key")), promises)] {
        let head = AuditHead { sequence, hash: format!("hash of {sequence}"), key, promised };
        commit(&store, |commit| commit.keep_audit_head(&head)).await.unwrap();
        assert_eq!(store.audit_head().await.unwrap(), Some(head));
    }
    assert_eq!((store.audit_entries(9).await.unwrap(), store.audit_waiting(9).await.unwrap()), (Vec::new(), 0));
}

#[tokio::test]
async fn audit_entries_wait_in_their_order_until_they_are_forgotten() {
    let (store, memory) = store();
    commit(&store, |commit| {
        commit.audit(NOW, json!({"n": 1}));
        commit.audit(NOW, json!({"n": 2}));
    })
    .await
    .unwrap();
    commit(&store, |commit| commit.audit(NOW, json!({"n": 3}))).await.unwrap();
    let entries = store.audit_entries(9).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.body["n"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(entries.iter().all(|entry| entry.at == NOW));
    assert_eq!(store.audit_entries(2).await.unwrap(), entries[..2]);
    assert_eq!((store.audit_waiting(9).await.unwrap(), store.audit_waiting(2).await.unwrap()), (3, 2));
    commit(&store, |commit| entries[..2].iter().for_each(|entry| commit.forget_audit(&entry.sequence))).await.unwrap();
    assert_eq!(store.audit_entries(9).await.unwrap(), entries[2..]);
    commit(&store, |commit| commit.forget_audit(&entries[0].sequence)).await.unwrap();
    commit(&store, |commit| commit.forget_audit(&entries[2].sequence)).await.unwrap();
    assert_eq!(number_of_keys(&memory).await, 0);
}

#[tokio::test]
async fn a_damaged_order_is_refused_by_its_key_and_the_others_are_read() {
    let (store, memory) = store();
    for name in ["o1", "o2"] {
        commit(&store, |commit| commit.create_order(order(name, NOW), after(60))).await.unwrap();
    }
    overwrite(&memory, keys::order(&order_id("o1")), b"garbage").await;
    let refused = store.order(&order_id("o1")).await;
    assert!(matches!(refused, Err(ReadError::Damaged { key, .. }) if key == "order/o1"));
    assert!(store.order(&order_id("o2")).await.unwrap().is_some());
}

#[tokio::test]
async fn sweeping_removes_what_may_be_forgotten_with_all_that_belongs_to_it() {
    let (store, memory) = store();
    commit(&store, |commit| {
        commit.create_order(order("o1", NOW), after(10));
        (0..100).for_each(|number| commit.create_authorization(authorization(&format!("a{number}")), after(10)));
    })
    .await
    .unwrap();
    commit(&store, |commit| {
        commit.claim_serial(&[1], "0a", &SerialClaim { order: order_id("o1"), issued: None }, after(20))
    })
    .await
    .unwrap();
    assert_eq!(store.sweep(after(9), 1000).await, Ok(0));
    let mut removed = 0;
    for _ in 0..3 {
        removed += store.sweep(after(10), 1000).await.unwrap();
    }
    assert_eq!(removed, 101);
    assert_eq!(store.orders_of(&endpoint(), &account("reg_1"), None, 9).await.unwrap().orders, []);
    assert_eq!(store.sweep(after(20), 1000).await, Ok(1));
    assert_eq!(number_of_keys(&memory).await, 0);
}

#[tokio::test]
async fn sweeping_goes_by_what_the_record_says_last() {
    let (store, memory) = store();
    commit(&store, |commit| commit.create_order(order("o1", NOW), after(10))).await.unwrap();
    let was = store.order(&order_id("o1")).await.unwrap().unwrap();
    commit(&store, |commit| commit.update_order(&was, was.value.clone(), after(30))).await.unwrap();
    assert_eq!(store.sweep(after(10), 9).await, Ok(0));
    let was = store.order(&order_id("o1")).await.unwrap().unwrap();
    commit(&store, |commit| commit.update_order(&was, was.value.clone(), after(20))).await.unwrap();
    assert_eq!(store.sweep(after(20), 9).await, Ok(1));
    assert_eq!(store.sweep(after(30), 9).await, Ok(0));
    assert_eq!(number_of_keys(&memory).await, 0);
}

#[tokio::test]
async fn an_order_that_is_worked_on_is_not_forgotten() {
    let (store, memory) = store();
    commit(&store, |commit| {
        commit.create_order(order("o1", NOW), after(10));
        commit.create_job(issue("o1", NOW));
    })
    .await
    .unwrap();
    assert_eq!(store.sweep(after(10), 9).await, Ok(0));
    let job = store.job(&Job::issuance_id(&order_id("o1"))).await.unwrap().unwrap();
    commit(&store, |commit| commit.finish_job(&job)).await.unwrap();
    assert_eq!(store.sweep(after(11), 9).await, Ok(0));
    assert_eq!(store.sweep(after(10 + 3600), 9).await, Ok(1));
    assert_eq!(number_of_keys(&memory).await, 0);
}

#[tokio::test]
async fn damaged_records_are_swept_too() {
    let (store, memory) = store();
    commit(&store, |commit| commit.create_authorization(authorization("a1"), after(10))).await.unwrap();
    overwrite(&memory, Key::new("authorization/a1".into()), b"garbage").await;
    assert_eq!(store.sweep(after(10), 9).await, Ok(1));
    assert_eq!(number_of_keys(&memory).await, 0);
}

#[derive(Debug, Clone)]
enum Operation {
    Create { order: u8, keep_secs: u64 },
    Update { order: u8, keep_secs: u64 },
    Promise { order: u8 },
    Finish { order: u8 },
    Sweep { at_secs: u64 },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let (order, secs) = (0_u8..6, 0_u64..40);
    let operation = prop_oneof![
        (order.clone(), secs.clone()).prop_map(|(order, keep_secs)| Operation::Create { order, keep_secs }),
        (order.clone(), secs.clone()).prop_map(|(order, keep_secs)| Operation::Update { order, keep_secs }),
        order.clone().prop_map(|order| Operation::Promise { order }),
        order.prop_map(|order| Operation::Finish { order }),
        secs.prop_map(|at_secs| Operation::Sweep { at_secs }),
    ];
    proptest::collection::vec(operation, 1..40)
}

/// Keeps the same orders in a map from name to the end of their time, and the jobs in a list.
async fn keeps_what_a_map_keeps(operations: Vec<Operation>) {
    let (store, memory) = store();
    let mut orders: BTreeMap<String, u64> = BTreeMap::new();
    let mut jobs: Vec<String> = Vec::new();
    for operation in operations {
        let name = |number: u8| format!("o{number}");
        match operation {
            Operation::Create { order: number, keep_secs } => {
                let create = |commit: &mut Commit| commit.create_order(order(&name(number), NOW), after(keep_secs));
                let made = commit(&store, create).await.is_ok();
                assert_eq!(made, !orders.contains_key(&name(number)));
                orders.entry(name(number)).or_insert(keep_secs);
            }
            Operation::Update { order: number, keep_secs } => {
                let Some(was) = store.order(&order_id(&name(number))).await.unwrap() else { continue };
                let update = |commit: &mut Commit| commit.update_order(&was, was.value.clone(), after(keep_secs));
                commit(&store, update).await.unwrap();
                orders.insert(name(number), keep_secs);
            }
            Operation::Promise { order: number } => {
                let made = commit(&store, |commit| commit.create_job(issue(&name(number), NOW))).await.is_ok();
                assert_eq!(made, !jobs.contains(&name(number)));
                if made {
                    jobs.push(name(number));
                }
            }
            Operation::Finish { order: number } => {
                let id = Job::issuance_id(&order_id(&name(number)));
                let Some(job) = store.job(&id).await.unwrap() else { continue };
                commit(&store, |commit| commit.finish_job(&job)).await.unwrap();
                jobs.retain(|job| *job != name(number));
            }
            Operation::Sweep { at_secs } => {
                store.sweep(after(at_secs), 1000).await.unwrap();
            }
        }
        let page = store.orders_of(&endpoint(), &account("reg_1"), None, 99).await.unwrap();
        for (order, keep_secs) in orders.clone() {
            let is_there = page.orders.contains(&order_id(&order));
            assert_eq!(is_there, store.order(&order_id(&order)).await.unwrap().is_some());
            if !is_there {
                assert!(!jobs.contains(&order), "{order} was forgotten with {keep_secs}");
                orders.remove(&order);
            }
        }
        assert_eq!(page.orders.len(), orders.len());
        assert_eq!(store.due_jobs(NOW, 99).await.unwrap().len(), jobs.len());
    }
    for name in jobs {
        let job = store.job(&Job::issuance_id(&order_id(&name))).await.unwrap().unwrap();
        commit(&store, |commit| commit.finish_job(&job)).await.unwrap();
    }
    store.sweep(after(1_000_000), 1000).await.unwrap();
    assert_eq!(number_of_keys(&memory).await, 0);
}

proptest! {
    #[test]
    fn orders_and_jobs_are_kept_as_in_a_map_and_leave_nothing_behind(operations in operations()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(keeps_what_a_map_keeps(operations));
    }
}

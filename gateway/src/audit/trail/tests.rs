//! From the store into the files: each event once, whatever fails or dies between the two.

use std::{fs, path::PathBuf};

use acme::problem::ProblemKind;
use serde_json::json;
use store::backend::{ApplyError, Unavailable};

use super::*;
use crate::{
    audit::{
        chain::Chain,
        verify::{files, verify},
    },
    testing::{Gateway, Moment, dies, told},
};

/// A gateway with an audit folder of its own.
async fn gateway(name: &str, more: &str) -> (Gateway, PathBuf) {
    let folder = std::env::temp_dir().join(format!("acme-gateway-trail-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    (Gateway::with(&format!("audit.dir = {folder:?}\n{more}")).await, folder)
}

async fn commit(gateway: &Gateway, name: &str, count: usize) {
    for number in 0..count {
        let mut commit = Commit::new();
        commit.audit(clock::now(), json!({"event": name, "number": number}));
        gateway.app.store.commit(commit).await.unwrap();
    }
}

/// The names of the events in the files, which are fine.
fn events(folder: &PathBuf) -> Vec<String> {
    let mut found = Vec::new();
    let each = |record: &crate::audit::record::Record| {
        if record.outbox.is_some() {
            found.push(format!("{}{}", record.name(), record.event["number"]));
        }
        Ok(())
    };
    let verdict = verify(&files(std::slice::from_ref(folder)).unwrap(), Chain::default(), each).unwrap();
    assert_eq!(verdict.fault, None);
    found
}

#[tokio::test]
async fn events_are_written_in_their_order_and_forgotten_and_the_end_is_signed() {
    let (gateway, folder) = gateway("order", "").await;
    commit(&gateway, "a", 230).await;
    for written in [100, 100, 30, 0] {
        assert_eq!(write(&gateway.app).await.unwrap(), written);
    }
    close(&gateway.app).await.unwrap();
    let expected: Vec<_> = (0..230).map(|number| format!("a{number}")).collect();
    assert_eq!((events(&folder), gateway.audited().await), (expected, Vec::new()));
    let verdict = verify(&files(std::slice::from_ref(&folder)).unwrap(), Chain::default(), |_| Ok(())).unwrap();
    assert!(verdict.seen.is_stopped && verdict.seen.starts == 1);
    assert_eq!(verdict.seen.proven.unwrap().0 + 1, verdict.seen.last.unwrap().0.sequence);
    fs::remove_dir_all(folder).unwrap();
}

/// The commits are: the first note, then one that forgets.
#[tokio::test(start_paused = true)]
async fn a_power_cut_at_any_commit_of_the_writer_leaves_each_event_once() {
    for (commits, moment) in (0..4).flat_map(|commits| Moment::BOTH.map(|moment| (commits, moment))) {
        let (gateway, folder) = gateway("power", "").await;
        commit(&gateway, "a", 3).await;
        gateway.disk.cut_power_after(commits, moment);
        let app = gateway.app.clone();
        let work = async {
            write(&app).await.unwrap();
            commit(&gateway, "b", 2).await;
            write(&app).await.unwrap();
        };
        let _died = dies(work).await;
        let _planned = gateway.disk.forget_interruption();
        let gateway = gateway.restarted_with_catalogue().await;
        while write(&gateway.app).await.unwrap() > 0 {}
        let found = events(&folder);
        let unique: std::collections::BTreeSet<_> = found.iter().collect();
        assert_eq!(unique.len(), found.len(), "{commits} {moment:?}: {found:?}");
        assert!(found.starts_with(&["a0", "a1", "a2"].map(String::from)), "{commits} {moment:?}: {found:?}");
        assert_eq!(gateway.audited().await, Vec::<String>::new());
        fs::remove_dir_all(folder).unwrap();
    }
}

/// The only commit notes the checkpoint that ends the file; whoever dies after it has begun the next file.
#[tokio::test(start_paused = true)]
async fn a_power_cut_while_another_file_is_begun_is_no_damage() {
    let moments = [("begun", None), ("before", Some(Moment::BeforeTheEffect)), ("after", Some(Moment::AfterTheEffect))];
    for (name, moment) in moments {
        let (gateway, folder) = gateway(&format!("another-{name}"), "").await;
        commit(&gateway, "a", 1).await;
        write(&gateway.app).await.unwrap();
        commit(&gateway, "b", 1).await;
        if let Some(moment) = moment {
            gateway.disk.cut_power_after(0, moment);
        }
        let app = gateway.app.clone();
        let _died = dies(async { app.audit.file.lock().await.begin_another(&app).await.unwrap() }).await;
        assert!(!gateway.disk.forget_interruption(), "{name}");
        let gateway = gateway.restarted_with_catalogue().await;
        while write(&gateway.app).await.unwrap() > 0 {}
        assert_eq!((gateway.app.metrics.audit.damaged.get(), events(&folder).concat().as_str()), (0, "a0b0"), "{name}");
        fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_store_that_fails_to_forget_has_no_event_written_twice() {
    let (gateway, folder) = gateway("forget", "").await;
    assert_eq!(write(&gateway.app).await.unwrap(), 0);
    commit(&gateway, "a", 2).await;
    gateway.disk.refuse_next(ApplyError::Full);
    assert!(write(&gateway.app).await.is_err());
    assert_eq!(gateway.app.audit.trouble(), None, "the files are in order");
    commit(&gateway, "b", 1).await;
    while write(&gateway.app).await.unwrap() > 0 {}
    assert_eq!(events(&folder), ["a0", "a1", "b0"]);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn while_the_files_cannot_be_written_nothing_new_is_issued_and_it_goes_on_by_itself() {
    let (gateway, folder) = gateway("stop", "").await;
    write(&gateway.app).await.unwrap();
    let registration = gateway.registration();
    let ready = gateway.ready_order(&registration, &["ready.test"]).await;
    let aside = folder.with_extension("aside");
    let _ = fs::remove_dir_all(&aside);
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "in the way").unwrap();
    assert!(write(&gateway.app).await.is_err());
    let problem = told(gateway.order(&registration, &["new.test"]).await);
    assert_eq!(problem.kind, ProblemKind::Unavailable);
    assert!(!problem.detail.contains("audit") && !problem.detail.contains('/'), "{}", problem.detail);
    let csr = || crate::testing::new_csr(&["ready.test"]);
    assert_eq!(told(gateway.finalize(&registration, &ready, csr()).await).kind, ProblemKind::Unavailable);
    assert!(gateway.app.audit.trouble().is_some_and(|why| why.contains("cannot be written")));
    let waiting = gateway.audited().await;
    assert!(!waiting.is_empty());

    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    while write(&gateway.app).await.unwrap() > 0 {}
    assert_eq!((gateway.app.audit.trouble(), gateway.audited().await), (None, Vec::new()));
    gateway.order(&registration, &["new.test"]).await.unwrap();
    gateway.finalize(&registration, &ready, csr()).await.unwrap();
    while write(&gateway.app).await.unwrap() > 0 {}
    assert!(events(&folder).len() > waiting.len());
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn what_waits_for_the_cm_is_not_sent_while_the_files_cannot_be_written() {
    let (gateway, folder) = gateway("send", "issuance.finalize_wait_secs = 1").await;
    write(&gateway.app).await.unwrap();
    let registration = gateway.registration();
    let order = gateway.ready_order(&registration, &["ready.test"]).await;
    gateway.finalize(&registration, &order, crate::testing::new_csr(&["ready.test"])).await.unwrap();
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    assert!(write(&gateway.app).await.is_err());
    gateway.run_issuance(&order).await;
    assert_eq!(gateway.status(&order).await, acme::order::OrderStatus::Processing);
    assert_eq!(gateway.cm.certificates().len(), 0);
    // A folder that is gone is not made again while we run: its disk may come back.
    fs::remove_file(&folder).unwrap();
    assert!(write(&gateway.app).await.is_err());
    // All that was in it is gone: that is told, and written down.
    fs::create_dir(&folder).unwrap();
    while write(&gateway.app).await.unwrap() > 0 {}
    let text = fs::read_to_string(files(std::slice::from_ref(&folder)).unwrap().pop().unwrap()).unwrap();
    assert!(text.contains("audit.reopened") && text.contains("there is no file, and there were"), "{text}");
    assert_eq!(gateway.app.metrics.audit.damaged.get(), 1);
    gateway.make_due(&store::Job::issuance_id(&order)).await;
    gateway.run_issuance(&order).await;
    assert_eq!(gateway.status(&order).await, acme::order::OrderStatus::Valid);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn where_the_settings_say_so_issuance_goes_on_until_as_many_events_wait_as_may() {
    let (gateway, folder) = gateway("on", "audit.on_failure = 'continue'").await;
    fs::write(&folder, "in the way").unwrap();
    assert!(write(&gateway.app).await.is_err());
    let registration = gateway.registration();
    gateway.order(&registration, &["new.test"]).await.unwrap();
    let mut waiting = gateway.app.store.audit_waiting(WAITING_MAX).await.unwrap();
    while waiting < WAITING_MAX {
        let mut commit = Commit::new();
        (0..100).for_each(|number| commit.audit(clock::now(), json!({"event": "a", "number": number})));
        gateway.app.store.commit(commit).await.unwrap();
        waiting += 100;
    }
    assert!(write(&gateway.app).await.is_err());
    assert_eq!(told(gateway.order(&registration, &["more.test"]).await).kind, ProblemKind::Unavailable);
    fs::remove_file(folder).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_come_back_is_trouble_after_ten_seconds_and_what_waits_is_still_bounded() {
    for on_failure in ["stop", "continue"] {
        let (gateway, folder) = gateway("hangs", &format!("audit.on_failure = '{on_failure}'")).await;
        write(&gateway.app).await.unwrap();
        let registration = gateway.registration();
        commit(&gateway, "a", 1).await;
        let mut held = gateway.disk.hold_next();
        let app = gateway.app.clone();
        let writing = tokio::spawn(async move { write(&app).await });
        held.come().await;
        gateway.order(&registration, &["first.test"]).await.unwrap();
        tokio::time::sleep(WRITE_MAX + Duration::from_secs(1)).await;
        assert!(gateway.app.audit.trouble().unwrap().contains("has not come back"), "{on_failure}");
        assert_eq!(gateway.app.metrics.audit.unwritable.get(), 1);
        assert_eq!(gateway.order(&registration, &["second.test"]).await.is_err(), on_failure == "stop");
        for _ in 0..WAITING_MAX / 100 {
            let mut commit = Commit::new();
            (0..100).for_each(|number| commit.audit(clock::now(), json!({"event": "b", "number": number})));
            gateway.app.store.commit(commit).await.unwrap();
        }
        tokio::time::sleep(WRITE_MAX + Duration::from_secs(1)).await;
        assert_eq!(gateway.app.metrics.audit.waiting.get(), i64::try_from(WAITING_MAX).unwrap());
        assert_eq!(told(gateway.order(&registration, &["third.test"]).await).kind, ProblemKind::Unavailable);

        held.go();
        writing.await.unwrap().unwrap();
        while write(&gateway.app).await.unwrap() > 0 {}
        assert_eq!((gateway.app.audit.trouble(), gateway.app.metrics.audit.unwritable.get()), (None, 0));
        gateway.order(&registration, &["fourth.test"]).await.unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}

/// The same is left where the folder can be opened and nothing be written: the disk is full.
#[tokio::test]
async fn how_the_files_were_found_is_written_when_it_can_be_however_often_it_could_not() {
    for opened in [1, 2] {
        let (gateway, folder) = gateway("full", "").await;
        commit(&gateway, "a", 3).await;
        write(&gateway.app).await.unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let gateway = gateway.restarted_with_catalogue().await;
        for _ in 0..opened {
            let mut pen = gateway.app.audit.file.lock().await;
            pen.folder = None;
            pen.find(&gateway.app).await.unwrap();
        }
        commit(&gateway, "b", 1).await;
        while write(&gateway.app).await.unwrap() > 0 {}
        let text = fs::read_to_string(files(std::slice::from_ref(&folder)).unwrap().pop().unwrap()).unwrap();
        assert_eq!(text.matches("audit.started").count(), 1, "{opened}: {text}");
        assert!(text.contains("there is no file, and there were"), "{opened}: {text}");
        assert!(text.find("audit.started") < text.find("\"b\""), "{opened}: {text}");
        fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_store_that_cannot_say_now_how_the_files_were_left_is_asked_again_and_one_that_never_can_is_damage() {
    assert!(matches!(noted(Err(ReadError::Unavailable(Unavailable(String::from("away"))))), Err(Failure::Store(_))));
    let (gateway, folder) = gateway("unknown", "").await;
    commit(&gateway, "a", 1).await;
    write(&gateway.app).await.unwrap();
    gateway.disk.damage("audit-head").await;
    let gateway = gateway.restarted_with_catalogue().await;
    while write(&gateway.app).await.unwrap() > 0 {}
    assert_eq!(gateway.app.metrics.audit.damaged.get(), 1);
    let files = files(std::slice::from_ref(&folder)).unwrap();
    let text = fs::read_to_string(files.last().unwrap()).unwrap();
    assert!(files.len() == 2 && text.contains("what the store knows of the last record cannot be read"), "{text}");
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn no_thumbprint_of_an_account_key_is_in_the_log() {
    let gateway = Gateway::new().await;
    let registration = gateway.registration();
    let (old, new) = (crate::testing::new_key().thumbprint(), crate::testing::new_key().thumbprint());
    let event = crate::audit::Event::AccountKeyChanged {
        endpoint: &gateway.endpoint("open").name,
        account: &registration.id,
        old_key: Some(&old),
        new_key: new,
        client: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    let whole = event.to_json();
    let logged = for_the_log(&whole).to_string();
    for thumbprint in [&old, &new].map(ToString::to_string) {
        assert!(whole.to_string().contains(&thumbprint) && !logged.contains(&thumbprint), "{logged}");
    }
    assert!(logged.contains(&registration.id.to_string()), "{logged}");
    let created = json!({"event": "account.created", "accountKey": "secret", "client": "::1"});
    assert_eq!(for_the_log(&created), json!({"event": "account.created", "client": "::1"}));
}

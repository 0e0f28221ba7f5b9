//! What is refused while the files cannot be written, and that it is taken again.

use std::fs;

use acme::problem::ProblemKind;
use serde_json::json;
use store::Commit;

use super::*;
use crate::{
    audit::{
        testing::{commit, events, gateway},
        verify::files,
    },
    clock,
    testing::told,
};

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
        assert!(gateway.app.metrics.audit.waiting.get() >= i64::try_from(WAITING_MAX).unwrap());
        assert_eq!(told(gateway.order(&registration, &["third.test"]).await).kind, ProblemKind::Unavailable);

        held.go();
        writing.await.unwrap().unwrap();
        while write(&gateway.app).await.unwrap() > 0 {}
        assert_eq!((gateway.app.audit.trouble(), gateway.app.metrics.audit.unwritable.get()), (None, 0));
        gateway.order(&registration, &["fourth.test"]).await.unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}

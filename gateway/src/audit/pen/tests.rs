//! From the store into the files: each event once, whatever fails or dies between the two.

use std::fs;

use store::{
    ReadError,
    backend::{ApplyError, Unavailable},
};

use super::*;
use crate::{
    audit::{
        chain::{Chain, Wrong},
        record::Record,
        testing::{commit, events, gateway},
        trail::{close, write},
        verify::{files, verify},
    },
    testing::{Gateway, Moment, dies},
};

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

/// The commits are: the first note, what is promised of the beginning and of its checkpoint, the note of both, then two that forget.
#[tokio::test(start_paused = true)]
async fn a_power_cut_at_any_commit_of_the_writer_leaves_each_event_once() {
    for (commits, moment) in (0..6).flat_map(|commits| Moment::BOTH.map(|moment| (commits, moment))) {
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
        let _died = dies(async { app.audit.pen.lock().await.begin_another(&app).await.unwrap() }).await;
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
            let mut pen = gateway.app.audit.pen.lock().await;
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

/// Begins the last file anew with more behind it, every hash right; nobody but the gateway can sign.
fn add_behind(folder: &std::path::Path, event: &Value, outbox: Option<&str>) {
    use std::io::Write as _;
    let last = files(&[folder.to_owned()]).unwrap().pop().unwrap();
    let text = fs::read_to_string(&last).unwrap();
    let head = Record::read(text.lines().last().unwrap().as_bytes()).unwrap().head();
    let (_, line) = Record::write(&head, clock::now(), event, outbox);
    fs::File::options().append(true).open(last).unwrap().write_all(line.as_bytes()).unwrap();
}

#[tokio::test]
async fn records_that_somebody_adds_are_an_alarm_while_the_gateway_runs_and_at_its_start_and_never_signed() {
    for is_running in [true, false] {
        let (gateway, folder) = gateway("adopt", "").await;
        commit(&gateway, "a", 1).await;
        write(&gateway.app).await.unwrap();
        add_behind(&folder, &json!({"event": "certificate.issued"}), Some("000000000001/0"));
        let gateway = if is_running { gateway } else { gateway.restarted_with_catalogue().await };
        commit(&gateway, "b", 1).await;
        while write(&gateway.app).await.unwrap() > 0 {}
        assert_eq!(gateway.app.metrics.audit.damaged.get(), 1, "running: {is_running}");
        let all = files(std::slice::from_ref(&folder)).unwrap();
        let verdict = verify(&all, Chain::default(), |_| Ok(())).unwrap();
        let forged = verdict.seen.last.unwrap().0.sequence;
        assert_eq!(verdict.fault.map(|fault| (fault.sequence, fault.wrong)), Some((forged, Wrong::Replaced)));
        assert!(verdict.seen.proven.unwrap().0 < forged);
        assert_eq!(verify(&all[1..], Chain::default(), |_| Ok(())).unwrap().fault, None);
        fs::remove_dir_all(folder).unwrap();
    }
}

/// A record of the trail about itself has nothing in the store that waits for it. Added behind an end in order it would
/// tell of a start that never was, added after a crash it would hide the crash.
#[tokio::test]
async fn starts_and_ends_that_somebody_adds_are_an_alarm_after_an_end_in_order_and_after_a_crash() {
    for (is_crash, added) in [(false, STARTED), (true, STOPPED), (true, REOPENED)] {
        let (gateway, folder) = gateway("pretended", "").await;
        commit(&gateway, "a", 1).await;
        write(&gateway.app).await.unwrap();
        if !is_crash {
            close(&gateway.app).await.unwrap();
        }
        add_behind(&folder, &json!({"event": added, "version": "9.9.9"}), None);
        let gateway = gateway.restarted_with_catalogue().await;
        write(&gateway.app).await.unwrap();
        assert_eq!(gateway.app.metrics.audit.damaged.get(), 1, "{added}");
        let text = fs::read_to_string(files(std::slice::from_ref(&folder)).unwrap().pop().unwrap()).unwrap();
        let before = if is_crash { r#""before":"crashed""# } else { r#""before":"stopped""# };
        assert!(!text.contains("9.9.9") && text.contains(before), "{added}: {text}");
        fs::remove_dir_all(folder).unwrap();
    }
}

/// It is written, and the store does not hear any more that it was: after the next start that is no damage.
#[tokio::test(start_paused = true)]
async fn a_start_or_end_of_our_own_before_a_power_cut_is_known_again() {
    for (commits, moment) in (0..6).flat_map(|commits| Moment::BOTH.map(|moment| (commits, moment))) {
        let (gateway, folder) = gateway("known", "").await;
        gateway.disk.cut_power_after(commits, moment);
        let app = gateway.app.clone();
        let _died = dies(async {
            write(&app).await.unwrap();
            close(&app).await.unwrap();
        })
        .await;
        let _planned = gateway.disk.forget_interruption();
        let gateway = gateway.restarted_with_catalogue().await;
        write(&gateway.app).await.unwrap();
        assert_eq!(gateway.app.metrics.audit.damaged.get(), 0, "{commits} {moment:?}");
        assert_eq!(events(&folder), Vec::<String>::new());
        fs::remove_dir_all(folder).unwrap();
    }
}

/// The process dies after the event is in the file and before the store forgets it; then somebody edits it there.
#[tokio::test(start_paused = true)]
async fn an_event_that_was_edited_in_the_file_is_not_forgotten_by_the_store() {
    let (gateway, folder) = gateway("edited", "").await;
    write(&gateway.app).await.unwrap();
    commit(&gateway, "true", 1).await;
    gateway.disk.cut_power_after(0, Moment::BeforeTheEffect);
    let app = gateway.app.clone();
    assert!(dies(async { write(&app).await.unwrap() }).await);
    let _planned = gateway.disk.forget_interruption();
    let last = files(std::slice::from_ref(&folder)).unwrap().pop().unwrap();
    let text = fs::read_to_string(&last).unwrap();
    let at = text.lines().position(|line| line.contains("\"true\"")).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let before = Record::read(lines[at - 1].as_bytes()).unwrap().head();
    let own = Record::read(lines[at].as_bytes()).unwrap();
    let lie = Record::write(&before, own.at, &json!({"event": "lie", "number": 0}), own.outbox.as_deref()).1;
    fs::write(&last, format!("{}\n{lie}", lines[..at].join("\n"))).unwrap();
    let gateway = gateway.restarted_with_catalogue().await;
    while write(&gateway.app).await.unwrap() > 0 {}
    assert_eq!((gateway.app.metrics.audit.damaged.get(), gateway.audited().await), (1, Vec::new()));
    let all = files(std::slice::from_ref(&folder)).unwrap();
    let text = fs::read_to_string(all.last().unwrap()).unwrap();
    assert!(all.len() == 2 && text.contains("\"true\"") && text.contains("another event in its place"), "{text}");
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_store_that_is_gone_is_an_alarm_and_one_that_is_new_with_its_folder_is_none() {
    let (gateway, folder) = gateway("gone", "").await;
    commit(&gateway, "a", 1).await;
    write(&gateway.app).await.unwrap();
    assert_eq!(gateway.app.metrics.audit.damaged.get(), 0);
    let other = Gateway::with(&format!("audit.dir = {folder:?}")).await;
    write(&other.app).await.unwrap();
    assert_eq!(other.app.metrics.audit.damaged.get(), 1);
    let all = files(std::slice::from_ref(&folder)).unwrap();
    let text = fs::read_to_string(all.last().unwrap()).unwrap();
    assert!(all.len() == 2 && text.contains("the store does not know these files"), "{text}");
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

//! Another key at a start, announced by the one before or not, and wherever the process dies on the way.

use std::{
    fs,
    path::{Path, PathBuf},
};

use acme::base64url;

use super::*;
use crate::{
    audit::{
        chain::{Chain, Wrong},
        checkpoint::SigningKey,
        testing::{SIGNERS, commit, events, gateway},
        trail::write,
        verify::{Verdict, files, verify},
    },
    seal::KEY_OCTETS,
    testing::{Gateway, Moment, dies},
};

fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; KEY_OCTETS]).unwrap().public()
}

fn write_key(path: &Path, seed: u8) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, base64url::encode([seed; KEY_OCTETS])).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A gateway with a folder and key files of its own.
struct Place {
    gateway: Gateway,
    folder: PathBuf,
    key_file: PathBuf,
}

impl Place {
    async fn new(name: &str) -> Self {
        let key_file = std::env::temp_dir().join(format!("acme-gateway-trail-{name}-{}.key", std::process::id()));
        write_key(&key_file, SIGNERS[0]);
        let _ = fs::remove_file(previous(&key_file));
        let (gateway, folder) = gateway(name, &format!("audit.key_file = {key_file:?}")).await;
        Self { gateway, folder, key_file }
    }

    /// The key is another one from the next start on; the one before is left where it can announce it, or not.
    fn replace_key(&self, seed: u8, is_announced: bool) {
        if is_announced {
            fs::rename(&self.key_file, previous(&self.key_file)).unwrap();
        }
        write_key(&self.key_file, seed);
    }

    async fn restart(&mut self) {
        self.gateway = self.gateway.restarted_with_catalogue().await;
    }

    async fn write_all(&self) {
        while write(&self.gateway.app).await.unwrap() > 0 {}
    }

    fn verdict(&self, keys: &[u8]) -> Verdict {
        let chain = Chain::new(keys.iter().map(|seed| key(*seed)).collect(), Vec::new());
        verify(&files(std::slice::from_ref(&self.folder)).unwrap(), chain, |_| Ok(())).unwrap()
    }

    /// All that is in the files.
    fn text(&self) -> String {
        let files = files(std::slice::from_ref(&self.folder)).unwrap();
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    fn is_damaged(&self) -> bool {
        self.gateway.app.metrics.audit.damaged.get() == 1
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_file(&self.key_file);
        let _ = fs::remove_file(previous(&self.key_file));
    }
}

fn previous(key_file: &Path) -> PathBuf {
    key_file.with_extension("key.previous")
}

#[test]
fn a_key_follows_by_the_word_of_the_one_before_or_by_nobodys() {
    let [own, before, other] = SIGNERS.map(key);
    let same = Keys { own, known: own, file: own, announced: None, previous: None };
    let after = Keys { known: before, file: before, ..same };
    let cases = [
        (same, Succession::Same),
        (Keys { previous: Some(before), ..same }, Succession::Same),
        (after, Succession::Unannounced),
        (Keys { previous: Some(other), announced: Some(other), ..after }, Succession::Unannounced),
        (Keys { previous: Some(before), ..after }, Succession::Announce),
        (Keys { announced: Some(own), ..after }, Succession::Announced),
        // The process died after the store was told, and after the other file was begun.
        (Keys { known: own, ..after }, Succession::Announced),
        (Keys { known: before, ..same }, Succession::Unannounced),
    ];
    for (keys, expected) in cases {
        assert_eq!(Succession::of(keys), expected, "{keys:?}");
    }
}

#[tokio::test]
async fn a_key_that_nobody_has_announced_is_an_alarm_and_named_in_the_files_with_the_one_before() {
    let mut place = Place::new("stolen").await;
    commit(&place.gateway, "a", 2).await;
    place.write_all().await;
    place.replace_key(SIGNERS[1], false);
    place.restart().await;
    commit(&place.gateway, "b", 1).await;
    place.write_all().await;
    assert!(place.is_damaged());
    let [old, new] = [SIGNERS[0], SIGNERS[1]].map(key);
    let told = format!("{}", chain::key_changed(&old, &new, false));
    assert_eq!((place.text().matches(&told).count(), place.text().matches(chain::KEY_CHANGED).count()), (1, 1));
    // It is wrong at the record that begins with it, unless both keys are known to be right.
    let second = files(std::slice::from_ref(&place.folder)).unwrap().pop().unwrap();
    for keys in [&[][..], &SIGNERS[..1]] {
        let fault = place.verdict(keys).fault.unwrap();
        assert_eq!(
            (fault.wrong, fault.place.file, fault.place.line),
            (Wrong::Unannounced { old, new }, second.clone(), 1)
        );
    }
    let both = place.verdict(&SIGNERS[..2]);
    assert_eq!(both.fault, None);
    assert_eq!(both.seen.key_changes.iter().map(|change| change.is_announced).collect::<Vec<_>>(), [false]);
    assert_eq!(events(&place.folder), ["a0", "a1", "b0"]);
    // It is known from now on.
    place.restart().await;
    place.write_all().await;
    assert!(!place.is_damaged());
    // Who takes the files away with the old key in them is told of all the same.
    fs::remove_dir_all(&place.folder).unwrap();
    place.replace_key(SIGNERS[2], false);
    place.restart().await;
    place.write_all().await;
    assert!(place.text().contains(&chain::key_changed(&key(SIGNERS[1]), &key(SIGNERS[2]), false).to_string()));
}

#[tokio::test]
async fn a_key_that_the_one_before_announces_is_no_alarm_and_trusted_by_who_trusts_that() {
    let mut place = Place::new("announced").await;
    for (round, seed) in [(0, None), (1, Some(SIGNERS[1])), (2, Some(SIGNERS[2]))] {
        if let Some(seed) = seed {
            place.replace_key(seed, true);
            place.restart().await;
        }
        commit(&place.gateway, "a", 1).await;
        place.write_all().await;
        assert!(!place.is_damaged());
        for keys in [&[][..], &SIGNERS[..1]] {
            let verdict = place.verdict(keys);
            assert_eq!((verdict.fault, verdict.seen.keys.len()), (None, round + 1));
            assert!(verdict.seen.key_changes.iter().all(|change| change.is_announced));
        }
    }
    let told = chain::key_changed(&key(SIGNERS[0]), &key(SIGNERS[1]), true).to_string();
    assert_eq!(place.text().matches(&told).count(), 1);
    // The word of somebody who is not the key before is none: nobody can sign it.
    let first = files(std::slice::from_ref(&place.folder)).unwrap().remove(0);
    let text = fs::read_to_string(&first).unwrap();
    let unsigned = text.lines().position(|line| line.contains(chain::KEY_CHANGED)).unwrap() + 1;
    fs::write(&first, text.lines().take(unsigned).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    assert!(matches!(place.verdict(&[]).fault.unwrap().wrong, Wrong::Missing { .. }));
}

/// How far a start with another key comes before the power goes.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Commit(usize, Moment),
    /// The other file is begun, and nothing said in it.
    Begun,
    /// It is said too, and the store was not told.
    Said,
}

/// Before, events have come into the file that the store has not forgotten.
#[tokio::test(start_paused = true)]
async fn a_power_cut_at_a_start_with_another_key_is_no_damage_and_leaves_each_event_once() {
    let commits = (0..8).flat_map(|commits| Moment::BOTH.map(|moment| Cut::Commit(commits, moment)));
    for cut in commits.chain([Cut::Begun, Cut::Said]) {
        for is_announced in [false, true] {
            let case = format!("{cut:?}, announced: {is_announced}");
            let mut place = Place::new("cut").await;
            commit(&place.gateway, "a", 2).await;
            place.gateway.disk.cut_power_after(4, Moment::BeforeTheEffect);
            let app = place.gateway.app.clone();
            assert!(dies(async { write(&app).await.unwrap() }).await, "{case}");
            let _planned = place.gateway.disk.forget_interruption();
            place.replace_key(SIGNERS[1], is_announced);
            place.restart().await;
            let app = place.gateway.app.clone();
            commit(&place.gateway, "b", 2).await;
            match cut {
                Cut::Commit(commits, moment) => {
                    place.gateway.disk.cut_power_after(commits, moment);
                    let _died = dies(async { while write(&app).await.unwrap() > 0 {} }).await;
                    let _planned = place.gateway.disk.forget_interruption();
                }
                Cut::Begun => {
                    let mut pen = app.audit.pen.lock().await;
                    pen.find(&app).await.unwrap();
                    let _event = pen.take_over(&app).await.unwrap();
                }
                Cut::Said => app.audit.pen.lock().await.open(&app).await.unwrap(),
            }
            place.restart().await;
            place.write_all().await;
            assert_eq!(events(&place.folder), ["a0", "a1", "b0", "b1"], "{case}");
            let text = place.text();
            assert!(!text.contains("\"damage\":\""), "{case}: {text}");
            // Told once at least, and if it was announced never otherwise.
            let [old, new] = [SIGNERS[0], SIGNERS[1]].map(key);
            assert!(text.contains(&chain::key_changed(&old, &new, is_announced).to_string()), "{case}: {text}");
            assert_eq!(text.contains("\"announced\":false"), !is_announced, "{case}: {text}");
            assert_eq!(place.verdict(&[]).fault.is_some(), !is_announced, "{case}");
            assert!(!is_announced || !place.is_damaged(), "{case}");
            assert_eq!(place.gateway.audited().await, Vec::<String>::new(), "{case}");
        }
    }
}

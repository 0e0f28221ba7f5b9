//! What tests of the trail share: a gateway with files of its own, and what is in them.

use std::{fs, path::PathBuf};

use serde_json::json;
use store::Commit;

use super::{
    chain::Chain,
    checkpoint::SigningKey,
    record::Record,
    verify::{files, verify},
};
use crate::{clock, seal::KEY_OCTETS, testing::Gateway};

/// The keys of test gateways grow from these octets.
pub(super) const SIGNERS: [u8; 3] = [7, 8, 9];

/// A gateway with an audit folder of its own.
pub(super) async fn gateway(name: &str, more: &str) -> (Gateway, PathBuf) {
    let folder = std::env::temp_dir().join(format!("acme-gateway-trail-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    (Gateway::with(&format!("audit.dir = {folder:?}\n{more}")).await, folder)
}

pub(super) async fn commit(gateway: &Gateway, name: &str, count: usize) {
    for number in 0..count {
        let mut commit = Commit::new();
        commit.audit(clock::now(), json!({"event": name, "number": number}));
        gateway.app.store.commit(commit).await.unwrap();
    }
}

/// The names of the events in the files, which are fine.
pub(super) fn events(folder: &PathBuf) -> Vec<String> {
    let mut found = Vec::new();
    let each = |record: &Record| {
        if record.outbox.is_some() {
            found.push(format!("{}{}", record.name(), record.event["number"]));
        }
        Ok(())
    };
    // Whoever tests the keys verifies them.
    let keys = SIGNERS.iter().map(|seed| SigningKey::from_seed(&[*seed; KEY_OCTETS]).unwrap().public());
    let verdict =
        verify(&files(std::slice::from_ref(folder)).unwrap(), Chain::new(keys.collect(), Vec::new()), each).unwrap();
    assert_eq!(verdict.fault, None);
    found
}

//! Replays the corpus of every target, and every entry cut off and bent in a few places.

use std::{fs, path::PathBuf};

#[test]
fn no_target_panics_on_its_corpus() {
    for (name, run) in fuzz::TARGETS {
        let mut replayed = 0;
        for entry in fs::read_dir(folder(name)).unwrap_or_else(|error| panic!("{name} has no corpus: {error}")) {
            let octets = fs::read(entry.unwrap().path()).unwrap();
            run(&octets);
            bent(&octets).for_each(|bent| run(&bent));
            replayed += 1;
        }
        assert!(replayed >= 3, "{name} has only {replayed} seeds");
    }
}

#[test]
fn every_corpus_belongs_to_a_target() {
    for entry in fs::read_dir(folder("")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(fuzz::TARGETS.iter().any(|(known, _)| name == *known), "{name:?} is the corpus of no target");
    }
}

/// Else the fuzzer would have to find a good signature first.
#[test]
fn the_seed_of_a_key_change_passes_every_check() {
    let inner = fs::read(folder("jws").join("key-change")).unwrap();
    let old_key =
        serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let old_key = acme::account_key::PublicKey::from_jwk(old_key.as_object().unwrap()).unwrap();
    let (url, account) = ("https://acme.test/acme/a/key-change", "https://acme.test/acme/a/acct/reg_1");
    assert!(gateway::parsers::key_change(&inner, url, account, &old_key));
    assert!(!gateway::parsers::key_change(&inner, account, account, &old_key));
}

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The same cut off at 16 places, and with one bit changed at 64.
fn bent(octets: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cut = (0..16).map(|part| octets[..octets.len() * part / 16].to_vec());
    let bit = (0..64_usize.min(octets.len() * 8)).map(|part| {
        let mut bent = octets.to_vec();
        let place = octets.len() * part / 64;
        bent[place] ^= 1 << (part % 8);
        bent
    });
    cut.chain(bit)
}

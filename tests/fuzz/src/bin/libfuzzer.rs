//! One target under libFuzzer; `FUZZ_TARGET` names it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = fuzz::TARGETS.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, run)| run).unwrap_or_else(|| panic!("FUZZ_TARGET names no target: {name}"))
});

fuzz_target!(|octets: &[u8]| RUN(octets));

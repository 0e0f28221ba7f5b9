//! Fuzz targets: whatever reads octets from strangers, or from the CM, before anything about them is
//! known. Each is a function that must come back, whatever it is given, and that checks what has to
//! hold of everything it takes.
//!
//! `cargo xtask fuzz` drives them with libFuzzer; the ordinary tests replay `corpus/`, so that what was
//! found once stays mended.

mod account_key;
mod caa;
mod certificate;
mod cm_answer;
mod csr;
mod identifier;
mod jws;
mod request_head;
mod samples;
mod tls_alpn_01;
mod wire;

/// A target: its name, which is also its folder in `corpus/`, and what is done with some octets.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("account_key", account_key::run),
    ("caa", caa::run),
    ("certificate", certificate::run),
    ("cm_answer", cm_answer::run),
    ("csr", csr::run),
    ("identifier", identifier::run),
    ("jws", jws::run),
    ("request_head", request_head::run),
    ("tls_alpn_01", tls_alpn_01::run),
    ("wire", wire::run),
];

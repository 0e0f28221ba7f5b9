//! What only OpenBao has: records, policies, traps, tokens, standbys, and the gateway's own process before it. What every
//! CM must do is in `tests/adapters/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code; a panic is how a test fails"
)]

mod accounts;
mod certificates;
mod cluster;
mod crashes;
mod end_to_end;
mod faults;
mod identity;
mod issuance;
mod load;
mod officer;
mod person;
mod rebinding;
mod renewal;
mod replacement;
mod rights;
mod standby;
mod status;

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use acme::{identifier::Identifier, ids::RealmName, registration::AllowedIdentifiers};
use cm_connector::openbao::{OpenBaoCertificateManager, Settings};
use tests::openbao::{MOUNT, OpenBao, throwaway_pki};

/// How long a sign whose answer was lost is waited for.
const REQUEST_DURATION_MAX: Duration = Duration::from_secs(2);

/// One for all tests that do it no harm, with the realms `open` and `registered`.
static SHARED: LazyLock<OpenBao> = LazyLock::new(|| {
    let bao = fresh();
    bao.prepare("open", "open", &["--caa", "ca.example.net"]);
    bao.prepare("registered", "preregistered", &["--allow", "example.com"]);
    bao
});

/// One of a test's own.
fn fresh() -> OpenBao {
    let dir = fresh_folder();
    let pki = throwaway_pki(&dir);
    OpenBao::start(&dir, &pki)
}

fn fresh_folder() -> PathBuf {
    tests::machine::new_folder("openbao")
}

/// A gateway at this OpenBao.
fn gateway(bao: &OpenBao) -> OpenBaoCertificateManager {
    gateway_as(bao, "gateway", |_| ())
}

/// The same with a certificate of the throwaway PKI and other settings.
fn gateway_as(bao: &OpenBao, certificate: &str, change: impl FnOnce(&mut Settings)) -> OpenBaoCertificateManager {
    let file = |name: &str| bao.pki().join(name);
    let mut settings = Settings {
        addresses: vec![bao.url()],
        ca_file: file("infra-ca.pem"),
        certificate_file: file(&format!("{certificate}.pem")),
        key_file: file(&format!("{certificate}.key")),
        login_mount: String::from("cert"),
        login_role: String::from("acme-gateway"),
        mount: String::from(MOUNT),
        request_duration_max: REQUEST_DURATION_MAX,
    };
    change(&mut settings);
    OpenBaoCertificateManager::new(settings, allows).unwrap()
}

/// What the gateway's policy says, as far as these tests need it.
fn allows(identifier: &Identifier, allowed: &AllowedIdentifiers) -> bool {
    use acme::registration::IdentifierRule::{Address, Exact, Network, Suffix, Wildcard};
    let (Identifier::Dns(name) | Identifier::Wildcard(name)) = identifier else { return true };
    match allowed {
        AllowedIdentifiers::Any { .. } => true,
        AllowedIdentifiers::Listed { rules, .. } => rules.iter().any(|rule| match rule {
            Suffix { name: top, .. } => name.is_same_or_under(top),
            Exact(_) | Wildcard(_) | Address(_) | Network { .. } => false,
        }),
    }
}

fn realm(name: &str) -> RealmName {
    name.parse().unwrap()
}

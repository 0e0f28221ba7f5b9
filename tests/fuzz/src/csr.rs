//! CSRs of finalize requests (RFC 2986): what is taken can be judged, for the names it has and for others.

use acme::{csr::Csr, identifier::Identifier};

use crate::samples;

pub(crate) fn run(octets: &[u8]) {
    let Ok(csr) = Csr::parse(octets) else { return };
    assert_eq!(csr.der(), octets);
    let (Some(profile), Some(account_key)) = (samples::profile(), samples::account_key()) else { return };
    let own: Vec<Identifier> = csr.names().alternative.iter().cloned().collect();
    for names in [own, Identifier::parse("dns", "a.test").into_iter().collect()] {
        if let Err(refused) = policies::csr::check_csr(&csr, &names, &profile, &account_key) {
            assert!(!refused.detail.contains(['"', '\n']), "{}", refused.detail);
        }
    }
}

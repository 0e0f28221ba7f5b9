//! Everything that the CM's answers are turned into, tried on one body: the door for the fuzzer.

use acme::ids::RealmName;
use serde_json::Value;

use super::{
    refusal::{self, Subject},
    service::usable_profile,
    wire::{
        Page, certificate::CertificateIn, problem::ProblemIn, read, registration::RegistrationIn,
        renewal_info::RenewalInfoIn, request::RequestIn, service::IssuerIn,
    },
};

/// How many of the things that a CM answers with this body can be taken for: certificate,
/// registration, certificate request, renewal information, issuer, profile, page, problem (CM contract section 10).
#[must_use]
pub fn kinds(realm: &RealmName, body: &[u8]) -> usize {
    let Ok(json) = serde_json::from_slice::<Value>(body) else { return 0 };
    let problem = read::<ProblemIn>(json.clone());
    let taken = [
        read::<CertificateIn>(json.clone()).and_then(CertificateIn::convert).is_ok(),
        read::<RegistrationIn>(json.clone()).and_then(|found| found.convert(realm)).is_ok(),
        read::<RequestIn>(json.clone()).and_then(|found| found.convert(None)).is_ok(),
        read::<RenewalInfoIn>(json.clone()).and_then(|found| found.convert(None)).is_ok(),
        read::<IssuerIn>(json.clone()).and_then(IssuerIn::convert).is_ok(),
        usable_profile(json.clone()).is_some(),
        read::<Page>(json).is_ok(),
        problem.map(|problem| refusal::judge(problem, Subject::Request, None)).is_ok(),
    ];
    taken.into_iter().filter(|taken| *taken).count()
}

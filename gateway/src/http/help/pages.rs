//! The texts, by the kind of problem. A new kind does not compile without a page.
//!
//! They are for somebody who looks after a printer and has never heard of ACME. A text says
//! nothing that depends on the single case: that is what `detail` is for.

mod account;
mod certificate;
mod challenge;
mod names;
mod request;
mod service;

use acme::problem::ProblemKind;

use super::{Page, Whom};

/// The page about this kind of problem; kinds of one error type share it.
pub(super) const fn page_of(kind: ProblemKind) -> &'static Page {
    match kind {
        ProblemKind::AccountDoesNotExist => &account::DOES_NOT_EXIST,
        ProblemKind::ExternalAccountRequired => &account::EXTERNAL_ACCOUNT_REQUIRED,
        ProblemKind::InvalidContact => &account::INVALID_CONTACT,
        ProblemKind::UnsupportedContact => &account::UNSUPPORTED_CONTACT,
        ProblemKind::Unauthorized | ProblemKind::AccountNotActive => &account::UNAUTHORIZED,
        ProblemKind::UserActionRequired => &account::USER_ACTION_REQUIRED,
        ProblemKind::BadPublicKey => &account::BAD_PUBLIC_KEY,
        ProblemKind::AlreadyReplaced => &certificate::ALREADY_REPLACED,
        ProblemKind::AlreadyRevoked => &certificate::ALREADY_REVOKED,
        ProblemKind::BadCsr => &certificate::BAD_CSR,
        ProblemKind::BadRevocationReason => &certificate::BAD_REVOCATION_REASON,
        ProblemKind::InvalidProfile => &certificate::INVALID_PROFILE,
        ProblemKind::OrderNotReady => &certificate::ORDER_NOT_READY,
        ProblemKind::Caa => &challenge::CAA,
        ProblemKind::Connection => &challenge::CONNECTION,
        ProblemKind::Dns => &challenge::DNS,
        ProblemKind::IncorrectResponse => &challenge::INCORRECT_RESPONSE,
        ProblemKind::Tls => &challenge::TLS,
        ProblemKind::Compound => &names::COMPOUND,
        ProblemKind::RejectedIdentifier => &names::REJECTED_IDENTIFIER,
        ProblemKind::UnsupportedIdentifier => &names::UNSUPPORTED_IDENTIFIER,
        ProblemKind::BadNonce => &request::BAD_NONCE,
        ProblemKind::BadSignatureAlgorithm => &request::BAD_SIGNATURE_ALGORITHM,
        ProblemKind::Malformed
        | ProblemKind::NotFound
        | ProblemKind::MethodNotAllowed
        | ProblemKind::RequestTimeout
        | ProblemKind::Conflict
        | ProblemKind::PayloadTooLarge
        | ProblemKind::UnsupportedMediaType => &request::MALFORMED,
        ProblemKind::RateLimited => &service::RATE_LIMITED,
        ProblemKind::ServerInternal | ProblemKind::Unavailable => &service::SERVER_INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_share_a_page_exactly_when_they_share_an_error_type() {
        for one in ProblemKind::ALL {
            for other in ProblemKind::ALL {
                let same_type = one.name_and_status().0 == other.name_and_status().0;
                assert_eq!(std::ptr::eq(page_of(one), page_of(other)), same_type, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn every_page_says_what_happened_what_to_do_and_whom_to_ask() {
        for kind in ProblemKind::ALL {
            let page = page_of(kind);
            for text in [page.title, page.happened, page.means] {
                assert!(text.len() > 10 && !text.contains("  ") && !text.contains('\n'), "{kind:?}: {text}");
            }
            assert!(!page.title.ends_with('.'), "{kind:?}");
            assert!(!page.steps.is_empty() && !page.ask.is_empty(), "{kind:?}");
            for step in page.steps {
                assert!(step.ends_with('.') && !step.contains("  "), "{kind:?}: {step}");
            }
        }
    }
}

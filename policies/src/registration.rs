//! What the status of a registration lets its account do (CM contract section 4.3, the table of
//! CM status and ACME account).

use acme::{
    problem::{Problem, ProblemKind},
    registration::RegistrationStatus,
};

use crate::rule::{Refusal, Rule};

/// Judges whether an account may order, finalize and change itself.
///
/// Revoking by the account's key stays allowed while it is suspended, for safety's sake: that
/// path does not ask here.
///
/// # Errors
/// `unauthorized` with 403 if it is suspended or has no key yet, with 401 if it is deactivated or
/// revoked (RFC 8555 §7.3.6).
pub fn may_order(status: RegistrationStatus) -> Result<(), Problem> {
    let (kind, rule, what, cure) = match status {
        RegistrationStatus::Active => return Ok(()),
        RegistrationStatus::Pending => (
            ProblemKind::Unauthorized,
            Rule::RegistrationPending,
            "no account key is bound to this registration",
            "create the account with its external account binding",
        ),
        RegistrationStatus::Suspended => (
            ProblemKind::Unauthorized,
            Rule::RegistrationSuspended,
            "this account is suspended",
            "ask the registration authority to resume it",
        ),
        RegistrationStatus::Deactivated => (
            ProblemKind::AccountNotActive,
            Rule::RegistrationDeactivated,
            "this account is deactivated for good",
            "create another account with a new key",
        ),
        RegistrationStatus::Revoked => (
            ProblemKind::AccountNotActive,
            Rule::RegistrationRevoked,
            "this account is revoked for good",
            "ask the registration authority for a new registration",
        ),
    };
    Err(Refusal::new(rule, what, cure).into_problem(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_active_registrations_may_order() {
        assert_eq!(may_order(RegistrationStatus::Active), Ok(()));
        let table = [
            (RegistrationStatus::Pending, 403, "(rule registration.pending)"),
            (RegistrationStatus::Suspended, 403, "suspended (rule registration.suspended)"),
            (RegistrationStatus::Deactivated, 401, "(rule registration.deactivated)"),
            (RegistrationStatus::Revoked, 401, "(rule registration.revoked)"),
        ];
        for (status, http_status, text) in table {
            let problem = may_order(status).unwrap_err();
            assert_eq!(problem.kind.name_and_status(), ("unauthorized", http_status), "{status:?}");
            assert!(problem.detail.contains(text), "{}", problem.detail);
        }
    }
}

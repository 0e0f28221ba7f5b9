//! Problem documents (RFC 9457) and the one table of problem codes (contract section 5).
//!
//! Every refusal of the API goes through [`Problem`]; nothing else knows status codes of errors.

use serde_json::{Map, Value, json};

macro_rules! codes {
    ($($variant:ident => $code:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        /// A problem code of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, for the test that walks the table.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as it is written on the wire.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Code::$variant => $code,)* }
            }

            /// The HTTP status it is answered with.
            pub(crate) fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }

            /// Whether the same request may succeed later.
            pub(crate) fn retryable(self) -> bool {
                match self { $(Code::$variant => $retryable,)* }
            }

            fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }
        }
    };
}

codes! {
    Malformed => "malformed", 400, false, "Malformed request";
    IdempotencyKeyMissing => "idempotency-key-missing", 400, false, "Idempotency-Key is missing";
    PreconditionRequired => "precondition-required", 428, false, "If-Match is required";
    Unauthenticated => "unauthenticated", 401, false, "Identity not known";
    Forbidden => "forbidden", 403, false, "Not permitted for this identity";
    NotFound => "not-found", 404, false, "Not found";
    EabRejected => "eab-rejected", 403, false, "External account binding rejected";
    LinkRejected => "link-rejected", 403, false, "Directory link rejected";
    EabThrottled => "eab-throttled", 429, true, "Too many failed bindings";
    PreregistrationNotInWindow => "preregistration-not-in-window", 403, false, "Pre-registration cannot be bound now";
    PreregistrationExhausted => "preregistration-exhausted", 403, false, "Pre-registration is used up";
    RegistrationNotActive => "registration-not-active", 403, false, "Registration is not active";
    KeyInUse => "key-in-use", 409, false, "Key is in use";
    KeyRetired => "key-retired", 409, false, "Key was retired";
    AccountKeyRejected => "account-key-rejected", 422, false, "Account key rejected";
    ContactInvalid => "contact-invalid", 422, false, "Contact invalid";
    ContactUnsupported => "contact-unsupported", 422, false, "Contact scheme unsupported";
    IdentifierNotAllowed => "identifier-not-allowed", 422, false, "Identifier not allowed";
    IdentifierUnsupported => "identifier-unsupported", 422, false, "Identifier type unsupported";
    ProfileNotAllowed => "profile-not-allowed", 422, false, "Profile not allowed";
    CsrBad => "csr-bad", 422, false, "CSR is bad";
    CsrMismatch => "csr-mismatch", 422, false, "CSR does not match the identifiers";
    CsrKeyRejected => "csr-key-rejected", 422, false, "Key of the CSR rejected";
    CsrKeyBlocked => "csr-key-blocked", 422, false, "Key of the CSR is blocked";
    ValidityNotAllowed => "validity-not-allowed", 422, false, "Validity not allowed";
    EvidenceMissing => "evidence-missing", 422, false, "Validation evidence missing";
    EvidenceStale => "evidence-stale", 422, false, "Validation evidence too old";
    EvidenceRejected => "evidence-rejected", 422, false, "Validation evidence rejected";
    CaaForbidden => "caa-forbidden", 422, false, "CAA does not permit issuance";
    ReplacesInvalid => "replaces-invalid", 422, false, "Replaced certificate is not acceptable";
    CannotRebind => "cannot-rebind", 409, false, "Registration cannot be bound anew";
    AlreadyReplaced => "already-replaced", 409, false, "Certificate was already replaced";
    ProofInvalid => "proof-invalid", 422, false, "Proof invalid";
    ProofReplayed => "proof-replayed", 409, false, "Proof was used for another order";
    WaiverDecided => "waiver-decided", 409, false, "Waiver was decided already";
    RequestRejected => "request-rejected", 409, false, "Request was rejected";
    RequestExpired => "request-expired", 409, false, "Request expired";
    OrderAlreadyIssued => "order-already-issued", 409, false, "Order has its certificate";
    AlreadyIssued => "already-issued", 409, false, "Certificate was already issued";
    AlreadyRevoked => "already-revoked", 409, false, "Certificate is already revoked";
    CertificateExpired => "certificate-expired", 409, false, "Certificate is expired";
    RevocationReasonNotAllowed => "revocation-reason-not-allowed", 422, false, "Revocation reason not allowed";
    RevocationNotAuthorised => "revocation-not-authorised", 403, false, "Revocation not authorised";
    RequestInProgress => "request-in-progress", 409, true, "Request is in progress";
    IdempotencyKeyReused => "idempotency-key-reused", 422, false, "Idempotency-Key was used for another request";
    PreconditionFailed => "precondition-failed", 412, true, "Version is stale";
    RateLimited => "rate-limited", 429, true, "Rate limited";
    IssuerUnavailable => "issuer-unavailable", 503, true, "Issuer unavailable";
    Overloaded => "overloaded", 503, true, "Overloaded";
    Internal => "internal", 500, true, "Internal error";
    CapabilityMissing => "capability-missing", 501, false, "Not offered by this CM";
    CursorExpired => "cursor-expired", 410, false, "Cursor expired";
    TooLarge => "malformed", 413, false, "Request too large";
    MethodNotAllowed => "malformed", 405, false, "Method not known here";
}

/// What a limit or a refusal is about (member `scope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The calling gateway identity.
    Gateway,
    /// One registration.
    Registration,
}

/// A refusal on its way out.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    detail: String,
    scope: Option<Scope>,
    members: Map<String, Value>,
    retry_after_secs: Option<u32>,
    current_version: Option<i64>,
    audit_detail: Option<String>,
    keeps_effects: bool,
}

impl Problem {
    /// A refusal with a sentence for people; double quotes have no place in it.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            scope: None,
            members: Map::new(),
            retry_after_secs: None,
            current_version: None,
            audit_detail: None,
            keeps_effects: false,
        }))
    }

    /// A 400 that points at the member that is wrong.
    pub(crate) fn malformed(pointer: &str, detail: &str) -> Self {
        Self::new(Code::Malformed, format!("{pointer}: {detail}"))
            .with("errors", json!([{"pointer": pointer, "detail": detail}]))
    }

    /// Something broke in here: the cause is logged, the caller learns nothing of it.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(Code::Internal, "the CM could not do its work")
    }

    /// Adds a member to the document.
    pub(crate) fn with(mut self, member: &str, value: Value) -> Self {
        self.0.members.insert(member.to_owned(), value);
        self
    }

    /// Says what the refusal is about.
    pub(crate) fn scoped(mut self, scope: Scope) -> Self {
        self.0.scope = Some(scope);
        self
    }

    /// Sends `Retry-After`.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_secs = Some(seconds);
        self
    }

    /// Sends the current `ETag`.
    pub(crate) fn current_version(mut self, version: i64) -> Self {
        self.0.current_version = Some(version);
        self
    }

    /// What the audit trail is told and the caller is not.
    pub(crate) fn audited(mut self, detail: impl Into<String>) -> Self {
        self.0.audit_detail = Some(detail.into());
        self
    }

    /// Marks that the transaction that ends in this refusal is to be committed all the same.
    pub(crate) fn keeping_effects(mut self) -> Self {
        self.0.keeps_effects = true;
        self
    }

    /// Whether the transaction is committed although the answer is a refusal.
    pub(crate) fn keeps_effects(&self) -> bool {
        self.0.keeps_effects
    }

    /// The code.
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// The sentence for people.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The sentence for the audit trail: the secret one if there is one.
    pub(crate) fn audit_detail(&self) -> &str {
        self.0.audit_detail.as_deref().unwrap_or(&self.0.detail)
    }

    /// Seconds for `Retry-After`.
    pub(crate) fn retry_after_secs(&self) -> Option<u32> {
        self.0.retry_after_secs
    }

    /// Version for `ETag`.
    pub(crate) fn version(&self) -> Option<i64> {
        self.0.current_version
    }

    /// The document; `request_id` ties it to the log and the audit trail.
    pub(crate) fn document(&self, request_id: &str) -> Value {
        let code = self.0.code;
        let mut document = self.0.members.clone();
        document.insert("type".to_owned(), json!(format!("urn:cm:problem:{}", code.name())));
        document.insert("title".to_owned(), json!(code.title()));
        document.insert("status".to_owned(), json!(code.status()));
        document.insert("detail".to_owned(), json!(self.0.detail));
        document.insert("code".to_owned(), json!(code.name()));
        document.insert("retryable".to_owned(), json!(code.retryable()));
        document.insert("requestId".to_owned(), json!(request_id));
        if let Some(scope) = self.0.scope {
            let scope = match scope {
                Scope::Gateway => "gateway",
                Scope::Registration => "registration",
            };
            document.insert("scope".to_owned(), json!(scope));
        }
        Value::Object(document)
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(cause: rusqlite::Error) -> Self {
        Self::internal(cause)
    }
}

impl From<serde_json::Error> for Problem {
    fn from(cause: serde_json::Error) -> Self {
        Self::internal(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_makes_a_complete_document() {
        for code in Code::ALL {
            let document = Problem::new(*code, "because").document("REQUEST");
            assert_eq!(document["type"], format!("urn:cm:problem:{}", document["code"].as_str().unwrap()));
            assert_eq!(document["status"], code.status());
            assert!((400..=599).contains(&code.status()));
            assert_eq!(document["requestId"], "REQUEST");
            assert!(document["retryable"].is_boolean());
        }
    }

    #[test]
    fn what_only_the_audit_may_know_is_not_in_the_document() {
        let problem = Problem::new(Code::EabRejected, "binding rejected").audited("unknown kid");
        assert!(!problem.document("R").to_string().contains("unknown"));
        assert_eq!(problem.audit_detail(), "unknown kid");
    }
}

//! Headers that make writes safe to repeat (CM contract section 3).

use acme::{ids::IdempotencyKey, registration::Registration};

use super::unfit;
use crate::CmError;

/// The contract wants 16 to 64 characters without a dot.
pub(super) fn idempotency_key(key: &IdempotencyKey) -> Result<(&'static str, String), CmError> {
    if key.as_str().len() < 16 || key.as_str().contains('.') {
        return Err(unfit(String::from("an idempotency key is too short or has a dot")));
    }
    Ok(("idempotency-key", key.to_string()))
}

/// The version that a change rests on.
pub(super) fn if_match(registration: &Registration) -> (&'static str, String) {
    ("if-match", format!("\"{}\"", registration.version))
}

//! One handler a resource: decode, let `ra` do it, encode.

pub(super) mod account;
pub(super) mod authorization;
pub(super) mod certificate;
pub(super) mod challenge;
pub(super) mod directory;
pub(super) mod directory_link;
pub(super) mod finalize;
pub(super) mod key_change;
pub(super) mod new_account;
pub(super) mod new_authorization;
pub(super) mod new_nonce;
pub(super) mod new_order;
pub(super) mod order;
pub(super) mod renewal_info;
pub(super) mod revoke_certificate;
pub(super) mod transcript;
pub(super) mod unpause;

use acme::ids::{Id, NotAnId};

use super::problem::HttpError;
use crate::ra;

/// An id from a path; what cannot be an id names nothing.
fn id_in_path<Kind>(text: &str, thing: &str) -> Result<Id<Kind>, HttpError> {
    Id::parse(text).map_err(|NotAnId| ra::Error::not_found(thing).into())
}

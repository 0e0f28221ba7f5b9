//! The records of the registration store: JSON in KV, one type a path (see [`super::layout`]).
//!
//! What officers write must be understood to the last member: a constraint that is not understood would
//! be taken for none. What gateways write may have members of a later version.

mod issuance;
mod registration;

pub use issuance::{Certificate, Digest, Order, Request, Revocation, State};
pub use registration::{Account, Binding, Hold, Key, Mode, PreRegistration, PreviousKey, Realm, Uses};

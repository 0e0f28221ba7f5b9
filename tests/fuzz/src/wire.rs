//! Payloads of ACME requests (RFC 8555 §7) as JSON.

use acme::{
    account::check_contacts,
    wire::{
        account::{AccountUpdate, NewAccount},
        authorization::{AuthorizationUpdate, ChallengeResponse},
        decode,
        order::{Finalize, NewOrder},
        revocation::Revocation,
    },
};

use crate::identifier;

pub(crate) fn run(octets: &[u8]) {
    if let Ok(account) = decode::<NewAccount>(octets) {
        let _ = check_contacts(&account.contact);
    }
    if let Ok(order) = decode::<NewOrder>(octets) {
        for name in order.identifiers {
            identifier::run(name.value.as_bytes());
        }
    }
    let _ = decode::<AccountUpdate>(octets);
    let _ = decode::<AuthorizationUpdate>(octets);
    let _ = decode::<ChallengeResponse>(octets);
    let _ = decode::<Finalize>(octets);
    let _ = decode::<Revocation>(octets);
}

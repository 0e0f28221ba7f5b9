//! The door for another program of ours that works on the same OpenBao in a role of its own: where things are and what
//! the records look like. Who may write them, OpenBao decides.

pub use super::{
    layout::{Kid, Mounts, Place, Serial},
    records::{
        Account, Binding, Certificate, Digest, Hold, Key, Mode, Order, PreRegistration, PreviousKey, Realm, Request,
        Revocation, State, Uses,
    },
};

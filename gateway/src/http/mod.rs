//! The HTTP shell: routes, authentication of requests, encoding of answers.
//!
//! Read it in this order: `router.rs` says what each line demands, `authenticate.rs` proves it,
//! `acme/` has one handler a resource.

mod acme;
mod admission;
pub(crate) mod authenticate;
pub(crate) mod connection;
mod headers;
mod help;
mod html;
pub(crate) mod links;
pub(crate) mod listen;
mod load;
pub(crate) mod open_files;
pub(crate) mod ops;
mod problem;
mod reply;
mod router;
mod server;
mod trace;

pub(crate) use authenticate::{AccountSigned, JsonOrNothing, Nothing, RevocationSigned, SelfSigned};
pub(crate) use problem::HttpError;
pub(crate) use reply::Reply;
pub(crate) use server::{ACME_TLS_1, ALPN, AnyClientCertificate};

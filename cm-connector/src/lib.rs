//! The Certificate Manager (CM) behind one trait, its adapters, and a cache of registrations.
//!
//! [`CertificateManager`] is what the gateway asks of any CM; [`rest`] speaks the CM REST API,
//! version 1, over mutual TLS; [`cached::CachedRegistrations`] keeps registrations for a minute.
//! Nothing here decides in place of the CM, judges a certificate, or keeps a journal: the callers
//! do, and the CM's texts reach them only where the contract lets them through.

mod binding;
pub mod cached;
mod certificate;
mod certificate_manager;
mod condition;
mod error;
mod event;
mod issuance;
mod observation;
pub mod openbao;
mod registration;
mod renewal_info;
pub mod rest;
mod revocation;
mod service;
mod standing;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;

pub use binding::{Binding, DirectoryToken, NoDirectoryToken};
pub use certificate::{Certificate, CertificateStatus, Chain, RevocationRecord};
pub use certificate_manager::CertificateManager;
pub use condition::Condition;
pub use error::{CmError, Outcome};
pub use event::{Event, EventCursor, Events};
pub use issuance::{CertificateRequest, Delivery, Refusal, RequestClaims, RequestState, Validation};
pub use observation::{Call, CallOutcome, Listener, observed};
pub use registration::{Client, Jws, NewRegistration, Proof, Registered, RegistrationUpdate};
pub use renewal_info::RenewalInfo;
pub use revocation::{Basis, Revocation, Revoked};
pub use service::{Capability, Identity, Issuer};

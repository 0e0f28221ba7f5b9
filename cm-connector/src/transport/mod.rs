//! What every adapter needs to reach a CM: mutual TLS, the HTTP client, time limits, shares of the CM's
//! time, and the circuit that leaves a CM alone that does not answer (CM contract sections 2 and 6).
//!
//! What is asked and what an answer means is the adapter's: nothing here knows a path or a field.

pub(crate) mod circuit;
pub(crate) mod deadline;
pub(crate) mod http;
pub(crate) mod lane;
pub(crate) mod pace;
pub(crate) mod settings;
pub(crate) mod tls;

pub use settings::{Settings, SetupError};

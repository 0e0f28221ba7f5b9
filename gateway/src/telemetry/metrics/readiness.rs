//! Why the gateway is not ready, in numbers.

use prometheus::{IntGaugeVec, Result};

use super::registrar::Registrar;

/// What can keep the gateway from being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unready {
    /// It cannot be read.
    Store,
    /// There is no room in the store for what is new.
    StoreSpace,
    /// What is done cannot be written down.
    Audit,
    /// What the CM offers was never read.
    Catalogue,
    /// The CM is not as this gateway needs it: role, realms, capabilities.
    Cm,
    /// The server has no certificate that anybody vouches for.
    ServerCertificate,
}

impl Unready {
    pub(crate) const ALL: [Self; 6] =
        [Self::Store, Self::StoreSpace, Self::Audit, Self::Catalogue, Self::Cm, Self::ServerCertificate];

    /// The value of the label.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::StoreSpace => "store-space",
            Self::Audit => "audit",
            Self::Catalogue => "catalogue",
            Self::Cm => "cm",
            Self::ServerCertificate => "server-certificate",
        }
    }
}

/// The metric, with all its series: an alert has to see 0 as well.
pub(super) fn gauges(registrar: &Registrar) -> Result<IntGaugeVec> {
    let unready = registrar.gauges(
        "unready",
        "1 while this keeps the gateway from being ready, as /readyz says: store (cannot be read), store-space, audit, catalogue (what the CM offers was never read), cm (role, realms or capabilities), server-certificate (there is none yet).",
        &["reason"],
    )?;
    Unready::ALL.iter().for_each(|reason| drop(unready.with_label_values(&[reason.name()])));
    Ok(unready)
}

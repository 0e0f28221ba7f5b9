//! The CM of this gateway: which adapter speaks with it, and what differs between them at the start and when files
//! are read again.

use std::{sync::Arc, time::Duration};

use acme::{identifier::Identifier, ids::RealmName, registration::AllowedIdentifiers};
use cm_connector::{
    CertificateManager,
    openbao::{self, OpenBaoCertificateManager},
    rest::{self, RestCertificateManager, SetupError},
};
use policies::identifier::{Verdict, allowed};

use crate::settings::{self, CmKind, Settings};

/// Where the CM's API begins (CM contract section 3).
const CM_API: &str = "/cm/v1";
/// How long a registration is believed of a CM that has no events and is read in a millisecond: a suspension has to
/// take effect within two seconds.
const BELIEVED_WITHOUT_EVENTS: Duration = Duration::from_secs(1);

/// The adapter that the settings name.
#[derive(Clone)]
pub(in crate::cli) enum Cm {
    Rest(RestCertificateManager),
    OpenBao(OpenBaoCertificateManager),
}

impl Cm {
    /// Sets it up; nothing is sent.
    ///
    /// # Errors
    /// [`SetupError`] names the setting that does not do.
    pub(in crate::cli) fn new(settings: &settings::Cm) -> Result<Self, SetupError> {
        let (ca_file, certificate_file) = (settings.ca_file.clone(), settings.certificate_file.clone());
        let key_file = settings.key_file.clone();
        match settings.kind {
            CmKind::Rest => {
                let base_url = format!("{}{CM_API}", settings.url.trim_end_matches('/'));
                let settings = rest::Settings { base_url, ca_file, certificate_file, key_file };
                RestCertificateManager::new(settings).map(Self::Rest)
            }
            CmKind::OpenBao => {
                let own = &settings.openbao;
                let settings = openbao::Settings {
                    addresses: settings.urls().map(str::to_owned).collect(),
                    ca_file,
                    certificate_file,
                    key_file,
                    login_mount: own.login_mount.clone(),
                    login_role: own.login_role.clone(),
                    mount: own.mount.clone(),
                    request_duration_max: own.request_duration_max.duration(),
                };
                OpenBaoCertificateManager::new(settings, allows).map(Self::OpenBao)
            }
        }
    }

    pub(in crate::cli) fn adapter(&self) -> Arc<dyn CertificateManager> {
        match self {
            Self::Rest(cm) => Arc::new(cm.clone()),
            Self::OpenBao(cm) => Arc::new(cm.clone()),
        }
    }

    /// Reads its files again and changes to new connections, if the CM accepts them.
    ///
    /// # Errors
    /// [`SetupError`]; then everything stays as it was.
    pub(super) async fn reload(&self, realms: &[RealmName]) -> Result<(), SetupError> {
        match self {
            Self::Rest(cm) => cm.reload(realms).await,
            Self::OpenBao(cm) => cm.reload().await,
        }
    }

    /// How long a registration is believed without asking again.
    pub(super) fn registrations_fresh(&self, settings: &Settings) -> Duration {
        let wanted = settings.cm.registration_cache.duration();
        match self {
            Self::Rest(_) => wanted,
            Self::OpenBao(_) => wanted.min(BELIEVED_WITHOUT_EVENTS),
        }
    }
}

fn allows(identifier: &Identifier, list: &AllowedIdentifiers) -> bool {
    matches!(allowed(identifier, list), Verdict::Allowed { .. })
}

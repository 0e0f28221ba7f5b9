//! The reference Certificate Manager: the other side of the CM REST API, whole and in one process.
//!
//! It decides, signs, revokes and remembers as the contract says, against a gateway that may lie.
//! It shares no code with the gateway's connector, so that a mistake of one shows at the other.
//! NOT FOR PRODUCTION: its keys are files, and it does what tests tell it to do wrong.

mod allowlist;
mod approvals;
mod audit;
mod authority;
mod bind;
mod call;
mod certificates;
mod configuration;
mod create;
mod csr;
mod database;
mod delivery;
mod directory_link;
mod door;
mod events;
mod evidence;
mod external_account_key;
mod idempotency;
mod identifier;
mod identity;
mod ids;
mod issuance;
mod judgement;
mod jws;
mod key;
mod key_change;
mod last_answers;
mod limits;
mod moment;
mod ocsp;
mod operations;
mod paging;
mod policy;
mod problem;
mod proof;
mod registrations;
mod requests;
mod revocation;
mod routes;
mod service;
mod settings;
mod status;
mod status_listener;
mod tls;
mod update;
mod validity;
mod waiver_decisions;
mod waivers;
mod wire;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::authority::Authority;
use self::call::Call;
use self::database::Database;
use self::last_answers::LastAnswers;
use self::limits::Limiter;
use self::moment::Moment;
use self::operations::Operation;
use self::problem::{Code, Problem};
use self::settings::{Realm, Settings};
use crate::faults::Faults;

/// The sample pre-registration of realm `registered`.
const SAMPLE_REALM: &str = "registered";
const SAMPLE_KID: &str = "sample-kid-1";
/// Names that the sample may have certified, with everything below them.
pub(crate) const SAMPLE_ALLOWED: [&str; 2] = ["example.test", "registered.quickstart.test"];

/// How often the CM looks for work that nobody asks for.
const TICK: std::time::Duration = std::time::Duration::from_millis(250);

/// The CM with all that it knows.
pub(crate) struct ReferenceCm {
    database: Database,
    settings: Settings,
    authority: Authority,
    limits: Limiter,
    faults: Faults,
    last_answers: LastAnswers,
    published: PathBuf,
}

/// The external account key of the sample pre-registration.
#[derive(Clone, Debug)]
pub(crate) struct SampleEab {
    /// Key id.
    pub(crate) kid: String,
    /// Base64url.
    pub(crate) hmac_key: String,
}

/// Whether the contract has an operation of this name.
pub(crate) fn has_operation(name: &str) -> bool {
    Operation::ALL.iter().any(|operation| operation.name() == name)
}

/// Makes what the CM needs besides its PKI: settings, database, sample pre-registration. What is
/// there already stays as it is.
pub(crate) fn init(folder: &Path, gateway_name: &str) -> anyhow::Result<()> {
    let settings_file = folder.join("cm.toml");
    if !settings_file.exists() {
        std::fs::write(&settings_file, settings::first_file(gateway_name))?;
    }
    std::fs::create_dir_all(folder.join("published"))?;
    let settings = Settings::load(&settings_file)?;
    if !settings.gateways.contains_key(gateway_name) {
        tracing::warn!(gateway_name, "cm.toml does not name this gateway; add [gateways.NAME] with its realms");
    }
    let Some(realm) = settings.realms.get(SAMPLE_REALM) else {
        return Ok(());
    };
    let rules: Vec<Value> =
        SAMPLE_ALLOWED.iter().map(|name| json!({"type": "dns", "match": "suffix", "value": name})).collect();
    let list: allowlist::AllowedIdentifiers = serde_json::from_value(json!({"mode": "listed", "rules": rules}))?;
    let profiles = realm.profiles.clone();
    let database = open_database(folder)?;
    database
        .write(|tx| {
            if registrations::by_kid(tx, SAMPLE_REALM, SAMPLE_KID)?.is_none() {
                create::preregister_sample(tx, SAMPLE_REALM, SAMPLE_KID, list, profiles, Moment::now())?;
            }
            Ok(())
        })
        .map_err(|problem| anyhow::anyhow!(problem.detail().to_owned()))
}

/// The database holds EAB secrets, so nobody else may read it.
fn open_database(folder: &Path) -> anyhow::Result<Database> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join("cm.sqlite");
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    Database::open(&path)
}

impl ReferenceCm {
    /// Opens the CM of a folder that `init` has made, and settles what a crash left open.
    ///
    /// `status_url` is where its status listener is reached; it goes into certificates.
    pub(crate) fn open(
        folder: &Path,
        status_url: &str,
        acme_bases: &[String],
        faults: Faults,
    ) -> anyhow::Result<Arc<Self>> {
        let mut settings = Settings::load(&folder.join("cm.toml"))?;
        settings.add_acme_bases(acme_bases)?;
        let published = folder.join("published");
        std::fs::create_dir_all(&published)?;
        let cm = Self {
            database: open_database(folder)?,
            authority: Authority::load(&folder.join("pki"), status_url)?,
            limits: Limiter::new(settings.limits.clone()),
            settings,
            faults,
            last_answers: LastAnswers::default(),
            published,
        };
        cm.recover(Moment::now()).map_err(|problem| anyhow::anyhow!(problem.detail().to_owned()))?;
        Ok(Arc::new(cm))
    }

    fn recover(&self, now: Moment) -> Result<(), Problem> {
        self.database.write(|tx| {
            idempotency::purge(tx, now)?;
            events::purge(tx, now)
        })?;
        if let Err(position) = self.database.read(audit::verify_chain)? {
            tracing::error!(position, "the audit chain is broken");
        }
        let settled = issuance::settle_after_crash(self, now)?;
        if settled > 0 {
            tracing::warn!(settled, "requests settled after a crash");
        }
        self.tick(now)
    }

    /// Work that nobody asks for: time-outs, late certificates, publication.
    fn tick(&self, now: Moment) -> Result<(), Problem> {
        approvals::expire_undecided(self, now)?;
        issuance::sign_released(self, now)?;
        delivery::publish_pending(self, now)
    }

    /// Serves the API over mutual TLS. Runs until the process ends.
    pub(crate) async fn serve_api(self: Arc<Self>, listener: TcpListener, folder: &Path) -> anyhow::Result<()> {
        let config = tls::settings(&folder.join("pki"))?;
        tls::accept(listener, config, routes::router(self)).await;
        Ok(())
    }

    /// Serves OCSP, revocation list and CA certificates over plain HTTP.
    pub(crate) async fn serve_status(self: Arc<Self>, listener: TcpListener) -> anyhow::Result<()> {
        axum::serve(listener, status_listener::router(self)).await?;
        Ok(())
    }

    /// Looks after what is due, for ever.
    pub(crate) async fn look_after(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            let cm = Arc::clone(&self);
            let done = tokio::task::spawn_blocking(move || cm.tick(Moment::now())).await;
            if let Ok(Err(problem)) = done {
                tracing::error!(detail = problem.detail(), "work in the background failed");
            }
        }
    }

    /// The realm of a call: 404 if there is none, 403 if the caller has no business there.
    fn realm<'a>(&'a self, call: &'a Call) -> Result<(&'a str, &'a Realm), Problem> {
        let name = call.parameter("realm");
        if call.is_gateway() {
            let serves = self
                .settings
                .gateways
                .get(&call.identity.name)
                .is_some_and(|gateway| gateway.realms.iter().any(|realm| realm == name));
            if !serves {
                return Err(Problem::new(Code::Forbidden, "this gateway does not serve the realm"));
            }
        }
        self.settings
            .realms
            .get(name)
            .map(|realm| (name, realm))
            .ok_or_else(|| Problem::new(Code::NotFound, "there is no such realm"))
    }

    /// The external account key of the sample pre-registration, if it is still there.
    pub(crate) fn sample_eab(&self) -> Option<SampleEab> {
        let secret = self.database.read(|tx| bind::sample_secret(tx, SAMPLE_REALM, SAMPLE_KID)).ok()??;
        Some(SampleEab { kid: SAMPLE_KID.to_owned(), hmac_key: secret })
    }

    /// Counts for tests: certificates of each order, registrations, requests by status.
    pub(crate) fn books(&self) -> Value {
        let books = self.database.read(|tx| {
            let counts = |query: &str| -> Result<Value, Problem> {
                let mut statement = tx.prepare(query)?;
                let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
                let mut map = serde_json::Map::new();
                for row in rows {
                    let (name, count) = row?;
                    map.insert(name, json!(count));
                }
                Ok(Value::Object(map))
            };
            let number = |query: &str| -> Result<i64, Problem> { Ok(tx.query_row(query, [], |row| row.get(0))?) };
            Ok(json!({
                "registrations": number("SELECT count(*) FROM registration")?,
                "registrationsByStatus":
                    counts("SELECT status, count(*) FROM registration GROUP BY status")?,
                "requestsByStatus":
                    counts("SELECT status, count(*) FROM certificate_request GROUP BY status")?,
                "certificates": number("SELECT count(*) FROM certificate")?,
                "certificatesByOrderRef":
                    counts("SELECT order_ref, count(*) FROM certificate GROUP BY order_ref")?,
                "revokedByOrderRef":
                    counts("SELECT order_ref, count(*) FROM certificate WHERE status = 'revoked' GROUP BY order_ref")?,
                "revoked": number("SELECT count(*) FROM certificate WHERE status = 'revoked'")?,
                "publications":
                    counts("SELECT publication, count(*) FROM certificate GROUP BY publication")?,
                "events": number("SELECT count(*) FROM event")?,
            }))
        });
        books.unwrap_or_else(|problem| json!({"error": problem.detail()}))
    }
}

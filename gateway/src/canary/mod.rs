//! The canary: what every client does, done by the operator for a name of the operator's own, so that somebody notices
//! before the clients do. It comes from outside by the public directory, trusts what clients trust, proves control by
//! http-01, looks at the certificate that it gets, and revokes it.
//!
//! It knows nothing of the gateway's settings and can run on another machine. What came of it is an exit code, JSON, and a
//! file for node_exporter.

mod flight;
mod responder;
mod textfile;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use self::flight::fly;
pub(crate) use self::textfile::write as write_textfile;

/// The longest that a flight may take.
const FLIGHT_MAX: Duration = Duration::from_secs(240);

/// What a flight needs.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The URL of the directory.
    pub(crate) directory: String,
    /// A name of the operator's own that leads to the addresses in `listen`.
    pub(crate) name: String,
    /// Roots that the server's certificate chains to (PEM).
    pub(crate) ca_file: PathBuf,
    /// Roots that the issued certificate chains to (PEM).
    pub(crate) roots_file: PathBuf,
    /// Where http-01 is answered.
    pub(crate) listen: Vec<SocketAddr>,
    /// The key of the canary's account (PKCS #8 in PEM); made if it is not there.
    pub(crate) account_key_file: PathBuf,
    /// Id and file (base64url) of an external account key, for the first time.
    pub(crate) external_account: Option<(String, PathBuf)>,
    /// Whether the certificate is revoked at the end.
    pub(crate) revokes: bool,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Preparation,
    Directory,
    Account,
    Order,
    Proof,
    Certificate,
    Revocation,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) took: Duration,
    /// The stage in which it ended badly, and why.
    pub(crate) failure: Option<(Stage, String)>,
}

impl Stage {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Preparation => "preparation",
            Self::Directory => "directory",
            Self::Account => "account",
            Self::Order => "order",
            Self::Proof => "proof",
            Self::Certificate => "certificate",
            Self::Revocation => "revocation",
        }
    }
}

/// Gets one certificate, or finds out where that ends.
pub(crate) async fn run(plan: &Plan) -> Report {
    let (begun, mut stage) = (Instant::now(), Stage::Preparation);
    let failure = match timeout(FLIGHT_MAX, fly(plan, &mut stage)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((stage, format!("{error:#}"))),
        Err(_) => Some((stage, format!("not done within {} seconds", FLIGHT_MAX.as_secs()))),
    };
    Report { took: begun.elapsed(), failure }
}

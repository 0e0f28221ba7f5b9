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
    /// Where http-01 is answered; nothing means port 80 of every address.
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

/// How far it has come, and with what.
#[derive(Debug)]
struct Progress {
    stage: Stage,
    /// The order's URL.
    order: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) took: Duration,
    /// The order's URL, if there is one: the gateway has its story.
    pub(crate) order: Option<String>,
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

    /// What whoever runs the canary does about an end at this stage.
    pub(crate) const fn mend(self) -> &'static str {
        match self {
            Self::Preparation => "Mend what is named here, on this machine: clients are not concerned.",
            Self::Directory => {
                "See from this machine whether the name leads to the gateway, its port can be reached, and --ca-file has \
                 the root of its certificate; on the gateway run acme-gateway doctor."
            }
            Self::Account => {
                "See that an officer's registration is there and active; on a registered endpoint give \
                 --external-account-key-id and --external-account-key-file the first time, and with another key again."
            }
            Self::Order => "See that the registration allows this name; what met a limit passes by itself.",
            Self::Proof => {
                "See that the name leads to this machine for the gateway's resolvers, that the gateway can reach it at \
                 port 80, and that nobody else answers there; acme-gateway order show with the order says what was seen."
            }
            Self::Certificate => {
                "Run acme-gateway order show with the order and acme-gateway doctor on the gateway: the CM refuses, is \
                 away, or returned what is wrong. If clients would not accept it, see that --roots-file has the issuing \
                 CA's root."
            }
            Self::Revocation => {
                "There was a certificate, which is still valid: see that the CM revokes, and run the canary again; \
                 --no-revocation leaves what does not live long."
            }
        }
    }
}

impl Report {
    /// Whether it ended before the service was asked for anything.
    pub(crate) fn is_unprepared(&self) -> bool {
        matches!(self.failure, Some((Stage::Preparation, _)))
    }
}

/// Gets one certificate, or finds out where that ends.
pub(crate) async fn run(plan: &Plan) -> Report {
    let (begun, mut progress) = (Instant::now(), Progress { stage: Stage::Preparation, order: None });
    let ended = timeout(FLIGHT_MAX, fly(plan, &mut progress)).await;
    let failure = match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some((progress.stage, format!("{error:#}"))),
        Err(_) => Some((progress.stage, format!("not done within {} seconds", FLIGHT_MAX.as_secs()))),
    };
    Report { took: begun.elapsed(), order: progress.order, failure }
}

//! `acme-sandbox serve`: everything in one process, until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::challenges::Challenges;
use crate::control::{self, Control};
use crate::dns::{self, Zone};
use crate::faults::Faults;
use crate::pki;
use crate::reference_cm::{ReferenceCm, SAMPLE_ALLOWED};

/// The file in DIR that says where everything listens.
const ANNOUNCEMENT: &str = "sandbox.json";

/// The arguments of `serve`. Ports may be 0; the ports taken are in `DIR/sandbox.json`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder that init has made.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Where the CM's API listens (mutual TLS).
    #[arg(long)]
    pub(crate) cm: SocketAddr,
    /// Where OCSP, CRL and CA certificates are served (HTTP). It goes into certificates, so keep it.
    #[arg(long)]
    pub(crate) status: SocketAddr,
    /// Where the name server listens (UDP and TCP).
    #[arg(long)]
    pub(crate) dns: SocketAddr,
    /// Where the control server listens (HTTP, loopback only).
    #[arg(long)]
    pub(crate) control: SocketAddr,
    /// Port of the http-01 responder, opened when the control server is told to.
    #[arg(long)]
    pub(crate) http_01_port: u16,
    /// Port of the tls-alpn-01 responder, opened when the control server is told to.
    #[arg(long)]
    pub(crate) tls_alpn_01_port: u16,
    /// The ACME base URL of a realm, as REALM=URL; may be given more than once.
    #[arg(long = "acme-base", value_name = "REALM=URL")]
    pub(crate) acme_bases: Vec<String>,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    // Whoever waits for the file must not find that of an earlier run.
    let announced = args.dir.join(ANNOUNCEMENT);
    if announced.exists() {
        std::fs::remove_file(&announced)?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let api = bind(args.cm, "the CM").await?;
    let status = bind(args.status, "certificate status").await?;
    let (api_address, status_address) = (api.local_addr()?, status.local_addr()?);
    let status_url = format!("http://{}", reachable(status_address));

    let faults = Faults::default();
    let folder = args.dir.clone();
    let cm = {
        let (folder, url, bases, faults) = (folder.clone(), status_url.clone(), args.acme_bases, faults.clone());
        tokio::task::spawn_blocking(move || ReferenceCm::open(&folder, &url, &bases, faults)).await??
    };
    let zone = Zone::new(&dns::DEFAULT_SUFFIXES)?;
    let (dns_address, dns) = dns::serve(args.dns, zone.clone()).await?;
    let (books, configured) = (Arc::clone(&cm), Arc::clone(&cm));
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (control_address, control) = control::serve(
        args.control,
        Control {
            zone,
            challenges: Challenges::default(),
            http_01_address: SocketAddr::new(loopback, args.http_01_port),
            tls_alpn_01_address: SocketAddr::new(loopback, args.tls_alpn_01_port),
            faults,
            books: Arc::new(move || books.books()),
            configure: Arc::new(move |change| configured.configure(change)),
        },
    )
    .await?;

    let eab = cm.sample_eab().map(|eab| json!({"kid": eab.kid, "hmac_key": eab.hmac_key, "allowed": SAMPLE_ALLOWED}));
    let announcement = json!({
        "cm": format!("https://localhost:{}", api_address.port()),
        "status": status_url,
        "dns": dns_address.to_string(),
        "control": format!("http://{control_address}"),
        "eab": eab,
    });
    let api = Arc::clone(&cm).serve_api(api, &folder);
    let status = Arc::clone(&cm).serve_status(status);
    announce(&folder, &announcement)?;
    tokio::select! {
        ended = api => ended.context("the CM's listener ended"),
        ended = status => ended.context("the status listener ended"),
        () = dns => anyhow::bail!("the name server ended"),
        () = control => anyhow::bail!("the control server ended"),
        () = cm.look_after() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for {what}"))
}

/// An unspecified address cannot be dialled; this machine's own can.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}

/// The file holds the sample's secret, so it is for its owner only.
fn announce(folder: &Path, announcement: &serde_json::Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(announcement)?;
    pki::replace(&folder.join(ANNOUNCEMENT), &text, 0o600)?;
    tracing::warn!("this is the ACME sandbox: NOT FOR PRODUCTION");
    #[expect(clippy::print_stdout, reason = "scripts wait for this line")]
    {
        println!("acme-sandbox is ready: {}", folder.join(ANNOUNCEMENT).display());
    }
    Ok(())
}

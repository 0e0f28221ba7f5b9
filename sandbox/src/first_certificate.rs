//! `acme-sandbox first-certificate`: one certificate by http-01, from an ACME server (RFC 8555) to two files, so that
//! a newcomer sees the whole exchange work without installing a client. It keeps no account and renews nothing.

mod trusted_http;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, HttpClient, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use self::trusted_http::TrustedHttp;
use crate::challenges::HttpResponder;

/// How long validation, and then issuance, may take.
const WAITING: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(60));

/// The arguments of `first-certificate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory URL of the ACME endpoint
    #[arg(long, value_name = "URL")]
    directory: String,
    /// PEM file with the only certificate authorities trusted for the ACME server itself
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Domain name or IP address to get a certificate for
    #[arg(long, value_name = "NAME")]
    identifier: String,
    /// Address on which the http-01 challenge is answered while it runs
    #[arg(long = "http-01", value_name = "ADDR:PORT")]
    http_01: SocketAddr,
    /// Directory for NAME.pem and NAME.key
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Gets the certificate, writes both files and prints a summary.
///
/// # Errors
/// The sentence names the step that failed, and its source says why.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let identifier = identifier(&args.identifier)?;
    let http = TrustedHttp::new(&args.ca)?;
    let obtained = Box::pin(obtain(Box::new(http), &args.directory, identifier, args.http_01)).await?;
    let summary = summary(&obtained)?;
    let (certificate_file, key_file) = save(&args.out, &args.identifier, &obtained)?;
    println!("{summary}  certificate  {}\n  private key  {}", certificate_file.display(), key_file.display());
    Ok(())
}

/// What the exchange ends with.
struct Obtained {
    chain_pem: String,
    key: KeyPair,
}

/// The identifier, after a check that it can name files too.
fn identifier(text: &str) -> anyhow::Result<Identifier> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Identifier::Ip(address));
    }
    ensure!(
        !text.starts_with("*."),
        "http-01 cannot prove control of a wildcard name (RFC 8555 §8.3): leave out \"*.\""
    );
    ensure!(
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')),
        "{text:?} is neither a domain name (letters, digits, hyphens, dots) nor an IP address"
    );
    Ok(Identifier::Dns(text.to_owned()))
}

async fn obtain(
    http: Box<dyn HttpClient>,
    directory: &str,
    identifier: Identifier,
    http_01: SocketAddr,
) -> anyhow::Result<Obtained> {
    let new_account = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let (account, _) = Account::builder_with_http(http)
        .create(&new_account, directory.to_owned(), None)
        .await
        .with_context(|| format!("no account could be made at {directory}"))?;
    let mut order = account
        .new_order(&NewOrder::new(std::slice::from_ref(&identifier)))
        .await
        .context("the order was not accepted")?;

    let responder = HttpResponder::default();
    let bound = responder.listen(http_01).await.context("the http-01 challenge cannot be answered")?;
    let proven = Box::pin(prove_control(&mut order, &responder)).await;
    responder.close(Some(bound)).await;
    proven?;

    let (key, csr) = csr(&identifier)?;
    order.finalize_csr(&csr).await.context("the certificate signing request was not accepted (finalize)")?;
    let chain_pem = order.poll_certificate(&WAITING).await.context("the certificate was not issued")?;
    Ok(Obtained { chain_pem, key })
}

/// Answers http-01 for every authorization that needs it and waits until the order is ready.
async fn prove_control(order: &mut Order, responder: &HttpResponder) -> anyhow::Result<()> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.context("the authorization could not be read")?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization
            .challenge(ChallengeType::Http01)
            .context("the server offers no http-01 challenge for this name")?;
        responder.set_token(&challenge.token, challenge.key_authorization().as_str())?;
        challenge.set_ready().await.context("the http-01 challenge was not accepted")?;
    }
    let ready = order.poll_ready(&WAITING).await;
    if let Ok(OrderStatus::Ready) = ready {
        return Ok(());
    }
    let mut reasons = refusals(order).await;
    if responder.seen().is_empty() {
        reasons.push_str("; no request reached this responder, so check where the name points");
    }
    match ready {
        Ok(status) => bail!("control of the name was not proven: the order is {status:?}{reasons}"),
        Err(error) => Err(error).with_context(|| format!("control of the name was not proven by http-01{reasons}")),
    }
}

/// The server's own words about failed challenges, each after `"; "`.
async fn refusals(order: &mut Order) -> String {
    let mut words = String::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        for problem in state.challenges.iter().filter_map(|c| c.error.as_ref()) {
            let detail = problem.detail.as_deref().unwrap_or("no detail");
            let kind = problem.r#type.as_deref().unwrap_or("no type");
            // Writing to a String cannot fail.
            let _ = write!(words, "; the server says: {detail} ({kind})");
        }
    }
    words
}

/// A fresh P-256 key and a request with the identifier as its only subject alternative name.
fn csr(identifier: &Identifier) -> anyhow::Result<(KeyPair, Vec<u8>)> {
    let name = identifier.authorized(false).to_string();
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).context("no private key could be made")?;
    let mut params = CertificateParams::new(vec![name]).context("no request could be made")?;
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key).context("no certificate signing request could be made")?;
    Ok((key, csr.der().to_vec()))
}

/// What a reader wants to know about the certificate; refuses a chain that does not begin with our key.
fn summary(obtained: &Obtained) -> anyhow::Result<String> {
    let chain = Pem::iter_from_buffer(obtained.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the issued chain is not PEM")?;
    let first = chain.first().context("the issued chain is empty")?;
    let (_, certificate) = X509Certificate::from_der(&first.contents).context("the issued certificate is not X.509")?;
    ensure!(
        certificate.public_key().raw == obtained.key.subject_public_key_info(),
        "the issued certificate is for another key than the one requested"
    );
    let names = certificate
        .subject_alternative_name()
        .context("the issued certificate's names cannot be read")?
        .map(|names| names.value.general_names.iter().map(general_name))
        .map(|names| names.collect::<Vec<_>>().join(", "))
        .unwrap_or_default();
    let validity = certificate.validity();
    Ok(format!(
        "Certificate issued\n  names        {names}\n  issuer       {}\n  valid from   {}\n  valid until  {}\n  chain        {} certificate{}\n",
        certificate.issuer(),
        validity.not_before,
        validity.not_after,
        chain.len(),
        if chain.len() == 1 { "" } else { "s" },
    ))
}

fn general_name(name: &GeneralName<'_>) -> String {
    if let GeneralName::DNSName(name) = name {
        return (*name).to_owned();
    }
    if let GeneralName::IPAddress(octets) = name {
        let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
        let address = v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from));
        if let Ok(address) = address {
            return address.to_string();
        }
    }
    name.to_string()
}

/// Writes the key first: a certificate without its key is of no use, the other way round a retry helps.
fn save(out: &Path, name: &str, obtained: &Obtained) -> anyhow::Result<(PathBuf, PathBuf)> {
    std::fs::create_dir_all(out).with_context(|| format!("the directory {} cannot be made", out.display()))?;
    let certificate_file = out.join(format!("{name}.pem"));
    let key_file = out.join(format!("{name}.key"));
    write_file(&key_file, &obtained.key.serialize_pem(), 0o600)?;
    write_file(&certificate_file, &obtained.chain_pem, 0o644)?;
    Ok((certificate_file, key_file))
}

/// Replaces `path` as a whole. The contents are never in a file with a wider mode, not even for a moment.
fn write_file(path: &Path, contents: &str, mode: u32) -> anyhow::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let write = || {
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(contents.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests;

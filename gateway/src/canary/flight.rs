//! One certificate, stage after stage (RFC 8555 §7).

use std::{fs, io, net::SocketAddr, path::Path, time::Duration};

use acme::base64url;
use anyhow::{Context as _, bail, ensure};
use http::{Method, StatusCode, Uri};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{
    Plan, Progress, Stage,
    responder::{self, Responder},
};
use crate::{
    clock,
    seal::make_private_file,
    server_certificate::{
        loopback::Loopback,
        session::{ObtainError, Session, error_of},
        signing::AccountKey,
        soundness::require_sound,
    },
    settings::require_private,
};

/// `superseded` (RFC 5280 §5.3.1): nothing is wrong with it, and nobody uses it.
const REASON: u8 = 4;
/// For the addresses of the directory's host.
const LOOKUP_MAX: Duration = Duration::from_secs(10);
/// For one address.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Most addresses that are tried.
const ADDRESSES_MAX: usize = 8;

/// The resources that a flight needs.
struct Directory {
    new_nonce: String,
    new_account: String,
    new_order: String,
    revoke: String,
}

pub(super) async fn fly(plan: &Plan, progress: &mut Progress) -> anyhow::Result<()> {
    let key = account_key(&plan.account_key_file)?;
    let anchors = certificates(&plan.roots_file, "--roots-file")?;
    let trusted = certificates(&plan.ca_file, "--ca-file")?;
    let (host, port) = host(&plan.directory)?;
    let responder = match plan.listen.as_slice() {
        [] => Responder::listen_everywhere(responder::HTTP).await?,
        addresses => Responder::listen(addresses).await?,
    };

    progress.stage = Stage::Directory;
    let http = dial(&host, port, trusted).await?;
    let directory = Directory::read(&http, &plan.directory).await?;

    progress.stage = Stage::Account;
    let mut session = Session::new(http, &key, directory.new_nonce.clone());
    let account = account(plan, &mut session, &key, &directory.new_account, progress).await?;
    session.log_in(account);

    progress.stage = Stage::Order;
    let wanted = json!({"identifiers": [{"type": "dns", "value": plan.name}]});
    let order = session.post(&directory.new_order, &wanted).await?;
    let url = order.location.clone().context("newOrder was answered without Location")?;
    progress.order = Some(url.clone());

    progress.stage = Stage::Proof;
    for authorization in order.texts("authorizations") {
        prove(&mut session, &key, &responder, &authorization).await?;
    }
    let ready = session.poll(&url, &["pending"]).await?;
    ensure!(ready.member("status") == "ready", "the order is {}", ready.member("status"));

    progress.stage = Stage::Certificate;
    let certificate_key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(vec![plan.name.clone()])?;
    parameters.distinguished_name = DistinguishedName::new();
    let csr = base64url::encode(parameters.serialize_request(&certificate_key)?.der());
    let _processing = session.post(ready.member("finalize"), &json!({"csr": csr})).await?;
    let ended = session.poll(&url, &["processing"]).await?;
    if ended.member("status") != "valid" {
        if let Some(error) = error_of(&ended.object) {
            bail!(error);
        }
        bail!("the order is {}", ended.member("status"));
    }
    let chain = session.read(ended.member("certificate")).await?.text;
    let pair = (certificate_key.serialize_pem(), chain);
    require_sound((&pair.0, &pair.1), std::slice::from_ref(&plan.name), &anchors, clock::now())?;

    if plan.revokes {
        progress.stage = Stage::Revocation;
        let leaf = CertificateDer::pem_slice_iter(pair.1.as_bytes()).next().context("there is no certificate")??;
        let revocation = json!({"certificate": base64url::encode(&leaf), "reason": REASON});
        let _revoked = session.post(&directory.revoke, &revocation).await?;
    }
    Ok(())
}

/// Host and port of the directory.
fn host(directory: &str) -> anyhow::Result<(String, u16)> {
    const HTTPS: u16 = 443;
    let uri: Uri = directory.parse().with_context(|| format!("--directory: {directory} is no URL"))?;
    ensure!(uri.scheme_str() == Some("https"), "--directory: {directory} does not begin with https://");
    let host = uri.host().with_context(|| format!("--directory: {directory} has no host"))?;
    Ok((host.trim_matches(['[', ']']).to_owned(), uri.port_u16().unwrap_or(HTTPS)))
}

/// The directory's own host, by the system's resolver, as clients go there: its first address that can be reached.
async fn dial(host: &str, port: u16, trusted: Vec<Vec<u8>>) -> anyhow::Result<Loopback> {
    let mut failed = Vec::new();
    for address in resolved(host, lookup_host((host, port))).await? {
        match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let mut roots = RootCertStore::empty();
                let _usable = roots.add_parsable_certificates(trusted.into_iter().map(CertificateDer::from));
                return Loopback::verified(address, host, roots);
            }
            Ok(Err(error)) => failed.push(format!("{address}: {error}")),
            Err(_) => failed.push(format!("{address}: no connection within {} seconds", CONNECT_MAX.as_secs())),
        }
    }
    bail!("{host} cannot be reached ({})", failed.join("; "))
}

/// The addresses of a host. The system's resolver may take as long as it likes, and a flight may not.
async fn resolved<T: Iterator<Item = SocketAddr>>(
    host: &str,
    lookup: impl Future<Output = io::Result<T>>,
) -> anyhow::Result<Vec<SocketAddr>> {
    let answer = timeout(LOOKUP_MAX, lookup).await;
    let answer = answer.with_context(|| format!("{host} was not resolved within {} seconds", LOOKUP_MAX.as_secs()))?;
    let addresses: Vec<_> = answer.with_context(|| format!("{host} cannot be resolved"))?.take(ADDRESSES_MAX).collect();
    ensure!(!addresses.is_empty(), "{host} has no address");
    Ok(addresses)
}

impl Directory {
    async fn read(http: &Loopback, url: &str) -> anyhow::Result<Self> {
        let response = http.send(Method::GET, url, String::new()).await?;
        ensure!(response.status == StatusCode::OK, "the directory was answered with {}", response.status);
        let object: Value = serde_json::from_slice(&response.body).context("the directory is no JSON")?;
        let url = |name: &str| {
            let url = object.get(name).and_then(Value::as_str).map(str::to_owned);
            url.with_context(|| format!("the directory has no {name}"))
        };
        Ok(Self {
            new_nonce: url("newNonce")?,
            new_account: url("newAccount")?,
            new_order: url("newOrder")?,
            revoke: url("revokeCert")?,
        })
    }
}

/// The account of the key; created at the first time.
async fn account(
    plan: &Plan,
    session: &mut Session<'_>,
    key: &AccountKey,
    url: &str,
    progress: &mut Progress,
) -> anyhow::Result<String> {
    let found = match session.post(url, &json!({"onlyReturnExisting": true})).await {
        Err(ObtainError::Refused { kind, .. }) if kind == "accountDoesNotExist" => {
            let mut new = json!({"termsOfServiceAgreed": true});
            if let (Some((id, file)), Value::Object(members)) = (&plan.external_account, &mut new) {
                // The file is wanted once and may be gone afterwards; what is wrong with it is no fault of the service.
                progress.stage = Stage::Preparation;
                let secret = external_account_key(file)?;
                progress.stage = Stage::Account;
                members.insert(String::from("externalAccountBinding"), key.bind(id, &secret, url)?);
            }
            session.post(url, &new).await?
        }
        found => found?,
    };
    found.location.context("newAccount was answered without Location")
}

fn external_account_key(file: &Path) -> anyhow::Result<Vec<u8>> {
    const OPTION: &str = "--external-account-key-file";
    require_private(file, OPTION)?;
    let key = base64url::decode(fs::read_to_string(file)?.trim());
    key.with_context(|| format!("{OPTION}: {} is not base64url", file.display()))
}

/// Answers http-01 of one name and waits for what the server makes of it; nothing if it is proven already.
async fn prove(session: &mut Session<'_>, key: &AccountKey, responder: &Responder, url: &str) -> anyhow::Result<()> {
    let authorization = session.read(url).await?;
    if authorization.member("status") == "valid" {
        return Ok(());
    }
    let text =
        |challenge: &Value, member: &str| challenge.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let offered = authorization.object.get("challenges").and_then(Value::as_array).into_iter().flatten();
    let challenge = offered.into_iter().find(|challenge| text(challenge, "type") == "http-01");
    let challenge = challenge.context("the directory offers no http-01 for the canary's name")?;
    let token = text(challenge, "token");
    responder.answer(&token, &key.key_authorization(&token));
    let _accepted = session.post(&text(challenge, "url"), &json!({})).await?;
    let ended = session.poll(url, &["pending"]).await?;
    if ended.member("status") == "valid" {
        return Ok(());
    }
    let challenges = ended.object.get("challenges").and_then(Value::as_array).into_iter().flatten();
    match challenges.into_iter().find_map(error_of) {
        Some(error) => bail!(error),
        None => bail!("the authorization is {}", ended.member("status")),
    }
}

fn certificates(file: &Path, option: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let found = || -> anyhow::Result<Vec<Vec<u8>>> {
        let certificates = CertificateDer::pem_slice_iter(&fs::read(file)?).collect::<Result<Vec<_>, _>>()?;
        ensure!(!certificates.is_empty(), "there is no certificate in it");
        Ok(certificates.into_iter().map(|one| one.to_vec()).collect())
    };
    found().with_context(|| format!("{option}: cannot read certificates in PEM from {}", file.display()))
}

/// The key in the file, or a new one that is in it from now on.
fn account_key(file: &Path) -> anyhow::Result<AccountKey> {
    const OPTION: &str = "--account-key-file";
    if !file.exists() {
        let pem = KeyPair::generate()?.serialize_pem();
        // Another canary may be first; then its key counts.
        let _made = make_private_file(file, pem.trim_end())
            .with_context(|| format!("{OPTION}: cannot make {}", file.display()))?;
    }
    require_private(file, OPTION)?;
    let pem = fs::read(file).with_context(|| format!("{OPTION}: cannot read {}", file.display()))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(anyhow::Error::new);
    key.and_then(|key| AccountKey::from_pkcs8(key.secret_der())).with_context(|| {
        format!(
            "{OPTION}: {0} holds no key of an account (P-256, PKCS #8 in PEM); bring back the one that was there, or \
             move {0} away: the canary then makes another key, and its account is a new one, which a registered \
             endpoint takes with --external-account-key-id and --external-account-key-file only",
            file.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::{future::pending, os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;
    use crate::random;

    fn folder() -> PathBuf {
        let name: String = random::octets::<8>().iter().map(|octet| format!("{octet:02x}")).collect();
        let folder = std::env::temp_dir().join(format!("acme-gateway-canary-{name}"));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn the_key_of_the_account_is_made_whole_and_stays() {
        let folder = folder();
        let file = folder.join("account.key");
        let key = account_key(&file).unwrap().key_authorization("abc");
        assert_eq!(account_key(&file).unwrap().key_authorization("abc"), key);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_without_a_key_is_left_alone_and_told_with_what_to_do() {
        let folder = folder();
        let file = folder.join("account.key");
        for text in ["", "no key", &rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem()] {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let refused = account_key(&file).err().expect("there is no key in it");
            let said = format!("{refused:#}");
            assert!(said.contains("--account-key-file") && said.contains("away"), "{said}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_url_of_a_directory_is_refused_by_the_option() {
        assert_eq!(host("https://a.test/directory").unwrap(), (String::from("a.test"), 443));
        assert_eq!(host("https://[::1]:8443/directory").unwrap(), (String::from("::1"), 8443));
        for wrong in ["http://a.test/directory", "a.test", "", "https://"] {
            assert!(format!("{:#}", host(wrong).unwrap_err()).starts_with("--directory: "), "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_says_nothing_ends_the_stage() {
        let silent = resolved("a.test", pending::<io::Result<std::vec::IntoIter<SocketAddr>>>());
        let silent = timeout(LOOKUP_MAX * 2, silent).await.expect("an end");
        assert_eq!(silent.unwrap_err().to_string(), "a.test was not resolved within 10 seconds");
        let none = resolved("a.test", async { Ok(Vec::new().into_iter()) }).await;
        assert_eq!(none.unwrap_err().to_string(), "a.test has no address");
        let refused = resolved::<std::vec::IntoIter<_>>("a.test", async { Err(io::ErrorKind::NotFound.into()) }).await;
        assert_eq!(refused.unwrap_err().to_string(), "a.test cannot be resolved");
    }
}

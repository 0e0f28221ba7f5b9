//! One certificate, stage after stage (RFC 8555 §7).

use std::{fs, io::Write as _, net::ToSocketAddrs as _, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use acme::base64url;
use anyhow::{Context as _, bail, ensure};
use http::{Method, StatusCode, Uri};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

use super::{Plan, Stage, responder::Responder};
use crate::{
    clock,
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
/// For one address.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The resources that a flight needs.
struct Directory {
    new_nonce: String,
    new_account: String,
    new_order: String,
    revoke: String,
}

pub(super) async fn fly(plan: &Plan, stage: &mut Stage) -> anyhow::Result<()> {
    let key = account_key(&plan.account_key_file)?;
    let anchors = certificates(&plan.roots_file)?;
    let responder = Responder::listen(&plan.listen).await?;

    *stage = Stage::Directory;
    let http = dial(plan).await?;
    let directory = Directory::read(&http, &plan.directory).await?;

    *stage = Stage::Account;
    let mut session = Session::new(http, &key, directory.new_nonce.clone());
    let account = account(plan, &mut session, &key, &directory.new_account).await?;
    session.log_in(account);

    *stage = Stage::Order;
    let wanted = json!({"identifiers": [{"type": "dns", "value": plan.name}]});
    let order = session.post(&directory.new_order, &wanted).await?;
    let url = order.location.clone().context("newOrder was answered without Location")?;

    *stage = Stage::Proof;
    for authorization in order.texts("authorizations") {
        prove(&mut session, &key, &responder, &authorization).await?;
    }
    let ready = session.poll(&url, &["pending"]).await?;
    ensure!(ready.member("status") == "ready", "the order is {}", ready.member("status"));

    *stage = Stage::Certificate;
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
        *stage = Stage::Revocation;
        let leaf = CertificateDer::pem_slice_iter(pair.1.as_bytes()).next().context("there is no certificate")??;
        let revocation = json!({"certificate": base64url::encode(&leaf), "reason": REASON});
        let _revoked = session.post(&directory.revoke, &revocation).await?;
    }
    Ok(())
}

/// The directory's own host, by the system's resolver, as clients go there: its first address that can be reached.
async fn dial(plan: &Plan) -> anyhow::Result<Loopback> {
    const HTTPS: u16 = 443;
    let uri: Uri = plan.directory.parse().context("the URL of the directory")?;
    ensure!(uri.scheme_str() == Some("https"), "the URL of the directory begins with https://");
    let host = uri.host().context("the URL of the directory has no host")?;
    let name = host.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(HTTPS);
    let addresses = (name, port).to_socket_addrs().with_context(|| format!("{name} cannot be resolved"))?;
    let mut reached = None;
    for address in addresses {
        if timeout(CONNECT_MAX, TcpStream::connect(address)).await.is_ok_and(|connected| connected.is_ok()) {
            reached = Some(address);
            break;
        }
    }
    let address = reached.with_context(|| format!("no address of {name} can be reached at port {port}"))?;
    let mut roots = RootCertStore::empty();
    let trusted = certificates(&plan.ca_file)?;
    let _usable = roots.add_parsable_certificates(trusted.into_iter().map(CertificateDer::from));
    Loopback::verified(address, name, roots)
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
async fn account(plan: &Plan, session: &mut Session<'_>, key: &AccountKey, url: &str) -> anyhow::Result<String> {
    let found = match session.post(url, &json!({"onlyReturnExisting": true})).await {
        Err(ObtainError::Refused { kind, .. }) if kind == "accountDoesNotExist" => {
            let mut new = json!({"termsOfServiceAgreed": true});
            if let (Some((id, file)), Value::Object(members)) = (&plan.external_account, &mut new) {
                require_private(file, "--external-account-key-file")?;
                let secret = base64url::decode(fs::read_to_string(file)?.trim()).context("it is not base64url")?;
                members.insert(String::from("externalAccountBinding"), key.bind(id, &secret, url)?);
            }
            session.post(url, &new).await?
        }
        found => found?,
    };
    found.location.context("newAccount was answered without Location")
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

fn certificates(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let found = || -> anyhow::Result<Vec<Vec<u8>>> {
        let certificates = CertificateDer::pem_slice_iter(&fs::read(file)?).collect::<Result<Vec<_>, _>>()?;
        ensure!(!certificates.is_empty(), "there is no certificate in it");
        Ok(certificates.into_iter().map(|one| one.to_vec()).collect())
    };
    found().with_context(|| format!("cannot read {}", file.display()))
}

/// The key in the file, or a new one that is in it from now on.
fn account_key(file: &Path) -> anyhow::Result<AccountKey> {
    const MODE: u32 = 0o600;
    if !file.exists() {
        let pem = KeyPair::generate()?.serialize_pem();
        let mut made = fs::File::options().write(true).create_new(true).mode(MODE).open(file);
        let written = made.as_mut().map_err(|error| std::io::Error::from(error.kind())).and_then(|file| {
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        });
        written.with_context(|| format!("cannot write {}", file.display()))?;
    }
    require_private(file, "--account-key-file")?;
    let pem = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    AccountKey::from_pkcs8(PrivateKeyDer::from_pem_slice(&pem)?.secret_der())
}

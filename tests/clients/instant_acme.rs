//! The crate `instant-acme`, called here as any Rust program would call it.

use std::{fs, future::Future, path::PathBuf, time::Duration};

use ::openssl::x509::X509;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy, RevocationReason, RevocationRequest,
};
use serde_json::json;
use tests::world::World;

use super::{
    command::{expect_words, write},
    openssl,
    origin::{INSTANT_ACME, OPENSSL},
    scenario::{Failure, Lane},
    webroot,
};

/// How long it waits for the server, as it waits by default.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(60));

/// Clients that nobody knows beforehand.
pub(crate) fn open(world: &World) -> Lane<'_> {
    Lane::new(world, "instant-acme-open", 81)
        .with_web_server()
        .with(INSTANT_ACME, "http-01, two names, request without CN", |lane| {
            let names = ["i1.instant.test", "i2.instant.test"];
            wait(async {
                let account = account(lane, "open", None).await?;
                issue(lane, &account, &names, None).await
            })?;
            check(lane, &["DNS:i1.instant.test", "DNS:i2.instant.test", "prime256v1"])
        })
        .with(INSTANT_ACME, "the account from its saved credentials, a profile", |lane| {
            wait(async {
                let account = saved(lane).await?;
                let profiles: Vec<String> = account.profiles().map(|profile| profile.name.to_owned()).collect();
                let profile = profiles.first().ok_or("the directory has no profiles")?;
                issue(lane, &account, &["i3.instant.test"], Some(profile)).await
            })?;
            check(lane, &["DNS:i3.instant.test"])
        })
        .with(INSTANT_ACME, "revoke: superseded", |lane| {
            let der = leaf(lane)?;
            wait(async {
                let request = RevocationRequest {
                    certificate: &der.as_slice().into(),
                    reason: Some(RevocationReason::Superseded),
                };
                saved(lane).await?.revoke(&request).await.map_err(words)
            })
        })
        .with(OPENSSL, "OCSP says revoked, CRL lists it (by instant-acme)", |lane| {
            openssl::revoked(lane, &lane.dir.join("chain.pem"))
        })
        .with(INSTANT_ACME, "an authorization given up makes the order invalid", |lane| {
            wait(async {
                let account = saved(lane).await?;
                let mut order = order(&account, &["i4.instant.test"], None).await?;
                let mut authorizations = order.authorizations();
                let mut authorization = authorizations.next().await.ok_or("no authorization")?.map_err(words)?;
                let status = authorization.deactivate().await.map_err(words)?.status;
                let order = order.refresh().await.map_err(words)?.status;
                match (status, order) {
                    (AuthorizationStatus::Deactivated, OrderStatus::Invalid) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
        })
        .with(INSTANT_ACME, "says what an order replaces (ARI), once only", |lane| {
            let names = ["i3.instant.test"];
            wait(async {
                let account = saved(lane).await?;
                issue(lane, &account, &names, None).await?;
                let identifiers = names.map(|name| Identifier::Dns(name.to_owned()));
                let id = certificate_id(lane)?;
                let replacing = || NewOrder::new(&identifiers).replaces(id.clone());
                let order = account.new_order(&replacing()).await.map_err(words)?;
                complete(lane, order, &names).await?;
                let refused = account.new_order(&replacing()).await.map(drop).map_err(words).err();
                expect_words(&refused.unwrap_or_default(), &["alreadyReplaced"])
            })
        })
        .with(INSTANT_ACME, "a new account key", |lane| {
            wait(async {
                let before = saved(lane).await?;
                let mut account = saved(lane).await?;
                save(lane, &account.update_key().await.map_err(words)?)?;
                issue(lane, &saved(lane).await?, &["i6.instant.test"], None).await?;
                let refused = order(&before, &["i6.instant.test"], None).await.err();
                expect_words(&refused.unwrap_or_default(), &["urn:ietf:params:acme:error:"])
            })
        })
        .with(INSTANT_ACME, "account update and deactivation", |lane| {
            wait(async {
                let account = saved(lane).await?;
                account.update_contacts(&["mailto:new@instant.test"]).await.map_err(words)?;
                account.deactivate().await.map_err(words)?;
                let refused = order(&saved(lane).await?, &["i5.instant.test"], None).await.err();
                expect_words(&refused.unwrap_or_default(), &["unauthorized"])
            })
        })
}

/// Clients that an officer registered.
pub(crate) fn registered(world: &World) -> Lane<'_> {
    let rules = json!([{"type": "dns", "match": "suffix", "value": "instant-reg.test"}]);
    let allowed = json!({"allowedIdentifiers": {"mode": "listed", "rules": rules}});
    Lane::new(world, "instant-acme-registered", 82)
        .with_web_server()
        .with_external_account(world.officer().preregister(&allowed))
        .with(INSTANT_ACME, "registered: an allowed name, with EAB", |lane| {
            let external = lane.external_account.as_ref().expect("the lane has an external account");
            let key = ExternalAccountKey::new(external.kid.clone(), &external.secret);
            wait(async {
                let account = account(lane, "registered", Some(&key)).await?;
                issue(lane, &account, &["www.instant-reg.test"], None).await
            })?;
            check(lane, &["DNS:www.instant-reg.test"])
        })
        .with(INSTANT_ACME, "registered: refused outside the list, rule named", |lane| {
            let refused = wait(async { order(&saved(lane).await?, &["www.other.test"], None).await.map(drop) }).err();
            expect_words(&refused.unwrap_or_default(), &["www.other.test", "identifier.not-listed"])
        })
}

/// Runs to the end what a program would do, in a thread of the lane.
fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let limit = tokio::time::timeout(Duration::from_secs(120), work).await;
        limit.map_err(|_| "not within 120 s".to_owned())?
    })
}

fn words(error: Error) -> Failure {
    format!("{error}: {error:?}")
}

/// A new account, whose credentials are saved.
async fn account(lane: &Lane<'_>, endpoint: &str, external: Option<&ExternalAccountKey>) -> Result<Account, Failure> {
    let new = NewAccount {
        contact: &["mailto:admin@quickstart.test"],
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let builder = Account::builder_with_root(lane.ca_file()).map_err(words)?;
    let (account, credentials) = builder.create(&new, lane.directory(endpoint), external).await.map_err(words)?;
    save(lane, &credentials)?;
    Ok(account)
}

fn save(lane: &Lane<'_>, credentials: &AccountCredentials) -> Result<(), Failure> {
    let text = serde_json::to_string(credentials).map_err(|error| error.to_string())?;
    write(&credentials_file(lane), &text)
}

async fn saved(lane: &Lane<'_>) -> Result<Account, Failure> {
    let text = fs::read(credentials_file(lane)).map_err(|error| error.to_string())?;
    let credentials = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let builder = Account::builder_with_root(lane.ca_file()).map_err(words)?;
    builder.from_credentials(credentials).await.map_err(words)
}

fn credentials_file(lane: &Lane<'_>) -> PathBuf {
    lane.dir.join("credentials.json")
}

async fn order(account: &Account, names: &[&str], profile: Option<&str>) -> Result<Order, Failure> {
    let identifiers: Vec<Identifier> = names.iter().map(|name| Identifier::Dns((*name).to_owned())).collect();
    let mut new = NewOrder::new(&identifiers);
    if let Some(profile) = profile {
        new = new.profile(profile);
    }
    account.new_order(&new).await.map_err(words)
}

/// A certificate for names that lead to this lane, in `chain.pem`.
async fn issue(lane: &Lane<'_>, account: &Account, names: &[&str], profile: Option<&str>) -> Result<(), Failure> {
    lane.resolve(names);
    complete(lane, order(account, names, profile).await?, names).await
}

async fn complete(lane: &Lane<'_>, mut order: Order, names: &[&str]) -> Result<(), Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(words)?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(ChallengeType::Http01).ok_or("there is no http-01")?;
        let file = webroot::challenges(lane).join(&challenge.token);
        write(&file, challenge.key_authorization().as_str())?;
        challenge.set_ready().await.map_err(words)?;
    }
    let status = order.poll_ready(&PATIENCE).await.map_err(words)?;
    if status != OrderStatus::Ready {
        return Err(format!("the order is {status:?}"));
    }
    let (_, csr) = openssl::request(lane, &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], names)?;
    order.finalize_csr(&der(&csr)?).await.map_err(words)?;
    write(&lane.dir.join("chain.pem"), &order.poll_certificate(&PATIENCE).await.map_err(words)?)
}

fn check(lane: &Lane<'_>, wanted: &[&str]) -> Result<(), Failure> {
    let chain = lane.dir.join("chain.pem");
    openssl::verify(lane, &chain, &chain)?;
    openssl::shows(lane, &chain, wanted)
}

/// What renewal information calls the certificate that was issued last (RFC 9773 §4.1).
fn certificate_id(lane: &Lane<'_>) -> Result<CertificateIdentifier<'static>, Failure> {
    let leaf = X509::from_der(&leaf(lane)?).map_err(|error| error.to_string())?;
    let key_id = leaf.authority_key_id().ok_or("no authority key identifier")?;
    let mut serial = leaf.serial_number().to_bn().map_err(|error| error.to_string())?.to_vec();
    // A DER integer whose first bit is set would be negative.
    if serial.first().is_some_and(|first| *first >= 0x80) {
        serial.insert(0, 0);
    }
    let (key_id, serial) = (tests::base64url(key_id.as_slice()), tests::base64url(serial));
    Ok(CertificateIdentifier { authority_key_identifier: key_id.into(), serial: serial.into() })
}

fn leaf(lane: &Lane<'_>) -> Result<Vec<u8>, Failure> {
    der(&lane.dir.join("chain.pem"))
}

/// What the first block of a PEM file holds.
fn der(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines = text.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
    let body: String = lines.take_while(|line| !line.starts_with("-----END")).collect();
    STANDARD.decode(body).map_err(|error| format!("{}: {error}", file.display()))
}

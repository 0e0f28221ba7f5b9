//! The gateway as an ACME client of one of its own endpoints (RFC 8555 §7): account, order, tls-alpn-01,
//! certificate. It has no right that another account would not have.

use std::{fs, sync::Arc};

use acme::{base64url, certificate::CertificateId};
use anyhow::Context as _;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::{Value, json};

use super::{
    challenge::{Answer as Shown, Challenges},
    files::{Files, UnderWay},
    loopback::Loopback,
    session::{Answer, ObtainError, Session, error_of},
    signing::AccountKey,
    soundness::require_sound,
};
use crate::{
    app::{App, Endpoint},
    clock,
    settings::require_private,
};

/// What a try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Another certificate is in use.
    Installed,
    /// The order is finalized and the CM has not decided; the next try asks for the same order.
    Waiting,
}

/// The certificate to be had.
pub(super) struct Client<'a> {
    pub(super) app: &'a App,
    pub(super) endpoint: &'a Endpoint,
    pub(super) names: &'a [String],
    pub(super) files: Files<'a>,
    pub(super) challenges: &'a Arc<Challenges>,
}

impl Client<'_> {
    /// Obtains a certificate and puts it into use, or goes on with the order that is under way.
    pub(super) async fn obtain(&self, replaces: Option<&CertificateId>) -> Result<Progress, ObtainError> {
        let key = AccountKey::from_pkcs8(self.files.account_key()?.secret_pkcs8_der())?;
        let mut session = Session::new(self.loopback()?, &key, self.endpoint.links.new_nonce());
        let account = self.account(&mut session, &key).await?;
        session.log_in(account);
        if let Some(under_way) = self.files.under_way() {
            if under_way.names == self.names && self.is_alive(&mut session, &under_way).await? {
                return self.fetch(&mut session, &under_way).await;
            }
            self.files.forget_under_way()?;
        }
        let (order, finalize) = self.order(&mut session, &key, replaces).await?;
        let certificate_key = KeyPair::generate().map_err(anyhow::Error::from)?;
        let csr = self.request(&certificate_key)?;
        let under_way = UnderWay { url: order, names: self.names.to_vec(), key_pem: certificate_key.serialize_pem() };
        // Before it is sent: a certificate whose key is lost would be of no use to anybody.
        self.files.keep_under_way(&under_way)?;
        let _processing = session.post(&finalize, &json!({"csr": base64url::encode(csr)})).await?;
        self.fetch(&mut session, &under_way).await
    }

    /// The account of the key in our folder; created at the first time, by the external account key if the endpoint
    /// wants one.
    async fn account(&self, session: &mut Session<'_>, key: &AccountKey) -> Result<String, ObtainError> {
        let url = self.endpoint.links.new_account();
        let found = match session.post(&url, &json!({"onlyReturnExisting": true})).await {
            Err(ObtainError::Refused { kind, .. }) if kind == "accountDoesNotExist" => {
                let mut new = json!({"termsOfServiceAgreed": true});
                if let (Some(binding), Value::Object(members)) = (self.binding(key, &url)?, &mut new) {
                    members.insert(String::from("externalAccountBinding"), binding);
                }
                session.post(&url, &new).await?
            }
            found => found?,
        };
        Ok(found.location.context("newAccount was answered without Location")?)
    }

    fn binding(&self, key: &AccountKey, url: &str) -> anyhow::Result<Option<Value>> {
        const SETTING: &str = "server_certificate.external_account_key_file";
        let settings = &self.app.settings.server_certificate;
        let (Some(id), Some(file)) = (&settings.external_account_key_id, &settings.external_account_key_file) else {
            return Ok(None);
        };
        require_private(file, SETTING)?;
        let text = fs::read_to_string(file).with_context(|| format!("{SETTING}: cannot read {}", file.display()))?;
        let secret = base64url::decode(text.trim())
            .with_context(|| format!("{SETTING}: {} does not hold a key in base64url", file.display()))?;
        key.bind(id, &secret, url).map(Some)
    }

    /// Whether an order that was finalized may still end well.
    async fn is_alive(&self, session: &mut Session<'_>, order: &UnderWay) -> Result<bool, ObtainError> {
        match session.read(&order.url).await {
            Ok(answer) => Ok(["processing", "valid"].contains(&answer.member("status"))),
            // Lost with the store, or of another account.
            Err(ObtainError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An order whose names are proven: its URL, and where it is finalized.
    async fn order(
        &self,
        session: &mut Session<'_>,
        key: &AccountKey,
        replaces: Option<&CertificateId>,
    ) -> Result<(String, String), ObtainError> {
        let identifiers: Vec<_> = self.names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let mut wanted = json!({"identifiers": identifiers});
        if let (Some(id), Value::Object(members)) = (replaces, &mut wanted) {
            members.insert(String::from("replaces"), id.as_str().into());
        }
        let order = session.post(&self.endpoint.links.new_order(), &wanted).await?;
        let url = order.location.clone().context("newOrder was answered without Location")?;
        let mut shown = Vec::new();
        for authorization in order.texts("authorizations") {
            shown.extend(self.respond(session, key, &authorization).await?);
        }
        let proven = session.poll(&url, &["pending"]).await?;
        drop(shown);
        if proven.member("status") != "ready" {
            return Err(why_not_proven(session, &proven).await);
        }
        Ok((url, proven.member("finalize").to_owned()))
    }

    /// Shows what proves control of one name and says so; nothing if it is proven already.
    async fn respond(
        &self,
        session: &mut Session<'_>,
        key: &AccountKey,
        url: &str,
    ) -> Result<Option<Shown>, ObtainError> {
        let authorization = session.read(url).await?;
        if authorization.member("status") == "valid" {
            return Ok(None);
        }
        let name = authorization.object.pointer("/identifier/value").and_then(Value::as_str).unwrap_or_default();
        let challenge = challenges(&authorization.object).find(|challenge| text(challenge, "type") == "tls-alpn-01");
        let Some(challenge) = challenge else {
            let reason = format!("endpoint {} offers no tls-alpn-01 for {name}", self.endpoint.name);
            return Err(ObtainError::Refused { kind: String::new(), reason });
        };
        let shown = self.challenges.show(name, &key.challenge_digest(text(challenge, "token")))?;
        let _accepted = session.post(text(challenge, "url"), &json!({})).await?;
        Ok(Some(shown))
    }

    fn request(&self, key: &KeyPair) -> anyhow::Result<Vec<u8>> {
        let mut parameters = CertificateParams::new(self.names.to_vec())?;
        parameters.distinguished_name = DistinguishedName::new();
        Ok(parameters.serialize_request(key)?.der().to_vec())
    }

    /// Waits a while for the certificate, looks at it, and puts it into use.
    async fn fetch(&self, session: &mut Session<'_>, order: &UnderWay) -> Result<Progress, ObtainError> {
        let ended = session.poll(&order.url, &["processing"]).await?;
        match ended.member("status") {
            "processing" => return Ok(Progress::Waiting),
            "valid" => {}
            other => {
                self.files.forget_under_way()?;
                let reason = format!("the order is {other}");
                return Err(error_of(&ended.object).unwrap_or(ObtainError::Refused { kind: String::new(), reason }));
            }
        }
        let chain = session.read(ended.member("certificate")).await?.text;
        if let Err(error) = require_sound((&order.key_pem, &chain), self.names, &self.app.anchors, clock::now()) {
            self.files.forget_under_way()?;
            let reason = format!("the certificate that came back cannot be used: {error:#}");
            return Err(ObtainError::Refused { kind: String::new(), reason });
        }
        self.files.install(&order.key_pem, &chain)?;
        self.files.forget_under_way()?;
        Ok(Progress::Installed)
    }

    fn loopback(&self) -> anyhow::Result<Loopback> {
        let server = &self.app.settings.server;
        let listener = *server.listen.first().context("server.listen: there is no address")?;
        Loopback::new(listener, server.external_url.host(), self.files.shown_leaf()?)
    }
}

fn text<'v>(object: &'v Value, member: &str) -> &'v str {
    object.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn challenges(authorization: &Value) -> impl Iterator<Item = &Value> {
    authorization.get("challenges").and_then(Value::as_array).into_iter().flatten()
}

/// What the validator found, of the first name that was not proven.
async fn why_not_proven(session: &mut Session<'_>, order: &Answer) -> ObtainError {
    for url in order.texts("authorizations") {
        let Ok(authorization) = session.read(&url).await else { continue };
        if let Some(error) = challenges(&authorization.object).find_map(error_of) {
            return error;
        }
    }
    let reason = format!("control was not proven; the order is {}", order.member("status"));
    ObtainError::Refused { kind: String::new(), reason }
}

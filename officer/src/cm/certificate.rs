//! Certificates as officers see, revoke and reinstate them (CM contract sections 4.5 and 4.6).

use acme::certificate::CertificateId;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Cm, JSON, List};
use crate::error::Failure;

const CHAIN: &str = "application/pem-certificate-chain, application/problem+json";

/// A certificate: what tables show of it, and all that the CM said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Certificate {
    pub(crate) view: View,
    pub(crate) json: Value,
}

/// The members of a certificate that people look at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) serial: String,
    pub(crate) sha256: String,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
    #[serde(default)]
    pub(crate) issuer: String,
    #[serde(default)]
    pub(crate) identifiers: Vec<Name>,
    #[serde(default)]
    pub(crate) registration: Option<String>,
    #[serde(default)]
    pub(crate) profile: Option<String>,
    #[serde(default)]
    pub(crate) order_ref: Option<String>,
    #[serde(default)]
    pub(crate) revocation: Option<Revocation>,
}

/// An identifier.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Name {
    pub(crate) value: String,
}

/// Who revoked it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) at: String,
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) by: Option<String>,
}

/// What an officer says with a revocation.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) reason: &'static str,
    pub(crate) comment: Option<String>,
    pub(crate) block_key: bool,
    pub(crate) invalidity_date: Option<String>,
}

impl Certificate {
    /// Takes what the CM said.
    ///
    /// # Errors
    /// [`Failure::Broken`] if it lacks what every certificate has.
    pub(crate) fn of(json: Value) -> Result<Self, Failure> {
        let view = View::deserialize(&json)
            .map_err(|error| Failure::Broken(format!("the CM's certificate is not understood: {error}")))?;
        Ok(Self { view, json })
    }

    /// Its names in one line.
    pub(crate) fn names(&self) -> String {
        self.view.identifiers.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Cm {
    /// The certificates that fit. `query` is in the contract's words (section 4.5).
    pub(crate) async fn certificates(&self, query: Vec<(&'static str, String)>, limit: usize) -> Result<List, Failure> {
        self.list("certificates", query, limit).await
    }

    /// One certificate.
    pub(crate) async fn certificate(&self, id: &str) -> Result<Certificate, Failure> {
        Certificate::of(self.read(self.certificate_path(id, "")?).await?)
    }

    /// Its chain in PEM, leaf first: the default one, or another by its id.
    pub(crate) async fn chain(&self, id: &str, chain: Option<String>) -> Result<String, Failure> {
        let query = chain.map(|chain| ("chain", chain)).into_iter().collect();
        let call = Call { accept: CHAIN, query, ..Call::new(Method::GET, self.certificate_path(id, "")?) };
        self.send(&call).await?.text()
    }

    /// Revokes it. `key` makes a repeat of the very same request harmless.
    pub(crate) async fn revoke(&self, certificate: &View, verdict: &Verdict, key: String) -> Result<Value, Failure> {
        let mut body = json!({
            "reason": verdict.reason,
            "basis": {"type": "officer"},
            "certificateSha256": certificate.sha256,
            "blockKey": verdict.block_key,
        });
        let more = [("comment", &verdict.comment), ("invalidityDate", &verdict.invalidity_date)];
        if let Some(members) = body.as_object_mut() {
            let said = more.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.as_deref()?.into())));
            members.extend(said);
        }
        let path = self.certificate_path(&certificate.id, "/revoke")?;
        self.send(&Call::new(Method::POST, path).with_body(JSON, &body).once(key)).await?.json()
    }

    /// Takes a hold away.
    pub(crate) async fn reinstate(&self, id: &str) -> Result<Value, Failure> {
        let call = Call::new(Method::POST, self.certificate_path(id, "/reinstate")?);
        self.send(&call).await?.json()
    }

    fn certificate_path(&self, id: &str, rest: &str) -> Result<String, Failure> {
        let id =
            CertificateId::parse(id).map_err(|reason| Failure::Usage(format!("the id of a certificate: {reason}")))?;
        Ok(self.of_realm(&format!("certificates/{id}{rest}")))
    }
}

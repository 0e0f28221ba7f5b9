//! Certificate requests as officers see and approvers decide them (CM contract section 4.4).

use acme::ids::CertificateRequestId;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Cm, JSON, List, certificate::Name};
use crate::error::Failure;

/// The members of a certificate request that people look at. What it asks for is shown by a CM of
/// version 1.4; one before it shows names only once there is a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    pub(crate) id: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) registration: String,
    #[serde(default)]
    pub(crate) order_ref: String,
    #[serde(default)]
    pub(crate) profile: String,
    #[serde(default)]
    pub(crate) received_at: String,
    #[serde(default)]
    pub(crate) decide_by: Option<String>,
    #[serde(default)]
    pub(crate) identifiers: Vec<Name>,
    #[serde(default)]
    pub(crate) spki_sha256: Option<String>,
    #[serde(default)]
    pub(crate) not_before: Option<String>,
    #[serde(default)]
    pub(crate) not_after: Option<String>,
    #[serde(default)]
    pub(crate) replaces: Option<String>,
    /// Waivers by which control of names was not proven.
    #[serde(default)]
    pub(crate) waivers: Vec<String>,
}

impl View {
    /// Takes what the CM said.
    ///
    /// # Errors
    /// [`Failure::Broken`] if it lacks what every request has.
    pub(crate) fn of(json: &Value) -> Result<Self, Failure> {
        Self::deserialize(json)
            .map_err(|error| Failure::Broken(format!("the CM's certificate request is not understood: {error}")))
    }

    /// The names that it asks for in one line.
    pub(crate) fn names(&self) -> String {
        self.identifiers.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Cm {
    /// The requests with this status, oldest first.
    pub(crate) async fn requests(&self, status: &str, limit: usize) -> Result<List, Failure> {
        self.list("certificate-requests", vec![("status", status.to_owned())], limit).await
    }

    /// One request.
    pub(crate) async fn request(&self, id: &str) -> Result<Value, Failure> {
        self.read(self.request_path(id, "")?).await
    }

    /// What was asked for under an ACME order: one request, unless the CM breaks its contract.
    pub(crate) async fn requests_of_order(&self, order: &str) -> Result<Vec<Value>, Failure> {
        Ok(self.list("certificate-requests", vec![("orderRef", order.to_owned())], 10).await?.items)
    }

    /// Decides a request: `approve` or `reject`. The same decision again is harmless.
    pub(crate) async fn decide(
        &self,
        id: &str,
        decision: &str,
        words: [(&str, Option<&str>); 2],
    ) -> Result<Value, Failure> {
        let mut body = json!({});
        if let Some(members) = body.as_object_mut() {
            members.extend(words.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.into()))));
        }
        let path = self.request_path(id, &format!("/{decision}"))?;
        let mut call = Call::new(Method::POST, path).with_body(JSON, &body);
        call.repeatable = true;
        self.send(&call).await?.json()
    }

    fn request_path(&self, id: &str, rest: &str) -> Result<String, Failure> {
        let id: CertificateRequestId =
            id.parse().map_err(|reason| Failure::Usage(format!("the id of a certificate request {reason}")))?;
        Ok(self.of_realm(&format!("certificate-requests/{id}{rest}")))
    }
}

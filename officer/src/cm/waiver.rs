//! Waivers as officers propose and approvers decide them (CM contract section 4.3, Waivers).

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Cm, JSON, List};
use crate::{
    allowlist::{self, Entry},
    error::Failure,
};

/// What the CM can do that has them.
const CAPABILITY: &str = "waivers";
/// The method in a profile that lets them count.
pub(crate) const METHOD: &str = "waived";

/// The members of a waiver that people look at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    pub(crate) id: String,
    pub(crate) registration: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) identifiers: Vec<Value>,
    #[serde(default)]
    pub(crate) evidence: Evidence,
    pub(crate) not_after: String,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) proposed_by: String,
    #[serde(default)]
    pub(crate) proposed_at: String,
    #[serde(default)]
    pub(crate) decided_by: Option<String>,
    #[serde(default)]
    pub(crate) decided_at: Option<String>,
    #[serde(default)]
    pub(crate) decision_reason: Option<String>,
}

/// What the client has to show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Evidence {
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    #[serde(default)]
    pub(crate) client_certificates: Vec<String>,
}

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// Names that it is about.
    pub(crate) names: Vec<Entry>,
    /// Address blocks, one of which the request has to come from.
    pub(crate) addresses: Vec<String>,
    /// SHA-256 digests of public keys, one of which the client has to prove to hold.
    pub(crate) client_certificates: Vec<String>,
    /// When it ends, RFC 3339.
    pub(crate) not_after: String,
    /// Why.
    pub(crate) reason: String,
}

/// What becomes of a waiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Let it count.
    Approve,
    /// Do not.
    Reject,
    /// Take it back, before or after it was approved.
    Withdraw,
}

impl Decision {
    const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Withdraw => "withdraw",
        }
    }
}

impl View {
    /// Takes what the CM said.
    ///
    /// # Errors
    /// [`Failure::Broken`] if it lacks what every waiver has.
    pub(crate) fn of(json: &Value) -> Result<Self, Failure> {
        Self::deserialize(json).map_err(|error| Failure::Broken(format!("the CM's waiver is not understood: {error}")))
    }

    /// The names that it is about, as entries of a list are written, one a line.
    pub(crate) fn names(&self) -> String {
        allowlist::lines(&json!({"mode": "listed", "rules": self.identifiers}))
    }

    /// What the client has to show, in words.
    pub(crate) fn shows(&self) -> String {
        let Evidence { addresses, client_certificates } = &self.evidence;
        let by_address = (!addresses.is_empty()).then(|| format!("a request from {}", addresses.join(" or ")));
        let by_key = (!client_certificates.is_empty())
            .then(|| format!("a client certificate with the key {}", client_certificates.join(" or ")));
        by_address.into_iter().chain(by_key).collect::<Vec<_>>().join(", and ")
    }

    /// Whether it counted at this time, which is the CM's.
    pub(crate) fn is_over(&self, now: acme::time::Timestamp) -> bool {
        self.not_after.parse::<acme::time::Timestamp>().is_ok_and(|end| end <= now)
    }

    /// Where it stands, and whether its time is over.
    pub(crate) fn standing(&self, now: acme::time::Timestamp) -> String {
        let counted = matches!(self.status.as_str(), "proposed" | "approved");
        if counted && self.is_over(now) { format!("{}, ended", self.status) } else { self.status.clone() }
    }
}

impl Proposal {
    /// In the contract's words.
    pub(crate) fn body(&self) -> Value {
        json!({
            "identifiers": self.names,
            "evidence": {"addresses": self.addresses, "clientCertificates": self.client_certificates},
            "notAfter": self.not_after,
            "reason": self.reason,
        })
    }
}

impl Cm {
    /// Whether the CM has waivers.
    ///
    /// # Errors
    /// [`Failure::Refused`] if it has none.
    pub(crate) async fn must_offer_waivers(&self) -> Result<(), Failure> {
        self.must_offer(CAPABILITY, "waivers of challenges").await
    }

    /// The waivers with this status, of one registration or of all, oldest first.
    pub(crate) async fn waivers(
        &self,
        registration: Option<&str>,
        status: Option<&str>,
        limit: usize,
    ) -> Result<List, Failure> {
        let Some(registration) = registration else {
            return self
                .list("waivers", status.map(|status| ("status", status.to_owned())).into_iter().collect(), limit)
                .await;
        };
        let path = self.registration_path(registration, "/waivers")?;
        let mut list = self.pages(&path, Vec::new(), limit).await?;
        list.items.retain(|item| status.is_none_or(|status| item.get("status").is_some_and(|found| found == status)));
        Ok(list)
    }

    /// One waiver, whosesoever it is.
    ///
    /// # Errors
    /// [`Failure::NotFound`] if there is none.
    pub(crate) async fn waiver(&self, id: &str) -> Result<Value, Failure> {
        let id: acme::ids::WaiverId =
            id.parse().map_err(|reason| Failure::Usage(format!("the id of a waiver {reason}")))?;
        let found = self.list("waivers", vec![("id", id.to_string())], 1).await?.items.pop();
        found.ok_or_else(|| Failure::NotFound(format!("there is no waiver {id}; look at waivers list")))
    }

    /// Proposes a waiver. `key` makes a repeat of the very same proposal harmless.
    pub(crate) async fn propose_waiver(
        &self,
        registration: &str,
        proposal: &Proposal,
        key: String,
    ) -> Result<Value, Failure> {
        let path = self.registration_path(registration, "/waivers")?;
        self.send(&Call::new(Method::POST, path).with_body(JSON, &proposal.body()).once(key)).await?.json()
    }

    /// Decides about a waiver. The same decision again is harmless.
    pub(crate) async fn decide_waiver(
        &self,
        waiver: &View,
        decision: Decision,
        reason: Option<&str>,
    ) -> Result<Value, Failure> {
        let id: acme::ids::WaiverId =
            waiver.id.parse().map_err(|reason| Failure::Broken(format!("the id of the CM's waiver {reason}")))?;
        let path = self.registration_path(&waiver.registration, &format!("/waivers/{id}/{}", decision.word()))?;
        let body = reason.map_or_else(|| json!({}), |reason| json!({"reason": reason}));
        let mut call = Call::new(Method::POST, path).with_body(JSON, &body);
        call.repeatable = true;
        self.send(&call).await?.json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        json!({"id": "wav_1", "registration": "reg_1", "status": "approved",
               "identifiers": [{"type": "dns", "match": "suffix", "value": "printers.example.com", "wildcards": false}],
               "evidence": {"addresses": ["192.0.2.0/24", "2001:db8::/32"], "clientCertificates": ["9b1e"]},
               "notAfter": "2027-05-22T00:00:00Z", "reason": "printers cannot open port 80",
               "proposedBy": "urn:cm:officer:anna", "proposedAt": "2026-11-22T08:00:00Z",
               "decidedBy": "urn:cm:approver:bert", "decidedAt": "2026-11-22T09:00:00Z", "decisionReason": null})
    }

    #[test]
    fn a_waiver_is_told_in_words() {
        let view = View::of(&sample()).unwrap();
        assert_eq!(view.names(), "suffix:printers.example.com,no-wildcards");
        assert_eq!(
            view.shows(),
            "a request from 192.0.2.0/24 or 2001:db8::/32, and a client certificate with the key 9b1e"
        );
        assert_eq!(view.standing("2027-05-21T00:00:00Z".parse().unwrap()), "approved");
        assert_eq!(view.standing("2027-05-22T00:00:00Z".parse().unwrap()), "approved, ended");
        let withdrawn = View { status: "withdrawn".to_owned(), ..view };
        assert_eq!(withdrawn.standing("2028-01-01T00:00:00Z".parse().unwrap()), "withdrawn");
        assert!(View::of(&json!({"id": "wav_1"})).is_err());
    }

    #[test]
    fn a_proposal_is_that_of_the_contract() {
        let proposal = Proposal {
            names: vec!["suffix:printers.example.com,no-wildcards".parse().unwrap()],
            addresses: vec!["192.0.2.0/24".to_owned()],
            client_certificates: vec!["9b1e".to_owned()],
            not_after: "2027-05-22T00:00:00Z".to_owned(),
            reason: "printers cannot open port 80, ticket 5120".to_owned(),
        };
        let contract = json!({
            "identifiers": [{"type": "dns", "match": "suffix", "value": "printers.example.com", "wildcards": false}],
            "evidence": {"addresses": ["192.0.2.0/24"], "clientCertificates": ["9b1e"]},
            "notAfter": "2027-05-22T00:00:00Z", "reason": "printers cannot open port 80, ticket 5120"});
        assert_eq!(proposal.body(), contract);
    }
}

//! Waivers: the record, where it is kept, how it is shown, what it covers (contract section 4.3).
//!
//! This is the record only; what people decide about it lies in `waiver_decisions`.

use std::net::IpAddr;

use ipnet::IpNet;
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ReferenceCm;
use super::allowlist::{Rule, canonical_net};
use super::identifier::Identifier;
use super::moment::Moment;
use super::problem::{Code, Problem};
use super::registrations::Registration;
use super::settings::Capability;

/// Longest prefixes that are still too short for evidence, by family.
const IPV4_PREFIX_BITS_MIN: u8 = 8;
const IPV6_PREFIX_BITS_MIN: u8 = 16;
/// Most entries of a list.
const ENTRIES_MAX: usize = 20;

/// Where a waiver stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WaiverStatus {
    /// An officer asked for it.
    Proposed,
    /// A second person agreed.
    Approved,
    /// A second person did not.
    Rejected,
    /// It was taken back, before or after that.
    Withdrawn,
}

impl WaiverStatus {
    /// The word on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What the client has to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Evidence {
    /// Address blocks.
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    /// SHA-256 digests of public keys, hex.
    #[serde(default)]
    pub(crate) client_certificates: Vec<String>,
}

/// A waiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waiver {
    /// `wav_…`
    pub(crate) id: String,
    /// Whose it is.
    pub(crate) registration: String,
    /// Where it stands.
    pub(crate) status: WaiverStatus,
    /// Names it is about.
    pub(crate) identifiers: Vec<Rule>,
    /// What the client has to show.
    pub(crate) evidence: Evidence,
    /// When it ends by itself.
    pub(crate) not_after: Moment,
    /// Why.
    pub(crate) reason: String,
    /// Who asked for it.
    pub(crate) proposed_by: String,
    /// When.
    pub(crate) proposed_at: Moment,
    /// Who decided about it last.
    pub(crate) decided_by: Option<String>,
    /// When.
    pub(crate) decided_at: Option<Moment>,
    /// Why.
    pub(crate) decision_reason: Option<String>,
}

/// What a gateway says that the client showed, in a certificate request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Shown {
    /// Which waiver.
    pub(crate) id: String,
    /// Where the request came from.
    address: Option<IpAddr>,
    /// The key that was proven, SHA-256 in hex.
    client_certificate: Option<String>,
}

impl Evidence {
    /// Checks evidence that a person wrote and puts it into normal form; the error is a pointer into it and what is
    /// wrong there.
    pub(crate) fn normalized(self) -> Result<Self, (String, &'static str)> {
        if self.addresses.is_empty() && self.client_certificates.is_empty() {
            return Err((String::new(), "a waiver needs evidence: addresses, clientCertificates or both"));
        }
        for (list, name) in [(&self.addresses, "/addresses"), (&self.client_certificates, "/clientCertificates")] {
            if list.len() > ENTRIES_MAX {
                return Err((name.to_owned(), "at most 20 entries"));
            }
        }
        let mut addresses = Vec::new();
        for (index, text) in self.addresses.iter().enumerate() {
            let block = canonical_net(text).filter(is_small_enough).filter(|block| !is_nobodys(block));
            let wrong = "must be an address block of at least /8, or /16 for IPv6, and none of 0.0.0.0/8";
            let block = block.ok_or((format!("/addresses/{index}"), wrong))?;
            addresses.push(block.to_string());
        }
        let is_digest =
            |text: &String| text.len() == 64 && text.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
        if let Some(index) = self.client_certificates.iter().position(|text| !is_digest(text)) {
            return Err((
                format!("/clientCertificates/{index}"),
                "must be the SHA-256 digest of a public key, 64 lowercase hexadecimal digits",
            ));
        }
        Ok(Self { addresses, ..self })
    }

    /// Whether what was shown matches one entry of each kind that has entries.
    fn is_met_by(&self, shown: &Shown) -> bool {
        let by_address = self.addresses.is_empty()
            || shown.address.is_some_and(|address| {
                let address = address.to_canonical();
                self.addresses.iter().any(|block| canonical_net(block).is_some_and(|block| block.contains(&address)))
            });
        let by_key = self.client_certificates.is_empty()
            || shown.client_certificate.as_ref().is_some_and(|digest| self.client_certificates.contains(digest));
        by_address && by_key
    }
}

/// Whether it is a block of addresses that no request comes from.
fn is_nobodys(block: &IpNet) -> bool {
    matches!(block, IpNet::V4(block) if block.network().octets()[0] == 0)
}

/// Whether a block is small enough to be evidence of anything.
pub(crate) fn is_small_enough(block: &IpNet) -> bool {
    let least = match block {
        IpNet::V4(_) => IPV4_PREFIX_BITS_MIN,
        IpNet::V6(_) => IPV6_PREFIX_BITS_MIN,
    };
    block.prefix_len() >= least
}

impl Waiver {
    /// Whether it counts at this time.
    pub(crate) fn is_in_force(&self, now: Moment) -> bool {
        self.status == WaiverStatus::Approved && now < self.not_after
    }

    /// Whether it may still be approved or is in force: what the number of waivers is limited by.
    pub(crate) fn is_open(&self, now: Moment) -> bool {
        self.status == WaiverStatus::Proposed || self.is_in_force(now)
    }

    /// Why it does not cover the identifier for who showed this, if so. It must have been approved by the time at
    /// which it was used, and be in force now.
    pub(crate) fn check(
        &self,
        identifier: &Identifier,
        shown: &Shown,
        used_at: Moment,
        now: Moment,
    ) -> Result<(), &'static str> {
        let was_approved = self.decided_at.is_some_and(|approved_at| approved_at <= used_at);
        if !was_approved || !self.is_in_force(now) {
            return Err("the waiver was not in force");
        }
        if !self.identifiers.iter().any(|rule| rule.matches(identifier)) {
            return Err("the waiver is not about this identifier");
        }
        if !self.evidence.is_met_by(shown) {
            return Err("the client did not show the evidence that the waiver asks for");
        }
        Ok(())
    }

    /// The form of the wire.
    pub(crate) fn view(&self) -> Result<Value, Problem> {
        Ok(serde_json::to_value(self)?)
    }

    /// Its path.
    pub(crate) fn location(&self, realm: &str) -> String {
        format!("/cm/v1/realms/{realm}/registrations/{}/waivers/{}", self.registration, self.id)
    }

    /// Writes a new or changed record.
    pub(crate) fn save(&self, tx: &Transaction<'_>, realm: &str) -> Result<(), Problem> {
        tx.execute(
            "INSERT INTO waiver (id, realm, registration, status, document) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET status = excluded.status, document = excluded.document",
            params![self.id, realm, self.registration, self.status.name(), serde_json::to_string(self)?],
        )?;
        Ok(())
    }
}

/// The waiver of a registration with this id, or 404.
pub(crate) fn load(tx: &Transaction<'_>, registration: &Registration, id: &str) -> Result<Waiver, Problem> {
    let document: Option<String> = tx
        .query_row(
            "SELECT document FROM waiver WHERE id = ?1 AND registration = ?2",
            params![id, registration.id],
            |row| row.get(0),
        )
        .optional()?;
    let document = document.ok_or_else(|| Problem::new(Code::NotFound, "the registration has no such waiver"))?;
    Ok(serde_json::from_str(&document)?)
}

/// All waivers of a registration, its parent's left aside.
pub(crate) fn of(tx: &Transaction<'_>, registration: &str) -> Result<Vec<Waiver>, Problem> {
    let mut statement = tx.prepare("SELECT document FROM waiver WHERE registration = ?1 ORDER BY id")?;
    let rows = statement.query_map([registration], |row| row.get::<_, String>(0))?;
    let mut waivers = Vec::new();
    for document in rows {
        waivers.push(serde_json::from_str(&document?)?);
    }
    Ok(waivers)
}

/// The waivers that count for a registration now: its own and its parent's.
pub(crate) fn in_force(
    cm: &ReferenceCm,
    tx: &Transaction<'_>,
    registration: &Registration,
    now: Moment,
) -> Result<Vec<Waiver>, Problem> {
    if cm.settings.lacks.contains(&Capability::Waivers) {
        return Ok(Vec::new());
    }
    let mut waivers = of(tx, &registration.id)?;
    if let Some(parent) = &registration.parent {
        waivers.extend(of(tx, parent)?);
    }
    waivers.retain(|waiver| waiver.is_in_force(now));
    Ok(waivers)
}

/// Puts the waivers in force into what is shown of a registration.
pub(crate) fn show(
    cm: &ReferenceCm,
    tx: &Transaction<'_>,
    registration: &Registration,
    now: Moment,
) -> Result<Value, Problem> {
    let mut views = Vec::new();
    for waiver in in_force(cm, tx, registration, now)? {
        views.push(waiver.view()?);
    }
    Ok(json!(views))
}

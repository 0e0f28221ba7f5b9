//! CAA: what the owner of a domain says about who may issue for it (RFC 8659), to which account
//! and by which proof (RFC 8657). Pure: records in, a verdict out; they are looked up in
//! `validation`.

mod issue_value;

use serde::{Deserialize, Serialize};

pub use issue_value::{IssueValue, Parameter};

use crate::{challenge_kind::ChallengeKind, problem::shown, time::Timestamp};

/// Tags that are understood or known to say nothing about issuance here (RFC 8659 §4, RFC 9495,
/// the registry of CAA properties).
const HARMLESS: [&str; 5] = ["iodef", "issuemail", "issuevmc", "contactemail", "contactphone"];
/// Flags that make a property critical: bit 0 of RFC 8659 §4.1, which is the highest, and the
/// lowest, which is written by those who count from the other end.
const CRITICAL: u8 = 0b1000_0001;

/// What takes the place of a method where the proof is waived.
const WAIVED: &str = "waived";

/// One property: a CAA record's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// The flags octet.
    pub flags: u8,
    /// What it is about, in any case.
    pub tag: String,
    /// What it says.
    pub value: Vec<u8>,
}

/// What is going to be issued, as far as CAA records can say something about it.
#[derive(Debug, Clone, Copy)]
pub struct Issuance<'a> {
    /// Names that the issuer goes by; without any, no record can name it.
    pub identities: &'a [String],
    /// The account that asks.
    pub account_url: &'a str,
    /// How control was proven; `None` if that is waived, which no list of methods can have.
    pub method: Option<ChallengeKind>,
    /// Whether it is for a wildcard name.
    pub is_wildcard: bool,
}

/// Whether the CM wants CAA records to be looked at, by profile (CM contract section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaaPolicy {
    /// Nothing is issued without a look that permits it.
    Required,
    /// As the gateway's operator wants it.
    Optional,
    /// They do not count.
    Off,
}

/// How much CAA records count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Nobody looks at them.
    Off,
    /// They are looked at and forbid nothing.
    Advisory,
    /// What they do not permit is not issued.
    Enforce,
}

impl Weight {
    /// How much they count under a profile, where an endpoint has this weight: the CM, whose
    /// certificates they are about, has the first word.
    #[must_use]
    pub const fn under(self, policy: CaaPolicy) -> Self {
        match policy {
            CaaPolicy::Required => Self::Enforce,
            CaaPolicy::Optional => self,
            CaaPolicy::Off => Self::Off,
        }
    }
}

/// Which property decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tag {
    /// Any name, unless `issuewild` decides.
    Issue,
    /// Wildcard names, wherever it occurs.
    IssueWild,
}

/// Why records do not permit issuance. The texts are for clients; they continue "the CAA records
/// of `domain` do not permit it: …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// There is a property that may not be passed over.
    #[error("a critical property has the unknown tag '{0}'")]
    UnknownCritical(String),
    /// None of the properties names this issuer.
    #[error("no {0} property names this certificate authority{1}")]
    OtherIssuer(Tag, KnownAs),
    /// The only properties that might are not well-formed.
    #[error("an {0} property is malformed and permits nobody")]
    Malformed(Tag),
    /// This issuer may issue, but not to this account.
    #[error("the {0} property that names this certificate authority is for another accounturi")]
    OtherAccount(Tag),
    /// This issuer may issue, but not after this kind of proof.
    #[error("the {0} property that names this certificate authority does not list {1} in validationmethods")]
    OtherMethod(Tag, &'static str),
}

/// The names that an issuer goes by, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAs(Vec<String>);

/// A look at CAA records that did not forbid issuance (CM contract section 4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaaEvidence {
    /// What was found.
    pub result: CaaResult,
    /// When.
    pub checked_at: Timestamp,
    /// The names of the issuer that the records were held against. A look for other names is
    /// another look.
    #[serde(default)]
    pub identities: Vec<String>,
}

/// What CAA records say if they do not forbid issuance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaaResult {
    /// The records of this domain permit it.
    Permitted {
        /// Where the relevant record set is.
        domain: String,
        /// True if `issuewild` decided, false if `issue` did.
        issuewild: bool,
    },
    /// There are none up to the root.
    NoRecords,
}

/// Judges the relevant record set of a domain: the first one that is not empty, from the name
/// upwards (RFC 8659 §3). The tag is that of the properties that decide; if there are none of it,
/// issuance is not restricted.
///
/// # Errors
/// [`Forbidden`]; the reason is that of the property that came nearest to permitting it.
pub fn judge(records: &[Property], issuance: &Issuance<'_>) -> Result<Tag, Forbidden> {
    if let Some(unknown) = records.iter().find(|property| property.is_unknown() && property.flags & CRITICAL != 0) {
        return Err(Forbidden::UnknownCritical(shown(&unknown.tag).into_owned()));
    }
    let of = |tag: Tag| records.iter().filter(move |property| property.tag.eq_ignore_ascii_case(tag.as_str()));
    let tag = if issuance.is_wildcard && of(Tag::IssueWild).next().is_some() { Tag::IssueWild } else { Tag::Issue };
    let mut nearest = None;
    for property in of(tag) {
        match property.permits(tag, issuance) {
            Ok(()) => return Ok(tag),
            Err(why) => {
                nearest = Some(match nearest {
                    Some(other) if distance(&other) <= distance(&why) => other,
                    Some(_) | None => why,
                });
            }
        }
    }
    nearest.map_or(Ok(tag), Err)
}

impl Forbidden {
    /// The tag of the properties that decided.
    #[must_use]
    pub fn tag(&self) -> &str {
        match self {
            Self::UnknownCritical(tag) => tag,
            Self::OtherIssuer(tag, _) | Self::Malformed(tag) | Self::OtherAccount(tag) | Self::OtherMethod(tag, _) => {
                tag.as_str()
            }
        }
    }
}

/// How far a property is from permitting issuance.
const fn distance(why: &Forbidden) -> u8 {
    match why {
        Forbidden::OtherAccount(_) | Forbidden::OtherMethod(..) => 0,
        Forbidden::OtherIssuer(..) => 1,
        Forbidden::Malformed(_) | Forbidden::UnknownCritical(_) => 2,
    }
}

impl Property {
    fn is_unknown(&self) -> bool {
        let known = [Tag::Issue, Tag::IssueWild].map(Tag::as_str);
        !known.iter().chain(&HARMLESS).any(|known| self.tag.eq_ignore_ascii_case(known))
    }

    /// The record as a zone file has it, for the audit log: printable, at most 253 characters.
    #[must_use]
    pub fn text(&self) -> String {
        let value = String::from_utf8_lossy(&self.value);
        shown(&format!("{} {} {value}", self.flags, self.tag)).into_owned()
    }

    fn permits(&self, tag: Tag, issuance: &Issuance<'_>) -> Result<(), Forbidden> {
        let Some(value) = IssueValue::parse(&self.value) else { return Err(Forbidden::Malformed(tag)) };
        if !value.names_one_of(issuance.identities) {
            return Err(Forbidden::OtherIssuer(tag, KnownAs(issuance.identities.to_vec())));
        }
        match value.parameter("accounturi") {
            Parameter::Absent => {}
            Parameter::Once(account) if account == issuance.account_url => {}
            Parameter::Once(_) | Parameter::Repeated => return Err(Forbidden::OtherAccount(tag)),
        }
        match value.parameter("validationmethods") {
            Parameter::Absent => Ok(()),
            Parameter::Once(methods) if issuance.method.is_some_and(|kind| lists(methods, kind.as_str())) => Ok(()),
            Parameter::Once(_) | Parameter::Repeated => {
                Err(Forbidden::OtherMethod(tag, issuance.method.map_or(WAIVED, ChallengeKind::as_str)))
            }
        }
    }
}

/// Whether a list of methods is well-formed and has this one (RFC 8657 §4).
fn lists(methods: &str, wanted: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    methods.split(',').all(is_label) && methods.split(',').any(|method| method == wanted)
}

impl Tag {
    /// The tag as records have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::IssueWild => "issuewild",
        }
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

impl std::fmt::Display for KnownAs {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return out.write_str(", which has no name that records could bear; its operator can give it one");
        }
        write!(out, "; add one for {}", self.0.join(" or "))
    }
}

impl CaaEvidence {
    /// Whether a look from this long ago, held against these names, still counts.
    #[must_use]
    pub fn is_fresh(&self, identities: &[String], age_max: std::time::Duration, now: Timestamp) -> bool {
        self.identities == identities && now.since(self.checked_at) < age_max
    }
}

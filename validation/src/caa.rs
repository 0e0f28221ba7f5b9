//! Looking up the CAA records that govern a name (RFC 8659 §3). What they permit is decided in
//! `acme::caa`.

use acme::{
    caa::{CaaEvidence, CaaResult, Issuance, Property, Tag, judge},
    identifier::DnsName,
    problem::ProblemKind,
    time::Timestamp,
};
use tokio::time::Instant;

use crate::{
    Failure, Parts,
    observation::{self, Observation, note},
    resolver::LookupError,
};

/// Looks the records up and holds them against what is to be issued. No answer is a refusal.
pub(crate) async fn check(
    parts: &Parts,
    name: &DnsName,
    issuance: &Issuance<'_>,
    deadline: Instant,
    now: Timestamp,
) -> Result<CaaEvidence, Failure> {
    let identities = issuance.identities.to_vec();
    let Some((domain, records)) = relevant(parts, name, deadline).await? else {
        return Ok(CaaEvidence { result: CaaResult::NoRecords, checked_at: now, identities });
    };
    let verdict = judge(&records, issuance);
    let texts: Vec<_> = records.iter().map(Property::text).collect();
    tracing::info!(%name, domain, records = ?texts, permitted = verdict.is_ok(), "CAA records");
    note(|| Observation::Judgement {
        subject: observation::text(&format!("the CAA records of {domain}")),
        flaw: verdict.as_ref().err().map(|forbidden| observation::text(&forbidden.to_string())),
    });
    match verdict {
        Ok(tag) => {
            let result = CaaResult::Permitted { domain: domain.to_owned(), issuewild: tag == Tag::IssueWild };
            Ok(CaaEvidence { result, checked_at: now, identities })
        }
        Err(forbidden) => Err(Failure::lasting(
            ProblemKind::Caa,
            format!(
                "the CAA records of {domain} ({}) do not permit a certificate for {}: {forbidden}",
                found(&records, forbidden.tag()),
                Shown(name, issuance)
            ),
        )),
    }
}

/// The first of the records that decided, for the client; the others are counted.
fn found(records: &[Property], tag: &str) -> String {
    const CHARACTERS_MAX: usize = 120;
    let decided = records.iter().find(|property| property.tag.eq_ignore_ascii_case(tag)).or(records.first());
    let text: String = decided.map(Property::text).unwrap_or_default().chars().take(CHARACTERS_MAX).collect();
    match records.len().saturating_sub(1) {
        0 => format!("'{text}'"),
        more => format!("'{text}' and {more} more"),
    }
}

/// The first set of records that is not empty, from the name up to its last label, and whose it is.
/// Aliases are followed by the lookup and nowhere else: nobody climbs from where one leads.
async fn relevant<'a>(
    parts: &Parts,
    name: &'a DnsName,
    deadline: Instant,
) -> Result<Option<(&'a str, Vec<Property>)>, Failure> {
    let mut next = Some(name.as_str());
    while let Some(domain) = next {
        match parts.resolver.caa_records(domain, deadline).await {
            Ok(records) => return Ok(Some((domain, records))),
            Err(LookupError::NoRecord { .. }) => {}
            Err(LookupError::Aliases) => {
                let detail = "more than 8 aliases, or aliases in a loop";
                return Err(Failure::lasting(ProblemKind::Caa, unread(domain, name, detail)));
            }
            Err(LookupError::NoAnswer(reason)) => {
                return Err(Failure::passing(ProblemKind::Caa, unread(domain, name, &reason)));
            }
        }
        next = domain.split_once('.').map(|(_, parent)| parent);
    }
    Ok(None)
}

fn unread(domain: &str, name: &DnsName, reason: &str) -> String {
    format!(
        "looking up CAA at {domain} for {name}: {reason}; nothing is issued while it is not known whether it may be"
    )
}

/// The identifier that was asked for.
struct Shown<'a>(&'a DnsName, &'a Issuance<'a>);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(name, issuance) = self;
        write!(out, "{}{name}", if issuance.is_wildcard { "*." } else { "" })
    }
}

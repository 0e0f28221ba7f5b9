//! dns-01: a TXT record under the name (RFC 8555 §8.4). A wildcard is proven at its base name.

use acme::{
    challenge::KeyAuthorization,
    identifier::DnsName,
    problem::{ProblemKind, shown},
};
use tokio::time::Instant;

use crate::{
    Failure, Parts, Reached,
    observation::{self, Observation, note},
    resolver::{LookupError, TxtRecords},
    source,
};

/// Longest name that can be asked for, in octets (RFC 1035 §2.3.4).
const NAME_OCTETS_MAX: usize = 253;

/// Looks for the record. Any one of several may match: other orders leave theirs at the same name.
pub(crate) async fn validate(
    parts: &Parts,
    name: &DnsName,
    key_authorization: &KeyAuthorization,
    deadline: Instant,
) -> Result<Reached, Failure> {
    validate_at(parts, &format!("_acme-challenge.{name}"), key_authorization, deadline).await
}

/// The same at another name.
pub(crate) async fn validate_at(
    parts: &Parts,
    owner: &str,
    key_authorization: &KeyAuthorization,
    deadline: Instant,
) -> Result<Reached, Failure> {
    fits(owner)?;
    let expected = key_authorization.dns_01_record();
    match parts.resolver.txt_records(owner, deadline).await {
        Ok(records) if records.values.iter().any(|value| value == expected.as_bytes()) => {
            note(|| judged(owner, None));
            Ok(Reached { source: source::towards(records.resolver), target: owner.to_owned(), reusable_until: None })
        }
        Ok(records) => {
            note(|| judged(owner, Some("none of them is the digest of the key authorization")));
            Err(no_match(owner, &records, &expected))
        }
        Err(LookupError::NoRecord { at }) => Err(no_record(owner, &at, &expected)),
        Err(error) => Err(no_answer(owner, error)),
    }
}

/// What became of the records, for operators.
pub(crate) fn judged(owner: &str, flaw: Option<&str>) -> Observation {
    let subject = observation::text(&format!("the TXT records of {owner}"));
    Observation::Judgement { subject, flaw: flaw.map(observation::text) }
}

/// Whether the name of a record can be asked for.
pub(crate) fn fits(owner: &str) -> Result<(), Failure> {
    if owner.len() > NAME_OCTETS_MAX {
        let detail = format!("{owner} is too long for a name in the DNS, which has 253 octets at most");
        return Err(Failure::lasting(ProblemKind::Malformed, detail));
    }
    Ok(())
}

fn no_match(owner: &str, records: &TxtRecords, expected: &str) -> Failure {
    let found = records.values.first().map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
    let more = match records.count.saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Failure::passing(
        ProblemKind::IncorrectResponse,
        format!("TXT record at {owner} is '{}'{more}; expected {expected}", shown(&found)),
    )
}

fn no_record(owner: &str, at: &str, expected: &str) -> Failure {
    let alias = if at == owner { String::new() } else { format!(", which is an alias of {}", shown(at)) };
    Failure::passing(
        ProblemKind::IncorrectResponse,
        format!("no TXT record found at {owner}{alias}; expected {expected}"),
    )
}

/// The DNS did not say whether there is a record.
pub(crate) fn no_answer(owner: &str, error: LookupError) -> Failure {
    match error {
        LookupError::NoRecord { at } => {
            Failure::passing(ProblemKind::Dns, format!("no TXT record found at {}", shown(&at)))
        }
        LookupError::Aliases => Failure::lasting(
            ProblemKind::Dns,
            format!("looking up TXT at {owner}: more than 8 aliases, or aliases in a loop"),
        ),
        LookupError::NoAnswer(reason) => {
            Failure::passing(ProblemKind::Dns, format!("looking up TXT at {owner}: {reason}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_found_value_is_shown_harmless_and_only_one() {
        let values = vec![b"a\"b\x1b\xff".to_vec(), b"second".to_vec()];
        let records =
            TxtRecords { values, count: 70, resolver: "192.0.2.53:53".parse().unwrap(), time_to_live: Duration::ZERO };
        let failure = no_match("_acme-challenge.a.test", &records, "expected-value");
        assert_eq!(
            failure.problem.detail,
            "TXT record at _acme-challenge.a.test is 'a?b??' (and 69 more); expected expected-value"
        );
        assert!(failure.retry);
    }
}

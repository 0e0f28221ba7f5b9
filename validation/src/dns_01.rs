//! dns-01: a TXT record under the name (RFC 8555 §8.4). A wildcard is proven at its base name.

use acme::{
    challenge::KeyAuthorization,
    identifier::DnsName,
    problem::{ProblemKind, shown},
};
use tokio::time::Instant;

use crate::{
    Failure, Parts, Reached,
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
    let owner = format!("_acme-challenge.{name}");
    if owner.len() > NAME_OCTETS_MAX {
        return Err(Failure::lasting(
            ProblemKind::Malformed,
            format!("{name} is too long for dns-01: with _acme-challenge. in front it exceeds 253 octets"),
        ));
    }
    let expected = key_authorization.dns_01_record();
    match parts.resolver.txt_records(&owner, deadline).await {
        Ok(records) if records.values.iter().any(|value| value == expected.as_bytes()) => {
            Ok(Reached { source: source::towards(records.resolver), target: owner })
        }
        Ok(records) => Err(no_match(&owner, &records, &expected)),
        Err(error) => Err(no_records(&owner, error, &expected)),
    }
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

fn no_records(owner: &str, error: LookupError, expected: &str) -> Failure {
    match error {
        LookupError::NoRecord { at } => {
            let alias = if at == owner { String::new() } else { format!(", which is an alias of {}", shown(&at)) };
            Failure::passing(
                ProblemKind::IncorrectResponse,
                format!("no TXT record found at {owner}{alias}; expected {expected}"),
            )
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
    use super::*;

    #[test]
    fn a_found_value_is_shown_harmless_and_only_one() {
        let values = vec![b"a\"b\x1b\xff".to_vec(), b"second".to_vec()];
        let records = TxtRecords { values, count: 70, resolver: "192.0.2.53:53".parse().unwrap() };
        let failure = no_match("_acme-challenge.a.test", &records, "expected-value");
        assert_eq!(
            failure.problem.detail,
            "TXT record at _acme-challenge.a.test is 'a?b??' (and 69 more); expected expected-value"
        );
        assert!(failure.retry);
    }
}

//! dns-persist-01: a TXT record that stays, and names the issuer and the account that may have
//! certificates for the name (draft-ietf-acme-dns-persist; BR 3.2.2.4.22).
//!
//! There is no token in it: what proves control is that the domain's owner has put the account's
//! URL there. Its value has the syntax of a CAA `issue` property.

use std::time::Duration;

use acme::{
    caa::{IssueValue, Parameter},
    identifier::DnsName,
    problem::ProblemKind,
    time::Timestamp,
};
use tokio::time::Instant;

use crate::{
    Failure, Parts, Reached, dns_01,
    observation::note,
    resolver::{LookupError, TxtRecords},
    source,
};

/// What a record has to say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Names of the issuer, one of which it bears.
    pub(crate) issuer_domain_names: &'a [String],
    /// The account that it names.
    pub(crate) account_url: &'a str,
    /// Whether it has to be good for the names below too.
    pub(crate) is_wildcard: bool,
    /// Our clock.
    pub(crate) now: Timestamp,
}

/// Why a record is no proof. In the order of how near it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
enum Flaw {
    #[error("it is not well-formed, or says something twice that can be said once")]
    Malformed,
    #[error("it names another issuer")]
    OtherIssuer,
    #[error("it is for another accounturi")]
    OtherAccount,
    #[error("its persistUntil has passed")]
    Over,
    #[error("it lacks policy=wildcard")]
    NotForWildcards,
}

/// Longest time for which new orders rest on one look (BR 3.2.2.4.22).
const REUSE_MAX: Duration = Duration::from_secs(10 * 24 * 3600);

/// Looks for the record.
pub(crate) async fn validate(
    parts: &Parts,
    name: &DnsName,
    wanted: &Wanted<'_>,
    deadline: Instant,
) -> Result<Reached, Failure> {
    let owner = format!("_validation-persist.{name}");
    dns_01::fits(&owner)?;
    match parts.resolver.txt_records(&owner, deadline).await {
        Ok(records) => match judge(&records, wanted) {
            Ok(until) => {
                let reusable_until = Some(reusable_until(wanted.now, records.time_to_live, until));
                note(|| dns_01::judged(&owner, None));
                Ok(Reached { source: source::towards(records.resolver), target: owner, reusable_until })
            }
            Err(flaw) => {
                note(|| dns_01::judged(&owner, Some(&format!("of the nearest: {flaw}"))));
                Err(no_match(&owner, &records, flaw, wanted))
            }
        },
        Err(LookupError::NoRecord { .. }) => Err(Failure::passing(
            ProblemKind::Unauthorized,
            format!("no TXT record found at {owner}; expected {}", expected(wanted)),
        )),
        Err(error) => Err(dns_01::no_answer(&owner, error)),
    }
}

/// A record that was seen is good as long as it lives in caches, and while it wants to be.
fn reusable_until(now: Timestamp, time_to_live: Duration, persist_until: Option<Timestamp>) -> Timestamp {
    let lives_until = now.plus(time_to_live.min(REUSE_MAX));
    persist_until.map_or(lives_until, |until| lives_until.min(until))
}

/// Until when the first record that is a proof wants to be one; else how near the nearest came.
fn judge(records: &TxtRecords, wanted: &Wanted<'_>) -> Result<Option<Timestamp>, Flaw> {
    let mut nearest = Flaw::Malformed;
    for value in &records.values {
        match judge_one(value, wanted) {
            Ok(until) => return Ok(until),
            Err(flaw) => nearest = nearest.max(flaw),
        }
    }
    Err(nearest)
}

fn judge_one(value: &[u8], wanted: &Wanted<'_>) -> Result<Option<Timestamp>, Flaw> {
    let value = IssueValue::parse(value).ok_or(Flaw::Malformed)?;
    if !value.names_one_of(wanted.issuer_domain_names) {
        return Err(Flaw::OtherIssuer);
    }
    let once = |tag: &str| match value.parameter(tag) {
        Parameter::Absent => Ok(None),
        Parameter::Once(text) => Ok(Some(text)),
        Parameter::Repeated => Err(Flaw::Malformed),
    };
    let (account, policy, until) = (once("accounturi")?, once("policy")?, once("persistUntil")?);
    let until: Option<i64> = until.map(str::parse).transpose().map_err(|_| Flaw::Malformed)?;
    if account.ok_or(Flaw::Malformed)? != wanted.account_url {
        return Err(Flaw::OtherAccount);
    }
    if until.is_some_and(|until| until <= wanted.now.unix_secs()) {
        return Err(Flaw::Over);
    }
    // Any other policy means this name alone.
    if wanted.is_wildcard && !policy.is_some_and(|policy| policy.eq_ignore_ascii_case("wildcard")) {
        return Err(Flaw::NotForWildcards);
    }
    Ok(until.map(Timestamp::from_unix_secs))
}

/// The value of a record that would do.
fn expected(wanted: &Wanted<'_>) -> String {
    let issuer = wanted.issuer_domain_names.first().map_or("", String::as_str);
    let policy = if wanted.is_wildcard { "; policy=wildcard" } else { "" };
    format!("{issuer}; accounturi={}{policy}", wanted.account_url)
}

fn no_match(owner: &str, records: &TxtRecords, flaw: Flaw, wanted: &Wanted<'_>) -> Failure {
    let kind = if flaw == Flaw::Malformed { ProblemKind::Malformed } else { ProblemKind::Unauthorized };
    let which = if records.count == 1 { "the TXT record" } else { "the nearest of the TXT records" };
    Failure::passing(kind, format!("{which} at {owner} is no proof: {flaw}; expected {}", expected(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: &str = "ca.example.net";
    const ACCOUNT: &str = "https://acme.test/acct/1";
    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

    fn judged(values: &[&str], is_wildcard: bool) -> Result<Option<i64>, Flaw> {
        let values: Vec<_> = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        let count = values.len();
        let records =
            TxtRecords { values, count, resolver: "192.0.2.53:53".parse().unwrap(), time_to_live: Duration::ZERO };
        let names = [String::from("other.example.net"), String::from(US)];
        let wanted = Wanted { issuer_domain_names: &names, account_url: ACCOUNT, is_wildcard, now: NOW };
        judge(&records, &wanted).map(|until| until.map(Timestamp::unix_secs))
    }

    #[test]
    fn a_record_proves_its_account_until_its_time_and_wildcards_if_it_says_so() {
        let good = format!("{US}; accounturi={ACCOUNT}");
        let with = |more: &str| format!("{good}; {more}");
        let table = [
            (good.clone(), Ok(None), Err(Flaw::NotForWildcards)),
            (good.to_uppercase().replace(&ACCOUNT.to_uppercase(), ACCOUNT), Ok(None), Err(Flaw::NotForWildcards)),
            (with("policy=wildcard"), Ok(None), Ok(None)),
            (with("Policy=WildCard"), Ok(None), Ok(None)),
            (with("policy=subdomain"), Ok(None), Err(Flaw::NotForWildcards)),
            (with("unknown=1"), Ok(None), Err(Flaw::NotForWildcards)),
            (with("policy=wildcard; persistUntil=1800000001"), Ok(Some(1_800_000_001)), Ok(Some(1_800_000_001))),
            (with("policy=wildcard; persistUntil=1800000000"), Err(Flaw::Over), Err(Flaw::Over)),
            (with("persistUntil=soon"), Err(Flaw::Malformed), Err(Flaw::Malformed)),
            (with("persistuntil=1; persistUntil=2"), Err(Flaw::Malformed), Err(Flaw::Malformed)),
            (with("policy=wildcard; policy=wildcard"), Err(Flaw::Malformed), Err(Flaw::Malformed)),
            (format!("{good}; accounturi={ACCOUNT}"), Err(Flaw::Malformed), Err(Flaw::Malformed)),
            (US.to_owned(), Err(Flaw::Malformed), Err(Flaw::Malformed)),
            (format!("{US}; accounturi={ACCOUNT}/"), Err(Flaw::OtherAccount), Err(Flaw::OtherAccount)),
            (format!("ca.test; accounturi={ACCOUNT}"), Err(Flaw::OtherIssuer), Err(Flaw::OtherIssuer)),
            (format!("; accounturi={ACCOUNT}"), Err(Flaw::OtherIssuer), Err(Flaw::OtherIssuer)),
            (String::from("v=spf1 -all"), Err(Flaw::Malformed), Err(Flaw::Malformed)),
        ];
        for (value, name, wildcard) in table {
            assert_eq!(judged(&[&value], false), name, "{value}");
            assert_eq!(judged(&[&value], true), wildcard, "wildcard, {value}");
        }
    }

    #[test]
    fn a_record_is_reused_while_it_lives_and_wants_to_be_and_for_ten_days_at_most() {
        let table = [(300, None, 300), (300, Some(60), 60), (60, Some(300), 60), (u32::MAX, None, 864_000)];
        for (time_to_live, until, expected) in table {
            let after = |secs: u64| NOW.plus(Duration::from_secs(secs));
            let live = Duration::from_secs(time_to_live.into());
            assert_eq!(reusable_until(NOW, live, until.map(after)), after(expected), "{time_to_live} {until:?}");
        }
    }

    #[test]
    fn one_good_record_of_several_suffices_and_the_nearest_is_told_otherwise() {
        let good = format!("{US}; accounturi={ACCOUNT}");
        let other = format!("{US}; accounturi=https://acme.test/acct/2");
        assert_eq!(judged(&["nonsense ", &other, &good], false), Ok(None));
        assert_eq!(judged(&["nonsense ", &other, "ca.test"], false), Err(Flaw::OtherAccount));
        assert_eq!(judged(&["non sense", US], false), Err(Flaw::Malformed));
    }
}

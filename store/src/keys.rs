//! The key space.
//!
//! | key | value |
//! |---|---|
//! | `order/<order>` | the order |
//! | `authorization/<authorization>` | the authorization |
//! | `job/<job>` | the job |
//! | `serial/<authority key id, hex>/<serial>` | the order that a certificate belongs to |
//! | `replacement/<endpoint>/<certificate>` | the order that replaces a certificate |
//! | `failures/<endpoint>/<account>/<type>/~<digest of the identifier>` | failed validations in a row |
//! | `seal` | tells whether the store was sealed with our key |
//! | `stopped/<realm>/<profile>` | why nothing is asked for by a profile, or by any if it is `*` |
//! | `quarantine/<time>/<order>` | a certificate that failed a check |
//! | `told/<reference>/<time>/<number>` | an entry of the transcript of an order or authorization |
//! | `audit/<time>/<number>` | an audit entry that waits to be handed on |
//! | `audit-head` | the last audit entry that was handed on |
//! | `due/<time>/<job>` | nothing: jobs by the time they are due |
//! | `account/<endpoint>/<account>/<time>/<order>` | nothing: the orders of an account by the time they were made |
//! | `proven/<endpoint>/<account>/<type>/~<digest of the identifier>/<time>/<authorization>` | nothing: who proved what, the latest proof first |
//! | `keep/<time>/<number>` | the keys of records that may be forgotten from that time on |
//!
//! A time is 12 digits of seconds since the Unix epoch, so that keys order as times do. Numbers are
//! 32 hex digits: 16 that this process drew when it started, 16 that count. The time in `proven/` is
//! what is missing to the last second that can be written, so that the latest comes first. Ids and
//! identifiers have no slash.
//!
//! In here an identifier stands in angle brackets, which no id and no identifier contains; `seal.rs` puts the digest
//! in their place before the backend sees the key, and what a scan finds has the digest. Releases that
//! wrote in clear had the identifier itself there.

use acme::{
    certificate::CertificateId,
    identifier::Identifier,
    ids::{AuthorizationId, EndpointName, JobId, OrderId, ProfileName, RealmName, Reference, RegistrationId},
    time::Timestamp,
};

use crate::backend::{Key, KeyRange};

/// 9999-12-31T23:59:59Z, the last second that a time can be.
const LAST_SECOND: i64 = 253_402_300_799;

pub(crate) fn order(id: &OrderId) -> Key {
    Key::new(format!("order/{id}"))
}

pub(crate) fn authorization(id: &AuthorizationId) -> Key {
    Key::new(format!("authorization/{id}"))
}

pub(crate) fn authorization_range() -> KeyRange {
    below_prefix("authorization")
}

pub(crate) fn job(id: &JobId) -> Key {
    Key::new(format!("job/{id}"))
}

pub(crate) fn serial(authority_key_id: &[u8], serial: &str) -> Key {
    let hex: String = authority_key_id.iter().map(|octet| format!("{octet:02x}")).collect();
    Key::new(format!("serial/{hex}/{serial}"))
}

pub(crate) fn replacement(endpoint: &EndpointName, certificate: &CertificateId) -> Key {
    Key::new(format!("replacement/{endpoint}/{certificate}"))
}

pub(crate) fn proven(
    endpoint: &EndpointName,
    account: &RegistrationId,
    identifier: &Identifier,
    at: Timestamp,
    authorization: &AuthorizationId,
) -> Key {
    let missing = LAST_SECOND.saturating_sub(at.unix_secs());
    Key::new(format!("{}/{missing:012}/{authorization}", proven_prefix(endpoint, account, identifier)))
}

pub(crate) fn failures(endpoint: &EndpointName, account: &RegistrationId, identifier: &Identifier) -> Key {
    Key::new(format!("failures/{endpoint}/{account}/{}/<{identifier}>", identifier.kind()))
}

pub(crate) fn seal_check() -> Key {
    Key::new(String::from("seal"))
}

pub(crate) fn stopped(realm: &RealmName, profile: Option<&ProfileName>) -> Key {
    Key::new(format!("stopped/{realm}/{}", profile.map_or("*", ProfileName::as_str)))
}

pub(crate) fn stopped_range() -> KeyRange {
    below_prefix("stopped")
}

/// The realm in a key of a stop, and the profile if it is not all of them.
pub(crate) fn read_stopped(key: &Key) -> Option<(RealmName, Option<ProfileName>)> {
    let (realm, profile) = key.as_str().strip_prefix("stopped/")?.split_once('/')?;
    let profile = if profile == "*" { None } else { Some(ProfileName::parse(profile).ok()?) };
    Some((RealmName::parse(realm).ok()?, profile))
}

pub(crate) fn quarantine(at: Timestamp, order: &OrderId) -> Key {
    Key::new(format!("quarantine/{}/{order}", digits(at)))
}

pub(crate) fn quarantine_range() -> KeyRange {
    below_prefix("quarantine")
}

pub(crate) fn audit(position: &str) -> Key {
    Key::new(format!("audit/{position}"))
}

pub(crate) fn audit_head() -> Key {
    Key::new(String::from("audit-head"))
}

pub(crate) fn told(subject: &Reference, position: &str) -> Key {
    Key::new(format!("told/{subject}/{position}"))
}

/// Where the order that a transcript tells of is, if it tells of one.
pub(crate) fn order_of(subject: &Reference) -> Key {
    Key::new(format!("order/{subject}"))
}

/// Where the authorization that a transcript tells of is, if it tells of one.
pub(crate) fn authorization_of(subject: &Reference) -> Key {
    Key::new(format!("authorization/{subject}"))
}

/// The transcript of one order or authorization.
pub(crate) fn told_of(subject: &Reference) -> KeyRange {
    below_prefix(&format!("told/{subject}"))
}

pub(crate) fn keep(position: &str) -> Key {
    Key::new(format!("keep/{position}"))
}

pub(crate) fn due(at: Timestamp, id: &JobId) -> Key {
    Key::new(format!("due/{}/{id}", digits(at)))
}

pub(crate) fn account(endpoint: &EndpointName, account: &RegistrationId, created: Timestamp, order: &OrderId) -> Key {
    Key::new(format!("account/{endpoint}/{account}/{}/{order}", digits(created)))
}

/// A place among entries of one kind, by time and then by number.
pub(crate) fn position(at: Timestamp, process: u64, count: u64) -> String {
    format!("{}/{process:016x}{count:016x}", digits(at))
}

pub(crate) fn audit_range() -> KeyRange {
    below_prefix("audit")
}

pub(crate) fn failures_of(endpoint: &EndpointName, account: &RegistrationId) -> KeyRange {
    below_prefix(&format!("failures/{endpoint}/{account}"))
}

pub(crate) fn failures_range() -> KeyRange {
    below_prefix("failures")
}

pub(crate) fn proven_range() -> KeyRange {
    below_prefix("proven")
}

/// The jobs that are due at this time.
pub(crate) fn due_until(now: Timestamp) -> KeyRange {
    until("due", now)
}

/// The orders of all accounts.
pub(crate) fn account_range() -> KeyRange {
    below_prefix("account")
}

pub(crate) fn due_range() -> KeyRange {
    below_prefix("due")
}

/// The keep-entries whose time has come.
pub(crate) fn keep_until(now: Timestamp) -> KeyRange {
    until("keep", now)
}

/// The orders of an account, all or those after one.
pub(crate) fn orders_of(
    endpoint: &EndpointName,
    registration: &RegistrationId,
    after: Option<(Timestamp, &OrderId)>,
) -> KeyRange {
    let all = below_prefix(&format!("account/{endpoint}/{registration}"));
    match after {
        Some((created, order)) => {
            KeyRange { from: successor(&account(endpoint, registration, created, order)), below: all.below }
        }
        None => all,
    }
}

/// The proofs of an identifier by an account, the latest first.
pub(crate) fn proofs_of(endpoint: &EndpointName, account: &RegistrationId, identifier: &Identifier) -> KeyRange {
    below_prefix(&proven_prefix(endpoint, account, identifier))
}

fn proven_prefix(endpoint: &EndpointName, account: &RegistrationId, identifier: &Identifier) -> String {
    format!("proven/{endpoint}/{account}/{}/<{identifier}>", identifier.kind())
}

/// The orders of an account from this time on.
pub(crate) fn orders_since(endpoint: &EndpointName, registration: &RegistrationId, since: Timestamp) -> KeyRange {
    let KeyRange { below, .. } = orders_of(endpoint, registration, None);
    KeyRange { from: Key::new(format!("account/{endpoint}/{registration}/{}/", digits(since))), below }
}

/// The first key after this one. No text lies between a key and the key with `!` added: that is the
/// lowest character of a key that no id contains.
pub(crate) fn successor(key: &Key) -> Key {
    Key::new(format!("{key}!"))
}

/// The time and the order in a key of the account index.
pub(crate) fn read_account(key: &Key) -> Option<(Timestamp, OrderId)> {
    let mut parts = key.as_str().strip_prefix("account/")?.split('/').skip(2);
    let created = read_digits(parts.next()?)?;
    Some((created, OrderId::parse(parts.next()?).ok()?))
}

/// The job in a key of the due index.
pub(crate) fn read_due(key: &Key) -> Option<JobId> {
    JobId::parse(key.as_str().strip_prefix("due/")?.split('/').nth(1)?).ok()
}

/// The position in the key of an audit entry.
pub(crate) fn read_audit(key: &Key) -> Option<&str> {
    key.as_str().strip_prefix("audit/")
}

/// Whose transcript an entry belongs to, and its position there; `None` for keys of other kinds.
pub(crate) fn read_told(key: &Key) -> Option<(Reference, &str)> {
    let (subject, position) = key.as_str().strip_prefix("told/")?.split_once('/')?;
    Some((Reference::parse(subject).ok()?, position))
}

/// The authorization in a key of the index of proofs.
pub(crate) fn read_proven(key: &Key) -> Option<AuthorizationId> {
    AuthorizationId::parse(key.as_str().strip_prefix("proven/")?.rsplit('/').next()?).ok()
}

/// The key of a run of failures or of a proof by an earlier release, with brackets around its identifier; `None` for
/// keys of other kinds, and for those whose identifier is hidden.
pub(crate) fn with_name(key: &Key) -> Option<Key> {
    let mut parts: Vec<_> = key.as_str().split('/').collect();
    let &mut ["failures" | "proven", _, _, _, ref mut identifier, ..] = parts.as_mut_slice() else {
        return None;
    };
    if identifier.starts_with('~') {
        return None;
    }
    let named = format!("<{identifier}>");
    *identifier = &named;
    Some(Key::new(parts.join("/")))
}

/// The authorization in the key of an authorization; `None` for keys of other kinds.
pub(crate) fn read_authorization(key: &Key) -> Option<AuthorizationId> {
    AuthorizationId::parse(key.as_str().strip_prefix("authorization/")?).ok()
}

/// The order in the key of an order; `None` for keys of other kinds.
pub(crate) fn read_order(key: &Key) -> Option<OrderId> {
    OrderId::parse(key.as_str().strip_prefix("order/")?).ok()
}

fn digits(time: Timestamp) -> String {
    format!("{:012}", time.unix_secs())
}

fn read_digits(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_unix_secs)
}

/// `0` is the character after `/`.
fn below_prefix(prefix: &str) -> KeyRange {
    KeyRange { from: Key::new(format!("{prefix}/")), below: Key::new(format!("{prefix}0")) }
}

fn until(prefix: &str, now: Timestamp) -> KeyRange {
    KeyRange { from: Key::new(format!("{prefix}/")), below: Key::new(format!("{prefix}/{}0", digits(now))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_secs(seconds)
    }

    fn contains(range: &KeyRange, key: &Key) -> bool {
        range.from <= *key && *key < range.below
    }

    #[test]
    fn what_is_due_at_a_second_belongs_to_it_and_what_is_due_later_does_not() {
        let id = JobId::parse("zz").unwrap();
        assert!(contains(&due_until(at(99)), &due(at(0), &id)));
        assert!(contains(&due_until(at(99)), &due(at(99), &id)));
        assert!(!contains(&due_until(at(99)), &due(at(100), &id)));
        assert!(contains(&due_range(), &due(at(i64::MAX), &id)));
    }

    #[test]
    fn accounts_whose_names_begin_alike_are_apart() {
        let (endpoint, order) = (EndpointName::parse("a").unwrap(), OrderId::parse("o").unwrap());
        let (short, long) = (RegistrationId::parse("r").unwrap(), RegistrationId::parse("r-2").unwrap());
        let range = orders_of(&endpoint, &short, None);
        assert!(contains(&range, &account(&endpoint, &short, at(5), &order)));
        assert!(!contains(&range, &account(&endpoint, &long, at(5), &order)));
    }

    #[test]
    fn after_an_order_come_later_ones_and_those_of_the_same_second_that_follow() {
        let (endpoint, registration) = (EndpointName::parse("a").unwrap(), RegistrationId::parse("r").unwrap());
        let id = |text: &str| OrderId::parse(text).unwrap();
        let range = orders_of(&endpoint, &registration, Some((at(5), &id("m"))));
        let key = |seconds, text| account(&endpoint, &registration, at(seconds), &id(text));
        assert!(!contains(&range, &key(5, "m")) && !contains(&range, &key(5, "a")) && !contains(&range, &key(4, "z")));
        assert!(contains(&range, &key(5, "m-")) && contains(&range, &key(5, "n")) && contains(&range, &key(6, "a")));
    }

    #[test]
    fn keys_are_read_as_they_were_written() {
        let (endpoint, registration) = (EndpointName::parse("a").unwrap(), RegistrationId::parse("r").unwrap());
        let (id, job_id) = (OrderId::parse("o").unwrap(), JobId::parse("j").unwrap());
        assert_eq!(read_account(&account(&endpoint, &registration, at(7), &id)), Some((at(7), id.clone())));
        assert_eq!(read_due(&due(at(7), &job_id)), Some(job_id));
        assert_eq!(read_order(&order(&id)), Some(id));
        assert_eq!(read_order(&serial(&[1, 0xff], "0a")), None);
        let (proof, address) = (AuthorizationId::parse("z").unwrap(), Identifier::parse_ip("2001:db8::1").unwrap());
        assert_eq!(read_proven(&proven(&endpoint, &registration, &address, at(7), &proof)), Some(proof.clone()));
        assert_eq!(read_authorization(&authorization(&proof)), Some(proof));
        assert_eq!(serial(&[1, 0xff], "0a").as_str(), "serial/01ff/0a");
        let subject = Reference::from(&OrderId::parse("o").unwrap());
        assert_eq!(read_told(&told(&subject, &position(at(1), 2, 3))).unwrap().0, subject);
        assert_eq!(read_audit(&audit(&position(at(1), 2, 3))), Some("000000000001/00000000000000020000000000000003"));
    }
}

//! What a changed list would do to certificates in force: which of them could not be renewed.
//!
//! Judged by the gateway's own policy on the registration's new list alone. Certificates of accounts that
//! were bound by its external account key as children are not looked at: the contract has no
//! question for them.

use acme::{identifier::Identifier, registration::AllowedIdentifiers};
use cm_connector::rest::door;
use policies::identifier::{Verdict, allowed};
use serde_json::{Value, json};

use crate::{
    cm::{Cm, certificate::Certificate},
    error::Failure,
    output::table,
};

/// Most certificates that are looked at.
const CERTIFICATES_MAX: usize = 10_000;

/// A certificate in force with names that the new list does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) id: String,
    pub(crate) not_after: String,
    /// The names that are not allowed any more.
    pub(crate) names: Vec<String>,
}

/// The certificates of this registration that could not be renewed if its list were this one.
pub(crate) async fn no_longer_renewable(cm: &Cm, id: &str, list: &Value) -> Result<Vec<Lost>, Failure> {
    let query = vec![("registration", id.to_owned()), ("status", "good".to_owned())];
    let found = cm.certificates(query, CERTIFICATES_MAX).await?;
    let certificates = found.items.into_iter().map(Certificate::of).collect::<Result<Vec<_>, _>>()?;
    Ok(lost(&certificates, &door::allowed_identifiers(list.clone())))
}

fn lost(certificates: &[Certificate], list: &AllowedIdentifiers) -> Vec<Lost> {
    let is_refused = |name: &&str| {
        let identifier = Identifier::parse_ip(name).or_else(|_| Identifier::parse_dns(name));
        !identifier.is_ok_and(|identifier| matches!(allowed(&identifier, list), Verdict::Allowed { .. }))
    };
    let of = |certificate: &Certificate| {
        let view = &certificate.view;
        let names = view.identifiers.iter().map(|name| name.value.as_str()).filter(is_refused).map(str::to_owned);
        Lost { id: view.id.clone(), not_after: view.not_after.clone(), names: names.collect() }
    };
    certificates.iter().map(of).filter(|lost| !lost.names.is_empty()).collect()
}

/// For people; nothing if there is nothing to say.
pub(super) fn told(lost: &[Lost]) -> Option<String> {
    let row = |one: &Lost| vec![one.id.clone(), one.not_after.clone(), one.names.join(", ")];
    let rows: Vec<Vec<String>> = lost.iter().map(row).collect();
    let list = table(&["CERTIFICATE", "UNTIL", "NAMES THAT ARE NOT ALLOWED"], &rows);
    (!rows.is_empty()).then(|| format!("certificates in force whose renewal will be refused:\n{list}"))
}

/// For programs.
pub(super) fn to_json(lost: &[Lost]) -> Value {
    lost.iter().map(|one| json!({"id": one.id, "not_after": one.not_after, "names": one.names})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(id: &str, names: &[&str]) -> Certificate {
        let names: Vec<Value> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let json = json!({"id": id, "status": "good", "serial": "0a", "sha256": "00", "notBefore": "t0", "notAfter": "t1", "identifiers": names});
        Certificate::of(json).unwrap()
    }

    #[test]
    fn only_certificates_with_a_name_that_is_refused_are_named() {
        let list = door::allowed_identifiers(json!({"mode": "listed", "rules": [
            {"type": "dns", "match": "suffix", "value": "a.test", "wildcards": false}]}));
        let all =
            [certificate("kept", &["a.test", "x.a.test"]), certificate("gone", &["a.test", "*.a.test", "b.test"])];
        let lost = lost(&all, &list);
        assert_eq!(to_json(&lost), json!([{"id": "gone", "not_after": "t1", "names": ["*.a.test", "b.test"]}]));
        assert!(told(&lost).unwrap().contains("gone         t1     *.a.test, b.test"), "{:?}", told(&lost));
        assert_eq!(told(&[]), None);
    }
}

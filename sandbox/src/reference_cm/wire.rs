//! Members that several requests share, and the checks that go with them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::key::PublicKey;
use super::problem::{Code, Problem};

/// Most contacts of a registration.
const CONTACTS_MAX: usize = 10;
/// Longest contact, in characters.
const CONTACT_CHARS_MAX: usize = 254;

/// The member `client`: who stands behind the gateway, as far as it says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Client {
    /// Its address.
    pub(crate) ip: Option<String>,
    /// Its software.
    pub(crate) user_agent: Option<String>,
}

impl Client {
    /// Refuses what is longer than the contract allows.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.user_agent.as_ref().is_some_and(|text| text.chars().count() > 256) {
            return Err(Problem::malformed("/client/userAgent", "at most 256 characters"));
        }
        if self.ip.as_ref().is_some_and(|text| text.parse::<std::net::IpAddr>().is_err()) {
            return Err(Problem::malformed("/client/ip", "not an IP address"));
        }
        Ok(())
    }
}

/// A JWK as requests carry it: these members and no others.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JwkIn {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// The member `key` or `newKey`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyIn {
    jwk: JwkIn,
    thumbprint: Option<String>,
}

impl KeyIn {
    /// The key; 422 if it is none that accounts may have or its thumbprint is another one.
    pub(crate) fn read(&self) -> Result<PublicKey, Problem> {
        let mut jwk = json!({"kty": self.jwk.kty});
        for (name, value) in
            [("crv", &self.jwk.crv), ("x", &self.jwk.x), ("y", &self.jwk.y), ("n", &self.jwk.n), ("e", &self.jwk.e)]
        {
            if let (Some(value), Some(members)) = (value, jwk.as_object_mut()) {
                members.insert(name.to_owned(), json!(value));
            }
        }
        let key = PublicKey::from_jwk(&jwk).map_err(|reason| Problem::new(Code::AccountKeyRejected, reason))?;
        if self.thumbprint.as_ref().is_some_and(|thumbprint| *thumbprint != key.thumbprint()) {
            return Err(Problem::new(Code::AccountKeyRejected, "the thumbprint is not that of the key"));
        }
        Ok(key)
    }
}

/// Checks contacts: `mailto:` with one plain address each.
pub(crate) fn check_contacts(contacts: &[String]) -> Result<(), Problem> {
    if contacts.len() > CONTACTS_MAX {
        return Err(Problem::new(Code::ContactInvalid, "at most 10 contacts are kept"));
    }
    for contact in contacts {
        let Some(address) = contact.strip_prefix("mailto:") else {
            return Err(Problem::new(Code::ContactUnsupported, "a contact must be a mailto: URI"));
        };
        let is_plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|octet| octet.is_ascii_graphic() && !b",?%<>()[]\"\\;:@".contains(&octet))
        };
        let good = contact.chars().count() <= CONTACT_CHARS_MAX
            && address.split_once('@').is_some_and(|(local, host)| is_plain(local) && is_plain(host));
        if !good {
            return Err(Problem::new(Code::ContactInvalid, "a contact must be one mail address without header fields"));
        }
    }
    Ok(())
}

/// Checks free text against its limit.
pub(crate) fn check_text(pointer: &str, text: Option<&String>, chars_max: usize) -> Result<(), Problem> {
    if text.is_some_and(|text| text.chars().count() > chars_max) {
        Err(Problem::malformed(pointer, &format!("at most {chars_max} characters")))
    } else {
        Ok(())
    }
}

/// Whether the members `contact` of an ACME payload are these contacts.
pub(crate) fn are_contacts_of(payload: &Value, contacts: &[String]) -> bool {
    match payload.get("contact") {
        None => contacts.is_empty(),
        Some(list) => *list == json!(contacts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_single_plain_mail_addresses() {
        assert!(check_contacts(&["mailto:pki@web.example.com".to_owned()]).is_ok());
        for (contact, code) in [
            ("tel:+15551234567", Code::ContactUnsupported),
            ("mailto:a@b,c@d", Code::ContactInvalid),
            ("mailto:a@b?subject=x", Code::ContactInvalid),
            ("mailto:a", Code::ContactInvalid),
            ("mailto:a b@c", Code::ContactInvalid),
            ("mailto:", Code::ContactInvalid),
        ] {
            let problem = check_contacts(&[contact.to_owned()]).unwrap_err();
            assert_eq!(problem.code(), code, "{contact}");
        }
        let many = vec!["mailto:a@b".to_owned(); 11];
        assert!(check_contacts(&many).is_err());
    }
}

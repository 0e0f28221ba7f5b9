//! Accounts: the ACME face of a registration (RFC 8555 §7.1.2, §7.3).

use serde::Serialize;

use crate::{problem::ProblemKind, registration::RegistrationStatus};

/// Most contacts of one account, and the octets of one (CM contract section 3, Limits).
pub const CONTACTS_MAX: usize = 10;
/// Longest contact URI, in octets.
pub const CONTACT_OCTETS_MAX: usize = 254;

/// The status words of RFC 8555 §7.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountStatus {
    /// May be used.
    Valid,
    /// Given up by its client.
    Deactivated,
    /// Ended by the CM.
    Revoked,
}

impl AccountStatus {
    /// What a registration's status means for its account (CM contract section 4.3).
    #[must_use]
    pub const fn of(registration: RegistrationStatus) -> Self {
        match registration {
            RegistrationStatus::Pending | RegistrationStatus::Active | RegistrationStatus::Suspended => Self::Valid,
            RegistrationStatus::Deactivated => Self::Deactivated,
            RegistrationStatus::Revoked => Self::Revoked,
        }
    }
}

/// A contact that cannot be taken. The texts are for ACME clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// More than [`CONTACTS_MAX`].
    #[error("at most 10 contacts can be given")]
    TooMany,
    /// Longer than [`CONTACT_OCTETS_MAX`] octets.
    #[error("a contact is longer than 254 octets")]
    TooLong,
    /// A scheme other than mailto.
    #[error("only mailto: contacts are supported, such as mailto:admin@example.org")]
    UnsupportedScheme,
    /// No scheme at all.
    #[error("a contact must be a URI such as mailto:admin@example.org")]
    NoScheme,
    /// Header fields after a question mark (RFC 8555 §7.3).
    #[error("a mailto contact must not have header fields")]
    HeaderFields,
    /// Several addresses in one URI (RFC 8555 §7.3).
    #[error("a mailto contact must have exactly one address; give each its own URI")]
    SeveralAddresses,
    /// Not an address.
    #[error("a mailto contact must have an e-mail address in ASCII, such as admin@example.org")]
    NotAnAddress,
}

impl ContactError {
    /// The error type it is reported with.
    #[must_use]
    pub const fn kind(self) -> ProblemKind {
        match self {
            Self::UnsupportedScheme => ProblemKind::UnsupportedContact,
            Self::TooMany => ProblemKind::Malformed,
            Self::TooLong | Self::NoScheme | Self::HeaderFields | Self::SeveralAddresses | Self::NotAnAddress => {
                ProblemKind::InvalidContact
            }
        }
    }
}

/// Checks a whole list of contacts; one bad contact refuses the list (RFC 8555 §7.3).
///
/// # Errors
/// [`ContactError`] of the first contact that breaks a rule.
pub fn check_contacts(contacts: &[String]) -> Result<(), ContactError> {
    if contacts.len() > CONTACTS_MAX {
        return Err(ContactError::TooMany);
    }
    contacts.iter().try_for_each(|contact| check_contact(contact))
}

fn check_contact(contact: &str) -> Result<(), ContactError> {
    if contact.len() > CONTACT_OCTETS_MAX {
        return Err(ContactError::TooLong);
    }
    let (scheme, address) = contact.split_once(':').ok_or(ContactError::NoScheme)?;
    let letters = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.');
    if scheme.is_empty() || !scheme.bytes().all(letters) {
        return Err(ContactError::NoScheme);
    }
    if !scheme.eq_ignore_ascii_case("mailto") {
        return Err(ContactError::UnsupportedScheme);
    }
    if address.contains('?') {
        return Err(ContactError::HeaderFields);
    }
    if address.contains(',') {
        return Err(ContactError::SeveralAddresses);
    }
    check_address(address)
}

/// Loose on purpose: appliances send `root@localhost`, and mail is never sent on trust.
fn check_address(address: &str) -> Result<(), ContactError> {
    let (local, domain) = address.rsplit_once('@').ok_or(ContactError::NotAnAddress)?;
    let atom =
        |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'@' | b'<' | b'>' | b'(' | b')' | b'"' | b'\\');
    let host = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'[' | b']' | b':');
    let good = !local.is_empty() && !domain.is_empty() && local.bytes().all(atom) && domain.bytes().all(host);
    if good { Ok(()) } else { Err(ContactError::NotAnAddress) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_single_mail_addresses() {
        let check = |contact: &str| check_contacts(&[contact.to_owned()]);
        for good in ["mailto:admin@example.org", "MAILTO:a.b+c@x.test", "mailto:root@localhost"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check("tel:+15551234"), Err(ContactError::UnsupportedScheme));
        assert_eq!(check("admin@example.org"), Err(ContactError::NoScheme));
        assert_eq!(check(""), Err(ContactError::NoScheme));
        assert_eq!(check("mailto:a@b.org,c@d.org"), Err(ContactError::SeveralAddresses));
        assert_eq!(check("mailto:a@b.org?subject=x"), Err(ContactError::HeaderFields));
        for bad in ["mailto:", "mailto:not-an-address", "mailto:ä@b.org", "mailto:a@b.org\r\nBcc: x"] {
            assert_eq!(check(bad), Err(ContactError::NotAnAddress), "{bad:?}");
        }
    }
}

//! Who is calling: the identity in a client certificate (contract section 2).
//!
//! The TLS layer has verified the chain to the clients CA and the clientAuth purpose; here the
//! single URI SAN `urn:cm:<role>:<name>` is read. There is no other credential.

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::moment::Moment;

/// What an identity may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// An ACME gateway.
    Gateway,
    /// An RA officer, who owns registrations.
    Officer,
    /// One who approves or rejects requests.
    Approver,
    /// One who reads everything, the audit trail too.
    Auditor,
}

impl Role {
    /// All roles.
    #[cfg(test)]
    pub(crate) const ALL: [Role; 4] = [Role::Gateway, Role::Officer, Role::Approver, Role::Auditor];

    /// The word in the URN.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Officer => "officer",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "gateway" => Some(Self::Gateway),
            "officer" => Some(Self::Officer),
            "approver" => Some(Self::Approver),
            "auditor" => Some(Self::Auditor),
            _ => None,
        }
    }
}

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// What it may be.
    pub(crate) role: Role,
    /// Its name within the role; the same name in two roles is the same person.
    pub(crate) name: String,
    /// When its certificate ends.
    pub(crate) not_after: Moment,
}

impl Identity {
    /// Reads the identity from a verified certificate; the error says what is wrong with it.
    pub(crate) fn from_certificate(der: &[u8]) -> Result<Self, &'static str> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "the certificate does not parse")?;
        let client_auth = certificate
            .extended_key_usage()
            .map_err(|_| "the extended key usage does not parse")?
            .is_some_and(|usage| usage.value.client_auth);
        if !client_auth {
            return Err("the certificate is not for client authentication");
        }
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| "the subject alternative name does not parse")?
            .ok_or("the certificate has no subject alternative name")?;
        let mut uris = names
            .value
            .general_names
            .iter()
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
        let (Some(uri), None) = (uris.next(), uris.next()) else {
            return Err("the certificate must have exactly one URI name");
        };
        let (role, name) = parse_urn(uri).ok_or("the URI name is not urn:cm:<role>:<name>")?;
        Ok(Self { role, name, not_after: Moment::from_offset(certificate.validity().not_after.to_datetime()) })
    }

    /// The URN that stands for the caller in records and in the audit trail.
    pub(crate) fn urn(&self) -> String {
        format!("urn:cm:{}:{}", self.role.name(), self.name)
    }
}

fn parse_urn(uri: &str) -> Option<(Role, String)> {
    let (role, name) = uri.strip_prefix("urn:cm:")?.split_once(':')?;
    let plain = (1..=64).contains(&name.len())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'));
    plain.then(|| Role::from_name(role).map(|role| (role, name.to_owned()))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_role_and_a_plain_name_make_an_identity() {
        assert_eq!(parse_urn("urn:cm:gateway:dmz-1"), Some((Role::Gateway, "dmz-1".to_owned())));
        for uri in [
            "urn:cm:root:dmz-1",
            "urn:cm:gateway:",
            "urn:cm:gateway:a:b",
            "URN:CM:gateway:a",
            "urn:cm:gateway",
            "urn:xx:gateway:a",
        ] {
            assert_eq!(parse_urn(uri), None, "{uri}");
        }
    }
}

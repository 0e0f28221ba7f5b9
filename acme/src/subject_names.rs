//! The names inside CSRs and certificates: subject alternative names and common names
//! (RFC 5280 §4.2.1.6, RFC 8555 §7.4).

use std::{collections::BTreeSet, net::IpAddr};

use x509_parser::{extensions::GeneralName, x509::X509Name};

use crate::identifier::{Identifier, IdentifierError};

/// The names that a CSR asks for or a certificate carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubjectNames {
    /// Subject alternative names.
    pub alternative: BTreeSet<Identifier>,
    /// Common names, as they stand.
    pub common: Vec<String>,
}

/// A subject alternative name that no order can ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectNameError {
    /// Not a name in certificate form.
    #[error("subject alternative name {0}: {1}")]
    Name(String, IdentifierError),
    /// Neither dNSName nor iPAddress.
    #[error("subject alternative names of type {0} are not allowed; only dNSName and iPAddress are")]
    Type(&'static str),
    /// An iPAddress of neither 4 nor 16 octets.
    #[error("an iPAddress has neither 4 nor 16 octets")]
    AddressLength,
}

impl SubjectNames {
    pub(crate) fn add_alternative(&mut self, name: &GeneralName<'_>) -> Result<(), SubjectNameError> {
        let refused = |kind| Err(SubjectNameError::Type(kind));
        match name {
            GeneralName::DNSName(text) => {
                let identifier = Identifier::parse_dns(text)
                    .map_err(|error| SubjectNameError::Name(crate::problem::shown(text).into_owned(), error))?;
                self.alternative.insert(identifier);
                Ok(())
            }
            GeneralName::IPAddress(octets) => {
                self.alternative.insert(Identifier::Ip(address(octets)?));
                Ok(())
            }
            GeneralName::RFC822Name(_) => refused("rfc822Name"),
            GeneralName::URI(_) => refused("uniformResourceIdentifier"),
            GeneralName::OtherName(..) => refused("otherName"),
            GeneralName::DirectoryName(_) => refused("directoryName"),
            GeneralName::RegisteredID(_) => refused("registeredID"),
            GeneralName::X400Address(_) => refused("x400Address"),
            GeneralName::EDIPartyName(_) => refused("ediPartyName"),
            GeneralName::Invalid(..) => refused("unknown"),
        }
    }

    pub(crate) fn add_common_names(&mut self, subject: &X509Name<'_>) {
        for attribute in subject.iter_common_name() {
            let text = attribute.as_str().map_or_else(|_| String::from("(not text)"), str::to_owned);
            self.common.push(text);
        }
    }
}

fn address(octets: &[u8]) -> Result<IpAddr, SubjectNameError> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Ok(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(octets).map(IpAddr::from).map_err(|_| SubjectNameError::AddressLength)
}

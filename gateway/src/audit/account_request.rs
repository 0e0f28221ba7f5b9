//! What the CM is asked to do with an account: told before it is called, so that whatever it does has a record, and told
//! again if it says that it did not.

use std::net::IpAddr;

use acme::{
    account_key::Thumbprint,
    ids::{EndpointName, RegistrationId},
};
use serde_json::{Value, json};

use super::Asked;

/// Something that only the CM can do, by the word of a client.
#[derive(Debug)]
pub(crate) struct AccountRequest<'a> {
    pub(crate) endpoint: &'a EndpointName,
    pub(crate) client: IpAddr,
    pub(crate) act: AccountAct<'a>,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum AccountAct<'a> {
    /// To be created, or bound.
    Create {
        key: Thumbprint,
        external_account: Option<&'a str>,
        by_directory_link: bool,
        /// Terms that are agreed to by it.
        terms_of_service: Option<&'a str>,
    },
    /// Other contacts, the agreement to terms that have changed, or both.
    Update {
        asked: Asked<'a>,
        has_contacts: bool,
        terms_of_service: Option<&'a str>,
    },
    ChangeKey {
        asked: Asked<'a>,
        new_key: Thumbprint,
    },
    Deactivate {
        asked: Asked<'a>,
    },
}

impl AccountAct<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { has_contacts: true, .. } => "update",
            Self::Update { .. } => "agree",
            Self::ChangeKey { .. } => "change-key",
            Self::Deactivate { .. } => "deactivate",
        }
    }

    /// Whose account it is, which a new one has not got yet, and the key that signed.
    fn asked(&self) -> (Option<&RegistrationId>, Option<String>) {
        match self {
            Self::Create { key, .. } => (None, Some(key.to_string())),
            Self::Update { asked, .. } | Self::ChangeKey { asked, .. } | Self::Deactivate { asked } => {
                (Some(&asked.registration.id), asked.key())
            }
        }
    }
}

impl AccountRequest<'_> {
    /// The event of this name; `why` if it was not done.
    pub(super) fn to_json(&self, event: &str, why: Option<&str>) -> Value {
        let (account, key) = self.act.asked();
        let (external_account, by_directory_link, terms_of_service, new_key) = match &self.act {
            AccountAct::Create { external_account, by_directory_link, terms_of_service, .. } => {
                (*external_account, Some(*by_directory_link), *terms_of_service, None)
            }
            AccountAct::Update { terms_of_service, .. } => (None, None, *terms_of_service, None),
            AccountAct::ChangeKey { new_key, .. } => (None, None, None, Some(new_key.to_string())),
            AccountAct::Deactivate { .. } => (None, None, None, None),
        };
        json!({
            "event": event, "endpoint": self.endpoint, "account": account, "what": self.act.name(),
            "externalAccount": external_account, "byDirectoryLink": by_directory_link,
            "termsOfService": terms_of_service, "accountKey": key, "newKey": new_key, "client": self.client, "why": why,
        })
    }
}

//! URLs of one endpoint, built from the configured external URL and never from what a client
//! sends: URLs are compared octet by octet (RFC 8555 §6.4), and an account URL is for ever.

use acme::{
    challenge::ChallengeKind,
    ids::{AuthorizationId, EndpointName, OrderId, Reference, RegistrationId},
};
use cm_connector::DirectoryToken;

/// Makes and recognises the URLs of one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    origin: String,
    base: String,
}

impl Links {
    pub(crate) fn new(external_url: &str, endpoint: &EndpointName) -> Self {
        Self { origin: external_url.to_owned(), base: format!("{external_url}/acme/{endpoint}") }
    }

    /// The URL of a path on this server: what a signed request must name.
    pub(crate) fn of_path(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.origin)
    }

    pub(crate) fn directory(&self) -> String {
        format!("{}/directory", self.base)
    }

    pub(crate) fn new_nonce(&self) -> String {
        format!("{}/new-nonce", self.base)
    }

    pub(crate) fn new_account(&self) -> String {
        format!("{}/new-account", self.base)
    }

    /// Below a directory link; has its secret.
    pub(crate) fn new_account_by_link(&self, token: &DirectoryToken) -> String {
        format!("{}/r/{}/new-account", self.base, token.expose_secret())
    }

    pub(crate) fn new_order(&self) -> String {
        format!("{}/new-order", self.base)
    }

    pub(crate) fn revoke_certificate(&self) -> String {
        format!("{}/revoke-cert", self.base)
    }

    pub(crate) fn key_change(&self) -> String {
        format!("{}/key-change", self.base)
    }

    pub(crate) fn new_authorization(&self) -> String {
        format!("{}/new-authz", self.base)
    }

    /// Without a final slash: clients add the slash and the certificate's identifier (RFC 9773 §4.1).
    pub(crate) fn renewal_info(&self) -> String {
        format!("{}/renewal-info", self.base)
    }

    pub(crate) fn account(&self, id: &RegistrationId) -> String {
        format!("{}/acct/{id}", self.base)
    }

    pub(crate) fn orders(&self, id: &RegistrationId) -> String {
        format!("{}/acct/{id}/orders", self.base)
    }

    pub(crate) fn order(&self, id: &OrderId) -> String {
        format!("{}/order/{id}", self.base)
    }

    pub(crate) fn finalize(&self, id: &OrderId) -> String {
        format!("{}/order/{id}/finalize", self.base)
    }

    pub(crate) fn authorization(&self, id: &AuthorizationId) -> String {
        format!("{}/authz/{id}", self.base)
    }

    pub(crate) fn challenge(&self, id: &AuthorizationId, kind: ChallengeKind) -> String {
        format!("{}/chall/{id}/{}", self.base, kind.as_str())
    }

    pub(crate) fn certificate(&self, sealed: &str) -> String {
        format!("{}/cert/{sealed}", self.base)
    }

    pub(crate) fn alternate(&self, sealed: &str, chain: usize) -> String {
        format!("{}/cert/{sealed}/{chain}", self.base)
    }

    pub(crate) fn unpause(&self, sealed: &str) -> String {
        format!("{}/unpause/{sealed}", self.base)
    }

    pub(crate) fn transcript(&self, reference: &Reference) -> String {
        format!("{}/transcript/{reference}", self.base)
    }

    /// The account id in a `kid`: `None` if the URL is not an account URL of this endpoint.
    pub(crate) fn account_in_kid<'a>(&self, kid: &'a str) -> Option<&'a str> {
        kid.strip_prefix(self.base.as_str())?.strip_prefix("/acct/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kid_is_recognised_only_under_its_own_endpoint() {
        let links = Links::new("https://acme.test:8443", &EndpointName::parse("open").unwrap());
        let url = links.account(&RegistrationId::parse("reg_1").unwrap());
        assert_eq!(url, "https://acme.test:8443/acme/open/acct/reg_1");
        assert_eq!(links.account_in_kid(&url), Some("reg_1"));
        for foreign in [
            "https://acme.test/acme/open/acct/reg_1",
            "https://acme.test:8443/acme/opener/acct/reg_1",
            "https://acme.test:8443/acme/registered/acct/reg_1",
            "http://acme.test:8443/acme/open/acct/reg_1",
        ] {
            assert_eq!(links.account_in_kid(foreign), None, "{foreign}");
        }
    }
}

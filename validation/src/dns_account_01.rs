//! dns-account-01: as dns-01, under a label of the account's own, so that several accounts can keep
//! records for one name (draft-ietf-acme-dns-account-label).

use acme::{
    challenge::{KeyAuthorization, account_label},
    identifier::DnsName,
};
use tokio::time::Instant;

use crate::{Failure, Parts, Reached, dns_01};

/// Looks for the record of the account with this URL.
pub(crate) async fn validate(
    parts: &Parts,
    name: &DnsName,
    account_url: &str,
    key_authorization: &KeyAuthorization,
    deadline: Instant,
) -> Result<Reached, Failure> {
    let owner = format!("{}._acme-challenge.{name}", account_label(account_url));
    dns_01::validate_at(parts, &owner, key_authorization, deadline).await
}

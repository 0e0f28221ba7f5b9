//! The CM itself: who we are to it, what it offers, whether it is ready (CM contract sections 4.1 and 4.2).

use std::collections::BTreeSet;

use acme::{
    ids::{IssuerName, RealmName},
    profile::Profile,
};
use tokio::time::Instant;

use super::{
    RestCertificateManager, broken,
    call::decode,
    failure::Failure,
    not_what_was_asked_for,
    refusal::Subject,
    wire::{
        self, Page,
        profile::ProfileIn,
        service::{InfoIn, IssuerIn, WhoAmIIn},
    },
};
use crate::{
    CmError, Identity, Issuer, Outcome,
    transport::{deadline::Deadline, lane::Lane},
};

/// What no issuance can do without: without `idempotency` a lost answer could issue twice.
const CAPABILITIES: [&str; 2] = ["registrations", "idempotency"];
/// The role that we need.
const ROLE: &str = "gateway";

/// Most pages of profiles that are read; at 500 a page.
pub(super) const PAGES_MAX: usize = 10;

pub(super) async fn check_identity(cm: &RestCertificateManager, realms: &[RealmName]) -> Result<Identity, CmError> {
    let identity = async {
        let info = cm.read(Lane::Rest, String::from("/info"), None).await?;
        let caller = cm.read(Lane::Rest, String::from("/whoami"), None).await?;
        let info = decode::<InfoIn>(info.json)?;
        if let Some(per_second) = info.requests_per_second() {
            cm.client.pace(per_second);
        }
        info.convert(decode::<WhoAmIIn>(caller.json)?).map_err(Failure::Broken)
    };
    let identity = identity.await.map_err(|failure| failure.into_error(Subject::Configuration))?;
    check(&identity, realms)?;
    Ok(identity)
}

pub(super) async fn ready(cm: &RestCertificateManager) -> Result<(), CmError> {
    match cm.client.probe(Instant::now() + Deadline::READ.total).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(CmError::Unavailable { retry_after: None, outcome: Outcome::NotSent }),
        Err(failure) => Err(failure.into_error(Subject::Configuration)),
    }
}

pub(super) async fn profiles(cm: &RestCertificateManager, realm: &RealmName) -> Result<Vec<Profile>, CmError> {
    let mut profiles = Vec::new();
    let mut query = ("limit", String::from("500"));
    for _ in 0..PAGES_MAX {
        let page = async {
            let answer = cm.read(Lane::Rest, format!("/realms/{realm}/profiles"), Some(query)).await?;
            decode::<Page>(answer.json)
        };
        let page = page.await.map_err(|failure| failure.into_error(Subject::Configuration))?;
        profiles.extend(page.items.into_iter().filter_map(usable_profile));
        match page.next {
            Some(cursor) if cursor.bytes().all(is_safe_in_query) => query = ("cursor", cursor),
            Some(_) => return Err(broken(String::from("a cursor that is no token")).into_error(Subject::Request)),
            None => return Ok(profiles),
        }
    }
    Err(broken(format!("more than {PAGES_MAX} pages of profiles")).into_error(Subject::Configuration))
}

pub(super) async fn issuer(cm: &RestCertificateManager, name: &IssuerName) -> Result<Issuer, CmError> {
    let issuer = async {
        let answer = cm.read(Lane::Rest, format!("/issuers/{name}"), None).await?;
        let issuer = decode::<IssuerIn>(answer.json)?.convert().map_err(Failure::Broken)?;
        if issuer.name == *name { Ok(issuer) } else { Err(not_what_was_asked_for()) }
    };
    issuer.await.map_err(|failure| failure.into_error(Subject::Configuration))
}

fn check(identity: &Identity, realms: &[RealmName]) -> Result<(), CmError> {
    check_caller(&identity.name, &identity.roles, |realm| identity.realms.contains(realm), realms)?;
    match CAPABILITIES.iter().find(|capability| !identity.capabilities.contains(**capability)) {
        Some(capability) => Err(not_as_we_need(&identity.name, &format!("it lacks the capability {capability}"))),
        None => Ok(()),
    }
}

/// Whether the CM takes us for a gateway of these realms (section 3, whoami).
pub(super) fn check_caller(
    name: &str,
    roles: &BTreeSet<String>,
    is_in: impl Fn(&RealmName) -> bool,
    realms: &[RealmName],
) -> Result<(), CmError> {
    if !roles.contains(ROLE) {
        return Err(not_as_we_need(name, &format!("without the role {ROLE}")));
    }
    match realms.iter().find(|realm| !is_in(realm)) {
        Some(realm) => Err(not_as_we_need(name, &format!("not in the realm {realm}"))),
        None => Ok(()),
    }
}

fn not_as_we_need(name: &str, what: &str) -> CmError {
    let detail = format!("the CM knows us as {}, but {what}", acme::problem::shown(name));
    CmError::Internal { outcome: Outcome::NotSent, detail }
}

/// One profile that we do not understand must not take the others away.
pub(super) fn usable_profile(json: serde_json::Value) -> Option<Profile> {
    match wire::read::<ProfileIn>(json).and_then(ProfileIn::convert) {
        Ok(profile) => profile,
        Err(error) => {
            tracing::warn!(%error, "a profile of the CM is left out");
            None
        }
    }
}

const fn is_safe_in_query(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'~' | b'=')
}

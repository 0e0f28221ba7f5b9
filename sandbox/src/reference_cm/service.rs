//! The service itself, CA information, realms and profiles (contract sections 4.1 and 4.2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::Transaction;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::ReferenceCm;
use super::authority::DEFAULT_CHAIN;
use super::call::{Answer, Call};
use super::certificates::PUBLICATION_TARGET;
use super::configuration::is_retired;
use super::events::KEPT_DAYS;
use super::ids::hex;
use super::limits::{BODY_OCTETS_MAX, IDENTIFIERS_MAX, WAIT_SECS_MAX};
use super::paging;
use super::problem::{Code, Problem};
use super::settings::{Profile, Proofs};

/// The minor of the contract that is served.
pub(crate) const API_VERSION: &str = "1.4";

/// What it can do if its settings say nothing else.
const CAPABILITIES: [&str; 18] = [
    "registrations",
    "eab-verify",
    "bind-atomic",
    "proofs",
    "idempotency",
    "approvals",
    "revocation-reasons",
    "renewal-info",
    "events",
    "delivery",
    "audit",
    "search-spki",
    "alternate-chains",
    "eab-overlap",
    "rebind",
    "directory-links",
    "waivers",
    "realm-policy",
];

fn capabilities(cm: &ReferenceCm) -> Vec<&'static str> {
    let lacks = |name: &str| cm.settings.lacks.iter().any(|lacking| lacking.name() == name);
    CAPABILITIES.into_iter().filter(|name| !lacks(name)).collect()
}

/// `GET /info`
pub(crate) fn get_info(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    Ok(Answer::json(
        200,
        &json!({
            "product": "ACME sandbox reference CM - NOT FOR PRODUCTION",
            "version": env!("CARGO_PKG_VERSION"), "apiVersions": [API_VERSION], "time": call.now,
            "capabilities": capabilities(cm),
            "limits": {"bodyBytes": BODY_OCTETS_MAX, "csrBytes": 16_384,
                "identifiers": IDENTIFIERS_MAX,
                "requestsPerSecond": cm.settings.limits.requests_per_second,
                "inFlight": cm.settings.limits.in_flight,
                "idempotencyDays": 30, "eventDays": KEPT_DAYS, "maxWaitSeconds": WAIT_SECS_MAX},
        }),
    ))
}

/// `GET /whoami`
pub(crate) fn whoami(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    let realms: Vec<&String> = if call.is_gateway() {
        cm.settings.gateways.get(&call.identity.name).into_iter().flat_map(|gateway| &gateway.realms).collect()
    } else {
        cm.settings.realms.keys().collect()
    };
    Ok(Answer::json(
        200,
        &json!({
            "identity": call.identity.urn(), "roles": [call.identity.role.name()],
            "realms": realms, "certificateNotAfter": call.identity.not_after,
        }),
    ))
}

/// `GET /health/live`
pub(crate) fn live(_: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    Ok(Answer::json(200, &json!({"status": "ok", "time": call.now})))
}

/// `GET /health/ready`
pub(crate) fn ready(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    let database =
        cm.database.read(|tx| Ok(tx.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0))?)).is_ok();
    let issuer = cm.authority.not_after() > call.now;
    let publisher = cm.published.is_dir();
    let word = |good: bool| if good { "ok" } else { "failing" };
    let status = match (database, issuer && publisher) {
        (false, _) => "down",
        (true, false) => "degraded",
        (true, true) => "ok",
    };
    Ok(Answer::json(
        if database { 200 } else { 503 },
        &json!({
            "status": status, "time": call.now, "readOnly": false,
            "checks": {"database": word(database), "issuer:issuing-1": word(issuer),
                       format!("publisher:{PUBLICATION_TARGET}"): word(publisher)},
            "serves": {"registrations": database, "issuance": database && issuer,
                       "revocation": database, "events": database},
        }),
    ))
}

fn issuer(cm: &ReferenceCm, call: &Call) -> Value {
    let authority = &cm.authority;
    json!({
        "id": authority.id(), "name": "ACME sandbox issuing 1 (NOT FOR PRODUCTION)",
        "status": if authority.not_after() > call.now { "active" } else { "retired" },
        "keyType": "EC-P256", "notAfter": authority.not_after(),
        "subjectKeyId": URL_SAFE_NO_PAD.encode(authority.key_id()),
        "caaIdentities": cm.settings.issuer.caa_identities,
        "ocsp": [authority.ocsp_url()], "crl": [authority.crl_url()],
        "chains": authority.chains().iter().map(|chain| json!({
            "id": chain.id, "default": chain.id == DEFAULT_CHAIN,
            "rootSha256": hex(&Sha256::digest(&chain.root_der)),
            "certificates": format!("/cm/v1/issuers/{}/chains/{}", authority.id(), chain.id),
        })).collect::<Vec<_>>(),
    })
}

/// `GET /issuers`
pub(crate) fn list_issuers(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    paging::check(call)?;
    Ok(Answer::page(vec![issuer(cm, call)], None))
}

/// `GET /issuers/{issuer}`
pub(crate) fn get_issuer(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    must_be_ours(cm, call)?;
    Ok(Answer::json(200, &issuer(cm, call)))
}

/// `GET /issuers/{issuer}/chains/{chain}`
pub(crate) fn get_chain(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    must_be_ours(cm, call)?;
    let chains = cm.authority.chains();
    let chain = chains.iter().find(|chain| chain.id == call.parameter("chain"));
    let chain = chain.ok_or_else(|| Problem::new(Code::NotFound, "there is no such chain"))?;
    Ok(Answer::pem(&chain.issuers_pem))
}

fn must_be_ours(cm: &ReferenceCm, call: &Call) -> Result<(), Problem> {
    if call.parameter("issuer") == cm.authority.id() {
        Ok(())
    } else {
        Err(Problem::new(Code::NotFound, "there is no such issuer"))
    }
}

/// `GET /realms/{realm}`
pub(crate) fn get_realm(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    let (name, realm) = cm.realm(call)?;
    let list = cm.database.read(|tx| cm.realm_list(tx, name))?;
    Ok(Answer::json(
        200,
        &json!({
            "name": name, "mode": realm.mode, "defaultProfile": realm.default_profile,
            "profiles": realm.profiles, "issuers": [cm.authority.id()],
            "acmeBaseUrls": realm.acme_bases, "proofs": realm.proofs,
            "allowedIdentifiers": list,
            "limits": {"certificateRequestsPerMinute":
                           cm.settings.limits.certificate_requests_per_minute},
        }),
    ))
}

/// `GET …/profiles`
pub(crate) fn list_profiles(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    paging::check(call)?;
    let (_, realm) = cm.realm(call)?;
    cm.database.read(|tx| {
        let mut items = Vec::new();
        for name in &realm.profiles {
            if let Some(profile) = cm.settings.profiles.get(name) {
                let status = status_of(tx, name)?;
                items.push(show(cm, name, profile, status, *name == realm.default_profile, realm.proofs));
            }
        }
        Ok(Answer::page(items, None))
    })
}

/// `GET …/profiles/{profile}`
pub(crate) fn get_profile(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    let (_, realm) = cm.realm(call)?;
    let name = call.parameter("profile");
    let profile = cm
        .settings
        .profiles
        .get(name)
        .filter(|_| realm.profiles.iter().any(|profile| profile == name))
        .ok_or_else(|| Problem::new(Code::NotFound, "the realm has no such profile"))?;
    let status = cm.database.read(|tx| status_of(tx, name))?;
    Ok(Answer::json(200, &show(cm, name, profile, status, name == realm.default_profile, realm.proofs)))
}

fn status_of(tx: &Transaction<'_>, profile: &str) -> Result<&'static str, Problem> {
    Ok(if is_retired(tx, profile)? { "retired" } else { "active" })
}

fn show(cm: &ReferenceCm, name: &str, profile: &Profile, status: &str, default: bool, proofs: Proofs) -> Value {
    json!({
        "name": name, "description": profile.description, "status": status, "default": default,
        "issuer": cm.authority.id(), "identifierTypes": profile.identifier_types,
        "wildcards": profile.wildcards, "maxIdentifiers": profile.identifiers_max,
        "keyTypes": profile.key_types,
        "validity": {"default": profile.validity_default, "max": profile.validity_max,
                     "backdate": profile.backdate,
                     "clientMayChoose": profile.client_may_choose_validity},
        "validation": {"methods": profile.validation_methods, "maxAge": profile.validation_age_max,
                       "minRemotePerspectives": profile.remote_perspectives_min,
                       "caa": profile.caa},
        "approval": {"mode": profile.approval, "timeout": profile.approval_timeout},
        "proofs": proofs, "mustStaple": profile.must_staple,
        "publication": [PUBLICATION_TARGET],
    })
}

//! What the policy of the gateway's token grants in each realm, and whether the realm's record and its roles are there.

use std::collections::BTreeMap;

use acme::ids::{ProfileName, RealmName};
use cm_connector::openbao::rights::{self, Right};
use serde_json::{Value, json};

use super::{Session, ask, prepare};
use crate::{
    app::Endpoint,
    cli::doctor::finding::Finding,
    settings::{Mode, Settings},
};

pub(super) const RIGHTS: &str = "cm-rights";

/// Looks at every realm of an endpoint.
pub(super) async fn check(settings: &Settings, session: &Session, endpoints: &[&Endpoint]) -> Vec<Finding> {
    let by_realm: BTreeMap<&str, &Endpoint> = endpoints.iter().map(|one| (one.realm.as_str(), *one)).collect();
    let mut findings = Vec::new();
    for endpoint in by_realm.values() {
        match realm(settings, session, endpoint).await {
            Ok(found) => findings.extend(found),
            Err(error) => {
                let why = format!("realm {}: {error:#}", endpoint.realm);
                findings.push(Finding::not_looked_at(RIGHTS, why));
            }
        }
    }
    findings
}

async fn realm(settings: &Settings, session: &Session, endpoint: &Endpoint) -> anyhow::Result<Vec<Finding>> {
    let (mount, realm) = (&settings.cm.openbao.mount, &endpoint.realm);
    let needed = rights::of_realm(mount, realm);
    let Some(granted) = granted(settings, session, &needed).await? else {
        let what = "the policy does not let the gateway ask what it may do: an earlier release wrote it";
        let finding = Finding::warn(RIGHTS, what, "what it lacks is noticed when a client needs it", "write it anew");
        return Ok(vec![finding.run(prepare(settings, endpoint, None))]);
    };
    if granted.values().all(Vec::is_empty) {
        let what = format!("the policy grants nothing below {mount}/{realm}: realm {realm} was not prepared there");
        let mend = "set cm.openbao.mount to where the realms are (bao secrets list), or prepare this one";
        return Ok(vec![
            Finding::wrong(RIGHTS, what, "serve does not start", mend).run(prepare(settings, endpoint, None)),
        ]);
    }
    let mut findings: Vec<_> = lacking(settings, endpoint, &needed, &granted, None).into_iter().collect();
    findings.extend(too_much(settings, session, realm).await?);
    let (status, record) = ask(settings, session, &rights::realm_record(mount, realm), None).await?;
    if status == 404 {
        let what = format!("realm {realm} has no record in OpenBao ({})", rights::realm_record(mount, realm));
        let finding = Finding::wrong(RIGHTS, what, "serve does not start", "prepare the realm");
        findings.push(finding.run(prepare(settings, endpoint, None)));
        return Ok(findings);
    }
    findings.extend(mode(endpoint, mount, &record));
    let profiles = record.pointer("/data/data/profiles").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for profile in profiles.iter().filter_map(|profile| profile.as_str()?.parse::<ProfileName>().ok()) {
        findings.extend(role(settings, session, endpoint, &profile).await?);
    }
    if findings.is_empty() {
        findings.push(Finding::fine(RIGHTS, format!("the policy grants what is needed in realm {realm}, and no more")));
    }
    Ok(findings)
}

async fn role(
    settings: &Settings,
    session: &Session,
    endpoint: &Endpoint,
    profile: &ProfileName,
) -> anyhow::Result<Option<Finding>> {
    let (mount, realm) = (&settings.cm.openbao.mount, &endpoint.realm);
    let needed = rights::of_profile(mount, realm, profile);
    let granted = granted(settings, session, &needed).await?.unwrap_or_default();
    if let Some(lacking) = lacking(settings, endpoint, &needed, &granted, Some(profile)) {
        return Ok(Some(lacking));
    }
    let path = format!("{mount}/{realm}/pki/roles/{profile}");
    let (status, _) = ask(settings, session, &path, None).await?;
    Ok((status == 404).then(|| {
        let what = format!("realm {realm} names the profile {profile}, and OpenBao has no role {path}");
        let mend = "make the role, or take the profile out of the realm's record";
        Finding::wrong(RIGHTS, what, "no order of this profile is accepted", mend).run(prepare(
            settings,
            endpoint,
            Some(profile),
        ))
    }))
}

/// What the policy ought to grant and does not.
fn lacking(
    settings: &Settings,
    endpoint: &Endpoint,
    needed: &[Right],
    granted: &BTreeMap<String, Vec<String>>,
    profile: Option<&ProfileName>,
) -> Option<Finding> {
    let missing = |right: &Right| {
        let has = granted.get(&right.path).map_or(&[][..], Vec::as_slice);
        let is_missing = |word: &&&str| !has.iter().any(|granted| granted == **word || granted == "root");
        let words: Vec<_> = right.capabilities.iter().filter(is_missing).copied().collect();
        (!words.is_empty()).then(|| (format!("{} on {}", words.join(", "), right.path), right.purpose))
    };
    let missing: Vec<_> = needed.iter().filter_map(missing).collect();
    if missing.is_empty() {
        return None;
    }
    let paths: Vec<_> = missing.iter().map(|(path, _)| path.as_str()).collect();
    let mut broken: Vec<_> = missing.iter().map(|(_, purpose)| *purpose).collect();
    broken.dedup();
    let what = format!("the policy lacks, in realm {}: {}", endpoint.realm, paths.join("; "));
    let finding =
        Finding::wrong(RIGHTS, what, format!("OpenBao refuses: {}", broken.join(", ")), "write the policy anew");
    Some(finding.run(prepare(settings, endpoint, profile)))
}

/// What only officers should be able to do.
async fn too_much(settings: &Settings, session: &Session, realm: &RealmName) -> anyhow::Result<Option<Finding>> {
    let own = &settings.cm.openbao;
    let forbidden = rights::of_officers(&own.mount, realm);
    let granted = granted(settings, session, &forbidden).await?.unwrap_or_default();
    let has = |right: &&Right| {
        let has = granted.get(&right.path).map_or(&[][..], Vec::as_slice);
        has.iter().any(|word| right.capabilities.contains(&word.as_str()))
    };
    let found: Vec<_> = forbidden.iter().filter(has).collect();
    if found.is_empty() {
        return Ok(None);
    }
    let paths: Vec<_> = found.iter().map(|right| right.path.as_str()).collect();
    let purposes: Vec<_> = found.iter().map(|right| right.purpose).collect();
    let what = format!("a policy grants the gateway what is the officers', in realm {realm}: {}", paths.join(", "));
    let breaks = format!("whoever gets hold of the gateway can {}", purposes.join(", "));
    let mend = format!("take every policy off login role {} but those that end in -gateway", own.login_role);
    Ok(Some(
        Finding::warn(RIGHTS, what, breaks, mend)
            .run(format!("bao read auth/{}/certs/{}", own.login_mount, own.login_role)),
    ))
}

/// A realm for registered clients only, behind an endpoint for everybody.
fn mode(endpoint: &Endpoint, mount: &str, record: &Value) -> Option<Finding> {
    let is_refused = endpoint.mode == Mode::Open
        && record.pointer("/data/data/mode").and_then(Value::as_str) == Some("preregistered");
    let version = record.pointer("/data/metadata/version").and_then(Value::as_u64).unwrap_or_default();
    let realm = &endpoint.realm;
    is_refused.then(|| {
        let what = format!("endpoint {} is open, and the record of realm {realm} says preregistered", endpoint.name);
        let mend = format!("set endpoints.{}.mode to registered, or let the realm be for both", endpoint.name);
        Finding::wrong(RIGHTS, what, "newAccount refuses everybody", mend)
            .run(format!("bao kv patch -cas={version} -mount={mount}/{realm}/cm realm mode=both"))
    })
}

/// What the token may do at these paths; `None` if it may not ask.
async fn granted(
    settings: &Settings,
    session: &Session,
    at: &[Right],
) -> anyhow::Result<Option<BTreeMap<String, Vec<String>>>> {
    let paths: Vec<_> = at.iter().map(|right| right.path.as_str()).collect();
    let (status, says) = ask(settings, session, "sys/capabilities-self", Some(&json!({"paths": paths}))).await?;
    if status == 403 {
        return Ok(None);
    }
    anyhow::ensure!(status == 200, "OpenBao answers sys/capabilities-self with status {status}");
    let words = |path: &str| {
        let words = says.pointer("/data").and_then(|data| data.get(path)).and_then(Value::as_array);
        let words = words.map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str);
        words.filter(|word| *word != "deny").map(str::to_owned).collect()
    };
    Ok(Some(paths.iter().map(|path| ((*path).to_owned(), words(path))).collect()))
}

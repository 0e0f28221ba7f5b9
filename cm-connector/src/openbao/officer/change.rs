//! What officers make and change: pre-registrations, and the lists of accounts (CM contract section 4.3).

use acme::{
    ids::{ProfileName, RegistrationId},
    registration::AllowedIdentifiers,
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    super::{
        binding::BINDINGS_MAX,
        clock::now,
        layout::{Kid, Place},
        records::{Hold, PreRegistration, Realm, Uses},
    },
    Answer, Call, answered,
    problem::Problem,
    subject::{Origin, Subject},
};
use crate::rest::door;

/// Longest free text.
const TEXT_CHARACTERS_MAX: usize = 2000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct New {
    mode: String,
    eab: NewKey,
    allowed_identifiers: Value,
    #[serde(default)]
    allowed_profiles: Vec<ProfileName>,
    #[serde(default)]
    max_validity: Option<String>,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewKey {
    kid: String,
    #[serde(rename = "use")]
    uses: Uses,
    #[serde(default)]
    max_bindings: Option<u32>,
    #[serde(default)]
    not_before: Option<Timestamp>,
    #[serde(default)]
    not_after: Option<Timestamp>,
    #[serde(default)]
    algorithms: Vec<String>,
}

impl Call<'_> {
    /// `POST …/registrations`. The secret is drawn first: of a record there is always a secret to it.
    pub(super) async fn preregister(&self) -> Result<Answer, Problem> {
        let new: New = self.body()?;
        if new.mode != "preregistered" {
            return Err(Problem::malformed("officers make registrations of the mode preregistered"));
        }
        if new.eab.algorithms.iter().any(|algorithm| algorithm != "HS256") {
            return Err(Problem::missing("MACs but HS256"));
        }
        let kid = Kid::parse(&new.eab.kid).filter(|kid| kid.as_str().len() <= 60).ok_or_else(|| {
            Problem::malformed("eab.kid: a key id here is 1 to 60 letters, digits, - _ and ., a letter or digit first")
        })?;
        let settings = self.desk.bao.realm(&self.realm).await?;
        check_list(&new.allowed_identifiers)?;
        check_profiles(&new.allowed_profiles, &settings)?;
        for text in [&new.owner, &new.comment].into_iter().flatten() {
            check_text(text)?;
        }
        if self.by_kid(kid.as_str()).await?.is_some() {
            return Err(taken());
        }
        let registration = RegistrationId::parse(&format!("reg_{}", kid.as_str()))
            .map_err(|error| Problem::malformed(format!("eab.kid: {error}")))?;
        let now = now();
        let mut record = PreRegistration {
            registration,
            status: String::from("active"),
            uses: new.eab.uses,
            max_bindings: check_bindings(new.eab.uses, new.eab.max_bindings)?,
            secret_versions: Vec::new(),
            previous_until: None,
            uses_ended: 0,
            not_before: new.eab.not_before,
            not_after: new.eab.not_after,
            allowed_identifiers: new.allowed_identifiers,
            allowed_profiles: new.allowed_profiles,
            validity_max_secs: new.max_validity.as_deref().map(secs).transpose()?,
            owner: new.owner,
            comment: new.comment,
            officer: Some(self.caller().await?),
            created_at: Some(now),
            secret_set_at: Some(now),
            status_reason: None,
            status_by: None,
            status_at: None,
        };
        check_window(&record)?;
        self.make_key(&kid).await?;
        let secret = self.newest_secret(&kid).await?;
        record.secret_versions = vec![secret.version];
        let place = Place::PreRegistration(&kid);
        if !self.desk.bao.create(&self.realm, place, &record).await? {
            return Err(taken());
        }
        let made = self.by_kid(kid.as_str()).await?.ok_or_else(Problem::stale)?;
        Ok(answered(201, &secret.shown_with(made.json(self, &settings), &kid)))
    }

    /// `PATCH …/registrations/{id}` (RFC 7396): null removes a member.
    pub(super) async fn change(&self, id: &str) -> Result<Answer, Problem> {
        let (version, patch) = (self.version()?, self.body::<Map<String, Value>>()?);
        let subject = self.subject(id).await?;
        subject.must_match(version)?;
        let settings = self.desk.bao.realm(&self.realm).await?;
        let (bao, realm) = (&self.desk.bao, &self.realm);
        let is_written = match &subject.origin {
            Origin::Own(kid, before) => {
                let after = patched(&before.value, &patch, &settings)?;
                after == before.value || bao.update(realm, Place::PreRegistration(kid), &after, version).await?
            }
            Origin::Child(_) | Origin::Lost | Origin::Open => {
                let after = held(&subject, &patch)?;
                let same = subject.hold.as_ref().is_some_and(|hold| hold.value == after);
                same || bao.update(realm, Place::Hold(&subject.id), &after, version).await?
            }
        };
        if !is_written {
            return Err(Problem::stale());
        }
        self.registration(id).await
    }
}

/// A pre-registration with the members of the patch.
fn patched(before: &PreRegistration, patch: &Map<String, Value>, settings: &Realm) -> Result<PreRegistration, Problem> {
    let mut after = before.clone();
    for (name, value) in patch {
        match name.as_str() {
            "allowedIdentifiers" => {
                check_list(value)?;
                after.allowed_identifiers = value.clone();
            }
            "allowedProfiles" => {
                after.allowed_profiles = read(name, value)?;
                check_profiles(&after.allowed_profiles, settings)?;
            }
            "maxValidity" => {
                let text: Option<String> = read(name, value)?;
                after.validity_max_secs = text.as_deref().map(secs).transpose()?;
            }
            "owner" => after.owner = text(name, value)?,
            "comment" => after.comment = text(name, value)?,
            "eab" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    match name.as_str() {
                        "notBefore" => after.not_before = read(name, value)?,
                        "notAfter" => after.not_after = read(name, value)?,
                        "maxBindings" => {
                            after.max_bindings = check_bindings(after.uses, Some(read(name, value)?))?;
                        }
                        _ => return Err(unchangeable(name)),
                    }
                }
            }
            _ => return Err(unchangeable(name)),
        }
    }
    check_window(&after)?;
    Ok(after)
}

/// What an officer says of an account that has no record of hers, with the list of the patch.
fn held(subject: &Subject, patch: &Map<String, Value>) -> Result<Hold, Problem> {
    let none =
        Hold { status: String::from("active"), allowed_identifiers: None, reason: None, officer: None, at: None };
    let mut after = subject.hold.as_ref().map_or(none, |hold| hold.value.clone());
    for (name, value) in patch {
        if name != "allowedIdentifiers" {
            let detail = format!("OpenBao keeps no {name} for an account that came by a key for many or without one");
            return Err(Problem::new(501, "capability-missing", detail));
        }
        check_list(value)?;
        after.allowed_identifiers = Some(value.clone());
    }
    Ok(after)
}

/// A rule that is not understood would be left out by whoever reads the list.
fn check_list(json: &Value) -> Result<(), Problem> {
    let count = |member: &str| json.get(member).and_then(Value::as_array).map_or(0, Vec::len);
    let is_understood = match door::allowed_identifiers(json.clone()) {
        AllowedIdentifiers::Any { exclude } => count("rules") == 0 && exclude.len() == count("exclude"),
        AllowedIdentifiers::Listed { rules, exclude } => {
            !rules.is_empty() && rules.len() == count("rules") && exclude.len() == count("exclude")
        }
    };
    let detail = "allowedIdentifiers: the list is empty, or an entry is not understood";
    if is_understood { Ok(()) } else { Err(Problem::malformed(detail)) }
}

fn check_profiles(wanted: &[ProfileName], settings: &Realm) -> Result<(), Problem> {
    match wanted.iter().find(|profile| !settings.profiles.contains(profile)) {
        Some(profile) => Err(Problem::new(422, "profile-not-allowed", format!("the realm has no profile {profile}"))),
        None => Ok(()),
    }
}

fn check_bindings(uses: Uses, wanted: Option<u32>) -> Result<u32, Problem> {
    match (uses, wanted) {
        (Uses::Once, None | Some(1)) => Ok(1),
        (Uses::Once, Some(_)) => Err(Problem::malformed("eab.maxBindings: a key for one use binds once")),
        (Uses::Multi, Some(0)) => Err(Problem::malformed("eab.maxBindings must be at least 1")),
        (Uses::Multi, wanted) if wanted.unwrap_or(BINDINGS_MAX) <= BINDINGS_MAX => Ok(wanted.unwrap_or(BINDINGS_MAX)),
        (Uses::Multi, _) => Err(Problem::malformed(format!(
            "eab.maxBindings: a key binds {BINDINGS_MAX} accounts at most with OpenBao"
        ))),
    }
}

pub(super) fn check_window(record: &PreRegistration) -> Result<(), Problem> {
    match (record.not_before, record.not_after) {
        (Some(from), Some(until)) if from >= until => {
            Err(Problem::malformed("eab.notAfter must be later than eab.notBefore"))
        }
        _ => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), Problem> {
    let is_short = text.chars().count() <= TEXT_CHARACTERS_MAX;
    if is_short { Ok(()) } else { Err(Problem::malformed("owner and comment have 2,000 characters at most")) }
}

fn text(name: &str, value: &Value) -> Result<Option<String>, Problem> {
    let text: Option<String> = read(name, value)?;
    text.as_deref().map(check_text).transpose()?;
    Ok(text)
}

fn secs(text: &str) -> Result<u64, Problem> {
    let span = door::duration(text).map_err(|error| Problem::malformed(format!("maxValidity: {error}")))?;
    if span.is_zero() { Err(Problem::malformed("maxValidity must not be zero")) } else { Ok(span.as_secs()) }
}

fn read<T: serde::de::DeserializeOwned>(name: &str, value: &Value) -> Result<T, Problem> {
    serde_json::from_value(value.clone()).map_err(|error| Problem::malformed(format!("{name}: {error}")))
}

fn unchangeable(name: &str) -> Problem {
    Problem::new(403, "forbidden", format!("{} is not an officer's to change", acme::problem::shown(name)))
}

fn taken() -> Problem {
    Problem::new(409, "key-in-use", "this kid belongs to another pre-registration of the realm")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_that_would_be_read_otherwise_than_it_was_written_is_refused() {
        let rule = json!({"type": "dns", "match": "suffix", "value": "example.com"});
        for good in [
            json!({"mode": "any"}),
            json!({"mode": "any", "exclude": [rule]}),
            json!({"mode": "listed", "rules": [rule], "exclude": [rule]}),
        ] {
            assert!(check_list(&good).is_ok(), "{good}");
        }
        let strange = json!({"type": "dns", "match": "regex", "value": ".*"});
        for bad in [
            json!({}),
            json!({"mode": "all"}),
            json!({"mode": "listed", "rules": []}),
            json!({"mode": "listed", "rules": [rule, strange]}),
            json!({"mode": "any", "rules": [rule]}),
            json!({"mode": "any", "exclude": [strange]}),
        ] {
            assert!(check_list(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else() {
        let before: PreRegistration = serde_json::from_value(json!({
            "registration": "reg_1", "status": "suspended", "use": "multi", "maxBindings": 5, "owner": "team",
            "comment": "ticket", "allowedIdentifiers": {"mode": "any"}, "validityMaxSecs": 86_400}))
        .unwrap();
        let settings: Realm = serde_json::from_value(json!({
            "mode": "both", "allowedIdentifiers": {"mode": "any"}, "profiles": ["tls"], "defaultProfile": "tls"}))
        .unwrap();
        let with = |patch: Value| patched(&before, patch.as_object().unwrap(), &settings);
        let after = with(json!({"comment": null, "maxValidity": "P30D", "eab": {"maxBindings": 7}})).unwrap();
        let expected =
            PreRegistration { comment: None, validity_max_secs: Some(2_592_000), max_bindings: 7, ..before.clone() };
        assert_eq!(after, expected);
        assert_eq!(with(json!({})).unwrap(), before);
        for refused in [
            json!({"status": "active"}),
            json!({"allowedIdentifiers": null}),
            json!({"allowedProfiles": ["other"]}),
            json!({"eab": {"kid": "other"}}),
            json!({"eab": {"maxBindings": 0}}),
            json!({"maxValidity": "P0D"}),
            json!({"eab": {"notBefore": "2027-01-02T00:00:00Z", "notAfter": "2027-01-01T00:00:00Z"}}),
        ] {
            assert!(with(refused.clone()).is_err(), "{refused}");
        }
    }
}

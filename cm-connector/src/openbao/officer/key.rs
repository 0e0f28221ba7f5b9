//! External account keys: made and exchanged in transit, exported once for the answer that shows them; and taken away
//! from a client with its account key (CM contract section 4.3, "A new secret" and "Rebinding").
//!
//! Either is one write of the pre-registration, on the version that was looked at. A new version of the key is drawn
//! before: until the write the old one binds, and a crash between the two leaves a version that binds nothing.

use std::time::Duration;

use acme::{base64url, secret::Secret, time::Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        client::Call as Question,
        clock::now,
        failure::Failure,
        layout::{Kid, Place},
        records::{PreRegistration, Uses},
    },
    Answer, Call, answered, change,
    problem::Problem,
    subject::{Origin, Subject},
};
use crate::rest::door;

/// Longest time that a former secret goes on beside the new one.
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Longest reason.
const REASON_CHARACTERS_MAX: usize = 500;

/// One version of a key.
pub(super) struct NewSecret {
    pub(super) version: u32,
    hmac_key: Secret<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    overlap: Option<String>,
    #[serde(default)]
    not_after: Option<Timestamp>,
    #[serde(default)]
    rebind: bool,
    #[serde(default)]
    reason: Option<String>,
}

impl Wish {
    /// Refuses what cannot be meant, whatever registration it is about; answers how long the former secret goes on.
    fn check(&self, now: Timestamp) -> Result<Option<Duration>, Problem> {
        let overlap = self.overlap.as_deref().map(door::duration).transpose();
        let overlap = overlap.map_err(|error| Problem::malformed(format!("overlap: {error}")))?;
        if overlap.is_some_and(|overlap| overlap > OVERLAP_MAX) {
            return Err(Problem::malformed("overlap: P30D at most"));
        }
        if self.rebind && overlap.is_some() {
            return Err(Problem::malformed("overlap: a rebinding leaves nothing of what was before"));
        }
        if self.rebind != self.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty()) {
            return Err(Problem::malformed("reason goes with rebind, and rebind with it"));
        }
        if self.reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARACTERS_MAX) {
            return Err(Problem::malformed("reason has 500 characters at most"));
        }
        if self.not_after.is_some_and(|until| until <= now) {
            return Err(Problem::new(422, "validity-not-allowed", "notAfter is over"));
        }
        Ok(overlap.filter(|overlap| !overlap.is_zero()))
    }
}

impl NewSecret {
    /// The registration with its key, in the one answer that has it.
    pub(super) fn shown_with(&self, mut registration: Value, kid: &Kid) -> Value {
        if let Some(members) = registration.as_object_mut() {
            let secret = json!({"kid": kid.as_str(), "hmacKey": self.hmac_key.expose_secret()});
            let _none_before = members.insert(String::from("eabSecret"), secret);
        }
        registration
    }
}

impl Call<'_> {
    /// `POST …/registrations/{id}/eab`
    pub(super) async fn draw_key(&self, id: &str) -> Result<Answer, Problem> {
        let (version, wish, now) = (self.version()?, self.body::<Wish>()?, now());
        let overlap = wish.check(now)?;
        let subject = self.subject(id).await?;
        subject.must_match(version)?;
        let (kid, mut after) = if wish.rebind {
            let (kid, before) = rebindable(&subject, &wish, now)?;
            (kid, self.rebound(before, wish.reason.clone(), now).await?)
        } else {
            let (kid, before) = exchangeable(&subject)?;
            (kid, exchanged(&subject, before, overlap, now))
        };
        after.not_after = wish.not_after.or(after.not_after);
        change::check_window(&after)?;
        let path = self.desk.bao.mounts(&self.realm).transit(&format!("keys/{}/rotate", kid.as_str()));
        let _drawn = self.desk.bao.client.send(&Question::write("POST eab/keys/{kid}/rotate", path, json!({}))).await?;
        let secret = self.newest_secret(kid).await?;
        after.secret_versions.insert(0, secret.version);
        if !self.desk.bao.update(&self.realm, Place::PreRegistration(kid), &after, version).await? {
            return Err(Problem::stale());
        }
        let made = self.subject(id).await?;
        let settings = self.desk.bao.realm(&self.realm).await?;
        Ok(answered(201, &secret.shown_with(made.json(self, &settings), kid)))
    }

    /// The use by which the account key came is ended, and with it the key, at the moment that this is written: who
    /// changes the account meanwhile changes nothing of that.
    async fn rebound(
        &self,
        before: &PreRegistration,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<PreRegistration, Problem> {
        Ok(PreRegistration {
            secret_versions: Vec::new(),
            previous_until: None,
            secret_set_at: Some(now),
            uses_ended: before.uses_ended.saturating_add(1),
            status_reason: reason,
            status_by: Some(self.caller().await?),
            status_at: Some(now),
            ..before.clone()
        })
    }

    /// Makes the key, if it is not there: a second time changes nothing.
    pub(super) async fn make_key(&self, kid: &Kid) -> Result<(), Problem> {
        let path = self.desk.bao.mounts(&self.realm).transit(&format!("keys/{}", kid.as_str()));
        let body = json!({"type": "hmac", "key_size": 32, "exportable": true});
        let _made = self.desk.bao.client.send(&Question::write("POST eab/keys/{kid}", path, body)).await?;
        Ok(())
    }

    pub(super) async fn newest_secret(&self, kid: &Kid) -> Result<NewSecret, Problem> {
        let path = self.desk.bao.mounts(&self.realm).transit(&format!("export/hmac-key/{}", kid.as_str()));
        let answer = self.desk.bao.client.send(&Question::read("GET eab/export/hmac-key/{kid}", path)).await?;
        let versions = answer.pointer("/data/keys").and_then(Value::as_object);
        let numbered = versions.into_iter().flatten().filter_map(|(number, key)| Some((number.parse().ok()?, key)));
        let newest = numbered.max_by_key(|(number, _): &(u32, _)| *number).and_then(|(version, key)| {
            let octets = data_encoding::BASE64.decode(key.as_str()?.as_bytes()).ok()?;
            Some(NewSecret { version, hmac_key: Secret::new(base64url::encode(octets)) })
        });
        newest.ok_or_else(|| Failure::Broken(String::from("an exported key is none")).into())
    }
}

fn exchangeable(subject: &Subject) -> Result<(&Kid, &PreRegistration), Problem> {
    let Origin::Own(kid, before) = &subject.origin else {
        return Err(Problem::not_found("this registration has no external account key of its own"));
    };
    match subject.status() {
        ended @ ("revoked" | "deactivated") => {
            Err(Problem::new(409, "registration-not-active", format!("it is {ended}, which is final")))
        }
        _ => Ok((kid, &before.value)),
    }
}

/// The secret before goes on for the overlap, if there is one. A use that somebody has begun and not ended, whose client
/// may not come back, ends: else nobody could bind by the new secret.
fn exchanged(
    subject: &Subject,
    before: &PreRegistration,
    overlap: Option<Duration>,
    now: Timestamp,
) -> PreRegistration {
    let former = before.secret_versions.iter().copied().take(usize::from(overlap.is_some()));
    let is_begun = before.uses == Uses::Once && subject.status() == "pending" && subject.bindings() > 0;
    PreRegistration {
        secret_versions: former.collect(),
        previous_until: overlap.map(|overlap| now.plus(overlap)),
        secret_set_at: Some(now),
        uses_ended: before.uses_ended.saturating_add(u32::from(is_begun)),
        ..before.clone()
    }
}

fn rebindable<'a>(
    subject: &'a Subject,
    wish: &Wish,
    now: Timestamp,
) -> Result<(&'a Kid, &'a PreRegistration), Problem> {
    let refuse = |detail: String| Err(Problem::new(409, "cannot-rebind", detail));
    let (Origin::Own(kid, before), Some(_)) = (&subject.origin, subject.account()) else {
        return refuse(String::from("this registration was not bound by an external account key of its own"));
    };
    if before.value.uses == Uses::Multi {
        return refuse(String::from(
            "its key binds many clients: the client simply binds again, with a new account key",
        ));
    }
    let status = subject.status();
    if status != "active" {
        return refuse(format!("only an active registration can be bound anew, and this one is {status}"));
    }
    if wish.not_after.is_none() && before.value.not_after.is_some_and(|until| until <= now) {
        let detail = "notAfter: the window is over, so a new end is needed";
        return Err(Problem::new(422, "validity-not-allowed", detail));
    }
    Ok((kid, &before.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wish: Value) -> Result<Option<Duration>, Problem> {
        serde_json::from_value::<Wish>(wish).unwrap().check("2026-11-22T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn an_overlap_has_an_end_and_a_rebinding_a_reason() {
        assert_eq!(check(json!({})).unwrap(), None);
        assert_eq!(check(json!({"overlap": "PT0S"})).unwrap(), None);
        assert_eq!(check(json!({"overlap": "P30D"})).unwrap(), Some(OVERLAP_MAX));
        assert_eq!(check(json!({"rebind": true, "reason": "disk died"})).unwrap(), None);
        for refused in [
            json!({"overlap": "P31D"}),
            json!({"overlap": "a week"}),
            json!({"rebind": true}),
            json!({"rebind": true, "reason": " "}),
            json!({"rebind": true, "reason": "r", "overlap": "P1D"}),
            json!({"reason": "r"}),
            json!({"rebind": true, "reason": "r".repeat(501)}),
            json!({"notAfter": "2026-11-22T00:00:00Z"}),
        ] {
            assert!(check(refused.clone()).is_err(), "{refused}");
        }
    }
}

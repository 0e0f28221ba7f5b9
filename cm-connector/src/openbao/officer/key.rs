//! External account keys: made and exchanged in transit, exported once for the answer that shows them (CM contract
//! section 4.3, "A new secret").

use acme::{base64url, secret::Secret, time::Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        binding::now,
        client::Call as Question,
        failure::Failure,
        layout::{Kid, Place},
        records::PreRegistration,
    },
    Answer, Call, answered,
    problem::Problem,
    subject::Origin,
};

/// One version of a key.
pub(super) struct NewSecret {
    pub(super) version: u32,
    hmac_key: Secret<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    overlap: Option<Value>,
    #[serde(default)]
    not_after: Option<Timestamp>,
    #[serde(default)]
    rebind: Option<Value>,
    #[serde(default)]
    reason: Option<Value>,
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
    /// `POST …/registrations/{id}/eab`. A new version is drawn, then the record names it in place of the one before: until
    /// then the old one binds, from then on the new one alone.
    pub(super) async fn draw_key(&self, id: &str) -> Result<Answer, Problem> {
        let (version, wish) = (self.version()?, self.body::<Wish>()?);
        if wish.overlap.is_some() {
            return Err(Problem::missing("overlap of external account keys"));
        }
        if wish.rebind.is_some() || wish.reason.is_some() {
            return Err(Problem::missing("rebinding"));
        }
        if wish.not_after.is_some_and(|until| until <= now()) {
            return Err(Problem::new(422, "validity-not-allowed", "notAfter is over"));
        }
        let subject = self.subject(id).await?;
        subject.must_match(version)?;
        let Origin::Own(kid, before) = &subject.origin else {
            return Err(Problem::not_found("this registration has no external account key of its own"));
        };
        let path = self.desk.bao.mounts(&self.realm).transit(&format!("keys/{}/rotate", kid.as_str()));
        let _drawn = self.desk.bao.client.send(&Question::write("POST eab/keys/{kid}/rotate", path, json!({}))).await?;
        let secret = self.newest_secret(kid).await?;
        let after = PreRegistration {
            secret_versions: vec![secret.version],
            secret_set_at: Some(now()),
            not_after: wish.not_after.or(before.value.not_after),
            ..before.value.clone()
        };
        if !self.desk.bao.update(&self.realm, Place::PreRegistration(kid), &after, version).await? {
            return Err(Problem::stale());
        }
        let made = self.subject(id).await?;
        let settings = self.desk.bao.realm(&self.realm).await?;
        Ok(answered(201, &secret.shown_with(made.json(self, &settings), kid)))
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

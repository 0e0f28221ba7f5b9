//! What can be done with OpenBao, the realm, and its roles as profiles (CM contract sections 4.1 and 4.2).

use serde_json::{Value, json};

use super::{
    super::{client::Call as Question, failure::Failure, service},
    Answer, Call, OfficerDesk, ok,
    problem::Problem,
};

/// `GET /info`. Who cannot log in is told so here as anywhere.
pub(super) async fn info(desk: &OfficerDesk) -> Result<Answer, Problem> {
    let path = String::from("/v1/auth/token/lookup-self");
    let _known = desk.bao.client.send(&Question::read("GET auth/token/lookup-self", path)).await?;
    let health = desk.bao.client.health().await?.json;
    let version = health.get("version").and_then(Value::as_str).unwrap_or_default();
    Ok(ok(&json!({
        "product": "OpenBao", "version": version, "apiVersions": ["1.4"], "time": service::time_of(&health)?,
        "capabilities": service::CAPABILITIES,
    })))
}

impl Call<'_> {
    /// `GET /realms/{realm}`. Which gateways serve it OpenBao does not know.
    pub(super) async fn realm_settings(&self) -> Result<Answer, Problem> {
        let settings = self.desk.bao.realm(&self.realm).await?;
        Ok(ok(&json!({
            "name": self.realm, "mode": settings.mode, "defaultProfile": settings.default_profile,
            "profiles": settings.profiles, "acmeBaseUrls": [], "allowedIdentifiers": settings.allowed_identifiers,
        })))
    }

    /// `GET …/profiles`
    pub(super) async fn profiles(&self) -> Result<Answer, Problem> {
        let settings = self.desk.bao.realm(&self.realm).await?;
        let mut items = Vec::new();
        for name in &settings.profiles {
            match self.desk.bao.role(&self.realm, name).await {
                Ok(role) => items.push(service::described(&self.realm, name, &role, &settings)?),
                Err(Failure::Refused { status: 404, .. }) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(ok(&json!({"items": items, "next": null})))
    }
}

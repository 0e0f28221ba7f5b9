//! `registrations suspend`, `resume` and `revoke`.

use serde_json::{Value, json};

use super::{Desk, show};
use crate::{
    cm::certificate::Certificate,
    error::Failure,
    output::{Answer, numbered, snake_case, table},
};

/// Longest reason that the contract takes, in characters.
const REASON_CHARACTERS_MAX: usize = 500;
/// Most certificates that are listed before they are revoked.
const LISTED_MAX: usize = 10_000;

/// Takes a reason that somebody can read later.
///
/// # Errors
/// What to write instead.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().count() > REASON_CHARACTERS_MAX {
        return Err(format!("a reason has 1 to {REASON_CHARACTERS_MAX} characters"));
    }
    Ok(text.to_owned())
}

/// Sets a status.
pub(super) async fn set(desk: &Desk, id: &str, status: &str, reason: Option<&str>) -> Result<Answer, Failure> {
    let cm = desk.cm()?;
    let id = show::find(id, &cm).await?.view.id;
    let changed = cm.set_status(&id, status, reason, false).await?;
    let text = format!("{} is {}", changed.view.id, changed.view.status);
    Ok(Answer::new(text, snake_case(&changed.json)))
}

/// Revokes a registration and all its certificates, or shows which these would be. Those of
/// accounts that came through it are revoked too; the CM alone knows them.
pub(super) async fn revoke_with_certificates(
    desk: &Desk,
    id: &str,
    reason: &str,
    apply: bool,
) -> Result<Answer, Failure> {
    let cm = desk.cm()?;
    let id = show::find(id, &cm).await?.view.id;
    let query = vec![("registration", id.clone()), ("status", "good".to_owned())];
    let good = cm.certificates(query, LISTED_MAX).await?;
    let certificates = good.items.into_iter().map(Certificate::of).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<Vec<String>> =
        certificates.iter().map(|one| vec![one.view.id.clone(), one.view.not_after.clone(), one.names()]).collect();
    let list: Vec<Value> = certificates.iter().map(|one| json!({"id": one.view.id, "names": one.names()})).collect();
    if !apply {
        let text = format!(
            "{}\n{id} and {} would be revoked, for good, and those of accounts that were bound by its \
             external account key. Nothing was done: give --apply to do it",
            table(&["CERTIFICATE", "UNTIL", "NAMES"], &rows),
            numbered(rows.len(), "certificate")
        );
        return Ok(Answer::new(text, json!({"id": id, "applied": false, "certificates": list})));
    }
    let changed = cm.set_status(&id, "revoked", Some(reason), true).await?;
    let revoked = match rows.len() {
        1 => "its certificate is revoked".to_owned(),
        number => format!("its {number} certificates are revoked"),
    };
    let text = format!("{id} is {}, and {revoked}", changed.view.status);
    let json = json!({"id": id, "applied": true, "status": changed.view.status, "certificates": list});
    Ok(Answer::new(text, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_there_to_be_read() {
        assert!(reason("moved to another team").is_ok());
        for refused in ["", "  ", &"x".repeat(501)] {
            assert!(reason(refused).is_err(), "{refused}");
        }
    }
}

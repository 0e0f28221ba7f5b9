//! New external account keys: exchanged, and drawn for a client that lost its account key (CM contract section 4.3,
//! "A new secret" and "Rebinding").

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Call, Cm, JSON,
    registration::{Registration, View},
};
use crate::error::Failure;

/// What the CM can do that takes two keys for a while.
const OVERLAP: &str = "eab-overlap";
/// What the CM can do that takes account keys away.
const REBIND: &str = "rebind";

/// What is asked of a new key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// How long the key before goes on, in the contract's words: `P7D`.
    pub(crate) overlap: Option<String>,
    /// When binding by it ends, RFC 3339.
    pub(crate) not_after: Option<String>,
    /// Why the account key is taken away; without it only the external account key is exchanged.
    pub(crate) rebind: Option<String>,
}

impl Wish {
    /// Nothing if nothing is asked for: a CM that knows only the least takes no body.
    fn body(&self) -> Option<Value> {
        let mut body = json!({});
        let members = body.as_object_mut()?;
        let texts = [("overlap", &self.overlap), ("notAfter", &self.not_after), ("reason", &self.rebind)];
        members.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?.into()))));
        if self.rebind.is_some() {
            members.insert("rebind".to_owned(), true.into());
        }
        (!members.is_empty()).then_some(body)
    }
}

impl Cm {
    /// Whether the CM can do all that is asked for.
    ///
    /// # Errors
    /// [`Failure::Refused`] names what it cannot.
    pub(crate) async fn must_offer_new_key(&self, wish: &Wish) -> Result<(), Failure> {
        if wish.overlap.is_some() {
            self.must_offer(OVERLAP, "overlap of external account keys: the key before is dead at once").await?;
        }
        if wish.rebind.is_some() {
            self.must_offer(REBIND, "rebinding: make a new registration for this client instead").await?;
        }
        Ok(())
    }

    /// Draws a new external account key for the version that was looked at. The answer is the only one that has it. If
    /// the answer is lost, the failure says what became of it.
    pub(crate) async fn draw_external_account_key(&self, before: &View, wish: &Wish) -> Result<Registration, Failure> {
        let path = self.registration_path(&before.id, "/eab")?;
        let mut call = Call::new(Method::POST, path).if_match(before.version);
        if let Some(body) = wish.body() {
            call = call.with_body(JSON, &body);
        }
        match self.send(&call).await {
            Ok(raw) => Registration::of(raw.json()?),
            Err(Failure::Unanswered(reason)) => Err(self.what_became_of_the_key(before, wish, reason).await),
            Err(failure) => Err(failure),
        }
    }

    /// The answer was lost, and with it the key.
    async fn what_became_of_the_key(&self, before: &View, wish: &Wish, reason: String) -> Failure {
        let id = &before.id;
        let set_at = |view: &View| view.eab.as_ref().and_then(|eab| eab.secret_set_at.clone());
        Failure::Unanswered(match self.registration(id).await {
            Ok(now) if set_at(&now.view) == set_at(before) && now.view.status == before.status => {
                format!("{reason}. Nothing was done: the keys are as they were; try again")
            }
            Ok(now) if wish.rebind.is_some() && now.view.status == "pending" => format!(
                "{reason}. It was done: the account key of {id} is withdrawn. The new external account key was lost on \
                 the way, and nobody has it; draw another one with: registrations rotate-secret {id}"
            ),
            Ok(now) => format!(
                "{reason}. {id} has a new external account key that was lost on the way, and nobody has it; draw another \
                 one with: registrations rotate-secret {id}{}",
                match now.view.eab.and_then(|eab| eab.previous_until) {
                    Some(until) => format!(". Until then, and until {until} at the latest, the key before goes on"),
                    None => String::new(),
                }
            ),
            Err(_) => format!(
                "{reason}. Before you try again, see its status and since when its key is: registrations show {id}"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_not_asked_for() {
        assert_eq!(Wish::default().body(), None);
        let until = Some("2027-01-01T00:00:00Z".to_owned());
        let overlap = Wish { overlap: Some("P7D".to_owned()), not_after: until, rebind: None };
        assert_eq!(overlap.body().unwrap(), json!({"overlap": "P7D", "notAfter": "2027-01-01T00:00:00Z"}));
        let rebind = Wish { rebind: Some("disk died".to_owned()), ..Wish::default() };
        assert_eq!(rebind.body().unwrap(), json!({"rebind": true, "reason": "disk died"}));
    }
}

//! Directory links: drawn and removed by officers (CM contract section 4.3).

use reqwest::Method;
use serde_json::{Map, Value};

use super::{
    Call, Cm, JSON,
    registration::{Registration, View},
};
use crate::error::Failure;

/// What the CM can do that has them.
const CAPABILITY: &str = "directory-links";

/// What is asked of a new link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// How long the link before it goes on, in the contract's words: `P7D`.
    pub(crate) overlap: Option<String>,
    /// When binding by it ends, RFC 3339.
    pub(crate) not_after: Option<String>,
}

impl Wish {
    fn body(&self) -> Value {
        let members = [("overlap", &self.overlap), ("notAfter", &self.not_after)];
        let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
        Value::Object(there.collect::<Map<_, _>>())
    }
}

impl Cm {
    /// Whether the CM has directory links.
    ///
    /// # Errors
    /// [`Failure::Refused`] if it has none.
    pub(crate) async fn must_offer_directory_links(&self) -> Result<(), Failure> {
        self.must_offer(CAPABILITY, "directory links of registrations").await
    }

    /// Draws a link for the version that was looked at. The answer is the only one that has its token. If the answer
    /// is lost, the failure says what became of it.
    pub(crate) async fn draw_directory_link(&self, before: &View, wish: &Wish) -> Result<Registration, Failure> {
        let path = self.registration_path(&before.id, "/directory-link")?;
        let call = Call::new(Method::POST, path).with_body(JSON, &wish.body()).if_match(before.version);
        match self.send(&call).await {
            Ok(raw) => Registration::of(raw.json()?),
            Err(Failure::Unanswered(reason)) => Err(self.what_became_of_the_link(before, reason).await),
            Err(failure) => Err(failure),
        }
    }

    /// Ends every link of a registration. A repeat is harmless, so an answer that was lost is asked for again.
    pub(crate) async fn remove_directory_link(&self, before: &View) -> Result<Registration, Failure> {
        let path = self.registration_path(&before.id, "/directory-link")?;
        let mut call = Call::new(Method::DELETE, path).if_match(before.version);
        call.repeatable = true;
        Registration::of(self.send(&call).await?.json()?)
    }

    /// The answer was lost, and with it the token.
    async fn what_became_of_the_link(&self, before: &View, reason: String) -> Failure {
        let id = &before.id;
        Failure::Unanswered(match self.registration(id).await {
            Ok(now) if now.view.directory_link == before.directory_link => {
                format!("{reason}. No directory link was drawn: try again")
            }
            Ok(_) => format!(
                "{reason}. A directory link was drawn for {id} and lost on the way, and nobody has it. Draw another one: \
                 registrations link {id}; that ends an overlap with one before"
            ),
            Err(_) => format!("{reason}. Before you try again, see since when there is one: registrations show {id}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::registration::DirectoryToken, *};

    #[test]
    fn a_token_is_part_of_a_url_and_shows_nowhere_else() {
        let token: DirectoryToken = serde_json::from_value(json!("c2VjcmV0")).unwrap();
        assert_eq!(format!("{token:?}"), "[secret]");
        let expected = "https://localhost:1/acme/tls/r/c2VjcmV0/directory";
        assert_eq!(token.directory_url("https://localhost:1/acme/tls/"), expected);
    }

    #[test]
    fn what_is_left_out_is_not_asked_for() {
        assert_eq!(Wish::default().body(), json!({}));
        // The contract's example.
        let wish = Wish { overlap: Some("PT24H".to_owned()), not_after: Some("2031-01-01T00:00:00Z".to_owned()) };
        assert_eq!(wish.body(), json!({"overlap": "PT24H", "notAfter": "2031-01-01T00:00:00Z"}));
    }
}

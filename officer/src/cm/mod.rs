//! The officer's side of the CM REST API (CM contract sections 3 to 5): over mutual TLS, or with an OpenBao in place of
//! a CM that has this API, answered by [`cm_connector::openbao::officer`].
//!
//! One call at a time and nothing kept: no circuit and no lanes as in the gateway, for a person
//! waits in front of it. Trust, TLS and the reading of registrations are the gateway's own, by
//! [`cm_connector::rest::door`]. Answers are bounded; whatever is not the CM's answer is none.

mod answer;
pub(crate) mod certificate;
pub(crate) mod directory_link;
pub(crate) mod external_account_key;
pub(crate) mod registration;
pub(crate) mod request;
pub(crate) mod waiver;

use std::time::Duration;

use acme::{identifier::Identifier, ids::RealmName, registration::AllowedIdentifiers, time::Timestamp};
use cm_connector::{
    openbao::officer::{OfficerDesk, Request},
    rest::door,
};
use data_encoding::HEXLOWER;
use policies::identifier::{Verdict, allowed};
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, IF_MATCH, USER_AGENT},
};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{
    error::{Failure, Refusal},
    settings::Settings,
};
use answer::Raw;
pub(crate) use answer::chain_of;

/// Who asks, for the CM's logs.
const AGENT: &str = concat!("acme-officer/", env!("CARGO_PKG_VERSION"));
/// How long one call may take (CM contract section 6, the longest that is not about issuance).
const CALL_WITHIN: Duration = Duration::from_secs(20);
/// Waits before a question is asked again.
const WAITS: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(800), Duration::from_secs(2)];
/// Most items of one page. Certificates carry their chains, and an answer is bounded.
const PAGE_ITEMS_MAX: usize = 100;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A new Idempotency-Key (CM contract section 3). Digits and letters only: to a CM that keeps it as an id, one that began
/// with a hyphen would be none.
pub(crate) fn idempotency_key() -> String {
    HEXLOWER.encode(&rand::random::<[u8; 16]>())
}

/// The CM, as one officer reaches it.
#[derive(Debug)]
pub(crate) struct Cm {
    reach: Reach,
    realm: RealmName,
}

/// Who answers.
#[derive(Debug)]
enum Reach {
    /// A CM with the API.
    Rest(Rest),
    /// An OpenBao, through its adapter.
    OpenBao(Box<OfficerDesk>),
}

/// A CM over mutual TLS.
#[derive(Debug)]
struct Rest {
    http: reqwest::Client,
    base_url: String,
}

/// One call.
#[derive(Debug)]
struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, String)>,
    /// Content type and text.
    body: Option<(&'static str, String)>,
    accept: &'static str,
    /// Whether a repeat does no harm.
    repeatable: bool,
}

/// Part of a list, and whether it is all of it.
#[derive(Debug, PartialEq)]
pub(crate) struct List {
    /// The items.
    pub(crate) items: Vec<Value>,
    /// False if there are more.
    pub(crate) complete: bool,
}

impl Cm {
    /// Reads the files. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Failure::File`] names the setting that does not do.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        let reach = match &settings.openbao {
            None => door::http_client(&settings.cm).map(|(http, base_url)| Reach::Rest(Rest { http, base_url })),
            Some(openbao) => OfficerDesk::new(openbao.clone(), allows).map(|desk| Reach::OpenBao(Box::new(desk))),
        };
        let reach = reach.map_err(|error| Failure::File(format!("the settings under [cm]: {error}")))?;
        Ok(Self { reach, realm: settings.realm.clone() })
    }

    /// The realm that everything is about.
    pub(crate) const fn realm(&self) -> &RealmName {
        &self.realm
    }

    /// The realm as the CM describes it.
    pub(crate) async fn realm_settings(&self) -> Result<Value, Failure> {
        self.read(self.of_realm("")).await
    }

    /// The roles that the CM has this person in, in its words: `officer`, `approver`, `auditor`.
    pub(crate) async fn roles(&self) -> Result<Vec<String>, Failure> {
        let whoami = self.read("/whoami".to_owned()).await?;
        let roles = whoami.get("roles").and_then(Value::as_array);
        let roles = roles.ok_or_else(|| Failure::Broken("the CM does not say which roles one has".to_owned()))?;
        Ok(roles.iter().filter_map(|role| role.as_str().map(str::to_owned)).collect())
    }

    /// What time it is at the CM, whose times all others are compared with.
    pub(crate) async fn time(&self) -> Result<Timestamp, Failure> {
        let info = self.read("/info".to_owned()).await?;
        let time = info.get("time").and_then(Value::as_str).and_then(|time| time.parse().ok());
        time.ok_or_else(|| Failure::Broken("the CM does not say what time it is".to_owned()))
    }

    /// Whether the CM can do what only some can (CM contract section 3, `capabilities`).
    ///
    /// # Errors
    /// [`Failure::Refused`] if it cannot; the sentence names `what`.
    pub(crate) async fn must_offer(&self, capability: &str, what: &str) -> Result<(), Failure> {
        let info = self.read("/info".to_owned()).await?;
        let capabilities = info.get("capabilities").and_then(Value::as_array);
        if capabilities.is_some_and(|all| all.iter().any(|one| one == capability)) {
            return Ok(());
        }
        Err(Failure::Refused(Box::new(Refusal {
            code: "capability-missing".to_owned(),
            detail: format!("this CM has no {what}; nothing was done"),
            status: 501,
            request_id: None,
            cure: None,
        })))
    }

    /// The profiles of the realm.
    pub(crate) async fn profiles(&self) -> Result<Vec<Value>, Failure> {
        Ok(self.list("profiles", Vec::new(), 1_000).await?.items)
    }

    /// The audit trail, oldest first. `query` is in the contract's words (section 4.9).
    pub(crate) async fn audit(&self, query: Vec<(&'static str, String)>, limit: usize) -> Result<List, Failure> {
        self.pages("/audit", query, limit).await
    }

    /// Items of a collection of the realm, page by page, up to `limit`.
    async fn list(&self, collection: &str, query: Vec<(&'static str, String)>, limit: usize) -> Result<List, Failure> {
        self.pages(&self.of_realm(collection), query, limit).await
    }

    async fn pages(&self, path: &str, query: Vec<(&'static str, String)>, limit: usize) -> Result<List, Failure> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let wanted = limit.saturating_sub(items.len()).min(PAGE_ITEMS_MAX);
            let mut query = query.clone();
            query.push(("limit", wanted.to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page = self.read_with(path.to_owned(), query).await?;
            let (more, next) = answer::page(page)?;
            let is_empty = more.is_empty();
            items.extend(more);
            // A page without items that promises more would be asked for for ever.
            match next.filter(|_| !is_empty) {
                None => return Ok(List { items, complete: true }),
                Some(_) if items.len() >= limit => return Ok(List { items, complete: false }),
                Some(next) => cursor = Some(next),
            }
        }
    }

    fn of_realm(&self, path: &str) -> String {
        let realm = &self.realm;
        if path.is_empty() { format!("/realms/{realm}") } else { format!("/realms/{realm}/{path}") }
    }

    async fn read(&self, path: String) -> Result<Value, Failure> {
        self.read_with(path, Vec::new()).await
    }

    async fn read_with(&self, path: String, query: Vec<(&'static str, String)>) -> Result<Value, Failure> {
        let call = Call { query, ..Call::new(Method::GET, path) };
        self.send(&call).await?.json()
    }

    /// Makes a call, and a question or a repeatable write again if it was not answered.
    async fn send(&self, call: &Call) -> Result<Raw, Failure> {
        let mut waits = WAITS.iter();
        loop {
            let answer = match &self.reach {
                Reach::Rest(rest) => rest.attempt(call).await,
                Reach::OpenBao(desk) => Box::pin(call.asked_of(desk)).await,
            };
            let failure = match answer.and_then(Raw::judged) {
                Ok(raw) => return Ok(raw),
                Err(failure) => failure,
            };
            match waits.next() {
                Some(wait) if call.repeatable && matches!(failure, Failure::Unanswered(_)) => sleep(*wait).await,
                Some(_) | None => return Err(failure),
            }
        }
    }
}

impl Rest {
    async fn attempt(&self, call: &Call) -> Result<Raw, Failure> {
        let unanswered = |reason: String| Failure::Unanswered(format!("{reason}{}", call.what_is_not_known()));
        let mut url = reqwest::Url::parse(&format!("{}{}", self.base_url, call.path))
            .map_err(|error| Failure::Usage(format!("{}: {error}", call.path)))?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request =
            self.http.request(call.method.clone(), url).header(USER_AGENT, AGENT).header(ACCEPT, call.accept);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some((content_type, text)) = &call.body {
            request = request.header(CONTENT_TYPE, *content_type).body(text.clone());
        }
        match timeout(CALL_WITHIN, async { Raw::read(request.send().await?).await }).await {
            Ok(Ok(raw)) => Ok(raw),
            Ok(Err(answer::Unread::TooLarge)) => {
                Err(Failure::Broken("the CM's answer is larger than 8 MiB".to_owned()))
            }
            Ok(Err(answer::Unread::Transport(error))) => Err(self.transport_failure(&error, unanswered)),
            Err(_) => Err(unanswered(format!("the CM did not answer within {} s", CALL_WITHIN.as_secs()))),
        }
    }

    fn transport_failure(&self, error: &reqwest::Error, unanswered: impl Fn(String) -> Failure) -> Failure {
        let chain = answer::chain_of(error);
        if door::is_refused_certificate(error) {
            return Failure::File(format!(
                "the CM and this program do not accept each other's certificate: {chain}; look at cm.certificate_file \
                 (is it valid and from the CM's clients CA?) and cm.ca_file"
            ));
        }
        if error.is_connect() {
            return Failure::Unanswered(format!(
                "the CM at {} cannot be reached: {chain}; nothing was done",
                self.base_url
            ));
        }
        // A server that refuses our certificate may be gone before we hear why.
        unanswered(format!(
            "the connection to the CM broke: {chain}; if it does so again, the CM may not accept cm.certificate_file"
        ))
    }
}

impl Call {
    /// A call without anything but its path; it may be repeated if it is a question.
    fn new(method: Method, path: String) -> Self {
        let repeatable = method == Method::GET;
        let accept = "application/json, application/problem+json";
        Self { method, path, query: Vec::new(), headers: Vec::new(), body: None, accept, repeatable }
    }

    fn with_body(self, content_type: &'static str, body: &Value) -> Self {
        Self { body: Some((content_type, body.to_string())), ..self }
    }

    /// The version that the change rests on.
    fn if_match(mut self, version: u64) -> Self {
        self.headers.push((IF_MATCH, format!("\"{version}\"")));
        self
    }

    /// The same under an Idempotency-Key, so that it can be repeated.
    fn once(mut self, key: String) -> Self {
        self.headers.push((HeaderName::from_static("idempotency-key"), key));
        self.repeatable = true;
        self
    }

    async fn asked_of(&self, desk: &OfficerDesk) -> Result<Raw, Failure> {
        let header = |wanted: &str| {
            let found = self.headers.iter().find(|(name, _)| name.as_str() == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let answer = desk
            .answer(&Request {
                method: self.method.as_str(),
                path: &self.path,
                query: &self.query,
                accept: self.accept,
                if_match: header("if-match").and_then(|version| version.trim_matches('"').parse().ok()),
                idempotency_key: header("idempotency-key"),
                body: self.body.as_ref().map(|(_, text)| text.as_str()),
            })
            .await;
        Raw::of(answer)
    }

    fn what_is_not_known(&self) -> &'static str {
        if self.method == Method::GET {
            ""
        } else {
            "; whether it did what was asked is not known: look before you repeat"
        }
    }
}

/// Whether a list allows a name, as the gateway reads it.
fn allows(identifier: &Identifier, list: &AllowedIdentifiers) -> bool {
    matches!(allowed(identifier, list), Verdict::Allowed { .. })
}

#[cfg(test)]
mod tests {
    use acme::ids::IdempotencyKey;

    use super::*;

    #[test]
    fn every_idempotency_key_is_taken_as_an_id_too() {
        for _ in 0..500 {
            let key = idempotency_key();
            assert!(IdempotencyKey::parse(&key).is_ok() && (16..=64).contains(&key.len()), "{key}");
        }
    }
}

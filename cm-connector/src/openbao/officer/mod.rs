//! The officer's calls of the CM REST API, answered out of OpenBao (CM contract sections 4.1 to 4.6).
//!
//! [`OfficerDesk`] takes what the officer's program would send to a CM and answers as a CM would: the program behind it
//! knows one contract only. Who may do what OpenBao decides by the policy of the caller's certificate; nothing here
//! looks at a role. What nobody can do with OpenBao is answered `capability-missing`.

mod certificates;
mod change;
mod key;
mod listing;
mod problem;
mod query;
mod realm;
mod requests;
mod status;
mod subject;

use acme::ids::RealmName;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::{listing::Listings, problem::Problem, query::Query};
use super::{Allows, OpenBaoCertificateManager, Settings};
use crate::transport::SetupError;

/// What an officer's program asks, in the words of the contract.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path from `/cm/v1` on, such as `/realms/tls/registrations`.
    pub path: &'a str,
    /// The parameters, decoded.
    pub query: &'a [(&'a str, String)],
    /// What `Accept` says.
    pub accept: &'a str,
    /// The version in `If-Match`.
    pub if_match: Option<u64>,
    /// What `Idempotency-Key` says.
    pub idempotency_key: Option<&'a str>,
    /// The body.
    pub body: Option<&'a str>,
}

/// What a CM would answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body. It can have a secret in it.
    pub body: String,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// OpenBao, as one person of the registration authority works with it.
#[derive(Debug)]
pub struct OfficerDesk {
    bao: OpenBaoCertificateManager,
    allows: Allows,
    listings: Listings,
}

/// One call in one realm.
struct Call<'a> {
    desk: &'a OfficerDesk,
    realm: RealmName,
    request: &'a Request<'a>,
}

impl OfficerDesk {
    /// Reads the files and sets up the client. Nothing is sent yet. `settings.login_role` is the person's role.
    ///
    /// # Errors
    /// [`SetupError`] names the setting that does not do.
    pub fn new(settings: Settings, allows: Allows) -> Result<Self, SetupError> {
        let bao = OpenBaoCertificateManager::new(settings, allows)?;
        Ok(Self { bao, allows, listings: Listings::default() })
    }

    /// Does what is asked, or says why not.
    pub async fn answer(&self, request: &Request<'_>) -> Answer {
        self.route(request).await.unwrap_or_else(Problem::into_answer)
    }

    async fn route(&self, request: &Request<'_>) -> Result<Answer, Problem> {
        let path: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        let (realm, rest) = match path.as_slice() {
            ["info"] => return realm::info(self).await,
            ["audit"] => return Err(Problem::missing("audit trail that could be asked; its own log has every call")),
            ["realms", realm, rest @ ..] => (*realm, rest),
            _ => return Err(Problem::missing("such call")),
        };
        let realm = realm.parse().map_err(|_| Problem::not_found("there is no such realm"))?;
        let call = Call { desk: self, realm, request };
        match (request.method, rest) {
            ("GET", []) => call.realm_settings().await,
            ("GET", ["profiles"]) => call.profiles().await,
            ("GET", ["registrations"]) => call.registrations().await,
            ("POST", ["registrations"]) => call.preregister().await,
            ("GET", ["registrations", id]) => call.registration(id).await,
            ("PATCH", ["registrations", id]) => call.change(id).await,
            ("POST", ["registrations", id, "status"]) => call.set_status(id).await,
            ("POST", ["registrations", id, "eab"]) => call.draw_key(id).await,
            ("GET", ["certificates"]) => call.certificates().await,
            ("GET", ["certificates", id]) => call.certificate(id).await,
            ("POST", ["certificates", id, "revoke"]) => call.revoke(id).await,
            ("GET", ["certificate-requests"]) => call.requests().await,
            ("GET", ["certificate-requests", id]) => call.request(id).await,
            (_, [.., "approve" | "reject"]) => Err(Problem::missing("approvals")),
            (_, ["registrations", _, "waivers", ..] | ["waivers", ..]) => {
                Err(Problem::missing("waivers of challenges"))
            }
            (_, [.., "directory-link"]) => Err(Problem::missing("directory URLs of registrations")),
            (_, [.., "reinstate"]) => Err(Problem::missing("holds: what is revoked stays so")),
            _ => Err(Problem::missing("such call")),
        }
    }
}

impl Call<'_> {
    fn query(&self) -> Query<'_> {
        Query::of(self.request.query)
    }

    /// The body; a member that is not understood must not be passed over.
    fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_str(self.request.body.unwrap_or("{}"))
            .map_err(|error| Problem::malformed(format!("the body is not understood: {error}")))
    }

    /// The version that the change rests on.
    fn version(&self) -> Result<u64, Problem> {
        self.request.if_match.ok_or_else(|| Problem::malformed("a change has to name the version that it rests on"))
    }

    /// Whom OpenBao took the caller for when it let her log in.
    async fn caller(&self) -> Result<String, Problem> {
        let path = String::from("/v1/auth/token/lookup-self");
        let answer = self.desk.bao.client.send(&super::client::Call::read("GET auth/token/lookup-self", path)).await?;
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let name = text("/data/meta/common_name").or_else(|| text("/data/display_name"));
        Ok(name.unwrap_or_default())
    }
}

fn ok(json: &Value) -> Answer {
    answered(200, json)
}

fn answered(status: u16, json: &Value) -> Answer {
    Answer { status, content_type: "application/json", body: json.to_string() }
}

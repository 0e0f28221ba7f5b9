//! What is asserted of every refusal, whatever row it belongs to.
//!
//! A trial watches clients: it reads their account, orders, authorizations and challenges before the first wrong
//! request and after each, and nothing of it may have changed. The first of these readings uses the nonce of the refusal,
//! so that each of them is known to be good.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{
    client::{Client, challenge, strings},
    problem::assert_problem_document,
    response::Response,
    snapshot::assert_snapshot,
    world::World,
};

use super::{Outcome, Row, attempt::Attempt};

/// Longest that a refusal may take, on a busy machine too.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);

/// One row while it is being proven.
pub(crate) struct Trial {
    row: &'static Row,
    world: &'static World,
    watched: Vec<Watched>,
    /// Everything that the server answered, redacted.
    transcript: String,
    answers: usize,
}

/// Somebody whose state must stay as it is.
struct Watched {
    client: Client,
    /// Objects that no list leads to, such as invalid orders.
    more: Vec<String>,
    state: State,
}

/// URL, status and body of everything that a client can read.
type State = Vec<(String, u16, String)>;

/// How a request was made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Post,
    /// GET and its like: no nonce comes with the answer.
    Other,
}

impl Trial {
    pub(super) fn new(row: &'static Row, world: &'static World) -> Self {
        let transcript = format!("{}: {}\n", row.id, row.title);
        Self { row, world, watched: Vec::new(), transcript, answers: 0 }
    }

    /// The world that the row shares with others.
    pub(crate) const fn world(&self) -> &'static World {
        self.world
    }

    /// A client with an account at `open`, watched.
    pub(crate) fn account(&mut self) -> Client {
        let client = self.world.account();
        self.watch(&client);
        client
    }

    /// A client of this endpoint without an account, watched: it must not get one.
    pub(crate) fn stranger(&mut self, endpoint: &str) -> Client {
        let client = self.world.client(endpoint);
        self.watch(&client);
        client
    }

    /// Begins to watch a client, or takes what it did meanwhile for its new state. Refusals must lead back to
    /// the directory of a watched client.
    pub(crate) fn watch(&mut self, client: &Client) {
        self.watch_also(client, &[]);
    }

    /// The same with objects that no list leads to.
    pub(crate) fn watch_also(&mut self, client: &Client, more: &[&str]) {
        let more: Vec<_> = more.iter().map(|&url| url.to_owned()).collect();
        let client = client.twin();
        let state = state(&client, &more);
        let who = |client: &Client| (client.url("directory"), client.key.thumbprint());
        let known = self.watched.iter_mut().find(|other| who(&other.client) == who(&client));
        match known {
            Some(known) => *known = Watched { client, more, state },
            None => self.watched.push(Watched { client, more, state }),
        }
    }

    /// Watches a client no more, because its key is no account's any more.
    pub(crate) fn forget(&mut self, client: &Client) {
        self.watched.retain(|watched| watched.client.key.thumbprint() != client.key.thumbprint());
    }

    /// A POST that must be refused as the row says. `what` tells it from the other requests of its row.
    pub(crate) fn refuse(&mut self, what: &str, send: impl FnOnce() -> Response) -> Response {
        let (status, kind) = self.expected();
        self.refused(Method::Post, what, status, kind, send)
    }

    /// A request by another method than POST that must be refused as the row says.
    pub(crate) fn refuse_other(&mut self, what: &str, send: impl FnOnce() -> Response) -> Response {
        let (status, kind) = self.expected();
        self.refused(Method::Other, what, status, kind, send)
    }

    /// A POST that must be refused in another way than the rest of its row.
    pub(crate) fn refuse_as(&mut self, what: &str, status: u16, kind: &str, send: impl FnOnce() -> Response) {
        let _ = self.refused(Method::Post, what, status, kind, send);
    }

    /// A challenge of this type for this DNS name, not answered yet.
    pub(crate) fn attempt(&self, kind: &str, name: &str) -> Attempt {
        Attempt::new(self.world.account(), kind, &json!({"type": "dns", "value": name}))
    }

    /// Responds to a challenge, and asserts that it fails as the row says and that nothing can be had for it.
    pub(crate) fn fail(&mut self, what: &str, attempt: &Attempt) -> Value {
        let Outcome::Fails(kind) = self.row.outcome else { panic!("{} is not about failing challenges", self.row.id) };
        self.fail_as(what, kind, attempt)
    }

    /// The same with another error type than the rest of its row.
    pub(crate) fn fail_as(&mut self, what: &str, kind: &str, attempt: &Attempt) -> Value {
        let response = attempt.respond_and_wait("invalid");
        let challenge = response.json();
        assert_eq!(assert_problem_document(&challenge["error"]), kind, "{what}: {response:?}");
        let client = &attempt.client;
        let authorization = client.read(&attempt.authorization).expect(200).json();
        assert_eq!(authorization["status"], "invalid", "{what}: {authorization}");
        let order = client.reread(&attempt.order);
        assert_eq!(order.object["status"], "invalid", "{what}: {order:?}");
        assert_eq!(assert_problem_document(&order.object["error"]), kind, "{what}: {order:?}");
        let finalized = client.finalize(&order, &attempt.csr());
        let _ = finalized.assert_refused(403, "orderNotReady");
        assert_eq!(self.world.certificates_of(&order.url), 0, "{what}: a certificate without a proof");
        self.show(what, &response);
        challenge
    }

    /// Puts an answer into the snapshot.
    pub(crate) fn show(&mut self, what: &str, response: &Response) {
        self.transcript.push_str(&format!("\n=== {what}\n{}\n", response.to_snapshot().trim_end()));
        self.answers += 1;
    }

    /// Asserts that nobody's state has changed since it was watched.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, what: &str) {
        for watched in &self.watched {
            assert_eq!(state(&watched.client, &watched.more), watched.state, "{what}: it had an effect");
        }
    }

    /// Ends the row: compares the snapshot.
    pub(super) fn finish(self) {
        assert!(self.answers > 0, "{} asks for nothing", self.row.id);
        assert_snapshot(&format!("negative/{}", self.row.id), &self.transcript);
    }

    fn expected(&self) -> (u16, &'static str) {
        match self.row.outcome {
            Outcome::Refused(status, kind) => (status, kind),
            Outcome::Fails(_) | Outcome::Told => panic!("{} is not about refused requests", self.row.id),
        }
    }

    fn refused(
        &mut self,
        method: Method,
        what: &str,
        status: u16,
        kind: &str,
        send: impl FnOnce() -> Response,
    ) -> Response {
        assert!(!self.watched.is_empty(), "{} watches nobody", self.row.id);
        let directories: BTreeSet<_> = self.watched.iter().map(|watched| watched.client.url("directory")).collect();
        let start = Instant::now();
        let response = send();
        assert!(start.elapsed() < ANSWER_WITHIN, "{what}: after {:?}", start.elapsed());
        assert_eq!(response.status, status, "{what}: {response:?}");
        assert!(response.status < 500, "{what}: no wrong request is our fault: {response:?}");
        let _ = match method {
            Method::Post => response.assert_refused(status, kind),
            Method::Other => response.assert_problem(status, kind),
        };
        assert_headers(what, &response, method, &directories);
        self.assert_unchanged(what);
        self.show(what, &response);
        response
    }
}

fn assert_headers(what: &str, response: &Response, method: Method, directories: &BTreeSet<String>) {
    let all = |name| response.all(name).collect::<Vec<_>>();
    assert_eq!(all("content-type"), ["application/problem+json"], "{what}: {response:?}");
    assert_eq!(all("content-length"), [response.body.len().to_string()], "{what}: {response:?}");
    let nonces = if method == Method::Post { 1 } else { 0 };
    assert_eq!(all("replay-nonce").len(), nonces, "{what}: {response:?}");
    assert!(response.link("index").is_some_and(|index| directories.contains(index)), "{what}: {response:?}");
    assert_eq!(all("link").iter().filter(|link| link.contains("index")).count(), 1, "{what}: {response:?}");
    let is_seconds = |text: &&str| text.parse::<u32>().is_ok_and(|seconds| seconds > 0);
    assert!(all("retry-after").iter().all(is_seconds), "{what}: {response:?}");
    // Nothing is moved, and of all refusals only a conflict names another resource.
    assert!(response.header("location").is_none() || response.status == 409, "{what}: {response:?}");
}

/// Everything that a client can read of itself; of one without an account, that there is none.
fn state(client: &Client, more: &[String]) -> State {
    let mut state = Vec::new();
    let mut read = |url: &str, response: Response| {
        state.push((url.to_owned(), response.status, response.text()));
        response
    };
    let Some(account) = client.kid.clone() else {
        let url = client.url("new-account");
        let question = client.self_signed(&url, &json!({"onlyReturnExisting": true}), &client.key);
        let _ = read(&url, client.send(&url, &question.sign()));
        return state;
    };
    let _ = read(&account, client.read(&account));
    let list = format!("{account}/orders");
    let listed = read(&list, client.read(&list));
    let orders = if listed.status == 200 { strings(&listed.json()["orders"]) } else { Vec::new() };
    for url in orders.iter().chain(more) {
        let found = read(url, client.read(url));
        if found.status == 200 && found.header("content-type") == Some("application/json") {
            let object = found.json();
            let authorizations = object.get("authorizations").map(strings).unwrap_or_default();
            authorizations.iter().for_each(|url| drop(read(url, client.read(url))));
        }
    }
    state
}

/// The URL of a challenge of an authorization.
pub(super) fn challenge_url(authorization: &Value, kind: &str) -> String {
    challenge(authorization, kind)["url"].as_str().expect("a challenge has a URL").to_owned()
}

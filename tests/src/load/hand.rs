//! A client's hand: sends a request until there is an answer to it, whatever dies meanwhile.
//!
//! It repeats as real clients do: after a broken connection, with a new nonce after `badNonce`, and after 503 and 429.
//! So a request may be done more often than it is answered, and whoever uses this has to be ready for that.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{
    client::JOSE,
    http::{Connection, Tls, request},
    jws::Draft,
    key::Key,
    response::Response,
    site::Site,
};

/// Between two tries, and between two looks at something that will change.
pub const PAUSE: Duration = Duration::from_millis(40);

/// Nothing came of it before the round was over.
#[derive(Debug)]
pub(super) struct Stuck;

/// What all clients of a round got together.
#[derive(Default)]
pub struct Answers {
    count: AtomicU64,
    put_off: AtomicU64,
    certificates: Mutex<Vec<Instant>>,
}

impl Answers {
    /// How many answers.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// How many of them said: not now.
    #[must_use]
    pub fn put_off(&self) -> u64 {
        self.put_off.load(Ordering::SeqCst)
    }

    /// When each certificate was downloaded, the first one first.
    ///
    /// # Panics
    /// A client did.
    #[must_use]
    pub fn certificates(&self) -> Vec<Instant> {
        self.certificates.lock().unwrap().clone()
    }
}

/// The hand of one account.
pub struct Hand {
    site: Arc<Site>,
    pub(super) endpoint: &'static str,
    pub(super) key: Key,
    pub(super) kid: Option<String>,
    nonce: Option<String>,
    connection: Option<Connection>,
    answers: Arc<Answers>,
    until: Instant,
    /// What it was told to try again, and how often.
    pub(super) put_off: BTreeMap<String, u64>,
}

impl Hand {
    /// A hand that tries until this moment.
    pub fn new(site: &Arc<Site>, (endpoint, key): (&'static str, Key), answers: &Arc<Answers>, until: Instant) -> Self {
        Self {
            site: Arc::clone(site),
            endpoint,
            key,
            kid: None,
            nonce: None,
            connection: None,
            answers: Arc::clone(answers),
            until,
            put_off: BTreeMap::new(),
        }
    }

    /// A URL of its endpoint.
    pub(super) fn url(&self, resource: &str) -> String {
        self.site.url(self.endpoint, resource)
    }

    /// Tells all clients that there is a certificate more.
    pub(super) fn has_certificate(&self) {
        self.answers.certificates.lock().unwrap().push(Instant::now());
    }

    /// POST-as-GET.
    pub(super) fn read(&mut self, url: &str) -> Result<Response, Stuck> {
        self.send_until_answered(url, "", false)
    }

    /// A signed request.
    pub(super) fn post(&mut self, url: &str, payload: &Value) -> Result<Response, Stuck> {
        self.send_until_answered(url, &payload.to_string(), false)
    }

    /// A signed request whose first answer is taken for the last, also if it says: not now.
    pub(super) fn post_and_walk_away(&mut self, url: &str, payload: &Value) -> Result<Response, Stuck> {
        self.send_until(url, &payload.to_string(), false, |response| response.status == 503)
    }

    /// newAccount.
    pub(super) fn new_account(&mut self, payload: &Value) -> Result<Response, Stuck> {
        self.send_until_answered(&self.url("new-account"), &payload.to_string(), true)
    }

    /// Pauses, unless the round is over.
    pub(super) fn pause(&self) -> Result<(), Stuck> {
        thread::sleep(PAUSE);
        if Instant::now() > self.until { Err(Stuck) } else { Ok(()) }
    }

    fn send_until_answered(&mut self, url: &str, payload: &str, by_key: bool) -> Result<Response, Stuck> {
        self.send_until(url, payload, by_key, |_| false)
    }

    fn send_until(
        &mut self,
        url: &str,
        payload: &str,
        by_key: bool,
        is_enough: impl Fn(&Response) -> bool,
    ) -> Result<Response, Stuck> {
        loop {
            if let Ok(response) = self.send_once(url, payload, by_key) {
                self.answers.count.fetch_add(1, Ordering::SeqCst);
                match try_again(&response).filter(|_| !is_enough(&response)) {
                    None => return Ok(response),
                    Some(kind) => {
                        self.answers.put_off.fetch_add(1, Ordering::SeqCst);
                        *self.put_off.entry(kind).or_default() += 1;
                    }
                }
            } else {
                self.connection = None;
            }
            self.pause()?;
        }
    }

    fn send_once(&mut self, url: &str, payload: &str, by_key: bool) -> io::Result<Response> {
        let nonce = match self.nonce.take() {
            Some(nonce) => nonce,
            None => {
                let response = self.exchange("HEAD", &self.url("new-nonce"), None)?;
                let nonce = response.header("replay-nonce").map(str::to_owned);
                nonce.ok_or_else(|| io::Error::other("newNonce gives no nonce"))?
            }
        };
        let mut protected = Map::new();
        protected.insert("alg".to_owned(), self.key.algorithm().into());
        protected.insert("nonce".to_owned(), nonce.into());
        protected.insert("url".to_owned(), url.into());
        match self.kid.as_ref().filter(|_| !by_key) {
            Some(kid) => protected.insert("kid".to_owned(), kid.as_str().into()),
            None => protected.insert("jwk".to_owned(), self.key.jwk()),
        };
        let jws = Draft { protected, payload: payload.into(), key: self.key.clone() }.sign();
        let response = self.exchange("POST", url, Some(jws.to_string().as_bytes()))?;
        self.nonce = response.header("replay-nonce").map(str::to_owned);
        Ok(response)
    }

    /// One request on the connection that there is, or on a new one.
    fn exchange(&mut self, method: &str, url: &str, body: Option<&[u8]>) -> io::Result<Response> {
        let path = url.strip_prefix(self.site.external_url.as_str()).unwrap_or(url);
        let host = self.site.external_url.trim_start_matches("https://");
        let octets = request(method, path, host, &[("Content-Type", JOSE)], body);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let ca_file = self.site.pki("acme-ca.pem");
                let tls = Tls { ca_file: Some(&ca_file), ..Tls::default() };
                Connection::tls(self.site.gateway, "localhost", &tls)?.0
            }
        };
        connection.send(octets)?;
        let response = connection.receive(method)?;
        if response.header("connection").is_none_or(|word| !word.eq_ignore_ascii_case("close")) {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

/// What a refusal is called that says: not now.
fn try_again(response: &Response) -> Option<String> {
    let kind = kind(response);
    let is_now_only = matches!(response.status, 429 | 503) || (response.status == 400 && kind == "badNonce");
    let advice =
        if response.status == 400 || response.header("retry-after").is_some() { "" } else { " without Retry-After" };
    is_now_only.then(|| format!("{} {kind}{advice}", response.status))
}

/// The kind of problem that a refusal is, without the words that all kinds begin with.
pub(super) fn kind(response: &Response) -> String {
    let problem: Value = serde_json::from_slice(&response.body).unwrap_or_else(|_| json!({}));
    let kind = problem["type"].as_str().and_then(|kind| kind.rsplit(':').next());
    kind.unwrap_or("no problem document").to_owned()
}

//! Our token: got by mutual TLS, renewed when two thirds of its life are over, got anew when it cannot be
//! renewed. It works without our certificate, so it lives in memory and not long.

use std::{sync::Arc, time::Duration};

use acme::secret::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};

use super::{
    exchange::Question,
    failure::{Failure, Instead},
};
use crate::Outcome;

/// A token that can be used now. Two of one login are the same.
#[derive(Debug, Clone)]
pub(super) struct Token(Arc<Secret<String>>);

impl Token {
    pub(super) fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The token of one client certificate.
#[derive(Debug)]
pub(super) struct Tokens {
    login_path: String,
    role: String,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    token: Token,
    /// What the login was given, by which a renewal is judged.
    lease: Duration,
    renew_at: Instant,
    ends_at: Instant,
}

#[derive(Deserialize)]
struct Answer {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    lease_duration: u64,
}

/// What to do about the token before a call.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Renewal,
    Login,
}

impl Tokens {
    pub(super) fn new(mount: &str, role: &str) -> Self {
        Self { login_path: format!("/v1/auth/{mount}/login"), role: role.to_owned(), held: Mutex::default() }
    }

    /// A token for a call that begins now; `ask` sends one question to the node that the call goes to.
    pub(super) async fn token<F>(&self, ask: impl Fn(Ask) -> F) -> Result<Token, Failure>
    where
        F: Future<Output = Result<Value, Failure>>,
    {
        let mut held = self.held.lock().await;
        if let Some(current) = held.as_mut() {
            match current.due(Instant::now()) {
                Due::Nothing => return Ok(current.token.clone()),
                Due::Renewal => match ask(Ask::Renewal(current.token.clone())).await {
                    Ok(answer) => {
                        if current.renewed(answer)? {
                            return Ok(current.token.clone());
                        }
                        // It was given too little: its longest life is nearly over.
                    }
                    // It is good for a while yet, whatever is wrong now.
                    Err(failure) if failure.may_pass() => return Ok(current.token.clone()),
                    Err(_) => {}
                },
                Due::Login => {}
            }
        }
        let login = Ask::Login { path: self.login_path.clone(), body: json!({"name": self.role}) };
        let answer = match ask(login).await {
            Ok(answer) => answer,
            Err(Failure::Refused { status, errors }) => {
                tracing::error!(
                    status,
                    role = self.role,
                    errors = %acme::problem::shown(&errors),
                    "ALARM: OpenBao does not let this program log in"
                );
                return Err(Failure::Stranger);
            }
            // The call that needs the token was not sent, whatever became of the login.
            Err(Failure::Away { instead, retry_after, .. }) => return Err(Failure::not_asked(instead, retry_after)),
            Err(failure @ (Failure::Busy { .. } | Failure::Stranger | Failure::Broken(_))) => return Err(failure),
        };
        let fresh = Held::of(answer)?;
        let token = fresh.token.clone();
        *held = Some(fresh);
        Ok(token)
    }

    /// Whether a login is let in; the token of it is not kept.
    pub(super) async fn check_login<F>(&self, ask: impl Fn(Ask) -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<Value, Failure>>,
    {
        let login = Ask::Login { path: self.login_path.clone(), body: json!({"name": self.role}) };
        ask(login).await.and_then(Held::of).map(drop)
    }

    /// Logs in again before the next call.
    pub(super) async fn forget(&self) {
        *self.held.lock().await = None;
    }

    /// Gives this token up, unless another has taken its place.
    pub(super) async fn give_up(&self, token: &Token) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|current| Arc::ptr_eq(&current.token.0, &token.0)) {
            *held = None;
        }
    }
}

/// What is asked for the sake of the token.
pub(super) enum Ask {
    Login { path: String, body: Value },
    Renewal(Token),
}

impl Ask {
    pub(super) fn question(&self) -> Question<'_> {
        match self {
            Self::Login { path, body } => Question { method: Method::POST, path, token: None, body: Some(body) },
            Self::Renewal(token) => Question {
                method: Method::POST,
                path: "/v1/auth/token/renew-self",
                token: Some(token.expose_secret()),
                body: None,
            },
        }
    }

    pub(super) const fn operation(&self) -> &'static str {
        match self {
            Self::Login { .. } => "POST auth/{mount}/login",
            Self::Renewal(_) => "POST auth/token/renew-self",
        }
    }
}

impl Held {
    fn of(answer: Value) -> Result<Self, Failure> {
        let auth = read(answer)?;
        let (lease, now) = (lease(&auth), Instant::now());
        let token = Token(Arc::new(Secret::new(auth.client_token)));
        Ok(Self { token, lease, renew_at: now + lease.mul_f64(2.0 / 3.0), ends_at: now + lease })
    }

    fn due(&self, now: Instant) -> Due {
        if now >= self.ends_at {
            Due::Login
        } else if now >= self.renew_at {
            Due::Renewal
        } else {
            Due::Nothing
        }
    }

    /// Whether a renewal was worth it: near the end of its longest life a token is given less and less.
    fn renewed(&mut self, answer: Value) -> Result<bool, Failure> {
        let (lease, now) = (lease(&read(answer)?), Instant::now());
        (self.renew_at, self.ends_at) = (now + lease.mul_f64(2.0 / 3.0), now + lease);
        Ok(lease * 2 >= self.lease)
    }
}

fn read(answer: Value) -> Result<Auth, Failure> {
    let answer: Result<Answer, _> = serde_json::from_value(answer);
    // The text of an error could quote the token.
    answer.map(|answer| answer.auth).map_err(|_| Failure::Away {
        instead: Instead::NotActive { status: 200 },
        outcome: Outcome::NotSent,
        retry_after: None,
    })
}

fn lease(auth: &Auth) -> Duration {
    const LEASE_SECS_MAX: u64 = 86_400;
    Duration::from_secs(auth.lease_duration.min(LEASE_SECS_MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use super::*;

    type Answers = Vec<Result<Value, Failure>>;

    /// Answers in order, and what was asked for.
    struct Script(StdMutex<(Answers, Vec<&'static str>)>);

    impl Script {
        fn new(mut answers: Answers) -> Self {
            answers.reverse();
            Self(StdMutex::new((answers, Vec::new())))
        }

        async fn ask(&self, ask: Ask) -> Result<Value, Failure> {
            let mut script = self.0.lock().unwrap();
            script.1.push(ask.operation());
            script.0.pop().expect("an answer for each question")
        }

        fn asked(&self) -> Vec<&'static str> {
            self.0.lock().unwrap().1.clone()
        }
    }

    fn given(token: &str, secs: u64) -> Result<Value, Failure> {
        Ok(json!({"auth": {"client_token": token, "lease_duration": secs}}))
    }

    const LOGIN: &str = "POST auth/{mount}/login";
    const RENEWAL: &str = "POST auth/token/renew-self";

    async fn after(tokens: &Tokens, script: &Script, secs: u64) -> String {
        tokio::time::advance(Duration::from_secs(secs)).await;
        tokens.token(|ask| script.ask(ask)).await.unwrap().expose_secret().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_after_two_thirds_of_its_life_and_got_anew_when_that_gives_too_little() {
        let tokens = Tokens::new("cert", "gateway");
        let script = Script::new(vec![given("one", 900), given("one", 900), given("one", 300), given("two", 900)]);
        assert_eq!(after(&tokens, &script, 0).await, "one");
        assert_eq!(after(&tokens, &script, 599).await, "one");
        assert_eq!(script.asked(), [LOGIN]);
        assert_eq!(after(&tokens, &script, 2).await, "one");
        assert_eq!(script.asked(), [LOGIN, RENEWAL]);
        assert_eq!(after(&tokens, &script, 601).await, "two");
        assert_eq!(script.asked(), [LOGIN, RENEWAL, RENEWAL, LOGIN]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_is_not_answered_leaves_the_token_in_use_and_a_refused_one_does_not() {
        let tokens = Tokens::new("cert", "gateway");
        let busy = Err(Failure::Busy { retry_after: Duration::ZERO });
        let refused = Err(Failure::Refused { status: 403, errors: String::new() });
        let script = Script::new(vec![given("one", 900), busy, refused, given("two", 900)]);
        assert_eq!(after(&tokens, &script, 0).await, "one");
        assert_eq!(after(&tokens, &script, 700).await, "one");
        assert_eq!(after(&tokens, &script, 1).await, "two");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_up_is_got_anew_once() {
        let tokens = Tokens::new("cert", "gateway");
        let script = Script::new(vec![given("one", 900), given("two", 900)]);
        let dead = tokens.token(|ask| script.ask(ask)).await.unwrap();
        tokens.give_up(&dead).await;
        assert_eq!(after(&tokens, &script, 0).await, "two");
        // Somebody else had the same dead one.
        tokens.give_up(&dead).await;
        assert_eq!(after(&tokens, &script, 0).await, "two");
    }

    #[tokio::test]
    async fn who_may_not_log_in_is_a_stranger_and_no_network_fault() {
        let tokens = Tokens::new("cert", "gateway");
        let script =
            Script::new(vec![Err(Failure::Refused { status: 400, errors: String::from("no chain matching") })]);
        assert!(matches!(tokens.token(|ask| script.ask(ask)).await, Err(Failure::Stranger)));
    }
}

//! The life of one client in a round: account, orders, proofs, finalize, download, revocation. It goes by what it sees,
//! never by what it expects, and writes down what was acknowledged.

use openssl::x509::X509;
use serde_json::{Value, json};

use super::{
    hand::{Hand, Stuck, kind},
    ledger::{Account, Breach, Certificate, Order, Revocation, Stage},
    plan::{ClientPlan, OrderPlan},
    responder::Responder,
};
use crate::{
    base64url,
    client::{challenge, public_key, revocation, strings},
    csr::Csr,
    jws::Binding,
    key::Key,
    officer::Preregistration,
    response::Response,
};

/// Does everything that the plan says and tells what came of it.
#[must_use]
pub fn live(plan: &ClientPlan, mut hand: Hand, responder: Responder, officer: Option<&Preregistration>) -> Account {
    let mut client = Client { account: Account::new(hand.endpoint, hand.key.clone()), responder, hand: &mut hand };
    if client.register(plan, officer).is_err() {
        // An account that nobody acknowledged may be missing; but here everything should come to an end.
        client.account.breach(Breach::Lost, "newAccount has no answer");
    }
    for order in &plan.orders {
        if client.account.url.is_none() {
            break;
        }
        client.order(order);
    }
    let mut account = client.account;
    for (kind, count) in hand.put_off {
        *account.refusals.entry(kind).or_default() += count;
    }
    account
}

struct Client<'a> {
    hand: &'a mut Hand,
    account: Account,
    responder: Responder,
}

impl Client<'_> {
    fn register(&mut self, plan: &ClientPlan, officer: Option<&Preregistration>) -> Result<(), Stuck> {
        let contact = |name: &str| json!([format!("mailto:{name}@chaos.test")]);
        let mut payload = json!({"termsOfServiceAgreed": true, "contact": contact("first")});
        if let Some(Preregistration { kid, secret, .. }) = officer {
            let (url, jwk) = (self.hand.url("new-account"), self.hand.key.jwk());
            payload["externalAccountBinding"] = Binding { algorithm: "HS256", kid, secret, url: &url, jwk }.sign();
        }
        let response = self.hand.new_account(&payload)?;
        if !matches!(response.status, 200 | 201) {
            self.refused(&response);
            return Ok(());
        }
        let url = response.location();
        self.hand.kid = Some(url.clone());
        self.account.url = Some(url.clone());
        self.account.contact = Some(contact("first").to_string());
        if plan.changes_contact {
            let response = self.hand.post(&url, &json!({"contact": contact("second")}))?;
            if response.status == 200 {
                self.account.contact = Some(contact("second").to_string());
            } else {
                self.refused(&response);
            }
        }
        Ok(())
    }

    fn order(&mut self, plan: &OrderPlan) {
        let identifiers: Vec<_> = plan.names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let url = self.hand.url("new-order");
        let Ok(created) = self.hand.post(&url, &json!({"identifiers": identifiers})) else {
            return self.account.breach(Breach::Lost, format!("newOrder for {:?} has no answer", plan.names));
        };
        if created.status != 201 {
            return self.refused(&created);
        }
        let mut order = Order::new(created.location(), &plan.names);
        if self.take_to_the_end(&mut order, plan).is_err() {
            let words = format!("{} did not end in time; it was last seen {:?}", order.url, order.stage);
            self.account.breach(Breach::Lost, words);
        }
        self.account.orders.push(order);
    }

    fn take_to_the_end(&mut self, order: &mut Order, plan: &OrderPlan) -> Result<(), Stuck> {
        let key = Key::p256();
        let names: Vec<_> = plan.names.iter().map(String::as_str).collect();
        let csr = Csr::for_names(&names).text(&key);
        loop {
            let response = self.hand.read(&order.url)?;
            let Some(object) = self.see(order, &response) else { return Ok(()) };
            match order.stage {
                Stage::Pending => self.prove(order, &object)?,
                Stage::Ready => {
                    let url = object["finalize"].as_str().unwrap_or_default().to_owned();
                    let response = self.hand.post(&url, &json!({"csr": csr}))?;
                    if response.status == 200 {
                        order.stage = Stage::Processing;
                    } else {
                        // Perhaps one that was not answered has been done; then the order says so.
                        self.refused(&response);
                    }
                }
                Stage::Processing => {}
                Stage::Valid => return self.take(order, plan, &object, &key),
                Stage::Invalid => {
                    order.problem = object["error"]["detail"].as_str().map(str::to_owned);
                    match &order.problem {
                        Some(problem) => self.count(format!("order invalid: {problem}")),
                        None => self.account.breach(Breach::Lost, format!("{} ended without a reason", order.url)),
                    }
                    return Ok(());
                }
            }
            self.hand.pause()?;
        }
    }

    /// Reads an order; `None` if it is not there any more or has gone back, which ends it for us.
    fn see(&mut self, order: &mut Order, response: &Response) -> Option<Value> {
        let object = if response.status == 200 { response.json() } else { Value::Null };
        let Some(stage) = object["status"].as_str().and_then(Stage::of) else {
            self.account.breach(Breach::Missing, format!("{} was acknowledged, and now: {response:?}", order.url));
            return None;
        };
        if !order.stage.may_become(stage) {
            let words = format!("{} was {:?} and is {stage:?}", order.url, order.stage);
            self.account.breach(Breach::Missing, words);
            return None;
        }
        order.stage = stage;
        Some(object)
    }

    /// Responds to a challenge of everything that is not proven.
    fn prove(&mut self, order: &mut Order, object: &Value) -> Result<(), Stuck> {
        for url in strings(&object["authorizations"]) {
            let response = self.hand.read(&url)?;
            if response.status != 200 {
                self.account.breach(Breach::Missing, format!("{url} of {}: {response:?}", order.url));
                continue;
            }
            let authorization = response.json();
            if authorization["status"] != "pending" {
                continue;
            }
            let challenge = challenge(&authorization, "http-01");
            let url = challenge["url"].as_str().unwrap_or_default().to_owned();
            let is_new = challenge["status"] == "pending";
            if is_new && order.responded.contains(&url) {
                self.account.breach(Breach::Missing, format!("{url} has forgotten the response to it"));
            } else if is_new {
                let token = challenge["token"].as_str().unwrap_or_default();
                self.responder.provide(token, &format!("{token}.{}", self.hand.key.thumbprint()));
                let response = self.hand.post(&url, &json!({}))?;
                if response.status == 200 {
                    order.responded.push(url);
                } else {
                    self.refused(&response);
                }
            }
        }
        Ok(())
    }

    /// Downloads the certificate, looks whether it is ours, and revokes it if that is planned.
    fn take(&mut self, order: &mut Order, plan: &OrderPlan, object: &Value, key: &Key) -> Result<(), Stuck> {
        let url = object["certificate"].as_str().unwrap_or_default().to_owned();
        let response = self.hand.read(&url)?;
        if response.status != 200 {
            self.account.breach(Breach::Missing, format!("{} is valid, its certificate: {response:?}", order.url));
            return Ok(());
        }
        self.hand.has_certificate();
        let pem = response.text();
        let leaf = crate::client::chain(&pem).remove(0);
        if !public_key(&leaf).public_eq(key.pkey()) {
            self.account.breach(Breach::Lost, format!("{} has a certificate of another key", order.url));
        }
        let revocation = if plan.is_revoked { self.revoke(plan, &leaf)? } else { Revocation::None };
        order.certificate = Some(Certificate { url, pem, revocation });
        Ok(())
    }

    fn revoke(&mut self, plan: &OrderPlan, leaf: &X509) -> Result<Revocation, Stuck> {
        let (url, payload) = (self.hand.url("revoke-cert"), revocation(leaf, 4));
        let response = if plan.walks_away {
            self.hand.post_and_walk_away(&url, &payload)?
        } else {
            self.hand.post(&url, &payload)?
        };
        if response.status != 200 {
            self.refused(&response);
        }
        // One that was not answered may have been done.
        if response.status == 200 || kind(&response) == "alreadyRevoked" {
            return Ok(Revocation::Confirmed);
        }
        if response.text().contains("goes on asking") {
            self.count("revocation promised, never asked for again".to_owned());
            return Ok(Revocation::Promised);
        }
        Ok(Revocation::None)
    }

    fn refused(&mut self, response: &Response) {
        self.count(format!("{} {}", response.status, kind(response)));
    }

    fn count(&mut self, refusal: String) {
        *self.account.refusals.entry(refusal).or_default() += 1;
    }
}

/// The payload that revokes this certificate once more.
pub(super) fn revocation_of(pem: &str) -> Value {
    let leaf = crate::client::chain(pem).remove(0);
    json!({"certificate": base64url(leaf.to_der().expect("what was decoded can be encoded")), "reason": 4})
}

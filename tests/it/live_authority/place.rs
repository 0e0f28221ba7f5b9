//! Where a client meets the officer's word: everything that has to be there before a change, and each place after it.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tests::{
    client::{Client, Issued, Order, challenge, strings},
    csr::Csr,
    key::Key,
    officer::Preregistration,
    response::Response,
    wait_for,
    world::World,
};

use super::{Expected, words};
use crate::renewal_info::acme_time;

/// How long what was promised may take to end.
const SOON: Duration = Duration::from_secs(120);
/// So long the CM is not asked again for the certificate of an order: long enough for a change to be made meanwhile.
const HELD_SECS: u64 = 8;

/// One order's request to the CM fails at a time: requests are told apart by nothing else.
static ISSUING: Mutex<()> = Mutex::new(());

/// An account with something at every stage.
pub(super) struct Prepared<'a> {
    world: &'a World,
    zone: String,
    client: Client,
    /// The registrations that the change is made to.
    pub(super) governed: Vec<String>,
    /// What another client can bind a key with.
    unbound: Preregistration,
    /// Pending, its challenge not answered; and what is to be proven.
    unanswered: (Order, Value),
    /// Pending, its challenge answered with nothing to find yet; and what is to be proven.
    answered: (Order, Value),
    /// Ready.
    ready: Order,
    /// Processing: the CM was asked once and was not there.
    promised: Order,
    issued: Issued,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(world: &'a World, zone: &str, by_parent: bool) -> Self {
        let usage = if by_parent { "multi" } else { "once" };
        let members = json!({
            "eab": {"kid": format!("kid-{zone}"), "use": usage},
            "allowedProfiles": ["tls-server", "tls-server-approval"],
            "allowedIdentifiers": {"mode": "any"},
        });
        let preregister = |kid: &str| {
            let mut members = members.clone();
            members["eab"]["kid"] = json!(format!("kid-{kid}-{zone}"));
            world.officer().preregister(&members)
        };
        let first = preregister("1");
        let client = bound(world, &first).0;
        let unbound = if by_parent { first } else { preregister("2") };
        let own = client.account_url().rsplit('/').next().unwrap_or_default().to_owned();
        let governed = if by_parent { vec![unbound.id.clone()] } else { vec![own, unbound.id.clone()] };
        let order = |name: &str| order(&client, &format!("{name}.{zone}"));
        let pending = |name: &str| {
            let order = order(name);
            let authorization = client.read(&strings(&order.object["authorizations"]).remove(0)).expect(200).json();
            (order, authorization)
        };
        let (unanswered, ready) = (pending("unanswered"), client.prove(&order("ready")));
        let issued = {
            let _turn = ISSUING.lock().unwrap_or_else(PoisonError::into_inner);
            let ready = client.prove(&order("issued"));
            let key = Key::p256();
            let _ = client.finalize(&ready, &Csr::for_names(&[&format!("issued.{zone}")]).text(&key)).expect(200);
            client.download(&client.wait(&ready, "valid"), key)
        };
        let promised = client.prove(&order("promised"));
        {
            let _turn = ISSUING.lock().unwrap_or_else(PoisonError::into_inner);
            let away = json!({"kind": "unavailable", "retry_after_secs": HELD_SECS});
            world.set_fault("requestCertificate", &away);
            let hand = client.restarted();
            let csr = Csr::for_names(&[&format!("promised.{zone}")]).text(&Key::p256());
            thread::scope(|scope| {
                let asked = scope.spawn(|| hand.finalize(&promised, &csr).expect(200).member("status"));
                wait_for("the CM to be asked", SOON, || (world.faults() == json!([])).then_some(()));
                assert_eq!(asked.join().unwrap(), "processing");
            });
        }
        let answered = pending("answered");
        let _ = client.post(url_of(&challenge(&answered.1, "http-01")), &json!({})).expect(200);
        let zone = zone.to_owned();
        Self { world, zone, client, governed, unbound, unanswered, answered, ready, promised, issued }
    }

    /// newAccount with a key of its own.
    pub(super) fn bind(&self) -> Response {
        bound(self.world, &self.unbound).1
    }

    pub(super) fn new_order(&self) -> Response {
        self.client.post(&self.client.url("new-order"), &payload(&format!("new.{}", self.zone)))
    }

    pub(super) fn revoke(&self) -> Response {
        self.client.revoke(&self.issued.leaf, Value::Null)
    }

    /// Puts the proof where a validation that is under way will look next.
    pub(super) fn prove_late(&self) {
        let _ = self.client.provide(&self.answered.1, "http-01");
    }

    /// The challenge of an order that was made before.
    pub(super) fn respond(&self, title: &str, expected: Expected) -> String {
        let (order, authorization) = &self.unanswered;
        let challenge = self.client.provide(authorization, "http-01");
        let answer = judge(title, expected, &self.client.post(url_of(&challenge), &json!({})), &[200]);
        match expected {
            Expected::Done => {
                let _ = self.client.wait(order, "ready");
                format!("{answer}, then valid")
            }
            Expected::Refused(..) => {
                let seen = self.world.site().control("/http-request-history", &json!({})).to_string();
                assert!(!seen.contains(challenge["token"].as_str().unwrap()), "{title}: nobody was to be dialed");
                let after = self.client.read(&strings(&order.object["authorizations"]).remove(0));
                assert!(after.status == 401 || after.member("status") == "pending", "{title}: {after:?}");
                format!("{answer}; nobody dialed")
            }
            Expected::Ends(_) | Expected::EndsUnread => unreachable!("a response is answered at once"),
        }
    }

    pub(super) fn finalize(&self, title: &str, expected: Expected) -> String {
        let csr = Csr::for_names(&[&format!("ready.{}", self.zone)]).text(&Key::p256());
        let answer = judge(title, expected, &self.client.finalize(&self.ready, &csr), &[200]);
        match expected {
            Expected::Done => {
                let _ = self.client.wait(&self.ready, "valid");
                format!("{answer}, then valid")
            }
            Expected::Refused(..) | Expected::Ends(_) | Expected::EndsUnread => {
                self.must_have_no_certificate(title, &self.ready);
                answer
            }
        }
    }

    /// What becomes of a validation that was promised: the proof is there by now.
    pub(super) fn validation(&self, title: &str, expected: Expected) -> String {
        let (order, authorization) = &self.answered;
        match expected {
            Expected::Done => {
                let _ = self.client.wait(order, "ready");
                "valid".to_owned()
            }
            Expected::Ends(rule) => {
                let url = strings(&order.object["authorizations"]).remove(0);
                let ended = self.client.wait_at(&url, "invalid");
                assert_eq!(ended["identifier"], authorization["identifier"]);
                let told = words(&challenge(&ended, "http-01")["error"]);
                assert!(told.contains(rule), "{title}: {ended}");
                format!("invalid: {rule}; the proof was not fetched")
            }
            Expected::EndsUnread => self.ends_unread(title, order),
            Expected::Refused(..) => unreachable!("a job answers nobody"),
        }
    }

    /// What becomes of a certificate that was promised.
    pub(super) fn issuance(&self, title: &str, expected: Expected) -> String {
        match expected {
            Expected::Done => {
                let _ = self.client.wait(&self.promised, "valid");
                "valid".to_owned()
            }
            Expected::Ends(rule) => {
                let ended = self.client.wait(&self.promised, "invalid");
                assert!(words(&ended.object["error"]).contains(rule), "{title}: {ended:?}");
                self.must_have_no_certificate(title, &self.promised);
                format!("invalid: {rule}; no certificate")
            }
            Expected::EndsUnread => {
                let ended = self.ends_unread(title, &self.promised);
                self.must_have_no_certificate(title, &self.promised);
                format!("{ended}; no certificate")
            }
            Expected::Refused(..) => unreachable!("a job answers nobody"),
        }
    }

    pub(super) fn revoked_certificates(&self) -> u64 {
        let id = self.issued.order_url.rsplit('/').next().unwrap_or_default();
        self.world.books()["revokedByOrderRef"][id].as_u64().unwrap_or_default()
    }

    /// The account is answered 401 whatever it reads; operators are told.
    fn ends_unread(&self, title: &str, order: &Order) -> String {
        let id = order.url.rsplit('/').next().unwrap_or_default();
        wait_for(title, SOON, || {
            let told = self.world.command(&["order", "show", id]).ok()?;
            told.contains("registration.revoked").then_some(())
        });
        "invalid: registration.revoked, as operators read it".to_owned()
    }

    fn must_have_no_certificate(&self, title: &str, order: &Order) {
        assert_eq!(self.world.certificates_of(&order.url), 0, "{title}: the CM was not to issue");
    }
}

/// Judges an answer; says what it was.
pub(super) fn judge(title: &str, expected: Expected, response: &Response, good: &[u16]) -> String {
    match expected {
        Expected::Done => {
            assert!(good.contains(&response.status), "{title}: {response:?}");
            response.status.to_string()
        }
        Expected::Refused(status, kind, word) => {
            assert_eq!(response.status, status, "{title}: {response:?}");
            let _ = response.assert_refused(status, kind);
            assert!(words(&response.json()).contains(word), "{title}: {response:?}");
            format!("{status} {kind}: {word}")
        }
        Expected::Ends(_) | Expected::EndsUnread => unreachable!("an answer is given at once"),
    }
}

/// Every order is for this profile and this long, so that a change of either is about it.
fn payload(name: &str) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let until = acme_time(now + 60 * 86_400);
    json!({"identifiers": [{"type": "dns", "value": name}], "profile": "tls-server", "notAfter": until})
}

fn order(client: &Client, name: &str) -> Order {
    let response = client.post(&client.url("new-order"), &payload(name)).expect(201);
    Order { url: response.location(), object: response.json() }
}

fn url_of(challenge: &Value) -> &str {
    challenge["url"].as_str().expect("a challenge has a URL")
}

fn bound(world: &World, registration: &Preregistration) -> (Client, Response) {
    let mut client = world.client("registered");
    let binding = client.binding(&registration.kid, &registration.secret);
    let response = client.register(&json!({"externalAccountBinding": binding}));
    (client, response)
}

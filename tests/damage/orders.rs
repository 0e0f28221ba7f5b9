//! Orders in all their states, what they looked like before the damage, and what may be made of them afterwards.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tests::{
    client::{Client, Order, strings},
    csr::Csr,
    key::Key,
    response::Response,
    wait_for,
    world::World,
};

use super::findings::{Breach, Findings};

/// How long what was accepted may take to be done.
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// For so long a CM keeps the request that waits for approval: longer than the way to the damage takes.
const APPROVED_AFTER_MILLIS: u64 = 4_000;

/// How far an order was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing was proven.
    Pending,
    /// One of two names was proven.
    HalfProven,
    /// One of its authorizations was deactivated.
    Invalid,
    Ready,
    /// Finalized; the CM has not got the request.
    NotSubmitted,
    /// Finalized; the CM waits for approval.
    AwaitsApproval,
    Valid,
}

impl Stage {
    /// Whether a certificate may ever be issued.
    fn is_proven(self) -> bool {
        !matches!(self, Self::Pending | Self::HalfProven | Self::Invalid)
    }

    fn is_processing(self) -> bool {
        matches!(self, Self::NotSubmitted | Self::AwaitsApproval)
    }
}

/// An order as it was when it was last read.
pub(crate) struct Known {
    stage: Stage,
    names: Vec<String>,
    order: Order,
    key: Key,
    /// The order, its authorizations, and its certificate.
    seen: Vec<(String, Response)>,
}

/// Brings orders to all stages; `half_way` is called in the midst of it.
pub(crate) fn bring_about(world: &World, client: &Client, round: u64, half_way: impl FnOnce()) -> Vec<Known> {
    let name = |stage: &str, number: u64| format!("{stage}-{number}.r{round}.damage.test");
    let mut all = Vec::new();
    let mut add = |stage, names: Vec<String>, bring: &dyn Fn(&Order, &Key, &[&str])| {
        let (order, key) = (client.order(&texts(&names)), Key::p256());
        bring(&order, &key, &texts(&names));
        all.push(Known { stage, names, order, key, seen: Vec::new() });
    };
    add(Stage::Pending, vec![name("pending", 1)], &|_, _, _| {});
    add(Stage::Valid, vec![name("valid", 1), name("valid", 2)], &|order, key, names| {
        let ready = client.prove(order);
        let _ = client.finalize(&ready, &Csr::for_names(names).text(key)).expect(200);
        let _ = client.wait(&ready, "valid");
    });
    add(Stage::HalfProven, vec![name("half", 1), name("half", 2)], &|order, _, _| prove_first(client, order));
    half_way();
    add(Stage::Invalid, vec![name("invalid", 1)], &|order, _, _| {
        let _ = client.prove(order);
        let url = &strings(&order.object["authorizations"])[0];
        let _ = client.post(url, &json!({"status": "deactivated"})).expect(200);
    });
    add(Stage::Ready, vec![name("ready", 1), name("ready", 2)], &|order, _, _| drop(client.prove(order)));
    add(Stage::AwaitsApproval, vec![name("approval", 1)], &|order, _, _| drop(client.prove(order)));
    add(Stage::NotSubmitted, vec![name("submitted", 1)], &|order, _, _| drop(client.prove(order)));
    finalize_in_vain(world, client, &all);
    for known in &mut all {
        let order = client.read(&known.order.url);
        let object = order.clone().expect(200).json();
        let certificate = object["certificate"].as_str().map(str::to_owned);
        let more = strings(&object["authorizations"]).into_iter().chain(certificate);
        let more: Vec<_> = more.map(|url| (url.clone(), client.read(&url).expect(200))).collect();
        known.seen = [vec![(known.order.url.clone(), order)], more].concat();
        let expected = match known.stage {
            Stage::Pending | Stage::HalfProven => "pending",
            Stage::Invalid => "invalid",
            Stage::Ready => "ready",
            Stage::NotSubmitted | Stage::AwaitsApproval => "processing",
            Stage::Valid => "valid",
        };
        assert_eq!(object["status"], expected, "{:?}", known.stage);
    }
    all
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn prove_first(client: &Client, order: &Order) {
    let url = strings(&order.object["authorizations"]).remove(0);
    let challenge = client.provide(&client.read(&url).expect(200).json(), "http-01");
    let _ = client.post(challenge["url"].as_str().expect("challenges have URLs"), &json!({})).expect(200);
    let _ = client.wait_at(&url, "valid");
}

/// Finalizes what the CM approves later, and what it never gets.
fn finalize_in_vain(world: &World, client: &Client, all: &[Known]) {
    let finalize = |stage| {
        let known = all.iter().find(|known| known.stage == stage).expect("there is one of each stage");
        let csr = Csr::for_names(&texts(&known.names)).text(&known.key);
        assert_eq!(client.twin().finalize(&known.order, &csr).expect(200).member("status"), "processing");
    };
    thread::scope(|scope| {
        world.set_fault("requestCertificate", &json!({"kind": "pending", "millis": APPROVED_AFTER_MILLIS}));
        scope.spawn(|| finalize(Stage::AwaitsApproval));
        wait_for("the CM to be asked", DONE_WITHIN, || (world.faults() == json!([])).then_some(()));
        world.set_faults("requestCertificate", 1_000, &json!({"kind": "reset-before"}));
        finalize(Stage::NotSubmitted);
    });
}

impl Known {
    /// Reads everything again: it is as it was, or refused.
    pub(crate) fn compare(&self, client: &Client, findings: &mut Findings) {
        for (url, before) in &self.seen {
            let now = client.read(url);
            if is_refused(&now) {
                findings.refused += 1;
            } else if now.status == 200 && self.is_same(before, &now) {
                findings.as_before += 1;
            } else {
                let words = format!("{:?} {url} was {} and is {now:?}", self.stage, before.text());
                findings.add(Breach::Wrong, words);
            }
        }
    }

    fn is_same(&self, before: &Response, now: &Response) -> bool {
        if before.body == now.body {
            return true;
        }
        let parse = |response: &Response| serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
        let (before, mut now) = (parse(before), parse(now));
        // The order goes on by itself.
        if self.stage.is_processing() && before["status"] == "processing" && now["status"] == "valid" {
            now["status"] = before["status"].clone();
            now.as_object_mut().map(|members| members.remove("certificate"));
        }
        before.is_object() && before == now
    }

    /// Asks for what this order may not give any more, or finishes it.
    pub(crate) fn go_on(&self, client: &Client, findings: &mut Findings) {
        let csr = Csr::for_names(&texts(&self.names)).text(&self.key);
        let found = client.read(&self.order.url);
        if self.stage.is_proven() && found.status == 200 {
            if found.json()["status"] == "ready" {
                let response = client.finalize(&self.order, &csr);
                // The same damage that a reading has found.
                if response.status != 200 && !is_refused(&response) {
                    findings.add(Breach::Stuck, format!("{} cannot be finalized: {response:?}", self.order.url));
                }
                if response.status != 200 {
                    return;
                }
            }
            self.wait_until_valid(client, findings);
        } else {
            let response = client.finalize(&self.order, &csr);
            if response.status < 400 {
                findings.add(Breach::Unproven, format!("{:?} was finalized: {response:?}", self.stage));
            }
        }
        if !self.stage.is_proven() {
            self.order_again(client, findings);
        }
    }

    fn wait_until_valid(&self, client: &Client, findings: &mut Findings) {
        let end = Instant::now() + DONE_WITHIN;
        loop {
            let now = client.read(&self.order.url);
            let status = if now.status == 200 { now.member("status") } else { String::new() };
            if status == "valid" || is_refused(&now) {
                return;
            }
            if status != "processing" || Instant::now() > end {
                return findings.add(Breach::Stuck, format!("{:?} does not end: {now:?}", self.stage));
            }
            thread::sleep(Duration::from_millis(40));
        }
    }

    /// What was not proven must not be taken for proven by a new order.
    fn order_again(&self, client: &Client, findings: &mut Findings) {
        let again = client.new_order(&texts(&self.names));
        if again.status != 201 || again.member("status") != "pending" {
            findings.add(Breach::Unproven, format!("{:?} ordered again: {again:?}", self.stage));
        }
    }

    /// Compares the order with the books of the CM, when all is over.
    pub(crate) fn audit(&self, books: &Value, findings: &mut Findings) {
        let id = self.order.url.rsplit('/').next().unwrap_or_default();
        let issued = books["certificatesByOrderRef"][id].as_u64().unwrap_or(0);
        if issued > 1 {
            findings.add(Breach::Twice, format!("{} has {issued} certificates", self.order.url));
        }
        if issued > 0 && !self.stage.is_proven() {
            findings.add(Breach::Unproven, format!("{:?} {} has a certificate", self.stage, self.order.url));
        }
    }
}

/// Refused for what happened to it, and not for what was asked.
fn is_refused(response: &Response) -> bool {
    response.status == 404 || response.status >= 500
}

/// Shows that the service goes on.
pub(crate) fn issue_another(client: &Client, round: u64, findings: &mut Findings) {
    let name = format!("after.r{round}.damage.test");
    let response = client.new_order(&[&name]);
    if response.status != 201 {
        return findings.add(Breach::Stuck, format!("nothing can be ordered: {response:?}"));
    }
    let order = Order { url: response.location(), object: response.json() };
    let ready = client.prove(&order);
    let _ = client.finalize(&ready, &Csr::for_names(&[&name]).text(&Key::p256())).expect(200);
    let _ = client.wait(&ready, "valid");
}

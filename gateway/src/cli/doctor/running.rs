//! The gateway that runs with these settings, asked by its own socket: nothing is disturbed.

use serde_json::Value;

use super::{
    finding::Finding,
    holder::{self, PROGRAM},
};
use crate::{
    admin::{self, Request},
    settings::Settings,
};

const CHECK: &str = "running-gateway";

/// What is known of it before anything else is looked at.
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Its process, if the system shows who holds the store.
    pub(super) process: Option<u32>,
    /// What it answers at its socket, or why it does not.
    answer: Result<Value, String>,
}

impl Running {
    /// Finds and asks it.
    pub(super) fn find(settings: &Settings) -> Self {
        let holder = holder::find(settings).filter(|(_, name)| name == PROGRAM);
        let answer = admin::ask(&admin::socket(settings), &Request::ProfileList {});
        Self { process: holder.map(|(process, _)| process), answer: answer.map_err(|error| format!("{error:#}")) }
    }

    /// One that cannot be told.
    pub(super) fn unknown() -> Self {
        Self { process: None, answer: Err(String::from("it was not found out in time")) }
    }

    /// Whether there is one. Processes of other containers are not seen, but their sockets may be.
    pub(super) fn is_there(&self) -> bool {
        self.process.is_some() || self.answer.is_ok()
    }
}

pub(super) fn check(running: &Running) -> Vec<Finding> {
    let answer = match &running.answer {
        Ok(answer) => answer,
        Err(error) if !running.is_there() => {
            return vec![Finding::not_looked_at(CHECK, format!("no gateway runs with this store: {error}"))];
        }
        Err(error) => {
            return vec![
                Finding::wrong(
                    CHECK,
                    format!("a gateway has the store open, and cannot be asked: {error}"),
                    "acme-gateway order and acme-gateway profile cannot ask it either",
                    "ask as the gateway's user or root; wait if it is only starting; restart it if ops.admin_socket was \
                     changed",
                )
                .run("systemctl status acme-gateway"),
            ];
        }
    };
    let stopped = answer.get("stopped").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut findings: Vec<_> = stopped.iter().map(stop).collect();
    if findings.is_empty() {
        findings.push(Finding::fine(CHECK, "it answers, and no profile is stopped"));
    }
    findings
}

fn stop(stop: &Value) -> Finding {
    let text = |name: &str| stop.get(name).and_then(Value::as_str).unwrap_or_default();
    let (realm, profile) = (text("realm"), text("profile"));
    let which =
        if profile.is_empty() { format!("realm {realm}") } else { format!("profile {profile} of realm {realm}") };
    Finding::wrong(
        CHECK,
        format!("{which} is stopped: the CM returned a bad certificate"),
        "new orders and finalize get 503",
        "look at the bad certificate (acme-gateway profile list), mend the CM, then let it issue again",
    )
    .run(format!("acme-gateway profile resume {realm} {profile}").trim_end())
}

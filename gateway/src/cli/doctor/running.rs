//! The gateway that runs with these settings, asked by its own socket: nothing is disturbed.

use serde_json::Value;

use super::finding::Finding;
use crate::{
    admin::{self, Request},
    settings::Settings,
};

const CHECK: &str = "running-gateway";

pub(super) fn check(settings: &Settings, running: Option<u32>) -> Vec<Finding> {
    let socket = admin::socket(settings);
    if !socket.exists() && running.is_none() {
        return vec![Finding::not_looked_at(CHECK, "none runs with this store")];
    }
    let answer = match admin::ask(&socket, &Request::ProfileList {}) {
        Ok(answer) => answer,
        Err(error) if running.is_none() => {
            return vec![Finding::not_looked_at(CHECK, format!("none runs with this store: {error:#}"))];
        }
        Err(error) => {
            return vec![Finding::wrong(
                CHECK,
                format!("{error:#}"),
                "acme-gateway order and acme-gateway profile cannot ask it",
                "run this as the gateway's user or root; after a change of ops.admin_socket: systemctl restart acme-gateway",
            )];
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
        format!("acme-gateway profile list; when the CM is in order: acme-gateway profile resume {realm} {profile}"),
    )
}

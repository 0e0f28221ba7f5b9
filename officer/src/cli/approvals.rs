//! `approvals`: requests that wait for a person (CM contract section 4.4). The CM sees to it that
//! nobody decides about a registration that she created herself.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Desk, registrations::status};
use crate::{
    allowlist,
    cm::{Cm, request::View},
    error::Failure,
    output::{Answer, fields, snake_case, table},
};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the requests that wait
    List {
        /// Most requests to show
        #[arg(long, value_name = "N", default_value_t = 200)]
        limit: usize,
    },
    /// Show what one request asks for, and for whom
    Show {
        /// The request, req_...
        id: String,
    },
    /// Let a certificate be issued
    Approve {
        /// The request, req_...
        id: String,
        /// For the audit trail
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
    },
    /// Refuse a certificate; the client reads the reason
    Reject {
        /// The request, req_...
        id: String,
        /// Why: the ACME client is shown this sentence
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For the audit trail
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
    },
}

/// Carries it out.
pub(crate) async fn run(command: Command, desk: &Desk) -> Result<Answer, Failure> {
    match command {
        Command::List { limit } => list(desk, limit).await,
        Command::Show { id } => show(desk, &id).await,
        Command::Approve { id, comment } => decide(desk, &id, "approve", None, comment).await,
        Command::Reject { id, reason, comment } => {
            let reason = status::reason(&reason).map_err(|why| Failure::Usage(format!("--reason: {why}")))?;
            decide(desk, &id, "reject", Some(reason), comment).await
        }
    }
}

async fn list(desk: &Desk, limit: usize) -> Result<Answer, Failure> {
    let cm = desk.cm()?;
    let list = cm.requests("pending-approval", limit).await?;
    let row = |Waiting { request, owner, officer, .. }| {
        let names = request.names();
        vec![request.id, names, request.profile, request.registration, owner, officer, request.received_at]
    };
    let rows: Vec<Vec<String>> = waiting(&cm, &list.items).await?.into_iter().map(row).collect();
    let mut text = match rows.as_slice() {
        [] => "nothing waits for a decision".to_owned(),
        rows => table(&["REQUEST", "NAMES", "PROFILE", "REGISTRATION", "OWNER", "CREATED BY", "RECEIVED"], rows),
    };
    if !list.complete {
        text.push_str("\n... and more: give a higher --limit");
    }
    Ok(Answer::new(text, json!({"items": snake_case(&Value::Array(list.items)), "complete": list.complete})))
}

/// A request with what is known of its registration.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) request: View,
    pub(crate) owner: String,
    /// Who made the registration, and so may not decide.
    pub(crate) officer: String,
    /// What the registration allows, an entry a line.
    pub(crate) allows: String,
}

/// Looks up whose requests these are.
pub(crate) async fn waiting(cm: &Cm, requests: &[Value]) -> Result<Vec<Waiting>, Failure> {
    let mut waiting = Vec::new();
    for request in requests {
        waiting.push(known_of(cm, View::of(request)?).await?);
    }
    Ok(waiting)
}

async fn known_of(cm: &Cm, request: View) -> Result<Waiting, Failure> {
    let registration = cm.registration(&request.registration).await?.view;
    Ok(Waiting {
        request,
        owner: registration.owner.unwrap_or_default(),
        officer: registration.officer.unwrap_or_default(),
        allows: allowlist::lines(&registration.allowed_identifiers),
    })
}

async fn show(desk: &Desk, id: &str) -> Result<Answer, Failure> {
    let cm = desk.cm()?;
    let json = cm.request(id).await?;
    let one = known_of(&cm, View::of(&json)?).await?;
    Ok(Answer::new(fields(&facts(&one)), snake_case(&json)))
}

/// Everything that is to be known before deciding, as names and values; a value can be empty.
pub(crate) fn facts(one: &Waiting) -> Vec<(&'static str, String)> {
    let View { id, status, registration, order_ref, profile, received_at, .. } = &one.request;
    let said = |member: &Option<String>| member.clone().unwrap_or_default();
    vec![
        ("request", id.clone()),
        ("status", status.clone()),
        ("names", one.request.names()),
        (
            "not proven",
            one.request.waivers.iter().map(|id| format!("by the waiver {id}")).collect::<Vec<_>>().join("\n"),
        ),
        ("profile", profile.clone()),
        ("from", said(&one.request.not_before)),
        ("until", said(&one.request.not_after)),
        ("key", said(&one.request.spki_sha256)),
        ("replaces", said(&one.request.replaces)),
        ("registration", registration.clone()),
        ("owner", one.owner.clone()),
        ("created by", one.officer.clone()),
        ("allows", one.allows.clone()),
        ("received", received_at.clone()),
        ("decide by", said(&one.request.decide_by)),
        ("order", order_ref.clone()),
    ]
}

async fn decide(
    desk: &Desk,
    id: &str,
    decision: &str,
    reason: Option<String>,
    comment: Option<String>,
) -> Result<Answer, Failure> {
    let words = [("reason", reason.as_deref()), ("comment", comment.as_deref())];
    let decided = desk.cm()?.decide(id, decision, words).await?;
    let view = View::of(&decided)?;
    Ok(Answer::new(format!("{} is {}", view.id, view.status), snake_case(&decided)))
}

//! `orders show`: what the gateway tells the client of an order or authorization, beside what the CM
//! has under it (CM contract section 4.4).

use clap::Subcommand;
use serde_json::{Value, json};

use super::Desk;
use crate::{
    cm::{Cm, certificate::Certificate, request::View},
    error::Failure,
    gateway::Gateway,
    output::{Answer, fields, snake_case, table},
    settings::Settings,
};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what happened to an order or authorization
    Show {
        /// Its id, or the link (instance) that the client was shown
        reference: String,
    },
}

/// What both sides say of an order or authorization.
#[derive(Debug)]
pub(crate) struct Told {
    /// Its id.
    pub(crate) reference: String,
    /// The gateway's transcript, or why there is none.
    pub(crate) transcript: Result<Option<Value>, Failure>,
    /// What the CM has under it.
    pub(crate) requests: Vec<Value>,
}

/// Carries it out.
pub(crate) async fn run(command: Command, desk: &Desk) -> Result<Answer, Failure> {
    let Command::Show { reference } = command;
    let (settings, cm) = desk.open()?;
    let Told { reference, transcript, requests } = look_up(&reference, &settings, &cm).await?;
    shown(&reference, &transcript, &requests)
}

/// Asks both sides. What the CM has is told even if the gateway cannot be asked.
///
/// # Errors
/// [`Failure::NotFound`] if neither side knows it; why the gateway could not be asked if the CM has nothing.
pub(crate) async fn look_up(text: &str, settings: &Settings, cm: &Cm) -> Result<Told, Failure> {
    let gateway =
        Gateway::new(settings.acme_ca_file.as_deref(), &cm.realm_settings().await?, settings.directory_url.as_deref())?;
    let reference = gateway.reference(text)?;
    let requests = cm.requests_of_order(reference.as_str()).await?;
    match gateway.transcript(&reference).await {
        Ok(None) if requests.is_empty() => Err(Failure::NotFound(format!(
            "neither the gateway nor the CM knows {reference}; it may have been forgotten, or belong to another realm"
        ))),
        Err(failure) if requests.is_empty() => Err(failure),
        transcript => Ok(Told { reference: reference.to_string(), transcript, requests }),
    }
}

fn shown(reference: &str, told: &Result<Option<Value>, Failure>, requests: &[Value]) -> Result<Answer, Failure> {
    let (transcript, gateway) = match told {
        Ok(Some(told)) => (snake_case(told), transcript(told)),
        Ok(None) => (Value::Null, "the gateway has no transcript of it (any more)".to_owned()),
        Err(failure) => (Value::Null, format!("the gateway could not be asked: {failure}")),
    };
    let mut at_cm = Vec::new();
    for request in requests {
        at_cm.push(described(request)?);
    }
    if at_cm.is_empty() {
        at_cm.push("no certificate was asked for under it".to_owned());
    }
    let text = format!("{reference}\n\nAT THE GATEWAY\n{gateway}\n\nAT THE CM\n{}", at_cm.join("\n\n"));
    let failure = told.as_ref().err();
    let json = json!({
        "reference": reference,
        "transcript": transcript,
        "transcript_error": failure.map(ToString::to_string),
        "requests": snake_case(&Value::Array(requests.to_vec())),
    });
    let exit_code = failure.map_or(0, Failure::exit_code);
    Ok(Answer { exit_code, ..Answer::new(text, json) })
}

/// The gateway's words, for people.
fn transcript(told: &Value) -> String {
    let more = if has_more(told) { "\n... and more than is shown" } else { "" };
    format!("{}\n\n{}{more}", fields(&head(told)), table(&["TIME", "NAME", "WHAT"], &steps(told)))
}

/// What a transcript is about, as names and values; a value can be empty.
pub(crate) fn head(told: &Value) -> Vec<(&'static str, String)> {
    let names: Vec<_> = array(told, "identifiers").iter().filter_map(Value::as_str).collect();
    vec![
        ("about", text(told, "about")),
        ("status", text(told, "status")),
        ("names", names.join("\n")),
        ("next", text(told, "next")),
    ]
}

/// Its steps: time, name, what happened.
pub(crate) fn steps(told: &Value) -> Vec<Vec<String>> {
    let step = |step: &Value| vec![text(step, "at"), text(step, "identifier"), text(step, "what")];
    array(told, "steps").iter().map(step).collect()
}

/// Whether there were more steps than it has.
pub(crate) fn has_more(told: &Value) -> bool {
    told.get("more") == Some(&Value::Bool(true))
}

fn text(json: &Value, name: &str) -> String {
    json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn array<'a>(json: &'a Value, name: &str) -> &'a [Value] {
    json.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A certificate request, for people.
fn described(request: &Value) -> Result<String, Failure> {
    Ok(fields(&facts(request)?))
}

/// The same as names and values; a value can be empty.
///
/// # Errors
/// [`Failure::Broken`] if it lacks what every request has.
pub(crate) fn facts(request: &Value) -> Result<Vec<(&'static str, String)>, Failure> {
    let view = View::of(request)?;
    let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let certificate = request.get("certificate").filter(|certificate| !certificate.is_null());
    let certificate = certificate.cloned().map(Certificate::of).transpose()?;
    let problem = match (text("/problem/code"), text("/problem/detail")) {
        ("", "") => String::new(),
        (code, detail) => format!("{code}: {detail}"),
    };
    let issued = certificate
        .map(|one| format!("{} ({}, until {})\n{}", one.view.id, one.view.status, one.view.not_after, one.names()));
    Ok(vec![
        ("request", view.id),
        ("status", view.status),
        ("registration", view.registration),
        ("profile", view.profile),
        ("received", view.received_at),
        ("finished", text("/finishedAt").to_owned()),
        ("because", problem),
        ("certificate", issued.unwrap_or_default()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Value {
        json!({"id": "req_1", "status": "rejected", "registration": "reg_1", "orderRef": "o1", "profile": "p",
               "receivedAt": "t0", "finishedAt": "t1", "certificate": null,
               "problem": {"code": "request-rejected", "detail": "not this printer"}})
    }

    #[test]
    fn both_sides_are_told() {
        let told = json!({"about": "order", "status": "invalid", "identifiers": ["a.test", "b.test"], "next": "Mend it.",
                          "more": true, "steps": [{"at": "t2", "identifier": "a.test", "what": "refused\u{1b}[31m"}]});
        let answer = shown("o1", &Ok(Some(told)), &[request()]).unwrap();
        let text = &answer.text;
        assert!(text.contains("because      request-rejected: not this printer"), "{text}");
        assert!(text.contains("t2    a.test  refused?[31m") && text.contains("and more"), "{text}");
        assert_eq!(answer.json.pointer("/requests/0/order_ref").unwrap(), "o1");
        assert_eq!((answer.exit_code, answer.json.get("transcript_error").unwrap()), (0, &Value::Null));
    }

    #[test]
    fn what_the_cm_has_is_shown_though_the_gateway_is_silent() {
        let answer = shown("o1", &Err(Failure::Unanswered("it is away".to_owned())), &[request()]).unwrap();
        assert!(answer.text.contains("could not be asked: it is away") && answer.text.contains("req_1"));
        assert_eq!(answer.exit_code, 4, "whoever asked must notice that half is missing");
        let forgotten = shown("o1", &Ok(None), &[]).unwrap();
        assert!(forgotten.text.contains("no certificate was asked for"));
    }
}

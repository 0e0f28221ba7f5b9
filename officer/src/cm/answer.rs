//! From what came back over the wire to an answer or a [`Failure`] (CM contract sections 3 and 5).

use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{Failure, Refusal},
    output::shown,
};

/// Largest answer, in octets: a page of certificates with their chains.
const ANSWER_OCTETS_MAX: usize = 8 * 1024 * 1024;

/// What came back, whoever it is from.
#[derive(Debug)]
pub(super) struct Raw {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug)]
pub(super) enum Unread {
    Transport(reqwest::Error),
    TooLarge,
}

impl From<reqwest::Error> for Unread {
    fn from(error: reqwest::Error) -> Self {
        Self::Transport(error)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProblemIn {
    code: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    subproblems: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct PageIn {
    items: Vec<Value>,
    #[serde(default)]
    next: Option<String>,
}

impl Raw {
    pub(super) async fn read(mut response: reqwest::Response) -> Result<Self, Unread> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len().saturating_add(chunk.len()) > ANSWER_OCTETS_MAX {
                return Err(Unread::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self { status, headers, body })
    }

    /// What stands in for a CM's answer.
    pub(super) fn of(answer: cm_connector::openbao::officer::Answer) -> Result<Self, Failure> {
        let broken = || Failure::Broken(format!("{} is no HTTP status", answer.status));
        let status = StatusCode::from_u16(answer.status).map_err(|_| broken())?;
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(answer.content_type))]);
        Ok(Self { status, headers, body: answer.body.into_bytes() })
    }

    /// An answer of the CM that is no refusal.
    pub(super) fn judged(self) -> Result<Self, Failure> {
        if self.status.is_success() {
            return Ok(self);
        }
        let problem = self.is("application/problem+json").then(|| serde_json::from_slice::<ProblemIn>(&self.body).ok());
        match problem.flatten() {
            Some(problem) => Err(failure(problem, self.status.as_u16())),
            None => Err(Failure::Unanswered(format!(
                "something answered {} in place of the CM: {}",
                self.status.as_u16(),
                shown(&String::from_utf8_lossy(&self.body).chars().take(120).collect::<String>())
            ))),
        }
    }

    pub(super) fn json(self) -> Result<Value, Failure> {
        if !self.is("application/json") {
            return Err(Failure::Broken("the CM's answer is no JSON".to_owned()));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Broken(format!("the CM's answer is no JSON: {error}")))
    }

    pub(super) fn text(self) -> Result<String, Failure> {
        String::from_utf8(self.body).map_err(|_| Failure::Broken("the CM's answer is no text".to_owned()))
    }

    fn is(&self, media_type: &str) -> bool {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
    }
}

/// Items and cursor of a page.
pub(super) fn page(json: Value) -> Result<(Vec<Value>, Option<String>), Failure> {
    let page: PageIn = serde_json::from_value(json)
        .map_err(|error| Failure::Broken(format!("the CM's answer is no page: {error}")))?;
    Ok((page.items, page.next))
}

fn failure(problem: ProblemIn, status: u16) -> Failure {
    let words: Vec<&str> =
        problem.subproblems.iter().filter_map(|one| one.get("detail").and_then(Value::as_str)).take(10).collect();
    let mut detail = shown(&problem.detail);
    if !words.is_empty() {
        detail.push_str(&format!(" ({})", shown(&words.join("; "))));
    }
    match (problem.code.as_str(), status) {
        ("not-found", _) => Failure::NotFound(format!("{detail}; look at the id and at cm.realm in the settings")),
        ("precondition-failed", _) => {
            Failure::Changed(format!("somebody else changed it meanwhile: {detail}; look at it and decide again"))
        }
        ("overloaded" | "read-only" | "issuer-unavailable" | "internal" | "rate-limited", _) => Failure::Unanswered(
            format!("the CM cannot do it now: {detail} ({}); try again later", shown(&problem.code)),
        ),
        _ => Failure::Refused(Box::new(Refusal {
            cure: cure(&problem.code),
            code: shown(&problem.code),
            detail,
            status,
            request_id: problem.request_id.map(|id| shown(&id)),
        })),
    }
}

/// What to do about a refusal, where this program knows.
fn cure(code: &str) -> Option<&'static str> {
    match code {
        "forbidden" => Some(
            "this needs another role or another person: officers change registrations, approvers decide what they have not made \
             themselves, auditors read the audit trail",
        ),
        "unauthenticated" => Some("the CM does not know this identity: look at cm.certificate_file"),
        "registration-not-active" => Some("look at its status with registrations show"),
        "already-revoked" => Some("there is nothing left to do"),
        "waiver-decided" => Some("look at it with waivers show"),
        "capability-missing" => Some("this CM does not offer it"),
        _ => None,
    }
}

/// The causes of an error; what it says itself is only that a request to some URL failed.
pub(crate) fn chain_of(error: &reqwest::Error) -> String {
    let Some(first) = std::error::Error::source(error) else { return error.to_string() };
    let mut text = first.to_string();
    let mut source = first.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(status: u16, content_type: &str, body: &str) -> Raw {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        Raw { status: StatusCode::from_u16(status).unwrap(), headers, body: body.as_bytes().to_vec() }
    }

    fn refused(status: u16, code: &str) -> Failure {
        let body = format!(r#"{{"code":"{code}","detail":"because","status":{status},"requestId":"01K"}}"#);
        raw(status, "application/problem+json; charset=utf-8", &body).judged().unwrap_err()
    }

    #[test]
    fn refusals_are_sorted_by_what_the_officer_does_next() {
        let table = [
            (404, "not-found", 6),
            (412, "precondition-failed", 7),
            (503, "overloaded", 4),
            (429, "rate-limited", 4),
            (403, "forbidden", 5),
            (409, "already-revoked", 5),
            (418, "a-code-of-tomorrow", 5),
        ];
        for (status, code, exit_code) in table {
            assert_eq!(refused(status, code).exit_code(), exit_code, "{code}");
        }
        assert!(refused(403, "forbidden").to_string().contains("another role"));
    }

    #[test]
    fn subproblems_are_told_with_the_refusal() {
        let body = r#"{"code":"malformed","detail":"1 rule","subproblems":[{"detail":"a public suffix"}]}"#;
        let failure = raw(400, "application/problem+json", body).judged().unwrap_err();
        assert!(failure.to_string().contains("1 rule (a public suffix)"), "{failure}");
    }

    #[test]
    fn what_a_proxy_says_is_not_the_cms_word() {
        for (status, kind, body) in
            [(502, "text/html", "<html>"), (403, "application/json", "{}"), (302, "text/html", "")]
        {
            assert_eq!(raw(status, kind, body).judged().unwrap_err().exit_code(), 4, "{status}");
        }
        assert_eq!(raw(200, "text/html", "<html>").judged().unwrap().json().unwrap_err().exit_code(), 1);
    }

    #[test]
    fn a_page_has_items_and_perhaps_a_cursor() {
        assert_eq!(page(serde_json::json!({"items": [1], "next": null})), Ok((vec![1.into()], None)));
        assert!(page(serde_json::json!({"next": "c"})).is_err());
    }
}

//! The only place that makes an HTTP error: a problem document (RFC 8555 §6.7, RFC 9457).

use std::time::Duration;

use acme::{
    problem::{Problem, ProblemKind},
    wire,
};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError, http::StatusCode, http::header};

use crate::{jws, ra, ra::Refusal, random};

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct HttpError {
    refusal: Box<Refusal>,
    /// `Allow`, with 405.
    pub(crate) allow: Option<&'static str>,
    /// `Location`, with 409: what is in the way.
    pub(crate) location: Option<String>,
}

/// Left in the response for the log line and the metrics.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) kind: ProblemKind,
    pub(crate) detail: String,
}

impl HttpError {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Problem::new(kind, detail).into()
    }

    pub(crate) fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::new(ProblemKind::Malformed, detail)
    }
}

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        Self { refusal: Box::new(refusal), allow: None, location: None }
    }
}

impl From<Problem> for HttpError {
    fn from(problem: Problem) -> Self {
        Refusal { problem, retry_after: None, terms_of_service: None, transcript: None }.into()
    }
}

impl From<ra::Error> for HttpError {
    fn from(error: ra::Error) -> Self {
        match error {
            ra::Error::Refused(refusal) => Self { refusal, allow: None, location: None },
            ra::Error::Conflict => {
                let detail = "another request changed this at the same time; try again";
                let problem = Problem::new(ProblemKind::Unavailable, detail);
                Refusal { problem, retry_after: Some(Duration::from_secs(1)), terms_of_service: None, transcript: None }
                    .into()
            }
            ra::Error::Internal(error) => Self::internal(&error),
        }
    }
}

impl HttpError {
    /// Logs what happened under a reference that the client can quote, and says no more outside.
    pub(super) fn internal(error: &anyhow::Error) -> Self {
        let reference: acme::ids::JobId = random::id();
        tracing::error!(%reference, error = format!("{error:#}"), "internal error");
        let detail = format!("internal error; tell the operator of this server the reference {reference}");
        let problem = Problem::new(ProblemKind::ServerInternal, detail);
        Refusal { problem, retry_after: Some(Duration::from_secs(60)), terms_of_service: None, transcript: None }.into()
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.refusal.problem.detail)
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.refusal.problem.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let problem = &self.refusal.problem;
        let mut document = wire::problem::Problem::from(problem);
        if problem.kind == ProblemKind::BadSignatureAlgorithm {
            document.algorithms = Some(jws::ALGORITHMS);
        }
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        response.insert_header((header::CONTENT_LANGUAGE, "en"));
        if let Some(retry_after) = self.refusal.retry_after {
            response.insert_header((header::RETRY_AFTER, retry_after.as_secs().max(1).to_string()));
        }
        document.instance.clone_from(&self.refusal.transcript);
        if let Some(terms) = &self.refusal.terms_of_service {
            document.instance = Some(terms.clone());
            response.append_header((header::LINK, format!("<{terms}>;rel=\"terms-of-service\"")));
        }
        if let Some(allow) = self.allow {
            response.insert_header((header::ALLOW, allow));
        }
        if let Some(location) = &self.location {
            response.insert_header((header::LOCATION, location.as_str()));
        }
        let mut response = with_json(&mut response, &document);
        response.extensions_mut().insert(Sent { kind: problem.kind, detail: problem.detail.to_string() });
        response
    }
}

/// Pretty-printed: some devices match text, and people read it.
pub(super) fn with_json(response: &mut HttpResponseBuilder, value: &impl serde::Serialize) -> HttpResponse {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => response.body(body),
        Err(error) => {
            tracing::error!(error = %error, "cannot write JSON");
            HttpResponse::InternalServerError().finish()
        }
    }
}

//! The door: from an HTTP request to a handler and back.
//!
//! One line per request, in this order: identity, rate, fault, role, size, body, handler on a
//! blocking thread, waiting if that is preferred, fault, answer. Every answer has `Cm-Request-Id`
//! and `Cm-Api-Version`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, RawPathParams, Request};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use tokio::time::{Instant, sleep, timeout_at};

use super::ReferenceCm;
use super::audit;
use super::call::{Answer, Call, Pending};
use super::identity::Identity;
use super::ids::new_id;
use super::limits::{BODY_OCTETS_MAX, InFlight, WAIT_SECS_MAX};
use super::moment::Moment;
use super::operations::Operation;
use super::problem::{Code, Problem};
use super::requests;
use super::service::API_VERSION;
use super::tls::Connection;
use crate::faults::Fault;

/// A handler: one operation of the contract.
pub(crate) type Handler = fn(&ReferenceCm, &Call) -> Result<Answer, Problem>;

/// How long a client may take to send its body.
const BODY_TIME: Duration = Duration::from_secs(15);
/// A connection is cut long before this time is over; a request on it must not stay for ever.
const CUT_TIME: Duration = Duration::from_secs(5);
/// What a proxy says for a CM that it cannot reach.
const PROXY_PAGE: &str = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>\
    <body><h1>Bad Gateway</h1><p>The proxy did not receive a valid answer.</p></body></html>";

/// Serves one request.
pub(crate) async fn serve(
    cm: Arc<ReferenceCm>,
    operation: Operation,
    handler: Handler,
    parameters: Option<RawPathParams>,
    request: Request,
) -> Response {
    let started = Instant::now();
    let fault = cm.faults.take(operation.name());
    let now = match &fault {
        Some(Fault::SkewedClock { seconds }) => Moment::now().plus_seconds(i64::from(*seconds)),
        Some(_) | None => Moment::now(),
    };
    let request_id = new_id("", now);
    let connection = request.extensions().get::<Connection>().cloned();
    let Some(connection) = connection else {
        return finish(&request_id, Err(Problem::internal("a request came without its connection")));
    };
    let path = request.uri().path().to_owned();
    let answer = admit(&cm, operation, handler, parameters, request, &connection, now, &request_id, &fault).await;
    let answer = match &fault {
        Some(Fault::ReplayedAnswer) => cm.last_answers.instead_of(operation, answer),
        Some(_) | None => {
            cm.last_answers.remember(operation, &answer);
            answer
        }
    };
    let status = match &answer {
        Ok(answer) => answer.status,
        Err(problem) => problem.code().status(),
    };
    tracing::info!(
        operation = operation.name(),
        path,
        status,
        code = answer.as_ref().err().map(|problem| problem.code().name()),
        caller = connection.identity.as_ref().ok().map(Identity::urn),
        request_id,
        fault = fault.as_ref().map(tracing::field::debug),
        millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    distort(finish(&request_id, answer), fault, &connection).await
}

#[expect(clippy::too_many_arguments, reason = "one request with all that belongs to it, called from one place")]
async fn admit(
    cm: &Arc<ReferenceCm>,
    operation: Operation,
    handler: Handler,
    parameters: Option<RawPathParams>,
    request: Request,
    connection: &Connection,
    now: Moment,
    request_id: &str,
    fault: &Option<Fault>,
) -> Result<Answer, Problem> {
    let identity = connection.identity.clone().map_err(|reason| Problem::new(Code::Unauthenticated, reason))?;
    let is_health = matches!(operation, Operation::Live | Operation::Ready);
    let _in_flight: Option<InFlight> = if is_health { None } else { Some(cm.limits.admit(&identity.urn(), now)?) };
    match fault {
        Some(Fault::DelayBefore { millis }) => sleep(Duration::from_millis(*millis)).await,
        Some(Fault::ResetBefore) => {
            connection.cut();
            sleep(CUT_TIME).await;
            return Err(Problem::new(Code::Overloaded, "the connection was to be cut"));
        }
        Some(Fault::FrozenConnection) => {
            connection.freeze();
            // It is not polled any more; this request ends with it.
            std::future::pending::<()>().await;
        }
        Some(Fault::Unavailable { retry_after_secs }) => {
            let problem = Problem::new(Code::Overloaded, "the CM is told to be overloaded");
            return Err(match retry_after_secs {
                Some(seconds) => problem.retry_after(*seconds),
                None => problem,
            });
        }
        Some(
            Fault::DelayAfterCommit { .. }
            | Fault::ResetAfter
            | Fault::TruncatedBody
            | Fault::HtmlPage
            | Fault::ReplayedAnswer
            | Fault::SkewedClock { .. }
            | Fault::WrongKey
            | Fault::WrongNames
            | Fault::WrongChain
            | Fault::SecondCertificate
            | Fault::Pending { .. }
            | Fault::Rejected,
        )
        | None => {}
    }
    let is_gateway = identity.role == super::identity::Role::Gateway;
    if is_gateway && !cm.settings.gateways.contains_key(&identity.name) {
        return Err(Problem::new(Code::Unauthenticated, "this gateway is not known to the CM"));
    }
    let call = read_call(operation, parameters, request, connection, identity, now, request_id, fault).await?;
    if !operation.may_be_entered_by(call.identity.role) {
        let problem = Problem::new(Code::Forbidden, format!("the role {} may not do this", call.identity.role.name()));
        return run(cm, move |cm, call| refuse(cm, call, problem), call).await;
    }
    // Once for all operations: no handler can forget that gateways have realms.
    if call.parameters.contains_key("realm")
        && let Err(problem) = cm.realm(&call)
    {
        return run(cm, move |cm, call| refuse(cm, call, problem), call).await;
    }
    let wait = wait_of(&call);
    let answer =
        run(cm, move |cm, call| handler(cm, call).or_else(|problem| refuse(cm, call, problem)), call.clone()).await?;
    match (answer.pending.clone(), wait) {
        (Some(pending), Some(wait)) => wait_for_change(cm, handler, call, answer, pending, wait).await,
        (Some(_), None) | (None, _) => Ok(answer),
    }
}

#[expect(clippy::too_many_arguments, reason = "one request with all that belongs to it, called from one place")]
async fn read_call(
    operation: Operation,
    parameters: Option<RawPathParams>,
    request: Request,
    connection: &Connection,
    identity: Identity,
    now: Moment,
    request_id: &str,
    fault: &Option<Fault>,
) -> Result<Call, Problem> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map_err(|_| Problem::new(Code::Malformed, "the query does not parse"))?
        .0;
    let mut query = BTreeMap::new();
    for (name, value) in pairs {
        if query.insert(name.clone(), value).is_some() {
            return Err(Problem::new(Code::Malformed, format!("the query parameter {name} is there twice")));
        }
    }
    let parameters = parameters.iter().flatten().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, BODY_OCTETS_MAX))
        .await
        .map_err(|_| Problem::new(Code::Malformed, "the body did not come in time"))?
        .map_err(|_| {
            Problem::new(Code::TooLarge, format!("the body is not whole or above {BODY_OCTETS_MAX} octets"))
        })?;
    Ok(Call {
        operation,
        identity,
        source: connection.peer,
        now,
        request_id: request_id.to_owned(),
        parameters,
        query,
        headers: parts.headers,
        body,
        fault: fault.clone(),
    })
}

/// Runs work on a blocking thread, where the database may be waited for.
async fn run(
    cm: &Arc<ReferenceCm>,
    work: impl FnOnce(&ReferenceCm, &Call) -> Result<Answer, Problem> + Send + 'static,
    call: Call,
) -> Result<Answer, Problem> {
    let cm = Arc::clone(cm);
    tokio::task::spawn_blocking(move || work(&cm, &call)).await.unwrap_or_else(|cause| Err(Problem::internal(cause)))
}

/// Writes a refusal of a writing operation to the audit trail and hands it on.
fn refuse(cm: &ReferenceCm, call: &Call, problem: Problem) -> Result<Answer, Problem> {
    let is_telling = call.operation.writes() || matches!(problem.code(), Code::Forbidden | Code::Unauthenticated);
    if is_telling {
        cm.database.write(|tx| audit::refusal(tx, call, &problem))?;
    }
    Err(problem)
}

/// `Prefer: wait=N` (RFC 7240), cut at the limit.
fn wait_of(call: &Call) -> Option<Duration> {
    let seconds = call
        .header("prefer")?
        .split([',', ';'])
        .find_map(|preference| preference.trim().strip_prefix("wait="))?
        .parse::<u64>()
        .ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.min(WAIT_SECS_MAX)))
}

/// Asks again after every commit until the answer is no longer pending or the time is over.
async fn wait_for_change(
    cm: &Arc<ReferenceCm>,
    handler: Handler,
    mut call: Call,
    mut answer: Answer,
    mut pending: Pending,
    wait: Duration,
) -> Result<Answer, Problem> {
    let deadline = Instant::now() + wait;
    let mut commits = cm.database.commits();
    // A cursor of now must not move on while it is waited for.
    if pending == Pending::Events
        && let Some(next) = next_of(&answer)
    {
        call.query.insert("after".to_owned(), next);
    }
    loop {
        commits.mark_unchanged();
        let again = match pending {
            Pending::Events => run(cm, handler, call.clone()).await?,
            Pending::Request(id) => {
                run(
                    cm,
                    move |cm, call| {
                        cm.database
                            .read(|tx| requests::load(tx, call.parameter("realm"), &id)?.created(cm, tx, Moment::now()))
                    },
                    call.clone(),
                )
                .await?
            }
        };
        let headers = std::mem::take(&mut answer.headers);
        answer = again;
        for (name, value) in headers {
            if name.as_str() == "idempotency-replayed" {
                answer.headers.push((name, value));
            }
        }
        match &answer.pending {
            None => return Ok(answer),
            Some(still) => pending = still.clone(),
        }
        match timeout_at(deadline, commits.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Ok(answer),
        }
    }
}

fn next_of(answer: &Answer) -> Option<String> {
    let page: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    page.get("next")?.as_str().map(str::to_owned)
}

/// Makes the HTTP answer.
pub(crate) fn finish(request_id: &str, answer: Result<Answer, Problem>) -> Response {
    let mut response = match answer {
        Ok(answer) => {
            let mut response = Response::new(Body::from(answer.body));
            *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            if let Some(media_type) = answer.media_type {
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            }
            for (name, value) in answer.headers {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Err(problem) => {
            let body = problem.document(request_id).to_string();
            let mut response = Response::new(Body::from(body));
            *response.status_mut() =
                StatusCode::from_u16(problem.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
            if let Some(seconds) = problem.retry_after_secs() {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            if let Some(version) = problem.version()
                && let Ok(value) = HeaderValue::from_str(&format!("\"{version}\""))
            {
                headers.insert(header::ETAG, value);
            }
            response
        }
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert("cm-request-id", value);
    }
    headers.insert("cm-api-version", HeaderValue::from_static(API_VERSION));
    response
}

/// Applies the faults that come after the work.
async fn distort(response: Response, fault: Option<Fault>, connection: &Connection) -> Response {
    match fault {
        Some(Fault::DelayAfterCommit { millis }) => {
            sleep(Duration::from_millis(millis)).await;
            response
        }
        Some(Fault::ResetAfter) => {
            connection.cut();
            sleep(CUT_TIME).await;
            response
        }
        Some(Fault::TruncatedBody) => truncate(response).await,
        Some(Fault::HtmlPage) => {
            let mut page = Response::new(Body::from(PROXY_PAGE));
            *page.status_mut() = StatusCode::BAD_GATEWAY;
            page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
            page
        }
        Some(
            Fault::DelayBefore { .. }
            | Fault::Unavailable { .. }
            | Fault::ResetBefore
            | Fault::ReplayedAnswer
            | Fault::FrozenConnection
            | Fault::SkewedClock { .. }
            | Fault::WrongKey
            | Fault::WrongNames
            | Fault::WrongChain
            | Fault::SecondCertificate
            | Fault::Pending { .. }
            | Fault::Rejected,
        )
        | None => response,
    }
}

/// Announces the whole length and breaks off in the middle.
async fn truncate(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half: Bytes = whole.slice(..whole.len() / 2);
    let broken = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "fault");
    let pieces = futures_util::stream::iter([Ok(half), Err(broken)]);
    Response::from_parts(parts, Body::from_stream(pieces))
}

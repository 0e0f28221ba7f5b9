//! What every request leaves behind: one log line and its numbers. What clients sent is quoted and
//! cut short.

use std::{borrow::Cow, net::IpAddr, time::Instant};

use actix_web::{
    HttpMessage, HttpResponse,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderMap},
    },
};
use cm_connector::DirectoryToken;

use super::{connection::RefusedHead, problem::Sent};
use crate::app::App;

/// Facts about a request that its log line shows; handlers add to them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Noted {
    pub(crate) account: Option<String>,
}

/// What a client asked for, as far as it matters whatever becomes of it.
pub(super) struct Asked {
    pub(super) method: Method,
    /// The path, or the one that a refused request asked for.
    pub(super) path: String,
    /// The request comes from a page in a browser.
    pub(super) with_origin: bool,
    client: Option<IpAddr>,
    agent: String,
}

impl Asked {
    pub(super) fn of(request: &ServiceRequest) -> Self {
        let refused = request.extensions().get::<RefusedHead>().map(|head| head.path.clone().unwrap_or_default());
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Self {
            method: request.method().clone(),
            path: refused.unwrap_or_else(|| request.path().to_owned()),
            with_origin: request.headers().contains_key(header::ORIGIN),
            client: request.peer_addr().map(|address| address.ip()),
            agent: cut(agent.unwrap_or_default()).to_owned(),
        }
    }
}

/// What it was told.
pub(super) struct Told {
    /// The pattern of the route that answered.
    resource: String,
    status: StatusCode,
    sent: Option<Sent>,
    account: Option<String>,
    order: Option<String>,
}

impl Told {
    pub(super) fn by_response<B>(response: &ServiceResponse<B>) -> Self {
        let request = response.request();
        let resource = request.match_pattern().unwrap_or_else(|| String::from("none"));
        let created = created(response.status(), response.headers());
        let noted = request.extensions().get::<Noted>().cloned().unwrap_or_default();
        let order = request.match_info().get("order").or(created.filter(|_| resource.ends_with("/new-order")));
        Self {
            account: noted.account.or(created.filter(|_| resource.ends_with("/new-account")).map(str::to_owned)),
            order: order.map(str::to_owned),
            status: response.status(),
            sent: response.response().extensions().get::<Sent>().cloned(),
            resource,
        }
    }

    /// For the answer to a request that is gone.
    pub(super) fn without_request(response: &HttpResponse) -> Self {
        let sent = response.extensions().get::<Sent>().cloned();
        Self { resource: String::from("none"), status: response.status(), sent, account: None, order: None }
    }
}

/// Writes the log line, and counts.
pub(super) fn leave_trace(app: &App, asked: &Asked, told: &Told, started: Instant) {
    app.metrics.answered(&told.resource, told.status.as_u16(), started.elapsed().as_secs_f64());
    if let Some(sent) = &told.sent {
        app.metrics.problem(sent.kind);
    }
    tracing::info!(
        target: "request",
        method = %asked.method,
        path = cut(&without_secret(&asked.path)),
        status = told.status.as_u16(),
        // A u128 would be a string in JSON.
        millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        client = asked.client.map(tracing::field::display),
        account = told.account,
        order = told.order,
        problem = told.sent.as_ref().map(|sent| sent.kind.name_and_status().0),
        detail = told.sent.as_ref().map(|sent| sent.detail.as_str()),
        agent = asked.agent,
    );
}

/// The id of the account or order that a request made: the last segment of its URL.
fn created(status: StatusCode, headers: &HeaderMap) -> Option<&str> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    (status == StatusCode::CREATED).then(|| location.rsplit('/').next())?
}

/// A path without the secret of a directory link (CM contract section 4.3): neither where a link has it, however the
/// path is spelt, nor anywhere else a text that can hold one. Handles of certificates, which are longer, are shown.
fn without_secret(path: &str) -> Cow<'_, str> {
    let not_base64url = |character: char| !(character.is_ascii_alphanumeric() || matches!(character, '-' | '_'));
    let mut above = "";
    let mut hides = false;
    let shown = path.split('/').map(|segment| {
        if segment.is_empty() {
            return segment;
        }
        let can_hold_one = || segment.split(not_base64url).any(|run| run.len() >= DirectoryToken::CHARACTERS);
        let is_below_r = ["r", "%72", "%52"].iter().any(|r| above.eq_ignore_ascii_case(r));
        let is_secret = is_below_r || above != "cert" && can_hold_one();
        above = segment;
        hides |= is_secret;
        if is_secret { "(link)" } else { segment }
    });
    let shown = shown.collect::<Vec<_>>().join("/");
    if hides { Cow::Owned(shown) } else { Cow::Borrowed(path) }
}

/// Strangers choose these texts, so the log takes no more than so much of them.
fn cut(text: &str) -> &str {
    const OCTETS_MAX: usize = 256;
    text.get(..OCTETS_MAX).unwrap_or(if text.len() > OCTETS_MAX { "(not text)" } else { text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_stands_around_a_secret_does_not_show_it(
            before in "[!-~]{0,20}(/r|/R|/%72)?", between in "(/|/r/|r%2F|%2f|[A-Za-z0-9_-]{1,3})", after in "[!-~]{0,20}",
            token in "[A-Za-z0-9_-]{43}",
        ) {
            prop_assume!(!before.ends_with("cert"));
            for path in [format!("{before}{between}{token}/{after}"), format!("{before}{between}{token}{after}")] {
                prop_assert!(!without_secret(&path).contains(&token), "{path}");
            }
        }
    }

    #[test]
    fn the_secret_of_a_link_is_hidden_however_its_path_is_spelt() {
        let token = "FX4DBzTpxeLNRsHBPtsUEmcfFytOfMDdAg-Pq1PALAs";
        for (path, shown) in [
            (format!("/acme/tls/r/{token}/directory"), "/acme/tls/r/(link)/directory"),
            (format!("/acme/tls/r/{token}"), "/acme/tls/r/(link)"),
            (format!("//acme//tls//r//{token}//directory"), "//acme//tls//r//(link)//directory"),
            (format!("/acme/tls/%72/{token}x/new-account"), "/acme/tls/%72/(link)/new-account"),
            (format!("/proxy/acme/tls/R/{token}%20"), "/proxy/acme/tls/R/(link)"),
            (format!("/acme/tls/{token}"), "/acme/tls/(link)"),
            (format!("/acme/tls/r?{token}"), "/acme/tls/(link)"),
            (format!("/acme/tls/r%2F{token}/directory"), "/acme/tls/(link)/directory"),
            (format!("/acme/tls/{token}x/directory"), "/acme/tls/(link)/directory"),
            (format!("/acme/tls/cert/{token}{token}"), &format!("/acme/tls/cert/{token}{token}")),
            (String::from("/acme/tls/r/short/directory"), "/acme/tls/r/(link)/directory"),
            (String::from("/acme/tls/order/01KANM7R4F/finalize"), "/acme/tls/order/01KANM7R4F/finalize"),
            (String::from("/acme/r/directory"), "/acme/r/(link)"),
            (String::new(), ""),
        ] {
            assert_eq!(without_secret(&path), shown, "{path}");
        }
    }
}

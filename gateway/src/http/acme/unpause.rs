//! The page behind the link in a refusal of something paused: which names, why, and a button that
//! lets the client try again. Not part of ACME.
//!
//! It is for people in browsers, so it is HTML and its form is the one request that nobody signs:
//! whoever has the sealed URL may lift the pause, as whoever reads the client's log has it. It
//! changes nothing else, doing it twice does nothing, and it expires. There are no cookies, so no
//! other site can borrow anybody's authority.

use acme::{failure_run::FailureRun, time::Timestamp};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};

use crate::{
    app::{App, Endpoint},
    clock,
    http::{
        HttpError,
        authenticate::{app_of, endpoint_of},
        html::{self, Html},
    },
    ra::{
        self,
        pause::{Paused, Ticket},
    },
};

/// `GET /acme/{endpoint}/unpause/{sealed}`
pub(crate) async fn get(request: HttpRequest, path: web::Path<(String, String)>) -> Result<HttpResponse, HttpError> {
    let app = app_of(&request)?;
    let endpoint = endpoint_of(&app, &request)?;
    let now = clock::now();
    let ticket = ticket(&app, &endpoint, &path.1)?;
    if ticket.has_expired(now) {
        return Ok(expired());
    }
    let paused = ra::pause::paused(&app, &endpoint, &ticket.account, now).await?;
    let nothing = paused.runs.is_empty() && paused.is_all;
    Ok(if nothing { nothing_paused(&endpoint, &ticket) } else { page(&endpoint, &ticket, &paused) })
}

/// `POST /acme/{endpoint}/unpause/{sealed}`
pub(crate) async fn post(request: HttpRequest, path: web::Path<(String, String)>) -> Result<HttpResponse, HttpError> {
    let app = app_of(&request)?;
    let endpoint = endpoint_of(&app, &request)?;
    let now = clock::now();
    let ticket = ticket(&app, &endpoint, &path.1)?;
    if ticket.has_expired(now) {
        return Ok(expired());
    }
    let client = request.peer_addr().map_or(std::net::IpAddr::from([0, 0, 0, 0]), |address| address.ip());
    ra::pause::unpause(&app, &endpoint, &ticket.account, client, now).await?;
    Ok(nothing_paused(&endpoint, &ticket))
}

fn ticket(app: &App, endpoint: &Endpoint, sealed: &str) -> Result<Ticket, HttpError> {
    let ticket = ra::pause::open_link(app, &endpoint.name, sealed);
    ticket.ok_or_else(|| ra::Error::not_found("page; use the address in the error text exactly as it is there").into())
}

fn page(endpoint: &Endpoint, ticket: &Ticket, paused: &Paused) -> HttpResponse {
    let about = |run: &FailureRun| {
        let (failures, first, last) = (run.failures, in_words(run.first), in_words(run.last));
        format!("{failures} failures from {first} to {last}. The last one: {}", run.problem.detail)
    };
    let names: Vec<_> = paused.runs.iter().map(|run| (run.identifier.to_string(), about(run))).collect();
    let more =
        if paused.is_all { "" } else { "There may be more names than are shown here. The button is for all of them." };
    let content = Html::default()
        .paragraph(
            "A device has asked for certificates for these names again and again, and has not once shown that they \
            are its own. This service has stopped to take new orders for them from this device, until somebody has \
            looked at it. Other devices and other names are not affected.",
        )
        .heading("What is paused, and why it failed")
        .terms(names.iter().map(|(name, about)| (name.as_str(), about.as_str())))
        .paragraph(more)
        .heading("What you can do")
        .steps([
            "Mend what the text above says: the DNS entry of the name, the firewall, or the settings of the device.",
            "If the device does not need these names any more, remove them from its settings. You are done then.",
            "Otherwise press the button. The device can order again at once; nothing has to be restarted.",
        ])
        .button("Let it try again");
    html::page(StatusCode::OK, "Orders are paused", &content, &about_account(endpoint, ticket))
}

fn nothing_paused(endpoint: &Endpoint, ticket: &Ticket) -> HttpResponse {
    let content = Html::default()
        .paragraph("The device can order certificates for all of its names.")
        .heading("What you can do")
        .steps([
            "Let the device ask for its certificate again now, or wait until it does so by itself.",
            "If it fails again, its log says why. If nobody mends that, its orders will be paused again.",
        ]);
    html::page(StatusCode::OK, "Nothing is paused", &content, &about_account(endpoint, ticket))
}

fn expired() -> HttpResponse {
    let content = Html::default()
        .paragraph("The address of this page is good for some days only, and they are over.")
        .heading("What you can do")
        .steps([
            "Let the device ask for its certificate again. If its orders are still paused, the new error text has a \
            new address.",
        ]);
    html::page(StatusCode::GONE, "This address has expired", &content, "")
}

fn about_account(endpoint: &Endpoint, ticket: &Ticket) -> String {
    format!("Account {}", endpoint.links.account(&ticket.account))
}

/// As people write it: 2026-11-22 10:00 UTC.
fn in_words(time: Timestamp) -> String {
    let text = time.to_string();
    let (date, clock) = text.split_once('T').unwrap_or((text.as_str(), ""));
    format!("{date} {} UTC", clock.get(..5).unwrap_or(clock))
}

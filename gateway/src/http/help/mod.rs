//! Help: a page for each error type, for whoever looks after the device that was refused.
//!
//! Every problem document that leaves this server names its page in a `Link` of relation `help`
//! (RFC 8555 §6.6 asks for it with `rateLimited`; we do it for all). The pages are the same for
//! everyone: what is special about a refusal is in its `detail`.

mod pages;

use std::collections::BTreeSet;

use acme::problem::ProblemKind;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};

use self::pages::page_of;
use super::{
    HttpError,
    authenticate::app_of,
    html::{self, Html},
};
use crate::app::App;

/// One page.
struct Page {
    /// The error in plain words.
    title: &'static str,
    /// What the device asked for and what came of it.
    happened: &'static str,
    /// Why that is, and whether anything is broken.
    means: &'static str,
    /// What to do, the likeliest first.
    steps: &'static [&'static str],
    /// Whom to ask if that does not help.
    ask: &'static [Whom],
}

/// Who can help.
#[derive(Debug, Clone, Copy)]
enum Whom {
    /// Runs this server.
    Operator,
    /// Registered the device.
    Officer,
    /// Made the device or its ACME client.
    Maker,
    /// Looks after names and networks.
    Network,
}

impl Whom {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => {
                "The people who run this service: tell them the time, the name of the device and the whole error text."
            }
            Self::Officer => {
                "Whoever registered your device, or gave you its key id and key (the registration officer)."
            }
            Self::Maker => {
                "The maker of your device or of its certificate software: show them the error text and this page."
            }
            Self::Network => "The people who look after your DNS names, your firewall and your network.",
        }
    }
}

/// The URL of the page about this kind of problem.
pub(super) fn url(app: &App, kind: ProblemKind) -> String {
    format!("{}/help/{}", app.settings.server.external_url.as_str(), kind.name_and_status().0)
}

/// `GET /help/`
pub(super) async fn index(request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let app = app_of(&request)?;
    let mut seen = BTreeSet::new();
    let errors = ProblemKind::ALL.into_iter().filter(|kind| seen.insert(kind.name_and_status().0));
    let errors: Vec<_> = errors
        .map(|kind| (url(&app, kind), format!("{}: {}", kind.name_and_status().0, page_of(kind).title)))
        .collect();
    let content = Html::default()
        .paragraph(
            "When this service refuses something it answers with an error type and a text. Find the error type in \
            your device's log: it is the last word of something like urn:ietf:params:acme:error:malformed.",
        )
        .links(errors.iter().map(|(url, text)| (url.as_str(), text.as_str())));
    Ok(html::page(StatusCode::OK, "What the errors mean", &with_websites(&app, content), ""))
}

/// `GET /help/{error}`
pub(super) async fn page(request: HttpRequest, error: web::Path<String>) -> Result<HttpResponse, HttpError> {
    let app = app_of(&request)?;
    let kinds = ProblemKind::ALL.into_iter().filter(|kind| kind.name_and_status().0 == error.as_str());
    let kinds: Vec<_> = kinds.collect();
    let Some(kind) = kinds.first() else {
        let detail = format!("no error is called that; see {}/help/", app.settings.server.external_url.as_str());
        return Err(HttpError::new(ProblemKind::NotFound, detail));
    };
    let page = page_of(*kind);
    let content = Html::default()
        .heading("What happened")
        .paragraph(page.happened)
        .heading("What it means")
        .paragraph(page.means)
        .heading("What you can do")
        .steps(page.steps.iter().copied())
        .heading("Whom to ask")
        .list(page.ask.iter().map(|whom| whom.as_str()));
    let statuses: Vec<_> = kinds.iter().map(|kind| kind.status().to_string()).collect();
    let below = format!("Error type {}, HTTP status {}.", kind.urn(), statuses.join(", "));
    Ok(html::page(StatusCode::OK, page.title, &with_websites(&app, content), &below))
}

/// Where the people who run this service tell more about it, if they do.
fn with_websites(app: &App, content: Html) -> Html {
    let websites: BTreeSet<_> = app.endpoints.values().filter_map(|endpoint| endpoint.website.as_deref()).collect();
    if websites.is_empty() {
        return content;
    }
    content.heading("More about this service").links(websites.into_iter().map(|website| (website, website)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Gateway;

    #[tokio::test]
    async fn pages_lead_to_the_websites_of_the_operator_and_of_nobody_else() {
        let gateway = Gateway::with("endpoint_defaults.website = 'https://pki.example.com/?a&b'").await;
        let content = format!("{:?}", with_websites(&gateway.app, Html::default()));
        assert!(content.contains("https://pki.example.com/?a&amp;b"), "{content}");
        let content = format!("{:?}", with_websites(&Gateway::new().await.app, Html::default()));
        assert!(!content.contains("href"), "{content}");
    }
}

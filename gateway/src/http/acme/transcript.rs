//! The page behind the `instance` of a problem: what happened to an order or an authorization, as far as
//! its client may know. Not part of ACME.
//!
//! It is for the person who looks after the client, so it is HTML, or JSON for whoever asks for that.
//! Nobody signs the request: whoever has the reference may read it, and it changes nothing. So that it keeps
//! nobody waiting, few are read at a time, and not by the threads that serve connections.

use acme::ids::Reference;
use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web,
};
use store::ReadError;
use tokio::runtime::Handle;

use crate::{
    app::{App, Endpoint},
    clock,
    http::{
        HttpError, Reply,
        authenticate::{app_of, endpoint_of},
        help,
        html::{self, Html},
        load::{InHand, Load},
    },
    ra,
    transcript::{
        client_safe::{ClientStory, Step, client_safe},
        story::Story,
    },
};

/// Search machines are to leave it alone.
const ROBOTS: (header::HeaderName, HeaderValue) =
    (header::HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));

/// `GET /acme/{endpoint}/transcript/{reference}`
pub(crate) async fn get(request: HttpRequest, path: web::Path<(String, String)>) -> Result<HttpResponse, HttpError> {
    let app = app_of(&request)?;
    let endpoint = endpoint_of(&app, &request)?;
    let unknown =
        || ra::Error::not_found("transcript here; it may have been forgotten, or belong to another directory");
    let reference = Reference::parse(&path.1).map_err(|_| unknown())?;
    let place = request.app_data::<web::Data<Load>>().map(|load| load.take_transcript()).transpose()?;
    let told = read(&app, &endpoint, reference, place).await?.ok_or_else(unknown)?;
    let mut response = if wants_json(&request) { Reply::ok().json(&told) } else { page(&app, &told) };
    let (name, value) = ROBOTS;
    response.headers_mut().insert(name, value);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// Reads the transcript elsewhere than on the thread that serves this and other connections: it may take a while.
async fn read(
    app: &App,
    endpoint: &Endpoint,
    reference: Reference,
    place: Option<InHand>,
) -> Result<Option<ClientStory>, HttpError> {
    let (store, here, runtime) = (app.store.clone(), endpoint.name.clone(), Handle::current());
    let reading = move || {
        let story = runtime.block_on(Story::read(&store, &reference))?;
        let story = story.filter(|story| *story.endpoint() == here);
        let told = story.map(|story| client_safe(&story, clock::now()));
        // Not before: whoever hangs up does not end the reading.
        drop(place);
        Ok(told)
    };
    let read: Result<_, ReadError> = web::block(reading).await.map_err(|error| HttpError::internal(&error.into()))?;
    Ok(read.map_err(ra::Error::from)?)
}

/// Browsers name HTML first, or take anything.
fn wants_json(request: &HttpRequest) -> bool {
    let accepted = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accepted.contains("application/json") && !accepted.contains("text/html")
}

fn page(app: &App, told: &ClientStory) -> HttpResponse {
    let title = match told.about {
        "order" => format!("What happened to this order: {}", told.status),
        "authorization" => format!("What happened to this authorization: {}", told.status),
        _ => String::from("Why this was refused"),
    };
    let steps: Vec<_> = told.steps.iter().map(|step| (step.at.to_string(), in_words(step))).collect();
    let more = if told.more { "More has happened than is shown here." } else { "" };
    let mut content = Html::default()
        .heading("Names")
        .list(told.identifiers.iter().map(String::as_str))
        .heading("What happened")
        .terms(steps.iter().map(|(at, what)| (at.as_str(), what.as_str())))
        .paragraph(more)
        .heading("What you can do")
        .steps([told.next]);
    if let Some(kind) = told.problem {
        let url = help::url(app, kind);
        content = content.links([(url.as_str(), "About this kind of error")]);
    }
    let below = format!("Reference {}. Whoever runs this service can see more with it.", told.reference);
    html::page(StatusCode::OK, &title, &content, &below)
}

fn in_words(step: &Step) -> String {
    match &step.identifier {
        Some(identifier) => format!("{identifier}: {}", step.what),
        None => step.what.clone(),
    }
}

//! The page that shows an external account key: the answer to the form that made it, and there is no other way to it.
//! It is in no cache, and the sheet for the printer is made from what stands on it.

use actix_web::{HttpResponse, http::header};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
};
use crate::{
    cli::registrations::{
        directory_link::{sheet_of, url},
        hand_over::{ingredients, where_clients_begin},
    },
    cm::{
        directory_link::Wish,
        registration::{EabSecret, Registration, View},
    },
    error::Failure,
    output::shown,
    recipes,
    sheet::{self, Sheet},
};

#[derive(Template)]
#[template(path = "console/secret.html")]
struct Page<'a> {
    frame: Frame<'a>,
    /// What was done.
    done: &'a str,
    id: String,
    directory_url: String,
    key_id: String,
    hmac_key: String,
    /// A directory link that was drawn with it, or why none could be.
    link: Option<Result<String, String>>,
    /// Titles and texts.
    recipes: Vec<(&'static str, String)>,
}

/// The key of this answer of the CM.
pub(super) async fn page(
    console: &Console,
    title: String,
    done: &str,
    registration: &Registration,
    link: Option<Result<String, String>>,
) -> Result<HttpResponse, Failure> {
    let view = &registration.view;
    let directory_url = where_clients_begin(&console.settings, &console.cm).await;
    let (ingredients, key) = ingredients(view, directory_url, &console.settings)?;
    let recipes = recipes::all(&ingredients);
    Ok(answer::page(&Page {
        frame: Frame::new(console, "registrations", title),
        done,
        id: view.id.clone(),
        directory_url: ingredients.directory_url,
        key_id: key.id,
        hmac_key: key.hmac,
        link,
        recipes,
    }))
}

/// Draws a directory link for a registration that was just made. Its key is shown only once, so a URL that could not be drawn
/// is told beside it.
pub(super) async fn linked(console: &Console, view: &View) -> Result<String, String> {
    let drawn = async {
        let drawn = console.cm.draw_directory_link(view, &Wish::default()).await?;
        url(&drawn.view, &console.settings, &console.cm).await
    };
    drawn.await.map_err(|failure| shown(&failure.to_string()))
}

#[derive(Template)]
#[template(path = "console/link.html")]
struct LinkPage<'a> {
    frame: Frame<'a>,
    id: String,
    url: String,
    /// Until when the one before goes on.
    previous_until: Option<String>,
}

/// A directory link that was just drawn.
pub(super) fn link_page(console: &Console, title: String, view: &View, url: String) -> HttpResponse {
    let previous_until = view.directory_link.as_ref().and_then(|link| link.previous_until.as_deref()).map(shown);
    let frame = Frame::new(console, "registrations", title);
    answer::page(&LinkPage { frame, id: view.id.clone(), url, previous_until })
}

/// The sheet for the person at the machine, made from the key or the directory link that the form brings.
pub(super) async fn sheet(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    let mut view = console.cm.registration(id).await?.view;
    let sheet = match form.text("directory_url") {
        Some(url) => sheet_of(&view, url, &console.settings),
        None => {
            let key_id = form.text("key_id").unwrap_or_default();
            if view.eab.as_ref().is_none_or(|eab| eab.kid != key_id) {
                let reason = "this key is not the registration's any more; draw another one on its page";
                return Err(Failure::Changed(reason.to_owned()));
            }
            view.eab_secret = form.text("hmac_key").map(|key| EabSecret { hmac_key: key.to_owned() });
            let directory_url = where_clients_begin(&console.settings, &console.cm).await;
            let directory_url = directory_url.unwrap_or_else(|| "DIRECTORY-URL".to_owned());
            let ca = console.settings.acme_ca_file.as_deref().map(sheet::described);
            let sheet = Sheet::of_key(&view, &directory_url, ca);
            sheet.ok_or_else(|| Failure::Usage("the form brought no key".to_owned()))?
        }
    };
    // It has a style of its own in it, and nothing else that the policy of the pages would stop.
    let policy = format!("{}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", sheet::policy());
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .body(sheet.html()))
}

//! `registrations link` and `unlink`: directory links that bind by themselves, for devices that have no fields for an
//! external account key.

use acme::time::Timestamp;
use serde_json::Value;

use super::{
    Desk,
    hand_over::{Recipes, ingredients_of, wanted, where_clients_begin},
    show,
};
use crate::{
    cli::when,
    cm::{
        Cm,
        directory_link::Wish,
        registration::{Registration, View},
    },
    error::Failure,
    output::{Answer, snake_case},
    recipes,
    settings::Settings,
    sheet::{self, Reserved, Sheet},
};

/// What the last segment of a directory URL is.
const DIRECTORY: &str = "/directory";

/// What to draw.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The registration, reg_...; or the id of its external account key
    id: String,
    /// How long the link before it goes on, such as 7d or 12h, 30d at most; without this it is dead at once
    #[arg(long, value_name = "SPAN", value_parser = when::span)]
    overlap: Option<String>,
    /// The link binds until this time; accounts that were bound by it stay
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<Timestamp>,
    #[command(flatten)]
    recipes: Recipes,
}

/// Draws one.
pub(super) async fn link(arguments: Arguments, desk: &Desk) -> Result<Answer, Failure> {
    let (settings, cm) = desk.open()?;
    cm.must_offer_directory_links().await?;
    let before = show::find(&arguments.id, &cm).await?.view;
    when::must_be_ahead("--until", arguments.until, &cm).await?;
    let sheet = arguments.recipes.sheet.as_deref().map(Reserved::new).transpose()?;
    let wish = Wish { overlap: arguments.overlap, not_after: arguments.until.map(|time| time.to_string()) };
    let drawn = cm.draw_directory_link(&before, &wish).await?;
    let url = url(&drawn.view, &settings, &cm).await?;
    let previous = drawn.view.directory_link.as_ref().and_then(|link| link.previous_until.as_deref());
    let previous = previous.map(|until| format!("\nThe one before it goes on until {until}.")).unwrap_or_default();
    let text = format!(
        "{} has a new directory link.{previous}\n\n{}\n\nOn a computer it goes where the server goes:\n\n{}",
        drawn.view.id,
        told(&url),
        recipes::text(wanted(&arguments.recipes.clients), &ingredients_of(&drawn.view, url.clone(), None, &settings)),
    );
    let mut answer = Answer::new(text, with_url(&drawn.json, &url));
    if let Some(sheet) = sheet {
        sheet.write(&sheet_of(&drawn.view, &url, &settings).html(), &mut answer);
    }
    Ok(answer)
}

/// Ends it.
pub(super) async fn unlink(id: &str, desk: &Desk) -> Result<Answer, Failure> {
    let cm = desk.cm()?;
    cm.must_offer_directory_links().await?;
    let before = show::find(id, &cm).await?.view;
    let removed = cm.remove_directory_link(&before).await?;
    let id = &removed.view.id;
    let text = match before.directory_link {
        Some(_) => format!("No directory link binds to {id} any more; accounts that were bound stay"),
        None => format!("{id} had no directory link"),
    };
    Ok(Answer::new(text, snake_case(&removed.json)))
}

/// The whole directory URL of a link that was just drawn. A token is shown only once: that the realm cannot be read
/// must not lose it.
///
/// # Errors
/// [`Failure::Broken`] if the CM gave no token.
pub(crate) async fn url(view: &View, settings: &Settings, cm: &Cm) -> Result<String, Failure> {
    let Some(token) = &view.directory_token else {
        return Err(Failure::Broken(format!("the CM gave no directory token with {}", view.id)));
    };
    let directory = where_clients_begin(settings, cm).await;
    let directory = directory.as_deref().unwrap_or("https://HOST/acme/ENDPOINT").trim_end_matches('/');
    // The gateway's directory is found without its last segment too.
    Ok(token.directory_url(directory.strip_suffix(DIRECTORY).unwrap_or(directory)))
}

/// The page for the person at the machine.
pub(crate) fn sheet_of(view: &View, url: &str, settings: &Settings) -> Sheet {
    let not_after = view.directory_link.as_ref().and_then(|link| link.not_after.clone());
    Sheet::of_link(view, url, not_after, settings.acme_ca_file.as_deref().map(sheet::described))
}

/// What to do with it, for people.
pub(crate) fn told(url: &str) -> String {
    format!(
        "The directory link. It is shown now and never again:\n  {url}\n\n\
         On a printer, a NAS or a phone system, type it where the device asks for the ACME server, the ACME directory or\n\
         the CA's URL. Leave key id and HMAC key (EAB) empty. Whoever knows the link can bind an account to this\n\
         registration: hand it on like a password."
    )
}

/// The registration with the URL in place of the token.
pub(crate) fn with_url(json: &Value, url: &str) -> Value {
    let mut json = snake_case(json);
    if let Some(members) = json.as_object_mut() {
        // The others stay where they are.
        members.retain(|name, _| name != "directory_token");
        members.insert("directory_link_url".to_owned(), url.into());
    }
    json
}

/// Draws one for a registration that was just made, and puts it into the answer. The key in the answer is shown only
/// once, so a link that could not be drawn is told beside it.
pub(super) async fn add_to(
    mut answer: Answer,
    created: &Registration,
    sheet: Option<Reserved>,
    settings: &Settings,
    cm: &Cm,
) -> Answer {
    let drawn = async {
        let drawn = cm.draw_directory_link(&created.view, &Wish::default()).await?;
        let url = url(&drawn.view, settings, cm).await?;
        Ok::<_, Failure>((drawn, url))
    };
    match drawn.await {
        Ok((drawn, url)) => {
            answer.text = format!(
                "{}\n\n{}\nIn the recipes above it takes the place of the directory, and what is said of the key is left out.",
                answer.text,
                told(&url)
            );
            if let (Some(members), Some(link)) = (answer.json.as_object_mut(), drawn.json.get("directoryLink")) {
                members.insert("directory_link".to_owned(), snake_case(link));
                members.insert("version".to_owned(), drawn.view.version.into());
                members.insert("directory_link_url".to_owned(), url.as_str().into());
            }
            if let Some(sheet) = sheet {
                sheet.write(&sheet_of(&drawn.view, &url, settings).html(), &mut answer);
            }
        }
        Err(failure) => {
            let id = &created.view.id;
            if let (Some(members), Some(error)) = (answer.json.as_object_mut(), failure.json().get("error")) {
                members.insert("directory_link_error".to_owned(), error.clone());
            }
            answer.aside = format!("{id} is registered, but has no directory link: {failure}");
            answer.exit_code = failure.exit_code();
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_url_stands_in_the_place_of_its_token() {
        let json =
            json!({"id": "reg_1", "directoryLink": {"since": "t0", "notAfter": null}, "directoryToken": "c2VjcmV0"});
        let url = "https://a/acme/tls/r/c2VjcmV0/directory";
        let expected =
            json!({"id": "reg_1", "directory_link": {"since": "t0", "not_after": null}, "directory_link_url": url});
        assert_eq!(with_url(&json, url), expected);
    }
}

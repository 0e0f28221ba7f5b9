//! `registrations rotate-secret` and `rebind`: new external account keys for registrations that are there.

use acme::time::Timestamp;

use super::{
    Desk,
    hand_over::{Recipes, shown},
    show, status,
};
use crate::{
    cli::when,
    cm::{external_account_key::Wish, registration::View},
    error::Failure,
    output::Answer,
    sheet::Reserved,
};

/// How the key is exchanged.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotation {
    /// The registration, reg_...; or the id of its external account key
    id: String,
    /// How long the key before goes on, such as 7d or 12h, 30d at most; without this it is dead at once
    #[arg(long, value_name = "SPAN", value_parser = when::span)]
    overlap: Option<String>,
    /// The key binds until this time; accounts that were bound by it stay
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<Timestamp>,
    #[command(flatten)]
    recipes: Recipes,
}

/// Why and until when.
#[derive(Debug, clap::Args)]
pub(crate) struct Rebinding {
    /// The registration, reg_...; or the id of its external account key
    id: String,
    /// Why: for the audit trail and for whoever looks at it
    #[arg(long, value_name = "TEXT", value_parser = status::reason)]
    reason: String,
    /// The new key binds until this time; needed if the window of the registration is over
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<Timestamp>,
    #[command(flatten)]
    recipes: Recipes,
}

/// Exchanges the key.
pub(super) async fn rotate(arguments: Rotation, desk: &Desk) -> Result<Answer, Failure> {
    let Rotation { id, overlap, until, recipes } = arguments;
    let wish = Wish { overlap, not_after: until.map(|time| time.to_string()), rebind: None };
    let title = |_: &View, now: &View| {
        let id = &now.id;
        match now.eab.as_ref().and_then(|eab| eab.previous_until.as_deref()) {
            Some(until) => format!("{id} has a new external account key; the one before goes on until {until}"),
            None => format!("{id} has a new external account key; the one before is dead"),
        }
    };
    draw(&id, &wish, until, &recipes, title, desk).await
}

/// Takes the account key away and draws a new external account key.
pub(super) async fn rebind(arguments: Rebinding, desk: &Desk) -> Result<Answer, Failure> {
    let Rebinding { id, reason, until, recipes } = arguments;
    let wish = Wish { overlap: None, not_after: until.map(|time| time.to_string()), rebind: Some(reason) };
    let title = |before: &View, now: &View| {
        let id = &now.id;
        let link = match before.directory_link {
            Some(_) => format!("\nIts directory link is dead too; draw another one with: registrations link {id}"),
            None => String::new(),
        };
        format!(
            "{id} waits for its client again: the account key it had is withdrawn for good, and its certificates stay.\n\
             The client needs a new account key: where it keeps one, remove it first{link}"
        )
    };
    draw(&id, &wish, until, &recipes, title, desk).await
}

async fn draw(
    id: &str,
    wish: &Wish,
    until: Option<Timestamp>,
    recipes: &Recipes,
    title: impl Fn(&View, &View) -> String,
    desk: &Desk,
) -> Result<Answer, Failure> {
    let (settings, cm) = desk.open()?;
    cm.must_offer_new_key(wish).await?;
    let before = show::find(id, &cm).await?.view;
    when::must_be_ahead("--until", until, &cm).await?;
    let sheet = recipes.sheet.as_deref().map(Reserved::new).transpose()?;
    let drawn = cm.draw_external_account_key(&before, wish).await?;
    shown(&title(&before, &drawn.view), &drawn, &recipes.clients, sheet, &settings, &cm).await
}

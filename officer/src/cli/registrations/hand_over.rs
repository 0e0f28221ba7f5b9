//! How an external account key or a directory link is handed over: once, with recipes for the clients that will use it.

use std::path::PathBuf;

use serde_json::Value;

use super::show;
use crate::{
    allowlist::example::Example,
    cm::{
        Cm,
        registration::{Registration, View},
    },
    error::Failure,
    output::{Answer, snake_case},
    recipes::{self, Client, Ingredients, Key},
    settings::Settings,
    sheet::{self, Reserved, Sheet},
};

/// How the key is handed on.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Recipes {
    /// Show recipes for these clients only
    #[arg(long = "recipe", value_enum, value_name = "CLIENT")]
    pub(super) clients: Vec<Client>,
    /// Write a page for the person at the machine, to print: what to type, and a QR code of where its client begins
    #[arg(long, value_name = "FILE")]
    pub(super) sheet: Option<PathBuf>,
}

/// The answer of a command that drew a key.
pub(super) async fn shown(
    title: &str,
    registration: &Registration,
    clients: &[Client],
    sheet: Option<Reserved>,
    settings: &Settings,
    cm: &Cm,
) -> Result<Answer, Failure> {
    let view = &registration.view;
    let directory_url = where_clients_begin(settings, cm).await;
    let (ingredients, key) = ingredients(view, directory_url.clone(), settings)?;
    let text = format!(
        "{title}\n\n{}\n\nThe external account key. It is shown now and never again:\n  key id     {}\n  HMAC key   {}\n  \
         directory  {}\n\n{}",
        show::described(view),
        key.id,
        key.hmac,
        ingredients.directory_url,
        recipes::text(wanted(clients), &ingredients),
    );
    let page = Sheet::of_key(view, &ingredients.directory_url, settings.acme_ca_file.as_deref().map(sheet::described));
    let mut answer = Answer::new(text, with_key(&registration.json, &key.hmac, directory_url));
    if let (Some(sheet), Some(page)) = (sheet, page) {
        sheet.write(&page.html(), &mut answer);
    }
    Ok(answer)
}

/// The directory that clients are told to use, if it is known. A key is shown only once: that the realm cannot be
/// read must not lose it.
pub(crate) async fn where_clients_begin(settings: &Settings, cm: &Cm) -> Option<String> {
    match &settings.directory_url {
        Some(url) => Some(url.clone()),
        None => cm.realm_settings().await.ok().and_then(|realm| directory_url(&realm)),
    }
}

/// What the recipes for a new key are made of.
///
/// # Errors
/// [`Failure::Broken`] if the CM gave no key with the registration.
pub(crate) fn ingredients(
    view: &View,
    directory_url: Option<String>,
    settings: &Settings,
) -> Result<(Ingredients, Key), Failure> {
    let (Some(eab), Some(secret)) = (&view.eab, &view.eab_secret) else {
        return Err(Failure::Broken(format!("the CM gave no external account key with {}", view.id)));
    };
    let key = Key { id: eab.kid.clone(), hmac: secret.hmac_key.clone(), algorithm: algorithm(&eab.algorithms) };
    let directory_url = directory_url.unwrap_or_else(|| "DIRECTORY-URL".to_owned());
    Ok((ingredients_of(view, directory_url, Some(key.clone()), settings), key))
}

/// The same for a directory link, with or without a key.
pub(super) fn ingredients_of(view: &View, directory_url: String, key: Option<Key>, settings: &Settings) -> Ingredients {
    let example = Example::of(&view.allowed_identifiers);
    let ca_file = settings.acme_ca_file.as_ref().map(|file| file.display().to_string());
    Ingredients { directory_url, key, example, ca_file, http_01_port: settings.http_01_port }
}

/// The MAC to use a key with: the one that every client knows, if it may be.
fn algorithm(allowed: &[String]) -> String {
    let other = allowed.first().filter(|_| allowed.iter().all(|name| name != recipes::USUAL));
    other.map_or(recipes::USUAL, String::as_str).to_owned()
}

/// The clients whose recipes are shown: all, if none is named.
pub(super) const fn wanted(clients: &[Client]) -> &[Client] {
    if clients.is_empty() { &Client::ALL } else { clients }
}

/// The registration with its key under `eab`, where the key's id is.
fn with_key(json: &Value, hmac_key: &str, directory_url: Option<String>) -> Value {
    let mut json = snake_case(json);
    if let Some(members) = json.as_object_mut() {
        // The others stay where they are.
        members.retain(|name, _| name != "eab_secret");
        members.insert("directory_url".to_owned(), directory_url.map_or(Value::Null, Value::from));
    }
    if let Some(eab) = json.get_mut("eab").and_then(Value::as_object_mut) {
        eab.insert("hmac_key".to_owned(), hmac_key.into());
    }
    json
}

/// From the realm's settings: where its clients begin.
fn directory_url(realm: &Value) -> Option<String> {
    let base = realm.pointer("/acmeBaseUrls/0")?.as_str()?;
    Some(format!("{}/directory", base.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_key_is_beside_its_id_and_nowhere_else() {
        let json = json!({"id": "reg_1", "eab": {"kid": "k"}, "eabSecret": {"kid": "k", "hmacKey": "c2VjcmV0"}});
        let shown = with_key(&json, "c2VjcmV0", Some("https://a/directory".to_owned()));
        let expected =
            json!({"id": "reg_1", "eab": {"kid": "k", "hmac_key": "c2VjcmV0"}, "directory_url": "https://a/directory"});
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_directory_is_where_the_realm_says() {
        let realm = json!({"acmeBaseUrls": ["https://localhost:1/acme/tls/"]});
        assert_eq!(directory_url(&realm).unwrap(), "https://localhost:1/acme/tls/directory");
        assert_eq!(directory_url(&json!({"acmeBaseUrls": []})), None);
    }
}

//! Recipes: how the person standing at the machine makes its client use a new external account key, or a directory URL
//! that needs none.
//!
//! Made of a directory URL, a key and a name; nothing is looked up. They are shown with the key,
//! once.

use clap::ValueEnum;

/// What recipes are made of.
#[derive(Clone)]
pub(crate) struct Ingredients {
    /// The ACME directory.
    pub(crate) directory_url: String,
    /// The external account key; none for a directory link.
    pub(crate) key: Option<Key>,
    /// A name that may be asked for.
    pub(crate) name: String,
    /// A CA in PEM that the client must be told to trust, if any.
    pub(crate) ca_file: Option<String>,
}

/// An external account key.
#[derive(Clone)]
pub(crate) struct Key {
    /// Its id.
    pub(crate) id: String,
    /// The key, base64url.
    pub(crate) hmac: String,
}

/// A client that there is a recipe for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// EFF's certbot
    Certbot,
    /// lego
    Lego,
    /// acme.sh
    #[value(name = "acme.sh")]
    AcmeSh,
    /// Apache httpd with mod_md
    #[value(name = "mod_md")]
    ModMd,
    /// Caddy
    Caddy,
    /// win-acme on Windows
    WinAcme,
    /// Synology NAS, by acme.sh on it
    Synology,
}

impl Client {
    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::Certbot, Self::Lego, Self::AcmeSh, Self::ModMd, Self::Caddy, Self::WinAcme, Self::Synology];

    const fn title(self) -> &'static str {
        match self {
            Self::Certbot => "certbot",
            Self::Lego => "lego",
            Self::AcmeSh => "acme.sh",
            Self::ModMd => "Apache httpd, mod_md",
            Self::Caddy => "Caddy (Caddyfile, global options)",
            Self::WinAcme => "win-acme (Windows)",
            Self::Synology => "Synology NAS (acme.sh on it, by SSH)",
        }
    }
}

/// All recipes, each with its title.
pub(crate) fn all(ingredients: &Ingredients) -> Vec<(&'static str, String)> {
    Client::ALL.iter().map(|client| (client.title(), recipe(*client, ingredients))).collect()
}

/// The recipes, each under its title.
pub(crate) fn text(clients: &[Client], ingredients: &Ingredients) -> String {
    let recipe = |client: &Client| format!("{}\n{}", client.title(), indented(&recipe(*client, ingredients)));
    clients.iter().map(recipe).collect::<Vec<_>>().join("\n\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn recipe(client: Client, ingredients: &Ingredients) -> String {
    let Ingredients { directory_url: url, key, name, ca_file } = ingredients;
    let ca = ca_file.as_deref();
    let eab = |words: fn(&Key) -> String| key.as_ref().map(words).unwrap_or_default();
    match client {
        Client::Certbot => format!(
            "{trust}certbot certonly --standalone --server {url} \\\n  {eab}\
             --agree-tos --register-unsafely-without-email -d '{name}'",
            trust = ca.map(|file| format!("REQUESTS_CA_BUNDLE={file} ")).unwrap_or_default(),
            eab = eab(|key| format!("--eab-kid={} --eab-hmac-key={} \\\n  ", key.id, key.hmac)),
        ),
        Client::Lego => format!(
            "{trust}lego --server {url} --accept-tos --email you@example.com \\\n  {eab}\
             --http --domains '{name}' run",
            trust = ca.map(|file| format!("LEGO_CA_CERTIFICATES={file} ")).unwrap_or_default(),
            eab = eab(|key| format!("--eab --kid={} --hmac={} \\\n  ", key.id, key.hmac)),
        ),
        Client::AcmeSh => acme_sh(ingredients, "--standalone"),
        Client::ModMd => format!(
            "MDCertificateAuthority {url}\nMDCertificateAgreement accepted\nMDContactEmail you@example.com\n\
             {eab}{trust}MDomain {name}",
            trust = ca.map(|file| format!("MDCACertificateFile {file}\n")).unwrap_or_default(),
            eab = eab(|key| format!("MDExternalAccountBinding {} {}\n", key.id, key.hmac)),
        ),
        Client::Caddy => format!(
            "{{\n  acme_ca {url}\n{trust}{eab}}}",
            trust = ca.map(|file| format!("  acme_ca_root {file}\n")).unwrap_or_default(),
            eab = eab(|key| format!("  acme_eab {{\n    key_id {}\n    mac_key {}\n  }}\n", key.id, key.hmac)),
        ),
        Client::WinAcme => format!(
            "{trust}wacs.exe --baseuri {url} --accepttos ^\n  {eab}--source manual --host {name}",
            eab = eab(|key| {
                format!("--eab-key-identifier {} --eab-key {} --eab-algorithm HS256 ^\n  ", key.id, key.hmac)
            }),
            trust = ca
                .map(|file| format!("rem first: import {file} into the machine's Trusted Root store\n"))
                .unwrap_or_default(),
        ),
        Client::Synology => format!(
            "{issue}\nexport SYNO_USE_TEMP_ADMIN=1 SYNO_CREATE=1\nacme.sh --deploy --deploy-hook synology_dsm -d '{name}'",
            issue = acme_sh(ingredients, "--webroot /var/lib/letsencrypt"),
        ),
    }
}

fn acme_sh(ingredients: &Ingredients, how: &str) -> String {
    let Ingredients { directory_url: url, key, name, ca_file } = ingredients;
    let eab =
        key.as_ref().map(|key| format!(" \\\n  --eab-kid {} --eab-hmac-key {}", key.id, key.hmac)).unwrap_or_default();
    let trust = ca_file.as_deref().map(|file| format!(" --ca-bundle {file}")).unwrap_or_default();
    format!(
        "acme.sh --register-account --server {url}{trust}{eab}\n\
         acme.sh --issue --server {url}{trust} {how} -d '{name}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingredients(ca_file: Option<&str>) -> Ingredients {
        Ingredients {
            directory_url: "https://acme.example.net/acme/tls/directory".to_owned(),
            key: Some(Key { id: "kid-1".to_owned(), hmac: "c2VjcmV0".to_owned() }),
            name: "printer.example.com".to_owned(),
            ca_file: ca_file.map(str::to_owned),
        }
    }

    #[test]
    fn every_recipe_has_the_directory_the_key_and_the_name() {
        for client in Client::ALL {
            let text = recipe(client, &ingredients(None));
            for part in ["https://acme.example.net/acme/tls/directory", "kid-1", "c2VjcmV0"] {
                assert!(text.contains(part), "{client:?} lacks {part}: {text}");
            }
            // Caddy takes names from its sites.
            assert!(text.contains("printer.example.com") || client == Client::Caddy, "{client:?}: {text}");
        }
        assert_eq!(text(&Client::ALL, &ingredients(None)).matches("\n\n").count(), 6);
    }

    #[test]
    fn a_directory_link_needs_no_key() {
        for client in Client::ALL {
            let text = recipe(client, &Ingredients { key: None, ..ingredients(None) });
            assert!(text.contains("https://acme.example.net/acme/tls/directory"), "{client:?}: {text}");
            assert!(!text.to_lowercase().contains("eab") && !text.contains("External"), "{client:?}: {text}");
        }
    }

    #[test]
    fn a_ca_of_ones_own_is_named_in_every_recipe() {
        for client in Client::ALL {
            let text = recipe(client, &ingredients(Some("/etc/acme-ca.pem")));
            assert!(text.contains("/etc/acme-ca.pem"), "{client:?}: {text}");
        }
    }

    #[test]
    fn the_commands_for_a_shell_are_words_for_a_shell() {
        let with_key = ingredients(Some("/etc/acme-ca.pem"));
        let without = Ingredients { key: None, ..with_key.clone() };
        let clients = [Client::Certbot, Client::Lego, Client::AcmeSh];
        for (client, ingredients) in clients.iter().flat_map(|client| [(*client, &with_key), (*client, &without)]) {
            let text = recipe(client, ingredients);
            let script = format!(
                "certbot() {{ echo \"$#\"; }}\nlego() {{ echo \"$#\"; }}\nacme_sh() {{ echo \"$#\"; }}\n{}",
                text.replace("acme.sh", "acme_sh")
            );
            let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{client:?}: {output:?}");
        }
    }
}

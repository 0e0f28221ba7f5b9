//! Recipes: how the person standing at the machine makes its client use a new external account key, or a directory link
//! that needs none.
//!
//! Made of a directory URL, a key and a name; nothing is looked up. They are shown with the key,
//! once.

use clap::ValueEnum;

use crate::allowlist::example::Example;

/// Where clients are asked for http-01 unless something else is said (RFC 8555 section 8.3).
pub(crate) const HTTP: u16 = 80;
/// The MAC that every client knows.
pub(crate) const USUAL: &str = "HS256";

/// What recipes are made of.
#[derive(Clone)]
pub(crate) struct Ingredients {
    /// The ACME directory.
    pub(crate) directory_url: String,
    /// The external account key; none for a directory link.
    pub(crate) key: Option<Key>,
    /// Something that may be asked for.
    pub(crate) example: Example,
    /// A CA in PEM that the client must be told to trust, if any.
    pub(crate) ca_file: Option<String>,
    /// The port that the gateway asks at for http-01.
    pub(crate) http_01_port: u16,
}

/// An external account key.
#[derive(Clone)]
pub(crate) struct Key {
    /// Its id.
    pub(crate) id: String,
    /// The key, base64url.
    pub(crate) hmac: String,
    /// The MAC that it is to be used with.
    pub(crate) algorithm: String,
}

impl Key {
    /// The MAC, if it is another one than every client takes.
    fn other_algorithm(&self) -> Option<&str> {
        (self.algorithm != USUAL).then_some(self.algorithm.as_str())
    }
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
    if let Some(reason) = cannot(client, ingredients) {
        return reason;
    }
    let Ingredients { directory_url: url, key, example, ca_file, http_01_port } = ingredients;
    let (name, ca) = (example.text(), ca_file.as_deref());
    let (is_wildcard, is_address) = (matches!(example, Example::Wildcard(_)), matches!(example, Example::Address(_)));
    let eab = |words: fn(&Key) -> String| key.as_ref().map(words).unwrap_or_default();
    // Nothing is said of a port that everybody takes.
    let port = |words: fn(u16) -> String| if *http_01_port == HTTP { String::new() } else { words(*http_01_port) };
    let text = match client {
        Client::Certbot => format!(
            "{trust}certbot certonly {how} --server {url} \\\n  {eab}\
             --agree-tos --register-unsafely-without-email {option} '{name}'",
            option = if is_address { "--ip-address" } else { "-d" },
            trust = ca.map(|file| format!("REQUESTS_CA_BUNDLE={file} ")).unwrap_or_default(),
            how = if is_wildcard {
                "--manual --preferred-challenges dns".to_owned()
            } else {
                format!("--standalone{}", port(|port| format!(" --http-01-port {port}")))
            },
            eab = eab(|key| {
                let algorithm = key.other_algorithm().map(|name| format!(" --eab-hmac-alg={name}")).unwrap_or_default();
                format!("--eab-kid={} --eab-hmac-key={}{algorithm} \\\n  ", key.id, key.hmac)
            }),
        ),
        Client::Lego => format!(
            "{trust}lego --server {url} --accept-tos --email you@example.com \\\n  {eab}\
             {how} --domains '{name}' run",
            trust = ca.map(|file| format!("LEGO_CA_CERTIFICATES={file} ")).unwrap_or_default(),
            how = if is_wildcard {
                "--dns manual".to_owned()
            } else {
                format!("--http{}", port(|port| format!(" --http.port :{port}")))
            },
            eab = eab(|key| format!("--eab --kid={} --hmac={} \\\n  ", key.id, key.hmac)),
        ),
        Client::AcmeSh => acme_sh(ingredients, &format!("--standalone{}", port(|port| format!(" --httpport {port}")))),
        Client::ModMd => format!(
            "MDCertificateAuthority {url}\nMDCertificateAgreement accepted\nMDContactEmail you@example.com\n\
             {eab}{trust}{how}MDomain {name}",
            trust = ca.map(|file| format!("MDCACertificateFile {file}\n")).unwrap_or_default(),
            how = if is_wildcard {
                "# your own program, which writes the DNS record:\nMDChallengeDns01 /usr/local/bin/write-dns-record\n"
                    .to_owned()
            } else {
                port(|port| format!("Listen {port}\nMDPortMap http:{port}\n"))
            },
            eab = eab(|key| format!("MDExternalAccountBinding {} {}\n", key.id, key.hmac)),
        ),
        Client::Caddy => format!(
            "{{\n  acme_ca {url}\n{trust}{how}{eab}}}",
            trust = ca.map(|file| format!("  acme_ca_root {file}\n")).unwrap_or_default(),
            how = if is_wildcard {
                "  # the module of your DNS, which is not in every Caddy:\n  acme_dns rfc2136\n".to_owned()
            } else {
                port(|port| format!("  http_port {port}\n"))
            },
            eab = eab(|key| format!("  acme_eab {{\n    key_id {}\n    mac_key {}\n  }}\n", key.id, key.hmac)),
        ),
        Client::WinAcme => format!(
            "{trust}wacs.exe --baseuri {url} --accepttos ^\n  {eab}--source manual --host {name}{how}",
            how = if is_wildcard {
                " ^\n  --validationmode dns-01 --validation manual".to_owned()
            } else {
                port(|port| format!(" --validation selfhosting --validationport {port}"))
            },
            eab = eab(|key| {
                format!(
                    "--eab-key-identifier {} --eab-key {} --eab-algorithm {} ^\n  ",
                    key.id, key.hmac, key.algorithm
                )
            }),
            trust = ca
                .map(|file| format!("rem first: import {file} into the machine's Trusted Root store\n"))
                .unwrap_or_default(),
        ),
        Client::Synology => format!(
            "{issue}\nexport SYNO_USE_TEMP_ADMIN=1 SYNO_CREATE=1\nacme.sh --deploy --deploy-hook synology_dsm -d '{name}'",
            issue = acme_sh(ingredients, "--webroot /var/lib/letsencrypt"),
        ),
    };
    format!("{}{text}", remark(client, ingredients))
}

/// Why there is nothing to paste for this client, if so, and what to do instead.
fn cannot(client: Client, ingredients: &Ingredients) -> Option<String> {
    let other = ingredients.key.as_ref().and_then(Key::other_algorithm);
    if let (Some(algorithm), false) = (other, matches!(client, Client::Certbot | Client::WinAcme)) {
        return Some(format!(
            "It uses its key with {USUAL} only, and this one is for {algorithm}: make a registration without --algorithm."
        ));
    }
    let is_address = matches!(ingredients.example, Example::Address(_));
    if is_address && matches!(client, Client::ModMd | Client::Caddy | Client::WinAcme | Client::Synology) {
        return Some("No recipe: this list has addresses, and the recipe for this client is for names.".to_owned());
    }
    None
}

/// What to know before it is pasted, as a comment in front.
fn remark(client: Client, ingredients: &Ingredients) -> String {
    let mut words = Vec::new();
    if client == Client::Certbot && ingredients.key.as_ref().is_some_and(|key| key.other_algorithm().is_some()) {
        words.push("certbot 4.2 or later, for --eab-hmac-alg");
    }
    if client == Client::Certbot && matches!(ingredients.example, Example::Address(_)) {
        words.push("certbot 5.3 or later, for --ip-address");
    }
    if ingredients.example == Example::Unknown && client != Client::Caddy {
        words.push("put a name that the list allows in place of NAME");
    }
    let by_acme_sh = matches!(client, Client::AcmeSh | Client::Synology);
    if by_acme_sh && matches!(ingredients.example, Example::Wildcard(_)) {
        words.push("put the hook of your DNS in place of dns_nsupdate");
    }
    let comment = if client == Client::WinAcme { "rem" } else { "#" };
    words.iter().map(|words| format!("{comment} {words}\n")).collect()
}

fn acme_sh(ingredients: &Ingredients, how: &str) -> String {
    let Ingredients { directory_url: url, key, example, ca_file, .. } = ingredients;
    let name = example.text();
    let how = if matches!(example, Example::Wildcard(_)) { "--dns dns_nsupdate" } else { how };
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
            key: Some(Key { id: "kid-1".to_owned(), hmac: "c2VjcmV0".to_owned(), algorithm: USUAL.to_owned() }),
            example: Example::Name("printer.example.com".to_owned()),
            ca_file: ca_file.map(str::to_owned),
            http_01_port: HTTP,
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
    fn a_key_with_another_mac_is_for_clients_that_can_say_so() {
        let mut with = ingredients(None);
        with.key.as_mut().unwrap().algorithm = "HS512".to_owned();
        for client in Client::ALL {
            let text = recipe(client, &with);
            let says = text.contains("--eab-hmac-alg=HS512") || text.contains("--eab-algorithm HS512");
            let is_sentence = text.contains("this one is for HS512") && !text.contains("c2VjcmV0");
            assert!(says != is_sentence, "{client:?}: {text}");
            assert_eq!(says, matches!(client, Client::Certbot | Client::WinAcme), "{client:?}: {text}");
        }
        assert!(!recipe(Client::Certbot, &ingredients(None)).contains("--eab-hmac-alg"), "old ones do not know it");
    }

    #[test]
    fn a_wildcard_is_asked_for_by_dns() {
        let with = Ingredients { example: Example::Wildcard("*.w.test".to_owned()), ..ingredients(None) };
        for client in Client::ALL {
            let text = recipe(client, &with);
            assert!(text.to_lowercase().contains("dns"), "{client:?}: {text}");
            for http in ["--standalone", "--http", "--webroot"] {
                assert!(!text.contains(http), "{client:?}: {text}");
            }
        }
    }

    #[test]
    fn what_is_no_name_is_not_asked_for_as_one() {
        let address = Ingredients { example: Example::Address("192.0.2.1".to_owned()), ..ingredients(None) };
        assert!(recipe(Client::Certbot, &address).contains("--ip-address '192.0.2.1'"));
        for client in [Client::ModMd, Client::WinAcme, Client::Synology] {
            assert!(recipe(client, &address).starts_with("No recipe"), "{client:?}");
        }
        let unknown = Ingredients { example: Example::Unknown, ..ingredients(None) };
        for client in Client::ALL.into_iter().filter(|client| *client != Client::Caddy) {
            let text = recipe(client, &unknown);
            assert!(text.contains("in place of NAME\n"), "{client:?}: {text}");
        }
    }

    #[test]
    fn another_port_of_http_01_is_said_to_the_client() {
        let with = Ingredients { http_01_port: 5002, ..ingredients(None) };
        for client in Client::ALL.into_iter().filter(|client| *client != Client::Synology) {
            let text = recipe(client, &with);
            assert!(text.contains("5002"), "{client:?}: {text}");
            assert!(!recipe(client, &ingredients(None)).contains("80"), "{client:?}");
        }
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

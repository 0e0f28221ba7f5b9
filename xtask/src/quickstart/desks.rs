//! Settings of acme-officer for the three people of a quickstart: officer, approver and auditor, each with the
//! certificate that the sandbox made for her.
//!
//! They follow the command line and are written anew each time: whoever wants others copies one.

use std::path::PathBuf;

use super::layout::{Layout, replace};

/// Who works at the reference CM.
pub(crate) const PEOPLE: [&str; 3] = ["officer", "approver", "auditor"];
/// The realm that officers look after; the other one is open to anybody.
const REALM: &str = "registered";

/// Where things are.
pub(crate) struct Places<'a> {
    pub(crate) cm_url: &'a str,
    /// The directory of the endpoint that belongs to the realm.
    pub(crate) directory_url: &'a str,
    /// The port that the gateway asks clients at for http-01.
    pub(crate) http_01_port: u16,
}

/// Writes a file a person.
///
/// # Errors
/// One cannot be written.
pub(crate) fn write(layout: &Layout, places: &Places<'_>) -> anyhow::Result<()> {
    PEOPLE.iter().try_for_each(|person| replace(&file(layout, person), text(layout, places, person).as_bytes(), 0o644))
}

/// The settings of this person.
pub(crate) fn file(layout: &Layout, person: &str) -> PathBuf {
    layout.dir().join(format!("{person}.toml"))
}

fn text(layout: &Layout, places: &Places<'_>, person: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let pki = |name: String| quoted(&layout.pki(&name).to_string_lossy());
    format!(
        "# Settings of acme-officer for the {person} of a demonstration, written anew by each quickstart.\n\
         # config/officer.toml explains them.\n\n\
         [cm]\nurl = {cm}\nca_file = {ca}\ncertificate_file = {certificate}\nkey_file = {key}\nrealm = \"{REALM}\"\n\n\
         [acme]\ndirectory_url = {directory}\nca_file = {acme_ca}\nhttp_01_port = {http_01_port}\n",
        cm = quoted(places.cm_url),
        ca = pki("infra-ca.pem".to_owned()),
        certificate = pki(format!("{person}.pem")),
        key = pki(format!("{person}.key")),
        directory = quoted(places.directory_url),
        http_01_port = places.http_01_port,
        acme_ca = pki("acme-ca.pem".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::layout::tests::folder, *};

    #[test]
    fn every_person_has_a_file_with_a_certificate_of_her_own() {
        let dir = folder("desks");
        let layout = Layout::create(&dir).unwrap();
        let places = Places {
            cm_url: "https://localhost:14001",
            directory_url: "https://localhost:14000/acme/registered/directory",
            http_01_port: 5002,
        };
        write(&layout, &places).unwrap();
        for person in PEOPLE {
            let text = fs::read_to_string(file(&layout, person)).unwrap();
            assert!(text.contains(&format!("sandbox/pki/{person}.key\"")), "{text}");
            assert!(text.ends_with("http_01_port = 5002\n"), "recipes name the port that the gateway asks at: {text}");
            assert!(
                text.contains("url = \"https://localhost:14001\"\n") && text.contains("realm = \"registered\"\n"),
                "{text}"
            );
        }
        fs::remove_dir_all(dir).unwrap();
    }
}

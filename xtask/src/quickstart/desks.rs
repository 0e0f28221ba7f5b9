//! Settings of acme-officer for the three people of a quickstart: officer, approver and auditor, each with the
//! certificate that the sandbox made for her.
//!
//! They follow the command line and are written anew each time: whoever wants others copies one.

use std::path::PathBuf;

use super::{
    CertificateManager,
    layout::{Layout, replace},
    openbao::MOUNT,
};

/// Who works at this kind of CM. OpenBao has nothing for a person to approve.
pub(crate) const fn people(cm: CertificateManager) -> &'static [&'static str] {
    match cm {
        CertificateManager::Rest => &["officer", "approver", "auditor"],
        CertificateManager::OpenBao => &["officer", "auditor"],
    }
}

/// The realm that officers look after; the other one is open to anybody.
const REALM: &str = "registered";

/// Where things are.
pub(crate) struct Places<'a> {
    pub(crate) cm: CertificateManager,
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
    people(places.cm)
        .iter()
        .try_for_each(|person| replace(&file(layout, person), text(layout, places, person).as_bytes(), 0o644))
}

/// The settings of this person.
pub(crate) fn file(layout: &Layout, person: &str) -> PathBuf {
    layout.dir().join(format!("{person}.toml"))
}

fn text(layout: &Layout, places: &Places<'_>, person: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let openbao = match places.cm {
        CertificateManager::Rest => String::new(),
        CertificateManager::OpenBao => {
            format!("\n[cm.openbao]\nmount = {}\nlogin_role = \"acme-{person}\"\n", quoted(MOUNT))
        }
    };
    let pki = |name: String| quoted(&layout.pki(&name).to_string_lossy());
    format!(
        "# Settings of acme-officer for the {person} of a demonstration, written anew by each quickstart.\n\
         # config/officer.toml explains them.\n\n\
         [cm]\nkind = \"{kind}\"\nurl = {cm}\nca_file = {ca}\ncertificate_file = {certificate}\nkey_file = {key}\nrealm = \"{REALM}\"\n\
         {openbao}\n[acme]\ndirectory_url = {directory}\nca_file = {acme_ca}\nhttp_01_port = {http_01_port}\n",
        kind = places.cm.name(),
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
            cm: CertificateManager::Rest,
            cm_url: "https://localhost:14001",
            directory_url: "https://localhost:14000/acme/registered/directory",
            http_01_port: 5002,
        };
        write(&layout, &places).unwrap();
        for person in people(places.cm) {
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

    #[test]
    fn at_openbao_each_person_logs_in_with_her_own_role_and_nobody_approves() {
        let dir = folder("desks-openbao");
        let layout = Layout::create(&dir).unwrap();
        let places = Places {
            cm: CertificateManager::OpenBao,
            cm_url: "https://127.0.0.1:14006",
            directory_url: "https://localhost:14000/acme/registered/directory",
            http_01_port: 5002,
        };
        write(&layout, &places).unwrap();
        for person in ["officer", "auditor"] {
            let text: toml::Table = fs::read_to_string(file(&layout, person)).unwrap().parse().unwrap();
            assert_eq!(text["cm"]["kind"].as_str(), Some("openbao"));
            assert_eq!(text["cm"]["openbao"]["login_role"].as_str(), Some(&*format!("acme-{person}")));
            assert_eq!(text["acme"]["directory_url"].as_str(), Some(places.directory_url));
        }
        assert!(!file(&layout, "approver").exists());
        fs::remove_dir_all(dir).unwrap();
    }
}

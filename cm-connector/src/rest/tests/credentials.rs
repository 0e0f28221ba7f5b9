//! Who is who: certificates of both sides, settings, a change of credentials (CM contract section 2).

use super::*;
use crate::transport;

const STRANGERS: CmError =
    CmError::Unavailable { retry_after: Some(refusal::STRANGER_RETRY_AFTER), outcome: Outcome::NotSent };

#[tokio::test]
async fn a_server_with_another_name_is_refused() {
    let pki = Pki::new();
    let server = Server::start(&pki, "cm.example.net", |_, _| json_answer(200, &examples::registration())).await;
    let cm = RestCertificateManager::new(pki.settings(server.base_url())).unwrap();
    assert_eq!(cm.registration(&realm(), &id()).await, Err(STRANGERS));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let server = Server::start(&theirs, "127.0.0.1", |_, _| json_answer(200, &examples::registration())).await;
    let cm = RestCertificateManager::new(ours.settings(server.base_url())).unwrap();
    assert_eq!(cm.submit(&realm(), &key(), b"{}", Duration::ZERO).await, Err(STRANGERS));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_cm_that_refuses_our_certificate_is_left_alone() {
    for theirs in [Pki::new(), Pki::of("other clients")] {
        let ours = Pki::new();
        let server = Server::start(&theirs, "127.0.0.1", |_, _| json_answer(200, &examples::registration())).await;
        let settings = Settings { ca_file: theirs.settings(String::new()).ca_file, ..ours.settings(server.base_url()) };
        let cm = RestCertificateManager::new(settings).unwrap();
        assert_eq!(cm.submit(&realm(), &key(), b"{}", Duration::ZERO).await, Err(STRANGERS));
        assert!(server.seen().is_empty());
    }
}

#[tokio::test]
async fn credentials_are_changed_only_if_the_cm_accepts_them() {
    let world = world(|request, _| match request.line.as_str() {
        "GET /cm/v1/whoami" => {
            let answer = json!({"identity": "urn:cm:gateway:dmz-1", "roles": ["gateway"], "realms": ["tls"]});
            json_answer(200, &answer)
        }
        _ => json_answer(200, &examples::registration()),
    })
    .await;
    world.pki.renew_client("dmz-1-renewed");
    let realms = ["tls", "others"].map(|name| RealmName::parse(name).unwrap());
    let (ours, more) = (&realms[..1], &realms[..]);
    assert_eq!(world.cm.reload(ours).await, Ok(()));
    let refused = world.cm.reload(more).await.unwrap_err().to_string();
    assert!(refused.contains("not in the realm others"), "{refused}");
    assert!(world.registration().await.is_ok());
    world.pki.write("client.pem", "not PEM");
    assert!(matches!(world.cm.reload(ours).await, Err(SetupError::File { field: "certificate_file", .. })));
    assert!(world.registration().await.is_ok(), "the old ones stay in use");
    let stranger = Pki::new();
    let files = stranger.settings(String::new());
    world.pki.write("client.pem", &std::fs::read_to_string(files.certificate_file).unwrap());
    world.pki.write("client.key", &std::fs::read_to_string(files.key_file).unwrap());
    assert!(matches!(world.cm.reload(ours).await, Err(SetupError::SelfCheck(_))));
    assert!(world.registration().await.is_ok(), "the old ones stay in use");
}

#[tokio::test]
async fn settings_that_do_not_do_are_named() {
    let pki = Pki::new();
    for url in ["http://cm.example.net/cm/v1", "cm.example.net", "https://cm.example.net/?a", "https://u:p@cm/", ""] {
        let refused = RestCertificateManager::new(pki.settings(url.to_owned())).unwrap_err();
        assert_eq!(refused, SetupError::BaseUrl, "{url}");
    }
    let good = || pki.settings(String::from("https://cm.example.net:9443/cm/v1/"));
    assert_eq!(transport::settings::base_url(&good().base_url).unwrap(), "https://cm.example.net:9443/cm/v1");
    let field = |settings: Settings| {
        let refused = RestCertificateManager::new(settings).unwrap_err();
        let SetupError::File { field, .. } = refused else { panic!("{refused}") };
        field
    };
    let none = || PathBuf::from("/nonexistent/file.pem");
    assert_eq!(field(Settings { ca_file: none(), ..good() }), "ca_file");
    assert_eq!(field(Settings { certificate_file: none(), ..good() }), "certificate_file");
    assert_eq!(field(Settings { key_file: none(), ..good() }), "key_file");
    assert_eq!(field(Settings { ca_file: good().key_file, ..good() }), "ca_file");
    let other = Pki::new();
    let swapped = Settings { key_file: other.settings(String::new()).key_file, ..good() };
    assert_eq!(field(swapped), "key_file");
}

//! The gateway's certificate, as files that somebody replaces while it runs.

use std::{fs, path::Path};

use cm_connector::{CertificateManager, openbao::OpenBaoCertificateManager};
use tests::openbao::{OpenBao, throwaway_pki};

use crate::{fresh_folder, gateway_as, person::Person, realm};

/// Puts a certificate of the throwaway PKI, with its key, in the place of the gateway's.
fn put(bao: &OpenBao, name: &str, at: &Path) {
    for end in ["pem", "key"] {
        fs::copy(bao.pki().join(format!("{name}.{end}")), at.join(format!("own.{end}"))).unwrap();
    }
}

/// Whether OpenBao lets it in, once no token is good any more.
async fn comes_in(bao: &OpenBao, cm: &OpenBaoCertificateManager) -> bool {
    let _ = bao.root(&["write", "-f", "-format=json", "sys/leases/revoke-prefix/auth/cert/login"], None);
    cm.registration_by_key(&realm("open"), &Person::new().public_key().thumbprint()).await.is_ok()
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_from_its_file_and_a_wrong_one_changes_nothing() {
    let dir = fresh_folder();
    let pki = throwaway_pki(&dir);
    let bao = OpenBao::start(&dir, &pki);
    bao.prepare("open", "open", &[]);
    let own = dir.join("own");
    fs::create_dir_all(&own).unwrap();
    put(&bao, "gateway", &own);
    let cm = gateway_as(&bao, "gateway", |settings| {
        (settings.certificate_file, settings.key_file) = (own.join("own.pem"), own.join("own.key"));
    });
    assert!(comes_in(&bao, &cm).await);
    put(&bao, "officer", &own);
    assert!(cm.reload().await.is_err(), "it is not a gateway's");
    assert!(comes_in(&bao, &cm).await, "the one before goes on");
    fs::write(own.join("own.pem"), "half a certificate").unwrap();
    assert!(cm.reload().await.is_err());
    assert!(comes_in(&bao, &cm).await);
    // A new one with a new key, of the same CA.
    let before = fs::read(pki.join("gateway.key")).unwrap();
    for end in ["pem", "key"] {
        fs::remove_file(pki.join(format!("gateway.{end}"))).unwrap();
    }
    let _ = throwaway_pki(&dir);
    assert_ne!(fs::read(pki.join("gateway.key")).unwrap(), before);
    put(&bao, "gateway", &own);
    cm.reload().await.unwrap();
    assert!(comes_in(&bao, &cm).await);
}

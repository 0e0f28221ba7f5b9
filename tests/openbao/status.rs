//! What a prepared realm says to relying parties about its certificates, also after a change of the CA.

use openssl::x509::{CrlStatus, X509, X509Crl, X509Req};
use serde_json::{Value, json};
use tests::{
    csr::Csr,
    from_base64url,
    http::{Connection, request},
    key::Key,
    openbao::{MOUNT, OpenBao},
};

use crate::fresh;

const REALM: &str = "changing";

#[test]
fn a_certificate_names_the_crl_and_the_certificate_of_the_ca_that_signed_it_whichever_signs_now() {
    let bao = fresh();
    let status = bao.status_url();
    bao.prepare(REALM, "open", &["--status-url", &status]);
    let before = sign(&bao);
    let path = |name: &str| format!("{MOUNT}/{REALM}/pki/{name}");
    let made = bao.root(
        &[
            "write",
            "-format=json",
            &path("root/generate/internal"),
            "issuer_name=issuing-2",
            "common_name=b",
            "ttl=20000h",
        ],
        None,
    );
    assert!(made["data"]["issuer_id"].is_string());
    let role = path("roles/tls-server");
    let _ = bao.root(&["patch", "-format=json", &role, "issuer_ref=issuing-2"], None);
    // Somebody runs the script again, and the CA is still the new one.
    bao.prepare(REALM, "open", &["--status-url", &status]);
    let after = sign(&bao);
    assert_ne!(before.issuer_name().to_der().unwrap(), after.issuer_name().to_der().unwrap());
    for certificate in [&before, &after] {
        assert!(!is_listed(&bao, certificate));
        let issuer = X509::from_der(&fetch(&bao, &issuer_url(certificate))).unwrap();
        assert!(certificate.verify(&issuer.public_key().unwrap()).unwrap());
    }
    for certificate in [&before, &after] {
        let _ = bao.root(
            &["write", "-format=json", &path("revoke"), "-"],
            Some(&json!({"serial_number": serial(certificate)})),
        );
        assert!(is_listed(&bao, certificate));
    }
}

#[test]
fn a_ca_that_another_realm_has_is_refused_and_silence_about_revocations_is_warned_of() {
    let bao = fresh();
    bao.prepare("first", "open", &[]);
    let pki = bao.pki().display();
    let prepare = format!("deploy/openbao/prepare --mode open --clients-ca {pki}/clients-ca.pem");
    let bundle = format!("cat {pki}/issuing-first.pem {pki}/issuing-first.key > {pki}/both.pem");
    bao.run_as_operator(&format!(
        "{bundle} && if said=$({prepare} --realm second --issuer-bundle {pki}/both.pem 2>&1); then exit 1; fi; \
         echo \"$said\" >&2; echo \"$said\" | grep -q '{MOUNT}/first/pki signs with this CA already'"
    ));
    let warned = "grep -q 'warning: certificates will name neither OCSP nor CRL'";
    bao.run_as_operator(&format!("{prepare} --realm first 2>&1 | {warned}"));
    let told = format!("{prepare} --realm first --status-url {} >/dev/null 2>&1", bao.status_url());
    bao.run_as_operator(&format!("{told} && ! {prepare} --realm first 2>&1 | {warned}"));
}

/// A certificate of the role, as OpenBao signs it for anybody who may.
fn sign(bao: &OpenBao) -> X509 {
    let csr = Csr::for_names(&["www.status.test"]).text(&Key::p256());
    let csr = X509Req::from_der(&from_base64url(&csr)).unwrap().to_pem().unwrap();
    let path = format!("{MOUNT}/{REALM}/pki/sign/tls-server");
    let body = json!({"csr": String::from_utf8(csr).unwrap()});
    let signed = bao.root(&["write", "-format=json", &path, "-"], Some(&body));
    X509::from_pem(signed.pointer("/data/certificate").and_then(Value::as_str).unwrap().as_bytes()).unwrap()
}

fn is_listed(bao: &OpenBao, certificate: &X509) -> bool {
    let points = certificate.crl_distribution_points().expect("it names a CRL");
    let names = points[0].distpoint().and_then(|point| point.fullname()).expect("by its whole name");
    let list = X509Crl::from_der(&fetch(bao, names[0].uri().expect("by URL"))).unwrap();
    assert_eq!(list.issuer_name().to_der().unwrap(), certificate.issuer_name().to_der().unwrap());
    matches!(list.get_by_cert(certificate), CrlStatus::Revoked(_))
}

fn issuer_url(certificate: &X509) -> String {
    let access = certificate.authority_info().expect("it says where its issuer is");
    let issuer = access.iter().find(|access| access.method().nid() == openssl::nid::Nid::AD_CA_ISSUERS);
    issuer.and_then(|access| access.location().uri()).expect("by URL").to_owned()
}

/// GET of a URL in a certificate, without TLS and without a token.
fn fetch(bao: &OpenBao, url: &str) -> Vec<u8> {
    let base = bao.status_url();
    let path = url.strip_prefix(&base).unwrap_or_else(|| panic!("{url} is not below {base}"));
    let mut connection = Connection::plain(base.trim_start_matches("http://").parse().unwrap()).unwrap();
    connection.send(request("GET", path, "localhost", &[("Connection", "close")], None)).unwrap();
    connection.receive("GET").unwrap().expect(200).body
}

fn serial(certificate: &X509) -> String {
    let digits = certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_lowercase();
    let pairs: Vec<&str> = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    pairs.join(":")
}

//! The certificates that the gateway shows of itself (RFC 8555 §6.1, RFC 9325): ECDSA, and RSA for clients that know
//! nothing else, whatever name they call the server by.

mod from_endpoint;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use tests::{binaries, world::World};

use crate::world;

/// An RSA certificate for this machine, its key and its authority, as files in a folder that goes away.
struct RsaIdentity(PathBuf);

impl RsaIdentity {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("acme-gateway-rsa-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let identity = Self(folder);
        let key = || PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let (authority_key, server_key) = (key(), key());
        let authority = certificate("RSA authority of a test", &authority_key, None);
        let server = certificate("RSA server of a test", &server_key, Some((&authority, &authority_key)));
        fs::write(identity.file("ca.pem"), authority.to_pem().unwrap()).unwrap();
        fs::write(identity.file("server.pem"), server.to_pem().unwrap()).unwrap();
        fs::write(identity.file("server.key"), server_key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        fs::set_permissions(identity.file("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        identity
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for RsaIdentity {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn certificate(name: &str, key: &PKey<Private>, issuer: Option<(&X509, &PKey<Private>)>) -> X509 {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, MsbOption::ONE, false).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    certificate.set_subject_name(&subject).unwrap();
    certificate.set_issuer_name(issuer.map_or(&subject, |(issuer, _)| issuer.subject_name())).unwrap();
    certificate.set_pubkey(key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    let extension = if issuer.is_some() {
        let context = certificate.x509v3_context(None, None);
        SubjectAlternativeName::new().dns("localhost").ip("127.0.0.1").build(&context).unwrap()
    } else {
        BasicConstraints::new().critical().ca().build().unwrap()
    };
    certificate.append_extension(extension).unwrap();
    certificate.sign(issuer.map_or(key, |(_, key)| key), MessageDigest::sha256()).unwrap();
    certificate.build()
}

/// What `openssl s_client` says about a connection and gets over it.
fn s_client(world: &World, authorities: &Path, arguments: &[&str]) -> String {
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-brief",
            "-ign_eof",
            "-verify_return_error",
            "-connect",
            &world.site().gateway.to_string(),
            "-CAfile",
        ])
        .arg(authorities)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = b"GET /acme/open/directory HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    // A handshake that fails ends the program before it reads.
    let _sent = client.stdin.as_mut().unwrap().write_all(request);
    let output = client.wait_with_output().unwrap();
    [output.stderr, output.stdout].map(|octets| String::from_utf8_lossy(&octets).into_owned()).concat()
}

#[test]
fn clients_get_the_certificate_whose_signatures_they_can_verify() {
    let identity = RsaIdentity::new("both");
    let setting = |name: &str, file: &str| format!("{name} = {:?}", identity.file(file));
    let (certificate, key) = (setting("rsa_certificate_file", "server.pem"), setting("rsa_key_file", "server.key"));
    let world = World::start_with(&[("server", &certificate), ("server", &key)]);
    let both = identity.file("both.pem");
    let authorities = [identity.file("ca.pem"), world.site().pki("acme-ca.pem")].map(|file| fs::read(file).unwrap());
    fs::write(&both, authorities.concat()).unwrap();
    let table: [(&[&str], &str); 11] = [
        (&[], "Signature type: ECDSA"),
        (&["-tls1_3"], "Signature type: ECDSA"),
        (&["-tls1_2"], "Signature type: ECDSA"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "Ciphersuite: ECDHE-ECDSA-AES128-GCM-SHA256"),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], "Ciphersuite: ECDHE-ECDSA-AES256-GCM-SHA384"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "Ciphersuite: ECDHE-RSA-AES128-GCM-SHA256"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], "Ciphersuite: ECDHE-RSA-AES256-GCM-SHA384"),
        (&["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"], "Ciphersuite: ECDHE-RSA-CHACHA20-POLY1305"),
        (&["-tls1_2", "-sigalgs", "RSA+SHA256"], "Signature type: RSA"),
        (&["-tls1_2", "-sigalgs", "RSA-PSS+SHA256"], "Signature type: RSA-PSS"),
        (&["-tls1_3", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"], "Signature type: RSA-PSS"),
    ];
    let names: [&[&str]; 5] = [
        &["-servername", "localhost"],
        &["-noservername"],
        &["-servername", "elsewhere.test"],
        &["-servername", "127.0.0.1"],
        &["-servername", "my_printer."],
    ];
    for (arguments, wanted) in table {
        for name in names {
            let said = s_client(&world, &both, &[arguments, name].concat());
            for words in [wanted, "Verification: OK", "newNonce"] {
                assert!(said.contains(words), "{arguments:?} {name:?}: no {words:?} in {said}");
            }
        }
    }
    // Of the RSA authority alone a device can know the server too, if it says so.
    let said = s_client(&world, &identity.file("ca.pem"), &["-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"]);
    assert!(said.contains("Verification: OK"), "{said}");
}

#[test]
fn without_an_rsa_certificate_clients_that_know_nothing_else_are_not_served() {
    let authority = world().site().pki("acme-ca.pem");
    let said = s_client(world(), &authority, &["-tls1_2", "-sigalgs", "RSA+SHA256"]);
    assert!(!said.contains("newNonce"), "{said}");
    let said = s_client(world(), &authority, &["-noservername"]);
    assert!(said.contains("newNonce"), "{said}");
}

/// What check-config says about the settings of the running world with this in `[server]`.
fn check(name: &str, lines: &str) -> String {
    let site = world().site();
    let file = site.dir.join(format!("rsa-{name}.toml"));
    let text = fs::read_to_string(site.settings_file()).unwrap();
    fs::write(&file, text.replacen("[server]\n", &format!("[server]\n{lines}\n"), 1)).unwrap();
    let output = Command::new(binaries::gateway()).arg("check-config").arg("--config").arg(file).output().unwrap();
    assert!(!output.status.success(), "{name} must be refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_rsa_pair_that_cannot_be_used_is_named_with_its_setting() {
    let identity = RsaIdentity::new("settings");
    let pair =
        |certificate: &Path, key: &Path| format!("rsa_certificate_file = {certificate:?}\nrsa_key_file = {key:?}");
    let (certificate, key) = (identity.file("server.pem"), identity.file("server.key"));
    let said = check("alone", &format!("rsa_certificate_file = {certificate:?}"));
    assert!(said.contains("server.rsa_key_file"), "{said}");
    let said = check("keyless", &format!("rsa_key_file = {key:?}"));
    assert!(said.contains("server.rsa_certificate_file"), "{said}");
    let said = check("strange", &pair(&identity.file("ca.pem"), &key));
    assert!(said.contains("server.rsa_certificate_file and server.rsa_key_file do not belong together"), "{said}");
    let site = world().site();
    let said = check("ecdsa", &pair(&site.pki("acme-server.pem"), &site.pki("acme-server.key")));
    assert!(said.contains("server.rsa_key_file: the key is not RSA"), "{said}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let said = check("open", &pair(&certificate, &key));
    assert!(said.contains("server.rsa_key_file") && said.contains("chmod 600"), "{said}");
    let said = check("absent", &pair(&certificate, &identity.file("none.key")));
    assert!(said.contains("server.rsa_key_file: cannot read"), "{said}");
}

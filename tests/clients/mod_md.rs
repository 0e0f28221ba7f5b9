//! Apache with mod_md: a server that gets, uses and renews its own certificate.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::json;
use tests::world::World;

use super::{
    certbot,
    command::{expect_words, write},
    daemon::{Daemon, readable},
    openssl,
    origin::MOD_MD,
    scenario::{Failure, Lane},
};

/// Debian's.
pub(crate) fn server(world: &World) -> Lane<'_> {
    let rules = json!([{"type": "dns", "match": "suffix", "value": "reg-mod-md.test"}]);
    let registration = world.officer().preregister(&json!({"allowedIdentifiers": {"mode": "listed", "rules": rules}}));
    Lane::new(world, "mod_md", 66)
        .with_external_account(registration)
        .with(MOD_MD, "fetches its own certificate, http-01, two names, RSA", |lane| {
            let names = ["a1.mod-md.test", "b1.mod-md.test"];
            let apache = start(lane, &names, "open", "MDPrivateKeys RSA 2048")?;
            let text = fetched(lane, &apache, "a1.mod-md.test")?;
            expect_words(&text, &["DNS:a1.mod-md.test", "DNS:b1.mod-md.test", "rsaEncryption"])
        })
        .with(MOD_MD, "renews it", |lane| {
            let names = ["a1.mod-md.test", "b1.mod-md.test"];
            let pubcert = lane.dir.join("store/domains/a1.mod-md.test/pubcert.pem");
            let before = openssl::serial(lane, &pubcert)?;
            // The time to renew is longer than certificates live, so it renews at once.
            let apache = start(lane, &names, "open", "MDPrivateKeys RSA 2048\nMDRenewWindow 120d")?;
            renewed(lane, &apache, "a1.mod-md.test", &before).map(drop)
        })
        .with(MOD_MD, "ECDSA P-384, must-staple", |lane| {
            let apache = start(lane, &["a2.mod-md.test"], "open", "MDPrivateKeys P-384\nMDMustStaple on")?;
            let text = fetched(lane, &apache, "a2.mod-md.test")?;
            expect_words(&text, &["DNS:a2.mod-md.test", "secp384r1", "status_request"])
        })
        .with(MOD_MD, "fetches its own certificate, tls-alpn-01", |lane| {
            let apache = start(lane, &["a3.mod-md.test"], "open", "MDCAChallenges tls-alpn-01")?;
            expect_words(&fetched(lane, &apache, "a3.mod-md.test")?, &["DNS:a3.mod-md.test"])
        })
        .with(MOD_MD, "renews at once when told so (ARI), saying what it replaces", |lane| {
            let folder = lane.dir.join("store/domains/a2.mod-md.test");
            let (pubcert, key) = (folder.join("pubcert.p-384.pem"), folder.join("privkey.p-384.pem"));
            let before = openssl::serial(lane, &pubcert)?;
            // What is revoked should be renewed at once.
            certbot::revoke_with_key(lane, &pubcert, &key)?;
            let apache = start(lane, &["a2.mod-md.test"], "open", "MDPrivateKeys P-384\nMDMustStaple on")?;
            let _ = renewed(lane, &apache, "a2.mod-md.test", &before)?;
            apache.wait_for("its reason", |words| words.contains("CA advises renew via ARI").then_some(()))?;
            apache.wait_for("an order that replaces it", |_| {
                let orders = lane.gateway_log(&["order.created", "a2.mod-md.test", "\"replaces\":\""]);
                (!orders.is_empty()).then_some(())
            })
        })
        .with(MOD_MD, "registered: an allowed name, with EAB", |lane| {
            let (kid, key) = lane.eab();
            let apache =
                start(lane, &["www.reg-mod-md.test"], "registered", &format!("MDExternalAccountBinding {kid} {key}"))?;
            expect_words(&fetched(lane, &apache, "www.reg-mod-md.test")?, &["DNS:www.reg-mod-md.test"])
        })
        .with(MOD_MD, "registered: refused outside the list, rule named", |lane| {
            let (kid, key) = lane.eab();
            let more = format!("MDExternalAccountBinding {kid} {key}");
            let apache = start(lane, &["www.other-mod-md.test"], "registered", &more)?;
            apache.wait_for("the refusal in its log", |words| {
                expect_words(words, &["rejectedIdentifier", "www.other-mod-md.test", "identifier.not-listed"]).ok()
            })
        })
}

/// Where its site is.
pub(crate) fn https(lane: &Lane<'_>) -> SocketAddr {
    SocketAddr::from((lane.address, lane.tls_alpn_01_port()))
}

/// An Apache whose site has these names.
pub(crate) fn start(lane: &Lane<'_>, names: &[&str], endpoint: &str, more: &str) -> Result<Daemon, Failure> {
    lane.resolve(names);
    let (ca, directory, list) = (lane.ca_file(), lane.directory(endpoint), names.join(" "));
    let ca = ca.display();
    let settings = format!(
        "MDCertificateAuthority {directory}\n\
         MDCertificateAgreement accepted\n\
         MDContactEmail admin@quickstart.test\n\
         MDCACertificateFile {ca}\n\
         {more}\n\
         MDomain {list}\n"
    );
    start_as_written(lane, names[0], &settings)
}

/// An Apache with these settings of mod_md, and a site of this name.
pub(crate) fn start_as_written(lane: &Lane<'_>, name: &str, settings: &str) -> Result<Daemon, Failure> {
    let (http_port, https_port) = (lane.http_01_port(), lane.tls_alpn_01_port());
    let (dir, address) = (lane.dir.display(), lane.address);
    // Without this it would try tls-alpn-01 first.
    let challenges = if settings.contains("MDCAChallenges") { "" } else { "MDCAChallenges http-01" };
    let config = format!(
        "LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
         LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
         LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n\
         LoadModule md_module /usr/lib/apache2/modules/mod_md.so\n\
         ServerRoot {dir}\n\
         DefaultRuntimeDir {dir}\n\
         PidFile {dir}/httpd.pid\n\
         ErrorLog /dev/stderr\n\
         LogLevel warn md:debug\n\
         User www-data\n\
         Group www-data\n\
         ServerName {name}\n\
         Listen {address}:{http_port}\n\
         Listen {address}:{https_port} https\n\
         MDPortMap http:{http_port} https:{https_port}\n\
         MDStoreDir {dir}/store\n\
         Protocols http/1.1 acme-tls/1\n\
         MDCheckInterval 1s\n\
         MDRetryDelay 1s\n\
         {challenges}\n\
         {settings}\n\
         <VirtualHost {address}:{https_port}>\n\
         ServerName {name}\n\
         SSLEngine on\n\
         </VirtualHost>\n"
    );
    let file = lane.dir.join("httpd.conf");
    write(&file, &config)?;
    readable(&lane.dir)?;
    Daemon::start(&lane.dir, Path::new("/usr/sbin/apache2"), &["-f", &file.display().to_string(), "-DFOREGROUND"])
}

/// Waits for mod_md to have got the first certificate, restarts the server gracefully as an administrator would, and
/// answers the text of the certificate that it shows then.
pub(crate) fn fetched(lane: &Lane<'_>, apache: &Daemon, name: &str) -> Result<String, Failure> {
    renewed(lane, apache, name, "")
}

/// The same for one that takes the place of another (`serial=…`). It may be renewed once more at any moment: whoever
/// renews early does so again and again.
pub(crate) fn renewed(lane: &Lane<'_>, apache: &Daemon, name: &str, before: &str) -> Result<String, Failure> {
    let staged = lane.dir.join("store/staging").join(name).join("job.json");
    apache.wait_for("the certificate", |_| {
        let job: serde_json::Value = serde_json::from_slice(&fs::read(&staged).ok()?).ok()?;
        (job["finished"] == json!(true)).then_some(())
    })?;
    apache.signal("USR1")?;
    apache.wait_for("the certificate in use", |_| {
        let text = openssl::served(lane, https(lane), name).ok()?;
        let serial = openssl::serial(lane, &openssl::served_file(lane, name)).ok()?;
        (serial != before).then_some(text)
    })
}

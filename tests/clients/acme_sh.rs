//! acme.sh, as its page in `docs/clients/` has it. No package brings it, so whoever wants this brings the script:
//! `ACME_GATEWAY_TESTS_ACME_SH=/path/to/acme.sh cargo xtask clients acme.sh`.

use std::{env, fs, path::PathBuf};

use serde_json::json;
use tests::world::World;

use super::{
    command::{Shell, expect_words, script, write},
    documented::blocks,
    openssl,
    origin::{ACME_SH, ACME_SH_FILE},
    scenario::{Failure, Lane},
};

/// Its page, and what it says of refusals; nothing if nobody brought it.
pub(crate) fn brought(world: &World) -> Option<Lane<'_>> {
    let program = env::var_os(ACME_SH_FILE).map(PathBuf::from)?;
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "acme-sh.test"}]});
    let registration = world.officer().preregister(&json!({"allowedIdentifiers": allowed}));
    let lane = Lane::new(world, "acme.sh", 28).running(program).with_web_server().with_external_account(registration);
    let named = "registered: refused outside the list, rule named";
    let lane = lane
        .with(ACME_SH, "its page in docs/clients", |lane| by_page(lane, "www.acme-sh.test"))
        .with(ACME_SH, "its renewal says what it replaces (ARI)", |lane| {
            let orders = lane.gateway_log(&["order.created", "www.acme-sh.test", "\"replaces\":\""]);
            if orders.is_empty() { Err("no order replaces another".to_owned()) } else { Ok(()) }
        })
        .with(ACME_SH, named, |lane| {
            let words = issue(lane, "registered", "--webroot web -d www.other.test")?.fail()?;
            expect_words(&words, &["www.other.test", "identifier.not-listed"])
        })
        .with(ACME_SH, "http-01, a certificate for an IP address, ECDSA P-384", |lane| {
            let address = lane.address.to_string();
            issue(lane, "open", &format!("--webroot web --keylength ec-384 -d {address}"))?.succeed()?;
            let certificate = lane.dir.join(format!("acme.sh/{address}_ecc/fullchain.cer"));
            openssl::verify(lane, &certificate, &certificate)?;
            openssl::shows(lane, &certificate, &[&format!("IP Address:{address}"), "secp384r1"])
        })
        .with(ACME_SH, "dns-01, wildcard and base, RSA, by hook", |lane| {
            hook(lane)?;
            let names = "--dns dns_sandbox --dnssleep 0 -d wild.acme-sh.test -d *.wild.acme-sh.test";
            issue(lane, "open", &format!("{names} --keylength 2048"))?.succeed()?;
            let certificate = lane.dir.join("acme.sh/wild.acme-sh.test/fullchain.cer");
            openssl::verify(lane, &certificate, &certificate)?;
            openssl::shows(lane, &certificate, &["DNS:*.wild.acme-sh.test", "rsaEncryption"])
        });
    Some(lane)
}

fn by_page(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let page = include_str!("../../docs/clients/acme.sh.md");
    let [account, get, renew, revoke] = blocks(lane, page, name, ["account", "get", "renew", "revoke"])?;
    let (key, chain, reloaded) = (lane.dir.join("www.key"), lane.dir.join("www.pem"), lane.dir.join("reloaded"));
    let here = |text: &str| {
        let text = text.replace("/var/www/html", &lane.dir.join("web").display().to_string());
        let text = text.replace("/etc/ssl/private/www.key", &key.display().to_string());
        let text = text.replace("/etc/ssl/www.pem", &chain.display().to_string());
        text.replace(
            "systemctl reload nginx",
            &format!("openssl x509 -noout -serial -in {} >{}", chain.display(), reloaded.display()),
        )
    };
    shell(lane, &here(&account))?.succeed()?;
    shell(lane, &here(&get))?.succeed()?;
    openssl::verify(lane, &chain, &chain)?;
    openssl::shows(lane, &chain, &[&format!("DNS:{name}"), "prime256v1"])?;
    let told = || fs::read_to_string(&reloaded).map_err(|error| format!("nothing was reloaded: {error}"));
    let before = told()?;
    shell(lane, &here(&renew))?.succeed()?;
    if told()? == before {
        return Err("nothing was reloaded after the renewal".to_owned());
    }
    let revoked = lane.dir.join("revoked.pem");
    fs::copy(&chain, &revoked).map_err(|error| format!("{}: {error}", chain.display()))?;
    shell(lane, &here(&revoke))?.succeed()?;
    openssl::revoked(lane, &revoked)
}

fn issue(lane: &Lane<'_>, endpoint: &str, how: &str) -> Result<Shell, Failure> {
    let (url, ca) = (lane.directory(endpoint), lane.ca_file());
    shell(lane, &format!("set -f; acme.sh --issue --server {url} --ca-bundle '{}' {how}", ca.display()))
}

/// dns-01: acme.sh calls the two functions of a file that is named as they are.
fn hook(lane: &Lane<'_>) -> Result<(), Failure> {
    let (folder, control) = (lane.dir.join("acme.sh/dnsapi"), lane.world.site().control);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let host = "\\\"host\\\":\\\"$1.\\\"";
    let add = format!("curl -fsS -d \"{{{host},\\\"value\\\":\\\"$2\\\"}}\" http://{control}/add-txt");
    let remove = format!("curl -fsS -d \"{{{host}}}\" http://{control}/clear-txt");
    write(
        &folder.join("dns_sandbox.sh"),
        &format!("dns_sandbox_add() {{\n{add}\n}}\ndns_sandbox_rm() {{\n{remove}\n}}\n"),
    )
}

/// A shell that finds acme.sh by its name, with what it keeps in the lane's folder.
fn shell(lane: &Lane<'_>, command: &str) -> Result<Shell, Failure> {
    let programs = lane.dir.join("programs");
    fs::create_dir_all(&programs).map_err(|error| format!("{}: {error}", programs.display()))?;
    let (program, home) = (lane.program.display(), lane.dir.join("acme.sh"));
    script(&programs.join("acme.sh"), &format!("exec sh '{program}' --home '{}' \"$@\"\n", home.display()))?;
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let shell = lane.shell("/bin/sh").needing(lane.program.clone()).env("PATH", path).env("HOME", &lane.dir);
    Ok(shell.args(&["-ec", command]))
}

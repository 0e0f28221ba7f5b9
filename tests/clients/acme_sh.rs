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
    recipes,
    scenario::{Failure, Lane},
    webroot,
};

/// What its lane is called.
pub(crate) const LANE: &str = "acme.sh";

/// Whether somebody brought it.
pub(crate) fn is_brought() -> bool {
    env::var_os(ACME_SH_FILE).is_some()
}

/// Its page, and what it does besides.
pub(crate) fn brought(world: &World) -> Lane<'_> {
    let program = env::var_os(ACME_SH_FILE).map(PathBuf::from).unwrap_or_default();
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "acme-sh.test"}]});
    let registration = world.officer().preregister(&json!({"allowedIdentifiers": allowed}));
    let lane = Lane::new(world, LANE, 28).running(program).with_external_account(registration);
    let named = "registered: refused outside the list, rule named";
    lane.with(ACME_SH, "its page in docs/clients, with EAB", |lane| by_page(lane, "www.acme-sh.test"))
        .with(ACME_SH, "its page in docs/clients, revoke: superseded", |lane| {
            let [_, _, _, revoke] = page(lane, "www.acme-sh.test")?;
            shell(lane, &revoke)?.succeed()?;
            openssl::revoked(lane, &lane.dir.join("www.pem"))
        })
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
            let _server = webroot::serve(lane)?;
            issue(lane, "open", &format!("--webroot web --keylength ec-384 -d {address}"))?.succeed()?;
            let certificate = lane.dir.join(format!("acme.sh/{address}_ecc/fullchain.cer"));
            openssl::verify(lane, &certificate, &certificate)?;
            openssl::shows(lane, &certificate, &[&format!("IP Address:{address}"), "secp384r1"])
        })
        .with(ACME_SH, "the officer's recipe", |lane| {
            let name = "recipe.acme-sh.test";
            let places = format!("--httpport {} --local-address {}", lane.http_01_port(), lane.address);
            // Its web server is socat.
            let shell = shell_at(lane, "recipe", &places, &recipes::recipe(lane, "acme.sh", name)?)?;
            shell.needing("/usr/bin/socat".into()).succeed()?;
            let certificate = lane.dir.join(format!("recipe/{name}_ecc/fullchain.cer"));
            openssl::verify(lane, &certificate, &certificate)?;
            openssl::shows(lane, &certificate, &[&format!("DNS:{name}")])
        })
        .with(ACME_SH, "dns-01, wildcard and base, RSA, by hook", |lane| {
            hook(lane)?;
            let names = "--dns dns_sandbox --dnssleep 0 -d wild.acme-sh.test -d *.wild.acme-sh.test";
            issue(lane, "open", &format!("{names} --keylength 2048"))?.succeed()?;
            let certificate = lane.dir.join("acme.sh/wild.acme-sh.test/fullchain.cer");
            openssl::verify(lane, &certificate, &certificate)?;
            openssl::shows(lane, &certificate, &["DNS:*.wild.acme-sh.test", "rsaEncryption"])
        })
}

fn by_page(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let [account, get, renew, _] = page(lane, name)?;
    let _server = webroot::serve(lane)?;
    let chain = lane.dir.join("www.pem");
    shell(lane, &account)?.succeed()?;
    shell(lane, &get)?.succeed()?;
    openssl::verify(lane, &chain, &chain)?;
    openssl::shows(lane, &chain, &[&format!("DNS:{name}"), "prime256v1"])?;
    let reloaded =
        || fs::read_to_string(lane.dir.join("reloaded")).map_err(|error| format!("nothing was reloaded: {error}"));
    let before = reloaded()?;
    shell(lane, &renew)?.succeed()?;
    if reloaded()? == before { Err("nothing was reloaded after the renewal".to_owned()) } else { Ok(()) }
}

/// The blocks of the page, with the lane's own places; what is reloaded is a file with the serial number.
fn page(lane: &Lane<'_>, name: &str) -> Result<[String; 4], Failure> {
    let page = include_str!("../../docs/clients/acme.sh.md");
    let file = |name: &str| lane.dir.join(name).display().to_string();
    let reload = format!("openssl x509 -noout -serial -in {} >{}", file("www.pem"), file("reloaded"));
    let here = |text: String| {
        let text = text.replace("/var/www/html", &file("web")).replace("systemctl reload nginx", &reload);
        text.replace("/etc/ssl/private/www.key", &file("www.key")).replace("/etc/ssl/www.pem", &file("www.pem"))
    };
    Ok(blocks(lane, page, name, ["account", "get", "renew", "revoke"])?.map(here))
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

/// A shell that finds acme.sh by its name.
fn shell(lane: &Lane<'_>, command: &str) -> Result<Shell, Failure> {
    shell_at(lane, "acme.sh", "", command)
}

/// The same with what acme.sh keeps in this folder of the lane, and with these words before its own.
fn shell_at(lane: &Lane<'_>, folder: &str, places: &str, command: &str) -> Result<Shell, Failure> {
    let programs = lane.dir.join(format!("{folder}-programs"));
    fs::create_dir_all(&programs).map_err(|error| format!("{}: {error}", programs.display()))?;
    let (program, home) = (lane.program.display(), lane.dir.join(folder));
    let text = format!("exec sh '{program}' --home '{}' {places} \"$@\"\n", home.display());
    script(&programs.join("acme.sh"), &text)?;
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let shell = lane.shell("/bin/sh").needing(lane.program.clone()).env("PATH", path).env("HOME", &lane.dir);
    Ok(shell.args(&["-ec", command]))
}

//! The pages about clients in `docs/clients/`, as they stand: what people copy from there is what runs here. Only the
//! example values, and where a client keeps things on this machine, are other ones.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tests::world::World;

use super::{
    certbot,
    command::{expect_words, script, write},
    daemon::Daemon,
    dehydrated, lego, mod_md, nginx, openssl,
    origin::{self, CADDY, CERTBOT, DEHYDRATED, LEGO, MOD_MD, TRAEFIK, UACME},
    recipes,
    scenario::{Failure, Lane},
    traefik, uacme, webroot,
};

/// What stands on the pages for everybody's own.
const DIRECTORY: &str = "https://acme.example.com/acme/servers/directory";
const CA_FILE: &str = "/etc/ssl/acme-ca.pem";
const KEY_ID: &str = "kid-1";
const KEY: &str = "HMAC-KEY";
const NAME: &str = "www.example.com";
const CERTBOT_BLOCKS: [&str; 6] = ["settings", "trust", "unit", "get", "renew", "revoke"];
/// What the pages' hooks do.
const RELOAD: &str = "systemctl reload nginx";

/// Every page.
pub(crate) fn pages(world: &World) -> Lane<'_> {
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "page.test"}]});
    let registration = world.officer().preregister(&json!({
        "allowedIdentifiers": allowed, "eab": {"kid": "kid-of-the-pages", "use": "multi", "maxBindings": 9},
    }));
    Lane::new(world, "documented", 27)
        .with_external_account(registration)
        .with(CERTBOT, "its page in docs/clients, revoke: superseded", |lane| by_certbot(lane, "certbot.page.test"))
        .with(LEGO, "its page in docs/clients", |lane| by_lego(lane, "lego.page.test"))
        .with(MOD_MD, "its page in docs/clients", |lane| by_mod_md(lane, "httpd.page.test"))
        .with(CADDY, "its page in docs/clients", |lane| by_caddy(lane, "caddy.page.test"))
        .with(DEHYDRATED, "its page in docs/clients", |lane| by_dehydrated(lane, "dehydrated.page.test"))
        .with(UACME, "its page in docs/clients", |lane| by_uacme(lane, "uacme.page.test"))
        .with(TRAEFIK, "its page in docs/clients", |lane| by_traefik(lane, "traefik.page.test"))
        .with(CERTBOT, "the page about nginx in docs/clients", |lane| {
            by_nginx(lane, ["plugin.nginx.page.test", "hand.nginx.page.test"])
        })
}

fn by_certbot(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let text = include_str!("../../docs/clients/certbot.md");
    let [settings, trust, unit, get, renew, revoke] = blocks(lane, text, name, CERTBOT_BLOCKS)?;
    let unit = unit.lines().find_map(|line| line.strip_prefix("Environment="));
    let unit = format!("export {}", unit.ok_or("the block unit has no variable")?);
    recipes::settle_certbot(lane, &settings)?;
    let certbot = |trust: &str, command: &str| recipes::run(lane, &format!("{trust}\n{command}"), "certbot", "");
    certbot(&trust, &get)?;
    certbot::check(lane, name, &[&format!("DNS:{name}")])?;
    // As the unit does it: it is not due. Then so that it is.
    certbot(&unit, &renew)?;
    certbot(&unit, &format!("{} --force-renewal --no-random-sleep-on-renew", renew.trim_end()))?;
    keep(lane, &certbot::live(lane, name, "cert.pem"), name)?;
    certbot(&trust, &revoke)?;
    openssl::revoked(lane, &kept(lane, name))
}

fn by_lego(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let text = include_str!("../../docs/clients/lego.md");
    let [trust, get, renew, revoke] = blocks(lane, text, name, ["trust", "get", "renew", "revoke"])?;
    let places =
        format!("--path {} --http.port {}:{}", lane.dir.join("lego").display(), lane.address, lane.http_01_port());
    let lego = |command: &str| recipes::run(lane, &format!("{trust}\n{command}"), "lego", &places);
    lego(&get)?;
    lego::check(lane, name, &[&format!("DNS:{name}")])?;
    lego(&renew)?;
    let (reload, seen) = reload(lane, name);
    let renew = renew.replace(RELOAD, &reload);
    lego(&format!("{} --days 365 --no-random-sleep", renew.trim_end()))?;
    reloaded(&seen)?;
    keep(lane, &lego::file(lane, &format!("{name}.crt")), name)?;
    lego(&revoke)?;
    openssl::revoked(lane, &kept(lane, name))
}

fn by_mod_md(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let [settings] = blocks(lane, include_str!("../../docs/clients/mod_md.md"), name, ["settings"])?;
    let apache = mod_md::start_as_written(lane, name, &settings)?;
    expect_words(&mod_md::fetched(lane, &apache, name)?, &[&format!("DNS:{name}")])
}

fn by_caddy(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let [settings, site] = blocks(lane, include_str!("../../docs/clients/caddy.md"), name, ["settings", "site"])?;
    recipes::by_caddy(lane, &settings, &site, name)
}

fn by_dehydrated(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let text = include_str!("../../docs/clients/dehydrated.md");
    let [settings, hook, account, get, revoke] =
        blocks(lane, text, name, ["settings", "hook", "account", "get", "revoke"])?;
    let _server = webroot::serve(lane)?;
    let config = lane.dir.join("dehydrated.conf");
    let here = |text: &str| text.replace("/var/lib/dehydrated", &lane.dir.display().to_string());
    let (file, (reload, seen)) = (lane.dir.join("hook.sh"), reload(lane, name));
    script(&file, &hook.replace(RELOAD, &reload))?;
    let settings = settings.replace("/etc/dehydrated/hook.sh", &file.display().to_string());
    write(&config, &settings.replace("/var/www/dehydrated", &webroot::challenges(lane).display().to_string()))?;
    let places = format!("--config {}", config.display());
    let dehydrated = |command: &str| recipes::run(lane, &here(command), "dehydrated", &places);
    dehydrated(&account)?;
    dehydrated(&get)?;
    reloaded(&seen)?;
    dehydrated::check(lane, name, &[&format!("DNS:{name}")])?;
    keep(lane, &dehydrated::live(lane, name, "cert.pem"), name)?;
    dehydrated(&revoke)?;
    openssl::revoked(lane, &kept(lane, name))
}

fn by_uacme(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let text = include_str!("../../docs/clients/uacme.md");
    let [settings, account, get, revoke] = blocks(lane, text, name, ["settings", "account", "get", "revoke"])?;
    let _server = webroot::serve(lane)?;
    let folder = lane.dir.join("conf").display().to_string();
    let challenges = webroot::challenges(lane).display().to_string();
    let settings = settings.replace("/var/www/html/.well-known/acme-challenge", &challenges);
    let (reload, seen) = reload(lane, name);
    let run = |command: &str| {
        let command = command.replace("/etc/ssl/uacme", &folder).replace(RELOAD, &reload);
        let command = format!("uacme() {{ command uacme --confdir '{folder}' \"$@\"; }}\n{settings}\n{command}");
        uacme::trusting(lane).map(|shell| shell.args(&["/bin/sh", "-c", &command]))
    };
    run(&account)?.succeed()?;
    run(&get)?.succeed()?;
    reloaded(&seen)?;
    uacme::check(lane, name, &[&format!("DNS:{name}")])?;
    // A second time it is not due.
    run(&get)?.fail()?;
    keep(lane, &uacme::live(lane, name), name)?;
    run(&revoke)?.succeed()?;
    openssl::revoked(lane, &kept(lane, name))
}

fn by_traefik(lane: &Lane<'_>, name: &str) -> Result<(), Failure> {
    let text = include_str!("../../docs/clients/traefik.md");
    let [settings, trust, routes] = blocks(lane, text, name, ["settings", "trust", "routes"])?;
    let trust = trust.trim().strip_prefix("Environment=").and_then(|trust| trust.split_once('='));
    let trust = trust.ok_or("the block trust is no variable of a unit")?;
    let here = |port: u16| format!("\"{}:{port}\"", lane.address);
    let settings = settings.replace("\":80\"", &here(lane.http_01_port()));
    let settings = settings.replace("\":443\"", &here(lane.tls_alpn_01_port()));
    let file = |name: &str| lane.dir.join(name).display().to_string();
    let settings = settings.replace("/var/lib/traefik/acme.json", &file("page.json"));
    write(&lane.dir.join("traefik.yml"), &settings.replace("/etc/traefik/routes.yml", &file("routes.yml")))?;
    write(&lane.dir.join("routes.yml"), &routes)?;
    let option = format!("--configFile={}", file("traefik.yml"));
    let traefik = Daemon::start_with(&lane.dir, &origin::python("traefik"), &[&option], &[trust])?;
    expect_words(&traefik::served(lane, &traefik, name)?, &[&format!("DNS:{name}")])
}

fn by_nginx(lane: &Lane<'_>, names: [&str; 2]) -> Result<(), Failure> {
    let certbot = include_str!("../../docs/clients/certbot.md");
    let [settings, ..] = blocks(lane, certbot, names[0], CERTBOT_BLOCKS)?;
    recipes::settle_certbot(lane, &settings)?;
    nginx::by_page(lane, include_str!("../../docs/clients/nginx.md"), names)
}

/// The blocks of these names, with everybody's own filled in. A block with a name that is not among them would be one
/// that nobody runs.
pub(crate) fn blocks<const N: usize>(
    lane: &Lane<'_>,
    page: &str,
    name: &str,
    wanted: [&str; N],
) -> Result<[String; N], Failure> {
    lane.resolve(&[name]);
    let (kid, key) = lane.eab();
    let fill = |text: &str| {
        let text = text.replace(DIRECTORY, &lane.directory("registered")).replace(NAME, name);
        text.replace(CA_FILE, &lane.ca_file().display().to_string()).replace(KEY_ID, &kid).replace(KEY, &key)
    };
    // Every other piece is what stands between two blocks.
    let named: Vec<(&str, &str)> = page.split("\n```").skip(1).step_by(2).map(named).collect();
    let names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
    if names != wanted {
        return Err(format!("the page has the blocks {names:?}, and {wanted:?} are run"));
    }
    let mut texts = named.into_iter().map(|(_, text)| fill(text));
    Ok(wanted.map(|_| texts.next().unwrap_or_default()))
}

/// The name and the text of what follows on three backticks: "sh get\n…". A block without a name has an empty one.
fn named(block: &str) -> (&str, &str) {
    let (head, text) = block.split_once('\n').unwrap_or((block, ""));
    (head.split_once(' ').unwrap_or_default().1, text)
}

/// A command in place of the one that reloads a server, and the file that it leaves.
fn reload(lane: &Lane<'_>, name: &str) -> (String, PathBuf) {
    let seen = lane.dir.join(format!("{name}.reloaded"));
    (format!("touch {}", seen.display()), seen)
}

fn reloaded(seen: &Path) -> Result<(), Failure> {
    if seen.exists() { Ok(()) } else { Err("the hook was not called".to_owned()) }
}

fn kept(lane: &Lane<'_>, name: &str) -> PathBuf {
    lane.dir.join(format!("{name}.revoked.pem"))
}

fn keep(lane: &Lane<'_>, certificate: &Path, name: &str) -> Result<(), Failure> {
    fs::copy(certificate, kept(lane, name)).map_err(|error| format!("{}: {error}", certificate.display())).map(drop)
}

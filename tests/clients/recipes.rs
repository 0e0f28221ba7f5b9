//! The recipes that an officer gets with a new external account key or directory URL, as they stand: what `acme-officer` prints is
//! what runs here. Only where clients keep things and which ports they use comes from outside, as it does on any machine
//! that has settings of its own.
//!
//! That for acme.sh is with its own scenarios, which run where somebody brings it; win-acme and Synology need their systems.

use std::{fs, path::Path};

use serde_json::json;
use tests::{desk::Desk, world::World};

use super::{
    certbot,
    command::{expect_words, script, write},
    daemon::{Daemon, readable},
    mod_md, openssl,
    origin::{CADDY, CERTBOT, LEGO, MOD_MD},
    scenario::{Failure, Lane},
};

/// All of them that can run here.
pub(crate) fn printed(world: &World) -> Lane<'_> {
    Lane::new(world, "recipes", 24)
        .with(CERTBOT, "the officer's recipe", |lane| {
            by_certbot(lane, &recipe(lane, "certbot", "certbot.recipes.test")?, "certbot.recipes.test")
        })
        .with(CERTBOT, "the officer's recipe for a directory URL", |lane| {
            let name = "linked.certbot.recipes.test";
            by_certbot(lane, &recipe_of_link(lane, "certbot", name)?, name)
        })
        .with(LEGO, "the officer's recipe", |lane| {
            by_lego(lane, &recipe(lane, "lego", "lego.recipes.test")?, "lego.recipes.test", "lego")
        })
        .with(LEGO, "the officer's recipe for a directory URL", |lane| {
            let name = "linked.lego.recipes.test";
            by_lego(lane, &recipe_of_link(lane, "lego", name)?, name, "lego-linked")
        })
        .with(MOD_MD, "the officer's recipe", |lane| {
            let name = "httpd.recipes.test";
            let recipe = recipe(lane, "mod_md", name)?;
            let apache = mod_md::start_as_written(lane, name, &recipe)?;
            expect_words(&mod_md::fetched(lane, &apache, name)?, &[&format!("DNS:{name}")])
        })
        .with(CADDY, "the officer's recipe", |lane| {
            let name = "caddy.recipes.test";
            by_caddy(lane, &recipe(lane, "caddy", name)?, &format!("{name} {{\n  respond hello\n}}\n"), name)
        })
}

/// Caddy with these global options and this site gets a certificate for its name.
pub(crate) fn by_caddy(lane: &Lane<'_>, settings: &str, site: &str, name: &str) -> Result<(), Failure> {
    let (http, https) = (lane.http_01_port(), lane.tls_alpn_01_port());
    // Its own options go into the block that the recipe begins; the site comes after it.
    let options = format!(
        "{{\n  admin off\n  http_port {http}\n  https_port {https}\n  default_bind {}\n  storage file_system {}\n",
        lane.address,
        lane.dir.join("data").display()
    );
    let text = settings.replacen("{\n", &options, 1);
    let file = lane.dir.join("Caddyfile");
    write(&file, &format!("{text}\n{site}"))?;
    readable(&lane.dir)?;
    let file = file.display().to_string();
    let caddy =
        Daemon::start(&lane.dir, Path::new("/usr/bin/caddy"), &["run", "--adapter", "caddyfile", "--config", &file])?;
    let address = std::net::SocketAddr::from((lane.address, https));
    let text = caddy.wait_for("its certificate", |_| openssl::served(lane, address, name).ok())?;
    expect_words(&text, &[&format!("DNS:{name}")])
}

fn by_certbot(lane: &Lane<'_>, recipe: &str, name: &str) -> Result<(), Failure> {
    settle_certbot(lane, "")?;
    run(lane, recipe, "certbot", "")?;
    certbot::check(lane, name, &[&format!("DNS:{name}")])
}

/// Writes a `cli.ini` where certbot finds it: with these lines, and with where things are on this machine.
pub(crate) fn settle_certbot(lane: &Lane<'_>, more: &str) -> Result<(), Failure> {
    let folder = lane.dir.display();
    let settings = format!(
        "config-dir = {folder}/config\nwork-dir = {folder}/work\nlogs-dir = {folder}/logs\nnon-interactive = true\n\
         http-01-address = {}\nhttp-01-port = {}\n{more}",
        lane.address,
        lane.http_01_port()
    );
    let home = lane.dir.join("home/letsencrypt");
    fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    write(&home.join("cli.ini"), &settings)
}

fn by_lego(lane: &Lane<'_>, recipe: &str, name: &str, folder: &str) -> Result<(), Failure> {
    let folder = lane.dir.join(folder);
    let places = format!("--path {} --http.port {}:{}", folder.display(), lane.address, lane.http_01_port());
    run(lane, recipe, "lego", &places)?;
    let file = |end: &str| folder.join("certificates").join(format!("{name}{end}"));
    openssl::verify(lane, &file(".crt"), &file(".issuer.crt"))?;
    openssl::shows(lane, &file(".crt"), &[&format!("DNS:{name}")])
}

/// Registers a client for this name, as an officer does; answers the recipe that she is shown.
pub(crate) fn recipe(lane: &Lane<'_>, client: &str, name: &str) -> Result<String, Failure> {
    lane.resolve(&[name]);
    let desk: Desk = lane.world.desk("officer").trusting(&lane.ca_file());
    let allow = format!("exact:{name}");
    last_of(&desk.text(&["registrations", "create", "--owner", "recipes", "--allow", &allow, "--recipe", client]))
}

/// The same for a client that gets a directory URL of its own.
fn recipe_of_link(lane: &Lane<'_>, client: &str, name: &str) -> Result<String, Failure> {
    lane.resolve(&[name]);
    let desk: Desk = lane.world.desk("officer").trusting(&lane.ca_file());
    let rule = json!({"mode": "listed", "rules": [{"type": "dns", "match": "exact", "value": name}]});
    let registration = lane.world.officer().preregister(&json!({"allowedIdentifiers": rule}));
    last_of(&desk.text(&["registrations", "link", &registration.id, "--recipe", client]))
}

fn last_of(shown: &str) -> Result<String, Failure> {
    // The recipe is what comes last, below its title.
    let (_, last) = shown.trim_end().rsplit_once("\n\n").ok_or("nothing was shown")?;
    let lines: Vec<&str> = last.lines().skip(1).filter_map(|line| line.strip_prefix("  ")).collect();
    if lines.is_empty() { Err(format!("there is no recipe in\n{shown}")) } else { Ok(lines.join("\n")) }
}

/// Runs a recipe in a shell that finds `program` with these words before its own: where things are on this machine.
pub(crate) fn run(lane: &Lane<'_>, recipe: &str, program: &str, places: &str) -> Result<(), Failure> {
    let programs = lane.dir.join("programs");
    fs::create_dir_all(&programs).map_err(|error| format!("{}: {error}", programs.display()))?;
    script(&programs.join(program), &format!("exec /usr/bin/{program} {places} \"$@\"\n"))?;
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let shell = lane.shell("/bin/sh").env("PATH", path).env("XDG_CONFIG_HOME", lane.dir.join("home"));
    shell.env("HOME", &lane.dir).args(&["-c", recipe]).succeed().map(drop)
}

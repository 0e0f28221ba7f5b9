//! nginx as its page in `docs/clients/` has it: with certbot's plugin, and with a configuration of one's own that a hook
//! reloads after each renewal.

use std::{fs, net::SocketAddr, path::Path};

use super::{
    certbot,
    command::{expect_words, write},
    daemon::{Daemon, readable},
    documented::blocks,
    openssl, recipes,
    scenario::{Failure, Lane},
};

const NGINX: &str = "/usr/sbin/nginx";
/// certbot's plugin waits this long for a reload, whose end it cannot see; by itself one second.
pub(crate) const PATIENCE: &str = "--nginx-sleep-seconds=5";

/// The page, from top to bottom. The first name is the plugin's.
pub(crate) fn by_page(lane: &Lane<'_>, page: &str, names: [&str; 2]) -> Result<(), Failure> {
    let wanted = ["plugin", "port-80", "get", "port-443"];
    let [plugin, ..] = blocks(lane, page, names[0], wanted)?;
    let [_, port_80, get, port_443] = blocks(lane, page, names[1], wanted)?;
    by_plugin(lane, &plugin, names[0])?;
    by_hand(lane, [&port_80, &get, &port_443], names[1])
}

/// A site that knows no TLS yet gets it from certbot.
fn by_plugin(lane: &Lane<'_>, command: &str, name: &str) -> Result<(), Failure> {
    let site = format!("server {{\n listen {}:{};\n server_name {name};\n}}\n", lane.address, lane.http_01_port());
    configure(lane, &site)?;
    let nginx = start(lane)?;
    let https = lane.tls_alpn_01_port();
    let root = lane.dir.display();
    let places = format!("--nginx-ctl {NGINX} --nginx-server-root {root} --https-port {https} {PATIENCE}");
    certbot(lane, command, &places)?;
    shown(lane, &nginx, name, "").map(drop)
}

/// Port 80, the certificate, port 443; then a renewal, after which nginx shows the new certificate by itself.
fn by_hand(lane: &Lane<'_>, [port_80, get, port_443]: [&str; 3], name: &str) -> Result<(), Failure> {
    let web = lane.dir.join("web").display().to_string();
    fs::create_dir_all(&web).map_err(|error| format!("{web}: {error}"))?;
    let here = |port: u16| format!("listen {}:{port}", lane.address);
    let port_80 = port_80.replace("listen 80", &here(lane.http_01_port())).replace("/var/www/html", &web);
    let live = lane.dir.join("config/live").display().to_string();
    let port_443 = port_443.replace("listen 443", &here(lane.tls_alpn_01_port()));
    let port_443 = port_443.replace("/etc/letsencrypt/live", &live);
    configure(lane, &port_80)?;
    let nginx = start(lane)?;
    let reload = format!("{NGINX} -c {}/nginx.conf -s reload", lane.dir.display());
    let get = get.replace("/var/www/html", &web).replace("systemctl reload nginx", &reload);
    certbot(lane, &get, "")?;
    certbot::check(lane, name, &[&format!("DNS:{name}")])?;
    configure(lane, &(port_80 + &port_443))?;
    nginx.signal("HUP")?;
    let before = shown(lane, &nginx, name, "")?;
    certbot(lane, &format!("certbot renew --force-renewal --no-random-sleep-on-renew --cert-name {name}"), "")?;
    shown(lane, &nginx, name, &before).map(drop)
}

fn certbot(lane: &Lane<'_>, command: &str, places: &str) -> Result<(), Failure> {
    let trust = format!("export REQUESTS_CA_BUNDLE='{}'", lane.ca_file().display());
    recipes::run(lane, &format!("{trust}\n{command}"), "certbot", places)
}

/// A configuration with these servers.
fn configure(lane: &Lane<'_>, servers: &str) -> Result<(), Failure> {
    let dir = lane.dir.display();
    let config = format!(
        "pid {dir}/nginx.pid;\n\
         error_log {dir}/nginx-error.log;\n\
         events {{}}\n\
         http {{\n\
         access_log off;\n\
         client_body_temp_path {dir}/body;\n\
         {servers}\
         }}\n"
    );
    write(&lane.dir.join("nginx.conf"), &config)?;
    // Its workers are another user.
    readable(&lane.dir)
}

fn start(lane: &Lane<'_>) -> Result<Daemon, Failure> {
    let file = lane.dir.join("nginx.conf").display().to_string();
    let nginx = Daemon::start(&lane.dir, Path::new(NGINX), &["-c", &file, "-g", "daemon off;"])?;
    let pid = lane.dir.join("nginx.pid");
    // What reloads it asks this file.
    nginx.wait_for("its pid file", |_| fs::metadata(&pid).is_ok_and(|file| file.len() > 0).then_some(()))?;
    Ok(nginx)
}

/// Waits until it shows a certificate for this name that is another one than `before` (its text); answers its text.
fn shown(lane: &Lane<'_>, nginx: &Daemon, name: &str, before: &str) -> Result<String, Failure> {
    let address = SocketAddr::from((lane.address, lane.tls_alpn_01_port()));
    let look = |_: &str| openssl::served(lane, address, name).ok().filter(|text| text != before);
    let text = nginx.wait_for("its certificate", look)?;
    expect_words(&text, &[&format!("DNS:{name}")])?;
    Ok(text)
}

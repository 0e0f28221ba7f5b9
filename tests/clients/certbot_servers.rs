//! certbot with its plugins for nginx and Apache: it changes a running server's configuration to prove control, and
//! then to use the certificate.

use std::{fs, net::SocketAddr, path::Path};

use tests::world::World;

use super::{
    certbot::certbot,
    command::{Shell, expect_words, script, write},
    daemon::{Daemon, readable},
    nginx::PATIENCE,
    openssl,
    origin::{self, CERTBOT, CERTBOT_NEWEST, Client},
    scenario::{Failure, Lane},
};

const APACHE: &str = "/usr/sbin/apache2";
const NGINX: &str = "/usr/sbin/nginx";
/// The plugin for Apache has no choice of ports.
const APACHE_HTTPS_PORT: u16 = 443;

/// Debian's certbot with nginx.
pub(crate) fn nginx(world: &World) -> Lane<'_> {
    with_nginx(Lane::new(world, "certbot-nginx", 16).running("certbot"), CERTBOT)
}

/// The newest certbot with nginx.
pub(crate) fn newest_nginx(world: &World) -> Lane<'_> {
    with_nginx(Lane::new(world, "certbot-newest-nginx", 17).running(origin::python("certbot")), CERTBOT_NEWEST)
}

/// Debian's certbot with Apache.
pub(crate) fn apache(world: &World) -> Lane<'_> {
    with_apache(Lane::new(world, "certbot-apache", 18).running("certbot"), CERTBOT)
}

/// The newest certbot with Apache.
pub(crate) fn newest_apache(world: &World) -> Lane<'_> {
    with_apache(Lane::new(world, "certbot-newest-apache", 19).running(origin::python("certbot")), CERTBOT_NEWEST)
}

fn with_nginx(lane: Lane<'_>, client: Client) -> Lane<'_> {
    lane.with(client, "nginx plugin: proves control and installs", |lane| {
        lane.resolve(&[&name(lane)]);
        configure_nginx(lane)?;
        let nginx = start_nginx(lane)?;
        by_nginx(lane).args(&["--email", "admin@quickstart.test", "-d", &name(lane)]).succeed()?;
        let text = nginx.wait_for("the certificate in use", |_| served(lane, lane.https_port).ok())?;
        expect_words(&text, &[&format!("DNS:{}", name(lane))])
    })
    .with(client, "nginx plugin: renews while the server runs", |lane| {
        renews(lane, &start_nginx(lane)?, lane.https_port)
    })
}

fn with_apache(lane: Lane<'_>, client: Client) -> Lane<'_> {
    lane.with(client, "apache plugin: proves control and installs", |lane| {
        lane.resolve(&[&name(lane)]);
        configure_apache(lane)?;
        let apache = start_apache(lane)?;
        by_apache(lane).args(&["--email", "admin@quickstart.test", "-d", &name(lane)]).succeed()?;
        let text = apache.wait_for("the certificate in use", |_| served(lane, APACHE_HTTPS_PORT).ok())?;
        expect_words(&text, &[&format!("DNS:{}", name(lane))])
    })
    .with(client, "apache plugin: renews while the server runs", |lane| {
        renews(lane, &start_apache(lane)?, APACHE_HTTPS_PORT)
    })
}

/// Renews, as a timer would, and sees the server show the new certificate.
fn renews(lane: &Lane<'_>, server: &Daemon, port: u16) -> Result<(), Failure> {
    let before = server.wait_for("the server", |_| served(lane, port).ok())?;
    certbot(lane, "open").args(&["renew", "--force-renewal", "--no-random-sleep-on-renew"]).succeed()?;
    let look = |_: &str| served(lane, port).ok().filter(|text| *text != before);
    server.wait_for("the new certificate in use", look).map(drop)
}

fn name(lane: &Lane<'_>) -> String {
    format!("www.{}.test", lane.name)
}

/// The certificate that the server shows on this port.
fn served(lane: &Lane<'_>, port: u16) -> Result<String, Failure> {
    openssl::served(lane, SocketAddr::from((lane.address, port)), &name(lane))
}

fn by_nginx(lane: &Lane<'_>) -> Shell {
    let shell = certbot(lane, "open").args(&["--nginx", "--nginx-ctl", NGINX, "--nginx-server-root"]).arg(&lane.dir);
    let shell = shell.args(&[PATIENCE, "--http-01-port", &lane.http_01_port().to_string()]);
    shell.args(&["--https-port", &lane.https_port.to_string()])
}

/// A site that knows no TLS yet.
fn configure_nginx(lane: &Lane<'_>) -> Result<(), Failure> {
    let (dir, address, port, name) = (lane.dir.display(), lane.address, lane.http_01_port(), name(lane));
    let config = format!(
        "pid {dir}/nginx.pid;\n\
         error_log {dir}/nginx-error.log;\n\
         events {{}}\n\
         http {{\n\
         access_log off;\n\
         client_body_temp_path {dir}/body;\n\
         server {{\n listen {address}:{port};\n server_name {name};\n root {dir}/htdocs;\n}}\n\
         }}\n"
    );
    write(&lane.dir.join("nginx.conf"), &config)
}

fn start_nginx(lane: &Lane<'_>) -> Result<Daemon, Failure> {
    let file = lane.dir.join("nginx.conf").display().to_string();
    Daemon::start(&lane.dir, Path::new(NGINX), &["-c", &file, "-g", "daemon off;"])
}

fn by_apache(lane: &Lane<'_>) -> Shell {
    let shell = certbot(lane, "open").args(&["--apache", "--apache-ctl"]).arg(lane.dir.join("apachectl"));
    let shell = shell.arg("--apache-server-root").arg(&lane.dir).arg("--apache-challenge-location").arg(&lane.dir);
    let shell = shell.arg("--apache-vhost-root").arg(lane.dir.join("sites"));
    let shell = shell.args(&["--apache-handle-sites", "False", "--apache-handle-modules", "False"]);
    shell.args(&["--http-01-port", &lane.http_01_port().to_string()])
}

/// A site that knows no TLS yet, and what Debian's apache2ctl would be for it.
fn configure_apache(lane: &Lane<'_>) -> Result<(), Failure> {
    let (dir, address, port, name) = (lane.dir.display(), lane.address, lane.http_01_port(), name(lane));
    let modules = ["mpm_event", "authz_core", "alias", "rewrite", "socache_shmcb", "ssl"];
    let modules =
        modules.map(|one| format!("LoadModule {one}_module /usr/lib/apache2/modules/mod_{one}.so\n")).concat();
    let config = format!(
        "{modules}\
         ServerRoot {dir}\n\
         DefaultRuntimeDir {dir}\n\
         PidFile {dir}/apache2.pid\n\
         ErrorLog /dev/stderr\n\
         User www-data\n\
         Group www-data\n\
         ServerName {name}\n\
         Listen {address}:{port}\n\
         IncludeOptional {dir}/sites/*.conf\n"
    );
    let site = format!("<VirtualHost {address}:{port}>\nServerName {name}\nDocumentRoot {dir}\n</VirtualHost>\n");
    fs::create_dir_all(lane.dir.join("sites")).map_err(|error| format!("{dir}/sites: {error}"))?;
    write(&lane.dir.join("apache2.conf"), &config)?;
    write(&lane.dir.join("sites/site.conf"), &site)?;
    script(
        &lane.dir.join("apachectl"),
        &format!(
            "case $1 in\n\
             configtest) set -- -t;;\n\
             graceful|restart) set -- -k \"$1\";;\n\
             esac\n\
             exec {APACHE} -f {dir}/apache2.conf \"$@\"\n"
        ),
    )?;
    readable(&lane.dir)
}

fn start_apache(lane: &Lane<'_>) -> Result<Daemon, Failure> {
    let file = lane.dir.join("apache2.conf").display().to_string();
    Daemon::start(&lane.dir, Path::new(APACHE), &["-f", &file, "-DFOREGROUND"])
}

//! A real Prometheus (Debian's package) that scrapes a gateway and judges it by the rules of `deploy/prometheus`.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    http::{Connection, request},
    process::Process,
    site::Site,
    wait_for,
    world::free_ports,
};

/// How long it may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// What rules look back over here, in place of a quarter of an hour or an hour.
const LOOK_BACK: &str = "[20s]";
/// How long something lasts before it is told, in place of minutes: several looks, of which a busy machine may miss some.
const LASTS: &str = "        for: 10s";

/// A running Prometheus.
pub struct Prometheus {
    _process: Process,
    address: SocketAddr,
}

impl Prometheus {
    /// Whether the program is there.
    #[must_use]
    pub fn is_installed() -> bool {
        Command::new("prometheus").arg("--version").output().is_ok_and(|output| output.status.success())
    }

    /// Starts one that looks at the gateway of this site every two seconds.
    ///
    /// # Panics
    /// It does not get ready.
    #[must_use]
    pub fn start(site: &Site) -> Self {
        let folder = site.dir.join("prometheus");
        fs::create_dir_all(&folder).unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/rules.yaml");
        fs::write(folder.join("rules.yaml"), hurried(&fs::read_to_string(rules).unwrap())).unwrap();
        let settings = format!(
            "global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yaml]\n\
             scrape_configs: [{{job_name: acme-gateway, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
            site.ops
        );
        fs::write(folder.join("prometheus.yml"), settings).unwrap();
        let [port] = free_ports();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let arguments = [
            format!("--config.file={}", folder.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={address}"),
        ];
        let mut process =
            Process::start("prometheus", &PathBuf::from("prometheus"), &arguments, &site.log("prometheus"), None);
        wait_for("Prometheus", READY_WITHIN, || {
            process.check_alive();
            ask(address, "/-/ready").filter(|ready| ready.0 == 200)
        });
        Self { _process: process, address }
    }

    /// The alerts that are raised now, by their names without what all begin with.
    ///
    /// # Panics
    /// It does not answer, or not as it should.
    #[must_use]
    pub fn alerts(&self) -> BTreeSet<String> {
        let (_, answer) = ask(self.address, "/api/v1/alerts").expect("Prometheus answers");
        let alerts = answer["data"]["alerts"].as_array().expect("a list of alerts");
        let raised = alerts.iter().filter(|alert| alert["state"] == "firing");
        raised.map(|alert| alert["labels"]["alertname"].as_str().unwrap().replace("AcmeGateway", "")).collect()
    }

    /// Waits until it has looked at the gateway and judged what it saw.
    ///
    /// # Panics
    /// It does not.
    pub fn wait_for_a_look(&self) {
        wait_for("a look at the gateway", READY_WITHIN, || {
            let (_, answer) =
                ask(self.address, "/api/v1/query?query=acme_gateway_build_info%20and%20on()%20up%3D%3D1")?;
            (!answer["data"]["result"].as_array()?.is_empty()).then_some(())
        });
        // Until it looked there was nothing to look at, which is an alert as well.
        wait_for("the end of that alert", READY_WITHIN, || (!self.alerts().contains("Down")).then_some(()));
    }
}

/// The rules with other times: nobody waits for minutes here, and what has passed is over after seconds. Which numbers
/// raise an alert stays as it is.
fn hurried(rules: &str) -> String {
    let mut text = String::new();
    for line in rules.lines() {
        let waits = line.trim_start().strip_prefix("for: ").is_some();
        let line = if waits { LASTS.to_owned() } else { line.to_owned() };
        let line = ["[10m]", "[15m]", "[30m]", "[1h]"].iter().fold(line, |line, range| line.replace(range, LOOK_BACK));
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Status and JSON, null if it is none; nothing if nobody answers.
fn ask(address: SocketAddr, path: &str) -> Option<(u16, serde_json::Value)> {
    let mut connection = Connection::plain(address).ok()?;
    connection.send(request("GET", path, "localhost", &[("Connection", "close")], None)).ok()?;
    let response = connection.receive("GET").ok()?;
    Some((response.status, serde_json::from_str(&response.text()).unwrap_or_default()))
}

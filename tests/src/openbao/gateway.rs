//! A gateway whose CM is an OpenBao.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use serde_json::json;

use super::{ACTIVE_WITHIN, MOUNT, OpenBao};
use crate::{
    binaries,
    client::Client,
    http::{Connection, request},
    key::Key,
    process::Process,
    site::Site,
    wait_for,
    world::{World, free_ports},
};

/// A gateway whose CM is an OpenBao, beside that of a world, with the endpoints `open` and `registered`.
pub struct Gateway {
    site: Arc<Site>,
    process: Process,
}

impl Gateway {
    /// Starts one with the world's names, validation and throwaway PKI.
    ///
    /// # Panics
    /// It does not get ready; the text has the end of its log.
    #[must_use]
    pub fn start(world: &World, bao: &OpenBao) -> Self {
        Self::start_at(world, &[bao])
    }

    /// The same at the nodes of a cluster, which are tried in this order.
    ///
    /// # Panics
    /// It does not get ready; the text has the end of its log.
    #[must_use]
    pub fn start_at(world: &World, nodes: &[&OpenBao]) -> Self {
        let urls: Vec<_> = nodes.iter().map(|node| node.url()).collect();
        let (url, more_urls) = urls.split_first().expect("a cluster has a node");
        let [acme, ops] = free_ports();
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let before = world.site();
        let site = Site {
            external_url: format!("https://localhost:{acme}"),
            gateway: local(acme),
            ops: local(ops),
            ..Site::clone(before)
        };
        let text = fs::read_to_string(before.settings_file()).unwrap();
        // The endpoints that come after these two have no realms here.
        let (text, _) = text.split_once("[endpoints.advisory]").expect("the settings end with more endpoints");
        let dir = before.dir.join("gateway-openbao");
        fs::create_dir_all(&dir).unwrap();
        let old = |name: &str| format!("{:?}", before.dir.join("gateway").join(name));
        let new = |name: &str| format!("{:?}", dir.join(name));
        let cm = world.facts()["cm"].as_str().expect("sandbox.json names the CM");
        let mut settings = text.to_owned();
        for (was, is) in [
            (before.external_url.clone(), site.external_url.clone()),
            (before.gateway.to_string(), site.gateway.to_string()),
            (before.ops.to_string(), site.ops.to_string()),
            (old("store"), new("store")),
            (old("seal.key"), new("seal.key")),
            // What is believed for longer than a suspension may take is the gateway's to shorten.
            (String::from("registration_cache_secs = 1"), String::from("registration_cache_secs = 60")),
            (format!("url = {cm:?}"), format!("url = {url:?}\nkind = \"openbao\"")),
        ] {
            assert!(settings.contains(&was), "the settings have no {was}");
            settings = settings.replace(&was, &is);
        }
        settings.push_str(&format!("[cm.openbao]\nmount = {MOUNT:?}\nmore_urls = {more_urls:?}\n"));
        settings.push_str("request_duration_max_secs = 2\n");
        let file = dir.join("gateway.toml");
        fs::write(&file, settings).unwrap();
        let arguments = ["serve".to_owned(), "--config".to_owned(), file.display().to_string()];
        let log = dir.join("gateway.log");
        let mut process = Process::start("acme-gateway", &binaries::gateway(), &arguments, &log, None);
        wait_for("readiness of the gateway", ACTIVE_WITHIN, || {
            process.check_alive();
            let mut connection = Connection::plain(site.ops).ok()?;
            connection.send(request("GET", "/readyz", "localhost", &[], None)).ok()?;
            connection.receive("GET").ok().filter(|response| response.status == 200)
        });
        Self { site: Arc::new(site), process }
    }

    /// Where things are.
    #[must_use]
    pub const fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// What it has written to its log so far.
    ///
    /// # Panics
    /// There is no log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.site.dir.join("gateway-openbao/gateway.log")).unwrap()
    }

    /// A client with a fresh key and no account yet.
    #[must_use]
    pub fn client(&self, endpoint: &str) -> Client {
        Client::new(Arc::clone(&self.site), endpoint, Key::p256())
    }

    /// A client with an account at `open`.
    #[must_use]
    pub fn account(&self) -> Client {
        let mut client = self.client("open");
        let _ = client.register(&json!({"termsOfServiceAgreed": true})).expect(201);
        client
    }

    /// Kills it as a power failure would (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

//! The world outside of gateway and CM, which is never killed: name server and http-01 responder, in a sandbox of their
//! own whose CM nobody asks.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use serde_json::Value;
use tests::{binaries, load::responder::Responder, process::Process, wait_for};

/// It, until it is dropped.
pub(crate) struct Outside {
    _process: Process,
    /// Where names are looked up.
    pub(crate) dns: String,
    control: SocketAddr,
}

impl Outside {
    /// Starts it in a folder of its own, which is removed at the end.
    pub(crate) fn start() -> Self {
        let dir = new_folder();
        let made = Command::new(binaries::sandbox()).arg("init").arg("--dir").arg(&dir).output();
        assert!(made.is_ok_and(|made| made.status.success()), "acme-sandbox init failed");
        let any = "127.0.0.1:0".to_owned();
        let mut arguments = vec!["serve".to_owned(), "--dir".to_owned(), dir.display().to_string()];
        for flag in ["--cm", "--status", "--dns", "--control"] {
            arguments.extend([flag.to_owned(), any.clone()]);
        }
        for flag in ["--http-01-port", "--tls-alpn-01-port"] {
            arguments.extend([flag.to_owned(), "0".to_owned()]);
        }
        let log = dir.join("sandbox.log");
        let mut process = Process::start("acme-sandbox", &binaries::sandbox(), &arguments, &log, Some(&dir));
        let facts: Value = wait_for("the outside world", Duration::from_secs(60), || {
            process.check_alive();
            fs::read(dir.join("sandbox.json")).ok().and_then(|text| serde_json::from_slice(&text).ok())
        });
        let control = facts["control"].as_str().and_then(|url| url.strip_prefix("http://"));
        let control = control.and_then(|address| address.parse().ok()).expect("sandbox.json names the control server");
        let dns = facts["dns"].as_str().expect("sandbox.json names the name server").to_owned();
        Self { _process: process, dns, control }
    }

    /// Answers http-01 on this port from now on.
    pub(crate) fn listen(&self, http_01_port: u16) -> Responder {
        Responder::listen(self.control, http_01_port)
    }
}

fn new_folder() -> PathBuf {
    let dir = tests::machine::new_folder("outside");
    fs::create_dir_all(&dir).expect("a folder can be made");
    dir
}

//! The sandbox as a quickstart sees it: made once, started, and read from the file in which it describes itself.
//!
//! The command line and `sandbox.json` are all that is shared with it; no code is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{
    layout::Layout,
    ports::Ports,
    processes::{Service, run_to_end, tail},
};
use crate::{interrupt::Interrupt, output::Progress};

/// How long making keys and books may take.
const INIT_WITHIN: Duration = Duration::from_secs(60);
/// What the sandbox says about itself in `sandbox.json` once it is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// URL of the reference Certificate Manager.
    pub(crate) cm: String,
    /// URL of the control server.
    pub(crate) control: String,
    /// The external account key that is ready for use at the endpoint `registered`.
    pub(crate) kid: String,
    /// Its HMAC key, base64url.
    pub(crate) hmac_key: String,
    /// Identifiers that it may be used for, as the sandbox lists them.
    pub(crate) allowed: Vec<Value>,
}

/// Makes the PKI and the books of the reference CM; what an earlier run made stays.
///
/// # Errors
/// The sandbox cannot do it.
pub(crate) fn init(program: &Path, layout: &Layout, progress: &Progress, interrupt: &Interrupt) -> anyhow::Result<()> {
    progress.begins("making a throwaway PKI, or taking the one that is there");
    let log = layout.log("sandbox-init");
    let errors = fs::File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    let mut command = Command::new(program);
    command.arg("init").arg("--dir").arg(layout.sandbox()).env("NO_COLOR", "1").stderr(errors);
    let (status, _) = run_to_end("acme-sandbox init", &mut command, INIT_WITHIN, interrupt)?;
    let words = tail(&log).unwrap_or_default().join("\n  ");
    ensure!(status.success(), "acme-sandbox init failed ({status}):\n  {words}");
    progress.done(format_args!("keys and certificates are in {}", layout.sandbox().join("pki").display()));
    Ok(())
}

/// Makes issuing CAs with these names below the root, for a CM that is not the sandbox's; what is there stays.
///
/// # Errors
/// The sandbox cannot do it.
pub(crate) fn issuing_cas(
    program: &Path,
    layout: &Layout,
    names: &[String],
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let log = layout.log("sandbox-issuing-ca");
    for name in names {
        let errors = fs::File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        let mut command = Command::new(program);
        command.arg("issuing-ca").arg("--dir").arg(layout.sandbox()).args(["--name", name]).env("NO_COLOR", "1");
        let (status, _) = run_to_end("acme-sandbox issuing-ca", command.stderr(errors), INIT_WITHIN, interrupt)?;
        let words = tail(&log).unwrap_or_default().join("\n  ");
        ensure!(status.success(), "acme-sandbox issuing-ca failed ({status}):\n  {words}");
    }
    Ok(())
}

/// Starts it. It is up once [`Facts::read`] has something to read.
///
/// # Errors
/// It cannot be started, or the description of an earlier run cannot be removed.
pub(crate) fn start(program: &Path, layout: &Layout, ports: &Ports) -> anyhow::Result<Service> {
    let file = description(layout);
    if file.exists() {
        fs::remove_file(&file).with_context(|| format!("{} cannot be removed", file.display()))?;
    }
    let mut command = Command::new(program);
    command
        .arg("serve")
        .arg("--dir")
        .arg(layout.sandbox())
        .args(["--cm", &ports.cm().to_string()])
        .args(["--status", &ports.status().to_string()])
        .args(["--dns", &ports.dns().to_string()])
        .args(["--control", &ports.control().to_string()])
        .args(["--http-01-port", &ports.http_01.to_string()])
        .args(["--tls-alpn-01-port", &ports.tls_alpn_01.to_string()]);
    for endpoint in ["open", "registered"] {
        command.args(["--acme-base", &format!("{endpoint}={}", ports.acme_base(endpoint))]);
    }
    Service::start("acme-sandbox", command, layout.log("sandbox"))
}

impl Facts {
    /// # Errors
    /// The file is not there yet, or lacks something; the text says what.
    pub(crate) fn read(layout: &Layout) -> Result<Self, String> {
        let file = description(layout);
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error:#}", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(text).context("no JSON")?;
        let string = |pointer: &str| {
            let found = value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            found.with_context(|| format!("there is no text at {pointer}"))
        };
        let allowed =
            value.pointer("/eab/allowed").and_then(Value::as_array).context("there is no list at /eab/allowed")?;
        Ok(Self {
            cm: url("https", &string("/cm")?),
            control: url("http", &string("/control")?),
            kid: string("/eab/kid")?,
            hmac_key: string("/eab/hmac_key")?,
            allowed: allowed.clone(),
        })
    }
}

/// A URL, from one or from a bare address.
fn url(scheme: &str, text: &str) -> String {
    let text = text.trim_end_matches('/');
    if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") }
}

fn description(layout: &Layout) -> PathBuf {
    layout.sandbox().join("sandbox.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sandbox_says_is_read() {
        let facts = Facts::parse(
            r#"{"cm": "https://127.0.0.1:14001", "status": "http://127.0.0.1:14002", "dns": "127.0.0.1:14003",
                "control": "127.0.0.1:14004", "eab": {"kid": "kid-1", "hmac_key": "c2VjcmV0", "allowed": ["a.test"]}}"#,
        )
        .unwrap();
        assert_eq!(facts.cm, "https://127.0.0.1:14001");
        assert_eq!(facts.control, "http://127.0.0.1:14004");
        assert_eq!((facts.kid.as_str(), facts.hmac_key.as_str()), ("kid-1", "c2VjcmV0"));
        assert_eq!(facts.allowed, ["a.test"]);
    }

    #[test]
    fn a_member_that_is_missing_is_named() {
        let error = Facts::parse(r#"{"cm": "a", "control": "b", "eab": {"allowed": []}}"#).unwrap_err();
        assert_eq!(error.to_string(), "there is no text at /eab/kid");
    }
}

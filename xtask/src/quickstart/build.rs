//! Builds the three programs in release and tells where cargo put them.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::processes::run_to_end;
use crate::{interrupt::Interrupt, output::Progress, packages, workspace};

/// A build on a small machine, with OpenSSL from source.
const WITHIN: Duration = Duration::from_secs(2 * 60 * 60);

/// The three programs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Programs {
    pub(crate) gateway: PathBuf,
    pub(crate) officer: PathBuf,
    pub(crate) sandbox: PathBuf,
}

/// Builds them, with cargo's own progress on standard error.
///
/// # Errors
/// They do not compile.
pub(crate) fn build(progress: &Progress, interrupt: &Interrupt) -> anyhow::Result<Programs> {
    let mut command = workspace::cargo();
    command.args(["build", "--release", "-p", "gateway", "-p", "officer", "-p", "sandbox"]);
    if packages::has_openssl_headers() {
        progress.begins("building acme-gateway, acme-officer and acme-sandbox; the first time takes some minutes");
    } else {
        command.args(["--features", "gateway/vendored-openssl"]);
        progress.begins("building acme-gateway, acme-officer and acme-sandbox; the first time takes some minutes,");
        crate::output::say!("{:>9}and OpenSSL is built as well, for want of its headers (libssl-dev, pkg-config)", "");
    }
    let programs = run(&mut command, interrupt)?;
    progress.done("built");
    Ok(programs)
}

fn run(command: &mut Command, interrupt: &Interrupt) -> anyhow::Result<Programs> {
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let (status, messages) = run_to_end("cargo build", command, WITHIN, interrupt)?;
    ensure!(status.success(), "the build failed ({status}); cargo's own words are above");
    programs(&messages)
}

fn programs(messages: &str) -> anyhow::Result<Programs> {
    let find = |name: &str| {
        messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message.pointer("/target/name").and_then(Value::as_str) == Some(name))
            .find_map(|message| message.get("executable").and_then(Value::as_str).map(PathBuf::from))
            .with_context(|| format!("cargo built no program {name}"))
    };
    Ok(Programs { gateway: find("acme-gateway")?, officer: find("acme-officer")?, sandbox: find("acme-sandbox")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_where_cargo_says_they_are() {
        let messages = "not json\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"acme\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"acme-gateway\"},\"executable\":\"/t/acme-gateway\"}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"acme-officer\"},\"executable\":\"/t/acme-officer\"}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"acme-sandbox\"},\"executable\":\"/t/acme-sandbox\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        let built = programs(messages).unwrap();
        assert_eq!(built.gateway, PathBuf::from("/t/acme-gateway"));
        assert_eq!(built.officer, PathBuf::from("/t/acme-officer"));
        assert_eq!(built.sandbox, PathBuf::from("/t/acme-sandbox"));
        assert!(programs("").unwrap_err().to_string().contains("acme-gateway"));
    }
}

//! The first certificate: obtained by the sandbox's own small client, then looked at with the openssl of the machine.

use std::{
    fs::File,
    io::ErrorKind,
    path::Path,
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{
    layout::Layout,
    ports::Ports,
    processes::{run_to_end, tail},
};
use crate::interrupt::Interrupt;

/// How long the whole exchange may take.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(180);
/// How long openssl may look at a certificate.
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// Gets a certificate for `name` from the endpoint `open` and answers what there is to see of it.
///
/// # Errors
/// The exchange failed, or the chain does not verify.
pub(crate) fn first(
    sandbox: &Path,
    layout: &Layout,
    ports: &Ports,
    name: &str,
    interrupt: &Interrupt,
) -> anyhow::Result<String> {
    let summary = obtain(sandbox, layout, ports, name, interrupt)?;
    let chain = layout.certificates().join(format!("{name}.pem"));
    let root = layout.pki("root.pem");

    let mut look = Command::new("openssl");
    look.args(["x509", "-noout", "-subject", "-ext", "subjectAltName", "-issuer", "-dates", "-in"]).arg(&chain);
    let Some((status, seen)) = openssl(&mut look, interrupt)? else {
        return Ok(format!("{}\nopenssl is not installed, so the chain was not verified here", summary.trim_end()));
    };
    // An openssl that lacks an option is no fault of the certificate: the client's own summary will do.
    let seen = if status.success() { seen } else { summary };

    let mut verify = Command::new("openssl");
    verify.arg("verify").arg("-CAfile").arg(&root).arg("-untrusted").arg(&chain).arg(&chain);
    match openssl(&mut verify, interrupt)? {
        Some((status, words)) if status.success() => {
            Ok(format!("{}\nopenssl verify: {}", seen.trim_end(), words.trim_end()))
        }
        Some((_, words)) => bail!("{} does not chain to {}: {}", chain.display(), root.display(), words.trim()),
        None => Ok(seen),
    }
}

fn obtain(sandbox: &Path, layout: &Layout, ports: &Ports, name: &str, interrupt: &Interrupt) -> anyhow::Result<String> {
    let log = layout.log("first-certificate");
    let errors = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    let mut command = Command::new(sandbox);
    command
        .arg("first-certificate")
        .args(["--directory", &ports.directory("open"), "--identifier", name])
        .args(["--http-01", &ports.http_01().to_string()])
        .arg("--ca")
        .arg(layout.pki("acme-ca.pem"))
        .arg("--out")
        .arg(layout.certificates())
        .env("NO_COLOR", "1")
        .stderr(errors);
    let (status, summary) = run_to_end("acme-sandbox first-certificate", &mut command, EXCHANGE_WITHIN, interrupt)?;
    if !status.success() {
        let words = tail(&log).unwrap_or_default().join("\n  ");
        bail!(
            "no first certificate ({status}):\n  {words}\nMore is in {} and {}",
            layout.log("gateway").display(),
            layout.log("sandbox").display()
        );
    }
    Ok(summary)
}

/// Runs openssl; nothing if there is none on this machine.
fn openssl(command: &mut Command, interrupt: &Interrupt) -> anyhow::Result<Option<(ExitStatus, String)>> {
    match run_to_end("openssl", command, LOOK_WITHIN, interrupt) {
        Ok(answer) => Ok(Some(answer)),
        Err(error)
            if error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind)
                == Some(ErrorKind::NotFound) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_openssl_is_no_error() {
        let absent = openssl(&mut Command::new("/nowhere/openssl"), &Interrupt::never()).unwrap();
        assert_eq!(absent, None);
    }
}

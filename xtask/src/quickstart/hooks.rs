//! Hook scripts with which clients publish dns-01 records in the sandbox's DNS, through its control server.

use super::layout::{Layout, replace};

/// certbot's `--manual-auth-hook`.
pub(crate) const SET: &str = "set-txt.sh";
/// certbot's `--manual-cleanup-hook`.
pub(crate) const CLEAR: &str = "clear-txt.sh";
/// lego's `EXEC_PATH`.
pub(crate) const LEGO: &str = "lego-dns-01.sh";

/// Writes the scripts, in place of older ones.
///
/// # Errors
/// One cannot be written.
pub(crate) fn write(layout: &Layout, control: &str) -> anyhow::Result<()> {
    for (name, text) in [(SET, set(control)), (CLEAR, clear(control)), (LEGO, lego(control))] {
        replace(&layout.hook(name), text.as_bytes(), 0o755)?;
    }
    Ok(())
}

const CURL: &str = "curl --fail --silent --show-error --max-time 10 --output /dev/null";

fn set(control: &str) -> String {
    format!(
        r#"#!/bin/sh
# certbot's --manual-auth-hook: publishes the dns-01 record in the sandbox's DNS.
set -eu
{CURL} --data "{{\"host\": \"_acme-challenge.$CERTBOT_DOMAIN\", \"value\": \"$CERTBOT_VALIDATION\"}}" {control}/set-txt
"#
    )
}

fn clear(control: &str) -> String {
    format!(
        r#"#!/bin/sh
# certbot's --manual-cleanup-hook: removes the dns-01 records of the name.
set -eu
{CURL} --data "{{\"host\": \"_acme-challenge.$CERTBOT_DOMAIN\"}}" {control}/clear-txt
"#
    )
}

fn lego(control: &str) -> String {
    format!(
        r#"#!/bin/sh
# lego's EXEC_PATH for --dns exec: called with "present" or "cleanup", the record's name, and its value.
set -eu
case "$1" in
present) {CURL} --data "{{\"host\": \"$2\", \"value\": \"$3\"}}" {control}/set-txt ;;
cleanup) {CURL} --data "{{\"host\": \"$2\"}}" {control}/clear-txt ;;
*) echo "usage: $0 present|cleanup NAME VALUE" >&2; exit 64 ;;
esac
"#
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::{
        super::layout::tests::{folder, program},
        *,
    };

    #[test]
    fn the_scripts_are_written_for_shells_and_say_what_the_control_server_reads() {
        let dir = folder("hooks");
        let layout = Layout::create(&dir).unwrap();
        write(&layout, "http://127.0.0.1:1").unwrap();
        for name in [SET, CLEAR, LEGO] {
            let checked = Command::new("/bin/sh").arg("-n").arg(layout.hook(name)).status().unwrap();
            assert!(checked.success(), "{name}");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    /// The scripts run with a `curl` of our own that notes its arguments.
    #[test]
    fn lego_and_certbot_reach_the_same_commands_with_json() {
        let dir = folder("hooks-run");
        let layout = Layout::create(&dir).unwrap();
        write(&layout, "http://127.0.0.1:1").unwrap();
        fs::create_dir(dir.join("bin")).unwrap();
        let told = dir.join("told");
        program(&dir.join("bin/curl"), &format!("printf '%s\\n' \"$@\" > '{}'", told.display()));

        let run = |name: &str, arguments: &[&str]| {
            let status = Command::new("/bin/sh")
                .arg(layout.hook(name))
                .args(arguments)
                .env("PATH", format!("{}:/usr/bin:/bin", dir.join("bin").display()))
                .env("CERTBOT_DOMAIN", "a.test")
                .env("CERTBOT_VALIDATION", "v-_1")
                .status()
                .unwrap();
            assert!(status.success(), "{name}");
            fs::read_to_string(&told).unwrap()
        };
        assert!(run(SET, &[]).contains("{\"host\": \"_acme-challenge.a.test\", \"value\": \"v-_1\"}\n"));
        assert!(run(CLEAR, &[]).ends_with("{\"host\": \"_acme-challenge.a.test\"}\nhttp://127.0.0.1:1/clear-txt\n"));
        let lego = run(LEGO, &["present", "_acme-challenge.b.test.", "v2"]);
        assert!(
            lego.ends_with("{\"host\": \"_acme-challenge.b.test.\", \"value\": \"v2\"}\nhttp://127.0.0.1:1/set-txt\n")
        );
        assert!(run(LEGO, &["cleanup", "_acme-challenge.b.test.", "v2"]).ends_with("/clear-txt\n"));
        fs::remove_dir_all(dir).unwrap();
    }
}

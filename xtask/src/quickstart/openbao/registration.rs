//! The external account key that is ready for use at the endpoint `registered`: made once by the officer with her own
//! program, and kept, because OpenBao's officer is shown a key only once.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::super::{
    desks,
    layout::{Layout, replace},
    processes::{run_to_end, tail},
};
use crate::interrupt::Interrupt;

/// How long the officer's program may take.
const REGISTER_WITHIN: Duration = Duration::from_secs(60);

/// An external account key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kid: String,
    /// base64url.
    pub(crate) hmac_key: String,
}

/// The key that an earlier run made, or a new one for these names and what is below them.
///
/// # Errors
/// The officer is refused, or the file of the key cannot be read or written.
pub(crate) fn ensure(officer: &Path, layout: &Layout, allowed: &[Value], interrupt: &Interrupt) -> anyhow::Result<Key> {
    let file = layout.openbao("eab.json");
    if file.exists() {
        let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        return parse(&text).with_context(|| format!("{}: remove it to have a new key made", file.display()));
    }
    let log = layout.log("registration");
    let errors = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    let mut command = Command::new(officer);
    command.args(["--json", "--config"]).arg(desks::file(layout, "officer"));
    command.args(["registrations", "create", "--owner", "quickstart", "--use", "multi"]);
    for name in allowed.iter().filter_map(Value::as_str) {
        command.args(["--allow", &format!("suffix:{name}")]);
    }
    let (status, answer) =
        run_to_end("acme-officer registrations create", command.stderr(errors), REGISTER_WITHIN, interrupt)?;
    let words = tail(&log).unwrap_or_default().join("\n  ");
    ensure!(status.success(), "acme-officer could not register a client at OpenBao ({status}):\n  {words}");
    let key = parse(&answer).context("the answer of acme-officer")?;
    let kept = json!({"eab": {"kid": key.kid, "hmac_key": key.hmac_key}});
    replace(&file, kept.to_string().as_bytes(), 0o600)?;
    Ok(key)
}

fn parse(text: &str) -> anyhow::Result<Key> {
    let value: Value = serde_json::from_str(text).context("no JSON")?;
    let string = |pointer: &str| {
        let found = value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        found.with_context(|| format!("there is no text at {pointer}"))
    };
    Ok(Key { kid: string("/eab/kid")?, hmac_key: string("/eab/hmac_key")? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{
        super::super::layout::tests::{folder, program},
        *,
    };

    /// A program in place of the officer's, which notes its arguments.
    fn officer(dir: &Path, script: &str) -> std::path::PathBuf {
        let file = dir.join("officer");
        program(&file, script);
        file
    }

    #[test]
    fn a_key_is_made_once_and_kept_for_its_owner() {
        let dir = folder("openbao-key");
        let layout = Layout::create(&dir).unwrap();
        fs::create_dir(layout.openbao("")).unwrap();
        let told = dir.join("told");
        let program = officer(
            &dir,
            &format!(
                "printf '%s\\n' \"$@\" >> '{}'; echo '{{\"eab\": {{\"kid\": \"k\", \"hmac_key\": \"c2VjcmV0\"}}}}'",
                told.display()
            ),
        );
        let allowed = [json!("a.test"), json!("b.test")];
        for _ in 0..2 {
            let key = ensure(&program, &layout, &allowed, &Interrupt::never()).unwrap();
            assert_eq!((key.kid.as_str(), key.hmac_key.as_str()), ("k", "c2VjcmV0"));
        }
        let told = fs::read_to_string(told).unwrap();
        assert_eq!(told.matches("create\n").count(), 1);
        assert!(told.ends_with("--allow\nsuffix:a.test\n--allow\nsuffix:b.test\n"), "{told}");
        assert_eq!(fs::metadata(layout.openbao("eab.json")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_refusal_is_told_in_the_officers_words() {
        let dir = folder("openbao-refused");
        let layout = Layout::create(&dir).unwrap();
        let program = officer(&dir, "echo forbidden >&2; exit 5");
        let error = ensure(&program, &layout, &[], &Interrupt::never()).unwrap_err().to_string();
        assert!(error.contains("exit status: 5") && error.ends_with("forbidden"), "{error}");
        fs::remove_dir_all(dir).unwrap();
    }
}

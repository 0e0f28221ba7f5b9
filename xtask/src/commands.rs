//! Programs that run to their end: what they say if it goes well, and why it did not.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// Runs a program and answers its standard output.
///
/// # Errors
/// It cannot be run, or fails; the text has the command and its last words.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    const LINES: usize = 30;
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{shown} cannot be run"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = words.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES)).copied().collect::<Vec<_>>().join("\n  ");
    bail!("{shown} failed ({}):\n  {last}", output.status)
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_answered_and_a_failure_has_the_last_words() {
        assert_eq!(run(Command::new("echo").arg("hello")).unwrap(), "hello\n");
        let error = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("status: 3") && error.ends_with("out\n  err"), "{error}");
        assert!(run(&mut Command::new("/no/such/program")).unwrap_err().to_string().contains("cannot be run"));
    }
}

//! A server that is a client itself, such as Apache with mod_md: running in the foreground, with all its children in
//! a process group of its own that does not outlive the scenarios.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    command::{last_lines, missing},
    scenario::Failure,
};

/// Runs "$@" as a group until standard input closes; then asks it to end, and kills what is left soon after.
const GUARD: &str = r#"
log=$1; shift
trap : INT TERM HUP
exec 3<&0
setsid "$@" >>"$log" 2>&1 </dev/null 3<&- &
group=$!
echo "$group"
exec >/dev/null 2>&1
cat <&3
kill -TERM "-$group"
for tenth in 1 2 3 4 5 6 7 8 9 10; do kill -0 "-$group" || exit 0; sleep 0.1; done
kill -KILL "-$group"
"#;
/// How long something may take that a server does by itself.
const WITHIN: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Daemon {
    shell: Child,
    pipe: Option<ChildStdin>,
    id: String,
    /// What it says.
    log: PathBuf,
}

impl Daemon {
    /// Starts a program that stays in the foreground, with the lane's folder as its home.
    pub(crate) fn start(dir: &Path, program: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        Self::start_with(dir, program, arguments, &[])
    }

    /// The same with these environment variables.
    pub(crate) fn start_with(
        dir: &Path,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let said = |error: std::io::Error| format!("{} cannot be run: {error}", program.display());
        if let Some(reason) = missing(program) {
            return Err(reason);
        }
        let log = dir.join(format!("{}.log", program.file_name().unwrap_or_default().display()));
        let mut shell = Command::new("/bin/sh")
            .args(["-c", GUARD, "sh"])
            .arg(&log)
            .arg(program)
            .args(arguments)
            .current_dir(dir)
            .env("HOME", dir)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(said)?;
        let mut line = String::new();
        let out = shell.stdout.take().expect("standard output is piped");
        let _ = BufReader::new(out).read_line(&mut line).map_err(said)?;
        Ok(Self { pipe: shell.stdin.take(), shell, id: line.trim().to_owned(), log })
    }

    /// Sends a signal to the program that was started, such as `USR1`.
    pub(crate) fn signal(&self, name: &str) -> Result<(), Failure> {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id]).status();
        let sent = sent.is_ok_and(|status| status.success());
        sent.then_some(()).ok_or_else(|| format!("it ended by itself:\n{}", self.last_words()))
    }

    /// Waits until `look`, which sees its log, finds what the server should do.
    pub(crate) fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&str) -> Option<T>) -> Result<T, Failure> {
        wait_for(what, || look(&fs::read_to_string(&self.log).unwrap_or_default()))
            .map_err(|reason| format!("{reason}:\n{}", self.last_words()))
    }

    fn last_words(&self) -> String {
        let words = fs::read_to_string(&self.log).unwrap_or_default();
        format!("{}\nits log: {}", last_lines(&words), self.log.display())
    }
}

/// Lets servers' children, which are other users, look into a folder.
pub(crate) fn readable(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let open = fs::set_permissions(dir, fs::Permissions::from_mode(0o755));
    open.map_err(|error| format!("{}: {error}", dir.display()))
}

/// Waits until `look` finds something, with a bound.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, Failure> {
    let start = Instant::now();
    loop {
        match look() {
            Some(found) => return Ok(found),
            None if start.elapsed() > WITHIN => {
                return Err(format!("{what}: not within {} s", WITHIN.as_secs()));
            }
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.shell.wait();
    }
}

//! A program under test, with a log, that never outlives the test that started it.
//!
//! Between the two stands a shell that holds a pipe from us: when the pipe closes, because we want it or because the
//! test process is gone in whatever way, the program is killed. It also makes "kill -9" the ordinary way to stop.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

/// Runs "$@" until it ends or standard input closes; tells its process id first. Removes the folder of its world at
/// the end, if it is given one and nobody wants to keep it.
const GUARD: &str = r#"
log=$1; folder=$2; shift 2
exec 3<&0
"$@" >>"$log" 2>&1 </dev/null 3<&- &
child=$!
echo "$child"
exec >/dev/null
{ cat <&3; kill -9 "$child"; } 2>/dev/null &
guard=$!
wait "$child"; code=$?
kill "$guard" 2>/dev/null
if [ -n "$folder" ] && ! [ -e "$folder/keep" ]; then
    # Another process of the same world may be just about to end.
    rm -rf "$folder" 2>/dev/null || { sleep 1; rm -rf "$folder"; }
fi
exit "$code"
"#;

/// A running program.
pub struct Process {
    name: &'static str,
    shell: Child,
    pipe: Option<ChildStdin>,
    id: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output appended to `log`. When it has ended, `folder` is removed unless there is a
    /// file `keep` in it.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(name: &'static str, program: &Path, arguments: &[String], log: &Path, folder: Option<&Path>) -> Self {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", GUARD, "sh"])
            .arg(log)
            .arg(folder.unwrap_or(Path::new("")))
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("standard output is piped")).read_line(&mut line).expect("a line");
        let id = line.trim().parse().unwrap_or_else(|_| panic!("{name} was not started: {line:?}"));
        Self { name, pipe: shell.stdin.take(), shell, id, log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// # Panics
    /// It ended by itself; the text has the end of its log.
    pub fn check_alive(&mut self) {
        if let Some(status) = self.shell.try_wait().expect("a child can be asked") {
            panic!("{} ended by itself ({status})\n{}", self.name, tail(&self.log));
        }
    }

    /// Waits for it to end by itself and tells its exit code.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn wait(&mut self) -> Option<i32> {
        let status = crate::wait_for(self.name, std::time::Duration::from_secs(120), || {
            self.shell.try_wait().expect("a child can be asked")
        });
        status.code()
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Panics
    /// The signal cannot be sent.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, such as `HUP`.
    ///
    /// # Panics
    /// It cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.id.to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} cannot be signalled", self.name);
    }

    /// Ends it at once (SIGKILL), and returns when it is gone.
    pub fn kill(&mut self) {
        self.pipe = None;
        let _ = self.shell.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log, under its name.
#[must_use]
pub fn tail(log: &Path) -> String {
    const LINES: usize = 10;
    let text = fs::read(log).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
    format!("the end of {}:\n  {shown}", log.display())
}

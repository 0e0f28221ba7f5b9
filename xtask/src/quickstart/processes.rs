//! The processes that a quickstart starts, and only those: started with a log, watched, and stopped by their own id.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    iter,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::interrupt::Interrupt;

/// How long a process may take to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// Pause between two looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Lines of a log that are shown when its process died.
const TAIL_LINES: usize = 20;
/// The part of a log that is searched for them, in octets.
const TAIL_OCTETS_MAX: u64 = 64 * 1024;
/// Most output that is taken from a program that runs to its end, in octets.
const OUTPUT_OCTETS_MAX: u64 = 64 * 1024 * 1024;

/// A process that stays up. Dropping it stops it.
pub(crate) struct Service {
    name: &'static str,
    command_line: String,
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts `command` with all its output in `log`, in a process group of its own so that Ctrl-C reaches us alone.
    ///
    /// # Errors
    /// The log cannot be written or the program cannot be run.
    pub(crate) fn start(name: &'static str, mut command: Command, log: PathBuf) -> anyhow::Result<Self> {
        let out = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        let err = out.try_clone().with_context(|| format!("{} cannot be shared", log.display()))?;
        let words: Vec<_> =
            iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
        let command_line = words.join(" ");
        let child = command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { name, command_line, child, log })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What starts it again.
    pub(crate) fn command_line(&self) -> String {
        self.command_line.clone()
    }

    /// # Errors
    /// It ended; the text has the last lines of its log.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().with_context(|| format!("{} cannot be watched", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status}).{}", self.name, self.last_words()),
        }
    }

    /// The last lines of its log under a heading.
    pub(crate) fn last_words(&self) -> String {
        let heading = format!("\nThe end of {}:", self.log.display());
        match tail(&self.log) {
            Ok(lines) if lines.is_empty() => format!("{heading} (empty)"),
            Ok(lines) => format!("{heading}\n  {}", lines.join("\n  ")),
            Err(error) => format!("{heading} cannot be read: {error}"),
        }
    }

    /// Asks it to end, waits a little, and ends it.
    pub(crate) fn stop(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until `ready` has no more reason to wait, while all of `services` live.
///
/// # Errors
/// A service ended, the time ran out, or an interrupt came.
pub(crate) fn wait_until(
    what: &str,
    within: Duration,
    services: &mut [&mut Service],
    interrupt: &Interrupt,
    mut ready: impl FnMut() -> Result<(), String>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        interrupt.check()?;
        for service in services.iter_mut() {
            service.check_alive()?;
        }
        let Err(reason) = ready() else { return Ok(()) };
        if start.elapsed() > within {
            let words = services.last().map(|service| service.last_words()).unwrap_or_default();
            bail!("{what} was not ready within {} s: {reason}.{words}", within.as_secs());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Runs a program to its end and answers its exit status and standard output.
///
/// # Errors
/// It cannot be run, takes longer than `within`, or an interrupt came; then it is stopped.
pub(crate) fn run_to_end(
    what: &str,
    command: &mut Command,
    within: Duration,
    interrupt: &Interrupt,
) -> anyhow::Result<(ExitStatus, String)> {
    let start = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("{what} cannot be run"))?;
    let reader = child.stdout.take().map(|stdout| {
        thread::spawn(move || {
            let mut octets = Vec::new();
            stdout.take(OUTPUT_OCTETS_MAX).read_to_end(&mut octets).map(|_| octets)
        })
    });
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("{what} cannot be watched"))? {
            break status;
        }
        if interrupt.came() || start.elapsed() > within {
            end(&mut child);
            interrupt.check()?;
            bail!("{what} did not end within {} s", within.as_secs());
        }
        thread::sleep(LOOK_EVERY);
    };
    let output = match reader.map(thread::JoinHandle::join) {
        None => Vec::new(),
        Some(Ok(octets)) => octets.with_context(|| format!("the output of {what} cannot be read"))?,
        Some(Err(_)) => return Err(anyhow!("the output of {what} was lost")),
    };
    Ok((status, String::from_utf8_lossy(&output).into_owned()))
}

/// The last lines of a file.
pub(crate) fn tail(file: &Path) -> std::io::Result<Vec<String>> {
    let mut file = fs::File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_OCTETS_MAX)))?;
    let mut octets = Vec::new();
    file.take(TAIL_OCTETS_MAX).read_to_end(&mut octets)?;
    let text = String::from_utf8_lossy(&octets);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).map(|&line| line.to_owned()).collect())
}

/// SIGTERM, a bounded wait, SIGKILL. The child is not yet waited for, so its id cannot be somebody else's.
fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    // A process that is gone already needs no signal: each error here leads on to the wait.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < GRACE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(LOOK_EVERY);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::{super::layout::tests::folder, *};

    const LIMIT: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_process_that_dies_early_is_reported_with_the_end_of_its_log() {
        let dir = folder("dies");
        fs::create_dir(&dir).unwrap();
        let script = "i=1; while [ $i -le 30 ]; do echo line $i; i=$((i+1)); done; exit 3";
        let mut service = Service::start("demo", shell(script), dir.join("demo.log")).unwrap();
        let error = wait_until("demo", LIMIT, &mut [&mut service], &Interrupt::never(), || Err("never".to_owned()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("demo ended by itself (exit status: 3)"), "{error}");
        assert!(error.ends_with("line 30") && error.contains("line 11\n") && !error.contains("line 10\n"), "{error}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_service_is_asked_to_end_before_it_is_ended() {
        let dir = folder("asked");
        fs::create_dir(&dir).unwrap();
        let log = dir.join("demo.log");
        let script = "trap 'echo goodbye; exit 0' TERM; echo up; while :; do sleep 0.05; done";
        let mut service = Service::start("demo", shell(script), log.clone()).unwrap();
        let up = || match fs::read_to_string(&log).unwrap_or_default().contains("up") {
            true => Ok(()),
            false => Err("not up".to_owned()),
        };
        wait_until("demo", LIMIT, &mut [&mut service], &Interrupt::never(), up).unwrap();
        service.stop();
        assert!(service.check_alive().is_err());
        assert!(fs::read_to_string(&log).unwrap().contains("goodbye"));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_interrupt_ends_the_waiting_and_the_program() {
        let error = run_to_end("cat", &mut shell("exec sleep 600"), LIMIT, &Interrupt::already()).unwrap_err();
        assert!(error.is::<crate::interrupt::Interrupted>());
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let error = run_to_end("sleep", &mut shell("exec sleep 600"), Duration::ZERO, &Interrupt::never()).unwrap_err();
        assert_eq!(error.to_string(), "sleep did not end within 0 s");
    }

    #[test]
    fn output_and_status_of_a_program_are_answered() {
        let (status, output) = run_to_end("sh", &mut shell("echo hello; exit 7"), LIMIT, &Interrupt::never()).unwrap();
        assert_eq!((status.code(), output.as_str()), (Some(7), "hello\n"));
    }
}

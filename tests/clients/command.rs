//! Running other programs, with a bound and with their words kept.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{origin, scenario::Failure};

/// How long a program may take.
const WITHIN: Duration = Duration::from_secs(150);
/// Lines of a program's words that are shown when it failed.
const WORDS_MAX: usize = 30;

/// A program about to be run.
pub(crate) struct Shell {
    program: PathBuf,
    command: Command,
    /// What must have been installed besides the program.
    needs: Option<PathBuf>,
    words: PathBuf,
}

impl Shell {
    /// `dir` is its folder, for what it writes where it stands.
    pub(crate) fn new(program: &Path, dir: &Path) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let words = dir.join(format!("words-{}.txt", COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut command = Command::new(program);
        command.current_dir(dir);
        Self { program: program.to_owned(), command, needs: None, words }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// More arguments.
    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Something that must have been installed besides the program, with its whole path.
    pub(crate) fn needing(self, path: PathBuf) -> Self {
        Self { needs: Some(path), ..self }
    }

    /// An environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it; it must succeed. Answers its words.
    pub(crate) fn succeed(self) -> Result<String, Failure> {
        let (program, file) = (self.name(), self.words.clone());
        match self.run()? {
            (true, words) => Ok(words),
            (false, words) => Err(format!("{program} failed:\n{}\nits words: {}", last_lines(&words), file.display())),
        }
    }

    /// Runs it; it must fail. Answers its words.
    pub(crate) fn fail(self) -> Result<String, Failure> {
        let program = self.name();
        match self.run()? {
            (false, words) => Ok(words),
            (true, words) => Err(format!("{program} should have failed:\n{}", last_lines(&words))),
        }
    }

    fn name(&self) -> String {
        self.program.display().to_string()
    }

    /// Runs it. Answers whether it succeeded, and its words.
    pub(crate) fn run(mut self) -> Result<(bool, String), Failure> {
        if let Some(reason) = missing(&self.program).or_else(|| missing(self.needs.as_deref()?)) {
            return Err(reason);
        }
        let program = self.name();
        let said = |error: std::io::Error| {
            let gone = error.kind() == std::io::ErrorKind::NotFound;
            let hint = if gone { "; if it could not be installed, the reason is above" } else { "" };
            format!("{program} cannot be run: {error}{hint}")
        };
        let out = File::create(&self.words).map_err(said)?;
        let err = out.try_clone().map_err(said)?;
        let mut child = self.command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().map_err(said)?;
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(said)? {
                break status;
            }
            if start.elapsed() > WITHIN {
                let _ = child.kill();
                let _ = child.wait();
                let words = fs::read_to_string(&self.words).unwrap_or_default();
                return Err(format!("{program} did not end within {} s:\n{}", WITHIN.as_secs(), last_lines(&words)));
            }
            thread::sleep(Duration::from_millis(20));
        };
        Ok((status.success(), fs::read_to_string(&self.words).unwrap_or_default()))
    }
}

/// Fails unless `words` has each of `wanted`.
pub(crate) fn expect_words(words: &str, wanted: &[&str]) -> Result<(), Failure> {
    match wanted.iter().find(|one| !words.contains(**one)) {
        None => Ok(()),
        Some(missing) => Err(format!("nothing says {missing:?}:\n{}", last_lines(words))),
    }
}

/// Writes a shell script that can be run at once.
///
/// Another process writes it: a file that this one has open for writing is open too in whatever another lane starts
/// at the same moment, and what is open for writing cannot be run (ETXTBSY).
pub(crate) fn script(file: &Path, text: &str) -> Result<(), Failure> {
    let write = r#"printf '#!/bin/sh\nset -eu\n%s' "$1" > "$0" && chmod 755 "$0""#;
    let written = Command::new("/bin/sh").arg("-c").arg(write).arg(file).arg(text).status();
    match written {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{} cannot be written: {status}", file.display())),
        Err(error) => Err(format!("{} cannot be written: {error}", file.display())),
    }
}

/// Why a program cannot be run, if it is one that has not been installed.
pub(crate) fn missing(path: &Path) -> Option<Failure> {
    let gone = path.is_absolute() && !path.exists();
    gone.then(|| format!("{} is not there{}", path.display(), origin::why_missing()))
}

/// Writes a file.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

/// The end of what a program said.
pub(crate) fn last_lines(words: &str) -> String {
    let lines: Vec<&str> = words.lines().collect();
    lines[lines.len().saturating_sub(WORDS_MAX)..].join("\n")
}

//! One journey: node with its file, and the talk with it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::outside::Outside;

/// Something that holds or does not.
pub(crate) struct Row {
    name: String,
    took: Duration,
    pub(crate) failure: Option<String>,
}

/// What a browser was answered, and which pages were looked at: method, and path below the session's.
#[derive(Default)]
pub(crate) struct Told {
    /// Also whether it was a page.
    pub(crate) reached: Vec<(String, String, bool)>,
    pub(crate) looked: Vec<(String, String)>,
}

impl Row {
    /// Does it and says what became of it.
    pub(crate) fn of(name: &str, work: impl FnOnce() -> Result<(), String>) -> Self {
        let start = Instant::now();
        let failure = work().err();
        let row = Self { name: name.to_owned(), took: start.elapsed(), failure };
        row.say();
        row
    }

    /// Prints it.
    pub(crate) fn say(&self) {
        match &self.failure {
            None => println!("ok      {} ({:.1} s)", self.name, self.took.as_secs_f64()),
            Some(words) => println!("FAILED  {}\n        {}", self.name, words.replace('\n', "\n        ")),
        }
    }
}

impl Told {
    /// The same with what another journey told.
    pub(crate) fn add(&mut self, other: Self) {
        self.reached.extend(other.reached);
        self.looked.extend(other.looked);
    }
}

/// Walks a journey to its end. The first word of its name is its file.
pub(crate) fn walk(name: &str, modules: &Path, pictures: &Path, outside: &mut Outside<'_>) -> (Vec<Row>, Told) {
    let (mut rows, mut told) = (Vec::new(), Told::default());
    let walked = talk(name, modules, pictures, outside, &mut rows, &mut told);
    // A journey without rows has shown nothing.
    let walked = walked.and_then(|()| if rows.is_empty() { Err("it showed nothing".to_owned()) } else { Ok(()) });
    if let Err(failure) = walked {
        rows.push(Row::of(&format!("the journey {name}"), || Err(failure)));
    }
    (rows, told)
}

fn talk(
    name: &str,
    modules: &Path,
    pictures: &Path,
    outside: &mut Outside<'_>,
    rows: &mut Vec<Row>,
    told: &mut Told,
) -> Result<(), String> {
    if !modules.join("node_modules").exists() {
        let why = fs::read_to_string(modules.with_extension("failed")).unwrap_or_default();
        return Err(format!("{} is empty: run cargo xtask browser\n{why}", modules.display()));
    }
    let file = name.split(' ').next().unwrap_or_default();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("browser").join(format!("{file}.mjs"));
    let mut command = Command::new("node");
    command.arg(file).env("MODULES", modules).env("SCREENSHOTS", pictures).env("NO_COLOR", "1");
    let mut node = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("node cannot be run: {error}"))?;
    let mut answers = node.stdin.take().expect("standard input is piped");
    let lines = BufReader::new(node.stdout.take().expect("standard output is piped")).lines();
    for line in lines {
        let line = line.map_err(|error| format!("node: {error}"))?;
        let Ok(line) = serde_json::from_str::<Value>(&line) else {
            println!("{line}");
            continue;
        };
        let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(row) = line.get("row") {
            let took = Duration::from_secs_f64(row["seconds"].as_f64().unwrap_or_default());
            let failure = row["failure"].as_str().map(str::to_owned);
            let row = Row { name: format!("{name}: {}", text("/row/name")), took, failure };
            row.say();
            rows.push(row);
        } else if let Some(reached) = line.get("reached") {
            told.reached.push((text("/reached/method"), text("/reached/path"), reached["isPage"] == true));
        } else if line.get("looked").is_some() {
            told.looked.push((text("/looked/method"), text("/looked/path")));
        } else if let Some(asked) = line.get("ask") {
            let done = catch_unwind(AssertUnwindSafe(|| outside.act(asked)));
            let done = done.unwrap_or_else(|panic| Err(words_of(panic.as_ref())));
            let answer = done.map_or_else(|failure| json!({"failure": failure}), |answer| json!({"answer": answer}));
            writeln!(answers, "{answer}").map_err(|error| format!("node: {error}"))?;
        }
    }
    drop(answers);
    let ended = node.wait().map_err(|error| format!("node: {error}"))?;
    if ended.success() { Ok(()) } else { Err(format!("node ended with {ended}; its words are above")) }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().cloned();
    words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned())).unwrap_or_default()
}

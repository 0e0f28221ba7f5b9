//! `registrations import`: many registrations from a CSV file.
//!
//! An import shows what it would do and does it with `--apply` only. It can be interrupted at any
//! moment and run again: a key id is registered once, and each new key is on disk, in the file of
//! `--secrets`, before the next one is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::Desk;
use crate::{
    cm::{
        Cm,
        external_account_key::Wish,
        registration::{Registration, Search, View},
    },
    error::Failure,
    import::{Action, Dialect, Existing, Item, Options, Terms, plan, read},
    output::{Answer, numbered, shown},
};

/// Largest file, in octets.
const FILE_OCTETS_MAX: u64 = 64 * 1024 * 1024;
/// Most registrations of a realm that a file is compared with or written from.
pub(super) const REGISTRATIONS_MAX: usize = 1_000_000;
/// Progress is told after so many lines, and on a terminal after so many.
const TELL_EVERY: usize = 500;
const REWRITE_EVERY: usize = 10;
/// Most lines of a kind that are shown to people; programs get all.
const SHOWN_MAX: usize = 20;

/// What to import, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A CSV file; its first line names the columns, of which the key id and the names must be there
    file: PathBuf,
    /// Whose list it is
    #[arg(long, value_enum, default_value_t = Dialect::Own)]
    from: Dialect,
    /// Do it; without this it only shows what would be done
    #[arg(long, requires = "secrets")]
    apply: bool,
    /// Where the new external account keys are appended, as CSV; readable by its owner only
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Owner of the lines that name none
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// Take empty lists to mean every name
    #[arg(long)]
    allow_any: bool,
    /// Take suffixes such as com or co.uk, below which anybody can have names
    #[arg(long)]
    allow_public_suffix: bool,
    /// Take the lines of an export whose registration was suspended, revoked or deactivated; they begin anew
    #[arg(long)]
    with_ended: bool,
    /// Change registrations that are there and otherwise than the file says
    #[arg(long)]
    update: bool,
    /// Leave out the lines that cannot be taken; without this one such line stops the import
    #[arg(long)]
    skip_wrong: bool,
}

/// Imports, or shows what that would do.
pub(super) async fn import(arguments: Arguments, desk: &Desk) -> Result<Answer, Failure> {
    let text = text_of(&arguments.file)?;
    let contents = read(&text, arguments.from)
        .map_err(|reason| Failure::File(format!("{}: {reason}", arguments.file.display())))?;
    let cm = desk.cm()?;
    let options = Options {
        dialect: arguments.from,
        owner: arguments.owner,
        allow_any: arguments.allow_any,
        allow_public_suffix: arguments.allow_public_suffix,
        with_ended: arguments.with_ended,
        update: arguments.update,
    };
    let items = plan(&contents.rows, &existing(&cm).await?, &options);
    let wrong = items.iter().any(|item| matches!(item.action, Action::Wrong(_)));
    let told = told(&items, &contents.ignored);
    let (true, Some(secrets)) = (arguments.apply, &arguments.secrets) else {
        let text = format!("{told}\nNothing was done: give --apply and --secrets FILE to do it");
        return Ok(Answer::new(text, json_of(&items, &contents.ignored, false)));
    };
    if wrong && !arguments.skip_wrong {
        return Err(Failure::File(format!(
            "{told}\nNothing was done: mend these lines, or give --skip-wrong to leave them out"
        )));
    }
    let done = apply(&cm, &items, Keys::open(secrets)?).await?;
    let text = format!(
        "{told}\n{} written to {}",
        if done == 1 { "1 key was".to_owned() } else { format!("{done} keys were") },
        secrets.display()
    );
    Ok(Answer::new(text, json_of(&items, &contents.ignored, true)))
}

/// Carries out the plan, line by line; how many keys were written.
async fn apply(cm: &Cm, items: &[Item], mut keys: Keys) -> Result<usize, Failure> {
    let mut progress = Progress::new(items.len());
    let mut written = 0;
    for item in items {
        match &item.action {
            Action::Create(request) => {
                keys.append(&cm.preregister(request).await?)?;
                written += 1;
            }
            Action::Update(id, patch) => {
                let before = cm.registration(id.as_str()).await?;
                let _ = cm.update_registration(&before.view, patch).await?;
            }
            // Made before, and interrupted before its key was on disk: nobody has that key.
            Action::Same(there) if there.is_unbound && !keys.has(&item.key_id) => {
                let before = cm.registration(there.id.as_str()).await?;
                keys.append(&cm.draw_external_account_key(&before.view, &Wish::default()).await?)?;
                written += 1;
            }
            Action::Same(_) | Action::Differs(_) | Action::Wrong(_) => {}
        }
        progress.step(&mut std::io::stderr(), written);
    }
    progress.end(&mut std::io::stderr());
    Ok(written)
}

/// Says on standard error how far an import is: on a terminal in one line that is written over, else in a line now and then.
/// Nothing of an import that is over at once.
struct Progress {
    lines: usize,
    done: usize,
    is_terminal: bool,
}

impl Progress {
    fn new(lines: usize) -> Self {
        Self { lines, done: 0, is_terminal: std::io::stderr().is_terminal() }
    }

    /// One line is done. That nobody can read it is no reason to stop.
    fn step(&mut self, out: &mut dyn std::io::Write, keys: usize) {
        self.done += 1;
        let every = if self.is_terminal { REWRITE_EVERY } else { TELL_EVERY };
        if self.done.is_multiple_of(every) || (self.done == self.lines && self.lines > every) {
            let (before, after) = if self.is_terminal { ("\r", "") } else { ("", "\n") };
            let percent = self.done.saturating_mul(100) / self.lines.max(1);
            let (lines, keys) = (numbered(self.lines, "line"), numbered(keys, "key"));
            let told = format!("{} of {lines}, {keys} ({percent} %)", self.done);
            let _ = write!(out, "{before}{told}{after}").and_then(|()| out.flush());
        }
    }

    /// What follows begins on a line of its own.
    fn end(&self, out: &mut dyn std::io::Write) {
        if self.is_terminal && self.lines > REWRITE_EVERY {
            let _ = writeln!(out);
        }
    }
}

/// The file of new keys, and whose are in it.
struct Keys {
    file: File,
    path: PathBuf,
    key_ids: BTreeSet<String>,
}

impl Keys {
    /// No free text: what has no quotes can be cut off anywhere without spoiling the next line.
    const HEADING: &str = "eab_kid,hmac_key,registration\n";
    const COLUMNS: usize = 3;

    fn open(path: &Path) -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| Failure::File(format!("--secrets {}: {error}", path.display()));
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(cannot)?;
        let text = fs::read_to_string(path).map_err(cannot)?;
        if text.is_empty() {
            file.write_all(Self::HEADING.as_bytes()).map_err(cannot)?;
        } else if !text.starts_with(Self::HEADING) {
            let reason =
                "it is something else; name a file that does not exist, or the one of an import that was interrupted";
            return Err(Failure::File(format!("--secrets {}: {reason}", path.display())));
        } else if !text.ends_with('\n') {
            // Cut off in the middle of a line: that key is lost, and its line must not spoil the next.
            file.write_all(b"\n").map_err(cannot)?;
        }
        // A line that was cut off lacks columns, and its key is drawn again.
        let whole = text.lines().map(|line| line.split(',')).filter(|cells| cells.clone().count() == Self::COLUMNS);
        let key_ids = whole.filter_map(|mut cells| cells.next()).map(str::to_owned).collect();
        Ok(Self { file, path: path.to_owned(), key_ids })
    }

    fn has(&self, key_id: &str) -> bool {
        self.key_ids.contains(key_id)
    }

    /// On disk when this returns.
    fn append(&mut self, registration: &Registration) -> Result<(), Failure> {
        let View { id, eab, eab_secret, .. } = &registration.view;
        let (Some(eab), Some(secret)) = (eab, eab_secret) else {
            return Err(Failure::Broken(format!("the CM gave no external account key with {id}")));
        };
        let line = line_of(&[&eab.kid, &secret.hmac_key, id])?;
        let write = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        write.map_err(|error| Failure::File(format!("--secrets {}: {error}", self.path.display())))
    }
}

/// A line of CSV.
pub(super) fn line_of(cells: &[&str]) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells).map_err(|error| Failure::Broken(error.to_string()))?;
    writer.into_inner().map_err(|error| Failure::Broken(error.to_string()))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let cannot = |reason: &dyn std::fmt::Display| Failure::File(format!("{}: {reason}", path.display()));
    if fs::metadata(path).map_err(|error| cannot(&error))?.len() > FILE_OCTETS_MAX {
        return Err(cannot(&"it is larger than 64 MiB; split it"));
    }
    fs::read_to_string(path).map_err(|error| cannot(&error))
}

/// What the CM has, by key id.
async fn existing(cm: &Cm) -> Result<BTreeMap<String, Existing>, Failure> {
    let list = cm.registrations(Search::default(), REGISTRATIONS_MAX).await?;
    let mut existing = BTreeMap::new();
    for json in list.items {
        let view = Registration::of(json)?.view;
        let terms = terms(&view);
        let Some(eab) = view.eab else { continue };
        let id = view.id.parse().map_err(|reason| Failure::Broken(format!("a registration's id {reason}")))?;
        let is_unbound = view.key.is_none() && eab.bindings == 0 && view.status == "pending";
        let there = Existing {
            id,
            allowed_identifiers: view.allowed_identifiers,
            allowed_profiles: view.allowed_profiles,
            terms,
            is_unbound,
        };
        let _ = existing.insert(eab.kid, there);
    }
    Ok(existing)
}

/// How its key binds, and how long its certificates are valid.
fn terms(view: &View) -> Terms {
    let time = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
    let of_key = view.eab.as_ref().map(|eab| Terms {
        max_validity: None,
        usage: Some(eab.usage.clone()),
        max_bindings: eab.max_bindings.filter(|_| eab.usage == "multi"),
        not_before: time(&eab.not_before),
        not_after: time(&eab.not_after),
        algorithms: eab.algorithms.clone(),
    });
    Terms { max_validity: view.max_validity.clone(), ..of_key.unwrap_or_default() }
}

const fn word(action: &Action) -> &'static str {
    match action {
        Action::Create(_) => "create",
        Action::Update(..) => "update",
        Action::Same(_) => "same",
        Action::Differs(_) => "differs",
        Action::Wrong(_) => "wrong",
    }
}

fn told(items: &[Item], ignored: &[String]) -> String {
    let mut lines = Vec::new();
    let of = |kind: &'static str| items.iter().filter(move |item| word(&item.action) == kind);
    let more =
        |shown: usize, all: usize| (all > shown).then(|| format!("  ... and {} more; --json has all", all - shown));
    for item in of("wrong").take(SHOWN_MAX) {
        let Action::Wrong(reasons) = &item.action else { continue };
        lines.push(format!("line {}: {}: {}", item.line, shown(&item.key_id), shown(&reasons.join("; "))));
    }
    lines.extend(more(SHOWN_MAX, of("wrong").count()));
    for item in of("differs").take(SHOWN_MAX) {
        lines.push(format!("line {}: {} is there and otherwise; --update changes it", item.line, item.key_id));
    }
    lines.extend(more(SHOWN_MAX, of("differs").count()));
    let linted: Vec<&Item> = items.iter().filter(|item| !item.differences.is_empty()).collect();
    for item in linted.iter().take(SHOWN_MAX) {
        let names = |gained: bool| {
            let names = item.differences.iter().filter(|one| one.gained == gained).map(|one| one.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        for (names, words) in
            [(names(true), "will be allowed and was not"), (names(false), "was allowed and will not be")]
        {
            if !names.is_empty() {
                lines.push(format!("line {}: {}: such as {} {words}", item.line, item.key_id, shown(&names)));
            }
        }
    }
    lines.extend(more(SHOWN_MAX, linted.len()));
    if !ignored.is_empty() {
        let names = shown(&ignored.join(", "));
        lines.push(format!("columns that are not taken over: {names}. Old keys are not: the CM draws new ones"));
    }
    let counts = ["create", "update", "same", "differs", "wrong"].map(|kind| format!("{} {kind}", of(kind).count()));
    lines.push(format!("{}: {}", numbered(items.len(), "line"), counts.join(", ")));
    lines.join("\n")
}

fn json_of(items: &[Item], ignored: &[String], applied: bool) -> Value {
    let item = |item: &Item| {
        let reasons = match &item.action {
            Action::Wrong(reasons) => reasons.clone(),
            Action::Create(_) | Action::Update(..) | Action::Same(_) | Action::Differs(_) => Vec::new(),
        };
        let names = |gained: bool| {
            let names = item.differences.iter().filter(|one| one.gained == gained);
            names.map(|one| one.name.clone()).collect::<Vec<_>>()
        };
        json!({"line": item.line, "key_id": item.key_id, "action": word(&item.action), "wrong": reasons,
               "newly_allowed": names(true), "no_longer_allowed": names(false)})
    };
    json!({"applied": applied, "items": items.iter().map(item).collect::<Vec<_>>(), "ignored_columns": ignored})
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn registered(key_id: &str) -> Registration {
        let json = json!({"id": "reg_1", "version": 1, "status": "pending", "owner": "room 7, left",
                          "eab": {"kid": key_id}, "eabSecret": {"kid": key_id, "hmacKey": "c2VjcmV0"}});
        Registration::of(json).unwrap()
    }

    #[test]
    fn keys_are_kept_and_known_after_an_interruption() {
        let path = std::env::temp_dir().join(format!("acme-officer-keys-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        Keys::open(&path).unwrap().append(&registered("kid-1")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut cut = OpenOptions::new().append(true).open(&path).unwrap();
        cut.write_all(b"kid-2,c2Vj").unwrap();
        let mut again = Keys::open(&path).unwrap();
        assert!(again.has("kid-1") && !again.has("kid-2") && !again.has("kid-3"));
        again.append(&registered("kid-2")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let expected = "eab_kid,hmac_key,registration\nkid-1,c2VjcmV0,reg_1\nkid-2,c2Vj\nkid-2,c2VjcmV0,reg_1\n";
        assert_eq!(text, expected);
        fs::write(&path, "something else").unwrap();
        assert_eq!(Keys::open(&path).err().unwrap().exit_code(), 3);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn progress_is_a_line_now_and_then_or_one_that_is_written_over() {
        let told = |lines: usize, is_terminal: bool| {
            let (mut progress, mut out) = (Progress { lines, done: 0, is_terminal }, Vec::new());
            (0..lines).for_each(|line| progress.step(&mut out, line));
            progress.end(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            told(1001, false),
            "500 of 1001 lines, 499 keys (49 %)\n1000 of 1001 lines, 999 keys (99 %)\n1001 of 1001 lines, 1000 keys (100 %)\n"
        );
        assert_eq!(told(500, false), "500 of 500 lines, 499 keys (100 %)\n");
        assert_eq!((told(9, false), told(9, true)), (String::new(), String::new()));
        assert_eq!(told(11, true), "\r10 of 11 lines, 9 keys (90 %)\r11 of 11 lines, 10 keys (100 %)\n");
    }

    #[test]
    fn a_plan_is_told_with_its_numbers() {
        let contents = read("kid,owner,names,eab_mac\nkid-1,o,a.test,x\nkid-2,o,,x\n", Dialect::Nexus).unwrap();
        let options = Options {
            dialect: Dialect::Nexus,
            owner: None,
            allow_any: false,
            allow_public_suffix: false,
            with_ended: false,
            update: false,
        };
        let items = plan(&contents.rows, &BTreeMap::new(), &options);
        let text = told(&items, &contents.ignored);
        for part in [
            "line 3: kid-2: its list is empty",
            "line 2: kid-1: such as bada.test, *.bada.test was allowed and will not be",
            "not taken over: eab_mac",
            "2 lines: 1 create, 0 update, 0 same, 0 differs, 1 wrong",
        ] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
        assert_eq!(json_of(&items, &[], false)["items"][0]["no_longer_allowed"], json!(["bada.test", "*.bada.test"]));
    }
}

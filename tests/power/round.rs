//! One round: records are committed without end, the power is cut, and what is left is compared with what was
//! acknowledged.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tests::{
    binaries,
    process::{Process, tail},
    wait_for,
};

use super::{
    disk::Disk,
    plan::{Cut, RoundPlan},
};

/// How long the probe may take to have so much acknowledged.
const SLOW: Duration = Duration::from_secs(120);
/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What became of a round.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) cuts: u64,
    pub(crate) acknowledged: u64,
    pub(crate) lost: u64,
    /// Records of one commit of which some are there and some are not.
    pub(crate) torn: u64,
    /// Why the database could not be opened any more.
    pub(crate) not_reopened: Option<String>,
    pub(crate) took: Duration,
}

/// Plays it in this folder; `preload` is loaded into whoever writes.
///
/// # Errors
/// There is no disk to play it on, or the probe does not work.
pub(crate) fn play(folder: &Path, plan: &RoundPlan, preload: Option<&Path>) -> Result<Outcome, String> {
    let start = Instant::now();
    let mut disk = Disk::make(folder, plan.file_system)?;
    let mut outcome = Outcome::default();
    for cut in &plan.cuts {
        commit_until_cut(&mut disk, (*cut, plan.at_once), &mut outcome, preload)?;
        outcome.cuts += 1;
        if let Err(why) = look(&disk, &mut outcome) {
            outcome.lost = outcome.acknowledged;
            outcome.not_reopened = Some(why);
        }
        // Nothing can be said about what would come after a loss.
        if outcome.lost + outcome.torn > 0 {
            break;
        }
    }
    outcome.took = start.elapsed();
    Ok(outcome)
}

/// Commits records, and cuts the power when it is time.
fn commit_until_cut(
    disk: &mut Disk,
    (cut, at_once): (Cut, u64),
    outcome: &mut Outcome,
    preload: Option<&Path>,
) -> Result<(), String> {
    let database = disk.mounted_at().join("store").display().to_string();
    let (first, at_once) = (outcome.acknowledged.to_string(), at_once.to_string());
    let setting = preload.map(|library| format!("LD_PRELOAD={}", library.display()));
    let probe = binaries::power_probe().display().to_string();
    // `env` without a setting runs the program as it is.
    let mut arguments: Vec<&str> = setting.as_deref().into_iter().collect();
    arguments.extend([probe.as_str(), "child", &database, &first, &at_once]);
    let said = disk.mounted_at().with_file_name(format!("acknowledged-{}", outcome.cuts));
    let mut probe =
        Process::start("unshare", Path::new("unshare"), &disk.arguments(Path::new("env"), &arguments), &said, None);
    let target = outcome.acknowledged + cut.after_records;
    let begun = Instant::now();
    while cut.after_records > 0 && acknowledged(&said).is_none_or(|last| last + 1 < target) {
        probe.check_alive();
        if begun.elapsed() > SLOW {
            return Err(format!("the probe does not get on: {}", tail(&said)));
        }
        thread::sleep(LOOK_EVERY);
    }
    thread::sleep(cut.pause);
    probe.signal("STOP");
    // Only then is nothing acknowledged any more.
    wait_for("the probe to stop", SLOW, || is_stopped(&probe).then_some(()));
    outcome.acknowledged = acknowledged(&said).map_or(outcome.acknowledged, |last| last + 1);
    disk.cut()?;
    probe.kill();
    disk.forget_before_cut();
    Ok(())
}

/// Opens what the cut has left and counts.
fn look(disk: &Disk, outcome: &mut Outcome) -> Result<(), String> {
    let database = disk.mounted_at().join("store").display().to_string();
    let last = outcome.acknowledged.saturating_sub(1).to_string();
    let said = disk.run(&binaries::power_probe(), &["check", &database, &last])?;
    if outcome.acknowledged == 0 {
        // It opens, and nothing was promised yet.
        return Ok(());
    }
    let count = |name| said.split(' ').find_map(|word| word.strip_prefix(name)?.parse::<u64>().ok());
    let (lost, torn) = count("lost=").zip(count("torn=")).ok_or_else(|| format!("the probe said: {said}"))?;
    (outcome.lost, outcome.torn) = (lost, torn);
    Ok(())
}

/// The last record that was acknowledged.
fn acknowledged(said: &Path) -> Option<u64> {
    let text = fs::read_to_string(said).unwrap_or_default();
    // A last line without an end is not wholly there yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.rsplit('\n').next()?.parse().ok()
}

/// Whether none of its threads runs.
fn is_stopped(probe: &Process) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", probe.id()));
    let files = tasks.into_iter().flatten().filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    // The name in parentheses may hold anything.
    let states = files.filter_map(|stat| stat.rsplit(')').next()?.trim_start().chars().next());
    let states: Vec<char> = states.collect();
    !states.is_empty() && states.into_iter().all(|state| state == 'T')
}

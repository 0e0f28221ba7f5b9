//! One round: a gateway with orders in all states dies, its database is damaged, and it is started again.

use std::{
    any::Any,
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use serde_json::Value;
use tests::{client::Client, world::World};

use super::{
    findings::{Breach, Findings},
    orders,
    plan::Damage,
};

/// The file with the records.
const MAIN_FILE: &str = "db";

/// Plays it and answers what was damaged and what came of it. The store is empty before.
pub(crate) fn play(world: &mut World, client: &Client, damage: &Damage, round: u64) -> (String, Findings) {
    let mut findings = Findings::default();
    let database = world.site().dir.join("gateway/store/sled");
    let mut before = BTreeMap::new();
    let known = orders::bring_about(world, client, round, || before = files(&database));
    world.kill_gateway();
    world.clear_faults();
    let damaged = apply(damage, &database, &before);
    let books = world.books();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.restart_gateway())) {
        findings.add(Breach::Stuck, format!("the gateway does not start: {}", words(panic.as_ref())));
        return (damaged, findings);
    }
    let client = client.restarted();
    let (submissions, went_on) = world.counting("requestCertificate", || {
        catch_unwind(AssertUnwindSafe(|| {
            let metrics = world.site().ops("/metrics").expect(200).text();
            findings.is_quarantined = metrics.lines().any(|line| line == "acme_gateway_store_quarantined 1");
            known.iter().for_each(|known| known.compare(&client, &mut findings));
            known.iter().for_each(|known| known.go_on(&client, &mut findings));
            orders::issue_another(&client, round, &mut findings);
        }))
    });
    if let Err(panic) = went_on {
        findings.add(Breach::Stuck, words(panic.as_ref()));
    }
    let after = world.books();
    known.iter().for_each(|known| known.audit(&after, &mut findings));
    let new = requests(&after) - requests(&books);
    if submissions != new {
        findings.add(Breach::Twice, format!("{submissions} submissions made {new} requests"));
    }
    (damaged, findings)
}

/// Makes the next round's store an empty one.
pub(crate) fn clear(world: &mut World) {
    world.kill_gateway();
    world.delete_store();
    world.restart_gateway();
}

/// How many requests the CM has.
fn requests(books: &Value) -> u64 {
    books["requestsByStatus"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// The files below a folder, by their names.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("there is a database").flatten() {
        if entry.path().is_dir() {
            all.extend(files(&entry.path()));
        } else if let Ok(octets) = fs::read(entry.path()) {
            // sled may just have deleted one.
            all.insert(entry.path(), octets);
        }
    }
    all
}

/// Damages one file and says what was done to which.
fn apply(damage: &Damage, database: &Path, before: &BTreeMap<PathBuf, Vec<u8>>) -> String {
    let now = files(database);
    let (main, beside): (Vec<_>, Vec<_>) =
        now.into_iter().filter(|(_, octets)| !octets.is_empty()).partition(|(path, _)| path.ends_with(MAIN_FILE));
    let choice = if damage.is_main_file || beside.is_empty() { main } else { beside };
    let which = damage.which % u64::try_from(choice.len()).expect("lengths fit");
    let chosen = choice.into_iter().nth(usize::try_from(which).expect("it is an index"));
    let (path, octets) = chosen.expect("a database has files");
    let before = before.get(&path).map_or(&[][..], Vec::as_slice);
    fs::write(&path, damage.applied(octets, before)).expect("the database can be written");
    format!("{damage} in {}", path.strip_prefix(database).unwrap_or(&path).display())
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}

//! A night on call: one thing after the other goes wrong, and a real Prometheus that scrapes the gateway raises exactly
//! the alerts that belong to it, and lets go of them when it is mended.
//!
//! The rules are those of `deploy/prometheus`, in a hurry: see `tests::prometheus`. The store lies on a small file system
//! of its own, in a mount namespace, as in `disk_full`.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{csr::Csr, key::Key, prometheus::Prometheus, tell, wait_for, world::World};

use crate::reload::identity::{For, Identity, replace};

/// Says to the process in the namespace that it is there.
const INSIDE: &str = "ACME_GATEWAY_TESTS_INCIDENT_DISK";
const TEST: &str = "incident::each_thing_that_goes_wrong_raises_exactly_its_alerts_and_they_resolve";
/// How long an alert may take, on a machine that has much else to do.
const SOON: Duration = Duration::from_secs(120);
/// What is left on the disk when it is nearly full: less than a tenth of it, and enough to write to.
const LEFT_OCTETS: usize = 3 * 1024 * 1024;

#[test]
fn each_thing_that_goes_wrong_raises_exactly_its_alerts_and_they_resolve() {
    if let Some(folder) = env::var_os(INSIDE) {
        go_through(Path::new(&folder));
        return;
    }
    if !Prometheus::is_installed() {
        tell("NOT RUN: the scripted incident: there is no Prometheus (Debian's package prometheus)");
        return;
    }
    let folder = env::temp_dir().join(format!("acme-gateway-incident-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut again = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=48m tmpfs \"$0\" && exec \"$@\"";
    let again = again.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount]).arg(&folder);
    let again = again.arg(env::current_exe().unwrap()).args(["--exact", TEST, "--nocapture"]).env(INSIDE, &folder);
    let output = again.output().expect("unshare (util-linux) can be run");
    let _ = fs::remove_dir(&folder);
    let said = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("incident: ")).collect();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !lines.is_empty(), "a small disk is needed: {said}{words}");
    lines.into_iter().for_each(tell);
}

/// What Prometheus says from the beginning of one incident to its end.
struct Watch<'a> {
    prometheus: &'a Prometheus,
    seen: RefCell<BTreeSet<String>>,
}

impl Watch<'_> {
    /// Waits until these alerts are raised, and no others.
    fn wait_for(&self, expected: &BTreeSet<String>) {
        wait_for(&format!("{expected:?}"), SOON, || {
            let alerts = self.prometheus.alerts();
            self.seen.borrow_mut().extend(alerts.iter().cloned());
            (alerts == *expected).then_some(())
        });
    }
}

/// Breaks something, looks what is raised, mends it, and looks whether all is quiet again.
fn incident<W>(
    prometheus: &Prometheus,
    (what, expected): (&str, &[&str]),
    world: &mut W,
    breaks: impl FnOnce(&mut W),
    mends: impl FnOnce(&mut W),
) {
    let watch = Watch { prometheus, seen: RefCell::default() };
    let expected: BTreeSet<String> = expected.iter().map(|alert| (*alert).to_owned()).collect();
    let start = Instant::now();
    watch.wait_for(&BTreeSet::new());
    breaks(world);
    watch.wait_for(&expected);
    let raised = start.elapsed();
    mends(world);
    watch.wait_for(&BTreeSet::new());
    assert_eq!(watch.seen.into_inner(), expected, "{what}: nothing else was raised on the way");
    println!(
        "incident: {what}: {expected:?} after {:.0} s, over after {:.0} s",
        raised.as_secs_f32(),
        start.elapsed().as_secs_f32()
    );
}

fn go_through(disk: &Path) {
    let store = format!("dir = {:?}", disk.join("store"));
    let mut world = World::start_with(&[("store", &store)]);
    let prometheus = Prometheus::start(world.site());
    prometheus.wait_for_a_look();
    let client = world.account();
    let _ = client.issue(&["before.incident.test"]);

    let wrong = ("a wrong certificate", &["CertificateWithheld", "ProfileStopped"][..]);
    let sign_wrongly = |world: &mut World| {
        let order = client.ready_order(&["bad.incident.test"]);
        world.set_fault("requestCertificate", &json!({"kind": "wrong-key"}));
        let _ = client.finalize(&order, &Csr::for_names(&["bad.incident.test"]).text(&Key::p256())).expect(200);
        let _ = client.wait(&order, "invalid");
    };
    let resume = |world: &mut World| drop(world.command(&["profile", "resume", "open", "tls-server"]).unwrap());
    incident(&prometheus, wrong, &mut world, sign_wrongly, resume);

    let files = ["acme-server.pem", "acme-server.key"].map(|file| world.site().pki(file));
    let good = files.clone().map(|file| fs::read(file).unwrap());
    let put_old = |world: &mut World| Identity::old(world, For::Clients, 5).put(&files[0], &files[1]);
    let put_back = |_: &mut World| {
        replace(&files[0], &good[0], 0o644);
        replace(&files[1], &good[1], 0o600);
    };
    incident(&prometheus, ("an expiring identity", &["IdentityExpires"]), &mut world, put_old, put_back);

    let filler = disk.join("filler");
    let fill = |world: &mut World| write(&filler, available(world).saturating_sub(LEFT_OCTETS));
    let free = |_: &mut World| fs::remove_file(&filler).unwrap();
    incident(&prometheus, ("a disk that is nearly full", &["StoreSpaceLow"]), &mut world, fill, free);

    let away = ("the CM down", &["CertificateManagerAway"][..]);
    let kill = |world: &mut World| {
        world.kill_cm();
        for _ in 0..4 {
            let _ = world.client("open").register(&json!({})).assert_refused(503, "serverInternal");
        }
    };
    incident(&prometheus, away, &mut world, kill, World::restart_cm);
}

fn write(file: &PathBuf, octets: usize) {
    fs::File::create(file).unwrap().write_all(&vec![0xa5; octets]).unwrap();
}

/// What is left for the store, by the gateway's own word.
fn available(world: &World) -> usize {
    let text = world.site().ops("/metrics").expect(200).text();
    let name = "acme_gateway_store_filesystem_available_bytes ";
    text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap()
}

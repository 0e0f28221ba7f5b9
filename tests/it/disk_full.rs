//! A disk that is really full: the store lies on a small file system of its own.
//!
//! Mounting needs no root: the test runs again in a mount namespace (`unshare --user --mount`). Where that is not
//! allowed the test fails and says so; it is never passed over in silence.

use std::{
    env, fs,
    io::Write as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{client::strings, csr::Csr, key::Key, tell, wait_for, world::World};

/// Says to the process in the namespace that it is there.
const INSIDE: &str = "ACME_GATEWAY_TESTS_MOUNTS_OF_ITS_OWN";
const SOON: Duration = Duration::from_secs(120);
/// How long it may take from space to service.
const RESUMED_WITHIN: Duration = Duration::from_secs(120);

#[test]
fn on_a_full_disk_what_must_write_is_refused_nothing_acknowledged_is_lost_and_service_resumes() {
    on_a_small_disk(
        "disk_full::on_a_full_disk_what_must_write_is_refused_nothing_acknowledged_is_lost_and_service_resumes",
        fill_and_free,
    );
}

#[test]
fn without_space_for_audit_events_nothing_new_is_issued_and_later_each_of_them_is_there_once() {
    on_a_small_disk(
        "disk_full::without_space_for_audit_events_nothing_new_is_issued_and_later_each_of_them_is_there_once",
        fill_and_free_audit,
    );
}

/// Runs the test with this name again where a small disk can be mounted, and in there what it does with that.
fn on_a_small_disk(test: &str, inside: fn(&Path)) {
    if let Some(folder) = env::var_os(INSIDE) {
        inside(Path::new(&folder));
        return;
    }
    let name = test.rsplit("::").next().unwrap_or_default().get(..10).unwrap_or_default().to_owned();
    let folder = env::temp_dir().join(format!("acme-gateway-small-disk-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut again = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=8m tmpfs \"$0\" && exec \"$@\"";
    let again = again.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount]).arg(&folder);
    let again = again.arg(env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, &folder);
    let output = again.output().expect("unshare (util-linux) can be run");
    let _ = fs::remove_dir(&folder);
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find(|line| line.starts_with("the disk was full"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && line.is_some(), "a small disk is needed: {said}{words}");
    line.into_iter().for_each(tell);
}

/// Takes what space there is left.
fn fill(folder: &Path) {
    let mut file = fs::File::options().create(true).append(true).open(folder.join("filler")).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![0xa5; size]).is_ok() {}
    }
}

fn fill_and_free(disk: &Path) {
    let store = format!("dir = {:?}", disk.join("store"));
    // The audit files have space of their own: what is refused is refused by the store.
    let audit = format!("dir = {:?}", disk.with_extension("audit"));
    let mut world = World::start_with(&[("store", &store), ("audit", &audit)]);
    let client = world.account();
    let (ready, issued) = (client.ready_order(&["ready.full.test"]), client.issue(&["issued.full.test"]));
    let pending = client.order(&["pending.full.test"]);
    let authorization = strings(&pending.object["authorizations"]).remove(0);
    let challenge = client.provide(&client.read(&authorization).expect(200).json(), "http-01");
    let challenge = challenge["url"].as_str().unwrap();
    let mut acknowledged = vec![ready.url.clone(), issued.order_url.clone(), pending.url.clone()];
    fill(disk);
    // What the store has room for in its own files is still taken.
    let refused = wait_for("a refusal", SOON, || {
        let response = client.new_order(&["more.full.test"]);
        match response.status {
            201 => {
                acknowledged.push(response.location());
                None
            }
            _ => Some(response),
        }
    });
    let _ = refused.assert_refused(503, "serverInternal");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    // Whoever meets the full disk first has the store opened again, with the help of the reserve.
    wait_for("the store", SOON, || {
        let is_full = world.site().ops("/readyz").text().contains("no space left");
        (is_full && client.read(&issued.url).status == 200).then_some(())
    });
    // The reserve was given back to the disk: somebody else takes that too.
    fill(disk);

    let not_ready = wait_for("red readiness", SOON, || {
        let response = world.site().ops("/readyz");
        (response.status == 503).then_some(response)
    });
    assert!(not_ready.text().contains("no space left"), "{not_ready:?}");
    let _ = world.site().ops("/healthz").expect(200);
    let site = world.site();
    let _ = site.get(&site.url("open", "directory")).expect(200);
    let _ = site.send("HEAD", &site.url("open", "new-nonce"), &[], None).expect(200);
    let _ = client.read(&issued.url).expect(200);
    let csr = Csr::for_names(&["ready.full.test"]).text(&Key::p256());
    for response in [
        client.new_order(&["more.full.test"]),
        client.post(challenge, &json!({})),
        client.post(&authorization, &json!({"status": "deactivated"})),
        client.finalize(&ready, &csr),
    ] {
        let _ = response.assert_refused(503, "serverInternal");
        assert!(response.header("retry-after").is_some(), "{response:?}");
    }
    for url in &acknowledged {
        let _ = client.read(url).expect(200);
    }
    assert_eq!(client.read(&authorization).member("status"), "pending", "what was refused was not done");

    fs::remove_file(disk.join("filler")).unwrap();
    let start = Instant::now();
    wait_for("readiness", RESUMED_WITHIN, || (world.site().ops("/readyz").status == 200).then_some(()));
    let resumed = start.elapsed();
    let _ = client.post(challenge, &json!({})).expect(200);
    let _ = client.wait(&pending, "ready");
    let _ = client.finalize(&ready, &csr).expect(200);
    let _ = client.wait(&ready, "valid");
    assert_eq!(world.certificates_of(&ready.url), 1);
    acknowledged.push(client.order(&["after.full.test"]).url);
    // What the next process finds is the same.
    world.kill_gateway();
    world.restart_gateway();
    let client = client.restarted();
    for url in &acknowledged {
        let _ = client.read(url).expect(200);
    }
    println!(
        "the disk was full: {} orders acknowledged, 0 lost, service resumed by itself after {:.1} s",
        acknowledged.len(),
        resumed.as_secs_f32()
    );
}

/// The audit files alone are on the small disk.
fn fill_and_free_audit(disk: &Path) {
    let folder = disk.join("audit");
    let mut world = World::start_with(&[("audit", &format!("dir = {folder:?}"))]);
    let client = world.account();
    let (ready, mut orders) = (client.ready_order(&["ready.audit-full.test"]), Vec::new());
    fill(disk);
    let refused = wait_for("a refusal", SOON, || {
        let response = client.new_order(&["more.audit-full.test"]);
        match response.status {
            201 => {
                orders.push(response.location());
                None
            }
            _ => Some(response),
        }
    });
    let _ = refused.assert_refused(503, "serverInternal");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let csr = Csr::for_names(&["ready.audit-full.test"]).text(&Key::p256());
    let _ = client.finalize(&ready, &csr).assert_refused(503, "serverInternal");
    let not_ready = world.site().ops("/readyz").expect(503).text();
    assert!(not_ready.contains("audit: ") && not_ready.contains("No space left"), "{not_ready}");
    let _ = client.read(&ready.url).expect(200);

    fs::remove_file(disk.join("filler")).unwrap();
    wait_for("readiness", RESUMED_WITHIN, || (world.site().ops("/readyz").status == 200).then_some(()));
    let _ = client.finalize(&ready, &csr).expect(200);
    let _ = client.wait(&ready, "valid");
    world.signal_gateway("TERM");
    assert_eq!(world.gateway_ended(), Some(0));
    let records = crate::audit::verified(&folder);
    for order in &orders {
        assert_eq!(crate::audit::count(&records, "order.created", order), 1, "{order}");
    }
    assert_eq!(crate::audit::count(&records, "certificate.issued", &ready.url), 1);
    println!("the disk was full of audit events: {} orders made in spite of that, each told once", orders.len());
}

//! After a certificate that nobody asked for, nothing more is asked for by its profile until an operator says so.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
    time::Duration,
};

use serde_json::json;
use tests::{binaries, csr::Csr, key::Key, tell, wait_for, world::World};

use crate::fragile_world;

/// How long the report on a certificate may take.
const SOON: Duration = Duration::from_secs(120);
const METRIC: &str = "acme_gateway_profiles_stopped{endpoint=\"open\",profile=\"tls-server\"} 1";

fn metrics(world: &World) -> String {
    world.site().ops("/metrics").expect(200).text()
}

/// How many certificates were withheld or issued.
fn count(world: &World, what: &str) -> u64 {
    let name = format!("acme_gateway_certificates_{what}_total ");
    metrics(world).lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
}

#[test]
fn a_wrong_certificate_stops_its_profile_until_an_operator_resumes_it() {
    let mut world = fragile_world();
    let client = world.account();
    let (bad, ready) = (client.ready_order(&["bad.stop.test"]), client.ready_order(&["ready.stop.test"]));
    let csr = |name: &str| Csr::for_names(&[name]).text(&Key::p256());
    world.set_fault("requestCertificate", &json!({"kind": "wrong-key"}));
    let _ = client.finalize(&bad, &csr("bad.stop.test")).expect(200);
    let _ = client.wait(&bad, "invalid");
    let assert_stopped = |world: &World| {
        for refused in [client.new_order(&["new.stop.test"]), client.finalize(&ready, &csr("ready.stop.test"))] {
            let _ = refused.assert_refused(503, "serverInternal");
            assert!(refused.header("retry-after").is_some(), "{refused:?}");
        }
        assert!(metrics(world).contains(METRIC));
    };
    assert_stopped(&world);
    assert_eq!(world.stop_gateway(), Some(0));
    world.restart_gateway();
    assert_stopped(&world);
    assert_eq!(client.read(&ready.url).expect(200).member("status"), "ready");

    let listed = world.command(&["profile", "list"]).unwrap();
    let order = bad.url.rsplit('/').next().unwrap();
    assert!(listed.contains("open tls-server stopped since") && listed.contains(order), "{listed}");
    assert!(listed.contains("public-key: "), "{listed}");
    assert!(world.command(&["profile", "list", "--json"]).unwrap().contains("BEGIN CERTIFICATE"));
    let refused = world.command(&["profile", "resume", "open", "other"]).unwrap_err();
    assert!(refused.contains("profile other of realm open is not stopped"), "{refused}");
    assert!(world.command(&["profile", "resume", "open", "tls-server"]).unwrap().contains("is used again"));
    assert!(!metrics(&world).contains("profiles_stopped{"));
    let _ = client.finalize(&ready, &csr("ready.stop.test")).expect(200);
    let _ = client.wait(&ready, "valid");
    assert!(world.command(&["profile", "list"]).unwrap().starts_with("No profile is stopped."));
}

/// The three that a CM must not go on after: nothing reaches the client, the alarm rises, the profile stops.
#[test]
fn a_wrong_key_name_or_chain_reaches_nobody_raises_the_alarm_and_stops_the_profile() {
    let world = fragile_world();
    let client = world.account();
    let counts = || ["withheld", "issued"].map(|what| count(&world, what));
    for (fault, check) in [("wrong-key", "public-key"), ("wrong-names", "names"), ("wrong-chain", "chain")] {
        let [withheld, issued] = counts();
        let order = client.ready_order(&["bad.stop.test"]);
        world.set_fault("requestCertificate", &json!({"kind": fault}));
        let csr = Csr::for_names(&["bad.stop.test"]).text(&Key::p256());
        let _ = client.finalize(&order, &csr).expect(200);
        let ended = client.wait(&order, "invalid");
        assert_eq!(ended.object["error"]["type"], "urn:ietf:params:acme:error:serverInternal", "{fault}");
        assert!(ended.object.get("certificate").is_none(), "{fault}");
        let listed = world.command(&["profile", "list"]).unwrap();
        assert!(listed.contains(&format!("    {check}: ")), "{fault}: {listed}");
        let certificate = listed.lines().find_map(|line| line.split_once("because of certificate ")).unwrap().1;
        let certificate = certificate.split(' ').next().unwrap();
        let told = ended.object.to_string();
        assert!(!told.contains(certificate) && !told.contains("SPKI"), "nothing from inside: {told}");
        assert_eq!(counts(), [withheld + 1, issued], "{fault}");
        assert!(metrics(&world).contains(METRIC), "{fault}");
        let _ = client.new_order(&["next.stop.test"]).assert_refused(503, "serverInternal");
        assert_eq!(world.certificates_of(&order.url), 1, "{fault}: the CM has it, and its books say so");
        let _ = world.command(&["profile", "resume", "open", "tls-server"]).unwrap();
    }
}

#[test]
fn a_second_certificate_for_one_request_stops_the_realm_and_the_first_stays() {
    let world = fragile_world();
    let client = world.account();
    let order = client.ready_order(&["twice.stop.test"]);
    world.set_fault("requestCertificate", &json!({"kind": "reset-after"}));
    world.set_fault("getRequest", &json!({"kind": "second-certificate"}));
    let key = Key::p256();
    let _ = client.finalize(&order, &Csr::for_names(&["twice.stop.test"]).text(&key)).expect(200);
    let valid = client.wait(&order, "valid");
    let all = "acme_gateway_profiles_stopped{endpoint=\"open\",profile=\"*\"} 1";
    wait_for("the alarm", SOON, || metrics(&world).contains(all).then_some(()));
    let issued = client.download(&valid, key);
    assert!(issued.pem.starts_with("-----BEGIN CERTIFICATE-----"), "the first one is the client's");
    let _ = client.new_order(&["next.stop.test"]).assert_refused(503, "serverInternal");
    let listed = world.command(&["profile", "list"]).unwrap();
    assert!(listed.contains("open all profiles stopped since") && listed.contains("claims: "), "{listed}");
    assert!(world.command(&["profile", "resume", "open"]).unwrap().starts_with("Realm open is used again"));
    let _ = client.new_order(&["next.stop.test"]).expect(201);
}

#[test]
fn the_socket_of_operators_is_for_the_user_of_the_gateway_alone() {
    let world = fragile_world();
    let socket = world.site().dir.join("gateway/store/admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
}

/// The mode of the file is not all: who asks is looked at too, for the file is there a moment before it has its mode.
#[test]
fn the_socket_of_operators_answers_no_other_user() {
    /// Debian's `nobody`.
    const OTHER: &str = "65534";
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        tell("NOT RUN: another user at the socket of operators: this needs root");
        return;
    }
    let world = World::start();
    let dir = &world.site().dir;
    let open = |path: &Path, more: u32| {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | more)).unwrap();
    };
    let socket = dir.join("gateway/store/admin.sock");
    open(&socket, 0o666);
    open(&world.site().settings_file(), 0o444);
    for above in socket.ancestors().skip(1).take_while(|above| above.starts_with(dir)) {
        open(above, 0o111);
    }
    let mut command = Command::new("setpriv");
    let _ = command.args(["--reuid", OTHER, "--regid", OTHER, "--clear-groups"]).arg(binaries::gateway());
    let _ = command.args(["profile", "list", "--config"]).arg(world.site().settings_file());
    let output = command.output().expect("setpriv (util-linux) can be run");
    let words = String::from_utf8_lossy(&output.stderr);
    if words.starts_with("setpriv: failed to execute") {
        tell(&format!("NOT RUN: another user at the socket of operators: {}", words.trim()));
        return;
    }
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(words.contains(&format!("user {OTHER} is not the user of the gateway")), "{words}");
    assert!(world.command(&["profile", "list"]).is_ok(), "its own user is answered");
}

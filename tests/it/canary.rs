//! The canary goes the way of clients by itself, and says what came of it to people, programs and Prometheus.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tests::{binaries, wait_for, world::World};

use crate::fragile_world;

/// Where the canary answers http-01: nobody else is there.
const NEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

fn fly(world: &World, name: &str, textfile: &Path) -> Output {
    let site = world.site();
    world.site().control("/add-a", &json!({"host": format!("{name}."), "addresses": [NEST.to_string()]}));
    let listen = SocketAddr::from((NEST, site.http_01_port)).to_string();
    let mut command = Command::new(binaries::gateway());
    let command = command.args(["canary", "--json", "--directory", &site.url("open", "directory"), "--name", name]);
    let command = command.args(["--listen", &listen]).arg("--ca-file").arg(site.pki("acme-ca.pem"));
    let command = command.arg("--roots-file").arg(site.pki("root.pem")).arg("--textfile").arg(textfile);
    let command = command.arg("--account-key-file").arg(site.dir.join("canary.key")).stdin(Stdio::null());
    command.output().unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn count(world: &World, name: &str) -> u64 {
    let text = world.site().ops("/metrics").expect(200).text();
    let name = format!("acme_gateway_{name} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
}

/// The value of a metric in the file; nothing if it is not in it.
fn number(textfile: &Path, name: &str) -> Option<f64> {
    let text = fs::read_to_string(textfile).unwrap();
    let start = format!("acme_gateway_canary_{name}{{directory=\"");
    text.lines().find_map(|line| line.strip_prefix(&start)?.rsplit_once(' ')?.1.parse().ok())
}

#[test]
fn the_canary_gets_and_revokes_a_certificate_and_tells_where_it_ends_if_it_does_not() {
    let world = fragile_world();
    let textfile = world.site().dir.join("canary.prom");
    let counts = || ["certificates_issued_total", "certificates_revoked_total"].map(|name| count(&world, name));

    let [issued, revoked] = counts();
    let output = fly(&world, "canary.canary.test", &textfile);
    let said = json_of(&output);
    assert_eq!(
        (output.status.code(), &said["success"], &said["stage"]),
        (Some(0), &json!(true), &Value::Null),
        "{said}"
    );
    // It may go as soon as its revocation is promised.
    wait_for("the counts", Duration::from_secs(60), || (counts() == [issued + 1, revoked + 1]).then_some(()));
    assert!(said["order"].as_str().unwrap().starts_with("https://") && said["mend"].is_null(), "{said}");
    assert_eq!(number(&textfile, "success"), Some(1.0));
    let succeeded = number(&textfile, "success_timestamp_seconds").unwrap();
    let mode = fs::metadata(world.site().dir.join("canary.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);

    // The same account once more, for what it cannot have.
    let output = fly(&world, "canary.onion", &textfile);
    let said = json_of(&output);
    assert_eq!((output.status.code(), said["stage"].as_str()), (Some(1), Some("order")), "{said}");
    assert!(said["reason"].as_str().unwrap().contains("identifier.onion"), "{said}");
    assert!(said["mend"].as_str().unwrap().contains("registration") && said["order"].is_null(), "{said}");
    assert_eq!(
        (number(&textfile, "success"), number(&textfile, "success_timestamp_seconds")),
        (Some(0.0), Some(succeeded))
    );

    // The server is not the one that clients trust.
    let site = world.site();
    let mut command = Command::new(binaries::gateway());
    let command = command.args(["canary", "--directory", &site.url("open", "directory"), "--name", "x.canary.test"]);
    let command = command.args(["--listen", "127.0.0.66:0", "--ca-file"]).arg(site.pki("root.pem"));
    let output = command.arg("--account-key-file").arg(site.dir.join("canary.key")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains("It ended at the directory: "), "{said}");
}

#[test]
fn a_canary_that_is_not_in_order_is_told_apart_from_a_service_that_is_not() {
    let world = fragile_world();
    let site = world.site();
    let taken = TcpListener::bind((NEST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let absent = site.dir.join("absent.pem");
    let (good, key) = (site.pki("root.pem"), site.dir.join("prepared.key"));
    for (roots, listen, named) in [(&good, address.as_str(), "ss -ltnp"), (&absent, "127.0.0.66:0", "--roots-file")] {
        let mut command = Command::new(binaries::gateway());
        let command = command.args(["canary", "--json", "--directory", &site.url("open", "directory")]);
        let command = command.args(["--name", "x.canary.test", "--listen", listen]).arg("--ca-file").arg(&good);
        let command = command.arg("--roots-file").arg(roots).arg("--account-key-file").arg(&key);
        let output = command.output().unwrap();
        let said = json_of(&output);
        assert_eq!((output.status.code(), said["stage"].as_str()), (Some(78), Some("preparation")), "{said}");
        assert!(said["reason"].as_str().unwrap().contains(named), "{said}");
    }
    let mut command = Command::new(binaries::gateway());
    let command = command.args(["canary", "--json", "--directory", &site.url("registered", "directory")]);
    let command =
        command.args(["--name", "x.canary.test", "--listen", "127.0.0.66:0", "--external-account-key-id", "x"]);
    let command = command.arg("--external-account-key-file").arg(&absent).arg("--roots-file").arg(&good);
    let command = command.arg("--ca-file").arg(site.pki("acme-ca.pem")).arg("--account-key-file").arg(&key);
    let output = command.output().unwrap();
    let said = json_of(&output);
    assert_eq!((output.status.code(), said["stage"].as_str()), (Some(78), Some("preparation")), "{said}");
    assert!(said["reason"].as_str().unwrap().contains("--external-account-key-file"), "{said}");
}

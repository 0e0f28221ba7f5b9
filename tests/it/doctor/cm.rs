//! What is between the gateway and the CM.

use std::fs;

use serde_json::json;
use tests::world::World;

use super::{CLOSED_PORT, assert_found, assert_mended, good, pki, settings, with};
use crate::{fragile_world, world};

const CONNECTION: (&str, &str) = ("cm-connection", "wrong");

#[test]
fn a_cm_that_does_not_listen_there_is_found() {
    let world = world();
    let cm = world.facts()["cm"].as_str().unwrap();
    let text = with(world, &format!("url = {cm:?}"), &format!("url = \"https://localhost:{CLOSED_PORT}\""));
    let file = settings(world, "cm-port", &text);
    let _ = assert_found(&file, "cm.url has a wrong port", CONNECTION, &["takes no connections"], "cm.url");
    fs::write(&file, good(world)).unwrap();
    assert_mended(&file, "cm-connection");
}

#[test]
fn a_certificate_of_ours_that_the_cm_refuses_after_the_handshake_is_found() {
    let world = world();
    let text = with(world, &pki(world, "gateway.pem"), &pki(world, "acme-server.pem"));
    let text = text.replace(&pki(world, "gateway.key"), &pki(world, "acme-server.key"));
    let file = settings(world, "cm-identity", &text);
    let what = ["refuses our certificate", "ACME sandbox web CA", "after the handshake: alert"];
    let _ = assert_found(
        &file,
        "our certificate is by a CA that the CM does not trust",
        CONNECTION,
        &what,
        "urn:cm:gateway:",
    );
    fs::write(&file, good(world)).unwrap();
    assert_mended(&file, "cm-connection");
}

#[test]
fn a_proxy_that_answers_in_the_place_of_the_cm_is_found() {
    // Its gateway remembers for a while what it met, so nobody else gets this world.
    let world = World::start();
    let file = settings(&world, "proxy", &good(&world));
    world.set_faults("*", 1000, &json!({"kind": "html-page"}));
    let _ = assert_found(&file, "a proxy answers for the CM", CONNECTION, &["status 502"], "proxy");
    world.clear_faults();
    assert_mended(&file, "cm-connection");
}

#[test]
fn a_clock_that_differs_is_a_warning_and_from_five_minutes_on_wrong() {
    // Its gateway remembers for a while what it met, so nobody else gets this world.
    let world = World::start();
    let file = settings(&world, "clock", &good(&world));
    for (seconds, severity, what) in [(120, "warn", "ahead of ours"), (-400, "wrong", "behind ours")] {
        world.set_faults("*", 1000, &json!({"kind": "skewed-clock", "seconds": seconds}));
        let misconfiguration = format!("the CM's clock is off by {seconds} s");
        let _ = assert_found(&file, &misconfiguration, ("clock", severity), &[what], "NTP");
        world.clear_faults();
    }
    assert_mended(&file, "clock");
}

#[test]
fn a_profile_that_was_retired_is_found() {
    let world = fragile_world();
    let file = settings(&world, "retired", &good(&world));
    let retire =
        |retired: bool| world.site().control("/configure", &json!({"profile": "tls-server", "retired": retired}));
    let _ = retire(true);
    let what = ["endpoint web", "no profile"];
    let _ = assert_found(&file, "the profile is retired", ("profiles", "wrong"), &what, "in use at the CM");
    let _ = retire(false);
    assert_mended(&file, "profiles");
}

#[test]
fn issuers_that_no_configured_root_vouches_for_are_found() {
    let world = world();
    let roots = world.site().dir.join("doctor-roots.pem");
    fs::copy(world.site().pki("infra-ca.pem"), &roots).unwrap();
    let file = settings(world, "roots", &with(world, &pki(world, "roots.pem"), &format!("{roots:?}")));
    let what = ["does not chain to a root"];
    let mend = format!("CN=ACME sandbox root (in PEM, from your CA) to {}", roots.display());
    let _ = assert_found(&file, "cm.issuer_roots_file has other roots", ("trust-chains", "wrong"), &what, &mend);
    let added = fs::read_to_string(&roots).unwrap() + &fs::read_to_string(world.site().pki("root.pem")).unwrap();
    fs::write(&roots, added).unwrap();
    assert_mended(&file, "trust-chains");
}

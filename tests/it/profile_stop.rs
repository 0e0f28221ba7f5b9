//! After a certificate that nobody asked for, nothing more is asked for by its profile until an operator says so.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;
use tests::{csr::Csr, key::Key, world::World};

use crate::fragile_world;

const METRIC: &str = "acme_gateway_profiles_stopped{endpoint=\"open\",profile=\"tls-server\"} 1";

fn metrics(world: &World) -> String {
    world.site().ops("/metrics").expect(200).text()
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

#[test]
fn the_socket_of_operators_is_for_the_user_of_the_gateway_alone() {
    let world = fragile_world();
    let socket = world.site().dir.join("gateway/store/admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
}

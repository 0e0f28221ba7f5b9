//! The CM comes back after an outage and is not what it was (CM contract section 8, capability lost).

use std::{fs, time::Duration};

use serde_json::json;
use tests::{wait_for, world::World};

use crate::renewal_info::certificate_id;

/// The CM is asked whether it is back every five seconds, if anybody needs it.
const SOON: Duration = Duration::from_secs(120);

/// Takes the CM away until calls fail at once, and brings it back with another text in its settings.
fn come_back_with(world: &mut World, old: &str, new: &str) {
    change_cm(world, old, new, |world| {
        for _ in 0..3 {
            let _ = world.client("open").register(&json!({})).assert_refused(503, "serverInternal");
        }
    });
}

/// Ends the CM and starts it again with another text in its settings.
pub(crate) fn change_cm(world: &mut World, old: &str, new: &str, meanwhile: impl FnOnce(&World)) {
    world.kill_cm();
    meanwhile(world);
    let file = world.site().sandbox_dir().join("cm.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(&file, text.replacen(old, new, 1)).unwrap();
    world.restart_cm();
}

#[test]
fn a_cm_that_has_no_renewal_information_any_more_is_not_asked_and_the_directory_does_not_name_it() {
    let mut world = World::start();
    let client = world.account();
    let issued = client.issue(&["before.reconnection.test"]);
    let directory = client.url("directory");
    let renewal_info = world.site().get(&directory).expect(200).member("renewalInfo");
    come_back_with(&mut world, "lacks = []", "lacks = [\"renewal-info\"]");
    wait_for("a directory without renewal information", SOON, || {
        let _poke = world.client("open").register(&json!({}));
        world.site().get(&directory).expect(200).json()["renewalInfo"].is_null().then_some(())
    });
    let url = format!("{renewal_info}/{}", certificate_id(&issued.leaf));
    let (asked, ()) = world.counting("getRenewalInfo", || {
        let refused = world.site().get(&url).assert_problem(404, "malformed");
        assert!(refused.contains("does not say when certificates should be renewed"), "{refused}");
    });
    assert_eq!(asked, 0);
}

#[test]
fn a_cm_that_does_not_take_the_gateway_for_one_of_its_realms_any_more_makes_it_not_ready() {
    let mut world = World::start();
    come_back_with(&mut world, "realms = [\"open\", \"registered\"", "realms = [\"open\"");
    let body = wait_for("a gateway that is not ready", SOON, || {
        let _poke = world.client("open").register(&json!({}));
        let ready = world.site().ops("/readyz");
        (ready.status == 503).then(|| String::from_utf8_lossy(&ready.body).into_owned())
    });
    assert!(body.contains("not in the realm registered"), "{body}");
    let metrics = world.site().ops("/metrics").expect(200).text();
    assert!(metrics.contains("acme_gateway_unready{reason=\"cm\"} 1\n"), "alerts see what probes see: {metrics}");
}

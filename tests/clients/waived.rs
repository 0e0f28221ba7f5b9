//! Clients for whose names an officer waived the challenges: nothing listens for a challenge, and the names do not even exist.

use serde_json::{Value, json};
use tests::{device::Device, officer::Preregistration, world::World};

use super::{
    certbot, dehydrated, lego,
    origin::{CERTBOT, DEHYDRATED, LEGO},
    scenario::Lane,
};

/// lego, at the address that the waiver names.
pub(crate) fn lego(world: &World) -> Lane<'_> {
    let here = json!({"addresses": ["127.0.0.0/8"]});
    Lane::new(world, "lego-waived", 91)
        .with_external_account(waived(world, "lego-waived.test", &here))
        .with(LEGO, "waived: a name, without a challenge", |lane| {
            lego::with_eab(lane, lego::http(lane, "registered", &["www.lego-waived.test"])).arg("run").succeed()?;
            lego::check(lane, "www.lego-waived.test", &["DNS:www.lego-waived.test"])
        })
        .with(LEGO, "waived: a wildcard, without a challenge", |lane| {
            let shell = lego::http(lane, "registered", &["*.lego-waived.test"]);
            lego::with_eab(lane, shell).arg("run").succeed()?;
            lego::check(lane, "_.lego-waived.test", &["DNS:*.lego-waived.test"])
        })
}

/// certbot, at the address that the waiver names.
pub(crate) fn certbot(world: &World) -> Lane<'_> {
    let here = json!({"addresses": ["127.0.0.0/8"]});
    Lane::new(world, "certbot-waived", 92)
        .running("certbot")
        .with_external_account(waived(world, "certbot-waived.test", &here))
        .with(CERTBOT, "waived: a name, without a challenge", |lane| {
            let (kid, key) = lane.eab();
            let shell = certbot::request(lane, "registered", &["www.certbot-waived.test"]);
            shell.args(&["--eab-kid", &kid, "--eab-hmac-key", &key]).succeed()?;
            certbot::check(lane, "www.certbot-waived.test", &["DNS:www.certbot-waived.test"])
        })
}

/// dehydrated, with the key that the waiver names.
pub(crate) fn dehydrated(world: &World) -> Lane<'_> {
    let device = Device::new(&world.site().dir, "dehydrated-device");
    let registration = waived(world, "dehydrated-waived.test", &json!({"clientCertificates": [device.digest]}));
    Lane::new(world, "dehydrated-waived", 93).with_web_server().with_external_account(registration).with(
        DEHYDRATED,
        "waived: by a client certificate, without a challenge",
        move |lane| {
            let (kid, key) = lane.eab();
            let curl = format!("--cert {} --key {}", device.certificate.display(), device.key.display());
            let more = format!("EAB_KID={kid}\nEAB_HMAC_KEY={key}\nCURL_OPTS=\"$CURL_OPTS {curl}\"\n");
            dehydrated::configure(lane, "registered", &more)?;
            dehydrated::dehydrated(lane).args(&["--register", "--accept-terms"]).succeed()?;
            let name = "www.dehydrated-waived.test";
            dehydrated::dehydrated(lane).args(&["--cron", "--domain", name]).succeed()?;
            dehydrated::check(lane, name, &["DNS:www.dehydrated-waived.test"])
        },
    )
}

/// A registration with a waiver for everything below this name.
fn waived(world: &World, suffix: &str, evidence: &Value) -> Preregistration {
    let officer = world.officer();
    let registration = officer.preregister(&json!({}));
    let identifiers = json!([{"type": "dns", "match": "suffix", "value": suffix, "wildcards": true}]);
    let waiver = officer.propose_waiver(&registration.id, &identifiers, evidence, &tests::time::ahead(86_400));
    officer.decide_waiver(&registration.id, &waiver, "approve");
    registration
}

//! A gateway that gets its own server certificate from the CM by one of its own endpoints: the first one, renewals,
//! and what clients see while there is none.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use openssl::{
    ssl::{SslConnector, SslMethod, SslVerifyMode},
    x509::X509,
};
use serde_json::{Value, json};
use tests::{base64url, binaries, http::request, officer::Officer, site::Site, wait_for, world::World};

use crate::renewal_info::certificate_id;

const NAME: &str = "gateway.example.test";
/// It looks every five seconds at whether it is time, and tries again within a minute when something was away.
const RENEWED_WITHIN: Duration = Duration::from_secs(120);

/// Sooner than it would be renewed anyway: that is forty seconds after it has begun.
const REPLACED_WITHIN: Duration = Duration::from_secs(30);

/// What such a gateway is told: nothing of certificate files, and that its own listener answers challenges.
fn settings(site: &Site, endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("server", String::from("certificate_file = \"/nonexistent/server.pem\"")),
        ("server", String::from("key_file = \"/nonexistent/server.key\"")),
        ("server_certificate", format!("from_endpoint = {endpoint:?}")),
        ("server_certificate", format!("dir = {:?}", folder(site))),
        ("validation", format!("tls_port = {}", site.gateway.port())),
    ]
}

fn folder(site: &Site) -> PathBuf {
    site.dir.join("gateway/server-certificate")
}

fn open_world() -> World {
    World::start_as(NAME, "roots.pem", |site, _| settings(site, "open"))
}

/// With an account that an officer made, whose certificates have this validity.
fn registered_world(validity: &str) -> World {
    World::start_as(NAME, "roots.pem", |site, officer| {
        let mut settings = settings(site, "registered");
        settings.extend(external_account_key(site, officer, validity));
        settings
    })
}

fn external_account_key(site: &Site, officer: &Officer, validity: &str) -> [(&'static str, String); 2] {
    let allowed = json!({"mode": "listed", "rules": [{"type": "dns", "value": NAME, "match": "exact"}]});
    let profiles = ["tls-server", "tls-server-approval"];
    let members = json!({"allowedIdentifiers": allowed, "allowedProfiles": profiles, "maxValidity": validity});
    let registration = officer.preregister(&members);
    let file = site.dir.join("external.key");
    let mut options = fs::OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(0o600).open(&file).unwrap();
    std::io::Write::write_all(&mut opened, base64url(registration.secret).as_bytes()).unwrap();
    [
        ("server_certificate", format!("external_account_key_id = {:?}", registration.kid)),
        ("server_certificate", format!("external_account_key_file = {file:?}")),
    ]
}

/// What the gateway shows, whoever vouches for it.
fn shown(site: &Site) -> X509 {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let socket = TcpStream::connect(site.gateway).unwrap();
    connector.build().connect(site.name(), socket).unwrap().ssl().peer_certificate().unwrap()
}

/// What the gateway shows to those who verify it: name, chain, dates.
fn accepted(site: &Site) -> Option<X509> {
    site.try_connect().ok().map(|_| shown(site))
}

fn names(certificate: &X509) -> Vec<String> {
    let names = certificate.subject_alt_names().unwrap();
    let mut names: Vec<_> = names.iter().filter_map(|name| name.dnsname()).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

fn certificates(world: &World) -> u64 {
    world.books()["certificatesByOrderRef"].as_object().unwrap().values().filter_map(|count| count.as_u64()).sum()
}

fn expires(world: &World) -> Option<String> {
    let text = world.site().ops("/metrics").expect(200).text();
    let name = "acme_gateway_identity_expires_timestamp_seconds{identity=\"server\"} ";
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

#[test]
fn a_gateway_without_any_file_gets_a_certificate_and_keeps_it_over_restarts() {
    let mut world = open_world();
    let site = world.site().clone();
    // It is ready as soon as there is one; the listener sees it moments later.
    let first = wait_for("a certificate", RENEWED_WITHIN, || accepted(&site));
    assert_eq!(names(&first), [NAME]);
    assert_eq!(certificates(&world), 1);
    for file in ["account.key", "server.pem"] {
        let mode = fs::metadata(folder(&site).join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(!folder(&site).join("order.json").exists(), "nothing is under way");
    let issued = world.account().issue(&["client.example.test"]);
    assert_eq!(issued.leaf.issuer_name().entries().count(), first.issuer_name().entries().count());

    assert_eq!(world.stop_gateway(), Some(0));
    world.restart_gateway();
    assert_eq!(accepted(&site), Some(first.clone()));
    world.kill_gateway();
    world.delete_store();
    world.restart_gateway();
    assert_eq!(accepted(&site), Some(first.clone()), "it is not kept in the store");
    assert_eq!(certificates(&world), 2, "no other was asked for");

    // The account is found again by its key when only the certificate is lost.
    let accounts = || world.books()["registrations"].clone();
    let before = accounts();
    assert_eq!(world.stop_gateway(), Some(0));
    fs::remove_file(folder(&site).join("server.pem")).unwrap();
    world.restart_gateway();
    assert_ne!(wait_for("a certificate", RENEWED_WITHIN, || accepted(&site)), first);
    assert_eq!(world.books()["registrations"], before, "no other account was made");
    let output =
        Command::new(binaries::gateway()).arg("check-config").arg("--config").arg(site.settings_file()).output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(said.contains(&format!("server certificate for {NAME} from endpoint open, in ")), "{said}");
}

#[test]
fn a_short_lived_certificate_is_renewed_and_a_revoked_one_replaced_and_no_request_fails() {
    // A minute of it is over when it begins.
    let world = registered_world("PT150S");
    let site = world.site();
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let first = wait_for("a certificate", RENEWED_WITHIN, || accepted(site));
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        let asking = [0, 1].map(|_| {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                let mut kept = site.connect();
                while !stop.load(Ordering::Relaxed) {
                    kept.send(request("GET", "/acme/open/directory", NAME, &[], None)).unwrap();
                    let answer = kept.receive("GET").unwrap().expect(200);
                    let _ = site.get(&site.url("open", "new-nonce")).expect(204);
                    done.fetch_add(1, Ordering::Relaxed);
                    if answer.ends_connection() {
                        kept = site.connect();
                    }
                }
            })
        });
        let (world, client, stop) = (&world, world.account(), &stop);
        let issuing = scope.spawn(move || {
            let mut orders = 0;
            while !stop.load(Ordering::Relaxed) {
                let issued = client.issue(&["beside.example.test"]);
                assert_eq!(world.certificates_of(&issued.order_url), 1);
                orders += 1;
            }
            orders
        });
        let other =
            |than: &X509, within| wait_for("another certificate", within, || accepted(site).filter(|now| now != than));
        let second = other(&first, RENEWED_WITHIN);
        assert_eq!(names(&second), [NAME]);
        world.officer().revoke(&certificate_id(&second), &second.to_der().unwrap());
        let third = other(&second, REPLACED_WITHIN);
        assert_eq!(names(&third), [NAME]);
        let before = done.load(Ordering::Relaxed);
        wait_for("load", RENEWED_WITHIN, || (done.load(Ordering::Relaxed) > before + 20).then_some(()));
        stop.store(true, Ordering::Relaxed);
        for thread in asking {
            thread.join().expect("no request failed");
        }
        assert!(issuing.join().expect("no issuance failed") > 0);
    });
}

/// Ends the load, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_certificate_that_is_to_be_renewed_at_once_is_an_alarm_and_not_asked_for_again_and_again() {
    // Two thirds of it are over when it begins.
    let world = registered_world("PT90S");
    let site = world.site();
    let log = || fs::read_to_string(site.log("gateway")).unwrap();
    let told = |text: &str| text.matches("ALARM: the server certificate that came is to be renewed at once").count();
    wait_for("the alarm", RENEWED_WITHIN, || (told(&log()) > 0).then_some(()));
    // It is looked at many times until then.
    wait_for("its end", RENEWED_WITHIN, || accepted(site).is_none().then_some(()));
    assert_eq!((certificates(&world), told(&log())), (1, 1));
}

#[test]
fn while_the_cm_is_away_from_the_start_clients_that_do_not_verify_are_served_and_the_certificate_comes_later() {
    let mut world = open_world();
    let site = world.site().clone();
    assert_eq!(world.stop_gateway(), Some(0));
    world.kill_cm();
    fs::remove_dir_all(folder(&site)).unwrap();
    world.restart_gateway_unready();
    let ready = site.ops("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("server certificate: there is none yet"), "{}", ready.text());
    assert!(accepted(&site).is_none(), "nobody vouches for it");
    assert_eq!(names(&shown(&site)), [NAME]);
    assert_eq!(expires(&world), None, "what nobody vouches for does not expire");
    let directory = directory_unverified(&site);
    assert!(directory.starts_with("HTTP/1.1 200 ") && directory.contains("newNonce"), "{directory}");

    world.restart_cm();
    wait_for("a certificate", RENEWED_WITHIN, || accepted(&site));
    assert_eq!(site.ops("/readyz").status, 200);
    wait_for("its metric", RENEWED_WITHIN, || expires(&world));
}

/// The directory for a client that takes any certificate.
fn directory_unverified(site: &Site) -> String {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let socket = TcpStream::connect(site.gateway).unwrap();
    let mut stream = connector.build().connect(site.name(), socket).unwrap();
    let asked = request("GET", "/acme/open/directory", site.name(), &[("Connection", "close")], None);
    std::io::Write::write_all(&mut stream, asked.as_ref()).unwrap();
    let mut answer = Vec::new();
    // An end without a good-bye is one as well.
    let _ended = std::io::Read::read_to_end(&mut stream, &mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn an_order_that_waits_for_approval_is_taken_up_after_a_crash_and_ends_in_one_certificate() {
    let mut world = registered_world("P9D");
    let site = world.site().clone();
    assert_eq!(world.stop_gateway(), Some(0));
    let text = fs::read_to_string(site.settings_file()).unwrap();
    let approval = "[endpoints.registered]\nprofile = \"tls-server-approval\"\n";
    fs::write(site.settings_file(), text.replacen("[endpoints.registered]\n", approval, 1)).unwrap();
    fs::remove_file(folder(&site).join("server.pem")).unwrap();
    world.restart_gateway_unready();
    let under_way = || fs::read(folder(&site).join("order.json")).ok();
    let order = wait_for("an order under way", RENEWED_WITHIN, under_way);
    let url = serde_json::from_slice::<Value>(&order).unwrap()["url"].as_str().unwrap().to_owned();
    let finalized = format!("{}/finalize\" status=200", url.trim_start_matches(&site.external_url));
    wait_for("finalize", RENEWED_WITHIN, || {
        fs::read_to_string(site.log("gateway")).unwrap().contains(&finalized).then_some(())
    });
    let before = certificates(&world);
    world.kill_gateway();
    world.restart_gateway_unready();
    assert_eq!(under_way(), Some(order), "it is the same order, with the same key");
    world.officer().decide(&url, "approve");
    let shown = wait_for("the certificate", RENEWED_WITHIN, || accepted(&site));
    assert_eq!(names(&shown), [NAME]);
    assert_eq!((certificates(&world), world.certificates_of(&url)), (before + 1, 1));
    wait_for("the end of the order", RENEWED_WITHIN, || under_way().is_none().then_some(()));
}

#[test]
fn a_certificate_file_that_cannot_be_used_is_moved_aside_at_the_start_and_another_asked_for() {
    let mut world = open_world();
    let site = world.site().clone();
    // Between the file and the listener is a moment.
    let first = wait_for("a certificate", RENEWED_WITHIN, || accepted(&site));
    assert_eq!(world.stop_gateway(), Some(0));
    let file = folder(&site).join("server.pem");
    fs::write(&file, "").unwrap();
    let said = world.command(&["check-config"]).unwrap();
    assert!(said.contains("server.pem holds no certificate in PEM") && said.contains("moves it aside"), "{said}");
    assert!(file.exists(), "check-config changes nothing");
    world.restart_gateway();
    let second = wait_for("another certificate", RENEWED_WITHIN, || accepted(&site));
    assert!(second != first && certificates(&world) == 2);
    assert_eq!(fs::read(folder(&site).join("server.pem.unusable")).unwrap(), b"");
    let log = fs::read_to_string(site.log("gateway")).unwrap();
    assert!(log.contains("ALARM: the server certificate cannot be used and was moved aside"), "{log}");
}

#[test]
fn an_external_account_key_whose_binding_is_not_answered_is_not_lost() {
    let world = World::start_as(NAME, "roots.pem", |site, officer| {
        let _ = site.control(
            "/faults",
            &json!({"operation": "bindRegistration", "count": 3, "fault": {"kind": "reset-after"}}),
        );
        let mut settings = settings(site, "registered");
        settings.extend(external_account_key(site, officer, "P9D"));
        settings
    });
    assert_eq!(world.faults(), json!([]), "they have happened");
    assert_eq!(names(&wait_for("a certificate", RENEWED_WITHIN, || accepted(world.site()))), [NAME]);
}

#[test]
fn a_name_that_is_added_comes_into_the_certificate_on_sighup() {
    let world = open_world();
    let site = world.site();
    let text = fs::read_to_string(site.settings_file()).unwrap();
    let added = format!("[server_certificate]\nnames = [{NAME:?}, \"second.example.test\"]\n");
    fs::write(site.settings_file(), text.replacen("[server_certificate]\n", &added, 1)).unwrap();
    world.signal_gateway("HUP");
    let renewed = wait_for("the other name", RENEWED_WITHIN, || accepted(site).filter(|now| names(now).len() == 2));
    assert_eq!(names(&renewed), [NAME, "second.example.test"]);
}

#[test]
fn outside_a_challenge_nobody_gets_a_connection_for_one() {
    let world = open_world();
    let offer = |protocols: &[u8]| {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_verify(SslVerifyMode::NONE);
        connector.set_alpn_protos(protocols).unwrap();
        let socket = TcpStream::connect(world.site().gateway).unwrap();
        connector.build().connect(NAME, socket)
    };
    assert!(offer(b"\x0aacme-tls/1").is_err());
    let both = offer(b"\x0aacme-tls/1\x08http/1.1").unwrap();
    assert_eq!(both.ssl().selected_alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert_eq!(both.ssl().peer_certificate(), accepted(world.site()));
}

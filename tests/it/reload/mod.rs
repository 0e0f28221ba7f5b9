//! What comes into use without a restart: renewed certificates when their files change, settings on SIGHUP; and what
//! cannot be used changes nothing.

pub(crate) mod identity;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{
    csr::Csr,
    http::{Connection, request},
    key::Key,
    site::Site,
    tell, wait_for,
    world::World,
};

use self::identity::{For, Identity, ec_key, replace, rsa_key, shown};
use crate::fragile_world;

/// Files are looked at every five seconds, and what cannot be used is told at the second look.
const SEEN_WITHIN: Duration = Duration::from_secs(120);

/// What the gateway has logged since the last look.
struct Log {
    file: PathBuf,
    read: usize,
}

impl Log {
    /// From now on.
    fn of(world: &World) -> Self {
        let file = world.site().log("gateway");
        let read = fs::read(&file).unwrap().len();
        Self { file, read }
    }

    /// Waits for a line with all these words, and returns all that was logged up to then.
    fn wait_for(&self, words: &[&str]) -> String {
        wait_for(&format!("a line with {words:?}"), SEEN_WITHIN, || {
            let new = self.text();
            new.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(new)
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.file).unwrap()[self.read..]).into_owned()
    }
}

/// The value of one metric; 0 if there is none.
fn metric(world: &World, name: &str) -> i64 {
    let text = world.site().ops("/metrics").expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("acme_gateway_{name} ")));
    line.map_or(0, |value| value.parse().unwrap())
}

fn reloads(world: &World, of: &str, outcome: &str) -> i64 {
    metric(world, &format!("reloads_total{{of=\"{of}\",outcome=\"{outcome}\"}}"))
}

fn expires(world: &World, identity: &str) -> i64 {
    metric(world, &format!("identity_expires_timestamp_seconds{{identity=\"{identity}\"}}"))
}

/// SIGHUP, and waits until the gateway has read everything again.
fn read_again(world: &World) {
    // The last that it reads; it counts also where nothing has changed.
    let count = || reloads(world, "issuer_roots", "loaded");
    let before = count();
    world.signal_gateway("HUP");
    wait_for("the last part to be read again", SEEN_WITHIN, || (count() > before).then_some(()));
}

/// Waits until the log has all audit events of before. They come to it in order, and some time after what they tell of.
fn wait_for_all_events(world: &World) {
    let log = Log::of(world);
    let url = world.account().account_url();
    let _ = log.wait_for(&["account.created", url.rsplit('/').next().unwrap()]);
}

/// Changes the settings, and gives the file back as it was when this is dropped.
struct ChangedSettings<'a> {
    world: &'a World,
    before: String,
}

impl<'a> ChangedSettings<'a> {
    fn of(world: &'a World) -> Self {
        Self { world, before: fs::read_to_string(world.site().settings_file()).unwrap() }
    }

    /// Writes what this makes of the settings as they were.
    fn write(&self, change: impl FnOnce(String) -> String) {
        fs::write(self.world.site().settings_file(), change(self.before.clone())).unwrap();
    }

    /// The same, and SIGHUP, and waits until the gateway has told what became of it.
    fn reload(&self, change: impl FnOnce(String) -> String) -> String {
        let log = Log::of(self.world);
        self.write(change);
        read_again(self.world);
        log.wait_for(&["the settings were read again and are"])
    }
}

impl Drop for ChangedSettings<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // Nobody gets this world again.
            return;
        }
        let _ = self.reload(|before| before);
    }
}

/// Asks over this connection, and exchanges it for another one when its answer was the last.
fn directory(connection: &mut Connection, site: &Site) -> u16 {
    connection.send(request("GET", "/acme/open/directory", "localhost", &[], None)).unwrap();
    let answer = connection.receive("GET").unwrap();
    if answer.ends_connection() {
        *connection = site.connect();
    }
    answer.status
}

/// Asks and issues over connections of its own until it is told to stop; every answer must be a good one.
struct Load<'scope> {
    stop: &'scope AtomicBool,
    done: &'scope AtomicUsize,
}

impl Load<'_> {
    fn goes_on(&self) -> bool {
        self.done.fetch_add(1, Ordering::Relaxed);
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Ends the load, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A few exchanges in every run; `ACME_GATEWAY_TESTS_ROTATIONS=100` makes a hundred.
#[test]
fn identities_are_exchanged_under_load_and_no_request_fails() {
    let rotations = std::env::var("ACME_GATEWAY_TESTS_ROTATIONS").ok();
    let rotations: i64 = rotations.map_or(4, |rotations| rotations.parse().expect("a whole number"));
    let began = Instant::now();
    let fragile = fragile_world();
    let world: &World = &fragile;
    let site = world.site();
    let [server, server_key] = ["acme-server.pem", "acme-server.key"].map(|file| site.pki(file));
    let [cm, cm_key] = ["gateway.pem", "gateway.key"].map(|file| site.pki(file));
    let [rsa, rsa_key_file] = ["rsa.pem", "rsa.key"].map(|file| site.dir.join(file));
    assert!(shown(world, true).is_none(), "there is no RSA certificate yet");
    Identity::new(world, For::Clients, rsa_key(), 3).put(&rsa, &rsa_key_file);
    let settings = ChangedSettings::of(world);
    let said = settings.reload(|text| {
        let lines = format!("[server]\nrsa_certificate_file = {rsa:?}\nrsa_key_file = {rsa_key_file:?}\n");
        // A hundred rotations take longer than anybody orders without a pause.
        let limits = "[limits]\nnew_orders_per_account = { burst = 100000, per_secs = 3600 }\n";
        text.replacen("[server]\n", &lines, 1) + limits
    });
    assert!(said.contains("are in force"), "{said}");

    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = || Load { stop: &stop, done: &done };
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        let mut old = site.connect();
        assert_eq!(directory(&mut old, site), 200);
        let issuing = [0, 1].map(|number| {
            let (load, client) = (load(), world.account());
            scope.spawn(move || {
                let mut orders = 0;
                while load.goes_on() {
                    let issued = client.issue(&[format!("rotation-{number}.example.test").as_str()]);
                    assert_eq!(world.certificates_of(&issued.order_url), 1);
                    orders += 1;
                }
                orders
            })
        });
        let asking = [0, 1].map(|_| {
            let load = load();
            scope.spawn(move || {
                let mut kept = site.connect();
                while load.goes_on() {
                    assert_eq!(directory(&mut kept, site), 200);
                    let _ = site.get(&site.url("open", "new-nonce")).expect(204);
                }
            })
        });
        for round in 0..rotations {
            let before = done.load(Ordering::Relaxed);
            let next = [
                Identity::new(world, For::Clients, ec_key(), 10 + round),
                Identity::new(world, For::Clients, rsa_key(), 20 + round),
                Identity::new(world, For::Cm, ec_key(), 30 + round),
            ];
            let [next_server, next_rsa, next_cm] = &next;
            if round % 4 == 1 {
                // As careless tools do: in place, in pieces, the key last.
                let pem = next_server.certificate_pem();
                for part in [pem.len() / 2, pem.len()] {
                    fs::write(&server, &pem[..part]).unwrap();
                }
                fs::write(&server_key, next_server.key_pem()).unwrap();
            } else {
                next_server.put(&server, &server_key);
            }
            next_rsa.put(&rsa, &rsa_key_file);
            next_cm.put(&cm, &cm_key);
            if round % 4 == 3 {
                world.signal_gateway("HUP");
            }
            wait_for("the new certificates", SEEN_WITHIN, || {
                let [first, second] = [false, true].map(|rsa_only| shown(world, rsa_only).unwrap());
                (first == next_server.certificate && second == next_rsa.certificate).then_some(())
            });
            wait_for("the new identity at the CM", SEEN_WITHIN, || {
                (expires(world, "cm") == next_cm.expires).then_some(())
            });
            assert_eq!(expires(world, "server"), next_server.expires);
            assert_eq!(expires(world, "server_rsa"), next_rsa.expires);
            assert_eq!(directory(&mut old, site), 200, "connections go on over a change of certificates");
            wait_for("load", SEEN_WITHIN, || (done.load(Ordering::Relaxed) > before + 50).then_some(()));
        }
        stop.store(true, Ordering::Relaxed);
        for thread in asking {
            thread.join().expect("no request failed");
        }
        let orders = issuing.map(|thread| thread.join().expect("no issuance failed"));
        assert!(orders.iter().all(|orders| *orders > 0), "{orders:?}");
        let issued = orders.iter().sum::<usize>();
        tell(&format!(
            "{rotations} rotations of the server's two certificates and the identity at the CM in {} s: {} looks and {} \
             issuances meanwhile, 0 failed",
            began.elapsed().as_secs(),
            done.load(Ordering::Relaxed) - issued,
            issued
        ));
    });
    for part in ["server", "cm"] {
        wait_for("the count", SEEN_WITHIN, || (reloads(world, part, "loaded") >= rotations).then_some(()));
    }
    drop(settings);
    wait_for("the end of RSA", SEEN_WITHIN, || shown(world, true).is_none().then_some(()));
    assert_eq!(expires(world, "server_rsa"), 0, "what is not in use does not expire");
}

#[test]
fn a_certificate_in_use_that_is_near_its_end_is_told_of() {
    let world = fragile_world();
    let site = world.site();
    let pair = |name: &str| [format!("{name}.pem"), format!("{name}.key")].map(|file| site.pki(&file));
    let (server, cm) = (pair("acme-server"), pair("gateway"));
    let good = [&server, &cm].map(|pair| pair.each_ref().map(|path| fs::read(path).unwrap()));
    let log = Log::of(&world);
    Identity::old(&world, For::Clients, 20).put(&server[0], &server[1]);
    Identity::old(&world, For::Cm, 5).put(&cm[0], &cm[1]);
    // In the second in which they are made they have a day more.
    let told = log.wait_for(&["WARN", "expires soon", "identity=\"server\"", "days_left=", "renewed"]);
    assert!(told.contains("days_left=19") || told.contains("days_left=20"), "{told}");
    let told = log.wait_for(&["ALARM", "about to expire", "identity=\"cm\"", "days_left="]);
    assert!(told.contains("days_left=4") || told.contains("days_left=5"), "{told}");
    for (pair, octets) in [&server, &cm].into_iter().zip(good) {
        replace(&pair[0], &octets[0], 0o644);
        replace(&pair[1], &octets[1], 0o600);
    }
    read_again(&world);
    for told in ["expires soon", "about to expire"] {
        assert_eq!(log.text().matches(told).count(), 1, "once is enough: {}", log.text());
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_with_file_and_way_out_and_the_old_one_stays() {
    let world = fragile_world();
    let site = world.site();
    let [server, server_key] = ["acme-server.pem", "acme-server.key"].map(|file| site.pki(file));
    let [cm, cm_key] = ["gateway.pem", "gateway.key"].map(|file| site.pki(file));
    let good = [&server, &server_key, &cm, &cm_key].map(|path| (path.clone(), fs::read(path).unwrap()));
    let before = shown(&world, false).unwrap();
    let client = world.account();
    let fresh = |whom, days| Identity::new(&world, whom, ec_key(), days);
    let half = |pem: Vec<u8>| pem[..pem.len() / 2].to_vec();
    let stranger = Identity::by(&world, "infra-ca", For::Cm, ec_key(), 9);
    type Row<'a> = (&'a str, &'a [&'a str], Box<dyn Fn()>);
    let table: [Row<'_>; 8] = [
        ("server", &["server.certificate_file and server.key_file do not belong together"], {
            let (pem, server) = (fresh(For::Clients, 9).certificate_pem(), server.clone());
            Box::new(move || replace(&server, &pem, 0o644))
        }),
        ("server", &["server.certificate_file", "acme-server.pem", "expired", "renewed"], {
            let (old, server, server_key) = (fresh(For::Clients, -1), server.clone(), server_key.clone());
            Box::new(move || old.put(&server, &server_key))
        }),
        ("server", &["server.certificate_file", "acme-server.pem", "PEM"], {
            let (pem, server) = (half(fresh(For::Clients, 9).certificate_pem()), server.clone());
            Box::new(move || fs::write(&server, &pem).unwrap())
        }),
        ("server", &["server.key_file", "acme-server.key", "chmod 600"], {
            let server_key = server_key.clone();
            Box::new(move || fs::set_permissions(&server_key, fs::Permissions::from_mode(0o644)).unwrap())
        }),
        ("server", &["server.certificate_file", "cannot read", "acme-server.pem"], {
            let server = server.clone();
            Box::new(move || fs::remove_file(&server).unwrap())
        }),
        ("cm", &["cm.certificate_file", "gateway.pem", "expired"], {
            let (old, cm, cm_key) = (fresh(For::Cm, -1), cm.clone(), cm_key.clone());
            Box::new(move || old.put(&cm, &cm_key))
        }),
        ("cm", &["without the role gateway"], {
            let (cm, cm_key) = (cm.clone(), cm_key.clone());
            let [officer, officer_key] = ["officer.pem", "officer.key"].map(|file| fs::read(site.pki(file)).unwrap());
            Box::new(move || {
                replace(&cm, &officer, 0o644);
                replace(&cm_key, &officer_key, 0o600);
            })
        }),
        ("cm", &["the CM does not accept the new credentials"], {
            let (cm, cm_key) = (cm.clone(), cm_key.clone());
            Box::new(move || stranger.put(&cm, &cm_key))
        }),
    ];
    for (number, (part, words, spoil)) in table.iter().enumerate() {
        let (log, refused, loaded) =
            (Log::of(&world), reloads(&world, part, "refused"), reloads(&world, part, "loaded"));
        spoil();
        // Somebody asks, and is told at once; or nobody does, and it is told when it lasts.
        let asked = number % 4 != 1;
        if asked {
            read_again(&world);
        }
        let said = log.wait_for(&[&["ALARM", "cannot be used"], *words].concat());
        assert!(reloads(&world, part, "refused") > refused, "{said}");
        assert_eq!(reloads(&world, part, "loaded"), loaded, "{said}");
        assert_eq!(shown(&world, false).unwrap(), before, "{words:?}");
        let _ = client.issue(&["old-identity.example.test"]);
        for (path, octets) in &good {
            replace(path, octets, if path.extension().is_some_and(|end| end == "key") { 0o600 } else { 0o644 });
        }
        read_again(&world);
        assert_eq!(said.matches("ALARM").count(), 1, "once is enough: {said}");
    }
    assert_eq!(shown(&world, false).unwrap(), before);
}

#[test]
fn a_pair_that_cannot_be_used_does_not_hold_up_the_other() {
    let mut world = fragile_world();
    let site = world.site().clone();
    let [server, server_key] = ["acme-server.pem", "acme-server.key"].map(|file| site.pki(file));
    let [rsa, rsa_key_file] = ["pair-rsa.pem", "pair-rsa.key"].map(|file| site.dir.join(file));
    let good = [&server, &server_key, &site.settings_file()].map(|path| (path.clone(), fs::read(path).unwrap()));
    let renew_first = |world: &World, days| {
        let next = Identity::new(world, For::Clients, ec_key(), days);
        next.put(&server, &server_key);
        wait_for("the first pair", SEEN_WITHIN, || {
            (shown(world, false).as_ref() == Some(&next.certificate)).then_some(())
        });
        next
    };
    // It has expired while the gateway did not run, and stays as it is.
    Identity::new(&world, For::Clients, rsa_key(), -1).put(&rsa, &rsa_key_file);
    let text = fs::read_to_string(site.settings_file()).unwrap();
    let lines = format!("[server]\nrsa_certificate_file = {rsa:?}\nrsa_key_file = {rsa_key_file:?}\n");
    fs::write(site.settings_file(), text.replacen("[server]\n", &lines, 1)).unwrap();
    assert_eq!(world.stop_gateway(), Some(0));
    world.restart_gateway();
    assert!(shown(&world, true).is_none(), "no client accepts what has expired");
    let _ = renew_first(&world, 11);

    // Others come into its place that cannot be used either.
    let log = Log::of(&world);
    Identity::new(&world, For::Clients, rsa_key(), -2).put(&rsa, &rsa_key_file);
    let _ = log.wait_for(&["ALARM", "cannot be used", "of=\"server_rsa\"", "server.rsa_certificate_file", "expired"]);
    let first = renew_first(&world, 12);

    // And the other way round.
    replace(&server, &Identity::new(&world, For::Clients, ec_key(), 13).certificate_pem(), 0o644);
    let _ = log.wait_for(&["ALARM", "cannot be used", "of=\"server\"", "do not belong together"]);
    let renewed = Identity::new(&world, For::Clients, rsa_key(), 14);
    renewed.put(&rsa, &rsa_key_file);
    wait_for("the RSA pair", SEEN_WITHIN, || (shown(&world, true) == Some(renewed.certificate.clone())).then_some(()));
    assert_eq!(shown(&world, false), Some(first.certificate));
    assert_eq!((expires(&world, "server"), expires(&world, "server_rsa")), (first.expires, renewed.expires));

    for (path, octets) in good {
        replace(&path, &octets, if path.extension().is_some_and(|end| end == "key") { 0o600 } else { 0o644 });
    }
    assert_eq!(world.stop_gateway(), Some(0));
    world.restart_gateway();
}

#[test]
fn settings_are_read_again_on_sighup_and_what_needs_a_restart_is_named() {
    let world = fragile_world();
    let site = world.site();
    let client = world.account();
    let settings = ChangedSettings::of(&world);
    let website = || site.get(&site.url("web", "directory")).expect(200).json()["meta"]["website"].clone();
    assert!(website().is_null());
    let said = settings.reload(|text| {
        text.replace("[endpoints.web]\n", "[endpoints.web]\nwebsite = \"https://example.com/changed\"\n")
            .replace("[server]\n", "[server]\nworkers = 7\n")
            .replace(&format!("[{:?}]", site.gateway.to_string()), "[\"127.0.0.1:9\"]")
            + "[orders]\nidentifiers_max = 1\n[limits]\nnew_orders_per_account = { burst = 3, per_secs = 3600 }\n"
    });
    for (setting, words) in [
        ("server.listen", "needs a restart"),
        ("server.workers", "needs a restart"),
        ("orders.identifiers_max", "changed="),
        ("endpoints.web.website", "changed="),
    ] {
        assert!(said.lines().any(|line| line.contains(setting) && line.contains(words)), "{setting} {words}: {said}");
    }
    assert!(!said.contains("server.key_file"), "what did not change is not named: {said}");
    assert_eq!(website(), "https://example.com/changed");
    let refused = client.new_order(&["one.example.test", "two.example.test"]);
    assert!(refused.status >= 400, "{}", refused.text());
    for number in 0..3 {
        let _ = client.new_order(&[format!("limited-{number}.example.test").as_str()]).expect(201);
    }
    let _ = client.new_order(&["limited.example.test"]).assert_problem(429, "rateLimited");

    // A limit that stays as it is keeps its counters.
    let said = settings.reload(|text| {
        text + "[orders]\nidentifiers_max = 2\n[limits]\nnew_orders_per_account = { burst = 3, per_secs = 3600 }\n"
    });
    assert!(said.contains("orders.identifiers_max"), "{said}");
    let _ = client.new_order(&["limited.example.test"]).assert_problem(429, "rateLimited");
    assert!(website().is_null());
}

#[test]
fn sighup_without_a_change_tells_of_no_certificates_and_one_renewed_is_told_of_alone() {
    let world = fragile_world();
    let told = |log: &Log| log.text().lines().filter(|line| line.contains("identity.loaded")).count();
    // What its start, or another test, has made it tell is behind it then.
    read_again(&world);
    wait_for_all_events(&world);
    let log = Log::of(&world);
    let of_rsa = || ["loaded", "refused"].map(|outcome| reloads(&world, "server_rsa", outcome));
    let (of_rsa_before, server_before) = (of_rsa(), reloads(&world, "server", "loaded"));
    read_again(&world);
    assert!(reloads(&world, "server", "loaded") > server_before, "what is there was read again");
    assert_eq!(of_rsa(), of_rsa_before, "files that nobody has named were not");
    wait_for_all_events(&world);
    assert!(log.text().contains("the settings were read again and are in force"), "{}", log.text());
    assert_eq!((told(&log), log.text().matches("certificates were read again").count()), (0, 0), "{}", log.text());
    let [server, server_key] = ["acme-server.pem", "acme-server.key"].map(|file| world.site().pki(file));
    let good = [&server, &server_key].map(|path| fs::read(path).unwrap());
    let renewed = Log::of(&world);
    Identity::new(&world, For::Clients, ec_key(), 9).put(&server, &server_key);
    read_again(&world);
    wait_for_all_events(&world);
    let of_server = renewed.text().matches(r#""event":"identity.loaded","of":"server","#).count();
    assert!((1..=2).contains(&of_server) && told(&renewed) == of_server, "{}", renewed.text());
    replace(&server, &good[0], 0o644);
    replace(&server_key, &good[1], 0o600);
    read_again(&world);
}

#[test]
fn settings_that_are_refused_change_nothing_and_the_reason_names_the_setting() {
    let world = fragile_world();
    let site = world.site();
    let settings = ChangedSettings::of(&world);
    let good = "[endpoints.web]\nwebsite = \"https://example.com/new\"\n";
    let table: [(&str, &[&str]); 6] = [
        ("[orders]\nidentifiers_max = 0\n", &["orders.identifiers_max"]),
        ("[orders]\nidentifiers = 1\n", &["identifiers"]),
        ("[validation", &["gateway.toml"]),
        ("[endpoints.stranger]\n", &["the CM does not accept", "stranger"]),
        ("[endpoints.stranger]\nchallenges = []\n", &["endpoints.stranger.challenges"]),
        ("[endpoints.other]\nrealm = \"web\"\n", &["realm"]),
    ];
    for (lines, words) in table {
        let refused = reloads(&world, "settings", "refused");
        let said = settings.reload(|text| text.replace("[endpoints.web]\n", good) + lines);
        let told = |line: &str| words.iter().chain(&["ALARM", "are refused"]).all(|word| line.contains(word));
        assert!(said.lines().any(told), "{words:?}: {said}");
        assert_eq!(reloads(&world, "settings", "refused"), refused + 1);
        let meta = site.get(&site.url("web", "directory")).expect(200).json();
        assert!(meta["meta"]["website"].is_null(), "nothing of it is in force");
    }
    let said = settings.reload(|text| text.replace("[endpoints.web]\n", good));
    assert!(said.contains("are in force"), "{said}");
}

#[test]
fn the_log_level_changes_while_logging_goes_on() {
    let world = fragile_world();
    let settings = ChangedSettings::of(&world);
    let said = settings.reload(|text| {
        text.replace("level = \"info,gateway=debug\"", "level = \"info,gateway::jws=warn,request=off\"")
    });
    assert!(said.contains("log.level"), "{said}");
    let log = Log::of(&world);
    let client = world.account();
    log.wait_for(&["audit", "account.created"]);
    assert!(!log.text().contains("new-account"), "requests are not logged any longer: {}", log.text());
    let said = settings.reload(|text| text);
    assert!(said.contains("log.level"), "{said}");
    let again = Log::of(&world);
    let _ = client.new_order(&["logged.example.test"]).expect(201);
    again.wait_for(&["new-order"]);
}

#[test]
fn an_order_goes_on_while_settings_change_under_it() {
    let world = fragile_world();
    let client = world.account();
    let settings = ChangedSettings::of(&world);
    let name = "changing.example.test";
    let order = client.order(&[name]);
    let _ = settings.reload(|text| text + "[orders]\nlifetime_secs = 7200\n");
    let order = client.prove(&order);
    world.set_fault("requestCertificate", &json!({"kind": "delay-before", "millis": 1500}));
    let key = Key::p256();
    thread::scope(|scope| {
        let finalize = scope.spawn(|| client.finalize(&order, &Csr::for_names(&[name]).text(&key)).expect(200));
        wait_for("the CM to be asked", SEEN_WITHIN, || (world.faults() == json!([])).then_some(()));
        let _ = settings.reload(|text| text.replace("finalize_wait_secs = 3", "finalize_wait_secs = 1"));
        let _ = finalize.join().unwrap();
    });
    let done = client.wait(&order, "valid");
    assert_eq!(world.certificates_of(&done.url), 1);
}

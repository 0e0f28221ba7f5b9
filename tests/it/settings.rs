//! `acme-gateway check-config`: wrong settings are refused by name and with a way out, before anything listens.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tests::binaries;

use crate::world;

/// Success, standard output, standard error.
fn check(file: &Path) -> (bool, String, String) {
    let output = Command::new(binaries::gateway()).arg("check-config").arg("--config").arg(file).output().unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// The settings of the running world with a change.
fn changed(name: &str, change: impl FnOnce(String) -> String) -> PathBuf {
    let site = world().site();
    let file = site.dir.join(format!("{name}.toml"));
    fs::write(&file, change(fs::read_to_string(site.settings_file()).unwrap())).unwrap();
    file
}

#[track_caller]
fn assert_refused(name: &str, words: &[&str], change: impl FnOnce(String) -> String) {
    let (good, _, error) = check(&changed(name, change));
    assert!(!good, "{name} must be refused");
    for word in words {
        assert!(error.contains(word), "{name} must say {word:?}: {error}");
    }
    let mut said: Vec<_> = error.split([':', '\n']).map(str::trim).filter(|part| part.contains(' ')).collect();
    let count = said.len();
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), count, "{name} must be told once: {error}");
}

#[test]
fn good_settings_are_good_and_dangers_are_pointed_out() {
    let site = world().site();
    let (good, out, error) = check(&site.settings_file());
    assert!(good, "{error}");
    assert!(out.contains(&site.url("open", "directory")) && out.contains("danger_allow_loopback"), "{out}");
}

#[test]
fn a_misspelt_setting_is_named() {
    assert_refused("table", &["serverr"], |text| format!("{text}[serverr]\nx = 1\n"));
    // What the misspelt table lacks must not be told instead.
    assert_refused("first", &["serverr"], |text| text.replace("[server]", "[serverr]"));
    assert_refused("other", &["cmm"], |text| text.replace("[cm]", "[cmm]"));
    assert_refused("name", &["bodytimeout"], |text| text.replace("body_timeout_secs", "bodytimeout"));
    assert_refused("endpoint", &["modus"], |text| text.replace("mode = \"open\"", "modus = \"open\""));
}

#[test]
fn a_value_that_cannot_be_is_named_with_its_setting() {
    assert_refused("url", &["server.external_url", "https://"], |text| {
        text.replace("\"https://localhost", "\"http://localhost")
    });
    let old = world().site().external_url.clone();
    for new in ["https://localhost:", "https://", "https://localhost/acme", "https://local host", "localhost"] {
        assert_refused("url-form", &["server.external_url", "https://acme.example.com"], |text| {
            text.replace(&format!("external_url = {old:?}"), &format!("external_url = {new:?}"))
        });
    }
    assert_refused("mode", &["mode"], |text| text.replace("mode = \"open\"", "mode = \"closed\""));
    assert_refused("resolver", &["validation.resolvers"], |text| {
        text.replace("resolvers = [\"127", "resolvers = [\"x127")
    });
    assert_refused("attempts", &["validation.attempts_max"], |text| {
        text.replace("attempts_max = 2", "attempts_max = 0")
    });
    assert_refused("seconds", &["server.body_timeout_secs"], |text| {
        text.replace("body_timeout_secs = 10", "body_timeout_secs = 0")
    });
}

#[test]
fn two_endpoints_of_one_realm_are_refused_and_both_are_named() {
    assert_refused("realms", &["endpoints.web", "terms", "realm"], |text| {
        text.replace("[endpoints.web]", "[endpoints.web]\nrealm = \"terms\"")
    });
    assert_refused("named", &["twin", "other", "joint"], |text| {
        format!("{text}[endpoints.twin]\nrealm = \"joint\"\n[endpoints.other]\nrealm = \"joint\"\n")
    });
}

#[test]
fn an_endpoint_whose_name_cannot_be_in_a_url_is_refused_and_named() {
    for name in ["print.ers", "print/ers", "print ers", "dr\u{fc}cker", ""] {
        assert_refused("endpoint-name", &["endpoints", name], |text| {
            format!("{text}[endpoints.{name:?}]\nmode = \"open\"\n")
        });
    }
}

#[test]
fn a_seal_key_inside_the_store_is_refused() {
    assert_refused("seal", &["secrets.seal_key_file", "outside"], |text| {
        text.replace("gateway/seal.key", "gateway/store/seal.key")
    });
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_setting() {
    for (setting, file) in [
        ("server.certificate_file", "acme-server.pem"),
        ("server.key_file", "acme-server.key"),
        ("cm.ca_file", "infra-ca.pem"),
        ("cm.certificate_file", "pki/gateway.pem"),
        ("cm.key_file", "pki/gateway.key"),
        ("cm.issuer_roots_file", "roots.pem"),
    ] {
        assert_refused("missing", &[setting, "missing.pem"], |text| text.replace(file, "missing.pem"));
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_way_out() {
    let site = world().site();
    let open = site.dir.join("open.key");
    fs::copy(site.pki("acme-server.key"), &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let old = format!("{:?}", site.pki("acme-server.key"));
    assert_refused("readable", &["server.key_file", "chmod 600"], |text| text.replace(&old, &format!("{open:?}")));
}

#[test]
fn a_seal_key_or_audit_key_that_others_can_read_or_that_is_none_is_refused() {
    let site = world().site();
    let file = |name: &str, text: &str, mode: u32| {
        let path = site.dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        format!("{path:?}")
    };
    let key = tests::base64url([7; 32]);
    let seal = format!("{:?}", site.dir.join("gateway/seal.key"));
    let good = file("good-seal.key", &key, 0o600);
    let (is_good, _, error) = check(&changed("seal-good", |text| text.replace(&seal, &good)));
    assert!(is_good, "{error}");
    let readable = file("readable-seal.key", &key, 0o644);
    assert_refused("seal-readable", &["secrets.seal_key_file", "chmod 600"], |text| text.replace(&seal, &readable));
    let short = file("short-seal.key", &key[1..], 0o600);
    assert_refused("seal-short", &["secrets.seal_key_file", "does not hold a key"], |text| text.replace(&seal, &short));
    let readable = file("readable-audit.key", &key, 0o644);
    assert_refused("audit-readable", &["audit.key_file", "chmod 600"], |text| {
        format!("{text}[audit]\nkey_file = {readable}\n")
    });
}

#[test]
fn a_store_that_is_no_folder_is_refused_with_the_way_out() {
    let site = world().site();
    let (old, file) = (site.dir.join("gateway/store"), site.settings_file());
    assert_refused("store-file", &["store.dir", "is no folder", "name one"], |text| {
        text.replace(&format!("{old:?}"), &format!("{file:?}"))
    });
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    assert_refused("mismatch", &["do not belong together"], |text| text.replace("acme-server.key", "gateway.key"));
    assert_refused("mismatch-cm", &["cm.key_file", "do not belong together"], |text| {
        text.replace("gateway.key", "acme-server.key")
    });
}

#[test]
fn a_key_that_only_the_service_is_shown_is_said_to_be_unchecked() {
    let old = format!("{:?}", world().site().pki("acme-server.key"));
    let file = changed("credential", |text| text.replace(&old, "\"/run/credentials/no-such.service/key_server.key\""));
    let (good, out, error) = check(&file);
    assert!(good && out.contains("not checked before the service runs: server.key_file"), "{out}{error}");
}

#[test]
fn a_certificate_for_another_host_is_warned_of() {
    let old = world().site().external_url.clone();
    let file = changed("host", |text| {
        text.replace(&format!("external_url = {old:?}"), "external_url = \"https://acme.example.com\"")
    });
    let (good, out, error) = check(&file);
    assert!(
        good && out.contains("WARNING: server.certificate_file") && out.contains("acme.example.com"),
        "{out}{error}"
    );
}

#[test]
fn a_reader_who_has_gone_hinders_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let file = world().site().settings_file();
    let output = Command::new(binaries::gateway())
        .arg("check-config")
        .arg("--config")
        .arg(file)
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn settings_that_are_not_there_are_refused() {
    let (good, _, error) = check(Path::new("/nonexistent/gateway.toml"));
    assert!(!good && error.contains("/nonexistent/gateway.toml"), "{error}");
}

#[test]
fn the_environment_overrides_the_file() {
    let output = Command::new(binaries::gateway())
        .env("ACME_GATEWAY__SERVER__EXTERNAL_URL", "https://acme.example.com")
        .arg("check-config")
        .arg("--config")
        .arg(world().site().settings_file())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("https://acme.example.com/acme/open/directory"), "{out}");
}

#[test]
fn a_variable_that_sets_nothing_is_warned_of_by_name() {
    let mut command = Command::new(binaries::gateway());
    let _ = command.env("ACME_GATEWAY_SERVER__WORKERS", "1").env("ACME_GATEWAY__SERVER__WORKERS", "1");
    let output = command.arg("check-config").arg("--config").arg(world().site().settings_file()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let warned: Vec<_> = out.lines().filter(|line| line.contains("SERVER__WORKERS")).collect();
    assert!(output.status.success() && warned.len() == 1, "{out}");
    assert!(warned[0].starts_with("WARNING: ") && warned[0].contains("ACME_GATEWAY_SERVER__WORKERS"), "{out}");
}

#[test]
fn a_wrong_value_from_the_environment_is_told_with_its_variable_and_not_with_the_file() {
    let variable = "ACME_GATEWAY__SERVER__BODY_TIMEOUT_SECS";
    let mut command = Command::new(binaries::gateway());
    let _ = command.env(variable, "0").arg("check-config").arg("--config").arg(world().site().settings_file());
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{error}");
    assert!(error.contains(&format!("environment variable {variable}: server.body_timeout_secs: ")), "{error}");
    assert!(!error.contains(" line "), "the file says something else: {error}");
}

#[test]
fn a_file_too_large_for_settings_is_refused_and_one_just_as_large_as_may_be_is_read() {
    const OCTETS_MAX: usize = 1024 * 1024;
    let filled = |text: String, octets: usize| {
        let comment = format!("#{}\n", "x".repeat(octets - text.len() - 2));
        comment + &text
    };
    let (good, _, error) = check(&changed("full", |text| filled(text, OCTETS_MAX)));
    assert!(good, "{error}");
    assert_refused("large", &["large.toml", "larger than 1 MiB"], |text| filled(text, OCTETS_MAX + 1));
}

#[test]
fn serve_refuses_what_check_config_refuses() {
    let file = changed("serve", |text| text.replace("[ops]", "[opps]"));
    let output = Command::new(binaries::gateway()).arg("serve").arg("--config").arg(file).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("opps"));
}

#[test]
fn serve_ends_when_the_cm_does_not_know_a_realm() {
    let site = world().site();
    let anywhere = |text: String, address: std::net::SocketAddr| text.replace(&address.to_string(), "127.0.0.1:0");
    let file = changed("realm", |text| {
        let text = anywhere(anywhere(text, site.gateway), site.ops).replace("gateway/store", "realm/store");
        text.replace("[endpoints.registered]", "[endpoints.registered]\nrealm = \"unknown\"")
    });
    let mut serve = Command::new(binaries::gateway());
    let mut serve =
        serve.arg("serve").arg("--config").arg(file).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tests::wait_for("the end of serve", Duration::from_secs(120), || serve.try_wait().unwrap())
    }));
    let _ = serve.kill();
    let output = serve.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(ended.is_ok_and(|status| !status.success()) && words.contains("unknown"), "{words}");
}

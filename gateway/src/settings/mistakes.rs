//! Mistakes that people make in settings, and the very sentence that each is answered with.

use super::{
    from_text, load,
    load::{is_stray, list_of_endpoint, variable},
};

/// The least that an operator must say, and an endpoint.
const LEAST: [&str; 3] = [
    "server.external_url = 'https://acme.example.com'",
    "cm.url = 'https://cm.example.net:9443'",
    "endpoints.open.mode = 'open'",
];

/// Settings in which one line stands for one of the least, or comes fourth.
fn answered(line: &str) -> String {
    let setting = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let mut lines: Vec<&str> = LEAST.to_vec();
    match lines.iter().position(|least| setting(least) == setting(line)) {
        Some(known) => lines[known] = line,
        None => lines.push(line),
    }
    from_text(&lines.join("\n")).expect_err(line).to_string()
}

#[test]
fn each_mistake_is_told_with_its_line_its_setting_and_what_to_write_instead() {
    let listen = "is no address with a port; give both, such as [::1]:443 or 127.0.0.1:443";
    let url = "such as https://cm.example.net:9443";
    let table: [(&str, String); 24] = [
        (
            "endpoints.open.mode = 'opened'",
            "3: endpoints.open.mode: there is no mode opened; give open or registered".to_owned(),
        ),
        ("log.format = 'JSON'", "4: log.format: there is no format JSON; give text or json".to_owned()),
        ("cm.kind = 'vault'", "4: cm.kind: there is no kind of CM vault; give rest or openbao".to_owned()),
        ("audit.on_failure = 'halt'", "4: audit.on_failure: there is no way halt; give stop or continue".to_owned()),
        (
            "server.client_certificates = 'ask'",
            "4: server.client_certificates: there is no way ask; give ignore or request".to_owned(),
        ),
        (
            "endpoints.open.caa = 'strict'",
            "4: endpoints.open.caa: there is no weight strict; give enforce, advisory or off".to_owned(),
        ),
        (
            "endpoints.open.challenges = ['http-1']",
            "4: endpoints.open.challenges: there is no challenge http-1; give http-01, dns-01, tls-alpn-01, \
             dns-account-01 or dns-persist-01"
                .to_owned(),
        ),
        ("server.listen = ['localhost:443']", format!("4: server.listen: localhost:443 {listen}")),
        ("server.listen = ['127.0.0.1']", format!("4: server.listen: 127.0.0.1 {listen}")),
        ("server.listen = ['::1:443']", format!("4: server.listen: ::1:443 {listen}")),
        ("ops.listen = '9095'", format!("4: ops.listen: 9095 {listen}")),
        (
            "validation.resolvers = ['10.0.0.53']",
            "4: validation.resolvers: 10.0.0.53 is no address with a port; give both, such as 10.0.0.53:53".to_owned(),
        ),
        (
            "validation.allow = ['10.0.0.1']",
            "4: validation.allow: 10.0.0.1 is no network; give an address and a length, such as 10.0.0.0/8 or 10.0.0.1/32"
                .to_owned(),
        ),
        (
            "endpoints.'o pen'.mode = 'open'",
            "4: endpoints.o pen: a name is 1 to 64 of A-Z a-z 0-9 _ - and has no dot".to_owned(),
        ),
        (
            "orders.lifetime_secs = 3600.5",
            "4: orders.lifetime_secs: it is no whole number; give one without a point".to_owned(),
        ),
        ("orders.identifiers_max = 0", "4: orders.identifiers_max: give 1 to 100; the CM takes no more".to_owned()),
        (
            "log.level = 'warning'",
            "4: log.level: \"warning\" is no level; give error, warn, info, debug, trace or off; or per module: \
             info,gateway::workers=debug"
                .to_owned(),
        ),
        ("cm.url = 'https://'", format!("2: cm.url: https:// has no host; give one, {url}")),
        ("cm.url = 'http://cm.example.net'", format!("2: cm.url: it must begin with https://, {url}")),
        (
            "cm.url = 'https://cm.example.net:234811'",
            "2: cm.url: the port of https://cm.example.net:234811 is not one; give 1 to 65535".to_owned(),
        ),
        (
            "ops.listen = '[::]:443'",
            "4: ops.listen: [::]:443 is in server.listen already; name it once, or give another port".to_owned(),
        ),
        (
            "endpoints.open.terms_of_service = 'https://'",
            "4: endpoints.open.terms_of_service: it must be a URL that begins with https:// or http:// and has a host"
                .to_owned(),
        ),
        ("orders.identifiers_max 5", "4: key with no value, expected `=`".to_owned()),
        (
            "endpoint_defaults.mode = 'closed'\nendpoints.a.realm = 'b'",
            "4: endpoints.a.mode: there is no mode closed; give open or registered".to_owned(),
        ),
    ];
    for (line, sentence) in table {
        assert_eq!(answered(line), format!("gateway.toml line {sentence}"));
    }
    let unknown = answered("server.prot = 1");
    assert!(unknown.starts_with("gateway.toml line 4: server: unknown field `prot`, expected one of"), "{unknown}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let folder = std::env::temp_dir();
    let missing = folder.join(format!("acme-gateway-no-settings-{}.toml", std::process::id()));
    for (path, reason) in [
        (missing.as_path(), "there is no such file; put your settings there, or name their file with --config"),
        (folder.as_path(), "it is not a file; name the file of your settings with --config"),
        (std::path::Path::new("/dev/null"), "it is not a file; name the file of your settings with --config"),
    ] {
        assert_eq!(load(path).unwrap_err().to_string(), format!("{}: {reason}", path.display()));
    }
}

#[test]
fn environment_variables_are_named_as_they_are_written_and_strays_are_known() {
    assert_eq!(variable("log.level").as_deref(), Some("ACME_GATEWAY__LOG__LEVEL"));
    assert_eq!(variable("cm.openbao.more_urls").as_deref(), Some("ACME_GATEWAY__CM__OPENBAO__MORE_URLS"));
    for (name, stray) in [
        ("ACME_GATEWAY_SERVER__WORKERS", true),
        ("ACME_GATEWAY__SERVER__WORKERS", false),
        ("ACME_GATEWAY_SERVICE_HOST", false),
        ("PATH", false),
    ] {
        assert_eq!(is_stray(name), stray, "{name}");
    }
    for (name, list) in [
        ("ACME_GATEWAY__ENDPOINTS__OPEN__CHALLENGES", Some("endpoints.open.challenges")),
        ("ACME_GATEWAY__ENDPOINT_DEFAULTS__COMPATIBILITY", Some("endpoint_defaults.compatibility")),
        ("ACME_GATEWAY__ENDPOINTS__OPEN__MODE", None),
        ("ACME_GATEWAY__SERVER__LISTEN", None),
    ] {
        assert_eq!(list_of_endpoint(name).as_deref(), list, "{name}");
    }
}

#[test]
fn a_list_of_one_empty_text_is_empty_as_from_an_environment_variable() {
    let text = format!("{}\nvalidation.allow = ['']", LEAST.join("\n"));
    assert!(from_text(&text).unwrap().validation.allow.is_empty());
}

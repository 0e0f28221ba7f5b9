//! Proofs that prove nothing: http-01 and dns-01 (RFC 8555 §8.3, §8.4, §10.2).

use serde_json::{Value, json};
use tests::{key::Key, world::World};

use super::{Row, attempt::Attempt, prove, trial::Trial};

/// Stands in every wrong answer that is long enough, and in no error.
const SECRET: &str = "what-a-server-inside-says";
/// Where machines of a cloud tell their secrets.
const METADATA: &str = "169.254.169.254";

/// Something to put where the gateway looks.
type Content = fn(&Attempt) -> String;

pub(super) const ROWS: &[Row] = &[
    Row::fails("N-121", "A web server that has no answer proves nothing", "incorrectResponse", |trial| {
        for status in [404, 403, 500, 204, 206] {
            let attempt = trial.attempt("http-01", "missing.validation.test");
            attempt.behave(&json!({"kind": "status", "status": status}));
            let failed = trial.fail(&format!("{status} with the right answer"), &attempt);
            assert!(detail(&failed).contains(&status.to_string()), "{failed}");
        }
        let attempt = trial.attempt("http-01", "nothing.validation.test");
        attempt.listen();
        let _ = trial.fail("nothing was put there", &attempt);
    }),
    Row::fails("N-122", "An answer is the key authorization and nothing before it", "incorrectResponse", |trial| {
        let contents: [(&str, Content); 7] = [
            ("another account's", |attempt| format!("{}.{}", attempt.token(), Key::p256().thumbprint())),
            ("the token alone", |attempt| attempt.token().to_owned()),
            ("a space before it", |attempt| format!(" {}", attempt.key_authorization())),
            ("a byte order mark before it", |attempt| format!("\u{feff}{}", attempt.key_authorization())),
            ("a word after it", |attempt| format!("{} {SECRET}", attempt.key_authorization())),
            ("upper case", |attempt| attempt.key_authorization().to_uppercase()),
            ("something else", |_| SECRET.to_owned()),
        ];
        for (what, content) in contents {
            let attempt = trial.attempt("http-01", "wrong.validation.test");
            attempt.behave(&json!({"kind": "content", "content": content(&attempt)}));
            let failed = trial.fail(what, &attempt);
            assert!(!detail(&failed).contains(SECRET), "{failed}");
        }
    }),
    Row::fails("N-123", "A web server that cannot be reached proves nothing", "connection", |trial| {
        let attempt = trial.attempt("http-01", "closed.validation.test");
        // The responder listens on 127.0.0.1 only.
        let addresses = json!({"host": "closed.validation.test.", "addresses": ["127.0.0.99"]});
        attempt.client.site().control("/add-a", &addresses);
        let _ = trial.fail("nobody listens", &attempt);
        for (what, kind) in [("it hangs up", "close"), ("it says nothing", "silence")] {
            let attempt = trial.attempt("http-01", "mute.validation.test");
            attempt.behave(&json!({"kind": kind}));
            let _ = trial.fail(what, &attempt);
        }
    }),
    Row::fails("N-124", "Redirects end soon and at a web server", "connection", |trial| {
        let attempt = trial.attempt("http-01", "redirects.validation.test");
        let hop = |number: usize| format!("/hop-{number}-{}", attempt.token());
        attempt.behave(&json!({"kind": "redirect", "location": hop(1)}));
        for number in 1..=10 {
            attempt.behave_at(&hop(number), &json!({"kind": "redirect", "location": hop(number + 1)}));
        }
        attempt.behave_at(&hop(11), &json!({"kind": "content", "content": attempt.key_authorization()}));
        let _ = trial.fail("eleven, then the right answer", &attempt);
        let redirects: [(&str, Content); 7] = [
            ("to another port", |_| "http://other.validation.test:8080/".to_owned()),
            ("to another scheme", |_| "ftp://other.validation.test/".to_owned()),
            ("to itself", |attempt| format!("/.well-known/acme-challenge/{}", attempt.token())),
            ("to nowhere", |_| String::new()),
            ("with a password", |_| "http://user:password@other.validation.test/".to_owned()),
            ("to no URL", |_| "http://[".to_owned()),
            ("far away", |_| format!("http://other.validation.test/{}", "a".repeat(10_000))),
        ];
        for (what, location) in redirects {
            let attempt = trial.attempt("http-01", "redirect.validation.test");
            attempt.behave(&json!({"kind": "redirect", "location": location(&attempt)}));
            let _ = trial.fail(what, &attempt);
        }
    }),
    Row::fails("N-125", "Nobody is led to what is inside", "connection", |trial| {
        let site = trial.world().site();
        site.control("/add-a", &json!({"host": "metadata.validation.test.", "addresses": [METADATA]}));
        let attempt = trial.attempt("http-01", "metadata.validation.test");
        let _ = trial.fail("a name of the metadata server", &attempt);
        for (what, location) in [
            ("a redirect to its address", format!("http://{METADATA}/latest/meta-data")),
            ("a redirect to its name", "http://metadata.validation.test/latest/meta-data".to_owned()),
            ("a redirect to a loopback address", "http://127.0.0.1/inside".to_owned()),
            ("a redirect to the other loopback address", "http://[::1]/inside".to_owned()),
            ("a redirect to an address as a number", "http://2130706433/inside".to_owned()),
        ] {
            let attempt = trial.attempt("http-01", "led.validation.test");
            attempt.behave_at("/inside", &json!({"kind": "content", "content": SECRET}));
            attempt.behave(&json!({"kind": "redirect", "location": location}));
            let failed = trial.fail(what, &attempt);
            assert!(!detail(&failed).contains(SECRET), "{failed}");
        }
        assert_eq!(asked(trial.world(), "/inside"), 0, "it was asked");
        // Where loopback addresses are not dialled, as it is by default, names do not lead there either.
        let world =
            World::start_with(&[("validation", "attempts_max = 1"), ("validation", "danger_allow_loopback = false")]);
        let attempt =
            Attempt::new(world.account(), "http-01", &json!({"type": "dns", "value": "inside.validation.test"}));
        attempt.provide();
        let _ = trial.fail("a name of this host", &attempt);
        assert_eq!(asked(&world, attempt.token()), 0, "it was asked");
    }),
    Row::fails("N-126", "An answer ends soon", "incorrectResponse", |trial| {
        /// What other rows may need meanwhile, and less than what is sent.
        const MEMORY_KIB_MAX: u64 = 32 * 1024;
        let before = trial.world().gateway_memory_kib_max();
        for mib in [10, 64] {
            let attempt = trial.attempt("http-01", "huge.validation.test");
            attempt.behave(&json!({"kind": "huge", "bytes": mib * 1024 * 1024}));
            let _ = trial.fail(&format!("{mib} MiB"), &attempt);
        }
        // The kernel counts by approximation, so that its largest may shrink.
        let grown = trial.world().gateway_memory_kib_max().saturating_sub(before);
        assert!(grown < MEMORY_KIB_MAX, "the gateway grew by {grown} KiB");
        let attempt = trial.attempt("http-01", "slow.validation.test");
        attempt.behave(&json!({"kind": "drip", "interval_millis": 1000}));
        let start = std::time::Instant::now();
        let _ = trial.fail_as("an octet a second", "connection", &attempt);
        assert!(start.elapsed() < std::time::Duration::from_secs(60), "after {:?}", start.elapsed());
    }),
    Row::told("N-127", "A dead IPv6 address does not spoil a good IPv4 address", |trial| {
        let attempt = trial.attempt("http-01", "both.validation.test");
        // The responder listens on 127.0.0.1 only, to which all names of the sandbox lead.
        let addresses = json!({"host": "both.validation.test.", "addresses": ["::1"]});
        attempt.client.site().control("/add-aaaa", &addresses);
        attempt.provide();
        trial.show("AAAA dead, A good", &attempt.respond_and_wait("valid"));
        assert_eq!(attempt.client.reread(&attempt.order).object["status"], "ready");
    }),
    Row::fails("N-128", "A TXT record has the digest and nothing else", "incorrectResponse", |trial| {
        let values: [(&str, Content); 6] = [
            ("something else", |_| SECRET.to_owned()),
            ("the digest with padding", |attempt| format!("{}=", digest(attempt))),
            ("the digest in quotes", |attempt| format!("\"{}\"", digest(attempt))),
            ("the digest in hexadecimal", |attempt| {
                let octets = openssl::sha::sha256(attempt.key_authorization().as_bytes());
                octets.iter().map(|octet| format!("{octet:02x}")).collect()
            }),
            ("the key authorization itself", |attempt| attempt.key_authorization()),
            ("another account's digest", |attempt| {
                let other = format!("{}.{}", attempt.token(), Key::p256().thumbprint());
                tests::base64url(openssl::sha::sha256(other.as_bytes()))
            }),
        ];
        let attempt = trial.attempt("dns-01", "none.txt.validation.test");
        let _ = trial.fail("no record", &attempt);
        for (number, (what, value)) in values.into_iter().enumerate() {
            let name = format!("txt-{number}.validation.test");
            let attempt = trial.attempt("dns-01", &name);
            let record = json!({"host": format!("_acme-challenge.{name}."), "value": value(&attempt)});
            attempt.client.site().control("/add-txt", &record);
            let _ = trial.fail(what, &attempt);
        }
        let attempt = trial.attempt("dns-01", "apex.txt.validation.test");
        let record = json!({"host": "apex.txt.validation.test.", "value": digest(&attempt)});
        attempt.client.site().control("/add-txt", &record);
        let _ = trial.fail("the digest at the name itself", &attempt);
    }),
    Row::fails("N-129", "A name server that fails proves nothing", "dns", |trial| {
        for outcome in ["servfail", "refused", "timeout"] {
            name_server(trial, outcome);
        }
    })
    .because(
        "bogus DNSSEC: the resolver that the settings name validates signatures and answers SERVFAIL for bogus ones, \
        which is what this row sends; the gateway itself validates none",
    ),
];

#[test]
fn proofs_that_prove_nothing_make_challenges_invalid() {
    prove(ROWS);
}

fn detail(challenge: &Value) -> &str {
    challenge["error"]["detail"].as_str().unwrap()
}

/// What the TXT record of a dns-01 challenge holds (RFC 8555 §8.4).
fn digest(attempt: &Attempt) -> String {
    tests::base64url(openssl::sha::sha256(attempt.key_authorization().as_bytes()))
}

/// How often the sandbox's web server was asked for a path with this in it.
fn asked(world: &World, part: &str) -> usize {
    let seen = world.site().control("/http-request-history", &json!({}));
    let targets = seen.as_array().unwrap().iter().map(|request| request["target"].as_str().unwrap());
    targets.filter(|target| target.contains(part)).count()
}

/// Both methods at a name server that answers in this way.
fn name_server(trial: &mut Trial, outcome: &str) {
    for (kind, owner) in [("dns-01", "_acme-challenge."), ("http-01", "")] {
        let name = format!("{outcome}.{kind}.validation.test");
        let attempt = trial.attempt(kind, &name);
        attempt.provide();
        let failure = json!({"host": format!("{owner}{name}."), "outcome": outcome});
        attempt.client.site().control("/set-outcome", &failure);
        let _ = trial.fail(&format!("{outcome}, {kind}"), &attempt);
    }
}

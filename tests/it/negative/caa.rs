//! Names whose owners let others issue, or nobody (RFC 8659, RFC 8657).

use serde_json::{Value, json};

use super::{Row, prove, trial::Trial};

/// A domain of another authority.
const OTHER: &str = "ca.elsewhere.test";

pub(super) const ROWS: &[Row] = &[
    Row::fails("N-132", "A name is certified by whom its owner lets", "caa", |trial| {
        let us = issuer(trial);
        let table = [
            ("nobody", 0, "issue", ";".to_owned()),
            ("another authority", 0, "issue", OTHER.to_owned()),
            ("nothing that can be read", 0, "issue", format!("{us} {us}")),
            ("a critical property that nobody knows", 128, "unknown", "x".to_owned()),
            ("another account", 0, "issue", format!("{us}; accounturi=https://localhost/acme/open/acct/x")),
            ("two accounts", 0, "issue", format!("{us}; accounturi=a; accounturi=b")),
            ("another method", 0, "issue", format!("{us}; validationmethods=dns-01")),
            ("no method", 0, "issue", format!("{us}; validationmethods=")),
        ];
        for (number, (what, flags, tag, value)) in table.into_iter().enumerate() {
            let name = format!("n{number}.caa.test");
            publish(trial, &name, &json!([{"flags": flags, "tag": tag, "value": value}]));
            let attempt = trial.attempt("http-01", &name);
            attempt.provide();
            let _ = trial.fail(what, &attempt);
        }
        publish(trial, "parent.caa.test", &json!([{"tag": "issue", "value": OTHER}]));
        let attempt = trial.attempt("http-01", "a.b.parent.caa.test");
        attempt.provide();
        let _ = trial.fail("another authority, said of a name above", &attempt);

        let attempt = trial.attempt("http-01", "us.caa.test");
        let value = format!("{us}; accounturi={}; validationmethods=dns-01,http-01", attempt.client.account_url());
        let both = json!([{"tag": "issue", "value": OTHER}, {"tag": "issue", "value": value}]);
        publish(trial, "us.caa.test", &both);
        attempt.provide();
        let _ = attempt.respond_and_wait("valid");
    }),
    Row::fails("N-133", "A wildcard is certified by whom its owner lets do that", "caa", |trial| {
        let us = issuer(trial);
        let records = json!([{"tag": "issue", "value": us}, {"tag": "issuewild", "value": ";"}]);
        publish(trial, "wild.caa.test", &records);
        let attempt = trial.attempt("dns-01", "*.wild.caa.test");
        attempt.provide();
        let _ = trial.fail("the wildcard", &attempt);
        let attempt = trial.attempt("dns-01", "wild.caa.test");
        attempt.provide();
        let _ = attempt.respond_and_wait("valid");
    }),
    Row::fails("N-134", "What a name server does not say of an owner is no permission", "caa", |trial| {
        for (what, host, outcome) in [
            ("SERVFAIL at the name", "silent.servfail.test.", "servfail"),
            ("SERVFAIL at its parent", "servfail-parent.test.", "servfail"),
            ("no answer", "silent.timeout.test.", "timeout"),
        ] {
            let name =
                if host.starts_with("silent.") { host.trim_end_matches('.') } else { "www.servfail-parent.test" };
            let failure = json!({"host": host, "outcome": outcome, "type": "CAA"});
            trial.world().site().control("/set-outcome", &failure);
            let attempt = trial.attempt("http-01", name);
            attempt.provide();
            let _ = trial.fail(what, &attempt);
        }
    }),
];

#[test]
fn names_of_those_who_let_others_issue_are_not_certified() {
    prove(ROWS);
}

/// By what name CAA records let this server issue.
fn issuer(trial: &Trial) -> String {
    let site = trial.world().site();
    let directory = site.get(&site.url("open", "directory")).expect(200).json();
    directory["meta"]["caaIdentities"][0].as_str().expect("the directory tells it").to_owned()
}

fn publish(trial: &Trial, name: &str, policies: &Value) {
    trial.world().site().control("/add-caa", &json!({"host": format!("{name}."), "policies": policies}));
}

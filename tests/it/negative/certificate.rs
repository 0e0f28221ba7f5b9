//! Certificates that are not shown (RFC 8555 §7.4.2).

use serde_json::json;

use super::{Row, prove};

pub(super) const ROWS: &[Row] = &[
    Row::refused("N-150", "A certificate is shown to its account", 403, "unauthorized", |trial| {
        let other = trial.world().account();
        let issued = other.issue(&["theirs.certificate.test"]);
        let client = trial.account();
        trial.watch_also(&other, &[&issued.url]);
        let _ = trial.refuse("another account's", || client.read(&issued.url));
        let last = if issued.url.ends_with('A') { 'B' } else { 'A' };
        let forged = format!("{}{last}", &issued.url[..issued.url.len() - 1]);
        for (what, url) in [
            ("one letter changed", forged),
            ("made up", format!("{}/x", client.url("cert"))),
            ("a chain that it does not have", format!("{}/99", issued.url)),
        ] {
            trial.refuse_as(what, 404, "malformed", || other.read(&url));
        }
        let elsewhere = issued.url.replace("/open/", "/web/");
        let mut client = trial.world().client_with("web", other.key.clone());
        let _ = client.register(&json!({})).expect(201);
        trial.watch(&client);
        let _ = trial.refuse("at another directory", || client.read(&elsewhere));
    }),
    Row::refused("N-151", "A certificate is read by POST-as-GET", 400, "malformed", |trial| {
        let client = trial.world().account();
        let issued = client.issue(&["payload.certificate.test"]);
        trial.watch_also(&client, &[&issued.url]);
        let _ = trial.refuse("{}", || client.post(&issued.url, &json!({})));
        let _ = trial.refuse("null", || client.post(&issued.url, &json!(null)));
    }),
];

#[test]
fn certificates_are_not_shown_to_others() {
    prove(ROWS);
}

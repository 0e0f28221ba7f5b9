//! Devices that attest themselves, which this server does not do.

use serde_json::json;

use super::{Row, prove, trial::challenge_url};

pub(super) const ROWS: &[Row] = &[Row::refused(
    "N-164",
    "A device that attests itself gets no certificate",
    404,
    "malformed",
    |trial| {
        let client = trial.account();
        let order = client.order(&["device.attestation.test"]);
        trial.watch(&client);
        let authorization = client.read(order.object["authorizations"][0].as_str().unwrap()).expect(200);
        assert!(!authorization.text().contains("device-attest-01"), "{authorization:?}");
        let url = challenge_url(&authorization.json(), "dns-01").replace("dns-01", "device-attest-01");
        for (what, payload) in
            [("{}", json!({})), ("bad CBOR", json!({"attObj": "AAAA"})), ("a number", json!({"attObj": 7}))]
        {
            let _ = trial.refuse(what, || client.post(&url, &payload));
        }
        for kind in ["permanent-identifier", "hardware-module"] {
            let payload = json!({"identifiers": [{"type": kind, "value": "C02XK0AAJG5J"}]});
            trial.refuse_as(kind, 400, "unsupportedIdentifier", || client.post(&client.url("new-order"), &payload));
        }
    },
)
.because(
    "device-attest-01 (draft-ietf-acme-device-attest) is not offered: there is no such challenge to answer, wrongly or \
    rightly, and no order for what only it could prove",
)];

#[test]
fn devices_do_not_attest_themselves() {
    prove(ROWS);
}

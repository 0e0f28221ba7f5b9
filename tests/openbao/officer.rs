//! The officer's calls of the contract, answered out of OpenBao: what her program would be told.

use cm_connector::openbao::{
    Settings,
    officer::{OfficerDesk, Request},
};
use serde_json::{Value, json};
use tests::openbao::{MOUNT, OpenBao};

use crate::{SHARED, allows, fresh};

pub(crate) const REGISTRATIONS: &str = "/realms/registered/registrations";

/// The desk of somebody with this certificate of the throwaway PKI.
pub(crate) fn desk(bao: &OpenBao, certificate: &str) -> OfficerDesk {
    let file = |name: String| bao.pki().join(name);
    let settings = Settings {
        addresses: vec![bao.url()],
        ca_file: file(String::from("infra-ca.pem")),
        certificate_file: file(format!("{certificate}.pem")),
        key_file: file(format!("{certificate}.key")),
        login_mount: String::from("cert"),
        login_role: format!("acme-{certificate}"),
        mount: String::from(MOUNT),
        request_duration_max: std::time::Duration::ZERO,
    };
    OfficerDesk::new(settings, allows).unwrap()
}

/// Status and body, or the code of a problem.
pub(crate) async fn asked(
    desk: &OfficerDesk,
    method: &str,
    path: &str,
    query: &[(&str, String)],
    if_match: Option<u64>,
    body: Option<Value>,
) -> (u16, Value) {
    let body = body.map(|body| body.to_string());
    let accept = "application/json";
    let request = Request { method, path, query, accept, if_match, idempotency_key: None, body: body.as_deref() };
    let answer = desk.answer(&request).await;
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

pub(crate) fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

fn new(kid: &str) -> Value {
    json!({"mode": "preregistered", "eab": {"kid": kid, "use": "once"}, "owner": "team",
           "allowedIdentifiers": {"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "example.com"}]}})
}

async fn created(desk: &OfficerDesk, kid: &str) -> Value {
    let (status, made) = asked(desk, "POST", REGISTRATIONS, &[], None, Some(new(kid))).await;
    assert_eq!(status, 201, "{made}");
    made
}

#[tokio::test]
async fn a_kid_is_given_out_once_and_a_half_made_one_is_gone_on_with() {
    let officer = desk(&SHARED, "officer");
    // Somebody's program died after it had drawn the key, and before there was a record.
    let key =
        [format!("{MOUNT}/registered/eab/keys/half-made"), String::from("type=hmac"), String::from("key_size=32")];
    let arguments = ["write", &key[0], &key[1], &key[2], "exportable=true"];
    let _ = SHARED.said(&arguments, None).unwrap();
    let made = created(&officer, "half-made").await;
    assert_eq!((made["id"].as_str(), made["version"].as_u64()), (Some("reg_half-made"), Some(1)));
    assert_eq!(made["eabSecret"]["hmacKey"].as_str().unwrap().len(), 43);
    let again = asked(&officer, "POST", REGISTRATIONS, &[], None, Some(new("half-made"))).await;
    assert_eq!(code(&again), (409, "key-in-use"));
    let (_, shown) = asked(&officer, "GET", &format!("{REGISTRATIONS}/reg_half-made"), &[], None, None).await;
    assert_eq!(shown["eabSecret"], Value::Null);
    assert_eq!(shown["officer"], "urn:cm:officer:anna");
}

#[tokio::test]
async fn a_change_rests_on_the_version_that_was_looked_at() {
    let officer = desk(&SHARED, "officer");
    let _made = created(&officer, "versions").await;
    let path = format!("{REGISTRATIONS}/reg_versions");
    let patch =
        |version, comment: &str| asked(&officer, "PATCH", &path, &[], version, Some(json!({"comment": comment})));
    assert_eq!(code(&patch(None, "one").await), (400, "malformed"));
    let (status, changed) = patch(Some(1), "one").await;
    assert_eq!((status, changed["version"].as_u64(), changed["comment"].as_str()), (200, Some(2), Some("one")));
    assert_eq!(code(&patch(Some(1), "two").await), (412, "precondition-failed"));
    let status =
        asked(&officer, "POST", &format!("{path}/status"), &[], Some(1), Some(json!({"status": "revoked"}))).await;
    assert_eq!(code(&status), (412, "precondition-failed"));
    let secret = asked(&officer, "POST", &format!("{path}/eab"), &[], Some(1), None).await;
    assert_eq!(code(&secret), (412, "precondition-failed"));
    assert_eq!(patch(Some(2), "one").await.1["version"], 2, "what is so already is no change");
}

#[tokio::test]
async fn of_officers_who_change_one_version_at_once_one_succeeds() {
    const OFFICERS: usize = 12;
    let officer = std::sync::Arc::new(desk(&SHARED, "officer"));
    let _made = created(&officer, "officers-race").await;
    let mut racing = tokio::task::JoinSet::new();
    for number in 0..OFFICERS {
        let officer = std::sync::Arc::clone(&officer);
        let _handle = racing.spawn(async move {
            let path = format!("{REGISTRATIONS}/reg_officers-race");
            let body = json!({"comment": format!("by {number}")});
            asked(&officer, "PATCH", &path, &[], Some(1), Some(body)).await.0
        });
    }
    let mut statuses = racing.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [&[200][..], &[412; OFFICERS - 1]].concat());
}

#[tokio::test]
async fn what_is_not_understood_is_refused_and_not_passed_over() {
    let officer = desk(&SHARED, "officer");
    let mut strange = new("strange");
    strange["allowedCountries"] = json!(["NO"]);
    let mut weak = new("weak");
    weak["eab"]["algorithms"] = json!(["HS512"]);
    let mut elsewhere = new("elsewhere");
    elsewhere["allowedProfiles"] = json!(["none"]);
    for (body, expected) in [
        (strange, (400, "malformed")),
        (weak, (501, "capability-missing")),
        (elsewhere, (422, "profile-not-allowed")),
        (new("../prereg"), (400, "malformed")),
    ] {
        let answer = asked(&officer, "POST", REGISTRATIONS, &[], None, Some(body.clone())).await;
        assert_eq!(code(&answer), expected, "{body}");
    }
    let by = |name: &'static str| [(name, String::from("x"))];
    for (path, query) in [(REGISTRATIONS, by("color")), ("/realms/registered/certificates", by("weight"))] {
        assert_eq!(code(&asked(&officer, "GET", path, &query, None, None).await), (400, "malformed"), "{query:?}");
    }
    let elsewhere = asked(&officer, "GET", "/realms/nowhere/registrations", &[], None, None).await;
    assert_eq!(code(&elsewhere), (403, "forbidden"));
}

#[tokio::test]
async fn who_has_no_part_at_openbao_is_told_so_and_a_killed_one_is_no_answer() {
    let mut bao = fresh();
    bao.prepare("registered", "preregistered", &[]);
    let approver = asked(&desk(&bao, "approver"), "GET", REGISTRATIONS, &[], None, None).await;
    assert_eq!(code(&approver), (401, "unauthenticated"));
    assert!(approver.1["detail"].as_str().unwrap().contains("none for approvers"), "{approver:?}");
    let officer = desk(&bao, "officer");
    let made = created(&officer, "before").await;
    bao.kill();
    let lost = asked(&officer, "GET", REGISTRATIONS, &[], None, None).await;
    assert_eq!(code(&lost), (503, "issuer-unavailable"));
    bao.restart();
    let found =
        asked(&desk(&bao, "officer"), "GET", REGISTRATIONS, &[("eabKid", String::from("before"))], None, None).await;
    assert_eq!(found.1["items"][0]["id"], made["id"]);
}

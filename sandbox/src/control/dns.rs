//! Control commands that change or read the name server's contents.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

use anyhow::Context as _;
use axum::Router;
use hickory_proto::rr::RecordType;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Control, command, done};
use crate::dns::{CaaProperty, Outcome};

/// The commands of this file.
pub(super) fn routes() -> Router<Control> {
    Router::new()
        .route("/add-a", command(add_a))
        .route("/set-a-sequence", command(set_a_sequence))
        .route("/clear-a", command(clear_a))
        .route("/add-aaaa", command(add_aaaa))
        .route("/clear-aaaa", command(clear_aaaa))
        .route("/set-txt", command(add_txt))
        .route("/add-txt", command(add_txt))
        .route("/add-txt-strings", command(add_txt_strings))
        .route("/clear-txt", command(clear_txt))
        .route("/set-cname", command(set_cname))
        .route("/clear-cname", command(clear_cname))
        .route("/add-caa", command(add_caa))
        .route("/clear-caa", command(clear_caa))
        .route("/set-servfail", command(set_servfail))
        .route("/clear-servfail", command(clear_outcomes))
        .route("/set-outcome", command(set_outcome))
        .route("/clear-outcome", command(clear_outcomes))
        .route("/dns-request-history", command(queries))
        .route("/clear-dns-request-history", command(clear_queries))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    host: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addresses<A> {
    host: String,
    addresses: Vec<A>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressSequence {
    host: String,
    /// One list of addresses per question; the last stays.
    answers: Vec<Vec<Ipv4Addr>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    host: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    host: String,
    /// The character-strings of one record.
    strings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alias {
    host: String,
    target: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policies {
    host: String,
    policies: Vec<Policy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    #[serde(default)]
    flags: u8,
    tag: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForcedOutcome {
    host: String,
    outcome: Outcome,
    /// A record type such as `CAA`; left out, the outcome holds for all.
    #[serde(rename = "type")]
    record_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Queries {
    host: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

async fn add_a(control: Control, body: Addresses<Ipv4Addr>) -> anyhow::Result<Value> {
    control.zone.add_a(&body.host, &body.addresses)?;
    done()
}

async fn set_a_sequence(control: Control, body: AddressSequence) -> anyhow::Result<Value> {
    control.zone.set_a_sequence(&body.host, body.answers)?;
    done()
}

async fn clear_a(control: Control, body: Host) -> anyhow::Result<Value> {
    control.zone.clear_a(&body.host)?;
    done()
}

async fn add_aaaa(control: Control, body: Addresses<Ipv6Addr>) -> anyhow::Result<Value> {
    control.zone.add_aaaa(&body.host, &body.addresses)?;
    done()
}

async fn clear_aaaa(control: Control, body: Host) -> anyhow::Result<Value> {
    control.zone.clear_aaaa(&body.host)?;
    done()
}

/// Behind `/set-txt` too, which adds rather than replaces: a domain and its wildcard share one owner name.
async fn add_txt(control: Control, body: Text) -> anyhow::Result<Value> {
    control.zone.add_txt(&body.host, body.value.as_bytes())?;
    done()
}

async fn add_txt_strings(control: Control, body: Texts) -> anyhow::Result<Value> {
    control.zone.add_txt_strings(&body.host, body.strings.into_iter().map(String::into_bytes).collect())?;
    done()
}

async fn clear_txt(control: Control, body: Host) -> anyhow::Result<Value> {
    control.zone.clear_txt(&body.host)?;
    done()
}

async fn set_cname(control: Control, body: Alias) -> anyhow::Result<Value> {
    control.zone.set_cname(&body.host, &body.target)?;
    done()
}

async fn clear_cname(control: Control, body: Host) -> anyhow::Result<Value> {
    control.zone.clear_cname(&body.host)?;
    done()
}

async fn add_caa(control: Control, body: Policies) -> anyhow::Result<Value> {
    let properties = body.policies.into_iter().map(|policy| CaaProperty {
        flags: policy.flags,
        tag: policy.tag,
        value: policy.value.into_bytes(),
    });
    control.zone.add_caa(&body.host, properties.collect())?;
    done()
}

async fn clear_caa(control: Control, body: Host) -> anyhow::Result<Value> {
    control.zone.clear_caa(&body.host)?;
    done()
}

async fn set_servfail(control: Control, body: Host) -> anyhow::Result<Value> {
    control.zone.set_outcome(&body.host, None, Outcome::ServFail)?;
    done()
}

async fn set_outcome(control: Control, body: ForcedOutcome) -> anyhow::Result<Value> {
    let record_type = body.record_type.map(|text| {
        RecordType::from_str(&text.to_ascii_uppercase()).with_context(|| format!("{text:?} is no DNS record type"))
    });
    control.zone.set_outcome(&body.host, record_type.transpose()?, body.outcome)?;
    done()
}

async fn clear_outcomes(control: Control, body: Host) -> anyhow::Result<Value> {
    control.zone.clear_outcomes(&body.host)?;
    done()
}

async fn queries(control: Control, body: Queries) -> anyhow::Result<Value> {
    Ok(json!(control.zone.queries(body.host.as_deref())?))
}

async fn clear_queries(control: Control, _body: Nothing) -> anyhow::Result<Value> {
    control.zone.clear_queries();
    done()
}

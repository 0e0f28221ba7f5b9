//! `waivers`: names of a registration that need not be proven, for clients that show certain evidence (CM contract
//! section 4.3). One person proposes, another approves; the CM sees to it that nobody does both.

use std::path::Path;

use acme::waiver::{AddressBlock, KeyDigest};
use clap::Subcommand;
use rustls::{
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject as _},
    server::ParsedCertificate,
};
use serde_json::{Value, json};

use super::{Desk, explain, registrations, registrations::status::reason, when};
use crate::{
    allowlist::Entry,
    cm::{
        Cm, idempotency_key,
        waiver::{Decision, METHOD, Proposal, View},
    },
    error::Failure,
    output::{Answer, fields, snake_case, table},
};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask that names of a registration need not be proven; another person has to approve it
    Propose(Proposing),
    /// Show waivers
    List {
        /// With this status
        #[arg(long, value_name = "STATUS", value_parser = ["proposed", "approved", "rejected", "withdrawn"])]
        status: Option<String>,
        /// Of this registration, reg_... or key id
        #[arg(long, value_name = "REGISTRATION")]
        registration: Option<String>,
        /// Most waivers to show
        #[arg(long, value_name = "N", default_value_t = 200)]
        limit: usize,
    },
    /// Show one waiver and whom it is for
    Show {
        /// The waiver, wav_...
        id: String,
    },
    /// Let it count; needs an approver who neither proposed it nor created the registration
    Approve {
        /// The waiver, wav_...
        id: String,
        /// For those who look at it later
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
    },
    /// Do not let it count; needs an approver as for approve
    Reject {
        /// The waiver, wav_...
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// End it before its time, whether it was approved or not
    Withdraw {
        /// The waiver, wav_...
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
}

/// A proposal.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("evidence").required(true).multiple(true))]
pub(crate) struct Proposing {
    /// The registration, reg_..., or the id of its external account key
    registration: String,
    /// A name that need not be proven, written as an entry of a list: exact:NAME, suffix:NAME,no-wildcards, ...
    #[arg(long = "name", value_name = "ENTRY", required = true)]
    names: Vec<Entry>,
    /// Evidence: the request comes from this network; several: from one of them
    #[arg(long = "address", value_name = "CIDR", group = "evidence")]
    addresses: Vec<AddressBlock>,
    /// Evidence: the client proves in the TLS handshake that it holds the key of this certificate (PEM or DER), or of
    /// the public key with this SHA-256 digest; several: of one of them
    #[arg(long = "client-certificate", value_name = "FILE|SHA256", group = "evidence")]
    client_certificates: Vec<String>,
    /// When it ends by itself, at most 398 days ahead
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: acme::time::Timestamp,
    /// Why these clients cannot prove control
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// Carries it out.
pub(crate) async fn run(command: Command, desk: &Desk) -> Result<Answer, Failure> {
    let cm = desk.cm()?;
    cm.must_offer_waivers().await?;
    match command {
        Command::Propose(proposing) => propose(proposing, &cm).await,
        Command::List { status, registration, limit } => list(&cm, registration, status, limit).await,
        Command::Show { id } => show(&cm, &id).await,
        Command::Approve { id, reason } => decide(&cm, &id, Decision::Approve, reason.as_deref()).await,
        Command::Reject { id, reason } => decide(&cm, &id, Decision::Reject, Some(&reason)).await,
        Command::Withdraw { id, reason } => decide(&cm, &id, Decision::Withdraw, Some(&reason)).await,
    }
}

async fn propose(proposing: Proposing, cm: &Cm) -> Result<Answer, Failure> {
    when::must_be_ahead("--until", Some(proposing.until), cm).await?;
    let mut client_certificates = Vec::new();
    for text in &proposing.client_certificates {
        client_certificates.push(key(text)?.to_string());
    }
    let proposal = Proposal {
        names: proposing.names,
        addresses: proposing.addresses.iter().map(AddressBlock::to_string).collect(),
        client_certificates,
        not_after: proposing.until.to_string(),
        reason: proposing.reason,
    };
    let registration = registrations::show::find(&proposing.registration, cm).await?.view;
    let proposed = cm.propose_waiver(&registration.id, &proposal, idempotency_key()).await?;
    let waiver = View::of(&proposed)?;
    let text = format!(
        "{}\n\nit counts once another person has approved it: acme-officer waivers approve {}",
        fields(&facts(&waiver, &waiver.status, "")),
        waiver.id
    );
    let aside = if counts_for_some_profile(cm, &registration.allowed_profiles).await? {
        String::new()
    } else {
        format!(
            "no profile that {} may use takes waivers: whoever runs the CM has to add {METHOD} to the validation methods \
             of one, or the waiver has no effect",
            registration.id
        )
    };
    Ok(Answer { aside, ..Answer::new(text, snake_case(&proposed)) })
}

/// Whether a waiver can have an effect. An empty list means the realm's default profile.
pub(crate) async fn counts_for_some_profile(cm: &Cm, allowed: &[String]) -> Result<bool, Failure> {
    let takes_waivers = |profile: &Value| {
        let methods = profile.pointer("/validation/methods").and_then(Value::as_array);
        methods.is_some_and(|methods| methods.iter().any(|method| method == METHOD))
    };
    let may_be_used = |profile: &Value| match (allowed, profile.get("name").and_then(Value::as_str)) {
        ([], _) => profile.get("default").is_some_and(|default| *default == true),
        (allowed, name) => name.is_some_and(|name| allowed.iter().any(|one| one == name)),
    };
    Ok(cm.profiles().await?.iter().any(|profile| may_be_used(profile) && takes_waivers(profile)))
}

async fn list(cm: &Cm, registration: Option<String>, status: Option<String>, limit: usize) -> Result<Answer, Failure> {
    let registration = registrations::show::found_id(registration, cm).await?;
    let list = cm.waivers(registration.as_deref(), status.as_deref(), limit).await?;
    let now = cm.time().await?;
    let waivers = list.items.iter().map(View::of).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<Vec<String>> = waivers.iter().map(|waiver| row(waiver, now)).collect();
    let mut text = match rows.as_slice() {
        [] => "no waiver fits".to_owned(),
        rows => table(&["WAIVER", "STATUS", "REGISTRATION", "NAMES", "FOR", "UNTIL", "PROPOSED BY", "REASON"], rows),
    };
    if !list.complete {
        text.push_str("\n... and more: narrow it, or give a higher --limit");
    }
    Ok(Answer::new(text, json!({"items": snake_case(&Value::Array(list.items)), "complete": list.complete})))
}

/// What a list shows of a waiver: id, standing, registration, names, evidence, end, who proposed it, why.
pub(crate) fn row(waiver: &View, now: acme::time::Timestamp) -> Vec<String> {
    vec![
        waiver.id.clone(),
        waiver.standing(now),
        waiver.registration.clone(),
        waiver.names().replace('\n', ", "),
        waiver.shows(),
        waiver.not_after.clone(),
        waiver.proposed_by.clone(),
        waiver.reason.clone(),
    ]
}

async fn show(cm: &Cm, id: &str) -> Result<Answer, Failure> {
    let json = cm.waiver(id).await?;
    let waiver = View::of(&json)?;
    let standing = waiver.standing(cm.time().await?);
    let owner = cm.registration(&waiver.registration).await?.view.owner.unwrap_or_default();
    Ok(Answer::new(fields(&facts(&waiver, &standing, &owner)), snake_case(&json)))
}

/// Everything that people look at, as names and values; a value can have several lines or none.
pub(crate) fn facts(waiver: &View, standing: &str, owner: &str) -> Vec<(&'static str, String)> {
    let decided = match (&waiver.decided_by, &waiver.decided_at, &waiver.decision_reason) {
        (Some(by), Some(at), Some(reason)) => format!("by {by} at {at}: {reason}"),
        (Some(by), Some(at), None) => format!("by {by} at {at}"),
        _ => String::new(),
    };
    vec![
        ("waiver", waiver.id.clone()),
        ("status", standing.to_owned()),
        ("registration", waiver.registration.clone()),
        ("owner", owner.to_owned()),
        ("names", waiver.names()),
        ("for", waiver.shows()),
        ("until", waiver.not_after.clone()),
        ("because", waiver.reason.clone()),
        ("proposed", format!("by {} at {}", waiver.proposed_by, waiver.proposed_at)),
        ("decided", decided),
    ]
}

async fn decide(cm: &Cm, id: &str, decision: Decision, reason: Option<&str>) -> Result<Answer, Failure> {
    let waiver = View::of(&cm.waiver(id).await?)?;
    let decided = cm.decide_waiver(&waiver, decision, reason).await?;
    let now = View::of(&decided)?;
    let effect = match decision {
        Decision::Approve => {
            format!("; until {} control of its names need not be proven by {}", now.not_after, now.shows())
        }
        Decision::Reject | Decision::Withdraw => "; control of its names has to be proven".to_owned(),
    };
    Ok(Answer::new(format!("{} is {}{effect}", now.id, now.status), snake_case(&decided)))
}

/// The key that `--client-certificate` names: by its digest, or by a file with a certificate or public key.
fn key(text: &str) -> Result<KeyDigest, Failure> {
    let wrong = |reason: &str| Failure::File(format!("--client-certificate {text}: {reason}"));
    if let Ok(digest) = text.to_ascii_lowercase().parse() {
        return Ok(digest);
    }
    let octets = explain::read(Path::new(text)).map_err(|error| {
        wrong(&format!("{error}; name a file, or the SHA-256 digest of the public key in 64 hexadecimal digits"))
    })?;
    if let Ok(spki) = SubjectPublicKeyInfoDer::from_pem_slice(&octets) {
        return Ok(KeyDigest::of_spki(&spki));
    }
    let certificate = CertificateDer::from_pem_slice(&octets).unwrap_or_else(|_| CertificateDer::from(octets));
    // As the gateway reads what a client shows in the handshake.
    let parsed = ParsedCertificate::try_from(&certificate)
        .map_err(|_| wrong("it is neither a certificate nor a public key that can be read"))?;
    Ok(KeyDigest::of_spki(&parsed.subject_public_key_info()))
}

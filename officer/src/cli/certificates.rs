//! `certificates`: look at, revoke, reinstate (CM contract sections 4.5 and 4.6).

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Desk, registrations::show, when};
use crate::{
    cm::{
        Cm,
        certificate::{Certificate, Verdict},
        idempotency_key,
    },
    error::Failure,
    output::{Answer, fields, snake_case, table},
};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the certificates that fit
    List(Box<Search>),
    /// Show one certificate, or its chain
    Show {
        /// The certificate's id (RFC 9773), as list shows it
        #[arg(allow_hyphen_values = true)]
        id: String,
        /// Print the chain in PEM, leaf first
        #[arg(long)]
        pem: bool,
        /// Another chain than the default one
        #[arg(long, value_name = "CHAIN", requires = "pem")]
        chain: Option<String>,
    },
    /// Revoke a certificate
    Revoke(Box<Revocation>),
    /// Take a hold away; nothing else can be taken back
    Reinstate {
        /// The certificate's id
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

/// What a list is narrowed by; all of it must fit.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// Of this registration, reg_... or key id
    #[arg(long, value_name = "ID")]
    pub(crate) registration: Option<String>,
    /// Of the registrations that came from this one, reg_... or key id
    #[arg(long, value_name = "ID", conflicts_with = "registration")]
    pub(crate) parent: Option<String>,
    /// For this DNS name, wildcard name or address
    #[arg(long, value_name = "NAME")]
    pub(crate) identifier: Option<String>,
    /// With this status
    #[arg(long, value_name = "STATUS", value_parser = ["good", "revoked", "hold", "expired"])]
    pub(crate) status: Option<String>,
    /// With this serial number, hexadecimal
    #[arg(long, value_name = "HEX")]
    pub(crate) serial: Option<String>,
    /// Of this ACME order
    #[arg(long, value_name = "REF")]
    pub(crate) order: Option<String>,
    /// By this profile
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// That end before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) ending_before: Option<acme::time::Timestamp>,
    /// Most certificates to show
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) limit: usize,
}

/// What to revoke, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Revocation {
    /// The certificate's id
    #[arg(allow_hyphen_values = true)]
    pub(crate) id: String,
    /// Why
    #[arg(long, value_enum)]
    pub(crate) reason: Reason,
    /// For the CM's records
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Never certify this key again; goes with key-compromise
    #[arg(long)]
    pub(crate) block_key: bool,
    /// Since when the key has been in doubt
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) invalid_since: Option<acme::time::Timestamp>,
}

/// Reasons that an officer may give (RFC 5280 section 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reason {
    Unspecified,
    KeyCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    /// On hold: can be taken back with reinstate
    CertificateHold,
    PrivilegeWithdrawn,
}

impl Reason {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }
}

/// Carries it out.
pub(crate) async fn run(command: Command, desk: &Desk) -> Result<Answer, Failure> {
    match command {
        Command::List(search) => list(*search, desk).await,
        Command::Show { id, pem: false, .. } => {
            let certificate = desk.cm()?.certificate(&id).await?;
            Ok(Answer::new(described(&certificate), snake_case(&certificate.json)))
        }
        Command::Show { id, pem: true, chain } => {
            let pem = desk.cm()?.chain(&id, chain).await?;
            Ok(Answer::new(pem.clone(), json!({"id": id, "pem": pem})))
        }
        Command::Revoke(revocation) => {
            let (certificate, answer) = revoke(*revocation, &desk.cm()?).await?;
            let status = answer.get("status").and_then(Value::as_str).unwrap_or("revoked");
            let text = format!("{} is {status}: {}", certificate.view.id, certificate.names());
            Ok(Answer::new(text, snake_case(&answer)))
        }
        Command::Reinstate { id } => {
            let answer = desk.cm()?.reinstate(&id).await?;
            let status = answer.get("status").and_then(Value::as_str).unwrap_or("good");
            Ok(Answer::new(format!("{id} is {status}"), snake_case(&answer)))
        }
    }
}

/// The search in the contract's words (section 4.5).
pub(crate) fn query(search: Search) -> Vec<(&'static str, String)> {
    let members = [
        ("registration", search.registration),
        ("parent", search.parent),
        ("identifier", search.identifier),
        ("status", search.status),
        ("serial", search.serial.map(|serial| serial.to_ascii_lowercase().replace([':', ' '], ""))),
        ("orderRef", search.order),
        ("profile", search.profile),
        ("notAfterBefore", search.ending_before.map(|time| time.to_string())),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

async fn list(search: Search, desk: &Desk) -> Result<Answer, Failure> {
    let (cm, limit) = (desk.cm()?, search.limit);
    let registration = show::found_id(search.registration, &cm).await?;
    let parent = show::found_id(search.parent, &cm).await?;
    let list = cm.certificates(query(Search { registration, parent, ..search }), limit).await?;
    let certificates = list.items.iter().cloned().map(Certificate::of).collect::<Result<Vec<_>, _>>()?;
    let mut text = match certificates.as_slice() {
        [] => "no certificate fits".to_owned(),
        some => {
            let rows: Vec<_> = some.iter().map(row).collect();
            table(&["CERTIFICATE", "STATUS", "UNTIL", "REGISTRATION", "NAMES"], &rows)
        }
    };
    if !list.complete {
        text.push_str("\n... and more: narrow it, or give a higher --limit");
    }
    Ok(Answer::new(text, json!({"items": snake_case(&Value::Array(list.items)), "complete": list.complete})))
}

fn row(certificate: &Certificate) -> Vec<String> {
    let view = &certificate.view;
    vec![
        view.id.clone(),
        view.status.clone(),
        view.not_after.clone(),
        view.registration.clone().unwrap_or_default(),
        certificate.names(),
    ]
}

fn described(certificate: &Certificate) -> String {
    fields(&facts(certificate))
}

/// Everything that people look at, as names and values; a value can be empty.
pub(crate) fn facts(certificate: &Certificate) -> Vec<(&'static str, String)> {
    let view = &certificate.view;
    let revoked = view.revocation.as_ref().map(|revocation| {
        let by = revocation.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        format!("{} for {}{by}", revocation.at, revocation.reason)
    });
    vec![
        ("certificate", view.id.clone()),
        ("status", view.status.clone()),
        ("revoked", revoked.unwrap_or_default()),
        ("names", certificate.names()),
        ("valid", format!("{} to {}", view.not_before, view.not_after)),
        ("serial", view.serial.clone()),
        ("sha256", view.sha256.clone()),
        ("issuer", view.issuer.clone()),
        ("profile", view.profile.clone().unwrap_or_default()),
        ("registration", view.registration.clone().unwrap_or_default()),
        ("order", view.order_ref.clone().unwrap_or_default()),
    ]
}

/// Revokes it; answers what it was, and what the CM says.
pub(crate) async fn revoke(revocation: Revocation, cm: &Cm) -> Result<(Certificate, Value), Failure> {
    if revocation.block_key && revocation.reason != Reason::KeyCompromise {
        return Err(Failure::Usage("--block-key goes with --reason key-compromise only".to_owned()));
    }
    let certificate = cm.certificate(&revocation.id).await?;
    let verdict = Verdict {
        reason: revocation.reason.name(),
        comment: revocation.comment,
        block_key: revocation.block_key,
        invalidity_date: revocation.invalid_since.map(|time| time.to_string()),
    };
    let answer = cm.revoke(&certificate.view, &verdict, idempotency_key()).await?;
    Ok((certificate, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_described_with_who_revoked_it() {
        let json = json!({
            "id": "a.b", "status": "revoked", "serial": "0a", "sha256": "00", "notBefore": "t0", "notAfter": "t1",
            "identifiers": [{"type": "dns", "value": "a.test"}, {"type": "dns", "value": "b.test"}],
            "revocation": {"at": "t2", "reason": "superseded", "by": "urn:cm:officer:anna"},
        });
        let text = described(&Certificate::of(json).unwrap());
        assert!(text.contains("revoked      t2 for superseded by urn:cm:officer:anna"), "{text}");
        assert!(text.contains("names        a.test, b.test") && !text.contains("order"), "{text}");
    }

    #[test]
    fn reasons_are_those_of_the_contract() {
        let names: Vec<_> = Reason::value_variants().iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), 7);
        assert!(names.contains(&"keyCompromise") && names.contains(&"certificateHold"));
    }
}

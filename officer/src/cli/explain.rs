//! `explain`: allow or refuse, with every rule walked, against the CM or from a file.

use std::path::{Path, PathBuf};

use acme::{csr::Csr, identifier::Identifier, ids::ProfileName, profile::Profile, registration::AllowedIdentifiers};
use cm_connector::rest::door;
use serde_json::{Value, json};

use super::{Desk, registrations::show};
use crate::{
    cm::Cm,
    error::Failure,
    explain::{Decision, Explanation, Facts, Layer, Outcome, Question, Step, explain, unreadable},
    output::{Answer, camel_case, fields, table},
};

/// Largest file that is read, in octets.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// What is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The registration, reg_... or the id of its external account key (not with --registration), and the name: a DNS
    /// name, a wildcard name or an address
    #[arg(num_args = 1..=2, required = true, value_names = ["REGISTRATION", "NAME"])]
    about: Vec<String>,
    /// For this profile; without it the one that an order gets that names none
    #[arg(long, value_name = "PROFILE")]
    profile: Option<ProfileName>,
    /// With this CSR, in PEM or DER; its names are looked at too
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Ask no CM: the registration is in this file, as registrations show --json prints it
    #[arg(long, value_name = "FILE")]
    registration: Option<PathBuf>,
    /// Exit with 1 if the answer is no
    #[arg(long)]
    exit_code: bool,
}

/// Answers.
pub(crate) async fn run(arguments: Arguments, desk: &Desk) -> Result<Answer, Failure> {
    let (id, name) = match (arguments.about.as_slice(), &arguments.registration) {
        ([id, name], None) => (Some(id.as_str()), name),
        ([name], Some(_)) => (None, name),
        ([_], None) => {
            return Err(Failure::Usage("name a registration and a name: explain REGISTRATION NAME".to_owned()));
        }
        _ => {
            let reason = "with --registration FILE name only the name: explain --registration FILE NAME";
            return Err(Failure::Usage(reason.to_owned()));
        }
    };
    let facts = match (id, &arguments.registration) {
        (Some(id), _) => {
            let cm = desk.cm()?;
            from_cm(&show::find(id, &cm).await?.view.id, &cm).await?
        }
        (None, Some(file)) => from_file(file)?,
        (None, None) => return Err(Failure::Usage("name a registration".to_owned())),
    };
    let csr = arguments.csr.as_deref().map(csr).transpose()?;
    let explanation = judge(name, arguments.profile.clone(), csr, &facts);
    let exit_code = u8::from(arguments.exit_code && explanation.decision == Decision::Refuse);
    let registration = facts.registration.id.to_string();
    let json = json!({
        "decision": explanation.decision,
        "registration": registration,
        "name": name,
        "profile": arguments.profile,
        "reason": explanation.reason,
        "rules": explanation.rules,
    });
    Ok(Answer { exit_code, ..Answer::new(told(name, &registration, &explanation), json) })
}

/// The answer about a name as a person writes it; the names of a CSR are looked at too.
pub(crate) fn judge(name: &str, profile: Option<ProfileName>, csr: Option<Csr>, facts: &Facts) -> Explanation {
    let mut names = match identifier(name) {
        Err(reason) => return unreadable(name, &reason),
        Ok(identifier) => vec![identifier],
    };
    for also in csr.iter().flat_map(|csr| &csr.names().alternative) {
        if !names.contains(also) {
            names.push(also.clone());
        }
    }
    explain(&Question { names, profile, csr }, facts)
}

/// As the gateway reads what a client asks for: one spelling, nothing mended.
pub(super) fn identifier(text: &str) -> Result<Identifier, String> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Identifier::parse_ip(text).map_err(|error| error.to_string());
    }
    Identifier::parse_dns(text).map_err(|error| error.to_string())
}

/// What the CM knows of a registration and whatever else is looked at.
pub(crate) async fn from_cm(id: &str, cm: &Cm) -> Result<Facts, Failure> {
    let broken = |error: door::NotUnderstood| Failure::Broken(error.to_string());
    let (registration, parent) = door::registration(cm.realm(), cm.registration(id).await?.json).map_err(broken)?;
    let parent = match parent {
        None => None,
        Some(parent) => {
            let json = cm.registration(parent.as_str()).await?.json;
            Some(door::registration(cm.realm(), json).map_err(broken)?.0)
        }
    };
    let (realm, profiles) = surroundings(cm).await?;
    Ok(Facts { registration, parent, realm, profiles: Some(profiles) })
}

/// The same of a registration that is yet to be made: `body` is what the CM would be asked to register.
pub(crate) async fn of_body(body: &Value, cm: &Cm) -> Result<Facts, Failure> {
    let mut json = body.clone();
    if let Some(members) = json.as_object_mut() {
        let _ = members.remove("eab");
        let known = [("id", "reg_00000000000000000000000000"), ("realm", cm.realm().as_str()), ("status", "pending")];
        members.extend(known.map(|(name, text)| (name.to_owned(), text.into())));
        let _ = members.insert("version".to_owned(), 1.into());
    }
    let broken = |error: door::NotUnderstood| Failure::Broken(error.to_string());
    let (registration, _) = door::registration(cm.realm(), json).map_err(broken)?;
    let (realm, profiles) = surroundings(cm).await?;
    Ok(Facts { registration, parent: None, realm, profiles: Some(profiles) })
}

/// The realm's own list and the profiles on offer.
async fn surroundings(cm: &Cm) -> Result<(Option<AllowedIdentifiers>, Vec<Profile>), Failure> {
    let realm = cm.realm_settings().await?;
    let mut profiles = Vec::new();
    for json in cm.profiles().await? {
        profiles.extend(door::profile(json).map_err(|error| Failure::Broken(error.to_string()))?);
    }
    Ok((realm_list(realm), profiles))
}

/// A CM that does not show the realm's own list has none that could be explained.
pub(super) fn realm_list(mut realm: Value) -> Option<AllowedIdentifiers> {
    let list = realm.get_mut("allowedIdentifiers")?.take();
    Some(door::allowed_identifiers(list))
}

fn from_file(file: &Path) -> Result<Facts, Failure> {
    let wrong = |reason: &dyn std::fmt::Display| Failure::File(format!("--registration {}: {reason}", file.display()));
    let octets = read(file).map_err(|error| wrong(&error))?;
    let json: Value = serde_json::from_slice(&octets).map_err(|error| wrong(&error))?;
    let json = camel_case(&json);
    let realm = json.get("realm").and_then(Value::as_str).ok_or_else(|| wrong(&"it has no member realm"))?;
    let realm = realm.parse().map_err(|error| wrong(&format!("realm {error}")))?;
    let (registration, _) = door::registration(&realm, json).map_err(|error| wrong(&error))?;
    Ok(Facts { registration, parent: None, realm: None, profiles: None })
}

fn csr(file: &Path) -> Result<Csr, Failure> {
    let wrong = |reason: &dyn std::fmt::Display| Failure::File(format!("--csr {}: {reason}", file.display()));
    let octets = read(file).map_err(|error| wrong(&error))?;
    let der = der(&octets).ok_or_else(|| wrong(&"its PEM is not base64"))?;
    Csr::parse(&der).map_err(|error| wrong(&error))
}

/// The first octets of a file.
pub(super) fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut octets = Vec::new();
    let _ = std::fs::File::open(file)?.take(FILE_OCTETS_MAX).read_to_end(&mut octets)?;
    Ok(octets)
}

/// The first block of PEM, or the octets themselves.
fn der(octets: &[u8]) -> Option<Vec<u8>> {
    let text = match std::str::from_utf8(octets) {
        Ok(text) if text.contains("-----BEGIN") => text,
        _ => return Some(octets.to_vec()),
    };
    let inside = text.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
    let base64: String = inside.take_while(|line| !line.starts_with("-----END")).map(str::trim).collect();
    data_encoding::BASE64.decode(base64.as_bytes()).ok()
}

/// For people: the answer, the refusals, and what was looked at. Entries that have nothing to say about
/// the name are counted, for there may be a thousand.
fn told(name: &str, registration: &str, explanation: &Explanation) -> String {
    let answer = match explanation.decision {
        Decision::Allow => "allow",
        Decision::Refuse => "refuse",
    };
    let head = fields(&[
        ("decision", answer.to_owned()),
        ("name", name.to_owned()),
        ("registration", registration.to_owned()),
        ("because", explanation.reason.clone().unwrap_or_default()),
    ]);
    let (passed, shown): (Vec<&Step>, Vec<&Step>) =
        explanation.rules.iter().partition(|step| step.outcome == Outcome::Passes);
    let rows: Vec<Vec<String>> = shown.iter().map(|step| row(step)).collect();
    let rules = table(&["LOOKED AT", "NAME", "OUTCOME", "ENTRY OR RULE", "DETAIL"], &rows);
    let rest = match passed.len() {
        0 => String::new(),
        1 => "\n1 entry that does not cover the name is left out; --json has it".to_owned(),
        some => format!("\n{some} entries that do not cover the name are left out; --json has them"),
    };
    format!("{head}\n\n{rules}{rest}")
}

/// What looked, at which name, what it found, by which entry or rule, and in words.
pub(crate) fn row(step: &Step) -> Vec<String> {
    let layer = match step.layer {
        Layer::Name => "name",
        Layer::Status => "status",
        Layer::Realm => "realm",
        Layer::Parent => "parent",
        Layer::Registration => "registration",
        Layer::Profile => "profile",
        Layer::Csr => "csr",
        Layer::Waiver => "waiver",
    };
    let outcome = match step.outcome {
        Outcome::Allows => "allows",
        Outcome::Refuses => "REFUSES",
        Outcome::Covers => "covers",
        Outcome::Excludes => "excludes",
        Outcome::Passes => "passes",
        Outcome::NotLookedAt => "not looked at",
    };
    let entry = step.entry.clone().or_else(|| step.rule.clone()).unwrap_or_default();
    vec![layer.to_owned(), step.name.clone().unwrap_or_default(), outcome.to_owned(), entry, step.detail.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_and_der_are_the_same_csr() {
        assert_eq!(der(b"\x30\x00").unwrap(), b"\x30\x00");
        assert_eq!(
            der(b"x\n-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n").unwrap(),
            b"\x30\x00"
        );
        assert_eq!(der(b"-----BEGIN X-----\n?\n-----END X-----"), None);
    }

    #[test]
    fn names_are_read_as_the_gateway_reads_them() {
        assert_eq!(identifier("A.Test").unwrap().to_string(), "a.test");
        for refused in ["a.test.", "b\u{fc}cher.test", "a..test", "*.*.test", "::ffff:192.0.2.7", ""] {
            assert!(identifier(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_registration_from_a_file_may_be_in_either_spelling() {
        let file = std::env::temp_dir().join(format!("acme-officer-registration-{}.json", std::process::id()));
        let list = json!({"mode": "listed", "rules": [{"type": "dns", "match": "suffix", "value": "a.test"}]});
        for (name, spelled) in [("allowed_identifiers", "snake"), ("allowedIdentifiers", "camel")] {
            let mut json = json!({"id": "reg_1", "version": 1, "realm": "tls", "status": "active"});
            json[name] = list.clone();
            std::fs::write(&file, json.to_string()).unwrap();
            let facts = from_file(&file).unwrap();
            assert!(
                matches!(facts.registration.allowed_identifiers, AllowedIdentifiers::Listed { rules, .. } if rules.len() == 1),
                "{spelled}"
            );
        }
        std::fs::write(&file, "{}").unwrap();
        assert!(from_file(&file).unwrap_err().to_string().contains("realm"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(from_file(&file).unwrap_err().exit_code(), 3);
    }

    #[test]
    fn entries_that_say_nothing_are_counted() {
        let refusal = unreadable("a b", "because");
        let text = told("a b", "reg_1", &refusal);
        assert!(text.starts_with("decision     refuse") && text.contains("identifier.malformed"), "{text}");
        let passing = Step { outcome: Outcome::Passes, ..refusal.rules.first().unwrap().clone() };
        let many = Explanation { rules: vec![passing.clone(), passing], ..refusal };
        assert!(told("a b", "reg_1", &many).contains("2 entries"));
    }
}

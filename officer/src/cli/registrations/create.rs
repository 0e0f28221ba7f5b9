//! `registrations create`.

use acme::time::Timestamp;
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::{
    Desk, directory_link, guard_public_suffixes,
    hand_over::{Recipes, shown},
};
use crate::{
    allowlist::{Entry, List},
    cli::when,
    cm::{Cm, registration::Registration},
    error::Failure,
    output::Answer,
    sheet::Reserved,
};

/// What to register.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("list").required(true))]
pub(crate) struct Arguments {
    /// Whose it is: a team, a machine, a ticket's requester
    #[arg(long, value_name = "TEXT")]
    pub(crate) owner: String,
    /// A name that may be asked for: suffix:NAME, suffix:NAME,no-wildcards, exact:NAME, wildcard:*.NAME, ip:ADDRESS, cidr:NETWORK
    #[arg(long, value_name = "ENTRY", group = "list")]
    pub(crate) allow: Vec<Entry>,
    /// Allow every name that the client can prove control of
    #[arg(long, group = "list")]
    pub(crate) allow_any: bool,
    /// A name that is refused all the same, in the same form
    #[arg(long, value_name = "ENTRY")]
    pub(crate) exclude: Vec<Entry>,
    /// Take a suffix such as com or co.uk, below which anybody can have names
    #[arg(long)]
    pub(crate) allow_public_suffix: bool,
    /// A profile that may be asked for; without it the realm's default profile
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Vec<String>,
    /// Longest validity of a certificate, such as 90d or 12h
    #[arg(long, value_name = "SPAN", value_parser = when::span)]
    pub(crate) max_validity: Option<String>,
    /// Free text, such as a ticket
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Id of the external account key; drawn if left out
    #[arg(long, value_name = "ID")]
    pub(crate) key_id: Option<String>,
    /// Whether the key binds one account or many
    #[arg(long = "use", value_enum, default_value_t = Use::Once)]
    pub(crate) usage: Use,
    /// Most accounts that the key binds; goes with --use multi
    #[arg(long, value_name = "N")]
    pub(crate) max_bindings: Option<u32>,
    /// The key binds from this time on
    #[arg(long = "valid-from", alias = "not-before", value_name = "TIME", value_parser = when::parse)]
    pub(crate) not_before: Option<Timestamp>,
    /// The key binds until this time
    #[arg(long = "until", alias = "not-after", value_name = "TIME", value_parser = when::parse)]
    pub(crate) not_after: Option<Timestamp>,
    /// A MAC that the key may be used with; HS256 if left out, which every client knows
    #[arg(long, value_enum)]
    pub(crate) algorithm: Vec<Algorithm>,
    /// Draw a directory link too, for a device without fields for the key; --sheet is then about the link
    #[arg(long)]
    pub(crate) link: bool,
    #[command(flatten)]
    pub(crate) recipes: Recipes,
}

/// How many accounts a key binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Use {
    Once,
    Multi,
}

/// A MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }
}

/// Registers.
pub(super) async fn run(arguments: Arguments, desk: &Desk) -> Result<Answer, Failure> {
    let key_id = arguments.key_id.clone().unwrap_or_else(drawn_key_id);
    let (clients, sheet) = (arguments.recipes.clients.clone(), arguments.recipes.sheet.clone());
    let (with_link, not_after) = (arguments.link, arguments.not_after);
    let body = body(arguments, &key_id)?;
    let (settings, cm) = desk.open()?;
    when::must_be_ahead("--until", not_after, &cm).await?;
    if with_link {
        cm.must_offer_directory_links().await?;
    }
    let sheet = sheet.as_deref().map(Reserved::new).transpose()?;
    let created = register(&body, &key_id, &cm).await?;
    let (of_key, of_link) = if with_link { (None, sheet) } else { (sheet, None) };
    let title = format!("Registered {}", created.view.id);
    let answer = shown(&title, &created, &clients, of_key, &settings, &cm).await?;
    if !with_link {
        return Ok(answer);
    }
    Ok(directory_link::add_to(answer, &created, of_link, &settings, &cm).await)
}

/// An id for a new external account key.
pub(crate) fn drawn_key_id() -> String {
    format!("kid-{}", data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 10]>()).to_ascii_lowercase())
}

/// Makes the registration. If the answer is lost, the failure says what became of it.
pub(crate) async fn register(body: &Value, key_id: &str, cm: &Cm) -> Result<Registration, Failure> {
    match cm.preregister(body).await {
        Err(Failure::Unanswered(reason)) => Err(what_became_of(cm, key_id, reason).await),
        other => other,
    }
}

/// What the CM is asked to register, in the contract's words.
///
/// # Errors
/// [`Failure::Usage`] names what does not go together.
pub(crate) fn body(arguments: Arguments, key_id: &str) -> Result<Value, Failure> {
    if arguments.max_bindings.is_some() && arguments.usage == Use::Once {
        return Err(Failure::Usage(
            "--max-bindings goes with --use multi: a key that is used once binds once".to_owned(),
        ));
    }
    if let (Some(begin), Some(end)) = (arguments.not_before, arguments.not_after)
        && begin >= end
    {
        return Err(Failure::Usage("--until must be later than --valid-from".to_owned()));
    }
    let rules = guard_public_suffixes(arguments.allow, arguments.allow_public_suffix)?;
    let list = List { rules: (!arguments.allow_any).then_some(rules), exclude: arguments.exclude };
    let algorithms: Vec<_> = arguments.algorithm.iter().map(|algorithm| algorithm.name()).collect();
    let eab = present([
        ("kid", Some(json!(key_id))),
        ("use", Some(json!(if arguments.usage == Use::Once { "once" } else { "multi" }))),
        ("maxBindings", arguments.max_bindings.map(Value::from)),
        ("notBefore", arguments.not_before.map(|time| json!(time))),
        ("notAfter", arguments.not_after.map(|time| json!(time))),
        ("algorithms", (!algorithms.is_empty()).then(|| json!(algorithms))),
    ]);
    Ok(present([
        ("mode", Some(json!("preregistered"))),
        ("eab", Some(eab)),
        ("allowedIdentifiers", Some(list.to_json())),
        ("allowedProfiles", Some(json!(arguments.profile))),
        ("maxValidity", arguments.max_validity.map(Value::from)),
        ("owner", Some(json!(arguments.owner))),
        ("comment", arguments.comment.map(Value::from)),
    ]))
}

fn present<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

/// The answer was lost, and with it the key. Says whether there is a registration now.
async fn what_became_of(cm: &Cm, key_id: &str, reason: String) -> Failure {
    match cm.registration_of_key_id(key_id).await {
        Ok(Some(made)) => Failure::Unanswered(format!(
            "{reason}. The registration {0} was made, but its external account key was lost on the way; draw another \
             one with: registrations rotate-secret {0}",
            made.view.id
        )),
        Ok(None) => Failure::Unanswered(format!("{reason}. No registration was made: try again")),
        Err(_) => Failure::Unanswered(format!(
            "{reason}. Before you try again, see whether it was made: registrations show {key_id}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn body_of(words: &str) -> Result<Value, Failure> {
        let line = Line::try_parse_from(std::iter::once("create").chain(words.split_whitespace()));
        body(line.unwrap_or_else(|error| panic!("{error}")).arguments, "kid-1")
    }

    #[test]
    fn what_is_written_becomes_the_contracts_request() {
        let body = body_of(
            "--owner print-room --allow suffix:a.test --allow cidr:192.0.2.0/24 --exclude exact:vpn.a.test \
             --profile tls-server --max-validity 90d --comment t1 --valid-from 2026-11-20 --until 2026-12-04",
        );
        let expected = json!({
            "mode": "preregistered",
            "eab": {"kid": "kid-1", "use": "once", "notBefore": "2026-11-20T00:00:00Z", "notAfter": "2026-12-04T00:00:00Z"},
            "allowedIdentifiers": {
                "mode": "listed",
                "rules": [{"type": "dns", "match": "suffix", "value": "a.test"},
                          {"type": "ip", "match": "cidr", "value": "192.0.2.0/24"}],
                "exclude": [{"type": "dns", "match": "exact", "value": "vpn.a.test"}]},
            "allowedProfiles": ["tls-server"], "maxValidity": "P90D", "owner": "print-room", "comment": "t1",
        });
        assert_eq!(body.unwrap(), expected);
        let any = body_of("--owner o --allow-any --use multi --max-bindings 5 --algorithm HS384").unwrap();
        assert_eq!(any["allowedIdentifiers"], json!({"mode": "any"}));
        assert_eq!(any["eab"], json!({"kid": "kid-1", "use": "multi", "maxBindings": 5, "algorithms": ["HS384"]}));
    }

    #[test]
    fn nothing_is_allowed_by_leaving_it_out() {
        for words in ["--owner o", "--allow suffix:a.test", "--owner o --allow-any --allow suffix:a.test"] {
            assert!(
                Line::try_parse_from(std::iter::once("create").chain(words.split_whitespace())).is_err(),
                "{words}"
            );
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (words, part) in [
            ("--owner o --allow suffix:com", "public suffix"),
            ("--owner o --allow suffix:a.test --max-bindings 2", "--use multi"),
            ("--owner o --allow suffix:a.test --valid-from 2027-01-02 --until 2027-01-01", "--until"),
        ] {
            let reason = body_of(words).unwrap_err().to_string();
            assert!(reason.contains(part), "{words}: {reason}");
        }
    }
}

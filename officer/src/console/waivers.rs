//! Waivers of challenges: proposed by officers, decided by approvers, taken back by either (CM contract section 4.3).

use std::str::FromStr;

use acme::waiver::{AddressBlock, KeyDigest};
use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;

use super::{
    Console,
    answer::{self, Frame},
    fields::Fields,
    mistakes::Mistakes,
    table::{Cell, Found, Table},
};
use crate::{
    allowlist::Entry,
    cli::{registrations::status, waivers, when},
    cm::{
        idempotency_key,
        waiver::{Decision, Proposal, View},
    },
    error::Failure,
    output::shown,
};

/// Most lines of a field; the CM takes fewer.
const LINES_MAX: usize = 100;
/// The column of the registration, which is left out where all are of one.
const REGISTRATION: usize = 2;
/// Most waivers of one table.
const ROWS_MAX: usize = 50;

#[derive(Template)]
#[template(path = "console/waiver.html")]
struct Page<'a> {
    frame: Frame<'a>,
    id: String,
    registration: String,
    status: String,
    is_done: bool,
    /// What the CM lets this person do, if she is not the one who proposed it or created the registration.
    may_decide: bool,
    may_withdraw: bool,
    mistakes: Mistakes,
    facts: Vec<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "console/proposal.html")]
struct Proposing<'a> {
    frame: Frame<'a>,
    registration: String,
    form: &'a Fields,
    mistakes: Mistakes,
    /// Makes the form that is sent twice one proposal.
    key: String,
    /// Whether a profile that the registration may use takes waivers.
    counts: bool,
}

/// The form for a proposal.
pub(super) async fn propose(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    Ok(answer::page(&proposing(console, id, query, Mistakes::default()).await?))
}

/// Proposes it.
pub(super) async fn proposed(console: &Console, id: &str, form: &Fields) -> Result<HttpResponse, Failure> {
    console.cm.must_offer_waivers().await?;
    let (proposal, mistakes) = proposal(form);
    let Some(proposal) = proposal.filter(|_| mistakes.is_empty()) else {
        let page = proposing(console, id, form, mistakes).await?;
        return Ok(answer::with_status(StatusCode::BAD_REQUEST, &page));
    };
    let key = form.text("key").unwrap_or_default().to_owned();
    let made = View::of(&console.cm.propose_waiver(id, &proposal, key).await?)?;
    Ok(answer::see_other(console, &format!("waivers/{}?done=1", made.id)))
}

/// What is proposed, and what is wrong with it.
fn proposal(form: &Fields) -> (Option<Proposal>, Mistakes) {
    let mut mistakes = Mistakes::default();
    let names = read::<Entry>(form, "names", &mut mistakes);
    let addresses = read::<AddressBlock>(form, "addresses", &mut mistakes);
    let keys = read::<KeyDigest>(form, "keys", &mut mistakes);
    if names.is_empty() && mistakes.of("names").is_none() {
        mistakes.add("names", "Name what need not be proven, an entry a line.");
    }
    if addresses.is_empty() && keys.is_empty() && mistakes.of("addresses").or(mistakes.of("keys")).is_none() {
        mistakes.add("addresses", "Say what the client has to show: addresses, keys, or both.");
    }
    let until = match form.text("until").map(when::parse) {
        Some(Ok(until)) => Some(until.to_string()),
        Some(Err(reason)) => {
            mistakes.add("until", shown(&reason));
            None
        }
        None => {
            mistakes.add("until", "Say when it ends, at most 398 days ahead.");
            None
        }
    };
    let reason = status::reason(form.text("reason").unwrap_or_default());
    let reason = reason.map_err(|why| mistakes.add("reason", format!("Say why: {why}."))).ok();
    let texts = |all: &[AddressBlock]| all.iter().map(ToString::to_string).collect();
    let made = until.zip(reason).map(|(not_after, reason)| Proposal {
        names,
        addresses: texts(&addresses),
        client_certificates: keys.iter().map(ToString::to_string).collect(),
        not_after,
        reason,
    });
    (made, mistakes)
}

/// What stands in a field, one a line.
fn read<T: FromStr<Err: ToString>>(form: &Fields, field: &'static str, mistakes: &mut Mistakes) -> Vec<T> {
    let lines = form.raw(field).unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
    let mut found = Vec::new();
    for line in lines.take(LINES_MAX) {
        match line.parse() {
            Ok(one) => found.push(one),
            Err(reason) => {
                let (line, reason) = (shown(line), shown(&T::Err::to_string(&reason)));
                // Some say by themselves what they are about.
                let is_named = reason.starts_with(&line);
                mistakes.add(field, if is_named { reason } else { format!("{line}: {reason}") });
            }
        }
    }
    found
}

async fn proposing<'a>(
    console: &'a Console,
    id: &str,
    form: &'a Fields,
    mistakes: Mistakes,
) -> Result<Proposing<'a>, Failure> {
    console.cm.must_offer_waivers().await?;
    let view = console.cm.registration(id).await?.view;
    let owner = view.owner.as_deref().map(|owner| format!(" for {}", shown(owner))).unwrap_or_default();
    Ok(Proposing {
        frame: Frame::new(console, "registrations", format!("Propose a waiver{owner}")),
        counts: waivers::counts_for_some_profile(&console.cm, &view.allowed_profiles).await?,
        key: form.text("key").map_or_else(idempotency_key, str::to_owned),
        registration: view.id,
        form,
        mistakes,
    })
}

/// The waivers with this status, of one registration or of all; nothing if the CM has none at all.
pub(super) async fn table(
    console: &Console,
    caption: &'static str,
    registration: Option<&str>,
    status: Option<&str>,
) -> Option<Table> {
    let mut headings = vec!["Waiver", "Status", "Registration", "Names", "For", "Until", "Proposed by", "Reason"];
    if registration.is_some() {
        let _ = headings.remove(REGISTRATION);
    }
    let found = match console.cm.must_offer_waivers().await {
        Ok(()) => rows(console, registration, status).await,
        Err(Failure::Refused(_)) => return None,
        Err(failure) => Err(failure),
    };
    Some(Table::of(caption, &headings, "There is none.", found))
}

async fn rows(console: &Console, registration: Option<&str>, status: Option<&str>) -> Found {
    let list = console.cm.waivers(registration, status, ROWS_MAX).await?;
    let now = console.cm.time().await?;
    let row = |json| {
        let waiver = View::of(json)?;
        let cells = waivers::row(&waiver, now).into_iter().enumerate();
        let cells = cells.filter(|(column, _)| registration.is_none() || *column != REGISTRATION);
        let cells = cells.map(|(column, text)| match column {
            0 => Cell::link("waivers", &text),
            REGISTRATION => Cell::link("registrations", &text),
            _ => Cell::plain(&text),
        });
        Ok(cells.collect())
    };
    Ok((list.items.iter().map(row).collect::<Result<_, Failure>>()?, list.complete))
}

/// One waiver, and what can be decided.
pub(super) async fn one(console: &Console, id: &str, query: &Fields) -> Result<HttpResponse, Failure> {
    let waiver = found(console, id).await?;
    let is_done = query.text("done").is_some();
    Ok(answer::page(&Page { is_done, ..made(console, waiver, Mistakes::default()).await? }))
}

/// Approves it, rejects it, or takes it back.
pub(super) async fn decide(
    console: &Console,
    id: &str,
    decision: Decision,
    form: &Fields,
) -> Result<HttpResponse, Failure> {
    let waiver = found(console, id).await?;
    let (field, is_needed) = match decision {
        Decision::Approve => ("approve_reason", false),
        Decision::Reject => ("reject_reason", true),
        Decision::Withdraw => ("withdraw_reason", true),
    };
    let reason = match form.text(field) {
        None if !is_needed => None,
        text => match status::reason(text.unwrap_or_default()) {
            Ok(reason) => Some(reason),
            Err(why) => {
                let mut mistakes = Mistakes::default();
                mistakes.add(field, format!("Say why: {why}."));
                let page = made(console, waiver, mistakes).await?;
                return Ok(answer::with_status(StatusCode::BAD_REQUEST, &page));
            }
        },
    };
    let _ = console.cm.decide_waiver(&waiver, decision, reason.as_deref()).await?;
    Ok(answer::see_other(console, &format!("waivers/{}?done=1", waiver.id)))
}

async fn found(console: &Console, id: &str) -> Result<View, Failure> {
    console.cm.must_offer_waivers().await?;
    View::of(&console.cm.waiver(id).await?)
}

async fn made(console: &Console, waiver: View, mistakes: Mistakes) -> Result<Page<'_>, Failure> {
    let owner = console.cm.registration(&waiver.registration).await?.view.owner.unwrap_or_default();
    let standing = waiver.standing(console.cm.time().await?);
    let roles = console.cm.roles().await?;
    let has = |wanted: &str| roles.iter().any(|role| role == wanted);
    let lines = |text: &str| text.lines().map(shown).collect::<Vec<_>>().join("\n");
    let facts = waivers::facts(&waiver, &standing, &owner).into_iter().filter(|(_, value)| !value.is_empty());
    Ok(Page {
        frame: Frame::new(console, "approvals", format!("Waiver for {}", shown(&waiver.names().replace('\n', ", ")))),
        id: waiver.id.clone(),
        registration: waiver.registration.clone(),
        status: waiver.status.clone(),
        is_done: false,
        may_decide: has("approver"),
        may_withdraw: has("approver") || has("officer"),
        mistakes,
        facts: facts.map(|(name, value)| (name, lines(&value))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str =
        "names=suffix:a.test,no-wildcards%0Aexact:b.test&addresses=192.0.2.0/24&until=2027-03-01&reason=r";

    #[test]
    fn a_proposal_is_read_line_by_line() {
        let (made, mistakes) = proposal(&Fields::parse(RIGHT));
        let made = made.unwrap();
        assert!(mistakes.is_empty(), "{mistakes:?}");
        assert_eq!((made.names.len(), made.addresses.as_slice()), (2, &["192.0.2.0/24".to_owned()][..]));
        assert_eq!((made.not_after.as_str(), made.reason.as_str()), ("2027-03-01T00:00:00Z", "r"));
    }

    #[test]
    fn every_mistake_is_said_beside_its_field() {
        for (old, new, field) in [
            ("names=", "name=", "names"),
            ("exact:b.test", "b.test", "names"),
            ("addresses=192.0.2.0/24", "", "addresses"),
            ("192.0.2.0/24", "printers", "addresses"),
            ("addresses=192.0.2.0/24", "keys=ab", "keys"),
            ("2027-03-01", "soon", "until"),
            ("until=2027-03-01", "", "until"),
            ("reason=r", "reason=+", "reason"),
        ] {
            let (_, mistakes) = proposal(&Fields::parse(&RIGHT.replace(old, new)));
            let fields: Vec<&str> = mistakes.all().iter().map(|one| one.field.as_ref()).collect();
            assert_eq!(fields, [field], "{old} as {new}: {mistakes:?}");
        }
    }
}

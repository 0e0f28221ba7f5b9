//! `report`: what was issued, what ends, what was refused, what lies idle, who could, what is missing.
//! A report is whole or there is none: what it is made of is asked for up to `--limit`, and more is a failure.

use std::time::Duration;

use acme::{identifier::Identifier, time::Timestamp};
use clap::Subcommand;
use cm_connector::rest::door;
use serde_json::Value;

use super::{Desk, explain, registrations::show, when};
use crate::{
    cm::{Cm, List, registration::Search},
    error::Failure,
    output::Answer,
    reports::{
        Format, Report, certificates, inactive, missed,
        record::{Issued, Registered, Registry},
        refused,
        who_could::{self, Asked, Past, Surroundings},
    },
};

const DAY: Duration = Duration::from_secs(86_400);
/// Most days that can be asked for: ten years.
pub(crate) const DAYS_MAX: u32 = 3_660;
/// How far back certificates are looked at if nobody says.
pub(crate) const HISTORY_DAYS: u32 = 400;

/// Which report, and how it is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How it is written; --json goes before it
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Most certificates, registrations or entries that are looked at; there is no report if there are more
    #[arg(long, global = true, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    limit: u32,
    #[command(subcommand)]
    what: What,
}

/// A report and what narrows it.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Certificates that were issued
    Issued {
        #[command(flatten)]
        span: Span,
        /// To this registration, reg_... or key id
        #[arg(long, value_name = "ID")]
        registration: Option<String>,
        /// By this profile
        #[arg(long, value_name = "PROFILE")]
        profile: Option<String>,
    },
    /// Certificates in force that end soon, and what has taken their place
    Expiring {
        /// Within so many days
        #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = days())]
        within: u32,
        /// Of this registration, reg_... or key id
        #[arg(long, value_name = "ID")]
        registration: Option<String>,
    },
    /// What was refused, by which rule; an auditor is told more than an officer
    Refused {
        #[command(flatten)]
        span: Span,
    },
    /// Registrations without activity
    Inactive {
        /// For so many days
        #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = days())]
        days: u32,
        #[command(flatten)]
        memory: Memory,
    },
    /// Which registrations would have allowed a name, and why; only an auditor is answered for the past
    WhoCould {
        /// A DNS name, a wildcard name or an address
        name: String,
        /// At this time, or at any time of this day in UTC; without it now
        #[arg(long, value_name = "DATE")]
        on: Option<String>,
    },
    /// Renewals that should have come and did not, of certificates that are still in force
    Missed {
        #[command(flatten)]
        memory: Memory,
    },
}

/// From when to when.
#[derive(Debug, clap::Args)]
pub(crate) struct Span {
    /// From this time on; without it for 30 days
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) from: Option<Timestamp>,
    /// Before this time; without it until now
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    pub(crate) to: Option<Timestamp>,
}

/// How far back certificates are looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Memory {
    /// Look at certificates that were issued within so many days
    #[arg(long, value_name = "DAYS", default_value_t = HISTORY_DAYS, value_parser = days())]
    pub(crate) history: u32,
}

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX))
}

impl Span {
    fn bounds(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Failure> {
        // The CM's clock tells whole seconds here; what happens in this one belongs to the report.
        let to = self.to.unwrap_or_else(|| now.plus(Duration::from_secs(1)));
        let from = self.from.unwrap_or_else(|| to.minus(DAY * 30));
        if from < to { Ok((from, to)) } else { Err(Failure::Usage(format!("--from {from} is not before --to {to}"))) }
    }
}

/// Makes the report.
pub(crate) async fn run(arguments: Arguments, desk: &Desk) -> Result<Answer, Failure> {
    let cm = desk.cm()?;
    let sources = Sources { cm: &cm, limit: usize::try_from(arguments.limit).unwrap_or(usize::MAX) };
    let report = Box::pin(sources.report(arguments.what)).await?;
    let mut answer = Answer::new(report.text(arguments.format), report.json());
    if arguments.format == Format::Csv {
        answer.aside = report.notes.iter().map(|note| format!("note: {note}")).collect::<Vec<_>>().join("\n");
    }
    Ok(answer)
}

/// What reports are made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) cm: &'a Cm,
    /// Most certificates, registrations or entries that are looked at.
    pub(crate) limit: usize,
}

impl Sources<'_> {
    /// The report, whole.
    ///
    /// # Errors
    /// [`Failure::Usage`] if there is more to look at than the limit, or what is asked makes no sense.
    pub(crate) async fn report(&self, what: What) -> Result<Report, Failure> {
        let now = self.cm.time().await?;
        match what {
            What::Issued { span, registration, profile } => {
                let (from, to) = span.bounds(now)?;
                let registration = show::found_id(registration, self.cm).await?;
                let query = vec![("registration", registration), ("profile", profile)];
                Ok(certificates::issued(self.issued_from(from, query).await?, from, to, now))
            }
            What::Expiring { within, registration } => {
                let registration = show::found_id(registration, self.cm).await?;
                self.expiring(now, now.plus(DAY * within), registration).await
            }
            What::Refused { span } => {
                let (from, to) = span.bounds(now)?;
                self.refused(now, from, to).await
            }
            What::Inactive { days, memory } => {
                let (since, known_from) = (now.minus(DAY * days), now.minus(DAY * memory.history.max(days)));
                let certificates = self.issued_from(known_from, Vec::new()).await?;
                Ok(inactive::inactive(&self.registry().await?, &certificates, since, known_from, now))
            }
            What::WhoCould { name, on } => self.who_could(now, &name, on.as_deref()).await,
            What::Missed { memory } => {
                let known_from = now.minus(DAY * memory.history);
                let certificates = self.issued_from(known_from, Vec::new()).await?;
                Ok(missed::report(&certificates, &self.registry().await?, known_from, now))
            }
        }
    }

    async fn expiring(
        &self,
        now: Timestamp,
        before: Timestamp,
        registration: Option<String>,
    ) -> Result<Report, Failure> {
        let of = ("registration", registration.clone());
        let query = vec![of, ("status", Some("good".to_owned())), ("notAfterBefore", Some(before.to_string()))];
        let ending = self.certificates(query).await?;
        let later = match ending.iter().map(|one| one.issued_at).min() {
            Some(oldest) => self.issued_from(oldest, vec![("registration", registration)]).await?,
            None => Vec::new(),
        };
        Ok(certificates::expiring(ending, &later, &self.registry().await?, before, now))
    }

    async fn refused(&self, now: Timestamp, from: Timestamp, to: Timestamp) -> Result<Report, Failure> {
        let mut requests = Vec::new();
        for status in refused::REFUSED {
            requests.extend(self.whole(self.cm.requests(status, self.limit).await?, "requests")?);
        }
        let audit = self.trail(from, Some(to)).await?.ok();
        refused::refused(&requests, audit.as_deref(), from, to, now)
    }

    async fn who_could(&self, now: Timestamp, name: &str, on: Option<&str>) -> Result<Report, Failure> {
        let name: Identifier = explain::identifier(name)
            .map_err(|reason| Failure::Usage(format!("no client can ask for it: {reason}")))?;
        let (from, until) = day(on, now)?;
        // First the registrations: a change between both questions is then in the trail and taken back.
        let registrations = self.cm.registrations(Search::default(), self.limit).await?;
        let registrations = self.whole(registrations, "registrations")?;
        let past = if from >= now {
            Past::IsNow
        } else {
            match self.trail(from, None).await? {
                Ok(trail) => Past::Trail(trail),
                Err(reason) => Past::Unknown(reason),
            }
        };
        let mut profiles = Vec::new();
        for json in self.cm.profiles().await? {
            profiles.extend(door::profile(json).map_err(|error| Failure::Broken(error.to_string()))?);
        }
        let realm_list = explain::realm_list(self.cm.realm_settings().await?);
        let surroundings = Surroundings { realm: self.cm.realm().clone(), realm_list, profiles };
        who_could::who_could(&Asked { name, from, until }, &registrations, &past, &surroundings, now)
    }

    /// The audit trail; the inner error says why it is not told.
    async fn trail(&self, from: Timestamp, to: Option<Timestamp>) -> Result<Result<Vec<Value>, String>, Failure> {
        let mut query = vec![("from", from.to_string()), ("realm", self.cm.realm().to_string())];
        query.extend(to.map(|to| ("to", to.to_string())));
        match self.cm.audit(query, self.limit).await {
            Ok(list) => self.whole(list, "entries of the audit trail").map(Ok),
            Err(Failure::Refused(refusal)) if refusal.code == "forbidden" => {
                Ok(Err("the audit trail, which alone tells the past, is shown to auditors only".to_owned()))
            }
            Err(Failure::Refused(refusal)) if refusal.code == "capability-missing" => {
                Ok(Err("this CM has no audit trail, which alone tells the past".to_owned()))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Certificates that were issued from then on.
    async fn issued_from(
        &self,
        from: Timestamp,
        mut query: Vec<(&'static str, Option<String>)>,
    ) -> Result<Vec<Issued>, Failure> {
        query.push(("issuedAfter", Some(from.minus(Duration::from_secs(1)).to_string())));
        self.certificates(query).await
    }

    async fn certificates(&self, query: Vec<(&'static str, Option<String>)>) -> Result<Vec<Issued>, Failure> {
        let query = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let list = self.cm.certificates(query, self.limit).await?;
        self.whole(list, "certificates")?.into_iter().map(Issued::of).collect()
    }

    async fn registry(&self) -> Result<Registry, Failure> {
        let list = self.cm.registrations(Search::default(), self.limit).await?;
        let registered = self.whole(list, "registrations")?.into_iter().map(Registered::of);
        registered.map(|one| one.map(|one| (one.id.clone(), one))).collect()
    }

    fn whole(&self, list: List, what: &str) -> Result<Vec<Value>, Failure> {
        if list.complete {
            return Ok(list.items);
        }
        Err(Failure::Usage(format!(
            "there are more than {} {what}, and a report is whole or there is none: narrow it, or give a higher --limit",
            self.limit
        )))
    }
}

/// A day is asked about as a whole, a moment as one second.
fn day(on: Option<&str>, now: Timestamp) -> Result<(Timestamp, Timestamp), Failure> {
    let second = Duration::from_secs(1);
    let Some(text) = on else { return Ok((now, now.plus(second))) };
    let from = when::parse(text).map_err(|reason| Failure::Usage(format!("--on: {reason}")))?;
    let span = if text.contains('T') { second } else { DAY };
    if from > now {
        return Err(Failure::Usage(format!("--on {text} is yet to come; without --on the answer is for now")));
    }
    Ok((from, from.plus(span)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_is_whole_and_a_moment_is_a_second() {
        let now = at("2026-11-22T10:00:00Z");
        assert_eq!(day(None, now).unwrap(), (now, at("2026-11-22T10:00:01Z")));
        assert_eq!(day(Some("2026-11-20"), now).unwrap(), (at("2026-11-20T00:00:00Z"), at("2026-11-21T00:00:00Z")));
        let moment = day(Some("2026-11-20T12:00:00Z"), now).unwrap();
        assert_eq!(moment, (at("2026-11-20T12:00:00Z"), at("2026-11-20T12:00:01Z")));
        assert_eq!(day(Some("2026-11-23"), now).unwrap_err().exit_code(), 2);
        assert_eq!(day(Some("yesterday"), now).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_span_is_thirty_days_unless_it_is_said() {
        let now = at("2026-11-22T10:00:00Z");
        let (from, to) = Span { from: None, to: None }.bounds(now).unwrap();
        assert_eq!(to.since(from), DAY * 30);
        assert!(to > now, "what was issued in this second is in it");
        assert!(Span { from: Some(now), to: Some(now) }.bounds(now).is_err());
    }
}

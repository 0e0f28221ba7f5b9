//! Which one or two addresses of a host are dialled: one IPv6 address first, and if it cannot be
//! connected to, one IPv4 address. Both have passed the address policy.

use std::{net::SocketAddr, time::Duration};

use acme::{
    identifier::Identifier,
    problem::{ProblemKind, shown},
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{
    Failure, Parts,
    egress::{Dialable, Egress, Refusal},
    observation::{self, Observation, ms_since, note},
    resolver::LookupError,
};

/// The addresses of one host, in the order in which they are tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidates {
    /// Dialled first.
    pub(crate) first: Dialable,
    /// Dialled if no connection to the first comes about.
    pub(crate) second: Option<Dialable>,
}

/// Looks the host up and judges by a policy what is found. `label` is what a client is told it was for.
pub(crate) async fn candidates(
    parts: &Parts,
    egress: &Egress,
    host: &Identifier,
    label: &str,
    deadline: Instant,
) -> Result<Candidates, Failure> {
    let addresses = match host {
        Identifier::Ip(address) => vec![*address],
        Identifier::Dns(name) | Identifier::Wildcard(name) => {
            parts.resolver.addresses(name, deadline).await.map_err(|error| no_addresses(label, error))?
        }
    };
    let mut refused = None;
    let mut passed = Vec::new();
    for address in addresses {
        match egress.check(address) {
            Ok(dialable) => passed.push(dialable),
            Err(refusal) => {
                note(|| Observation::AddressRefused {
                    host: observation::text(&host.to_string()),
                    address,
                    rule: refusal.0.name().to_owned(),
                });
                refused = refused.or(Some(refusal));
            }
        }
    }
    let v6 = passed.iter().find(|dialable| dialable.address().is_ipv6()).copied();
    let v4 = passed.iter().find(|dialable| dialable.address().is_ipv4()).copied();
    match (v6, v4, refused) {
        (Some(first), second, _) => Ok(Candidates { first, second }),
        (None, Some(first), _) => Ok(Candidates { first, second: None }),
        (None, None, Some(refusal)) => Err(not_dialled(host, label, refusal)),
        (None, None, None) => Err(no_addresses(label, LookupError::NoRecord { at: host.to_string() })),
    }
}

/// What a client is told of an address whose turn did not come.
pub(crate) const NO_TURN: &str = "was not dialled in time, because many other validations are at its network";

/// Waits for a turn at the network of this address.
pub(crate) async fn turn(parts: &Parts, address: SocketAddr, deadline: Instant) -> Option<OwnedSemaphorePermit> {
    let began = Instant::now();
    let turn = parts.networks.turn(address.ip(), deadline).await;
    if turn.is_none() {
        note(|| Observation::Dial { address, failure: Some(NO_TURN.to_owned()), ms: ms_since(began) });
    }
    turn
}

impl Candidates {
    /// Time to connect to the first one: half of what is left belongs to the second one, if there
    /// is one.
    pub(crate) fn first_timeout(&self, parts: &Parts, deadline: Instant) -> Duration {
        let share = if self.second.is_some() { 2 } else { 1 };
        parts.settings.dial_timeout.min(deadline.saturating_duration_since(Instant::now()) / share)
    }

    /// Time to connect to the second one.
    pub(crate) fn second_timeout(parts: &Parts, deadline: Instant) -> Duration {
        parts.settings.dial_timeout.min(deadline.saturating_duration_since(Instant::now()))
    }
}

/// The client is not told which address it was: strangers could have the names of the inside looked up here. Operators
/// find it among the observations.
fn not_dialled(host: &Identifier, label: &str, refusal: Refusal) -> Failure {
    let detail = match host {
        Identifier::Ip(_) => format!("{label}: not dialled; {refusal}"),
        Identifier::Dns(_) | Identifier::Wildcard(_) => {
            format!("{label}: the name resolves to an address that is not dialled; {refusal}")
        }
    };
    Failure::lasting(ProblemKind::Connection, detail)
}

fn no_addresses(label: &str, error: LookupError) -> Failure {
    match error {
        LookupError::NoRecord { at } => {
            Failure::passing(ProblemKind::Dns, format!("{label}: no A or AAAA record found at {}", shown(&at)))
        }
        LookupError::Aliases => Failure::lasting(
            ProblemKind::Dns,
            format!("{label}: looking up the name: more than 8 aliases, or aliases in a loop"),
        ),
        LookupError::NoAnswer(reason) => {
            Failure::passing(ProblemKind::Dns, format!("{label}: looking up the name: {reason}"))
        }
    }
}

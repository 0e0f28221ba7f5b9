//! Compatibility switches: where a client that is in use asks for something else than RFC 8555, an
//! endpoint can be told to give it. All are off by default; each is asked for at one place.

use std::{collections::BTreeSet, fmt};

use acme::problem::{Problem, ProblemKind};
use serde::{Deserialize, Deserializer, de::Error as _};

/// One deviation from the strict rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Switch {
    /// A response to a challenge whose authorization has ended is answered 200 with the challenge as
    /// it is, and nothing is done; RFC 8555 §7.5.1 wants an error. `@root/acme` and rustls-acme
    /// post every challenge once more before they read what came of it.
    RepeatFailedChallenges,
    /// Requests by a deactivated or revoked account are refused with 403; RFC 8555 §7.3.6 says 401.
    /// For clients that take a 401 for a question of their HTTP library about passwords.
    InactiveAccount403,
    /// A challenge that found the wrong content failed with `unauthorized` rather than
    /// `incorrectResponse` (RFC 8555 §8.3), as at the large public authority. For clients and
    /// monitoring that look for that word.
    UnauthorizedForWrongContent,
    /// One dot at the end of a DNS identifier is dropped; RFC 8555 §7.1.4 has none there. Traefik and
    /// scripts take names from DNS tools as they are.
    TrailingDot,
}

impl Switch {
    /// All switches.
    pub(crate) const ALL: [Self; 4] =
        [Self::RepeatFailedChallenges, Self::InactiveAccount403, Self::UnauthorizedForWrongContent, Self::TrailingDot];

    /// The name in the settings.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RepeatFailedChallenges => "repeat-failed-challenges",
            Self::InactiveAccount403 => "inactive-account-403",
            Self::UnauthorizedForWrongContent => "unauthorized-for-wrong-content",
            Self::TrailingDot => "trailing-dot",
        }
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            D::Error::custom(format!("compatibility: there is no switch {name}; there are {known}"))
        })
    }
}

/// The switches of one endpoint that are on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Compatibility(BTreeSet<Switch>);

impl Compatibility {
    /// Whether this one is on.
    pub(crate) fn has(&self, switch: Switch) -> bool {
        self.0.contains(&switch)
    }

    /// The problem as the clients of the endpoint want to read it.
    pub(crate) fn told(&self, problem: Problem) -> Problem {
        let renames = [
            (ProblemKind::AccountNotActive, Switch::InactiveAccount403),
            (ProblemKind::IncorrectResponse, Switch::UnauthorizedForWrongContent),
        ];
        if renames.into_iter().any(|(kind, switch)| problem.kind == kind && self.has(switch)) {
            Problem { kind: ProblemKind::Unauthorized, ..problem }
        } else {
            problem
        }
    }

    /// Whether all are off.
    pub(crate) fn is_strict(&self) -> bool {
        self.0.is_empty()
    }
}

/// The names of those that are on.
impl fmt::Display for Compatibility {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|switch| switch.as_str()).collect();
        out.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::from_text;

    const LEAST: &str = "server.external_url = 'https://acme.example.com'\ncm.url = 'https://cm.example.net:9443'\n";

    fn of_endpoint(lines: &str) -> Result<Compatibility, String> {
        let settings = from_text(&format!("{LEAST}[endpoints.a]\n{lines}\n")).map_err(|error| error.to_string())?;
        Ok(settings.endpoints.into_values().next().unwrap().compatibility)
    }

    #[test]
    fn every_switch_is_off_unless_it_is_named() {
        let strict = of_endpoint("").unwrap();
        assert!(Switch::ALL.iter().all(|switch| !strict.has(*switch)));
        for switch in Switch::ALL {
            let one = of_endpoint(&format!("compatibility = ['{}']", switch.as_str())).unwrap();
            assert!(Switch::ALL.iter().all(|other| one.has(*other) == (*other == switch)), "{switch:?}");
        }
    }

    #[test]
    fn a_problem_is_renamed_by_its_switch_and_by_no_other() {
        let renaming = [
            (Switch::InactiveAccount403, ProblemKind::AccountNotActive),
            (Switch::UnauthorizedForWrongContent, ProblemKind::IncorrectResponse),
        ];
        for switch in Switch::ALL {
            let one = Compatibility(BTreeSet::from([switch]));
            for kind in [ProblemKind::AccountNotActive, ProblemKind::IncorrectResponse, ProblemKind::Caa] {
                let told = one.told(Problem::new(kind, "why"));
                let expected = if renaming.contains(&(switch, kind)) { ProblemKind::Unauthorized } else { kind };
                assert_eq!(told, Problem::new(expected, "why"), "{switch:?}");
            }
        }
    }

    #[test]
    fn an_unknown_switch_is_refused_with_the_list_of_known_ones() {
        let error = of_endpoint("compatibility = ['trailing-dot', 'trailing-dots']").unwrap_err();
        assert!(error.contains("trailing-dots") && error.contains("compatibility"), "{error}");
        assert!(Switch::ALL.iter().all(|switch| error.contains(switch.as_str())), "{error}");
    }

    #[test]
    fn every_switch_is_told_of_where_operators_look() {
        let settings = include_str!("../../../config/gateway.toml");
        let manual = include_str!("../../../docs/OPERATIONS.md");
        for switch in Switch::ALL {
            assert!(settings.contains(switch.as_str()) && manual.contains(switch.as_str()), "{switch:?}");
        }
    }
}

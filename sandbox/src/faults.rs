//! Faults that tests order from the reference CM, request by request.
//!
//! A rule says how many of the next requests of one operation go wrong and how. The control
//! server adds rules, the reference CM takes them. Rules live in memory only: a restarted sandbox
//! is a healthy one. This is not a way to weaken the CM's decisions: no fault lets anybody have
//! what the contract forbids, except those that make a wrong certificate, or another one, on purpose.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Most rules kept at once; one more is refused.
const RULES_MAX: usize = 1_000;
/// Longest delay a rule may ask for.
const DELAY_MILLIS_MAX: u64 = 600_000;

/// What goes wrong. In JSON the variant is named by `kind` in kebab-case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// Wait before the request is looked at.
    DelayBefore {
        /// How long, in milliseconds.
        millis: u64,
    },
    /// Do the work, commit it, and wait before the answer is sent.
    DelayAfterCommit {
        /// How long, in milliseconds.
        millis: u64,
    },
    /// Answer 503 `overloaded` without doing the work.
    Unavailable {
        /// `Retry-After` in seconds; absent means that the header is absent too.
        #[serde(default)]
        retry_after_secs: Option<u32>,
    },
    /// Drop the connection without doing the work.
    ResetBefore,
    /// Do the work, commit it, and drop the connection.
    ResetAfter,
    /// Do the work and send only half of the announced body.
    TruncatedBody,
    /// Do the work and answer with the HTML page of a proxy and status 502.
    HtmlPage,
    /// Do the work and send the answer that the operation gave the last time, to whomever it was; the right one if
    /// there was none.
    ReplayedAnswer,
    /// Without doing the work, read and write nothing more on the connection, and keep it open.
    FrozenConnection,
    /// Do everything by a clock that is wrong.
    SkewedClock {
        /// By how much it is ahead, in seconds; behind if negative.
        seconds: i32,
    },
    /// Certify another public key than the one in the CSR.
    WrongKey,
    /// Certify other names than the ones asked for.
    WrongNames,
    /// Hand out a chain whose issuer did not sign the certificate.
    WrongChain,
    /// Show another certificate for a request than the one that it has.
    SecondCertificate,
    /// Answer 202 although the profile is automatic, and issue later.
    Pending {
        /// How much later, in milliseconds.
        millis: u64,
    },
    /// Accept the request and reject it for good, as an approver might.
    Rejected,
}

/// The next `count` requests of `operation` meet `fault`.
///
/// `operation` is an operationId of the contract (`requestCertificate`, `revokeCertificate`,
/// `createRegistration`, …) or `*` for any. In JSON:
///
/// ```json
/// {"operation":"requestCertificate","count":1,"fault":{"kind":"delay-after-commit","millis":5000}}
/// ```
///
/// The kinds: `delay-before` and `delay-after-commit` (`millis`), `unavailable` (optional
/// `retry_after_secs`), `reset-before`, `reset-after`, `truncated-body`, `html-page`,
/// `replayed-answer`, `frozen-connection`, `skewed-clock` (`seconds`), and only for
/// `requestCertificate`: `wrong-key`, `wrong-names`, `wrong-chain`, `pending` (`millis`),
/// `rejected`; and only for `getRequest`: `second-certificate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// operationId or `*`.
    pub(crate) operation: String,
    /// How many requests are still to fail.
    pub(crate) count: u32,
    /// How they fail.
    pub(crate) fault: Fault,
}

/// Why a rule was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RuleRefused {
    /// No operation of the contract has this name.
    UnknownOperation(String),
    /// The count is zero.
    NothingToDo,
    /// The delay is longer than the bound.
    DelayTooLong,
    /// This fault changes a certificate, so it makes sense for `requestCertificate` only.
    OnlyForIssuance,
    /// This fault changes what is shown of a request, so it makes sense for `getRequest` only.
    OnlyForReading,
    /// There are too many rules already.
    Full,
}

impl std::fmt::Display for RuleRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownOperation(name) => {
                write!(f, "no operation is called {name}; use an operationId of the contract or *")
            }
            Self::NothingToDo => f.write_str("count must be at least 1"),
            Self::DelayTooLong => write!(f, "a delay is at most {DELAY_MILLIS_MAX} ms"),
            Self::OnlyForIssuance => f.write_str("this fault is for requestCertificate only"),
            Self::OnlyForReading => f.write_str("this fault is for getRequest only"),
            Self::Full => write!(f, "at most {RULES_MAX} rules; clear them first"),
        }
    }
}

impl std::error::Error for RuleRefused {}

/// The rules in force, shared by the control server and the reference CM.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    rules: Arc<Mutex<Vec<Rule>>>,
}

impl Faults {
    /// Adds a rule behind the others; the oldest rule that fits a request is used first.
    pub(crate) fn add(&self, rule: Rule) -> Result<(), RuleRefused> {
        if rule.operation != "*" && !crate::reference_cm::has_operation(&rule.operation) {
            return Err(RuleRefused::UnknownOperation(rule.operation));
        }
        if rule.count == 0 {
            return Err(RuleRefused::NothingToDo);
        }
        let issuance_only = match rule.fault {
            Fault::DelayBefore { millis } | Fault::DelayAfterCommit { millis } => {
                check_delay(millis)?;
                false
            }
            Fault::Pending { millis } => {
                check_delay(millis)?;
                true
            }
            Fault::WrongKey | Fault::WrongNames | Fault::WrongChain | Fault::Rejected => true,
            Fault::SecondCertificate if rule.operation != "getRequest" => return Err(RuleRefused::OnlyForReading),
            Fault::SecondCertificate
            | Fault::Unavailable { .. }
            | Fault::ResetBefore
            | Fault::ResetAfter
            | Fault::TruncatedBody
            | Fault::HtmlPage
            | Fault::ReplayedAnswer
            | Fault::FrozenConnection
            | Fault::SkewedClock { .. } => false,
        };
        if issuance_only && rule.operation != "requestCertificate" {
            return Err(RuleRefused::OnlyForIssuance);
        }
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if rules.len() >= RULES_MAX {
            return Err(RuleRefused::Full);
        }
        rules.push(rule);
        Ok(())
    }

    /// Takes the fault for one request of `operation`, and counts it.
    pub(crate) fn take(&self, operation: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let position = rules.iter().position(|rule| rule.operation == operation || rule.operation == "*")?;
        let rule = rules.get_mut(position)?;
        rule.count = rule.count.saturating_sub(1);
        let fault = rule.fault.clone();
        if rule.count == 0 {
            rules.remove(position);
        }
        Some(fault)
    }

    /// The rules still in force, oldest first.
    pub(crate) fn list(&self) -> Vec<Rule> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets all rules.
    pub(crate) fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn check_delay(millis: u64) -> Result<(), RuleRefused> {
    if millis > DELAY_MILLIS_MAX { Err(RuleRefused::DelayTooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(operation: &str, count: u32, fault: Fault) -> Rule {
        Rule { operation: operation.to_owned(), count, fault }
    }

    #[test]
    fn a_rule_has_the_documented_json_form() {
        let json =
            r#"{"operation":"requestCertificate","count":1,"fault":{"kind":"delay-after-commit","millis":5000}}"#;
        let parsed: Rule = serde_json::from_str(json).unwrap();
        assert_eq!(parsed, rule("requestCertificate", 1, Fault::DelayAfterCommit { millis: 5000 }));
        assert_eq!(serde_json::to_string(&parsed).unwrap(), json);
    }

    #[test]
    fn a_rule_is_used_up_by_its_count_and_only_by_its_operation() {
        let faults = Faults::default();
        faults.add(rule("revokeCertificate", 2, Fault::ResetAfter)).unwrap();
        assert_eq!(faults.take("getInfo"), None);
        assert_eq!(faults.take("revokeCertificate"), Some(Fault::ResetAfter));
        assert_eq!(faults.take("revokeCertificate"), Some(Fault::ResetAfter));
        assert_eq!(faults.take("revokeCertificate"), None);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn rules_that_cannot_work_are_refused() {
        let faults = Faults::default();
        assert_eq!(
            faults.add(rule("requestCert", 1, Fault::HtmlPage)),
            Err(RuleRefused::UnknownOperation("requestCert".to_owned()))
        );
        assert_eq!(faults.add(rule("getInfo", 0, Fault::HtmlPage)), Err(RuleRefused::NothingToDo));
        assert_eq!(faults.add(rule("getInfo", 1, Fault::WrongKey)), Err(RuleRefused::OnlyForIssuance));
        assert_eq!(faults.add(rule("getInfo", 1, Fault::SecondCertificate)), Err(RuleRefused::OnlyForReading));
        assert_eq!(
            faults.add(rule("getInfo", 1, Fault::DelayBefore { millis: 600_001 })),
            Err(RuleRefused::DelayTooLong)
        );
    }
}

//! `[limits]` and `[pausing]`: how much one client may ask for. Each limit can be switched off, and
//! that has to be said: there is no number that means it by accident.

use std::{fmt, num::NonZeroU32};

use ipnet::IpNet;
use policies::{pause::PausePolicy, rate_limit::RateLimit};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{values::Seconds, words::networks};

/// What switches a limit off.
const OFF: &str = "off";

/// Limits on requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Addresses that are not limited.
    #[serde(deserialize_with = "networks")]
    pub(crate) exempt: Vec<IpNet>,
    pub(crate) requests_per_address: Limit,
    pub(crate) unknown_accounts_per_address: Limit,
    pub(crate) new_accounts_per_address: Limit,
    pub(crate) failed_external_accounts_per_address: Limit,
    pub(crate) failed_external_accounts_per_address_and_key_id: Limit,
    pub(crate) failed_external_accounts_per_key_id: Limit,
    pub(crate) requests_per_account: Limit,
    pub(crate) new_orders_per_address: Limit,
    pub(crate) new_orders_per_account: Limit,
    pub(crate) new_orders_per_external_account: Limit,
    pub(crate) new_orders_per_endpoint: Limit,
    pub(crate) failed_validations_per_account_and_name: Limit,
    pub(crate) pending_orders_per_account_max: Count,
}

/// When clients that only ever fail are paused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pausing {
    pub(crate) failures: Count,
    #[serde(rename = "over_secs")]
    pub(crate) over: Seconds,
    #[serde(rename = "lasts_secs")]
    pub(crate) lasts: Seconds,
    #[serde(rename = "link_lifetime_secs")]
    pub(crate) link_lifetime: Seconds,
}

impl Pausing {
    /// `None` if nobody is ever paused.
    pub(crate) fn policy(&self) -> Option<PausePolicy> {
        let failures = u32::try_from(self.failures.0?).unwrap_or(u32::MAX);
        Some(PausePolicy { failures, over: self.over.duration(), lasts: self.lasts.duration() })
    }
}

/// `{ burst = 100, per_secs = 3600 }`, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<RateLimit>);

/// A number of at least 1, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) Option<usize>);

impl Limit {
    /// Whether it lets this many a second pass, for ever.
    pub(super) fn allows_each_second(self, requests: u64) -> bool {
        self.0.is_none_or(|limit| u64::from(limit.burst()) >= limit.period().as_secs().saturating_mul(requests))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bucket {
    burst: u32,
    per_secs: Seconds,
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Limit;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a limit such as { burst = 100, per_secs = 3600 }, or \"off\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Limit, E> {
                if text == OFF {
                    Ok(Limit(None))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Limit, A::Error> {
                let Bucket { burst, per_secs } = Bucket::deserialize(MapAccessDeserializer::new(map))?;
                let burst = NonZeroU32::new(burst)
                    .ok_or_else(|| A::Error::custom("burst = 0 would let nothing pass; give at least 1, or \"off\""))?;
                Ok(Limit(Some(RateLimit::new(burst, per_secs.duration()))))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Count;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a number of at least 1, or \"off\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Count, E> {
                if text == OFF {
                    Ok(Count(None))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
                }
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Count, E> {
                match usize::try_from(number) {
                    Ok(count @ 1..) => Ok(Count(Some(count))),
                    Ok(0) | Err(_) => Err(E::invalid_value(serde::de::Unexpected::Signed(number), &self)),
                }
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Count, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::from_text;

    /// The least that an operator must say.
    const LEAST: &str = "server.external_url = 'https://acme.example.com'\ncm.url = 'https://cm.example.net:9443'\n";

    fn limits(text: &str) -> Result<Limits, String> {
        let settings = from_text(&format!("{LEAST}{text}\n[endpoints.a]\n"));
        settings.map(|settings| settings.limits).map_err(|error| error.to_string())
    }

    #[test]
    fn a_limit_is_changed_in_part_or_switched_off_in_words() {
        let limit = limits("limits.new_orders_per_account.burst = 7").unwrap().new_orders_per_account.0.unwrap();
        assert_eq!((limit.burst(), limit.period()), (7, Duration::from_secs(3600)), "the rest is the default");
        let off =
            limits("limits.new_orders_per_account = 'off'\nlimits.pending_orders_per_account_max = 'off'").unwrap();
        assert_eq!((off.new_orders_per_account, off.pending_orders_per_account_max), (Limit(None), Count(None)));
    }

    #[test]
    fn what_is_no_limit_is_refused_and_named() {
        for (setting, value) in [
            ("limits.new_orders_per_account", "'of'"),
            ("limits.new_orders_per_account", "5"),
            ("limits.new_orders_per_account", "{ burst = 0, per_secs = 60 }"),
            ("limits.new_orders_per_account", "{ burst = 5, per_secs = 0 }"),
            ("limits.new_orders_per_account", "{ burst = 5, per_hour = 1 }"),
            ("limits.pending_orders_per_account_max", "0"),
            ("limits.pending_orders_per_account_max", "'none'"),
            ("limits.requests_per_account", "{ burst = 49, per_secs = 10 }"),
            ("limits.requests_per_address", "{ burst = 199, per_secs = 10 }"),
            ("pausing.failures", "-1"),
        ] {
            let error = limits(&format!("{setting} = {value}")).expect_err(value);
            assert!(error.contains(setting), "{setting} = {value}: {error}");
        }
        let polling = limits("limits.requests_per_account = { burst = 50, per_secs = 10 }").unwrap();
        assert!(polling.requests_per_account.0.is_some(), "five a second is just enough");
    }
}

//! Limits of the service (contract section 3): sizes, requests a second, requests in flight.
//!
//! Counters live in memory: a restarted CM forgives.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::moment::Moment;
use super::problem::{Code, Problem, Scope};
use super::settings;

/// Longest body, in octets.
pub(crate) const BODY_OCTETS_MAX: usize = 256 * 1024;
/// Most identifiers of a request.
pub(crate) const IDENTIFIERS_MAX: usize = 100;
/// Longest that an answer is held back for `Prefer: wait`.
pub(crate) const WAIT_SECS_MAX: u64 = 25;
/// Registrations whose requests are counted at the same time.
const COUNTED_MAX: usize = 10_000;
const MINUTE_MILLIS: i64 = 60_000;

/// The counters.
#[derive(Debug)]
pub(crate) struct Limiter {
    settings: settings::Limits,
    gateways: Mutex<BTreeMap<String, Usage>>,
    requests: Mutex<BTreeMap<String, VecDeque<i64>>>,
}

#[derive(Debug)]
struct Usage {
    tokens: f64,
    filled_at: i64,
    in_flight: Arc<()>,
}

/// Held while a request is worked on.
#[derive(Debug)]
pub(crate) struct InFlight {
    _counts_by_being_alive: Arc<()>,
}

impl Limiter {
    /// Counters with these limits.
    pub(crate) fn new(settings: settings::Limits) -> Self {
        Self { settings, gateways: Mutex::default(), requests: Mutex::default() }
    }

    /// Lets a request of a gateway in, or says when to come again.
    pub(crate) fn admit(&self, gateway: &str, now: Moment) -> Result<InFlight, Problem> {
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = f64::from(self.settings.requests_per_second);
        let usage = gateways.entry(gateway.to_owned()).or_insert_with(|| Usage {
            tokens: rate,
            filled_at: now.millis(),
            in_flight: Arc::new(()),
        });
        let passed = i32::try_from((now.millis() - usage.filled_at).clamp(0, 60_000)).unwrap_or(0);
        usage.tokens = (usage.tokens + rate * f64::from(passed) / 1_000.0).min(rate);
        usage.filled_at = usage.filled_at.max(now.millis());
        let limited = |detail: &str| Problem::new(Code::RateLimited, detail).scoped(Scope::Gateway).retry_after(1);
        let in_flight = Arc::strong_count(&usage.in_flight).saturating_sub(1);
        if in_flight >= usize::try_from(self.settings.in_flight).unwrap_or(usize::MAX) {
            return Err(limited("too many requests of this gateway at the same time"));
        }
        if usage.tokens < 1.0 {
            return Err(limited("too many requests of this gateway a second"));
        }
        usage.tokens -= 1.0;
        Ok(InFlight { _counts_by_being_alive: Arc::clone(&usage.in_flight) })
    }

    /// Whether a registration may ask for a certificate now; counts it if it may.
    pub(crate) fn admit_certificate_request(&self, registration: &str, now: Moment) -> bool {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= COUNTED_MAX {
            requests.retain(|_, times| times.back().is_some_and(|time| *time > now.millis() - MINUTE_MILLIS));
        }
        let times = requests.entry(registration.to_owned()).or_default();
        while times.front().is_some_and(|time| *time <= now.millis() - MINUTE_MILLIS) {
            times.pop_front();
        }
        let max = usize::try_from(self.settings.certificate_requests_per_minute);
        if times.len() >= max.unwrap_or(usize::MAX) {
            return false;
        }
        times.push_back(now.millis());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> Limiter {
        Limiter::new(settings::Limits {
            requests_per_second: 3,
            in_flight: 2,
            certificate_requests_per_minute: 2,
            eab_failures: 10,
        })
    }

    #[test]
    fn a_gateway_may_burst_its_rate_and_then_waits_for_the_next_second() {
        let limiter = limiter();
        let now = Moment::from_millis(1_000_000);
        for _ in 0..3 {
            limiter.admit("dmz-1", now).unwrap();
        }
        assert_eq!(limiter.admit("dmz-1", now).unwrap_err().code(), Code::RateLimited);
        assert!(limiter.admit("dmz-2", now).is_ok());
        assert!(limiter.admit("dmz-1", now.plus_millis(400)).is_ok());
    }

    #[test]
    fn requests_in_flight_are_counted_until_they_end() {
        let limiter = limiter();
        let now = Moment::from_millis(1_000_000);
        let first = limiter.admit("dmz-1", now).unwrap();
        let _second = limiter.admit("dmz-1", now).unwrap();
        assert!(limiter.admit("dmz-1", now).is_err());
        drop(first);
        assert!(limiter.admit("dmz-1", now).is_ok());
    }

    #[test]
    fn certificate_requests_are_counted_over_a_minute() {
        let limiter = limiter();
        let now = Moment::from_millis(1_000_000);
        assert!(limiter.admit_certificate_request("reg_1", now));
        assert!(limiter.admit_certificate_request("reg_1", now.plus_seconds(30)));
        assert!(!limiter.admit_certificate_request("reg_1", now.plus_seconds(59)));
        assert!(limiter.admit_certificate_request("reg_2", now.plus_seconds(59)));
        assert!(limiter.admit_certificate_request("reg_1", now.plus_seconds(60)));
    }
}

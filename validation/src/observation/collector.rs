//! Collects the observations of one attempt.
//!
//! A local of the task instead of an argument: lookups, dialling and judging are many functions deep, none of them
//! decides anything by what was observed before, and whoever does not ask for observations pays nothing. An attempt
//! spawns no task of its own, so all that it sees is seen in the task that asked.

use std::cell::RefCell;

use super::Observation;

/// Most observations of one attempt.
pub const OBSERVATIONS_MAX: usize = 64;

tokio::task_local! {
    static COLLECTED: RefCell<Collected>;
}

#[derive(Debug, Default)]
struct Collected {
    observations: Vec<Observation>,
    /// Those that came later.
    omitted: u64,
}

/// Runs attempts and gives what they saw along with what they came to, whether they succeeded or not. At most
/// [`OBSERVATIONS_MAX`], in the order in which the steps ended; if there were more, the last one counts them.
///
/// Within another `observed` the inner one has them.
pub async fn observed<Attempt: Future>(attempt: Attempt) -> (Attempt::Output, Vec<Observation>) {
    let collecting = async {
        let output = attempt.await;
        (output, COLLECTED.with(RefCell::take))
    };
    let (output, collected) = COLLECTED.scope(RefCell::default(), collecting).await;
    (output, collected.into_observations())
}

/// Adds an observation, if somebody collects them; otherwise it is not even made.
pub(crate) fn note(observation: impl FnOnce() -> Observation) {
    // Not collecting is the only error there is.
    let _collecting = COLLECTED.try_with(|collected| collected.borrow_mut().add(observation()));
}

impl Collected {
    fn add(&mut self, observation: Observation) {
        if self.observations.len() < OBSERVATIONS_MAX {
            self.observations.push(observation);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }

    fn into_observations(mut self) -> Vec<Observation> {
        if let (1.., Some(last)) = (self.omitted, self.observations.last_mut()) {
            *last = Observation::Omitted { count: self.omitted.saturating_add(1) };
        }
        self.observations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: usize) -> Observation {
        Observation::Judgement { subject: number.to_string(), flaw: None }
    }

    #[tokio::test]
    async fn the_last_one_counts_those_that_are_too_many() {
        for (made, told, omitted) in [(0, 0, None), (64, 64, None), (65, 63, Some(2)), (1000, 63, Some(937))] {
            let ((), observations) = observed(async { (0..made).for_each(|number| note(|| numbered(number))) }).await;
            let mut expected: Vec<_> = (0..told).map(numbered).collect();
            expected.extend(omitted.map(|count| Observation::Omitted { count }));
            assert_eq!(observations, expected, "{made}");
        }
    }

    #[tokio::test]
    async fn nobody_makes_what_nobody_collects() {
        note(|| panic!("nobody collects"));
        let attempts = async { tokio::join!(observed(async { note(|| numbered(1)) }), async { note(|| numbered(2)) }) };
        let ((((), inner), ()), outer) = observed(attempts).await;
        assert_eq!((inner, outer), (vec![numbered(1)], vec![numbered(2)]));
    }
}

//! What one round is going to do: drawn from the seed before it begins, and from nothing else.

use std::fmt;

use ::tests::{
    load::plan::{ClientPlan, OrderPlan},
    random::Random,
};
use serde_json::{Value, json};

/// About as many answers as a client gets: kills are spread over the answers of all.
const ANSWERS_OF_A_CLIENT: u64 = 18;

/// One round.
pub(crate) struct RoundPlan {
    /// In the order in which they happen.
    pub(crate) kills: Vec<Kill>,
    pub(crate) faults: Vec<PlannedFault>,
    pub(crate) clients: Vec<ClientPlan>,
}

/// A `kill -9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kill {
    /// Once the clients of the round have got so many answers, or have nothing left to do.
    pub(crate) after_answers: u64,
    pub(crate) target: Target,
    /// Between that answer and the kill.
    pub(crate) pause_millis: u64,
    /// Between the kill and the restart.
    pub(crate) down_millis: u64,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Gateway,
    CertificateManager,
    Both,
}

impl Target {
    pub(crate) fn is_gateway(self) -> bool {
        self != Self::CertificateManager
    }

    pub(crate) fn is_certificate_manager(self) -> bool {
        self != Self::Gateway
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = match self.target {
            Target::Gateway => "gateway",
            Target::CertificateManager => "cm",
            Target::Both => "both",
        };
        write!(out, "{target}@{}", self.after_answers)
    }
}

/// Something that the CM does wrong, so that there is time to be killed in. It forgets it when it is killed.
pub(crate) struct PlannedFault {
    pub(crate) operation: &'static str,
    pub(crate) count: u32,
    pub(crate) fault: Value,
}

impl RoundPlan {
    /// The plan of this round for so many clients at work at the same time.
    pub(crate) fn draw(seed: u64, round: u64, clients: u64) -> Self {
        let mut random = Random::of(seed, &[round]);
        let mut kills: Vec<_> = (0..random.between(1..=3)).map(|_| Kill::draw(&mut random, clients)).collect();
        kills.sort_unstable();
        let faults = draw_faults(&mut random);
        let clients = (0..clients).map(|client| draw_client(seed, round, client)).collect();
        Self { kills, faults, clients }
    }
}

impl Kill {
    fn draw(random: &mut Random, clients: u64) -> Self {
        let targets = [Target::Gateway, Target::Gateway, Target::CertificateManager, Target::Both];
        Self {
            after_answers: random.between(1..=clients * ANSWERS_OF_A_CLIENT),
            target: random.one_of(&targets),
            pause_millis: random.between(0..=15),
            down_millis: random.one_of(&[0, 0, 100, 400]),
        }
    }
}

fn draw_faults(random: &mut Random) -> Vec<PlannedFault> {
    let mut faults = Vec::new();
    let operations =
        ["requestCertificate", "revokeCertificate", "createRegistration", "bindRegistration", "confirmDelivery"];
    for operation in operations {
        if random.chance(50) {
            let count = u32::try_from(random.between(1..=6)).expect("small");
            let millis = random.between(20..=300);
            let (count, fault) = match random.between(0..=3) {
                // More of them, and the gateway does not ask for five seconds.
                0 => (count.min(2), json!({"kind": "reset-after"})),
                1 => (count, json!({"kind": "delay-before", "millis": millis})),
                _ => (count, json!({"kind": "delay-after-commit", "millis": millis})),
            };
            faults.push(PlannedFault { operation, count, fault });
        }
    }
    if random.chance(15) {
        let fault = json!({"kind": "pending", "millis": random.between(200..=1500)});
        faults.push(PlannedFault { operation: "requestCertificate", count: 1, fault });
    }
    if random.chance(60) {
        // So many that the first answer to a client is that its revocation is not confirmed.
        let count = u32::try_from(random.between(6..=20)).expect("small");
        faults.push(PlannedFault { operation: "revokeCertificate", count, fault: json!({"kind": "unavailable"}) });
    }
    faults
}

fn draw_client(seed: u64, round: u64, client: u64) -> ClientPlan {
    let mut random = Random::of(seed, &[round, client]);
    let (is_registered, changes_contact) = (random.chance(30), random.chance(40));
    let mut orders: Vec<OrderPlan> = Vec::new();
    for order in 0..random.between(1..=2) {
        let new_names =
            (0..random.between(1..=2)).map(|name| format!("n{name}-o{order}-c{client}.r{round}.chaos.test"));
        let names: Vec<_> = new_names.collect();
        // What was proven for the order before needs no proof.
        let reuses = random.chance(30);
        let names = orders.last().filter(|_| reuses).map_or(names, |before| before.names.clone());
        orders.push(OrderPlan { names, is_revoked: random.chance(50), walks_away: false });
    }
    // After all else, so that the plans of earlier seeds stay as they were.
    orders.iter_mut().for_each(|order| order.walks_away = random.chance(50));
    ClientPlan { is_registered, changes_contact, orders }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_planned_the_same_again() {
        let words = |round| {
            let plan = RoundPlan::draw(5, round, 4);
            let faults: Vec<_> =
                plan.faults.iter().map(|fault| (fault.operation, fault.count, fault.fault.clone())).collect();
            let names: Vec<_> =
                plan.clients.iter().flat_map(|client| &client.orders).map(|order| order.names.clone()).collect();
            (plan.kills, faults, names)
        };
        assert_eq!(words(3), words(3));
        assert_ne!(words(3), words(4));
    }

    #[test]
    fn rounds_kill_everybody_and_at_all_times() {
        let kills: Vec<_> = (0..200).flat_map(|round| RoundPlan::draw(1, round, 10).kills).collect();
        for target in [Target::Gateway, Target::CertificateManager, Target::Both] {
            let count = kills.iter().filter(|kill| kill.target == target).count();
            assert!(count > 50, "{target:?}: {count}");
        }
        for tenth in 0..10 {
            let times = ANSWERS_OF_A_CLIENT * tenth..ANSWERS_OF_A_CLIENT * (tenth + 1);
            assert!(kills.iter().any(|kill| times.contains(&kill.after_answers)), "{times:?}");
        }
    }
}

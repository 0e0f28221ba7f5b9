//! What is done to OpenBao, and when: counted in what the clients got, so that a slow machine is struck at the same
//! points of its work.

use std::{
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use tests::{load::hand::Answers, openbao::OpenBao, random::Random, wait_for};

/// Between two looks at how far the clients are.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Another node must lead by then.
const LEADER_WITHIN: Duration = Duration::from_secs(120);
/// Whoever needs OpenBao must be told by then that it is away.
const REFUSED_WITHIN: Duration = Duration::from_secs(120);
/// What clients get while their OpenBao is frozen, before it goes on.
const FROZEN_FOR_ANSWERS: u64 = 150;
/// The longest that it is: less than after what a sign is given up for good.
const FROZEN_MAX: Duration = Duration::from_secs(4);

/// What is done to the node that leads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Blow {
    /// SIGKILL; then it is started again.
    Kill,
    /// It is sealed until a client that comes meanwhile was sent away; as it unseals itself only when it starts, it is
    /// killed and started again then.
    Seal,
    /// SIGSTOP, and SIGCONT a while later.
    Freeze,
}

/// A moment in the work of all clients.
pub(crate) struct Moment {
    certificates: usize,
    /// So many answers after that certificate.
    answers: u64,
}

/// A blow that was struck.
pub(crate) struct Struck {
    blow: Blow,
    pub(crate) at: Instant,
    /// Certificates that there were.
    certificates: usize,
    /// How long it took until a node led again, and until the one that was struck was back.
    leads_after: Duration,
    back_after: Duration,
}

/// Moments of so many orders, about `every` certificates apart.
pub(crate) fn moments(seed: u64, orders: usize, every: usize) -> Vec<Moment> {
    let mut random = Random::of(seed, &[orders as u64]);
    let mut moments = Vec::new();
    let mut at = every / 2;
    // After the last one there is still work.
    while at + every / 4 < orders {
        let early = usize::try_from(random.between(0..=every as u64 / 2)).expect("small");
        moments.push(Moment { certificates: at - early / 2, answers: random.between(0..=40) });
        at += every;
    }
    moments
}

impl Moment {
    /// Waits for it, or until everything is over.
    pub(crate) fn wait(&self, answers: &Answers, is_over: impl Fn() -> bool) {
        let until = |done: &dyn Fn() -> bool| {
            while !done() && !is_over() {
                thread::sleep(LOOK_EVERY);
            }
        };
        until(&|| answers.certificates().len() >= self.certificates);
        let then = answers.count() + self.answers;
        until(&|| answers.count() >= then);
    }
}

impl Blow {
    /// Strikes the node that leads, and sees it back.
    /// Whoever comes while it is sealed begins at `call`.
    pub(crate) fn strike(
        self,
        nodes: &mut [OpenBao],
        answers: &Answers,
        call: &Sender<()>,
        is_over: impl Fn() -> bool,
    ) -> Struck {
        let struck = wait_for("a leader", LEADER_WITHIN, || nodes.iter().position(OpenBao::leads));
        let certificates = answers.certificates().len();
        let at = Instant::now();
        let is_alone = nodes.len() == 1;
        let others_lead = |nodes: &[OpenBao]| {
            wait_for("another leader", LEADER_WITHIN, || {
                nodes.iter().enumerate().any(|(number, node)| number != struck && node.leads()).then_some(())
            });
            at.elapsed()
        };
        let mut leads_after = None;
        match self {
            Self::Kill | Self::Seal => {
                if matches!(self, Self::Seal) {
                    let _ = nodes[struck].root(&["write", "-f", "-format=json", "sys/seal"], None);
                    let before = answers.put_off();
                    call.send(()).expect("somebody waits to be called");
                    wait_for("a refusal", REFUSED_WITHIN, || (answers.put_off() > before).then_some(()));
                }
                nodes[struck].kill();
                leads_after = (!is_alone).then(|| others_lead(nodes));
                nodes[struck].restart();
            }
            Self::Freeze => {
                nodes[struck].signal("STOP");
                if is_alone {
                    let seen = answers.count() + FROZEN_FOR_ANSWERS;
                    while answers.count() < seen && at.elapsed() < FROZEN_MAX && !is_over() {
                        thread::sleep(LOOK_EVERY);
                    }
                } else {
                    leads_after = Some(others_lead(nodes));
                }
                nodes[struck].signal("CONT");
            }
        }
        let back_after = at.elapsed();
        Struck { blow: self, at, certificates, leads_after: leads_after.unwrap_or(back_after), back_after }
    }
}

impl Struck {
    /// What was done, and what came of it up to the next one.
    pub(crate) fn describe(&self, certificates: &[Instant], next: Option<Instant>) -> String {
        let Self { blow, at, certificates: before, leads_after, back_after } = self;
        let (leads, back) = (leads_after.as_secs_f64(), back_after.as_secs_f64());
        let text =
            format!("{blow:?} after {before} certificates: a leader after {leads:.1} s, all nodes after {back:.1} s");
        let after = |then: Duration| certificates.iter().find(|got| **got >= *at + then);
        let first = after(*leads_after).map(|first| first.duration_since(*at).as_secs_f64());
        let first = first.map_or_else(|| String::from("none"), |first| format!("{first:.1} s after the blow"));
        let is_before_next = |got: &&Instant| **got >= *at && next.is_none_or(|next| **got < next);
        let got: Vec<_> = [*at].iter().chain(certificates.iter().filter(is_before_next)).copied().collect();
        let longest = got.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default().as_secs_f64();
        format!("{text}; the first certificate since then {first}; longest pause without one {longest:.1} s")
    }
}

#[test]
fn moments_come_in_order_and_leave_work_after_the_last_one() {
    for (seed, orders, every) in [(1, 60, 20), (7, 500, 80), (9, 12, 20)] {
        let moments = moments(seed, orders, every);
        let at: Vec<_> = moments.iter().map(|moment| moment.certificates).collect();
        assert!(at.is_sorted() && at.iter().all(|at| *at < orders), "{at:?}");
        assert!(!at.is_empty() || orders < every, "{at:?}");
    }
}

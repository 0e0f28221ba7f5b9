//! Anti-replay nonces (RFC 8555 §6.5): issued without a write, redeemed exactly once.
//!
//! A nonce is a sealed counter. Only the process that made it can open it, and one bit a counter
//! in a window remembers what was redeemed, so a flood of newNonce costs neither disk nor memory.
//! A nonce stays good until sixteen million newer ones were handed out, or for a day. A process that
//! ends in order hands its nonces on to the next one (`handover.rs`); those of one that crashes end
//! with it.

mod handover;

use std::{path::Path, sync::Mutex};

use acme::{secret::Secret, time::Timestamp};

use self::handover::Handover;
use crate::{
    random,
    seal::{KEY_OCTETS, Sealer},
};

/// Nonces that are remembered; a power of two.
const WINDOW: u64 = 1 << 24;
const WORD_BITS: u64 = 64;
/// How long a nonce is good at the most: clients wait for DNS for hours while they hold one.
const LIFETIME_SECS: i64 = 24 * 60 * 60;

/// Issues and redeems nonces.
pub(crate) struct Nonces {
    key: Secret<[u8; KEY_OCTETS]>,
    sealer: Sealer,
    window: Mutex<Window>,
}

/// Why a nonce was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// It was not made here: another process made it, or nobody.
    Unknown,
    /// It was redeemed before.
    Spent,
    /// It is too old, or too many newer ones were handed out.
    Expired,
    /// This process is stopping, and has handed it on to the next.
    Closed,
}

impl Rejected {
    /// Every reason, for metrics that start at zero.
    pub(crate) const ALL: [Self; 4] = [Self::Unknown, Self::Spent, Self::Expired, Self::Closed];

    /// What it is called in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Spent => "spent",
            Self::Expired => "expired",
            Self::Closed => "closed",
        }
    }
}

/// Which of the last [`WINDOW`] counters were redeemed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    next: u64,
    redeemed: Vec<u64>,
    /// Set once they are handed on: from then on the next process redeems them.
    closed: bool,
}

impl Nonces {
    /// Nonces under a new key.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Self::under(Secret::new(random::octets()), Window::new()?)
    }

    /// The nonces that the process before this one handed on in this folder, else new ones. Nothing
    /// is left in the folder: whatever happens to this process, nobody resumes them a second time.
    pub(crate) fn resume(folder: &Path, now: Timestamp) -> anyhow::Result<Self> {
        match handover::take(folder, now) {
            Ok(Some(Handover { key, window })) => Self::under(key, window),
            Ok(None) => Self::new(),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "nonces of the process before this one are not resumed");
                Self::new()
            }
        }
    }

    /// Hands the nonces on to the next process, and redeems none from now on.
    pub(crate) fn hand_over(&self, folder: &Path, now: Timestamp) -> anyhow::Result<()> {
        let window = {
            let mut window = self.lock();
            window.closed = true;
            window.clone()
        };
        handover::leave(folder, &Handover { key: self.key.clone(), window }, now)
    }

    fn under(key: Secret<[u8; KEY_OCTETS]>, window: Window) -> anyhow::Result<Self> {
        Ok(Self { sealer: Sealer::from_key(key.expose_secret())?, key, window: Mutex::new(window) })
    }

    /// A fresh nonce.
    pub(crate) fn issue(&self, now: Timestamp) -> String {
        let counter = self.lock().take_next();
        let value = [counter.to_be_bytes(), now.unix_secs().to_be_bytes()].concat();
        self.sealer.seal("nonce", &value)
    }

    /// `Ok` exactly once for each nonce that was issued here and is still good.
    pub(crate) fn redeem(&self, nonce: &str, now: Timestamp) -> Result<(), Rejected> {
        let value = self.sealer.open("nonce", nonce).ok_or(Rejected::Unknown)?;
        let (counter, issued) = value.split_first_chunk::<8>().ok_or(Rejected::Unknown)?;
        let issued = <[u8; 8]>::try_from(issued).map_err(|_| Rejected::Unknown)?;
        let age = now.unix_secs().saturating_sub(i64::from_be_bytes(issued));
        if age > LIFETIME_SECS {
            return Err(Rejected::Expired);
        }
        self.lock().redeem(u64::from_be_bytes(*counter))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Window> {
        // A panic cannot leave the window half changed, so a poisoned lock is as good as any.
        self.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Window {
    fn new() -> anyhow::Result<Self> {
        let words = usize::try_from(WINDOW / WORD_BITS)?;
        Ok(Self { next: 0, redeemed: vec![0; words], closed: false })
    }

    fn take_next(&mut self) -> u64 {
        let counter = self.next;
        self.next = self.next.wrapping_add(1);
        if let Some((word, bit)) = self.slot(counter) {
            *word &= !bit; // the place of a counter that has left the window
        }
        counter
    }

    fn redeem(&mut self, counter: u64) -> Result<(), Rejected> {
        let age = self.next.wrapping_sub(counter);
        if self.closed {
            return Err(Rejected::Closed);
        }
        if age == 0 || age > WINDOW {
            return Err(Rejected::Expired);
        }
        match self.slot(counter) {
            Some((word, bit)) if *word & bit == 0 => {
                *word |= bit;
                Ok(())
            }
            Some(_) | None => Err(Rejected::Spent),
        }
    }

    fn slot(&mut self, counter: u64) -> Option<(&mut u64, u64)> {
        let place = counter % WINDOW;
        let word = self.redeemed.get_mut(usize::try_from(place / WORD_BITS).ok()?)?;
        Some((word, 1 << (place % WORD_BITS)))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

    #[test]
    fn a_nonce_is_good_once() {
        let nonces = Nonces::new().unwrap();
        let nonce = nonces.issue(NOW);
        assert_eq!(nonces.redeem(&nonce, NOW), Ok(()));
        assert_eq!(nonces.redeem(&nonce, NOW), Err(Rejected::Spent));
        assert_eq!(nonces.redeem("AAAA", NOW), Err(Rejected::Unknown));
        let of_another_process = Nonces::new().unwrap().redeem(&nonces.issue(NOW), NOW);
        assert_eq!(of_another_process, Err(Rejected::Unknown));
    }

    #[test]
    fn of_many_who_redeem_one_nonce_at_once_one_wins() {
        let nonces = Nonces::new().unwrap();
        let issued: Vec<_> = (0..1000).map(|_| nonces.issue(NOW)).collect();
        let wins = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let won = issued.iter().filter(|nonce| nonces.redeem(nonce, NOW).is_ok()).count();
                    wins.fetch_add(won, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(wins.into_inner(), 1000);
    }

    #[test]
    fn an_old_nonce_is_refused_and_a_flood_does_not_revive_a_spent_one() {
        let nonces = Nonces::new().unwrap();
        let (spent, kept) = (nonces.issue(NOW), nonces.issue(NOW));
        assert_eq!(nonces.redeem(&spent, NOW), Ok(()));
        assert_eq!(nonces.redeem(&kept, NOW.plus(Duration::from_secs(86_401))), Err(Rejected::Expired));
        for _ in 0..WINDOW {
            nonces.lock().take_next();
        }
        assert_eq!(nonces.redeem(&spent, NOW), Err(Rejected::Expired));
        assert_eq!(nonces.redeem(&kept, NOW), Err(Rejected::Expired), "it has left the window");
    }
}

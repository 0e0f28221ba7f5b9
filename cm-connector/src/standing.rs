//! What the CM can do and whether it takes us for what we are, as it said when it was asked last
//! (CM contract sections 3 and 4.1).

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Capability, CmError, Identity};

/// Its last words. Before the first it is believed to be as the gateway needs it.
#[derive(Debug, Default)]
pub(crate) struct Standing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    capabilities: Option<BTreeSet<String>>,
    unfit: Option<String>,
}

impl Standing {
    /// What came of asking. While the CM is away its last words hold.
    pub(crate) fn heard(&self, asked: &Result<Identity, CmError>) {
        let mut state = self.state();
        match asked {
            Ok(identity) => {
                *state = State { capabilities: Some(identity.capabilities.clone()), unfit: None };
            }
            Err(CmError::Unavailable { .. } | CmError::RateLimited { .. }) => {}
            Err(error) => state.unfit = Some(error.to_string()),
        }
    }

    pub(crate) fn offers(&self, capability: Capability) -> bool {
        self.state().capabilities.as_ref().is_none_or(|known| known.contains(capability.as_str()))
    }

    /// The same, but only if the CM has said so itself: for what is asked of it in passing.
    pub(crate) fn has_said(&self, capability: Capability) -> bool {
        self.state().capabilities.as_ref().is_some_and(|known| known.contains(capability.as_str()))
    }

    pub(crate) fn unfit(&self) -> Option<String> {
        self.state().unfit.clone()
    }

    /// A panic elsewhere leaves old words behind, not a broken promise.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

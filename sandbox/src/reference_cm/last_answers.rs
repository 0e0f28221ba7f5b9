//! What each operation answered last, for the fault that sends an answer a second time.
//!
//! One answer an operation, in memory; none that nobody may keep, for it has a secret in it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::header::CACHE_CONTROL;

use super::call::Answer;
use super::operations::Operation;
use super::problem::Problem;

/// The last answers.
#[derive(Debug, Default)]
pub(crate) struct LastAnswers(Mutex<BTreeMap<&'static str, Answer>>);

impl LastAnswers {
    /// Keeps an answer; refusals and answers with secrets are not kept.
    pub(crate) fn remember(&self, operation: Operation, answer: &Result<Answer, Problem>) {
        if let Ok(answer) = answer
            && !answer.headers.iter().any(|(name, value)| *name == CACHE_CONTROL && value == "no-store")
        {
            let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            answers.insert(operation.name(), answer.clone());
        }
    }

    /// The answer that is kept, or this one if there is none.
    pub(crate) fn instead_of(&self, operation: Operation, answer: Result<Answer, Problem>) -> Result<Answer, Problem> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(operation.name()).cloned().map_or(answer, Ok)
    }
}

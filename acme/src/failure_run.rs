//! How often an account has failed, without a success in between, to prove control of one
//! identifier. Not part of ACME: some clients ask for years for what they can never get.

use serde::{Deserialize, Serialize};

use crate::{
    identifier::Identifier,
    ids::{EndpointName, RegistrationId},
    problem::Problem,
    time::Timestamp,
};

/// Failed validations of one account and identifier in a row. A success ends the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRun {
    /// Where the account is.
    pub endpoint: EndpointName,
    /// Whose failures.
    pub account: RegistrationId,
    /// What could not be proven. A wildcard is an identifier of its own.
    pub identifier: Identifier,
    /// How many.
    pub failures: u32,
    /// When it began.
    pub first: Timestamp,
    /// When it was continued last.
    pub last: Timestamp,
    /// Why the last one failed, as the client was told.
    pub problem: Problem,
    /// Since when new orders for it are refused.
    pub paused_at: Option<Timestamp>,
}

//! Lists of other products made into ours: what a file says, what becomes of it, and what the new
//! list will allow that the old one did not and the reverse.
//!
//! Pure: a file's text and what the CM has come in, a plan comes out. Old external account keys are
//! not taken over; the CM draws new ones.

mod dialect;
mod file;
mod lint;
mod plan;
mod terms;

pub(crate) use dialect::Dialect;
pub(crate) use file::{Row, read};
pub(crate) use lint::{Difference, differences};
pub(crate) use plan::{Action, Existing, Item, Options, plan};
pub(crate) use terms::Terms;

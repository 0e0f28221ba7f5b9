//! Identifiers as clients write them (RFC 8555 §7.4, §7.4.1).

use std::collections::BTreeSet;

use acme::{
    identifier::{Identifier, IdentifierError},
    problem::{Problem, ProblemKind, Subproblem},
    wire::order::IdentifierText,
};

use super::Error;
use crate::{app::Endpoint, settings::Switch};

/// Parses all identifiers and drops repeated ones. Those that cannot be read come second.
pub(super) fn parse_all(
    endpoint: &Endpoint,
    texts: &[IdentifierText],
    most: usize,
) -> Result<(Vec<Identifier>, Vec<Subproblem>), Error> {
    if texts.is_empty() {
        return Err(Error::refused(ProblemKind::Malformed, "identifiers is empty; an order names at least one"));
    }
    if texts.len() > most {
        return Err(Error::refused(ProblemKind::Malformed, format!("an order can name at most {most} identifiers")));
    }
    let mut seen = BTreeSet::new();
    let (mut identifiers, mut unreadable) = (Vec::new(), Vec::new());
    for text in texts {
        match parse(endpoint, text) {
            Ok(identifier) if seen.insert(identifier.clone()) => identifiers.push(identifier),
            Ok(_) => {}
            Err(subproblem) => unreadable.push(subproblem),
        }
    }
    Ok((identifiers, unreadable))
}

/// Parses an identifier that stands alone.
pub(super) fn parse_one(endpoint: &Endpoint, text: &IdentifierText) -> Result<Identifier, Error> {
    parse(endpoint, text).map_err(|subproblem| Problem::about_identifiers(vec![subproblem], 1).into())
}

fn parse(endpoint: &Endpoint, text: &IdentifierText) -> Result<Identifier, Subproblem> {
    let refused =
        |error: IdentifierError| Subproblem::about_text(kind_of(&error), &text.kind, &text.value, error.to_string());
    let undotted =
        text.value.strip_suffix('.').filter(|_| text.kind == "dns" && endpoint.compatibility.has(Switch::TrailingDot));
    Identifier::parse(&text.kind, undotted.unwrap_or(&text.value)).map_err(refused)
}

const fn kind_of(error: &IdentifierError) -> ProblemKind {
    if matches!(error, IdentifierError::UnsupportedType) {
        ProblemKind::UnsupportedIdentifier
    } else {
        ProblemKind::Malformed
    }
}

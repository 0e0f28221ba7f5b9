//! What is wrong with a form, field by field: a summary that has the focus, and a sentence beside each field.

use std::borrow::Cow;

/// What is wrong with a form; empty if nothing is.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<Mistake>);

/// What is wrong with a field.
#[derive(Debug)]
pub(super) struct Mistake {
    /// The field's id on the page.
    pub(super) field: Cow<'static, str>,
    /// What to do about it.
    pub(super) text: String,
}

impl Mistakes {
    /// One more.
    pub(super) fn add(&mut self, field: impl Into<Cow<'static, str>>, text: impl Into<String>) {
        self.0.push(Mistake { field: field.into(), text: text.into() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For the summary.
    pub(super) fn all(&self) -> &[Mistake] {
        &self.0
    }

    /// For the field: all that is wrong with it, a sentence a line.
    pub(super) fn of(&self, field: &str) -> Option<String> {
        let texts: Vec<&str> = self.0.iter().filter(|one| one.field == field).map(|one| one.text.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }
}

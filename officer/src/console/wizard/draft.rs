//! What has been written so far: all of it is in the form of every step, so that nothing is kept here.

use acme::time::Timestamp;

use super::super::{fields::Fields, mistakes::Mistakes};
use crate::{
    allowlist::{Entry, List},
    cli::{
        registrations::{create, hand_over::Recipes},
        when,
    },
    error::Failure,
};

/// Longest text that the contract takes as owner or comment, in characters.
const TEXT_CHARACTERS_MAX: usize = 2_000;
/// Longest validity that can be asked for, in days: ten years.
const DAYS_MAX: u32 = 3_660;
/// Most profiles that are read from a form.
const PROFILES_MAX: usize = 100;

/// A step of the wizard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Who,
    Names,
    Key,
    Check,
}

impl Step {
    /// In order.
    pub(super) const ALL: [Self; 4] = [Self::Who, Self::Names, Self::Key, Self::Check];

    /// As forms call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Who => "who",
            Self::Names => "names",
            Self::Key => "key",
            Self::Check => "check",
        }
    }

    /// As the page calls it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Who => "Whose it is",
            Self::Names => "What it may ask for",
            Self::Key => "Its key and certificates",
            Self::Check => "Look at it all",
        }
    }

    /// The step of this name; the first one if there is none.
    pub(super) fn of(name: &str) -> Self {
        Self::ALL.into_iter().find(|step| step.name() == name).unwrap_or(Self::Who)
    }

    /// Counted from one.
    pub(super) const fn number(self) -> usize {
        match self {
            Self::Who => 1,
            Self::Names => 2,
            Self::Key => 3,
            Self::Check => 4,
        }
    }

    pub(super) const fn next(self) -> Self {
        match self {
            Self::Who => Self::Names,
            Self::Names => Self::Key,
            Self::Key | Self::Check => Self::Check,
        }
    }

    pub(super) const fn previous(self) -> Self {
        match self {
            Self::Who | Self::Names => Self::Who,
            Self::Key => Self::Names,
            Self::Check => Self::Key,
        }
    }

    /// The fields that it asks for.
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Who => &["owner", "comment"],
            Self::Names => &["allow", "exclude", "allow_any", "allow_public_suffix", "name"],
            Self::Key => &["profile", "days", "use", "max_bindings", "not_before", "not_after", "link"],
            Self::Check => &["key_id"],
        }
    }
}

/// The fields of all steps.
#[derive(Debug, Default)]
pub(super) struct Draft(Vec<(&'static str, String)>);

impl Draft {
    /// What a browser sent; fields that no step has are left out.
    pub(super) fn sent(form: &Fields) -> Self {
        let fields = Step::ALL.iter().flat_map(|step| step.fields());
        let values = fields.flat_map(|field| {
            form.all(field).take(PROFILES_MAX).map(|value| (*field, value.to_owned())).collect::<Vec<_>>()
        });
        Self(values.filter(|(_, value)| !value.trim().is_empty()).collect())
    }

    /// A field as it was written; nothing if it was left out.
    pub(super) fn raw(&self, field: &str) -> &str {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// The same without spaces around it.
    pub(super) fn text(&self, field: &str) -> &str {
        self.raw(field).trim()
    }

    /// Whether a box is ticked, or this choice made.
    pub(super) fn has(&self, field: &str, value: &str) -> bool {
        self.0.iter().any(|(name, found)| *name == field && found == value)
    }

    pub(super) fn is_ticked(&self, field: &str) -> bool {
        self.has(field, "yes")
    }

    /// What the form of this step has to carry along.
    pub(super) fn carried(&self, step: Step) -> impl Iterator<Item = &(&'static str, String)> {
        self.0.iter().filter(move |(name, _)| !step.fields().contains(name))
    }

    /// Fixes the id of the key, so that the same form sent twice registers once.
    pub(super) fn with_key_id(mut self) -> Self {
        if self.text("key_id").is_empty() {
            self.0.push(("key_id", create::drawn_key_id()));
        }
        self
    }

    /// What is wrong with what this step asks for.
    pub(super) fn mistakes(&self, step: Step) -> Mistakes {
        let mut mistakes = Mistakes::default();
        match step {
            Step::Who => self.judge_who(&mut mistakes),
            Step::Names => {
                let _ = self.judge_names(&mut mistakes);
            }
            Step::Key => self.judge_key(&mut mistakes),
            Step::Check => {}
        }
        mistakes
    }

    fn judge_who(&self, mistakes: &mut Mistakes) {
        if self.text("owner").is_empty() {
            mistakes.add("owner", "Say whose it is: a team, a machine, whoever asked for it.");
        }
        for field in ["owner", "comment"] {
            if self.text(field).chars().count() > TEXT_CHARACTERS_MAX {
                mistakes.add(field, format!("At most {TEXT_CHARACTERS_MAX} characters."));
            }
        }
    }

    /// The list, if nothing is wrong with it.
    fn judge_names(&self, mistakes: &mut Mistakes) -> Option<List> {
        let mut read = |field: &'static str| {
            let lines = self.raw(field).lines().map(str::trim).filter(|line| !line.is_empty());
            let mut entries = Vec::new();
            for line in lines {
                match line.parse::<Entry>() {
                    Ok(entry) => entries.push(entry),
                    Err(reason) => mistakes.add(field, reason),
                }
            }
            entries
        };
        let (allow, exclude) = (read("allow"), read("exclude"));
        let is_any = self.is_ticked("allow_any");
        if is_any && !self.text("allow").is_empty() {
            mistakes.add("allow", "Either name what is allowed, or tick that every name is; not both.");
        }
        if !is_any && self.text("allow").is_empty() {
            mistakes.add("allow", "Name what it may ask for, an entry a line.");
        }
        let is_meant = self.is_ticked("allow_public_suffix");
        for entry in allow.iter().filter(|entry| entry.is_public_suffix() && !is_meant) {
            mistakes.add(
                "allow",
                format!(
                    "{entry} is a public suffix: it would allow everybody's names below it. Name your own domain, or \
                     tick below that it is meant."
                ),
            );
        }
        let rules = (!is_any).then(|| allow.into_iter().map(Entry::meaning_public_suffix).collect());
        mistakes.is_empty().then_some(List { rules, exclude })
    }

    /// The list, or nothing if something is wrong with it.
    pub(super) fn list(&self) -> Option<List> {
        self.judge_names(&mut Mistakes::default())
    }

    fn judge_key(&self, mistakes: &mut Mistakes) {
        if let Err(reason) = self.number("days", DAYS_MAX) {
            mistakes.add("days", reason);
        }
        match self.number("max_bindings", u32::MAX) {
            Err(reason) => mistakes.add("max_bindings", reason),
            Ok(Some(_)) if !self.has("use", "multi") => {
                mistakes.add("max_bindings", "A number goes with a key for many clients; leave it empty.");
            }
            Ok(_) => {}
        }
        for field in ["not_before", "not_after"] {
            if let Err(reason) = self.time(field) {
                mistakes.add(field, reason);
            }
        }
        if let (Ok(Some(begin)), Ok(Some(end))) = (self.time("not_before"), self.time("not_after"))
            && begin >= end
        {
            mistakes.add("not_after", "This must be later than the day it begins.");
        }
    }

    fn number(&self, field: &str, most: u32) -> Result<Option<u32>, String> {
        match self.text(field) {
            "" => Ok(None),
            text => match text.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
                Ok(_) | Err(_) => Err(format!("A whole number from 1 to {most}, or nothing.")),
            },
        }
    }

    fn time(&self, field: &str) -> Result<Option<Timestamp>, String> {
        match self.text(field) {
            "" => Ok(None),
            text => when::parse(text).map(Some),
        }
    }

    /// What the command line would be told.
    ///
    /// # Errors
    /// [`Failure::Usage`] if a step has a mistake.
    pub(super) fn arguments(&self) -> Result<create::Arguments, Failure> {
        let list = self.list().ok_or_else(|| Failure::Usage("the list has a mistake".to_owned()))?;
        let some = |field: &str| Some(self.text(field).to_owned()).filter(|text| !text.is_empty());
        let profiles = self.0.iter().filter(|(name, _)| *name == "profile").map(|(_, value)| value.clone());
        Ok(create::Arguments {
            owner: self.text("owner").to_owned(),
            allow_any: list.rules.is_none(),
            allow: list.rules.unwrap_or_default(),
            exclude: list.exclude,
            allow_public_suffix: self.is_ticked("allow_public_suffix"),
            profile: profiles.collect(),
            max_validity: self.number("days", DAYS_MAX).map_err(Failure::Usage)?.map(|days| format!("P{days}D")),
            comment: some("comment"),
            key_id: some("key_id"),
            usage: if self.has("use", "multi") { create::Use::Multi } else { create::Use::Once },
            max_bindings: self.number("max_bindings", u32::MAX).map_err(Failure::Usage)?,
            not_before: self.time("not_before").map_err(Failure::Usage)?,
            not_after: self.time("not_after").map_err(Failure::Usage)?,
            algorithm: Vec::new(),
            link: false,
            recipes: Recipes::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(query: &str) -> Draft {
        Draft::sent(&Fields::parse(query))
    }

    #[test]
    fn every_mistake_is_said_beside_its_field() {
        let table = [
            (Step::Who, "owner=+", "owner", "whose it is"),
            (Step::Names, "", "allow", "Name what it may ask for"),
            (Step::Names, "allow=example.test", "allow", "says not how it is meant"),
            (Step::Names, "allow=exact:a.test&exclude=x", "exclude", "says not how it is meant"),
            (Step::Names, "allow=suffix:com", "allow", "public suffix"),
            (Step::Names, "allow=exact:a.test&allow_any=yes", "allow", "not both"),
            (Step::Key, "days=0", "days", "from 1 to 3660"),
            (Step::Key, "days=many", "days", "from 1 to 3660"),
            (Step::Key, "use=once&max_bindings=2", "max_bindings", "for many clients"),
            (Step::Key, "not_before=tomorrow", "not_before", "2026-12-04"),
            (Step::Key, "not_before=2027-01-02&not_after=2027-01-02", "not_after", "later"),
        ];
        for (step, query, field, part) in table {
            let mistakes = draft(query).mistakes(step);
            let text = mistakes.of(field).unwrap_or_else(|| panic!("{query}: {mistakes:?}"));
            assert!(text.contains(part), "{query}: {text}");
            assert!(mistakes.all().iter().all(|one| step.fields().contains(&one.field.as_ref())), "{mistakes:?}");
        }
    }

    #[test]
    fn what_is_right_becomes_the_words_of_the_command_line() {
        let draft = draft(
            "owner=+print+room&comment=t1&allow=suffix:a.test%0D%0A%0D%0Acidr:192.0.2.9/24&exclude=exact:vpn.a.test\
             &profile=tls&profile=other&days=90&use=multi&max_bindings=5&not_before=2027-01-01&not_after=2027-01-02&key_id=k\
             &strange=1",
        );
        assert!(Step::ALL.iter().all(|step| draft.mistakes(*step).is_empty()), "{draft:?}");
        let arguments = draft.arguments().unwrap();
        assert_eq!(arguments.key_id.as_deref(), Some("k"));
        let body = create::body(arguments, "k").unwrap();
        let expected = serde_json::json!({
            "mode": "preregistered", "owner": "print room", "comment": "t1", "maxValidity": "P90D",
            "allowedProfiles": ["tls", "other"],
            "allowedIdentifiers": {"mode": "listed",
                "rules": [{"type": "dns", "match": "suffix", "value": "a.test"},
                          {"type": "ip", "match": "cidr", "value": "192.0.2.0/24"}],
                "exclude": [{"type": "dns", "match": "exact", "value": "vpn.a.test"}]},
            "eab": {"kid": "k", "use": "multi", "maxBindings": 5, "notBefore": "2027-01-01T00:00:00Z",
                    "notAfter": "2027-01-02T00:00:00Z"},
        });
        assert_eq!(body, expected);
        assert!(draft.carried(Step::Who).all(|(name, _)| !["owner", "comment", "strange"].contains(name)));
        assert_eq!(draft.carried(Step::Check).filter(|(name, _)| *name == "profile").count(), 2);
    }

    #[test]
    fn every_name_is_allowed_by_a_tick_and_by_nothing_else() {
        assert_eq!(draft("allow_any=yes").list().unwrap().rules, None);
        assert_eq!(draft("allow_any=no").list(), None);
        assert_eq!(draft("").list(), None);
    }

    #[test]
    fn the_id_of_a_key_is_drawn_once() {
        let drawn = draft("owner=o").with_key_id();
        let key_id = drawn.text("key_id").to_owned();
        assert!(key_id.len() > 16, "{key_id}");
        assert_eq!(drawn.with_key_id().text("key_id"), key_id);
    }
}

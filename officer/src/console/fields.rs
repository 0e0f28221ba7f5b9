//! What a browser sends with a form or in a query: names with texts.

use actix_web::web::Query;

/// Names with texts, as they were sent.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Takes `a=b&c=d`; what cannot be read is nothing.
    pub(super) fn parse(text: &str) -> Self {
        Query::<Vec<(String, String)>>::from_query(text).map(|query| Self(query.into_inner())).unwrap_or_default()
    }

    /// The text of this name, without spaces around it, if there is one to speak of.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The text of this name as it was sent.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All texts of this name as they were sent.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, text)| text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let fields = Fields::parse("reason=moved+to+%3Cb%3E%26&empty=+&list=a%0D%0Ab&reason=second");
        assert_eq!(fields.text("reason"), Some("moved to <b>&"));
        assert_eq!((fields.text("empty"), fields.raw("empty")), (None, Some(" ")));
        assert_eq!(fields.raw("list"), Some("a\r\nb"));
        assert_eq!(fields.text("other"), None);
        assert!(Fields::parse("").raw("").is_none());
    }
}

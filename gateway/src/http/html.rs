//! Pages for people: plain HTML without scripts, pictures or anything else that has to be fetched.
//!
//! Text goes in through functions that escape it, so no text can become markup. This is not for
//! clients: what a client is told is JSON, and a refusal is always a problem document.

use std::{fmt::Write as _, sync::LazyLock};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Readable on a phone, in the dark, and on paper.
const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1c1c1e;--quiet:#57575c;--back:#ffffff;--line:#d8d8dc;--link:#0b57b4}\
@media(prefers-color-scheme:dark){:root{--text:#ececf0;--quiet:#a6a6ad;--back:#17171a;--line:#3a3a40;--link:#8ab8ff}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:42rem;padding:1.5rem 1.25rem 3rem;background:var(--back);color:var(--text);\
font:1.0625rem/1.6 system-ui,sans-serif;overflow-wrap:break-word}\
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 1rem}\
h2{font-size:1.1rem;margin:1.75rem 0 .25rem}\
p,ol,ul,dl{margin:.25rem 0 .75rem}\
ol,ul{padding-left:1.5rem}\
li{margin:.35rem 0}\
a{color:var(--link)}\
:focus-visible{outline:3px solid var(--link);outline-offset:2px}\
dt{font-weight:600;margin-top:.75rem}\
dd{margin:0}\
header,footer{color:var(--quiet);font-size:.9rem}\
footer{border-top:1px solid var(--line);margin-top:2rem;padding-top:.75rem}\
button{font:inherit;font-weight:600;padding:.6rem 1.2rem;border:1px solid var(--link);border-radius:.4rem;\
background:var(--link);color:var(--back);cursor:pointer}";

/// Nothing is fetched, nothing runs, nobody frames it; forms go to where they came from.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// Content of a page. All text in it is escaped. Writing to a `String` does not fail.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn heading(self, text: &str) -> Self {
        self.element("h2", text)
    }

    pub(super) fn paragraph(self, text: &str) -> Self {
        self.element("p", text)
    }

    /// What to do, one after the other.
    pub(super) fn steps<'a>(mut self, steps: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.push_str("<ol>\n");
        self = steps.into_iter().fold(self, |html, step| html.element("li", step));
        self.0.push_str("</ol>\n");
        self
    }

    pub(super) fn list<'a>(mut self, items: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.push_str("<ul>\n");
        self = items.into_iter().fold(self, |html, item| html.element("li", item));
        self.0.push_str("</ul>\n");
        self
    }

    /// Terms, each with what is to be said about it.
    pub(super) fn terms<'a>(mut self, terms: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.0.push_str("<dl>\n");
        self = terms.into_iter().fold(self, |html, (term, about)| html.element("dt", term).element("dd", about));
        self.0.push_str("</dl>\n");
        self
    }

    /// A button that posts to the page's own address, with nothing in it.
    pub(super) fn button(mut self, text: &str) -> Self {
        let _ = writeln!(self.0, "<form method=\"post\"><button type=\"submit\">{}</button></form>", escape(text));
        self
    }

    /// Links, each with its text.
    pub(super) fn links<'a>(mut self, links: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.0.push_str("<ul>\n");
        for (url, text) in links {
            let _ = writeln!(self.0, "<li><a href=\"{}\">{}</a></li>", escape(url), escape(text));
        }
        self.0.push_str("</ul>\n");
        self
    }

    fn element(mut self, name: &'static str, text: &str) -> Self {
        let _ = writeln!(self.0, "<{name}>{}</{name}>", escape(text));
        self
    }
}

/// What stands over every page.
const ABOVE: &str = "Certificates for your devices (ACME)";

/// A page; `below` is a quiet line at its end.
pub(super) fn page(status: StatusCode, title: &str, content: &Html, below: &str) -> HttpResponse {
    let (title, below) = (escape(title), escape(below));
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
        <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>{ABOVE}</header>\n<main>\n\
        <h1>{title}</h1>\n{}</main>\n<footer>{below}</footer>\n</body>\n</html>\n",
        content.0
    );
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(body)
}

/// Text that is text wherever it stands: between tags and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in any::<String>()) {
            let html = Html::default().heading(&text).paragraph(&text).steps([text.as_str()]).list([text.as_str()])
                .links([(text.as_str(), text.as_str())])
                .terms([(text.as_str(), text.as_str())]).button(&text);
            let plain = "x";
            let same = Html::default().heading(plain).paragraph(plain).steps([plain]).list([plain])
                .links([(plain, plain)])
                .terms([(plain, plain)]).button(plain);
            let marks = |html: &Html| html.0.chars().filter(|mark| matches!(mark, '<' | '>' | '"' | '\'')).count();
            prop_assert_eq!(marks(&html), marks(&same));
        }
    }

    #[test]
    fn escaped_text_reads_as_it_was_written() {
        assert_eq!(escape("a < b & \"c\" 'd' ü"), "a &lt; b &amp; &quot;c&quot; &#39;d&#39; ü");
    }
}

//! What the gateway tells whoever has the link in a problem: the client-safe transcript of an order or
//! authorization. It is asked without the officer's certificate, over TLS that is verified.

use std::{fs, path::Path, time::Duration};

use acme::ids::Reference;
use reqwest::{
    StatusCode,
    header::{ACCEPT, HeaderValue},
};
use serde_json::Value;

use crate::{cm::chain_of, error::Failure, output::shown};

/// Largest transcript that is read, in octets.
const TRANSCRIPT_OCTETS_MAX: usize = 1024 * 1024;
/// Largest file of certificates, in octets.
const CA_FILE_OCTETS_MAX: u64 = 1024 * 1024;
/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Most directories of a realm that are asked.
const DIRECTORIES_MAX: usize = 8;

/// The directories of a realm, as anybody reaches them.
#[derive(Debug)]
pub(crate) struct Gateway {
    http: reqwest::Client,
    bases: Vec<String>,
}

impl Gateway {
    /// `realm` is the realm as the CM describes it. A CM that does not know its gateways, as OpenBao, leaves it to
    /// `directory_url` of our own settings where they are. With a CA file nothing else is trusted, without one
    /// what this computer trusts.
    ///
    /// # Errors
    /// [`Failure::File`] names the setting that does not do, [`Failure::Usage`] what the CM lacks.
    pub(crate) fn new(ca_file: Option<&Path>, realm: &Value, directory_url: Option<&str>) -> Result<Self, Failure> {
        let mut bases = bases_of(realm);
        if bases.is_empty() {
            bases.extend(directory_url.and_then(|url| url.strip_suffix("/directory")).map(str::to_owned));
        }
        if bases.is_empty() {
            let reason = "the CM names no acmeBaseUrls for this realm, so nobody knows where its gateway is; give \
                          directory_url under [acme] in the settings";
            return Err(Failure::Usage(reason.to_owned()));
        }
        // Fails if the process has a provider already, which does as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut http = reqwest::Client::builder()
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("acme-officer/", env!("CARGO_PKG_VERSION")))
            .timeout(ANSWER_WITHIN);
        if let Some(file) = ca_file {
            http = http.tls_certs_only(authorities(file)?);
        }
        let http =
            http.build().map_err(|error| Failure::File(format!("acme.ca_file does not do: {}", chain_of(&error))))?;
        Ok(Self { http, bases })
    }

    /// What is looked for: an id, or a link that lies below one of the realm's directories.
    ///
    /// # Errors
    /// [`Failure::Usage`] says what to give instead.
    pub(crate) fn reference(&self, text: &str) -> Result<Reference, Failure> {
        reference_in(text, &self.bases).map_err(Failure::Usage)
    }

    /// The transcript; `None` if no directory of the realm knows the reference.
    ///
    /// # Errors
    /// [`Failure::Unanswered`] if a directory cannot be asked, [`Failure::File`] if its certificate is not trusted.
    pub(crate) async fn transcript(&self, reference: &Reference) -> Result<Option<Value>, Failure> {
        for base in &self.bases {
            if let Some(told) = self.ask(&format!("{base}/transcript/{reference}")).await? {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }

    async fn ask(&self, url: &str) -> Result<Option<Value>, Failure> {
        let lost = |error: &reqwest::Error| self.failure(url, error);
        let request = self.http.get(url).header(ACCEPT, HeaderValue::from_static("application/json"));
        let mut response = request.send().await.map_err(|error| lost(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
            if body.len().saturating_add(chunk.len()) > TRANSCRIPT_OCTETS_MAX {
                return Err(Failure::Unanswered(format!("{url} answers with more than 1 MiB, which no transcript is")));
            }
            body.extend_from_slice(&chunk);
        }
        let json = serde_json::from_slice::<Value>(&body).ok();
        match (status, json) {
            (StatusCode::OK, Some(json)) if json.get("reference").is_some() => Ok(Some(json)),
            // The gateway says so in a problem document; a page of something else does not count.
            (StatusCode::NOT_FOUND, Some(json)) if json.get("type").is_some() => Ok(None),
            (status, json) => {
                let detail = json.as_ref().and_then(|json| json.get("detail")).and_then(Value::as_str);
                let detail = detail.map_or_else(|| "no transcript".to_owned(), shown);
                Err(Failure::Unanswered(format!("{url} answers {}: {detail}", status.as_u16())))
            }
        }
    }

    fn failure(&self, url: &str, error: &reqwest::Error) -> Failure {
        let chain = chain_of(error);
        if cm_connector::rest::door::is_refused_certificate(error) {
            return Failure::File(format!(
                "the certificate of {url} is not trusted: {chain}; name its CA as acme.ca_file in the settings"
            ));
        }
        if error.is_timeout() {
            return Failure::Unanswered(format!("{url} did not answer within {} s", ANSWER_WITHIN.as_secs()));
        }
        Failure::Unanswered(format!("{url} cannot be read: {chain}"))
    }
}

fn bases_of(realm: &Value) -> Vec<String> {
    let bases = realm.get("acmeBaseUrls").and_then(Value::as_array);
    let bases = bases.into_iter().flatten().filter_map(Value::as_str).filter(|base| base.starts_with("https://"));
    bases.map(|base| base.trim_end_matches('/').to_owned()).take(DIRECTORIES_MAX).collect()
}

fn reference_in(text: &str, bases: &[String]) -> Result<Reference, String> {
    let text = text.trim();
    let id = if text.contains("://") {
        let below = bases.iter().find_map(|base| text.strip_prefix(base.as_str())?.strip_prefix('/'));
        let below = below.ok_or_else(|| {
            format!("{} is no link of this realm, whose directories are below {}", shown(text), bases.join(", "))
        })?;
        below.split(['/', '?', '#']).nth(1).unwrap_or_default()
    } else {
        text
    };
    Reference::parse(id).map_err(|reason| format!("the id of an order or authorization {reason}"))
}

fn authorities(file: &Path) -> Result<Vec<reqwest::Certificate>, Failure> {
    let wrong = |reason: &dyn std::fmt::Display| Failure::File(format!("acme.ca_file: {}: {reason}", file.display()));
    let octets = fs::metadata(file).map_err(|error| wrong(&error))?.len();
    if octets > CA_FILE_OCTETS_MAX {
        return Err(wrong(&"it is larger than 1 MiB"));
    }
    let pem = fs::read(file).map_err(|error| wrong(&error))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if certificates.is_empty() => Err(wrong(&"it has no certificate in PEM")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(wrong(&chain_of(&error))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_is_an_id_or_a_link_of_the_realm() {
        let bases = ["https://acme.test/acme/tls".to_owned(), "https://acme.test/acme/other".to_owned()];
        for text in [
            "01KANM7QJ2",
            "  01KANM7QJ2\n",
            "https://acme.test/acme/tls/transcript/01KANM7QJ2",
            "https://acme.test/acme/other/order/01KANM7QJ2/finalize",
            "https://acme.test/acme/tls/transcript/01KANM7QJ2?x#y",
        ] {
            assert_eq!(reference_in(text, &bases).unwrap().as_str(), "01KANM7QJ2", "{text}");
        }
        for text in [
            "https://evil.test/acme/tls/transcript/01KANM7QJ2",
            "https://acme.test/acme/tls.evil/transcript/01KANM7QJ2",
            "http://acme.test/acme/tls/transcript/01KANM7QJ2",
            "https://acme.test/acme/tls/transcript",
            "../01KANM7QJ2",
            "",
        ] {
            assert!(reference_in(text, &bases).is_err(), "{text}");
        }
    }

    #[test]
    fn directories_are_where_the_realm_says_and_never_in_the_clear() {
        let realm = json!({"acmeBaseUrls": ["https://a.test/acme/tls/", "http://b.test/acme/tls", 7]});
        assert_eq!(bases_of(&realm), ["https://a.test/acme/tls"]);
        let silent = json!({"acmeBaseUrls": []});
        let refused = Gateway::new(None, &silent, None).unwrap_err();
        assert!(refused.to_string().contains("acmeBaseUrls"), "{refused}");
        let own = Some("https://c.test/acme/tls/directory");
        assert_eq!(Gateway::new(None, &silent, own).unwrap().bases, ["https://c.test/acme/tls"]);
        assert_eq!(Gateway::new(None, &realm, own).unwrap().bases, ["https://a.test/acme/tls"], "the CM's word counts");
    }

    #[test]
    fn a_file_of_authorities_that_does_not_do_is_named() {
        let file = std::env::temp_dir().join(format!("acme-officer-ca-{}.pem", std::process::id()));
        fs::write(&file, "nothing").unwrap();
        let refused = authorities(&file).unwrap_err();
        assert!(refused.to_string().contains("acme.ca_file") && refused.exit_code() == 3, "{refused}");
        fs::remove_file(&file).unwrap();
        assert_eq!(authorities(&file).unwrap_err().exit_code(), 3);
    }
}

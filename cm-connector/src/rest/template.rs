//! What an operation is called where it is told: method and path, with names in place of what they
//! stand for (CM contract section 4).

use reqwest::Method;

/// `GET /realms/{realm}/certificates?sha256=` and the like.
pub(super) fn of(method: &Method, path: &str, query: Option<&str>) -> String {
    let mut template = format!("{method} ");
    let mut before = "";
    for segment in path.split('/').skip(1) {
        let shown = parameter(before, segment);
        template.push('/');
        template.push_str(shown.unwrap_or(segment));
        before = shown.unwrap_or(segment);
    }
    if let Some(name) = query {
        template = format!("{template}?{name}=");
    }
    template
}

/// The name of a segment that stands for one of many; none for a word of the contract.
fn parameter(before: &str, segment: &str) -> Option<&'static str> {
    match before {
        "realms" => Some("{realm}"),
        "registrations" if segment != "bind" => Some("{registration}"),
        "certificate-requests" => Some("{request}"),
        "certificates" => Some("{certificate}"),
        "issuers" => Some("{issuer}"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_is_about_is_not_in_its_name() {
        let table = [
            ("/health/ready", None, "GET /health/ready"),
            ("/issuers/issuing-1", None, "GET /issuers/{issuer}"),
            ("/realms/tls/registrations", Some("key"), "GET /realms/{realm}/registrations?key="),
            ("/realms/tls/registrations/bind", None, "GET /realms/{realm}/registrations/bind"),
            (
                "/realms/realms/registrations/reg_1/status",
                None,
                "GET /realms/{realm}/registrations/{registration}/status",
            ),
            ("/realms/tls/certificate-requests/req_1", None, "GET /realms/{realm}/certificate-requests/{request}"),
            ("/realms/tls/certificates/a.b/revoke", None, "GET /realms/{realm}/certificates/{certificate}/revoke"),
        ];
        for (path, query, expected) in table {
            assert_eq!(of(&Method::GET, path, query), expected);
        }
    }
}

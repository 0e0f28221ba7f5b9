//! What every problem document is, wherever it stands: in an answer, in a challenge or in an order
//! (RFC 8555 §6.7, RFC 9457).

use serde_json::Value;

/// Before the name of every error type of ACME.
pub const URN: &str = "urn:ietf:params:acme:error:";
/// The members that a problem of this server may have.
const MEMBERS: [&str; 6] = ["type", "status", "detail", "instance", "subproblems", "algorithms"];
/// Longest `detail`, in octets.
const DETAIL_OCTETS_MAX: usize = 1024;

/// Asserts that this is a well-formed problem document with well-formed subproblems. Answers its type without the URN.
///
/// # Panics
/// It is not.
#[track_caller]
pub fn assert_problem_document(problem: &Value) -> String {
    let members = problem.as_object().unwrap_or_else(|| panic!("no object: {problem}"));
    let unknown: Vec<_> = members.keys().filter(|member| !MEMBERS.contains(&member.as_str())).collect();
    assert!(unknown.is_empty(), "members that no client knows, {unknown:?}: {problem}");
    assert!(problem["status"].as_u64().is_some_and(|status| (400..600).contains(&status)), "{problem}");
    if let Some(subproblems) = problem.get("subproblems") {
        let list = subproblems.as_array().unwrap_or_else(|| panic!("no list: {problem}"));
        assert!(!list.is_empty(), "{problem}");
        for subproblem in list {
            let _ = assert_type_and_detail(subproblem);
            let identifier = &subproblem["identifier"];
            assert!(identifier["type"].is_string() && identifier["value"].is_string(), "{subproblem}");
        }
    }
    assert_type_and_detail(problem)
}

/// `type` is one of ACME's, and `detail` is one line that shell clients can cut out of its quotes.
#[track_caller]
fn assert_type_and_detail(problem: &Value) -> String {
    let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix(URN));
    let kind = kind.filter(|kind| !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphabetic()));
    let kind = kind.unwrap_or_else(|| panic!("no error type of ACME: {problem}"));
    let detail = problem["detail"].as_str().unwrap_or_default();
    let is_plain = |octet: u8| (octet == b' ' || octet.is_ascii_graphic()) && octet != b'"';
    assert!(!detail.trim().is_empty() && detail.bytes().all(is_plain), "a detail is one plain line: {problem}");
    assert!(detail.len() <= DETAIL_OCTETS_MAX, "{problem}");
    kind.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_problem_document_is_told() {
        let good = json!({"type": format!("{URN}malformed"), "status": 400, "detail": "no"});
        assert_eq!(assert_problem_document(&good), "malformed");
        let changed = |member: &str, value: Value| {
            let mut problem = good.clone();
            problem[member] = value;
            problem
        };
        for bad in [
            json!("malformed"),
            changed("type", json!("about:blank")),
            changed("type", json!(URN)),
            changed("status", json!("400")),
            changed("status", json!(200)),
            changed("detail", json!("")),
            changed("detail", json!("two\nlines")),
            changed("detail", json!("a \"quote\"")),
            changed("detail", json!("x".repeat(DETAIL_OCTETS_MAX + 1))),
            changed("identifier", json!({"type": "dns", "value": "a.test"})),
            changed("subproblems", json!([])),
            changed("subproblems", json!([{"type": format!("{URN}malformed"), "detail": "no"}])),
        ] {
            assert!(crate::panics(|| drop(assert_problem_document(&bad))), "{bad}");
        }
    }
}

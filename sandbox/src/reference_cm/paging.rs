//! Pages of lists (contract section 3): `limit`, `cursor`, `next`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::call::Call;
use super::moment::Moment;
use super::problem::{Code, Problem};

/// How long a cursor lives.
const CURSOR_SECS: i64 = 3_600;

/// The `limit` of a call: 1 to 500, 100 by default.
pub(crate) fn limit(call: &Call) -> Result<usize, Problem> {
    match call.query("limit") {
        None => Ok(100),
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=500).contains(limit))
            .ok_or_else(|| Problem::new(Code::Malformed, "limit must be a number from 1 to 500")),
    }
}

/// What a list that always fits one page takes of a page: nothing but `limit` and `cursor`, and these only if they are good.
pub(crate) fn check(call: &Call) -> Result<(), Problem> {
    call.only_query(&["limit", "cursor"])?;
    limit(call)?;
    start(call).map(drop)
}

/// Refuses a status that there is none of: nothing would be found, and nobody would know why.
pub(crate) fn only_status(call: &Call, known: &[&str]) -> Result<(), Problem> {
    match call.query("status") {
        Some(status) if !known.contains(&status) => {
            Err(Problem::new(Code::Malformed, format!("status must be one of {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

/// Where the page begins: behind this key, or at the start.
pub(crate) fn start(call: &Call) -> Result<String, Problem> {
    let Some(cursor) = call.query("cursor") else {
        return Ok(String::new());
    };
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|octets| String::from_utf8(octets).ok());
    let parts = text
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .and_then(|(made, key)| Some((made.parse::<i64>().ok()?, key.to_owned())));
    let Some((made, key)) = parts else {
        return Err(Problem::new(Code::Malformed, "cursor must be one that a page gave out"));
    };
    if Moment::from_millis(made).plus_seconds(CURSOR_SECS) < call.now {
        return Err(Problem::new(Code::CursorExpired, "a cursor lives one hour; begin again"));
    }
    Ok(key)
}

/// Cuts a list that was read one item too far, and makes the cursor to the rest.
pub(crate) fn cut<T>(
    mut items: Vec<T>,
    limit: usize,
    now: Moment,
    key: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    if items.len() <= limit {
        return (items, None);
    }
    items.truncate(limit);
    let next = items.last().map(|item| URL_SAFE_NO_PAD.encode(format!("{}:{}", now.millis(), key(item))));
    (items, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_fits_has_no_next_page() {
        let now = Moment::from_millis(5);
        assert_eq!(cut(vec![1, 2], 2, now, i32::to_string), (vec![1, 2], None));
        let (items, next) = cut(vec![1, 2, 3], 2, now, i32::to_string);
        assert_eq!(items, [1, 2]);
        assert_eq!(URL_SAFE_NO_PAD.decode(next.unwrap()).unwrap(), b"5:2");
    }
}

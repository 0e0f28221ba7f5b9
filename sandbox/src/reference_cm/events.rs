//! The event feed (contract section 4.8): what changed, for gateways that keep copies.
//!
//! A cursor names the feed of this database and a position in it, so that a cursor of a database
//! that was thrown away or restored is seen to be none of ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Transaction, params};
use serde_json::{Value, json};

use super::ReferenceCm;
use super::call::{Answer, Call, Pending};
use super::database::{meta, set_meta};
use super::ids::new_id;
use super::moment::Moment;
use super::paging;
use super::problem::{Code, Problem};

/// Events are kept this long (`eventDays` in `/info`).
pub(crate) const KEPT_DAYS: i64 = 14;

/// Appends an event, in the transaction of what it tells.
pub(crate) fn emit(
    tx: &Transaction<'_>,
    now: Moment,
    realm: &str,
    kind: &str,
    subject: &str,
    version: Option<i64>,
    data: &Value,
) -> Result<(), Problem> {
    tx.execute(
        "INSERT INTO event (id, realm, at, type, subject, version, data)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![new_id("evt_", now), realm, now.millis(), kind, subject, version, data.to_string()],
    )?;
    Ok(())
}

/// Forgets old events and remembers where the feed begins now.
pub(crate) fn purge(tx: &Transaction<'_>, now: Moment) -> Result<(), Problem> {
    let before = now.plus_seconds(-KEPT_DAYS * 86_400).millis();
    let last: Option<i64> =
        tx.query_row("SELECT max(position) FROM event WHERE at < ?1", [before], |row| row.get(0))?;
    if let Some(last) = last {
        tx.execute("DELETE FROM event WHERE position <= ?1", [last])?;
        set_meta(tx, "feed-begins-after", &last.to_string())?;
    }
    Ok(())
}

/// `GET …/events`
pub(crate) fn get_events(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&["after", "types", "limit"])?;
    let limit = paging::limit(call)?;
    let types: Vec<&str> = call.query("types").map(|types| types.split(',').collect()).unwrap_or_default();
    let after =
        call.query("after").ok_or_else(|| Problem::new(Code::Malformed, "the query parameter after is required"))?;
    cm.database.read(|tx| {
        let feed = meta(tx, "feed")?.unwrap_or_default();
        let newest: i64 =
            tx.query_row("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)", [], |row| {
                row.get(0)
            })?;
        let begins_after: i64 = meta(tx, "feed-begins-after")?.and_then(|text| text.parse().ok()).unwrap_or(0);
        let after = if after == "now" {
            newest
        } else {
            position(after, &feed)?.filter(|position| (begins_after..=newest).contains(position)).ok_or_else(|| {
                Problem::new(
                    Code::CursorExpired,
                    "the feed no longer reaches back to this cursor; begin with after=now",
                )
            })?
        };
        let mut statement = tx.prepare(
            "SELECT position, id, at, type, subject, version, data FROM event
             WHERE realm = ?1 AND position > ?2 ORDER BY position",
        )?;
        let mut rows = statement.query(params![call.parameter("realm"), after])?;
        let mut items = Vec::new();
        let mut last = newest.max(after);
        while let Some(row) = rows.next()? {
            let position: i64 = row.get(0)?;
            let kind: String = row.get(3)?;
            if !types.is_empty() && !types.contains(&kind.as_str()) {
                continue;
            }
            if items.len() >= limit {
                last = items.last().map_or(after, |(position, _): &(i64, Value)| *position);
                break;
            }
            let data: String = row.get(6)?;
            items.push((
                position,
                json!({
                    "id": row.get::<_, String>(1)?,
                    "time": Moment::from_millis(row.get(2)?),
                    "type": kind,
                    "subject": row.get::<_, String>(4)?,
                    "version": row.get::<_, Option<i64>>(5)?,
                    "data": serde_json::from_str::<Value>(&data)?,
                }),
            ));
        }
        let nothing_new = items.is_empty();
        let mut answer = Answer::page(items.into_iter().map(|(_, item)| item).collect(), Some(cursor(&feed, last)));
        if nothing_new {
            answer.pending = Some(Pending::Events);
        }
        Ok(answer)
    })
}

fn cursor(feed: &str, position: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{feed}:{position}"))
}

/// The position in a cursor; none if it belongs to another feed, 400 if it is no cursor.
fn position(cursor: &str, feed: &str) -> Result<Option<i64>, Problem> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|octets| String::from_utf8(octets).ok());
    let parts = text
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .and_then(|(feed, position)| Some((feed, position.parse::<i64>().ok()?)));
    match parts {
        Some((of, position)) => Ok((of == feed).then_some(position)),
        None => Err(Problem::new(Code::Malformed, "after must be now or a cursor that the feed gave out")),
    }
}

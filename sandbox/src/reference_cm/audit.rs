//! The audit trail (contract section 4.9): append-only and hash-chained, so that gaps show.
//!
//! Effects are recorded in their own transaction, refusals of writing operations right after it.
//! Secrets, MACs and bodies never come here.

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::ReferenceCm;
use super::call::{Answer, Call};
use super::ids::hex;
use super::moment::Moment;
use super::paging;
use super::problem::{Code, Problem};

/// Before the first entry.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What an effect changed, for the entry.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Changed members before.
    pub(crate) before: Option<Value>,
    /// Changed members after.
    pub(crate) after: Option<Value>,
}

/// Records an effect, by the name of its operation.
pub(crate) fn effect(tx: &Transaction<'_>, call: &Call, subject: &str, change: Change) -> Result<(), Problem> {
    effect_named(tx, call, call.operation.name(), subject, change)
}

/// Records an effect of an operation that has several, by this name.
pub(crate) fn effect_named(
    tx: &Transaction<'_>,
    call: &Call,
    action: &str,
    subject: &str,
    change: Change,
) -> Result<(), Problem> {
    let mut entry = entry_of(call, "done");
    entry.insert("action".to_owned(), json!(action));
    entry.insert("subject".to_owned(), json!(subject));
    if let Some(before) = change.before {
        entry.insert("before".to_owned(), before);
    }
    if let Some(after) = change.after {
        entry.insert("after".to_owned(), after);
    }
    append(tx, call.now, entry)
}

/// Records a refusal, with the detail that only auditors may know.
pub(crate) fn refusal(tx: &Transaction<'_>, call: &Call, problem: &Problem) -> Result<(), Problem> {
    let mut entry = entry_of(call, "refused");
    if let Some(subject) = call.parameters.get("id").or_else(|| call.parameters.get("certId")) {
        entry.insert("subject".to_owned(), json!(subject));
    }
    entry.insert("problem".to_owned(), json!({"code": problem.code().name(), "detail": problem.audit_detail()}));
    append(tx, call.now, entry)
}

/// Records something that the CM did on its own.
pub(crate) fn own(tx: &Transaction<'_>, now: Moment, realm: &str, action: &str, subject: &str) -> Result<(), Problem> {
    let entry = json!({
        "time": now, "actor": "urn:cm:self", "role": "cm", "sourceIp": null, "realm": realm,
        "action": action, "subject": subject, "outcome": "done", "requestId": null,
    });
    let Value::Object(entry) = entry else {
        return Err(Problem::internal("an audit entry is an object"));
    };
    append(tx, now, entry)
}

fn entry_of(call: &Call, outcome: &str) -> Map<String, Value> {
    let mut entry = Map::new();
    for (name, value) in [
        ("time", json!(call.now)),
        ("actor", json!(call.identity.urn())),
        ("role", json!(call.identity.role.name())),
        ("sourceIp", json!(call.source)),
        ("realm", json!(call.parameters.get("realm"))),
        ("action", json!(call.operation.name())),
        ("outcome", json!(outcome)),
        ("requestId", json!(call.request_id)),
    ] {
        entry.insert(name.to_owned(), value);
    }
    if let Some(key) = call.header("idempotency-key") {
        entry.insert("idempotencyKey".to_owned(), json!(key));
    }
    entry
}

fn append(tx: &Transaction<'_>, now: Moment, entry: Map<String, Value>) -> Result<(), Problem> {
    let prev: String = tx
        .query_row("SELECT hash FROM audit ORDER BY position DESC LIMIT 1", [], |row| row.get(0))
        .optional()?
        .unwrap_or_else(|| BEGINNING.to_owned());
    let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let columns =
        (text("actor").unwrap_or_default(), text("realm"), text("action").unwrap_or_default(), text("subject"));
    let entry = Value::Object(entry).to_string();
    let hash = link(&prev, &entry);
    tx.execute(
        "INSERT INTO audit (at, actor, realm, action, subject, entry, prev, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![now.millis(), columns.0, columns.1, columns.2, columns.3, entry, prev, hash],
    )?;
    Ok(())
}

/// SHA-256 over the hash before and the entry as it is stored.
fn link(prev: &str, entry: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(prev);
    digest.update(entry);
    hex(&digest.finalize())
}

/// `GET /audit`
pub(crate) fn query_audit(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&["from", "to", "actor", "realm", "subject", "action", "limit", "cursor"])?;
    let limit = paging::limit(call)?;
    let after: i64 = match paging::start(call)?.as_str() {
        "" => 0,
        text => text.parse().map_err(|_| Problem::new(Code::Malformed, "cursor must be one that a page gave out"))?,
    };
    let time = |name: &str, otherwise: i64| match call.query(name) {
        None => Ok(otherwise),
        Some(text) => Moment::parse(text)
            .map(Moment::millis)
            .ok_or_else(|| Problem::new(Code::Malformed, format!("{name} must be a time"))),
    };
    let (from, to) = (time("from", 0)?, time("to", i64::MAX)?);
    cm.database.read(|tx| {
        let mut statement = tx.prepare(
            "SELECT position, entry, prev, hash FROM audit
             WHERE position > ?1 AND at >= ?2 AND at <= ?3
               AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR realm = ?5)
               AND (?6 IS NULL OR subject = ?6) AND (?7 IS NULL OR action = ?7)
             ORDER BY position LIMIT ?8",
        )?;
        let rows = statement.query_map(
            params![
                after,
                from,
                to,
                call.query("actor"),
                call.query("realm"),
                call.query("subject"),
                call.query("action"),
                i64::try_from(limit + 1).unwrap_or(i64::MAX)
            ],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                ))
            },
        )?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let (rows, next) = paging::cut(rows, limit, call.now, |row| row.0.to_string());
        let mut items = Vec::new();
        for (_, entry, prev, hash) in rows {
            let mut item: Value = serde_json::from_str(&entry)?;
            if let Some(members) = item.as_object_mut() {
                members.insert("prev".to_owned(), json!(prev));
                members.insert("hash".to_owned(), json!(hash));
            }
            items.push(item);
        }
        Ok(Answer::page(items, next))
    })
}

/// Walks the whole chain; the error is the position of the first entry that does not fit.
pub(crate) fn verify_chain(tx: &Transaction<'_>) -> Result<Result<(), i64>, Problem> {
    let mut statement = tx.prepare("SELECT position, entry, prev, hash FROM audit ORDER BY position")?;
    let mut rows = statement.query([])?;
    let mut before = BEGINNING.to_owned();
    while let Some(row) = rows.next()? {
        let (entry, prev, hash): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        if prev != before || hash != link(&prev, &entry) {
            return Ok(Err(row.get(0)?));
        }
        before = hash;
    }
    Ok(Ok(()))
}

//! Idempotency-Key (contract section 3, rules 1 to 5).
//!
//! Key, digest of the body octets and answer are written in the transaction of the effect. A key
//! without an answer is one whose work is under way; after a crash it is settled before serving.

use http::HeaderName;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::call::{Answer, Call, JSON};
use super::moment::Moment;
use super::problem::{Code, Problem};

/// Records are kept this long: more than the 30 days of the contract and of `/info`.
const KEPT_SECS: i64 = 40 * 86_400;

/// Scope and key of one idempotent request.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    realm: String,
    operation: &'static str,
    key: String,
    digest: Vec<u8>,
}

/// What is known of a key.
#[derive(Debug)]
pub(crate) enum Known {
    /// Nothing: the work is to be done.
    Nothing,
    /// The answer given before.
    Answer(Answer),
    /// The answer given before told of an object that may have moved on since.
    Subject(String),
}

impl Slot {
    /// The slot of this call; 400 if it has no proper key.
    pub(crate) fn of(call: &Call) -> Result<Self, Problem> {
        Ok(Self {
            realm: call.parameter("realm").to_owned(),
            operation: call.operation.name(),
            key: call.idempotency_key()?.to_owned(),
            digest: call.body_digest(),
        })
    }

    /// The key itself.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Looks the key up: 409 while its work is under way, 422 if it was used for other octets.
    pub(crate) fn look_up(&self, tx: &Transaction<'_>) -> Result<Known, Problem> {
        type Row = (Vec<u8>, Option<u16>, Option<String>, Option<Vec<u8>>, Option<String>);
        let row: Option<Row> = tx
            .query_row(
                "SELECT digest, status, headers, body, subject FROM idempotency
                 WHERE realm = ?1 AND operation = ?2 AND key = ?3",
                params![self.realm, self.operation, self.key],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
            )
            .optional()?;
        let Some((digest, status, headers, body, subject)) = row else {
            return Ok(Known::Nothing);
        };
        if digest != self.digest {
            return Err(Problem::new(
                Code::IdempotencyKeyReused,
                "this Idempotency-Key was used for another request body",
            ));
        }
        match (status, subject) {
            (None, _) => {
                Err(Problem::new(Code::RequestInProgress, "the request with this Idempotency-Key is being worked on")
                    .retry_after(1))
            }
            (Some(_), Some(subject)) => Ok(Known::Subject(subject)),
            (Some(status), None) => {
                let headers: Vec<(String, String)> = serde_json::from_str(&headers.unwrap_or_default())?;
                let media_type = if status >= 400 { "application/problem+json" } else { JSON };
                Ok(Known::Answer(replayed(Answer {
                    status,
                    headers: headers
                        .into_iter()
                        .filter_map(|(name, value)| Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value)))
                        .collect(),
                    media_type: Some(media_type),
                    body: body.unwrap_or_default(),
                    pending: None,
                })))
            }
        }
    }

    /// Records that the work has begun; `subject` is the object it makes.
    pub(crate) fn begin(&self, tx: &Transaction<'_>, now: Moment, subject: &str) -> Result<(), Problem> {
        tx.execute(
            "INSERT INTO idempotency (realm, operation, key, digest, at, subject)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![self.realm, self.operation, self.key, self.digest, now.millis(), subject],
        )?;
        Ok(())
    }

    /// Records the answer of work that was done in this transaction.
    pub(crate) fn finish(&self, tx: &Transaction<'_>, now: Moment, answer: &Answer) -> Result<(), Problem> {
        let headers: Vec<(&str, &str)> =
            answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        tx.execute(
            "INSERT INTO idempotency (realm, operation, key, digest, at, status, headers, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                self.realm,
                self.operation,
                self.key,
                self.digest,
                now.millis(),
                answer.status,
                serde_json::to_string(&headers)?,
                answer.body
            ],
        )?;
        Ok(())
    }

    /// Records a refusal if it is one that a repeat must get again (422), and marks it so that
    /// the transaction is committed.
    pub(crate) fn refuse(&self, tx: &Transaction<'_>, call: &Call, problem: Problem) -> Result<Problem, Problem> {
        if problem.code().status() != 422 {
            return Ok(problem);
        }
        let answer = Answer::json(422, &problem.document(&call.request_id));
        self.finish(tx, call.now, &answer)?;
        Ok(problem.keeping_effects())
    }

    /// Does work once per key: the whole of rules 2 to 5 for work that fits one transaction.
    pub(crate) fn once(
        &self,
        tx: &Transaction<'_>,
        call: &Call,
        work: impl FnOnce(&Transaction<'_>) -> Result<Answer, Problem>,
    ) -> Result<Answer, Problem> {
        match self.look_up(tx)? {
            Known::Answer(answer) => Ok(answer),
            Known::Subject(subject) => Err(Problem::internal(format!(
                "idempotency record with subject {subject} of a request in one transaction"
            ))),
            Known::Nothing => match work(tx) {
                Ok(answer) => {
                    self.finish(tx, call.now, &answer)?;
                    Ok(answer)
                }
                Err(problem) => Err(self.refuse(tx, call, problem)?),
            },
        }
    }
}

/// Settles a key whose work was begun earlier: from now on its repeats tell of the subject.
pub(crate) fn settle(tx: &Transaction<'_>, realm: &str, operation: &str, key: &str) -> Result<(), Problem> {
    tx.execute(
        "UPDATE idempotency SET status = 202 WHERE realm = ?1 AND operation = ?2 AND key = ?3",
        params![realm, operation, key],
    )?;
    Ok(())
}

/// Forgets records that are too old to matter.
pub(crate) fn purge(tx: &Transaction<'_>, now: Moment) -> Result<(), Problem> {
    tx.execute(
        "DELETE FROM idempotency WHERE at < ?1 AND status IS NOT NULL",
        [now.plus_seconds(-KEPT_SECS).millis()],
    )?;
    Ok(())
}

/// Marks an answer as given before.
pub(crate) fn replayed(answer: Answer) -> Answer {
    answer.with(HeaderName::from_static("idempotency-replayed"), "true")
}

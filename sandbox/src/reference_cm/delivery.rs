//! Delivery and publication (contract section 4.4): nothing is published before the gateway has
//! said that the certificate is the one that was asked for.

use std::io::Write as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::ReferenceCm;
use super::audit::{self, Change};
use super::call::{Answer, Call};
use super::certificates;
use super::events;
use super::moment::Moment;
use super::problem::{Code, Problem};
use super::requests;

/// Most checks that a report may name.
const CHECKS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Accepted,
    Refused,
}

#[derive(Deserialize, serde::Serialize)]
struct Check {
    check: String,
    ok: bool,
    #[serde(default)]
    detail: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delivery {
    outcome: Outcome,
    #[serde(default)]
    checks: Vec<Check>,
}

/// `POST …/certificate-requests/{id}/delivery`
pub(crate) fn confirm_delivery(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    let delivery: Delivery = call.json()?;
    if delivery.checks.len() > CHECKS_MAX {
        return Err(Problem::malformed("/checks", "at most 64 checks"));
    }
    let (realm, _) = cm.realm(call)?;
    cm.database.write(|tx| {
        let request = requests::load(tx, realm, call.parameter("id"))?;
        let certificate = match &request.certificate {
            Some(id) => certificates::find(tx, realm, id)?,
            None => None,
        }
        .ok_or_else(|| Problem::new(Code::NotFound, "the request has no certificate"))?;
        let wanted = match delivery.outcome {
            Outcome::Accepted => "pending",
            Outcome::Refused => "withheld",
        };
        match (certificate.publication.as_str(), delivery.outcome) {
            ("waiting-for-delivery", _) => {}
            ("pending" | "published", Outcome::Accepted) | ("withheld", Outcome::Refused) => {
                return Ok(());
            }
            (state, _) => {
                return Err(Problem::new(
                    Code::Malformed,
                    format!("the delivery was reported otherwise before; publication is {state}"),
                ));
            }
        }
        tx.execute("UPDATE certificate SET publication = ?2 WHERE id = ?1", [certificate.id.as_str(), wanted])?;
        if delivery.outcome == Outcome::Refused {
            events::emit(
                tx,
                call.now,
                realm,
                "certificate.delivery-refused",
                &certificate.id,
                None,
                &json!({"orderRef": certificate.order_ref, "checks": delivery.checks}),
            )?;
        }
        audit::effect(
            tx,
            call,
            &certificate.id,
            Change {
                before: Some(json!({"publication": certificate.publication})),
                after: Some(json!({"publication": wanted})),
            },
        )
    })?;
    publish_pending(cm, call.now)?;
    Ok(Answer::empty(204))
}

/// Publishes what was accepted and is not out yet; run after each report and after a crash.
pub(crate) fn publish_pending(cm: &ReferenceCm, now: Moment) -> Result<(), Problem> {
    let pending = cm.database.read(|tx| {
        let mut statement = tx.prepare("SELECT realm, id FROM certificate WHERE publication = 'pending'")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut found = Vec::new();
        for row in rows {
            let (realm, id) = row?;
            found.extend(certificates::find(tx, &realm, &id)?);
        }
        Ok(found)
    })?;
    for certificate in pending {
        write_file(&cm.published, &format!("{}.pem", certificate.id), certificate.chain_pem().as_bytes())
            .map_err(Problem::internal)?;
        cm.database.write(|tx| {
            let changed = tx.execute(
                "UPDATE certificate SET publication = 'published', published_at = ?2
                 WHERE id = ?1 AND publication = 'pending'",
                rusqlite::params![certificate.id, now.millis()],
            )?;
            if changed == 0 {
                return Ok(());
            }
            events::emit(
                tx,
                now,
                &certificate.realm,
                "certificate.published",
                &certificate.id,
                None,
                &json!({"target": certificates::PUBLICATION_TARGET}),
            )
        })?;
    }
    Ok(())
}

/// Writes a file whole or not at all.
fn write_file(folder: &Path, name: &str, octets: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".{name}.draft"));
    let mut file = std::fs::File::create(&draft)?;
    file.write_all(octets)?;
    file.sync_all()?;
    std::fs::rename(&draft, folder.join(name))
}

//! Suspending, resuming and ending registrations (CM contract section 4.3, "Status"). One record by check-and-set; the
//! gateway reads it anew within a second.

use serde::Deserialize;

use super::{
    super::{
        clock::now,
        layout::Place,
        records::{Hold, PreRegistration},
    },
    Answer, Call,
    problem::Problem,
    subject::{Origin, Subject},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    status: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    revoke_certificates: bool,
}

impl Call<'_> {
    /// `POST …/registrations/{id}/status`. Certificates come after the status: who repeats it after a crash goes on with
    /// those that are left.
    pub(super) async fn set_status(&self, id: &str) -> Result<Answer, Problem> {
        let (version, change) = (self.version()?, self.body::<Change>()?);
        if !matches!(change.status.as_str(), "active" | "suspended" | "revoked") {
            return Err(Problem::malformed("status is active, suspended or revoked"));
        }
        if change.revoke_certificates && change.status != "revoked" {
            return Err(Problem::malformed("revokeCertificates goes with the status revoked"));
        }
        let subject = self.subject(id).await?;
        subject.must_match(version)?;
        if subject.officers_word() != change.status {
            self.write_status(&subject, version, &change).await?;
        }
        if change.revoke_certificates {
            self.revoke_all_of(&subject.id).await?;
        }
        self.registration(id).await
    }

    async fn write_status(&self, subject: &Subject, version: u64, change: &Change) -> Result<(), Problem> {
        if subject.officers_word() == "revoked" {
            return Err(Problem::new(409, "registration-not-active", "it is revoked, which is final"));
        }
        let (status, by, at) = (change.status.clone(), Some(self.caller().await?), Some(now()));
        let (bao, realm, reason) = (&self.desk.bao, &self.realm, change.reason.clone());
        let is_written = match &subject.origin {
            Origin::Own(kid, before) => {
                // A word of another program's beside it would go on counting.
                if let Some(hold) = subject.hold.as_ref().filter(|hold| hold.value.status != status) {
                    let (status, reason, officer) = (status.clone(), reason.clone(), by.clone());
                    let after = Hold { status, reason, officer, at, ..hold.value.clone() };
                    if !bao.update(realm, Place::Hold(&subject.id), &after, hold.version).await? {
                        return Err(Problem::stale());
                    }
                }
                let before = before.value.clone();
                let after = PreRegistration { status, status_reason: reason, status_by: by, status_at: at, ..before };
                bao.update(realm, Place::PreRegistration(kid), &after, version).await?
            }
            Origin::Lost => {
                return Err(Problem::new(409, "registration-not-active", "the key that it came by is gone"));
            }
            Origin::Child(_) | Origin::Open => {
                let allowed_identifiers = subject.hold.as_ref().and_then(|hold| hold.value.allowed_identifiers.clone());
                let after = Hold { status, allowed_identifiers, reason, officer: by, at };
                bao.update(realm, Place::Hold(&subject.id), &after, version).await?
            }
        };
        if is_written { Ok(()) } else { Err(Problem::stale()) }
    }
}

//! Certificates: the record, how it is shown and found (contract section 4.5).

use http::{HeaderName, header};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use serde_json::{Value, json};

use super::ReferenceCm;
use super::authority::{Chain, DEFAULT_CHAIN, pem};
use super::call::{Answer, Call, PEM_CHAIN};
use super::moment::Moment;
use super::operations::Right;
use super::paging;
use super::problem::{Code, Problem};
use super::settings::Capability;
use super::update::read_identifier;

/// Where certificates are published, as the contract names targets.
pub(crate) const PUBLICATION_TARGET: &str = "directory";

/// A revocation.
#[derive(Clone, Debug)]
pub(crate) struct Revoked {
    /// When.
    pub(crate) at: Moment,
    /// Reason, as the contract spells it.
    pub(crate) reason: String,
    /// On what basis.
    pub(crate) basis: String,
    /// By whom.
    pub(crate) by: String,
    /// Since when the key was in doubt.
    pub(crate) invalidity_date: Option<Moment>,
}

/// A certificate.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// ARI CertID (RFC 9773).
    pub(crate) id: String,
    /// Its realm.
    pub(crate) realm: String,
    /// The request that asked for it.
    pub(crate) request: String,
    /// Whose it is.
    pub(crate) registration: String,
    /// The gateway's order.
    pub(crate) order_ref: String,
    /// Profile.
    pub(crate) profile: String,
    /// Hex.
    pub(crate) serial: String,
    /// Hex, over the DER.
    pub(crate) sha256: String,
    /// Hex.
    pub(crate) spki_sha256: String,
    /// Validity.
    pub(crate) not_before: Moment,
    /// Validity.
    pub(crate) not_after: Moment,
    /// When it was signed.
    pub(crate) issued_at: Moment,
    /// The certificate itself.
    pub(crate) der: Vec<u8>,
    /// The issuers, without the root.
    pub(crate) issuers_pem: String,
    /// Names, as JSON.
    pub(crate) identifiers: Value,
    /// Revocation or hold.
    pub(crate) revoked: Option<Revoked>,
    /// `waiting-for-delivery`, `pending`, `published`, `withheld`.
    pub(crate) publication: String,
    /// When it was published.
    pub(crate) published_at: Option<Moment>,
    /// What it replaces.
    pub(crate) replaces: Option<String>,
    /// The order that replaced it.
    pub(crate) replaced_by: Option<String>,
}

impl Certificate {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let revoked_at: Option<i64> = row.get("revoked_at")?;
        let revoked = match revoked_at {
            None => None,
            Some(at) => Some(Revoked {
                at: Moment::from_millis(at),
                reason: row.get("reason")?,
                basis: row.get("basis")?,
                by: row.get("revoked_by")?,
                invalidity_date: row.get::<_, Option<i64>>("invalidity_date")?.map(Moment::from_millis),
            }),
        };
        let identifiers: String = row.get("identifiers")?;
        Ok(Self {
            id: row.get("id")?,
            realm: row.get("realm")?,
            request: row.get("request")?,
            registration: row.get("registration")?,
            order_ref: row.get("order_ref")?,
            profile: row.get("profile")?,
            serial: row.get("serial")?,
            sha256: row.get("sha256")?,
            spki_sha256: row.get("spki_sha256")?,
            not_before: Moment::from_millis(row.get("not_before")?),
            not_after: Moment::from_millis(row.get("not_after")?),
            issued_at: Moment::from_millis(row.get("issued_at")?),
            der: row.get("der")?,
            issuers_pem: row.get("issuers_pem")?,
            identifiers: serde_json::from_str(&identifiers).unwrap_or_default(),
            revoked,
            publication: row.get("publication")?,
            published_at: row.get::<_, Option<i64>>("published_at")?.map(Moment::from_millis),
            replaces: row.get("replaces")?,
            replaced_by: row.get("replaced_by")?,
        })
    }

    /// Writes a new record, with its names for searches.
    pub(crate) fn insert(&self, tx: &Transaction<'_>) -> Result<(), Problem> {
        tx.execute(
            "INSERT INTO certificate
                 (id, realm, request, registration, order_ref, profile, serial, sha256, spki_sha256,
                  not_before, not_after, issued_at, der, issuers_pem, identifiers, status,
                  publication, replaces)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 'good', ?16, ?17)",
            params![
                self.id,
                self.realm,
                self.request,
                self.registration,
                self.order_ref,
                self.profile,
                self.serial,
                self.sha256,
                self.spki_sha256,
                self.not_before.millis(),
                self.not_after.millis(),
                self.issued_at.millis(),
                self.der,
                self.issuers_pem,
                self.identifiers.to_string(),
                self.publication,
                self.replaces
            ],
        )?;
        for name in self.identifiers.as_array().into_iter().flatten() {
            tx.execute(
                "INSERT OR IGNORE INTO certificate_name (certificate, name) VALUES (?1, ?2)",
                params![self.id, name.get("value").and_then(Value::as_str)],
            )?;
        }
        Ok(())
    }

    /// Writes its revocation, or takes a hold away.
    pub(crate) fn save_revocation(&self, tx: &Transaction<'_>) -> Result<(), Problem> {
        let revoked = self.revoked.as_ref();
        tx.execute(
            "UPDATE certificate SET status = ?2, revoked_at = ?3, reason = ?4, basis = ?5,
                 revoked_by = ?6, invalidity_date = ?7 WHERE id = ?1",
            params![
                self.id,
                self.recorded_status(),
                revoked.map(|revoked| revoked.at.millis()),
                revoked.map(|revoked| &revoked.reason),
                revoked.map(|revoked| &revoked.basis),
                revoked.map(|revoked| &revoked.by),
                revoked.and_then(|revoked| revoked.invalidity_date.map(Moment::millis))
            ],
        )?;
        Ok(())
    }

    /// Whether it is only on hold.
    pub(crate) fn is_on_hold(&self) -> bool {
        self.revoked.as_ref().is_some_and(|revoked| revoked.reason == "certificateHold")
    }

    fn recorded_status(&self) -> &'static str {
        match (&self.revoked, self.is_on_hold()) {
            (None, _) => "good",
            (Some(_), true) => "hold",
            (Some(_), false) => "revoked",
        }
    }

    /// `good`, `revoked`, `hold` or `expired`.
    pub(crate) fn status(&self, now: Moment) -> &'static str {
        match self.recorded_status() {
            "good" if self.not_after < now => "expired",
            status => status,
        }
    }

    /// Leaf first, then the issuers up to but without the root.
    pub(crate) fn chain_pem(&self) -> String {
        pem("CERTIFICATE", &self.der) + &self.issuers_pem
    }

    /// Leaf first, then the issuers of another chain.
    fn chain_pem_by(&self, chain: &Chain) -> String {
        if chain.id == DEFAULT_CHAIN { self.chain_pem() } else { pem("CERTIFICATE", &self.der) + &chain.issuers_pem }
    }

    /// All chains as callers see them.
    fn chains(&self, cm: &ReferenceCm) -> Value {
        let view = |chain: &Chain| json!({"id": chain.id, "default": chain.id == DEFAULT_CHAIN, "pem": self.chain_pem_by(chain)});
        cm.authority.chains().iter().map(view).collect()
    }

    /// The revocation as it is shown.
    pub(crate) fn revocation_view(&self) -> Value {
        match &self.revoked {
            None => Value::Null,
            Some(revoked) => json!({
                "at": revoked.at, "reason": revoked.reason, "basis": revoked.basis,
                "by": revoked.by, "invalidityDate": revoked.invalidity_date,
                // Both answer from the database, so both know it from the moment it is written.
                "effective": {"ocsp": revoked.at, "crl": revoked.at},
            }),
        }
    }

    /// As callers see it.
    pub(crate) fn view(&self, cm: &ReferenceCm, now: Moment) -> Result<Value, Problem> {
        Ok(json!({
            "id": self.id, "status": self.status(now), "serial": self.serial,
            "issuer": cm.authority.id(), "sha256": self.sha256, "spkiSha256": self.spki_sha256,
            "notBefore": self.not_before, "notAfter": self.not_after,
            "identifiers": self.identifiers, "registration": self.registration,
            "profile": self.profile, "orderRef": self.order_ref,
            "issuedAt": self.issued_at, "replaces": self.replaces,
            "chains": self.chains(cm),
            "publication": [{"target": PUBLICATION_TARGET, "status": self.publication,
                             "at": self.published_at}],
            "revocation": self.revocation_view(),
        }))
    }
}

/// A certificate of the realm.
pub(crate) fn find(tx: &Transaction<'_>, realm: &str, id: &str) -> Result<Option<Certificate>, Problem> {
    Ok(tx
        .query_row("SELECT * FROM certificate WHERE realm = ?1 AND id = ?2", [realm, id], Certificate::from_row)
        .optional()?)
}

/// All that are revoked or on hold: for the CRL.
pub(crate) fn all_revoked(tx: &Transaction<'_>) -> Result<Vec<Certificate>, Problem> {
    let mut statement = tx.prepare("SELECT * FROM certificate WHERE revoked_at IS NOT NULL ORDER BY revoked_at")?;
    let rows = statement.query_map([], Certificate::from_row)?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

/// All of a registration that are neither revoked nor expired.
pub(crate) fn all_good_of(tx: &Transaction<'_>, registration: &str, now: Moment) -> Result<Vec<Certificate>, Problem> {
    let mut statement = tx.prepare(
        "SELECT * FROM certificate
         WHERE registration = ?1 AND status <> 'revoked' AND not_after >= ?2",
    )?;
    let rows = statement.query_map(params![registration, now.millis()], Certificate::from_row)?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

/// The certificate a call names, or 404.
pub(crate) fn load(tx: &Transaction<'_>, realm: &str, call: &Call) -> Result<Certificate, Problem> {
    find(tx, realm, call.parameter("certId"))?
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no such certificate"))
}

/// `GET …/certificates/{certId}`: JSON, or the chain if that is what is accepted.
pub(crate) fn get_certificate(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&["chain"])?;
    let (realm, _) = cm.realm(call)?;
    let chains = cm.authority.chains();
    let wanted = call.query("chain").unwrap_or(DEFAULT_CHAIN);
    let Some(chain) = chains.iter().find(|chain| chain.id == wanted) else {
        return Err(Problem::new(Code::NotFound, "there is no such chain"));
    };
    let wants_pem = call.header("accept").is_some_and(|accept| accept.contains(PEM_CHAIN));
    cm.database.read(|tx| {
        let certificate = load(tx, realm, call)?;
        Ok(if wants_pem {
            let others = chains.iter().filter(|other| other.id != wanted);
            others.fold(Answer::pem(&certificate.chain_pem_by(chain)), |answer, other| {
                let url = format!("/cm/v1/realms/{realm}/certificates/{}?chain={}", certificate.id, other.id);
                answer.with(header::LINK, format!("<{url}>;rel=\"alternate\""))
            })
        } else {
            Answer::json(200, &certificate.view(cm, call.now)?)
        }
        .with(HeaderName::from_static("vary"), "Accept"))
    })
}

/// `GET …/certificates?…`
pub(crate) fn find_certificates(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    const KEYS: &[&str] = &["registration", "orderRef", "serial", "issuer", "sha256", "spkiSha256", "limit", "cursor"];
    const FREE: &[&str] =
        &["parent", "identifier", "status", "issuedAfter", "notAfterBefore", "revokedAfter", "profile"];
    call.only_query(&[KEYS, FREE].concat())?;
    paging::only_status(call, &["good", "revoked", "hold", "expired"])?;
    let (realm, _) = cm.realm(call)?;
    let by_key = ["orderRef", "serial", "sha256", "spkiSha256"].iter().any(|name| call.query(name).is_some());
    if !by_key || FREE.iter().any(|name| call.query(name).is_some()) {
        call.require(Right::SearchCertificates)?;
    }
    let identifier = call.query("identifier").map(read_identifier).transpose()?;
    let time = |name: &str| {
        call.query(name)
            .map(|text| {
                Moment::parse(text)
                    .map(Moment::millis)
                    .ok_or_else(|| Problem::new(Code::Malformed, format!("{name} must be a time")))
            })
            .transpose()
    };
    let (issued_after, not_after_before, revoked_after) =
        (time("issuedAfter")?, time("notAfterBefore")?, time("revokedAfter")?);
    let limit = paging::limit(call)?;
    let after = paging::start(call)?;
    if call.query("issuer").is_some_and(|issuer| issuer != cm.authority.id()) {
        return Ok(Answer::page(Vec::new(), None));
    }
    cm.database.read(|tx| {
        let mut statement = tx.prepare(
            "SELECT * FROM certificate
             WHERE realm = ?1 AND id > ?2
               AND (?3 IS NULL OR registration = ?3) AND (?4 IS NULL OR order_ref = ?4)
               AND (?5 IS NULL OR serial = ?5) AND (?6 IS NULL OR sha256 = ?6)
               AND (?7 IS NULL OR spki_sha256 = ?7) AND (?8 IS NULL OR profile = ?8)
               AND (?9 IS NULL OR issued_at > ?9) AND (?10 IS NULL OR not_after < ?10)
               AND (?11 IS NULL OR revoked_at > ?11)
               AND (?12 IS NULL OR EXISTS
                    (SELECT 1 FROM certificate_name WHERE name = ?12 AND certificate = certificate.id))
               AND (?13 IS NULL OR registration IN (SELECT id FROM registration WHERE parent = ?13))
             ORDER BY id",
        )?;
        let mut rows = statement.query(params![
            realm,
            after,
            call.query("registration"),
            call.query("orderRef"),
            call.query("serial"),
            call.query("sha256"),
            call.query("spkiSha256"),
            call.query("profile"),
            issued_after,
            not_after_before,
            revoked_after,
            identifier.map(|identifier| identifier.to_string()),
            call.query("parent")
        ])?;
        let mut found: Vec<Certificate> = Vec::new();
        while found.len() <= limit
            && let Some(row) = rows.next()?
        {
            let certificate = Certificate::from_row(row)?;
            let fits = call.query("status").is_none_or(|status| certificate.status(call.now) == status);
            if fits {
                found.push(certificate);
            }
        }
        let (found, next) = paging::cut(found, limit, call.now, |certificate| certificate.id.clone());
        let mut items = Vec::new();
        for certificate in found {
            items.push(certificate.view(cm, call.now)?);
        }
        Ok(Answer::page(items, next))
    })
}

/// `GET …/certificates/{certId}/renewal-info` (RFC 9773): the last third of the life, or at once
/// if the certificate is revoked.
pub(crate) fn get_renewal_info(cm: &ReferenceCm, call: &Call) -> Result<Answer, Problem> {
    call.only_query(&[])?;
    let (realm, _) = cm.realm(call)?;
    if cm.settings.lacks.contains(&Capability::RenewalInfo) {
        return Err(Problem::new(Code::CapabilityMissing, "this CM has no renewal information"));
    }
    cm.database.read(|tx| {
        let certificate = load(tx, realm, call)?;
        let life = certificate.not_after.seconds() - certificate.not_before.seconds();
        let (start, end) = match &certificate.revoked {
            Some(revoked) if !certificate.is_on_hold() => (revoked.at.plus_seconds(-86_400), revoked.at),
            Some(_) | None => {
                let start = certificate.not_after.plus_seconds(-life / 3);
                (start, start.plus_seconds((life / 24).max(1)))
            }
        };
        Ok(Answer::json(
            200,
            &json!({
                "suggestedWindow": {"start": start.whole_second(), "end": end.whole_second()},
                "explanationURL": null,
                "retryAfter": 21_600,
            }),
        )
        .with(http::header::RETRY_AFTER, "21600"))
    })
}

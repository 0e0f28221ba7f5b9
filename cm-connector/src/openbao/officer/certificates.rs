//! Certificates: searched, shown, revoked (CM contract sections 4.5 and 4.6). The reason is written down before OpenBao
//! revokes, as the gateway does it; what OpenBao revoked stays so.

use std::collections::BTreeSet;

use acme::{
    certificate::CertificateId,
    ids::{IdempotencyKey, RegistrationId},
    revocation::RevocationReason,
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        certificates::serial_in,
        client::Call as Question,
        clock::now,
        failure::Failure,
        layout::{Place, Serial},
        records::{self, Uses},
    },
    Answer, Call, listing, ok,
    problem::Problem,
    query::Query,
    subject::Origin,
};
use crate::{Certificate, CertificateStatus, transport::lane::Lane};

const CHAIN: &str = "application/pem-certificate-chain";
/// What a list can be narrowed by.
const KNOWN: [&str; 11] = [
    "registration",
    "parent",
    "orderRef",
    "serial",
    "sha256",
    "spkiSha256",
    "identifier",
    "status",
    "issuedAfter",
    "notAfterBefore",
    "profile",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verdict {
    reason: String,
    basis: Basis,
    certificate_sha256: String,
    #[serde(default)]
    block_key: bool,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default)]
    invalidity_date: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Basis {
    #[serde(rename = "type")]
    kind: String,
}

/// What a revocation is recorded with.
struct Why {
    key: IdempotencyKey,
    reason: RevocationReason,
}

impl Call<'_> {
    /// `GET …/certificates/{certId}`, as JSON or as the chain.
    pub(super) async fn certificate(&self, id: &str) -> Result<Answer, Problem> {
        let found = self.found(id).await?;
        if self.request.accept.starts_with(CHAIN) {
            let wanted = self.query().only(&["chain"])?.text("chain");
            let chain = found.chains.iter().find(|chain| wanted.map_or(chain.is_default, |name| name == chain.name));
            let chain = chain.ok_or_else(|| Problem::not_found("OpenBao has no other chain of it"))?;
            return Ok(Answer { status: 200, content_type: CHAIN, body: chain.pem.clone() });
        }
        let chains = found.chains.iter().map(|it| json!({"id": it.name, "default": it.is_default, "pem": it.pem}));
        let mut told = told(&found);
        if let Some(members) = told.as_object_mut() {
            let _none_before = members.insert(String::from("chains"), chains.collect());
        }
        Ok(ok(&told))
    }

    /// `GET …/certificates?…`, without chains.
    pub(super) async fn certificates(&self) -> Result<Answer, Problem> {
        let query = self.query().only(&KNOWN)?;
        self.desk.listings.page(query, self.search(query)).await
    }

    /// `POST …/certificates/{certId}/revoke`
    pub(super) async fn revoke(&self, id: &str) -> Result<Answer, Problem> {
        let verdict: Verdict = self.body()?;
        let key = self.request.idempotency_key.and_then(|key| IdempotencyKey::parse(key).ok());
        let key = key.ok_or_else(|| Problem::malformed("a revocation needs an Idempotency-Key"))?;
        let kept = [
            ("comment", verdict.comment.is_some()),
            ("invalidityDate", verdict.invalidity_date.is_some()),
            ("blockKey", verdict.block_key),
        ];
        if let Some((name, _)) = kept.iter().find(|(_, is_there)| *is_there) {
            return Err(Problem::missing(&format!("place for {name} with a revocation, leave it out")));
        }
        if verdict.basis.kind != "officer" {
            return Err(Problem::malformed("basis.type of an officer is officer"));
        }
        let reason = serde_json::from_value(json!(verdict.reason)).map_err(|_| {
            let detail = "OpenBao has no holds, and of the other reasons those that clients have";
            Problem::new(422, "revocation-reason-not-allowed", detail)
        })?;
        let found = self.found(id).await?;
        if verdict.certificate_sha256 != hex(&found.claims.sha256) {
            return Err(Problem::not_found("the certificate with this id is another one"));
        }
        let at = self.revoke_one(&found, &Why { key, reason }).await?;
        Ok(ok(&json!({
            "id": found.id, "status": "revoked",
            "revocation": {"at": at, "reason": verdict.reason, "basis": "officer", "effective": {"ocsp": at, "crl": at}},
        })))
    }

    /// Revokes what is left of a registration's certificates.
    pub(super) async fn revoke_all_of(&self, registration: &RegistrationId) -> Result<(), Problem> {
        let parameters = [("registration", registration.to_string()), ("status", String::from("good"))];
        for one in self.search(Query::of(&parameters)).await? {
            let found = self.found(one.get("id").and_then(Value::as_str).unwrap_or_default()).await?;
            let key = IdempotencyKey::from_random(rand::random());
            let _at = self.revoke_one(&found, &Why { key, reason: RevocationReason::CessationOfOperation }).await?;
        }
        Ok(())
    }

    async fn revoke_one(&self, found: &Certificate, why: &Why) -> Result<Timestamp, Problem> {
        let (bao, realm) = (&self.desk.bao, &self.realm);
        let none = || Problem::not_found("there is no such certificate");
        let serial = serial_in(&found.id).ok_or_else(none)?;
        let place = Place::Certificate(&serial);
        let record = bao.record::<records::Certificate>(realm, place).await?.ok_or_else(none)?;
        let is_ours = record.value.revocation.as_ref().is_some_and(|known| known.request == why.key);
        match &found.revocation {
            Some(revoked) if is_ours => return Ok(revoked.at),
            Some(_) => return Err(Problem::new(409, "already-revoked", "it is revoked already")),
            None if found.not_after < now() => {
                return Err(Problem::new(409, "certificate-expired", "the certificate has expired"));
            }
            None => {}
        }
        if !is_ours {
            let (request, reason, basis) = (why.key.clone(), why.reason, String::from("officer"));
            let revocation = Some(records::Revocation { request, reason, basis });
            let written = records::Certificate { revocation, ..record.value };
            if !bao.update(realm, place, &written, record.version).await? {
                return Err(Problem::stale());
            }
        }
        let question = json!({"serial_number": serial.colons()});
        let path = bao.mounts(realm).pki("revoke");
        let answer = bao.client.send(&Question::write("POST pki/revoke", path, question).by(Lane::Revocation)).await?;
        let at = answer.pointer("/data/revocation_time").and_then(Value::as_i64).filter(|at| *at > 0);
        let broken = || Failure::Broken(String::from("OpenBao's answer does not confirm the revocation"));
        Ok(Timestamp::from_unix_secs(at.ok_or_else(broken)?))
    }

    async fn found(&self, id: &str) -> Result<Certificate, Problem> {
        let none = || Problem::not_found("there is no such certificate in this realm");
        let id = CertificateId::parse(id).map_err(|_| none())?;
        let serial = serial_in(&id).ok_or_else(none)?;
        let found = self.desk.bao.certificate_with(&self.realm, serial.colons()).await?;
        found.filter(|found| found.id == id).ok_or_else(none)
    }

    /// The certificates that fit, oldest first. What the records tell is looked at before the certificates are read.
    async fn search(&self, query: Query<'_>) -> Result<Vec<Value>, Problem> {
        let whose = self.whose(query).await?;
        let (issued_after, not_after_before) = (query.time("issuedAfter")?, query.time("notAfterBefore")?);
        let (bao, realm) = (&self.desk.bao, &self.realm);
        let names = listing::names(bao, bao.mounts(realm).records("cert")).await?;
        let wanted = query.text("serial").map(str::to_owned);
        let serials = names.iter().filter_map(|name| Serial::parse(&name.replace('-', ":")));
        let serials = serials.filter(|serial| wanted.as_ref().is_none_or(|wanted| serial.plain() == *wanted));
        let (order, profile) = (query.text("orderRef").map(str::to_owned), query.text("profile").map(str::to_owned));
        let jobs = serials.map(|serial| {
            let (bao, realm) = (bao.clone(), realm.clone());
            let (whose, order, profile) = (whose.clone(), order.clone(), profile.clone());
            async move {
                let Some(record) = bao.record::<records::Certificate>(&realm, Place::Certificate(&serial)).await?
                else {
                    return Ok(None);
                };
                let fits = whose.as_ref().is_none_or(|ids| ids.contains(&record.value.registration))
                    && order.as_ref().is_none_or(|order| record.value.order_ref.as_str() == order)
                    && profile.as_ref().is_none_or(|profile| record.value.profile.as_str() == profile);
                if fits { bao.certificate_with(&realm, serial.colons()).await } else { Ok(None) }
            }
        });
        let mut found: Vec<Certificate> = listing::each(jobs).await?.into_iter().flatten().collect();
        found.retain(|one| {
            query.text("status").is_none_or(|status| word(one.status) == status)
                && query.text("sha256").is_none_or(|sha256| hex(&one.claims.sha256) == sha256)
                && query.text("spkiSha256").is_none_or(|sha256| hex(&one.spki_sha256) == sha256)
                && query.text("identifier").is_none_or(|name| one.identifiers.iter().any(|own| own.to_string() == name))
                && issued_after.is_none_or(|time| one.not_before > time)
                && not_after_before.is_none_or(|time| one.not_after < time)
        });
        found.sort_by(|one, other| (one.not_before, &one.claims.serial).cmp(&(other.not_before, &other.claims.serial)));
        Ok(found.iter().map(told).collect())
    }

    /// The registrations whose certificates are asked for; `None` for all.
    async fn whose(&self, query: Query<'_>) -> Result<Option<BTreeSet<RegistrationId>>, Problem> {
        let own = query.text("registration").map(RegistrationId::parse).transpose();
        let own = own.map_err(|_| Problem::malformed("registration is no id"))?;
        let Some(parent) = query.text("parent") else { return Ok(own.map(|id| BTreeSet::from([id]))) };
        let subject = self.subject(parent).await?;
        let Origin::Own(kid, pre) = &subject.origin else { return Ok(Some(BTreeSet::new())) };
        if pre.value.uses == Uses::Once {
            return Ok(Some(BTreeSet::new()));
        }
        let mut children = BTreeSet::new();
        for number in self.desk.bao.bindings(&self.realm, kid).await? {
            let place = Place::Binding(kid, number);
            let binding = self.desk.bao.record::<records::Binding>(&self.realm, place).await?;
            children.extend(binding.map(|binding| binding.value.registration));
        }
        children.retain(|child| own.as_ref().is_none_or(|own| own == child));
        Ok(Some(children))
    }
}

/// In the contract's words, without chains.
pub(super) fn told(certificate: &Certificate) -> Value {
    let revocation = certificate.revocation.as_ref().map(|it| json!({"at": it.at, "reason": it.reason}));
    let names = certificate.identifiers.iter().map(|name| json!({"type": name.kind(), "value": name.to_string()}));
    json!({
        "id": certificate.id, "status": word(certificate.status), "serial": certificate.claims.serial,
        "issuer": certificate.issuer, "sha256": hex(&certificate.claims.sha256),
        "spkiSha256": hex(&certificate.spki_sha256), "notBefore": certificate.not_before,
        "notAfter": certificate.not_after, "identifiers": names.collect::<Vec<_>>(),
        "registration": certificate.registration, "profile": certificate.profile, "orderRef": certificate.order_ref,
        "revocation": revocation,
    })
}

const fn word(status: CertificateStatus) -> &'static str {
    match status {
        CertificateStatus::Good => "good",
        CertificateStatus::Revoked => "revoked",
        CertificateStatus::Hold => "hold",
        CertificateStatus::Expired => "expired",
    }
}

fn hex(octets: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(octets)
}

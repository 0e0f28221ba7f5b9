//! Certificate requests, to be looked at (CM contract section 4.4). None of them ever waits for a person.

use acme::ids::{IdempotencyKey, OrderId};
use serde_json::{Value, json};

use super::{
    super::{
        layout::Place,
        records::{Order, Request, State},
        store::Stored,
    },
    Answer, Call, certificates, listing, ok,
    problem::Problem,
};

impl Call<'_> {
    /// `GET …/certificate-requests/{id}`
    pub(super) async fn request(&self, id: &str) -> Result<Answer, Problem> {
        let none = || Problem::not_found("there is no such certificate request");
        let key = IdempotencyKey::parse(id).map_err(|_| none())?;
        let found = self.desk.bao.record::<Request>(&self.realm, Place::Request(&key)).await?.ok_or_else(none)?;
        Ok(ok(&self.told_of(&key, found).await?))
    }

    /// `GET …/certificate-requests`, by order or by status.
    pub(super) async fn requests(&self) -> Result<Answer, Problem> {
        let query = self.query().only(&["orderRef", "status"])?;
        let read = async {
            let found = match query.text("orderRef") {
                Some(order) => self.of_order(order).await?,
                // Nothing waits for an approver, and nothing runs out of her time.
                None if matches!(query.text("status"), Some("pending-approval" | "rejected" | "expired")) => Vec::new(),
                None => self.all().await?,
            };
            let status = query.text("status");
            let fitting = found.into_iter().filter(|(_, it)| status.is_none_or(|word| word_of(it.value.state) == word));
            let mut told = Vec::new();
            for (key, record) in fitting {
                told.push(self.told_of(&key, record).await?);
            }
            Ok(told)
        };
        self.desk.listings.page(query, read).await
    }

    async fn of_order(&self, order: &str) -> Result<Vec<(IdempotencyKey, Stored<Request>)>, Problem> {
        let Ok(order) = OrderId::parse(order) else { return Ok(Vec::new()) };
        let bao = &self.desk.bao;
        let Some(order) = bao.record::<Order>(&self.realm, Place::Order(&order)).await? else { return Ok(Vec::new()) };
        let key = order.value.request;
        let found = bao.record::<Request>(&self.realm, Place::Request(&key)).await?;
        Ok(found.map(|found| (key, found)).into_iter().collect())
    }

    async fn all(&self) -> Result<Vec<(IdempotencyKey, Stored<Request>)>, Problem> {
        let (bao, realm) = (&self.desk.bao, &self.realm);
        let names = listing::names(bao, bao.mounts(realm).records("req")).await?;
        let jobs = names.iter().filter_map(|name| IdempotencyKey::parse(name).ok()).map(|key| {
            let (bao, realm) = (bao.clone(), realm.clone());
            async move {
                let found = bao.record::<Request>(&realm, Place::Request(&key)).await?;
                Ok(found.map(|found| (key, found)))
            }
        });
        let mut found: Vec<_> = listing::each(jobs).await?.into_iter().flatten().collect();
        found.sort_by(|one, other| (one.1.written_at, one.0.as_str()).cmp(&(other.1.written_at, other.0.as_str())));
        Ok(found)
    }

    async fn told_of(&self, key: &IdempotencyKey, record: Stored<Request>) -> Result<Value, Problem> {
        let Stored { value: request, written_at, .. } = record;
        let certificate = match &request.serial {
            Some(serial) => self.desk.bao.certificate_with(&self.realm, serial).await?,
            None => None,
        };
        let is_final = !matches!(request.state, State::Intent);
        Ok(json!({
            "id": key, "status": word_of(request.state), "registration": request.registration,
            "orderRef": request.order_ref, "profile": request.profile, "receivedAt": written_at,
            "finishedAt": is_final.then_some(written_at), "csrSha256": request.csr_sha256,
            "spkiSha256": request.spki_sha256, "replaces": request.replaces, "problem": null,
            "identifiers": request.dns_names.iter().map(|name| json!({"type": "dns", "value": name})).collect::<Vec<_>>(),
            "certificate": certificate.as_ref().map(certificates::told),
        }))
    }
}

const fn word_of(state: State) -> &'static str {
    match state {
        State::Intent => "processing",
        State::Issued => "issued",
        State::Refused => "failed",
        State::Cancelled => "cancelled",
    }
}

//! Registrations as officers see them, put together from the records of officer and client (CM contract section 4.3).
//!
//! One that was pre-registered is governed by its own record, `prereg/`; an account that came from a key for many, or
//! that was made in open mode, by `hold/`. Its version is that of the record that officers change, so what a client
//! changes meanwhile is in nobody's way.

use std::collections::{BTreeMap, BTreeSet};

use acme::{identifier::Identifier, ids::RegistrationId, time::Timestamp};
use serde_json::{Value, json};

use super::{
    super::{
        OpenBaoCertificateManager,
        clock::now,
        failure::Failure,
        layout::{Kid, Place},
        records::{Account, Hold, PreRegistration, PreviousKey, Realm, Uses},
        registration::strictest,
        store::Stored,
    },
    Answer, Call, listing, ok,
    problem::Problem,
};
use crate::rest::door;

/// A registration and the records that are about it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) id: RegistrationId,
    pub(super) origin: Origin,
    pub(super) hold: Option<Stored<Hold>>,
    account: Option<Stored<Account>>,
    /// How often its key was used, those uses among them that an officer has ended.
    uses: usize,
}

/// Where a registration came from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// An officer made it.
    Own(Kid, Box<Stored<PreRegistration>>),
    /// It is an account of a key that binds many.
    Child(Box<PreRegistration>),
    /// The key that it came by has no record any more.
    Lost,
    /// A client made it.
    Open,
}

impl Subject {
    /// What a change has to name: the version of the record that is changed, 0 if there is none yet.
    pub(super) fn version(&self) -> u64 {
        match &self.origin {
            Origin::Own(_, pre) => pre.version,
            Origin::Child(_) | Origin::Lost | Origin::Open => self.hold.as_ref().map_or(0, |hold| hold.version),
        }
    }

    pub(super) fn must_match(&self, version: u64) -> Result<(), Problem> {
        if self.version() == version { Ok(()) } else { Err(Problem::stale()) }
    }

    /// The officer's word alone.
    pub(super) fn officers_word(&self) -> &str {
        let own = match &self.origin {
            Origin::Own(_, pre) => Some(pre.value.status.as_str()),
            Origin::Lost => Some("suspended"),
            Origin::Child(_) | Origin::Open => None,
        };
        strictest(&[own, self.hold.as_ref().map(|hold| hold.value.status.as_str()), Some("active")])
    }

    pub(super) fn status(&self) -> &str {
        let word = match (&self.account, self.officers_word()) {
            (Some(account), word) => strictest(&[Some(account.value.status.as_str()), Some(word)]),
            (None, word) => word,
        };
        if word == "active" && self.account().is_none() { "pending" } else { word }
    }

    /// The account, if it has a key: not after a rebinding, until the next client is bound.
    pub(super) fn account(&self) -> Option<&Stored<Account>> {
        self.account.as_ref().filter(|account| !self.is_withdrawn(&account.value))
    }

    /// How many clients are bound or about to be.
    pub(super) fn bindings(&self) -> usize {
        let ended = match &self.origin {
            Origin::Own(_, pre) => usize::try_from(pre.value.uses_ended).unwrap_or(usize::MAX),
            Origin::Child(_) | Origin::Lost | Origin::Open => 0,
        };
        self.uses.saturating_sub(ended)
    }

    fn is_withdrawn(&self, account: &Account) -> bool {
        matches!(&self.origin, Origin::Own(_, pre) if account.is_withdrawn(&pre.value))
    }

    /// The keys that were replaced or taken away, the oldest first.
    fn previous_keys(&self) -> Vec<PreviousKey> {
        let Some(Stored { value: account, .. }) = &self.account else { return Vec::new() };
        let mut keys = account.previous_keys.clone();
        if let Origin::Own(_, pre) = &self.origin
            && account.is_withdrawn(&pre.value)
        {
            let until = pre.value.secret_set_at.unwrap_or(pre.written_at);
            keys.push(PreviousKey { thumbprint: account.thumbprint, until });
        }
        keys
    }

    /// The list of its own, whatever its parent and the realm allow.
    pub(super) fn list(&self) -> Value {
        let narrowed = self.hold.as_ref().and_then(|hold| hold.value.allowed_identifiers.clone());
        match &self.origin {
            Origin::Own(_, pre) => pre.value.allowed_identifiers.clone(),
            Origin::Child(_) | Origin::Lost | Origin::Open => narrowed.unwrap_or_else(|| json!({"mode": "any"})),
        }
    }

    fn created_at(&self) -> Timestamp {
        let account = self.account.as_ref().map(|account| account.value.created_at);
        match &self.origin {
            Origin::Own(_, pre) => pre.value.created_at.unwrap_or(pre.written_at),
            Origin::Child(_) | Origin::Lost | Origin::Open => account.unwrap_or_else(|| Timestamp::from_unix_secs(0)),
        }
    }

    pub(super) fn parent(&self) -> Option<&RegistrationId> {
        match &self.origin {
            Origin::Child(pre) => Some(&pre.registration),
            Origin::Own(..) | Origin::Lost | Origin::Open => None,
        }
    }

    fn came_by(&self, kid: &str) -> bool {
        matches!(&self.origin, Origin::Own(own, _) if own.as_str() == kid)
    }

    /// In the contract's words.
    pub(super) fn json(&self, call: &Call<'_>, settings: &Realm) -> Value {
        let pre = match &self.origin {
            Origin::Own(_, pre) => Some(&pre.value),
            Origin::Child(pre) => Some(pre.as_ref()),
            Origin::Lost | Origin::Open => None,
        };
        let (own, hold) = (pre.filter(|_| self.parent().is_none()), self.hold.as_ref().map(|hold| &hold.value));
        let account = self.account.as_ref();
        let profiles = pre.map_or(&settings.open_profiles, |pre| &pre.allowed_profiles);
        let key = self.account().map(
            |Stored { value, .. }| json!({"jwk": value.jwk, "thumbprint": value.thumbprint, "since": value.key_since}),
        );
        let updated_at = [
            account.map(|it| it.written_at),
            self.hold.as_ref().map(|it| it.written_at),
            match &self.origin {
                Origin::Own(_, pre) => Some(pre.written_at),
                Origin::Child(_) | Origin::Lost | Origin::Open => None,
            },
        ];
        json!({
            "id": self.id, "version": self.version(), "realm": call.realm, "status": self.status(),
            "mode": if pre.is_some() { "preregistered" } else { "open" },
            "createdAt": self.created_at(), "updatedAt": updated_at.into_iter().flatten().max(),
            "key": key, "previousKeys": self.previous_keys(),
            "contacts": account.map(|it| it.value.contacts.clone()).unwrap_or_default(),
            "termsOfServiceAgreedAt": account.and_then(|it| it.value.terms_of_service_agreed_at),
            "eab": self.eab(), "directoryLink": null, "parent": self.parent(),
            "allowedIdentifiers": self.list(), "allowedProfiles": profiles,
            "maxValidity": pre.and_then(|pre| pre.validity_max_secs).map(span),
            "owner": own.and_then(|pre| pre.owner.clone()), "comment": own.and_then(|pre| pre.comment.clone()),
            "officer": own.and_then(|pre| pre.officer.clone()),
            "statusReason": own.map_or_else(|| hold.and_then(|it| it.reason.clone()), |pre| pre.status_reason.clone()),
            "statusBy": own.map_or_else(|| hold.and_then(|it| it.officer.clone()), |pre| pre.status_by.clone()),
            "statusAt": own.map_or_else(|| hold.and_then(|it| it.at), |pre| pre.status_at),
        })
    }

    fn eab(&self) -> Option<Value> {
        let Origin::Own(kid, pre) = &self.origin else { return None };
        let pre = &pre.value;
        Some(json!({
            "kid": kid.as_str(), "algorithms": ["HS256"], "use": pre.uses, "maxBindings": pre.max_bindings,
            "bindings": self.bindings(), "notBefore": pre.not_before, "notAfter": pre.not_after,
            "secretSetAt": pre.secret_set_at, "previousUntil": pre.previous_until.filter(|until| *until > now()),
        }))
    }
}

/// A span in the contract's words.
fn span(secs: u64) -> String {
    const DAY_SECS: u64 = 86_400;
    if secs.is_multiple_of(DAY_SECS) { format!("P{}D", secs / DAY_SECS) } else { format!("PT{secs}S") }
}

impl Call<'_> {
    /// `GET …/registrations/{id}`
    pub(super) async fn registration(&self, id: &str) -> Result<Answer, Problem> {
        let subject = self.subject(id).await?;
        self.told(&subject).await
    }

    pub(super) async fn told(&self, subject: &Subject) -> Result<Answer, Problem> {
        Ok(ok(&subject.json(self, &self.desk.bao.realm(&self.realm).await?)))
    }

    /// `GET …/registrations`: looked up by the id of a key, or searched.
    pub(super) async fn registrations(&self) -> Result<Answer, Problem> {
        let query = self.query().only(&["status", "owner", "identifier", "eabKid", "parent"])?;
        let read = async {
            let settings = self.desk.bao.realm(&self.realm).await?;
            let name = query.text("identifier").map(name).transpose()?;
            let fits = |subject: &Subject| {
                let allowed = || door::allowed_identifiers(subject.list());
                query.text("status").is_none_or(|status| subject.status() == status)
                    && query.text("parent").is_none_or(|id| subject.parent().is_some_and(|own| own.as_str() == id))
                    && query.text("eabKid").is_none_or(|kid| subject.came_by(kid))
                    && name.as_ref().is_none_or(|name| (self.desk.allows)(name, &allowed()))
            };
            let mut found = match query.text("eabKid") {
                Some(kid) => self.by_kid(kid).await?.into_iter().collect(),
                None => self.subjects().await?,
            };
            found.retain(fits);
            found.sort_by(|one, other| (one.created_at(), &one.id).cmp(&(other.created_at(), &other.id)));
            let told = found.iter().map(|subject| subject.json(self, &settings));
            let is_owned = |json: &Value| {
                query.text("owner").is_none_or(|owner| json.get("owner").is_some_and(|own| own == owner))
            };
            Ok(told.filter(is_owned).collect())
        };
        self.desk.listings.page(query, read).await
    }

    pub(super) async fn subject(&self, id: &str) -> Result<Subject, Problem> {
        let none = || Problem::not_found(format!("there is no registration {}", acme::problem::shown(id)));
        let id = RegistrationId::parse(id).map_err(|_| none())?;
        let bao = &self.desk.bao;
        let Some(account) = bao.record::<Account>(&self.realm, Place::Account(&id)).await? else {
            // Those that this program made are called by their kid.
            let by_name = match id.as_str().strip_prefix("reg_") {
                Some(kid) => self.by_kid(kid).await?.filter(|subject| subject.id == id),
                None => None,
            };
            return match by_name {
                Some(subject) => Ok(subject),
                None => self.subjects().await?.into_iter().find(|subject| subject.id == id).ok_or_else(none),
            };
        };
        match account.value.kid.as_deref() {
            None => self.with_hold(id, Origin::Open, Some(account), 0).await,
            Some(kid) => match self.by_kid(kid).await? {
                Some(own) if own.id == id => Ok(own),
                Some(Subject { origin: Origin::Own(_, pre), .. }) => {
                    self.with_hold(id, Origin::Child(Box::new(pre.value)), Some(account), 0).await
                }
                Some(_) | None => self.with_hold(id, Origin::Lost, Some(account), 0).await,
            },
        }
    }

    /// The one that an officer made for this key.
    pub(super) async fn by_kid(&self, kid: &str) -> Result<Option<Subject>, Problem> {
        let Some(kid) = Kid::parse(kid) else { return Ok(None) };
        let bao = &self.desk.bao;
        let place = Place::PreRegistration(&kid);
        let Some(pre) = bao.record::<PreRegistration>(&self.realm, place).await? else { return Ok(None) };
        let id = pre.value.registration.clone();
        let account = bao.record::<Account>(&self.realm, Place::Account(&id)).await?;
        let uses = bao.bindings(&self.realm, &kid).await?.len();
        self.with_hold(id, Origin::Own(kid, Box::new(pre)), account, uses).await.map(Some)
    }

    async fn with_hold(
        &self,
        id: RegistrationId,
        origin: Origin,
        account: Option<Stored<Account>>,
        uses: usize,
    ) -> Result<Subject, Problem> {
        let hold = self.desk.bao.record::<Hold>(&self.realm, Place::Hold(&id)).await?;
        Ok(Subject { id, origin, hold, account, uses })
    }

    /// All registrations, in no order.
    pub(super) async fn subjects(&self) -> Result<Vec<Subject>, Problem> {
        let (bao, realm, mounts) = (&self.desk.bao, &self.realm, self.desk.bao.mounts(&self.realm));
        let kids = listing::names(bao, mounts.records("prereg")).await?;
        let accounts = listing::names(bao, mounts.records("acct")).await?;
        let held: BTreeSet<String> = listing::names(bao, mounts.records("hold")).await?.into_iter().collect();
        let owned = |bao: &OpenBaoCertificateManager| (bao.clone(), realm.clone());
        let pre_registrations = kids.iter().filter_map(|kid| Kid::parse(kid)).map(|kid| {
            let (bao, realm) = owned(bao);
            async move {
                let pre = bao.record::<PreRegistration>(&realm, Place::PreRegistration(&kid)).await?;
                let uses = bao.bindings(&realm, &kid).await?.len();
                Ok::<_, Failure>(pre.map(|pre| (kid, pre, uses)))
            }
        });
        let pre_registrations: Vec<_> = listing::each(pre_registrations).await?.into_iter().flatten().collect();
        let accounts = accounts.iter().filter_map(|id| RegistrationId::parse(id).ok()).map(|id| {
            let (bao, realm) = owned(bao);
            async move {
                let account = bao.record::<Account>(&realm, Place::Account(&id)).await?;
                Ok::<_, Failure>(account.map(|account| (id, account)))
            }
        });
        let mut accounts: BTreeMap<_, _> = listing::each(accounts).await?.into_iter().flatten().collect();
        let holds = held.iter().filter_map(|id| RegistrationId::parse(id).ok()).map(|id| {
            let (bao, realm) = owned(bao);
            async move {
                let hold = bao.record::<Hold>(&realm, Place::Hold(&id)).await?;
                Ok::<_, Failure>(hold.map(|hold| (id, hold)))
            }
        });
        let mut holds: BTreeMap<_, _> = listing::each(holds).await?.into_iter().flatten().collect();
        let templates: BTreeMap<_, _> =
            pre_registrations.iter().map(|(kid, pre, _)| (kid.as_str().to_owned(), pre.value.clone())).collect();
        let mut found = Vec::new();
        for (kid, pre, uses) in pre_registrations {
            let id = pre.value.registration.clone();
            let (account, hold) = (accounts.remove(&id), holds.remove(&id));
            found.push(Subject { id, origin: Origin::Own(kid, Box::new(pre)), hold, account, uses });
        }
        for (id, account) in accounts {
            let origin = match account.value.kid.as_deref().map(|kid| templates.get(kid)) {
                None => Origin::Open,
                Some(Some(pre)) if pre.uses == Uses::Multi => Origin::Child(Box::new(pre.clone())),
                Some(_) => Origin::Lost,
            };
            let hold = holds.remove(&id);
            found.push(Subject { id, origin, hold, account: Some(account), uses: 0 });
        }
        Ok(found)
    }
}

/// A name that is searched for.
fn name(text: &str) -> Result<Identifier, Problem> {
    let kind = if text.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "dns" };
    Identifier::parse(kind, text).map_err(|_| Problem::malformed("identifier is neither a name nor an address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_days_if_it_is_some() {
        assert_eq!((span(7_776_000).as_str(), span(3600).as_str()), ("P90D", "PT3600S"));
    }
}

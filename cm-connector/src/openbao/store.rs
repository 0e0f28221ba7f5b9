//! Records in KV, version 2: read, created once, changed by check-and-set. Who reads what is somebody else's to
//! decide; here a record is a type at a place.
//!
//! Nothing ties two records together but the order in which they are written:
//!
//! | record | written | who dies after it | two at once |
//! | --- | --- | --- | --- |
//! | `bind/` | first of a binding, once | the same key goes on; for any other an officer draws a new secret, which ends the use | one wins, the other takes the next number or finds it used up |
//! | `key/` | second of a binding, first of a key change, once | the same request goes on, and nobody else can have the key | what is there counts |
//! | `acct/` | last of both, by version | – | the later one reads and decides again |
//! | `prereg/`, `hold/` | by officers, by version, after a new secret is drawn | the secret binds nobody | one is told that it is stale |
//! | `order/` | first of an issuance, by version | another request of the order withdraws this one's | one has the order |
//! | `req/` | before a sign and after it, by version | the certificate is searched by its key; without one, the sign's time is waited for | one signs |
//! | `cert/` of what is replaced | before a sign, by version | another order asks what became of this one's request | one replaces |
//! | `cert/`, `digest/` | after a sign, once | written again by whoever asks | what is there counts: another order's is looked past |
//! | `cert/` | before a revocation, by version | a reason that revokes nothing; whoever asks next writes his own | OpenBao revokes once |

use acme::{ids::RealmName, time::Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    OpenBaoCertificateManager,
    client::Call,
    failure::Failure,
    layout::{Kid, Mounts, Place},
};
use crate::transport::lane::Lane;

/// A record as it stands.
#[derive(Debug, Clone)]
pub(super) struct Stored<T> {
    pub(super) value: T,
    /// What a change has to name.
    pub(super) version: u64,
    /// By OpenBao's clock.
    pub(super) written_at: Timestamp,
}

#[derive(Deserialize)]
struct Answer {
    data: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    data: Value,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    created_time: Timestamp,
}

#[derive(Deserialize)]
struct Listed {
    data: Keys,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<String>,
}

impl OpenBaoCertificateManager {
    pub(super) fn mounts(&self, realm: &RealmName) -> Mounts {
        Mounts::of(&self.settings.mount, realm)
    }

    /// The record at a place; `None` if there is none.
    pub(super) async fn record<T: DeserializeOwned>(
        &self,
        realm: &RealmName,
        place: Place<'_>,
    ) -> Result<Option<Stored<T>>, Failure> {
        let call = Call::read(reading(place), self.mounts(realm).record(place)).by(lane(place));
        let Some(answer) = self.client.find(&call).await? else { return Ok(None) };
        let read = || {
            let Versioned { data, metadata } = serde_json::from_value::<Answer>(answer)?.data;
            let value = serde_json::from_value(data)?;
            Ok(Stored { value, version: metadata.version, written_at: metadata.created_time })
        };
        let read: Result<_, serde_json::Error> = read();
        read.map(Some).map_err(|error| Failure::Broken(format!("the record {place} of realm {realm}: {error}")))
    }

    /// Creates a record; false if there is one already, which may be ours from an attempt before.
    pub(super) async fn create<T: Serialize + Sync>(
        &self,
        realm: &RealmName,
        place: Place<'_>,
        value: &T,
    ) -> Result<bool, Failure> {
        match self.put(realm, place, value, 0).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_stale() => Ok(false),
            Err(failure) if failure.is_denied() => {
                // It exists, or the policy lacks it: only the first can be gone on with.
                let there: Option<Stored<Value>> = self.record(realm, place).await?;
                if there.is_some() { Ok(false) } else { Err(failure) }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Changes a record that has this version; false if it has another by now, which may be ours.
    pub(super) async fn update<T: Serialize + Sync>(
        &self,
        realm: &RealmName,
        place: Place<'_>,
        value: &T,
        version: u64,
    ) -> Result<bool, Failure> {
        match self.put(realm, place, value, version).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_stale() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The numbers of the uses of a pre-registration.
    pub(super) async fn bindings(&self, realm: &RealmName, kid: &Kid) -> Result<Vec<u32>, Failure> {
        let call = Call::read("GET cm/metadata/bind/{kid}?list=", self.mounts(realm).bindings(kid));
        let Some(answer) = self.client.find(&call).await? else { return Ok(Vec::new()) };
        let listed: Listed =
            serde_json::from_value(answer).map_err(|error| Failure::Broken(format!("a list of bindings: {error}")))?;
        Ok(listed.data.keys.iter().filter_map(|key| key.parse().ok()).collect())
    }

    async fn put<T: Serialize + Sync>(
        &self,
        realm: &RealmName,
        place: Place<'_>,
        value: &T,
        version: u64,
    ) -> Result<(), Failure> {
        let data = serde_json::to_value(value).map_err(|error| Failure::Broken(error.to_string()))?;
        let body = json!({"options": {"cas": version}, "data": data});
        let call = Call::write(writing(place), self.mounts(realm).record(place), body).by(lane(place));
        self.client.send(&call).await.map(drop)
    }
}

/// An issuance storm must not keep accounts from being read, nor either of them revocations.
const fn lane(place: Place<'_>) -> Lane {
    match place {
        Place::Request(_) | Place::Order(_) | Place::Certificate(_) | Place::Digest(_) => Lane::Issuance,
        Place::Realm
        | Place::PreRegistration(_)
        | Place::Hold(_)
        | Place::Account(_)
        | Place::Key(_)
        | Place::Binding(..) => Lane::Rest,
    }
}

const fn reading(place: Place<'_>) -> &'static str {
    match place {
        Place::Realm => "GET cm/data/realm",
        Place::PreRegistration(_) => "GET cm/data/prereg/{kid}",
        Place::Hold(_) => "GET cm/data/hold/{registration}",
        Place::Account(_) => "GET cm/data/acct/{registration}",
        Place::Key(_) => "GET cm/data/key/{thumbprint}",
        Place::Binding(..) => "GET cm/data/bind/{kid}/{number}",
        Place::Request(_) => "GET cm/data/req/{key}",
        Place::Order(_) => "GET cm/data/order/{order}",
        Place::Certificate(_) => "GET cm/data/cert/{serial}",
        Place::Digest(_) => "GET cm/data/digest/{sha256}",
    }
}

const fn writing(place: Place<'_>) -> &'static str {
    match place {
        Place::Realm => "POST cm/data/realm",
        Place::PreRegistration(_) => "POST cm/data/prereg/{kid}",
        Place::Hold(_) => "POST cm/data/hold/{registration}",
        Place::Account(_) => "POST cm/data/acct/{registration}",
        Place::Key(_) => "POST cm/data/key/{thumbprint}",
        Place::Binding(..) => "POST cm/data/bind/{kid}/{number}",
        Place::Request(_) => "POST cm/data/req/{key}",
        Place::Order(_) => "POST cm/data/order/{order}",
        Place::Certificate(_) => "POST cm/data/cert/{serial}",
        Place::Digest(_) => "POST cm/data/digest/{sha256}",
    }
}

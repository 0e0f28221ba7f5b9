//! Authentication of a POST: from octets on the wire to a payload that somebody signed, in one
//! fixed order (RFC 8555 §6.2 to §6.5).
//!
//! A handler that takes [`AccountSigned`] cannot run on anything unproven. The order is: size,
//! media type, shape and algorithm, the nonce, the key, the signature, the URL, the account, the
//! payload. The nonce comes first of all that costs something: what a nonce was sent with is spent
//! with it, and a flood of made-up requests is refused at the price of opening a nonce.

use std::{future::Future, pin::Pin, sync::Arc};

use acme::{
    account_key::PublicKey,
    ids::RegistrationId,
    problem::{Problem, ProblemKind},
    registration::Registration,
    waiver::KeyDigest,
    wire,
};
use actix_web::{
    FromRequest, HttpMessage, HttpRequest, dev,
    http::header,
    web::{self, BytesMut},
};
use cm_connector::{Client, Proof};
use serde::de::DeserializeOwned;

use super::{admission::purpose, load::Load, problem::HttpError, trace::Noted};
use crate::{
    app::{App, Endpoint},
    clock,
    http::connection::{BodyError, read_body},
    jws::{
        self,
        key_change::KeyChange,
        parse::{Jws, Signer},
        verify::VerifyingKey,
    },
    limits::Purpose,
    ra,
};

/// A request that an account signed.
pub(crate) struct AccountSigned<P> {
    pub(crate) app: Arc<App>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// The account's registration; its account may be used.
    pub(crate) registration: Arc<Registration>,
    pub(crate) key: PublicKey,
    pub(crate) payload: P,
    pub(crate) client: Client,
    /// The key that the client proved to hold in the handshake of the connection.
    pub(crate) client_certificate: Option<KeyDigest>,
    pub(crate) proof: Proof,
    /// The URL it was sent to: what the JWS inside a key change must name as well.
    pub(crate) url: String,
}

/// A request that was signed by the key it carries.
pub(crate) struct SelfSigned<P> {
    pub(crate) app: Arc<App>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) key: PublicKey,
    pub(crate) payload: P,
    pub(crate) client: Client,
    pub(crate) proof: Proof,
    /// The URL it was sent to: what an external account binding must name as well.
    pub(crate) url: String,
}

/// A revocation request: signed by an account or by the certificate's own key (RFC 8555 §7.6).
pub(crate) enum RevocationSigned {
    ByAccount(AccountSigned<wire::revocation::Revocation>),
    ByKey(SelfSigned<wire::revocation::Revocation>),
}

/// What a resource takes as its payload.
pub(crate) trait Payload: Sized {
    /// Reads the decoded payload; an empty one means POST-as-GET.
    fn read(payload: &[u8]) -> Result<Self, HttpError>;
}

/// POST-as-GET: the payload is empty, and `{}` is not (RFC 8555 §6.3).
pub(crate) struct Nothing;

/// An update, or POST-as-GET.
pub(crate) enum JsonOrNothing<T> {
    Json(T),
    Nothing,
}

impl Payload for Nothing {
    fn read(payload: &[u8]) -> Result<Self, HttpError> {
        if payload.is_empty() {
            Ok(Self)
        } else {
            Err(HttpError::malformed(
                "this resource is read by POST-as-GET: the payload must be empty (RFC 8555 section 6.3)",
            ))
        }
    }
}

impl<T: DeserializeOwned> Payload for JsonOrNothing<T> {
    fn read(payload: &[u8]) -> Result<Self, HttpError> {
        if payload.is_empty() { Ok(Self::Nothing) } else { json(payload).map(Self::Json) }
    }
}

impl Payload for KeyChange {
    fn read(payload: &[u8]) -> Result<Self, HttpError> {
        Ok(Self::parse(payload).map_err(|error| Problem::from(&error))?)
    }
}

/// Payloads that are a JSON object and never empty.
trait Json: DeserializeOwned {}

impl Json for wire::account::NewAccount {}
impl Json for wire::order::NewOrder {}
impl Json for wire::authorization::NewAuthorization {}
impl Json for wire::order::Finalize {}
impl Json for wire::revocation::Revocation {}

impl<T: Json> Payload for T {
    fn read(payload: &[u8]) -> Result<Self, HttpError> {
        json(payload)
    }
}

/// Read twice: wire types ignore members that they do not know, and what is in them, and where a
/// member is doubled somewhere inside they take the last one without a word.
fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, HttpError> {
    match jws::json::object(payload) {
        Err(jws::json::Refused::Duplicate) => Err(HttpError::malformed(
            "a member name occurs twice in one object of the payload (RFC 8259 section 4); send each member once",
        )),
        Err(jws::json::Refused::TooDeep) => {
            Err(HttpError::malformed("objects and arrays in the payload are nested more than 16 deep"))
        }
        // What else is wrong with it is told better where the members are known.
        Err(jws::json::Refused::Syntax | jws::json::Refused::NotAnObject) | Ok(_) => {
            wire::decode(payload).map_err(|error| HttpError::malformed(error.to_string()))
        }
    }
}

/// Everything that is known about a request before its signer is looked up.
struct Arrived {
    app: Arc<App>,
    endpoint: Arc<Endpoint>,
    request: HttpRequest,
    client: Client,
    jws: Jws,
}

impl<P: Payload + 'static> FromRequest for AccountSigned<P> {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, HttpError>>>>;

    fn from_request(request: &HttpRequest, body: &mut dev::Payload) -> Self::Future {
        let arriving = arrive(request.clone(), body.take());
        Box::pin(async move { arriving.await?.signed_by_account().await })
    }
}

impl<P: Payload + 'static> FromRequest for SelfSigned<P> {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, HttpError>>>>;

    fn from_request(request: &HttpRequest, body: &mut dev::Payload) -> Self::Future {
        let arriving = arrive(request.clone(), body.take());
        Box::pin(async move { arriving.await?.signed_by_its_key() })
    }
}

impl FromRequest for RevocationSigned {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, HttpError>>>>;

    fn from_request(request: &HttpRequest, body: &mut dev::Payload) -> Self::Future {
        let arriving = arrive(request.clone(), body.take());
        Box::pin(async move {
            let arrived = arriving.await?;
            match arrived.jws.signed.signer {
                Signer::Account(_) => arrived.signed_by_account().await.map(Self::ByAccount),
                Signer::Key(_) => arrived.signed_by_its_key().map(Self::ByKey),
            }
        })
    }
}

/// Size, media type, shape.
async fn arrive(request: HttpRequest, body: dev::Payload) -> Result<Arrived, HttpError> {
    let app = app_of(&request)?;
    let endpoint = endpoint_of(&app, &request)?;
    let body = read(&app, &request, body).await?;
    // Its place is free again when the request is gone, answered or not.
    if let Some(load) = request.app_data::<web::Data<Load>>() {
        let in_hand = load.take()?;
        request.extensions_mut().insert(in_hand);
    }
    let parsed = require_jose(&request).and_then(|()| Ok(Jws::parse(&body).map_err(|error| Problem::from(&error))?));
    let jws = match parsed {
        Ok(jws) => jws,
        Err(refused) => {
            // Whatever it is refused for: a nonce that has appeared in a request is spent (RFC 8555 §6.5.1).
            if let Some(nonce) = jws::parse::nonce_of_refused(&body) {
                let _ = app.nonces.redeem(&nonce, clock::now());
            }
            return Err(refused);
        }
    };
    let client = Client {
        ip: request.peer_addr().map_or(std::net::IpAddr::from([0, 0, 0, 0]), |address| address.ip()),
        user_agent: text_header(&request, &header::USER_AGENT),
    };
    Ok(Arrived { app, endpoint, request, client, jws })
}

impl Arrived {
    async fn signed_by_account<P: Payload>(self) -> Result<AccountSigned<P>, HttpError> {
        self.redeem_nonce()?;
        let (registration, key) = self.account().await?;
        self.verify(&key)?;
        self.require_url()?;
        self.note(&registration.id);
        if self.purpose() == Purpose::Other {
            self.app.limits.signed_request(&self.endpoint, &registration.id)?;
        }
        ra::account::require_usable(&self.endpoint, &registration)?;
        let payload = P::read(&self.jws.signed.payload)?;
        let proof = Proof(self.jws.signed.received.into());
        let url = self.jws.signed.url;
        let client_certificate = self.request.conn_data::<KeyDigest>().copied();
        Ok(AccountSigned {
            app: self.app,
            endpoint: self.endpoint,
            registration,
            key,
            payload,
            client: self.client,
            client_certificate,
            proof,
            url,
        })
    }

    fn signed_by_its_key<P: Payload>(self) -> Result<SelfSigned<P>, HttpError> {
        self.redeem_nonce()?;
        let Signer::Key(key) = &self.jws.signed.signer else {
            return Err(HttpError::malformed(
                "this request must carry its key in jwk, not a kid (RFC 8555 section 6.2)",
            ));
        };
        let key = key.clone();
        self.verify(&key)?;
        self.require_url()?;
        let payload = P::read(&self.jws.signed.payload)?;
        let proof = Proof(self.jws.signed.received.into());
        let url = self.jws.signed.url;
        Ok(SelfSigned { app: self.app, endpoint: self.endpoint, key, payload, client: self.client, proof, url })
    }

    /// The account that `kid` names, from the CM or from what it said lately.
    async fn account(&self) -> Result<(Arc<Registration>, PublicKey), HttpError> {
        let Signer::Account(kid) = &self.jws.signed.signer else {
            return Err(HttpError::malformed(
                "this request must name its account in kid, not carry a jwk (RFC 8555 section 6.2)",
            ));
        };
        let Some(id) = self.endpoint.links.account_in_kid(kid) else {
            return Err(HttpError::malformed("kid is not an account URL of this directory"));
        };
        let unknown =
            || HttpError::new(ProblemKind::AccountDoesNotExist, "kid names no account; create one with newAccount");
        let id = RegistrationId::parse(id).map_err(|_| unknown())?;
        let found = ra::account::find(&self.app, &self.endpoint, &id, self.client.ip, self.purpose()).await?;
        let registration = found.ok_or_else(unknown)?;
        match &registration.key {
            Some(record) => {
                let key = record.key.clone();
                Ok((registration, key))
            }
            None if registration.had_key => Err(ra::account::key_withdrawn(&self.endpoint).into()),
            // A registration that never had a key has no account yet.
            None => Err(unknown()),
        }
    }

    fn redeem_nonce(&self) -> Result<(), HttpError> {
        self.app.nonces.redeem(&self.jws.nonce, clock::now()).map_err(|reason| {
            self.app.metrics.nonce_rejected(reason);
            // A widespread shell client looks for these very words.
            HttpError::new(
                ProblemKind::BadNonce,
                "JWS has an invalid anti-replay nonce; use the one in Replay-Nonce and try again",
            )
        })
    }

    fn verify(&self, key: &PublicKey) -> Result<(), HttpError> {
        let key = VerifyingKey::new(key).map_err(Problem::from)?;
        Ok(key.verify(&self.jws.signed).map_err(Problem::from)?)
    }

    /// What was signed must have been meant for this resource (RFC 8555 §6.4).
    fn require_url(&self) -> Result<(), HttpError> {
        let path = self.request.uri().path_and_query().map_or("", |path| path.as_str());
        if self.jws.signed.url == self.endpoint.links.of_path(path) {
            return Ok(());
        }
        Err(HttpError::new(
            ProblemKind::Unauthorized,
            "the url in the protected header is not the URL of this resource as this server gave it out",
        ))
    }

    fn purpose(&self) -> Purpose {
        purpose(self.request.path())
    }

    fn note(&self, account: &RegistrationId) {
        self.request.extensions_mut().insert(Noted { account: Some(account.to_string()) });
    }
}

/// The shared parts, as they were when the request came.
pub(crate) fn app_of(request: &HttpRequest) -> Result<Arc<App>, HttpError> {
    let app = request.extensions().get::<Arc<App>>().cloned();
    app.ok_or_else(|| ra::Error::internal(anyhow::anyhow!("no app in a request")).into())
}

/// The endpoint that the path names.
pub(crate) fn endpoint_of(app: &App, request: &HttpRequest) -> Result<Arc<Endpoint>, HttpError> {
    let named = request.match_info().get("endpoint").and_then(|name| name.parse().ok());
    let found = named.and_then(|name| app.endpoints.get(&name).cloned());
    found.ok_or_else(|| HttpError::new(ProblemKind::NotFound, "there is no such ACME directory on this server"))
}

async fn read(app: &App, request: &HttpRequest, mut body: dev::Payload) -> Result<BytesMut, HttpError> {
    let most = app.settings.server.body_octets_max;
    let too_large =
        || HttpError::new(ProblemKind::PayloadTooLarge, format!("a request body can have at most {most} octets"));
    let announced = text_header(request, &header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    read_body(&mut body, most).await.map_err(|error| match error {
        BodyError::TooLarge => too_large(),
        BodyError::TooSlow => HttpError::new(ProblemKind::RequestTimeout, "the request body did not arrive in time"),
        BodyError::Broken => HttpError::malformed("the request body broke off"),
    })
}

/// Parameters such as a charset are ignored (RFC 8555 §6.2).
fn require_jose(request: &HttpRequest) -> Result<(), HttpError> {
    let given = text_header(request, &header::CONTENT_TYPE).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/jose+json") {
        Ok(())
    } else {
        Err(HttpError::new(ProblemKind::UnsupportedMediaType, "requests must have Content-Type application/jose+json"))
    }
}

fn text_header(request: &HttpRequest, name: &header::HeaderName) -> Option<String> {
    request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

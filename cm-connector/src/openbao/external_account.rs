//! External account bindings: everything about one that can be seen without its key (RFC 8555 §7.3.4, CM contract
//! section 4.3). Whether the MAC is right OpenBao says, which shows the key to nobody.

use acme::{account_key::PublicKey, base64url};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Jws;

/// A binding whose MAC is left to be verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// As the client wrote it.
    pub(super) kid: String,
    /// What the MAC is over.
    input: String,
    mac: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    url: String,
    #[serde(default)]
    nonce: Option<Value>,
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct OuterHeader {
    url: String,
}

impl Binding {
    /// Reads the binding in a newAccount request of this key. `None` if it cannot be one: for the client that is the
    /// same as a wrong MAC.
    pub(super) fn read(binding: &Jws, proof: &Jws, key: &PublicKey) -> Option<Self> {
        let header: Header = part(&binding.protected)?;
        let outer: OuterHeader = part(&proof.protected)?;
        let bound: Map<String, Value> = part(&binding.payload)?;
        let is_sound = header.alg == "HS256"
            && header.nonce.is_none()
            && header.crit.is_none()
            && header.url == outer.url
            && PublicKey::from_jwk(&bound).is_ok_and(|bound| bound == *key)
            && says_in_its_payload(proof, binding);
        is_sound.then_some(Self {
            kid: header.kid,
            input: format!("{}.{}", binding.protected, binding.payload),
            mac: base64url::decode(&binding.signature).ok()?,
        })
    }

    /// What transit is asked, about one version of the key.
    pub(super) fn question(&self, version: u32) -> Value {
        let base64 = |octets: &[u8]| data_encoding::BASE64.encode(octets);
        json!({"input": base64(self.input.as_bytes()), "hmac": format!("vault:v{version}:{}", base64(&self.mac))})
    }
}

/// Whether the client signed this very binding.
fn says_in_its_payload(proof: &Jws, binding: &Jws) -> bool {
    let payload: Option<Map<String, Value>> = part(&proof.payload);
    let signed = payload.and_then(|payload| payload.get("externalAccountBinding").cloned());
    signed.and_then(|signed| serde_json::from_value::<Jws>(signed).ok()).is_some_and(|signed| signed == *binding)
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&base64url::decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://acme.example.net/acme/tls/new-account";

    fn jwk() -> Value {
        json!({"crv": "P-256", "kty": "EC", "x": "_gjcgbP2cGgPl_VSlAiYy_Db4XSk_lsHXnatnSLD7i8",
               "y": "43HGvYbvqinnQ1uLaxp3Z72dIUGkYkL2OkB0hIqVg0E"})
    }

    fn jws(protected: &Value, payload: &Value) -> Jws {
        let part = |json: &Value| base64url::encode(json.to_string());
        Jws { protected: part(protected), payload: part(payload), signature: base64url::encode([7; 32]) }
    }

    fn read(change: impl FnOnce(&mut Value, &mut Value, &mut Value)) -> Option<Binding> {
        let (mut header, mut bound) = (json!({"alg": "HS256", "kid": "kid-1", "url": URL}), jwk());
        let mut outer = json!({"alg": "ES256", "nonce": "n", "url": URL, "jwk": jwk()});
        change(&mut header, &mut bound, &mut outer);
        let binding = jws(&header, &bound);
        let payload = json!({"externalAccountBinding": serde_json::to_value(&binding).unwrap()});
        let key = PublicKey::from_jwk(jwk().as_object().unwrap()).unwrap();
        Binding::read(&binding, &jws(&outer, &payload), &key)
    }

    #[test]
    fn transit_is_asked_for_the_octets_that_the_mac_is_over() {
        let binding = read(|_, _, _| ()).unwrap();
        assert_eq!(binding.kid, "kid-1");
        let question = binding.question(2);
        assert!(question["hmac"].as_str().unwrap().starts_with("vault:v2:Bwc"));
        let input = data_encoding::BASE64.decode(question["input"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(String::from_utf8(input).unwrap().matches('.').count(), 1);
    }

    #[test]
    fn a_binding_of_another_url_key_or_algorithm_is_none() {
        assert!(read(|header, _, _| header["alg"] = json!("none")).is_none());
        assert!(read(|header, _, _| header["alg"] = json!("ES256")).is_none());
        assert!(read(|header, _, _| header["nonce"] = json!("n")).is_none());
        assert!(read(|header, _, _| header["crit"] = json!(["b64"])).is_none());
        assert!(read(|header, _, _| header["url"] = json!("https://other.example/new-account")).is_none());
        assert!(read(|_, _, outer| outer["url"] = json!("https://other.example/new-account")).is_none());
        assert!(read(|_, bound, _| bound["x"] = bound["y"].clone()).is_none());
        assert!(read(|_, bound, _| *bound = json!({})).is_none());
    }

    #[test]
    fn a_binding_that_the_client_did_not_sign_is_none() {
        let binding = jws(&json!({"alg": "HS256", "kid": "kid-1", "url": URL}), &jwk());
        let key = PublicKey::from_jwk(jwk().as_object().unwrap()).unwrap();
        let outer = json!({"url": URL});
        assert!(Binding::read(&binding, &jws(&outer, &json!({})), &key).is_none());
        let other = Jws { signature: base64url::encode([8; 32]), ..binding.clone() };
        let payload = json!({"externalAccountBinding": serde_json::to_value(&other).unwrap()});
        assert!(Binding::read(&binding, &jws(&outer, &payload), &key).is_none());
    }
}

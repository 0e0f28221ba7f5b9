//! What people and programs do with certificates and tokens of their own, the officer above all.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{MOUNT, OpenBao};

impl OpenBao {
    /// The token of somebody with this certificate of the throwaway PKI (`gateway`, `officer`).
    ///
    /// # Panics
    /// There is no such role for the certificate.
    #[must_use]
    pub fn token(&self, certificate: &str) -> String {
        let role = format!("name=acme-{certificate}");
        let login = ["write", "-format=json", "auth/cert/login", &role];
        let said = self.run(&login, None, certificate, "").unwrap_or_else(|said| panic!("login: {said}"));
        let said: Value = serde_json::from_str(&said).unwrap();
        said.pointer("/auth/client_token").and_then(Value::as_str).expect("a login answers a token").to_owned()
    }

    /// What OpenBao says to the holder of this token who writes at a path, or reads there without a body.
    ///
    /// # Errors
    /// What it complained about.
    pub fn as_holder(&self, token: &str, path: &str, body: Option<&Value>) -> Result<(), String> {
        let arguments: &[&str] = if body.is_some() { &["write", "-format=json", path, "-"] } else { &["read", path] };
        self.run(arguments, body, "officer", token).map(drop)
    }

    /// Writes a record as an officer, with her own certificate and token.
    ///
    /// # Errors
    /// What OpenBao said.
    pub fn officer_writes(&self, realm: &str, record: &str, version: u64, data: &Value) -> Result<(), String> {
        let path = format!("{MOUNT}/{realm}/cm/data/{record}");
        let body = json!({"options": {"cas": version}, "data": data});
        self.run(&["write", "-format=json", &path, "-"], Some(&body), "officer", &self.token("officer")).map(drop)
    }

    /// Pre-registers a client as an officer does; the secret. `members` come on top of the least that is needed.
    ///
    /// # Panics
    /// OpenBao refuses.
    #[must_use]
    pub fn preregister(&self, realm: &str, kid: &str, members: &Value) -> Vec<u8> {
        let token = self.token("officer");
        let officer = |arguments: &[&str]| self.run(arguments, None, "officer", &token).unwrap();
        let key = format!("{MOUNT}/{realm}/eab/keys/{kid}");
        let _ = officer(&["write", "-format=json", &key, "type=hmac", "key_size=32", "exportable=true"]);
        let export = format!("{MOUNT}/{realm}/eab/export/hmac-key/{kid}");
        let exported: Value = serde_json::from_str(&officer(&["read", "-format=json", &export])).unwrap();
        let mut record = json!({"registration": format!("reg_{kid}"), "status": "active", "use": "once",
                                "maxBindings": 1, "allowedIdentifiers": {"mode": "any"}});
        for (name, value) in members.as_object().expect("members are an object") {
            record[name] = value.clone();
        }
        self.officer_writes(realm, &format!("prereg/{kid}"), 0, &record).unwrap();
        let secret = exported.pointer("/data/keys/1").and_then(Value::as_str).expect("a secret");
        STANDARD.decode(secret).unwrap()
    }
}

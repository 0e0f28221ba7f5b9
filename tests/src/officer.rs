//! What registration officers and approvers do, straight at the CM with certificates of their own (CM contract
//! sections 4.3 and 4.4).

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::{
    from_base64url,
    http::{Connection, Tls, request},
    response::Response,
};

/// An officer of the realm `registered`.
pub struct Officer {
    cm: SocketAddr,
    pki: PathBuf,
}

/// A registration without a key yet.
pub struct Preregistration {
    /// Its id.
    pub id: String,
    /// The external account key's id.
    pub kid: String,
    /// Its secret.
    pub secret: Vec<u8>,
}

impl Officer {
    /// `facts` is what the sandbox says about itself.
    pub(crate) fn new(facts: &Value, pki: PathBuf) -> Self {
        let port = facts["cm"].as_str().and_then(|url| url.rsplit(':').next()).and_then(|port| port.parse().ok());
        let port: u16 = port.expect("sandbox.json names the CM with its port");
        Self { cm: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), pki }
    }

    /// Pre-registers a client; `members` come on top of the least that is needed.
    ///
    /// # Panics
    /// The CM refuses.
    #[must_use]
    pub fn preregister(&self, members: &Value) -> Preregistration {
        let kid = crate::base64url(openssl::sha::sha256(format!("{:?}", std::time::Instant::now()).as_bytes()));
        let kid = format!("kid-{}", kid.get(..16).unwrap_or_default());
        let mut body = json!({
            "mode": "preregistered",
            "eab": {"kid": kid, "use": "once"},
            "allowedIdentifiers": {"mode": "any"},
            "owner": "tests",
        });
        for (name, value) in members.as_object().expect("members are an object") {
            body[name] = value.clone();
        }
        let created = self.ask("POST", "registrations", &[], Some(&body)).expect(201).json();
        let text = |pointer: &str| created.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Preregistration { id: text("/id"), kid: text("/eab/kid"), secret: from_base64url(&text("/eabSecret/hmacKey")) }
    }

    /// Draws a directory link for a registration; answers its token.
    ///
    /// # Panics
    /// The CM refuses.
    #[must_use]
    pub fn draw_link(&self, id: &str) -> String {
        let path = format!("registrations/{id}");
        let version = self.ask("GET", &path, &[], None).expect(200);
        let version = version.header("etag").expect("a registration has a version").to_owned();
        let drawn = self.ask("POST", &format!("{path}/directory-link"), &[("If-Match", &version)], None).expect(201);
        drawn.member("directoryToken")
    }

    /// Sets a registration's status: `suspended`, `active`, `revoked`.
    ///
    /// # Panics
    /// The CM refuses.
    pub fn set_status(&self, id: &str, status: &str) {
        self.change(id, "POST", "/status", &json!({"status": status, "reason": "a test"}));
    }

    /// Ends a registration and revokes its certificates.
    ///
    /// # Panics
    /// The CM refuses.
    pub fn revoke_with_certificates(&self, id: &str) {
        let body = json!({"status": "revoked", "reason": "a test", "revokeCertificates": true});
        self.change(id, "POST", "/status", &body);
    }

    /// Changes members of a registration.
    ///
    /// # Panics
    /// The CM refuses.
    pub fn update(&self, id: &str, members: &Value) {
        self.change(id, "PATCH", "", members);
    }

    fn change(&self, id: &str, method: &str, below: &str, body: &Value) {
        let path = format!("registrations/{id}");
        let version = self.ask("GET", &path, &[], None).expect(200);
        let version = version.header("etag").expect("a registration has a version").to_owned();
        let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let headers = [("If-Match", version.as_str()), ("Content-Type", content_type)];
        let _ = self.ask(method, &format!("{path}{below}"), &headers, Some(body)).expect(200);
    }

    /// Proposes a waiver of challenges for a registration, as an officer does; its id.
    ///
    /// # Panics
    /// The CM refuses.
    #[must_use]
    pub fn propose_waiver(&self, registration: &str, identifiers: &Value, evidence: &Value, not_after: &str) -> String {
        let body = json!({
            "identifiers": identifiers, "evidence": evidence, "notAfter": not_after, "reason": "cannot open port 80, ticket 5120",
        });
        let key = crate::base64url(openssl::sha::sha256(format!("{body}{:?}", std::time::Instant::now()).as_bytes()));
        let (path, headers) = (format!("registrations/{registration}/waivers"), [("Idempotency-Key", key.as_str())]);
        let proposed = self.ask("POST", &path, &headers, Some(&body)).expect(201).json();
        proposed["id"].as_str().expect("a waiver has an id").to_owned()
    }

    /// Decides about a waiver as an approver does: `approve`, `reject`, `withdraw`.
    ///
    /// # Panics
    /// The CM refuses.
    pub fn decide_waiver(&self, registration: &str, waiver: &str, decision: &str) {
        let path = format!("registrations/{registration}/waivers/{waiver}/{decision}");
        let body = json!({"reason": "the test says so"});
        let _ = self.ask_as("approver", "POST", &path, &[], Some(&body)).expect(200);
    }

    /// Decides a certificate request that waits for a person, as an approver does: `approve` or `reject`.
    ///
    /// # Panics
    /// There is no such request, or the CM refuses.
    pub fn decide(&self, order_url: &str, decision: &str) {
        let order = order_url.rsplit('/').next().unwrap_or_default();
        let path = format!("certificate-requests?orderRef={order}");
        let found = self.ask_as("approver", "GET", &path, &[], None).expect(200).json();
        let id = found.pointer("/items/0/id").and_then(Value::as_str).expect("the order has a request").to_owned();
        let body = json!({"reason": "the test says so"});
        let path = format!("certificate-requests/{id}/{decision}");
        let _ = self.ask_as("approver", "POST", &path, &[], Some(&body)).expect(200);
    }

    /// Revokes a certificate for the reason privilegeWithdrawn, which is not a client's to give. `certificate` is its
    /// id (RFC 9773 §4.1).
    ///
    /// # Panics
    /// The CM refuses.
    pub fn revoke(&self, certificate: &str, der: &[u8]) {
        let sha256: String = openssl::sha::sha256(der).iter().map(|octet| format!("{octet:02x}")).collect();
        let body = json!({"reason": "privilegeWithdrawn", "basis": {"type": "officer"}, "certificateSha256": sha256});
        let key = crate::base64url(openssl::sha::sha256(certificate.as_bytes()));
        let headers = [("Idempotency-Key", key.as_str())];
        let _ = self.ask("POST", &format!("certificates/{certificate}/revoke"), &headers, Some(&body)).expect(200);
    }

    /// What the CM itself says to a certificate for one identifier, if a gateway asks that judges nothing: the code of its
    /// refusal. There is no evidence and no proof in the request, so it is always refused, by policy or after it.
    ///
    /// # Panics
    /// The CM issues.
    #[must_use]
    pub fn judgement(&self, registration: &str, identifier: &Value, csr: &str) -> String {
        let reference = crate::base64url(openssl::sha::sha256(csr.as_bytes()));
        let body = json!({
            "registration": registration, "orderRef": reference.get(..24), "profile": "tls-server", "csr": csr,
            "identifiers": [identifier], "validations": [], "notBefore": null, "notAfter": null, "replaces": null,
            "client": {"ip": "127.0.0.1"},
        });
        let headers = [("Idempotency-Key", reference.as_str())];
        let response = self.ask_as("gateway", "POST", "certificate-requests", &headers, Some(&body));
        assert!(response.status >= 400, "nothing may be issued without evidence: {response:?}");
        response.json()["code"].as_str().expect("a problem has a code").to_owned()
    }

    /// The status of the certificate request of an order.
    ///
    /// # Panics
    /// There is no such request.
    #[must_use]
    pub fn request_status(&self, order_url: &str) -> String {
        let order = order_url.rsplit('/').next().unwrap_or_default();
        let found = self.ask("GET", &format!("certificate-requests?orderRef={order}"), &[], None).expect(200).json();
        found.pointer("/items/0/status").and_then(Value::as_str).expect("the order has a request").to_owned()
    }

    /// What the CM has at a path of the realm.
    ///
    /// # Panics
    /// The CM refuses.
    #[must_use]
    pub fn read(&self, path: &str) -> Value {
        self.ask("GET", path, &[], None).expect(200).json()
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Response {
        self.ask_as("officer", method, path, headers, body)
    }

    fn ask_as(&self, role: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Response {
        let file = |name: String| self.pki.join(name);
        let (ca, certificate, key) =
            (file("infra-ca.pem".to_owned()), file(format!("{role}.pem")), file(format!("{role}.key")));
        let tls = Tls { ca_file: Some(&ca), identity: Some((&certificate, &key)), ..Tls::default() };
        let host = self.cm.ip().to_string();
        let (mut connection, _) =
            Connection::tls(self.cm, &host, &tls).expect("the CM takes the certificate of the role");
        let mut headers = headers.to_vec();
        if headers.iter().all(|(name, _)| *name != "Content-Type") {
            headers.push(("Content-Type", "application/json"));
        }
        headers.push(("Connection", "close"));
        let path = format!("/cm/v1/realms/registered/{path}");
        let body = body.map(|body| body.to_string().into_bytes());
        connection.send(request(method, &path, &self.cm.to_string(), &headers, body.as_deref())).unwrap();
        connection.receive(method).unwrap_or_else(|error| panic!("{method} {path} at the CM: {error}"))
    }
}

//! What the CM holds before it is asked: for each operation something to work on, so that more is met than 404. Each
//! writing operation has its own, so that none takes away what another one needs.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tests::{
    base64url,
    client::{Client, Order},
    csr::Csr,
    key::Key,
    time::ahead,
    wait_for,
    world::World,
};

/// Until the CM has heard of an order.
const SOON: std::time::Duration = std::time::Duration::from_secs(30);

/// How long waivers are proposed for, in seconds.
const MONTHS: u64 = 180 * 86_400;

/// Parameters by operation.
pub(crate) struct Prepared {
    /// An account with certificates and requests, as a gateway knows it.
    account: String,
    /// Parameters that an operation has in every role.
    operations: Vec<(&'static str, Vec<(&'static str, String)>)>,
}

impl Prepared {
    /// Makes it all, by ways that people and clients have.
    pub(crate) fn new(world: &World) -> Self {
        let officer = world.officer();
        let members = json!({"allowedProfiles": ["tls-server", "tls-server-approval"]});
        let (client, account) = world.registered_account_with(&members);
        for name in ["shown.contract.test", "revoked.contract.test", "reinstated.contract.test"] {
            let _ = client.issue(&[name]);
        }
        for name in
            ["asked.contract.test", "cancelled.contract.test", "approved.contract.test", "rejected.contract.test"]
        {
            wait_for_approval(&client, name);
        }
        let found = |status: &str, pointer: &str, count: usize| {
            wait_for("the CM to have what was prepared", SOON, || {
                let page = officer.read(&format!("certificate-requests?status={status}"));
                let items = page["items"].as_array().cloned().unwrap_or_default();
                let text = |item: &Value| item.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
                (items.len() == count).then(|| items.iter().filter_map(text).collect::<Vec<String>>())
            })
        };
        let (pending, issued) = (found("pending-approval", "/id", 4), found("issued", "/id", 3));
        let certificates = found("issued", "/certificate/id", 3);
        let registration = || officer.preregister(&json!({})).id;
        let waiver = || {
            let id = registration();
            let rules = json!([{"type": "dns", "match": "suffix", "value": "printers.example.com"}]);
            let waiver = officer.propose_waiver(&id, &rules, &json!({"addresses": ["192.0.2.0/24"]}), &ahead(MONTHS));
            vec![("path.id", id), ("path.waiver", waiver)]
        };
        let linked = registration();
        let _ = officer.draw_link(&linked);
        let id = |id: String| vec![("path.id", id)];
        let certificate = |id: &String| vec![("path.certId", id.clone())];
        let operations = vec![
            ("getRegistration", id(account.clone())),
            ("changeKey", id(account.clone())),
            ("updateRegistration", id(registration())),
            ("setRegistrationStatus", id(registration())),
            ("newEabSecret", id(registration())),
            ("newDirectoryLink", id(registration())),
            ("removeDirectoryLink", id(linked)),
            ("proposeWaiver", id(registration())),
            ("listWaiversOfRegistration", waiver().into_iter().take(1).collect()),
            ("approveWaiver", waiver()),
            ("rejectWaiver", waiver()),
            ("withdrawWaiver", waiver()),
            ("getRequest", id(pending[0].clone())),
            ("cancelRequest", id(pending[1].clone())),
            ("approveRequest", id(pending[2].clone())),
            ("rejectRequest", id(pending[3].clone())),
            ("confirmDelivery", id(issued[0].clone())),
            ("getCertificate", certificate(&certificates[0])),
            ("getRenewalInfo", certificate(&certificates[0])),
            ("revokeCertificate", certificate(&certificates[1])),
            ("reinstateCertificate", certificate(&certificates[2])),
        ];
        Self { account, operations }
    }

    /// Settings of schemathesis for a role.
    pub(crate) fn settings(&self, role: &str) -> String {
        // A page that begins at its beginning: a cursor is made by the CM and by nobody else.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let cursor = base64url(format!("{}:0", now.as_millis()).as_bytes());
        let mut text = format!(
            "\n[parameters]\n\"path.realm\" = \"registered\"\n\"path.issuer\" = \"issuing-1\"\n\"path.chain\" = \"default\"\n\
             \"path.profile\" = \"tls-server\"\n\"query.cursor\" = \"{cursor}\"\n\"query.after\" = \"now\"\n"
        );
        for (operation, parameters) in &self.operations {
            let own = |(name, value): &(&'static str, String)| {
                // What a gateway changes has an account; what an officer changes need not.
                let of_account =
                    role == "gateway" && ["updateRegistration", "setRegistrationStatus"].contains(operation);
                let value = if of_account { &self.account } else { value };
                format!("\"{name}\" = \"{value}\"")
            };
            let parameters = parameters.iter().map(own).collect::<Vec<_>>().join(", ");
            let _ = write!(
                text,
                "\n[[operations]]\ninclude-operation-id = \"{operation}\"\nparameters = {{ {parameters} }}\n"
            );
        }
        text
    }
}

/// An order that a person has to decide about.
fn wait_for_approval(client: &Client, name: &str) {
    let payload = json!({"identifiers": [{"type": "dns", "value": name}], "profile": "tls-server-approval"});
    let response = client.post(&client.url("new-order"), &payload).expect(201);
    let order = client.prove(&Order { url: response.location(), object: response.json() });
    let _ = client.finalize(&order, &Csr::for_names(&[name]).text(&Key::p256())).expect(200);
}

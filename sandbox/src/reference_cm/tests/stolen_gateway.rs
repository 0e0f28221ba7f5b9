//! The attack suite: a stolen gateway has the real identity of the gateway and every proof that clients ever sent through
//! it, and uses them for something else. A table of what it tries and what it gets; the books do not change.

use http::Method;
use serde_json::{Value, json};

use super::super::identity::Role;
use super::world::{
    Account, OPEN, Order, REGISTERED, Reply, World, bound_account, jwk, new_key, preregister, sign, validations,
};

const REGISTERED_REALM: &str = "/realms/registered";
const OPEN_REALM: &str = "/realms/open";

/// What the thief has.
struct Loot {
    world: World,
    /// An account of the registered realm, its version and how it was bound.
    holder: Account,
    binding: Value,
    /// Another one, whose client works for the thief.
    accomplice: Account,
    /// What was sent for the order that the holder has finalized, and its certificate.
    finalized: Value,
    certificate: Value,
    /// The request that made an account of the open realm.
    creation: Value,
}

impl Loot {
    async fn take() -> Self {
        let world = World::start().await;
        let prereg = preregister(&world, "kid-holder", json!({})).await;
        let secret = prereg["eabSecret"]["hmacKey"].as_str().unwrap();
        let mut holder = Account::new(REGISTERED);
        let binding = holder.binding("kid-holder", secret);
        let bound = world.post(Role::Gateway, &format!("{REGISTERED_REALM}/registrations/bind"), &[], &binding).await;
        holder.id = bound.expect(201).body["id"].as_str().unwrap().to_owned();
        let accomplice = bound_account(&world, &preregister(&world, "kid-accomplice", json!({})).await).await;
        let order = Order::of(&["www.example.test"]);
        let finalized = holder.request(&order);
        let path = format!("{REGISTERED_REALM}/certificate-requests");
        let certificate =
            world.post_once(Role::Gateway, &path, &finalized).await.expect(201).body["certificate"].clone();
        let creation = Account::new(OPEN).creation(&["mailto:a@example.test"]);
        let path = format!("{OPEN_REALM}/registrations");
        let _ = world.post_once(Role::Gateway, &path, &creation).await.expect(201);
        Self { world, holder, binding, accomplice, finalized, certificate, creation }
    }

    async fn version(&self) -> i64 {
        let path = format!("{REGISTERED_REALM}/registrations/{}", self.holder.id);
        self.world.get(Role::Gateway, &path).await.expect(200).body["version"].as_i64().unwrap()
    }

    /// Sends what was sent for the holder's order, changed.
    async fn submit(&self, change: impl FnOnce(&mut Value)) -> Reply {
        let mut body = self.finalized.clone();
        change(&mut body);
        self.world.post_once(Role::Gateway, &format!("{REGISTERED_REALM}/certificate-requests"), &body).await
    }

    async fn change_key(&self, new_key: &Value, proof: Option<Value>) -> Reply {
        let path = format!("{REGISTERED_REALM}/registrations/{}/key-change", self.holder.id);
        let mut body = json!({"newKey": {"jwk": new_key}});
        if let Some(jws) = proof {
            body["proof"] = json!({"type": "acme", "jws": jws});
        }
        self.world.post_at(Role::Gateway, &path, self.version().await, &body).await
    }

    async fn update(&self, proof: Option<Value>) -> Reply {
        let path = format!("{REGISTERED_REALM}/registrations/{}", self.holder.id);
        let mut body = json!({"contacts": ["mailto:thief@example.test"]});
        if let Some(jws) = proof {
            body["proof"] = json!({"type": "acme", "jws": jws});
        }
        self.world.patch(Role::Gateway, &path, self.version().await, &body).await
    }

    async fn set_status(&self, status: &str, proof: Option<Value>) -> Reply {
        let path = format!("{REGISTERED_REALM}/registrations/{}/status", self.holder.id);
        let mut body = json!({"status": status});
        if let Some(jws) = proof {
            body["proof"] = json!({"type": "acme", "jws": jws});
        }
        self.world.post_at(Role::Gateway, &path, self.version().await, &body).await
    }

    async fn revoke(&self, body: &Value) -> Reply {
        let id = self.certificate["id"].as_str().unwrap();
        let path = format!("{REGISTERED_REALM}/certificates/{id}/revoke");
        self.world.post_once(Role::Gateway, &path, body).await
    }

    async fn bind(&self, change: impl FnOnce(&mut Value)) -> Reply {
        let mut body = self.binding.clone();
        change(&mut body);
        self.world.post(Role::Gateway, &format!("{REGISTERED_REALM}/registrations/bind"), &[], &body).await
    }

    async fn create(&self, change: impl FnOnce(&mut Value)) -> Reply {
        let mut body = self.creation.clone();
        change(&mut body);
        self.world.post_once(Role::Gateway, &format!("{OPEN_REALM}/registrations"), &body).await
    }
}

/// A key change as a client signs it (RFC 8555 section 7.3.5), by whichever keys.
fn key_change(account: &Account, outer: &Account, new_key: &aws_lc_rs::signature::EcdsaKeyPair) -> Value {
    let url = format!("{}/key-change", account.base);
    let kid = format!("{}/acct/{}", account.base, account.id);
    let inner = sign(
        new_key,
        &json!({"alg": "ES256", "jwk": jwk(new_key), "url": url}),
        &json!({"account": kid, "oldKey": account.jwk()}),
    );
    let header = json!({"alg": "ES256", "kid": kid, "nonce": "nonce-of-the-thief", "url": url});
    sign(&outer.key, &header, &inner)
}

fn drop_proof(body: &mut Value) {
    body.as_object_mut().unwrap().remove("proof");
}

#[tokio::test]
async fn a_stolen_gateway_gets_nothing_with_the_proofs_that_it_has_seen() {
    let loot = Loot::take().await;
    let Loot { world, holder, accomplice, certificate, .. } = &loot;
    let before = world.cm.books();
    let holder_path = format!("{REGISTERED_REALM}/registrations/{}", holder.id);
    let account_before = world.get(Role::Officer, &holder_path).await.expect(200).body;

    let thief = new_key();
    let finalize_proof = &loot.finalized["proof"]["jws"];
    let binding_proof = &loot.binding["proof"]["jws"];
    let other = Order::of(&["other.example.test"]);
    let of_accomplice = accomplice.request(&other);
    let contacts = holder.sign_for(None, &json!({"contact": ["mailto:holder@example.test"]}));
    let revocation = holder.revocation(certificate, "superseded", 4);
    let theirs = accomplice.revocation(certificate, "superseded", 4);
    let on_behalf = |body: &mut Value| body["registration"] = json!(holder.id);
    let same_names = holder.request(&Order::of(&["www.example.test"]));
    let more_names = holder.request(&Order::of(&["www.example.test", "mail.example.test"]));

    let proof_invalid = (422, "proof-invalid");
    let table: Vec<(&str, Reply, (u16, &str))> = vec![
        ("enrol: without a proof", loot.submit(drop_proof).await, proof_invalid),
        (
            "enrol: for the holder, by the proof of the accomplice",
            world
                .post_once(Role::Gateway, &format!("{REGISTERED_REALM}/certificate-requests"), &{
                    let mut body = of_accomplice.clone();
                    on_behalf(&mut body);
                    body
                })
                .await,
            proof_invalid,
        ),
        (
            "enrol: for the accomplice, by the proof of the holder",
            loot.submit(|body| body["registration"] = json!(accomplice.id)).await,
            proof_invalid,
        ),
        (
            "finalize of one order for another order",
            loot.submit(|body| body["orderRef"] = json!(other.reference)).await,
            proof_invalid,
        ),
        (
            "finalize of one order with another CSR",
            loot.submit(|body| body["csr"] = same_names["csr"].clone()).await,
            proof_invalid,
        ),
        (
            "finalize of one order with more names",
            loot.submit(|body| {
                for member in ["csr", "identifiers", "validations"] {
                    body[member] = more_names[member].clone();
                }
            })
            .await,
            proof_invalid,
        ),
        (
            "finalize of an order that has its certificate, under a new key",
            loot.submit(|_| ()).await,
            (409, "order-already-issued"),
        ),
        (
            "finalize by the proof of an account update",
            loot.submit(|body| body["proof"]["jws"] = contacts.clone()).await,
            proof_invalid,
        ),
        ("re-key: without a proof", loot.change_key(&jwk(&thief), None).await, proof_invalid),
        (
            "re-key: signed by the thief alone",
            loot.change_key(&jwk(&thief), Some(key_change(holder, accomplice, &thief))).await,
            proof_invalid,
        ),
        (
            "re-key: by a finalize of the holder",
            loot.change_key(&jwk(&thief), Some(finalize_proof.clone())).await,
            proof_invalid,
        ),
        (
            "re-key: by the holder's change to another key",
            loot.change_key(&jwk(&thief), Some(key_change(holder, holder, &new_key()))).await,
            proof_invalid,
        ),
        ("contacts: without a proof", loot.update(None).await, proof_invalid),
        ("contacts: by an update with other contacts", loot.update(Some(contacts.clone())).await, proof_invalid),
        ("deactivate: without a proof", loot.set_status("deactivated", None).await, proof_invalid),
        (
            "deactivate: by an account update",
            loot.set_status("deactivated", Some(contacts.clone())).await,
            proof_invalid,
        ),
        ("suspend, as officers do", loot.set_status("suspended", None).await, (403, "forbidden")),
        (
            "revoke: without a proof",
            loot.revoke(&{
                let mut body = revocation.clone();
                drop_proof(&mut body);
                body
            })
            .await,
            proof_invalid,
        ),
        ("revoke: by the proof of another account", loot.revoke(&theirs).await, (403, "revocation-not-authorised")),
        (
            "revoke: in the holder's name, by the proof of another account",
            loot.revoke(&{
                let mut body = revocation.clone();
                body["proof"] = theirs["proof"].clone();
                body
            })
            .await,
            proof_invalid,
        ),
        (
            "revoke: for another reason than was signed",
            loot.revoke(&{
                let mut body = revocation.clone();
                body["reason"] = json!("keyCompromise");
                body
            })
            .await,
            proof_invalid,
        ),
        (
            "revoke: on an officer's word",
            loot.revoke(&json!({"reason": "superseded", "basis": {"type": "officer"},
                                "certificateSha256": certificate["sha256"]}))
                .await,
            (403, "revocation-not-authorised"),
        ),
        (
            "bind twice: the same binding with the thief's key",
            loot.bind(|body| body["key"]["jwk"] = jwk(&thief)).await,
            (403, "eab-rejected"),
        ),
        (
            "bind twice: the used secret's JWS under a proof of the thief",
            loot.bind(|body| {
                let header = json!({"alg": "ES256", "jwk": jwk(&thief), "nonce": "nonce-of-the-thief",
                                    "url": format!("{REGISTERED}/new-account")});
                let payload = json!({"externalAccountBinding": body["eab"]});
                body["proof"]["jws"] = sign(&thief, &header, &payload);
                body["key"]["jwk"] = jwk(&thief);
            })
            .await,
            (403, "eab-rejected"),
        ),
        ("create: without a proof", loot.create(drop_proof).await, proof_invalid),
        (
            "create: for the thief's key by the proof of another",
            loot.create(|body| body["key"]["jwk"] = jwk(&thief)).await,
            proof_invalid,
        ),
        (
            "create: with a proof for another realm",
            loot.create(|body| body["proof"]["jws"] = binding_proof.clone()).await,
            proof_invalid,
        ),
        (
            "new secret for a registration",
            world.post(Role::Gateway, &format!("{holder_path}/eab"), &[], &json!({})).await,
            (403, "forbidden"),
        ),
        (
            "approve a request",
            world
                .post(Role::Gateway, &format!("{REGISTERED_REALM}/certificate-requests/req_1/approve"), &[], &json!({}))
                .await,
            (403, "forbidden"),
        ),
        (
            "read the audit trail",
            world.try_send(Role::Gateway, Method::GET, "/audit", &[], None).await.unwrap(),
            (403, "forbidden"),
        ),
    ];
    let mut wrong = Vec::new();
    for (attack, reply, expected) in &table {
        let (status, code) = reply.refusal();
        println!("{attack:<65} {status} {code}");
        if (status, code) != *expected {
            wrong.push((attack, status, code.to_owned(), expected));
        }
    }
    println!("{} attacks, {} not refused as they should be", table.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");

    let after = world.cm.books();
    for what in ["certificates", "certificatesByOrderRef", "registrations", "registrationsByStatus", "revoked"] {
        assert_eq!(after[what], before[what], "{what}");
    }
    assert_eq!(world.get(Role::Officer, &holder_path).await.expect(200).body, account_before);
    // The same proofs do what their signers wanted: it was not something else that was wrong with them.
    let _ = loot.update_as_signed(&contacts).await.expect(200);
    let _ = loot.revoke(&revocation).await.expect(200);
    let changed = loot.change_key(&jwk(&thief), Some(key_change(holder, holder, &thief))).await;
    let _ = changed.expect(200);
}

#[tokio::test]
async fn a_stolen_gateway_does_not_revoke_on_its_own_word_nor_by_accounts_that_may_not_have_the_names() {
    let loot = Loot::take().await;
    let Loot { world, certificate, .. } = &loot;
    let before = world.cm.books();
    let policy = json!({"reason": "superseded", "basis": {"type": "gateway-policy"},
                        "certificateSha256": certificate["sha256"], "client": {"ip": "203.0.113.9"}});
    let refusal = loot.revoke(&policy).await;
    assert_eq!(refusal.refusal(), (403, "revocation-not-authorised"), "{}", refusal.text);

    // Evidence is the gateway's word; what registrations may have is not.
    let narrow = json!({"allowedIdentifiers": {"mode": "listed",
        "rules": [{"type": "dns", "match": "exact", "value": "tiny.example.test"}]}});
    let tiny = bound_account(world, &preregister(world, "kid-tiny", narrow).await).await;
    let by_authorizations = |account: &Account| {
        let mut body = account.revocation(certificate, "keyCompromise", 1);
        body["basis"]["type"] = json!("authorizations");
        body["basis"]["validations"] = validations(&["www.example.test"]);
        body
    };
    let refusal = loot.revoke(&by_authorizations(&tiny)).await;
    assert_eq!(refusal.refusal(), (403, "revocation-not-authorised"), "{}", refusal.text);
    assert_eq!(world.cm.books()["revoked"], before["revoked"]);
    // It was the list: an account that may have the name revokes by the same evidence.
    let _ = loot.revoke(&by_authorizations(&loot.accomplice)).await.expect(200);
}

impl Loot {
    async fn update_as_signed(&self, proof: &Value) -> Reply {
        let path = format!("{REGISTERED_REALM}/registrations/{}", self.holder.id);
        let body = json!({"contacts": ["mailto:holder@example.test"], "proof": {"type": "acme", "jws": proof}});
        self.world.patch(Role::Gateway, &path, self.version().await, &body).await
    }
}

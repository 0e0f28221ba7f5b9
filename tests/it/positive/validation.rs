//! Proofs by unusual ways (RFC 8555 §7.5.1, §8.3, §8.4).

use serde_json::{Value, json};
use tests::{
    client::{Client, Order, challenge},
    tls_server::TlsServer,
    world::World,
};

use crate::world;

/// A pending order for one name, its authorization's URL, and one of its challenges.
fn pending(client: &Client, name: &str, kind: &str) -> (Order, String, Value) {
    let order = client.order(&[name]);
    let url = order.object["authorizations"][0].as_str().unwrap().to_owned();
    let challenge = challenge(&client.read(&url).expect(200).json(), kind);
    (order, url, challenge)
}

fn respond(client: &Client, challenge: &Value) {
    let _ = client.post(challenge["url"].as_str().unwrap(), &json!({})).expect(200);
}

#[test]
fn an_answer_behind_ten_redirects_the_last_to_a_self_signed_server_is_found() {
    let server = TlsServer::bind();
    let world = World::start_with(&[("validation", &format!("https_port = {}", server.port()))]);
    let client = world.account();
    let (order, authorization, offered) = pending(&client, "far.scenario.test", "http-01");
    let token = offered["token"].as_str().unwrap().to_owned();
    // In two chunks, and with the end of a line that does not belong to it.
    let answer = format!("{}\r\n", client.key_authorization(&token));
    let (one, two) = answer.split_at(20);
    let chunks = format!("{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
    let seen = server.serve(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
    let behave = |path: &str, location: &str| {
        let behaviour = json!({"path": path, "behaviour": {"kind": "redirect", "location": location}});
        client.site().control("/set-http01-behaviour", &behaviour);
    };
    let _ = client.provide(&client.read(&authorization).expect(200).json(), "http-01");
    behave(&format!("/.well-known/acme-challenge/{token}"), "/hop-1");
    for hop in 1..9 {
        behave(&format!("/hop-{hop}"), &format!("/hop-{}", hop + 1));
    }
    behave("/hop-9", "https://elsewhere.scenario.test/answer");
    respond(&client, &offered);
    let _ = client.wait(&order, "ready");
    assert_eq!(seen.lines(), ["GET /answer HTTP/1.1"]);
}

#[test]
fn a_record_behind_an_alias_whose_text_is_in_pieces_is_found() {
    let client = world().account();
    let (order, _, offered) = pending(&client, "*.alias.scenario.test", "dns-01");
    let answer = client.key_authorization(offered["token"].as_str().unwrap());
    let digest = tests::base64url(openssl::sha::sha256(answer.as_bytes()));
    let alias = json!({"host": "_acme-challenge.alias.scenario.test.", "target": "proofs.elsewhere.test."});
    client.site().control("/set-cname", &alias);
    let (one, rest) = digest.split_at(1);
    let (two, three) = rest.split_at(20);
    for strings in [json!(["one of another ", "order"]), json!([one, "", two, three])] {
        client.site().control("/add-txt-strings", &json!({"host": "proofs.elsewhere.test.", "strings": strings}));
    }
    respond(&client, &offered);
    let _ = client.wait(&order, "ready");
}

#[test]
fn each_of_authorization_challenge_and_order_comes_to_its_end_by_itself() {
    for polled in ["authorization", "challenge", "order"] {
        for good in [true, false] {
            let client = world().account();
            let name = format!("{polled}-{good}.scenario.test");
            let (order, authorization, offered) = pending(&client, &name, "http-01");
            let _ = client.provide(&client.read(&authorization).expect(200).json(), "http-01");
            if !good {
                let path = format!("/.well-known/acme-challenge/{}", offered["token"].as_str().unwrap());
                let wrong = json!({"path": path, "behaviour": {"kind": "content", "content": "wrong"}});
                client.site().control("/set-http01-behaviour", &wrong);
            }
            respond(&client, &offered);
            let (url, proven) = match polled {
                "authorization" => (authorization.as_str(), "valid"),
                "challenge" => (offered["url"].as_str().unwrap(), "valid"),
                _ => (order.url.as_str(), "ready"),
            };
            // Nothing else is read meanwhile.
            let _ = client.wait_at(url, if good { proven } else { "invalid" });
            let at_the_end = client.reread(&order).object["status"].clone();
            assert_eq!(at_the_end, if good { "ready" } else { "invalid" }, "{polled}");
        }
    }
}

//! While the audit files cannot be written events wait in the store: what is refused when as many wait as may, what goes
//! on, and that each of them is in the files afterwards.

use std::{fs, time::Duration};

use acme::{base64url, secret::Secret, time::Timestamp};
use serde_json::json;
use store::{Commit, RecordSeal, backend::Options};
use tests::{
    client::{Client, challenge},
    csr::Csr,
    key::Key,
    response::Response,
    wait_for,
    world::World,
};

use crate::{
    audit::{folder, verified},
    key_change::change_key,
};

/// A busy machine writes what waits in minutes.
const LATER: Duration = Duration::from_secs(600);
/// Events that may wait before nothing new is taken; so many again may of what was promised.
const WAITING_MAX: usize = 10_000;

/// Puts events into the store of a gateway that is down.
fn fill(world: &World) {
    const AT_ONCE: usize = 100;
    let dir = world.site().dir.join("gateway");
    let key = base64url::decode(fs::read_to_string(dir.join("seal.key")).unwrap().trim_end()).unwrap();
    let seal = RecordSeal::derive(&Secret::new(key.try_into().unwrap())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = Options { ballast_octets: 1024 * 1024, ..Options::default() };
        let opened = store::open(&dir.join("store"), &options, seal).await.unwrap();
        assert!(opened.aside.is_none(), "{:?}", opened.aside);
        for _ in 0..WAITING_MAX / AT_ONCE {
            let mut commit = Commit::new();
            for number in 0..AT_ONCE {
                commit.audit(Timestamp::from_unix_secs(1_795_343_400), json!({"event": "filler", "number": number}));
            }
            opened.store.commit(commit).await.unwrap();
        }
    });
}

fn is_refused(what: &str, response: &Response) {
    assert_eq!(response.status, 503, "{what}: {response:?}");
    let detail = response.assert_refused(503, "serverInternal");
    assert!(response.header("retry-after").is_some() && detail.contains("cannot keep its records"), "{what}: {detail}");
}

/// Somebody with an authorization that waits for its challenge.
struct Holder {
    client: Client,
    authorization: String,
}

impl Holder {
    fn new(world: &World, name: &str) -> Self {
        let client = world.account();
        let order = client.order(&[name]);
        let authorization = order.object["authorizations"][0].as_str().unwrap().to_owned();
        Self { client, authorization }
    }

    fn set_contact(&self) -> Response {
        self.client.post(&self.client.account_url(), &json!({"contact": ["mailto:other@example.org"]}))
    }

    fn answer(&self) -> Response {
        let authorization = self.client.read(&self.authorization).expect(200).json();
        let provided = self.client.provide(&authorization, "http-01");
        assert_eq!(provided["url"], challenge(&authorization, "http-01")["url"]);
        self.client.post(provided["url"].as_str().unwrap(), &json!({}))
    }

    fn give_up(&self) -> Response {
        self.client.post(&self.authorization, &json!({"status": "deactivated"}))
    }

    fn deactivate(&self) -> Response {
        self.client.post(&self.client.account_url(), &json!({"status": "deactivated"}))
    }
}

fn new_account(world: &World) -> Response {
    world.client("open").register(&json!({"termsOfServiceAgreed": true}))
}

#[test]
fn while_events_wait_first_orders_are_refused_then_every_change_then_all_and_each_of_them_is_written_later() {
    let mut world = World::start();
    let holders: Vec<_> = (0..4).map(|number| Holder::new(&world, &format!("n{number}.queue.test"))).collect();
    let [first, second, third, fourth] = holders.as_slice() else { panic!() };
    let ready = first.client.ready_order(&["ready.queue.test"]);
    let [one, two] = ["one.queue.test", "two.queue.test"].map(|name| first.client.issue(&[name]));
    let csr = Csr::for_names(&["ready.queue.test"]).text(&Key::p256());
    let (files, aside) = (folder(&world), world.site().dir.join("gateway/aside"));

    // Nothing can be written: what does not lead to a certificate goes on.
    let _ended = world.stop_gateway();
    fs::rename(&files, &aside).unwrap();
    fs::write(&files, "in the way").unwrap();
    world.restart_gateway_unready();
    is_refused("newOrder", &first.client.new_order(&["new.queue.test"]));
    is_refused("finalize", &first.client.finalize(&ready, &csr));
    let _ = new_account(&world).expect(201);
    let _ = second.set_contact().expect(200);
    let _ = second.answer().expect(200);
    let _ = second.client.wait_at(&second.authorization, "valid");
    let _ = change_key(&second.client, &Key::p256()).expect(200);

    // As many events wait as may: nothing is changed, and less danger is still allowed.
    let _ended = world.stop_gateway();
    fill(&world);
    world.restart_gateway_unready();
    let changes = |world: &World, who: &Holder| {
        is_refused("newOrder", &first.client.new_order(&["new.queue.test"]));
        is_refused("finalize", &first.client.finalize(&ready, &csr));
        is_refused("newAccount", &new_account(world));
        is_refused("contacts", &who.set_contact());
        is_refused("challenge", &who.answer());
        is_refused("keyChange", &change_key(&who.client, &Key::p256()));
        // Who has an account still finds it.
        let mut again = who.client.twin();
        assert_eq!(
            again.register(&json!({"onlyReturnExisting": true})).expect(200).location(),
            who.client.account_url()
        );
    };
    changes(&world, third);
    let _ = third.give_up().expect(200);
    let _ = third.deactivate().expect(200);
    let _ = first.client.revoke(&one.leaf, 4).expect(200);

    // The reserve is gone too.
    let _ended = world.stop_gateway();
    fill(&world);
    world.restart_gateway_unready();
    changes(&world, fourth);
    is_refused("deactivation of an authorization", &fourth.give_up());
    is_refused("deactivation of an account", &fourth.deactivate());
    is_refused("revocation", &first.client.revoke(&two.leaf, 4));
    let _ = first.client.read(&ready.url).expect(200);
    let not_ready = world.site().ops("/readyz").expect(503).text();
    assert!(not_ready.contains("audit: "), "{not_ready}");

    fs::remove_file(&files).unwrap();
    fs::rename(&aside, &files).unwrap();
    wait_for("readiness", LATER, || (world.site().ops("/readyz").status == 200).then_some(()));
    let _ = fourth.answer().expect(200);
    let _ = first.client.revoke(&two.leaf, 4).expect(200);
    let _ = first.client.finalize(&ready, &csr).expect(200);
    let _ = first.client.wait(&ready, "valid");
    // What is left when a process ends stays in the store, for the next one.
    wait_for("all that waited", LATER, || {
        let metrics = world.site().ops("/metrics").text();
        metrics.contains("\nacme_gateway_audit_waiting_events 0\n").then_some(())
    });
    world.signal_gateway("TERM");
    assert_eq!(world.gateway_ended(), Some(0));
    let events = verified(&files);
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((count("filler"), count("certificate.revoked"), count("account.deactivated")), (2 * WAITING_MAX, 2, 1));
    assert_eq!((count("account.updated"), count("account.key-changed"), count("authorization.deactivated")), (1, 1, 1));
}

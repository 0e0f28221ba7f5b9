//! Rate limits (RFC 8555 §6.6): what is refused, for how long, and what is not.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{client::Client, response::Response, world::World};

use crate::world;

/// Small limits by account. Nobody meets those by address.
fn by_account() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(|| {
        World::start_with(&[
            ("limits", "new_orders_per_account = { burst = 2, per_secs = 4 }"),
            ("limits", "new_orders_per_external_account = { burst = 3, per_secs = 600 }"),
            ("limits", "failed_validations_per_account_and_name = { burst = 1, per_secs = 600 }"),
            ("limits", "requests_per_account = { burst = 100, per_secs = 20 }"),
        ])
    });
    &WORLD
}

/// That this is how a limit refuses; answers the seconds to wait.
#[track_caller]
fn assert_limited(response: &Response, setting: &str) -> u64 {
    let detail = response.assert_refused(429, "rateLimited");
    let wait: u64 = response.header("retry-after").expect("when to come again").parse().expect("whole seconds");
    assert!(wait >= 1, "{response:?}");
    for words in [format!("(limits.{setting})"), format!("try again in {wait} s")] {
        assert!(detail.contains(&words), "{words} is not in: {detail}");
    }
    wait
}

/// Fails the http-01 challenge of a new order by showing nothing.
fn fail(client: &Client, name: &str) {
    let order = client.order(&[name]);
    let url = order.object["authorizations"][0].as_str().unwrap().to_owned();
    let authorization = client.read(&url).expect(200).json();
    let offered = client.provide(&authorization, "http-01");
    let path = format!("/.well-known/acme-challenge/{}", offered["token"].as_str().unwrap());
    let behaviour = json!({"kind": "content", "content": "something else"});
    client.site().control("/set-http01-behaviour", &json!({"path": path, "behaviour": behaviour}));
    let _ = client.post(offered["url"].as_str().unwrap(), &json!({})).expect(200);
    let _ = client.wait_at(&url, "invalid");
}

#[test]
fn new_orders_of_an_account_are_limited_and_who_waits_as_told_may_go_on() {
    let (client, other) = (by_account().account(), by_account().account());
    let began = Instant::now();
    for name in ["one.example.test", "two.example.test"] {
        let _ = client.new_order(&[name]).expect(201);
    }
    // On a busy machine there may be room again by now.
    let mut granted = 2;
    let refused = tests::wait_for("a refusal", Duration::from_secs(120), || {
        let response = client.new_order(&["three.example.test"]);
        granted += u32::from(response.status == 201);
        (response.status != 201).then_some(response)
    });
    let wait = assert_limited(&refused, "new_orders_per_account");
    assert!(wait <= 2, "one every two seconds: {refused:?}");
    let _ = other.new_order(&["three.example.test"]).expect(201);
    // What cannot be ordered at all is told so, and costs nothing.
    let _ = other.new_order(&["three example test"]).assert_refused(400, "malformed");
    let _ = other.new_order(&["three.example.test"]).expect(201);
    tests::wait_for("the end of the wait", Duration::from_secs(120), || {
        let response = client.new_order(&["three.example.test"]);
        (response.status == 201).then_some(())
    });
    granted += 1;
    // Two at once, and one every two seconds; the gateway may have counted a moment before us.
    let earliest = Duration::from_secs(2 * u64::from(granted - 2)) - Duration::from_millis(100);
    assert!(began.elapsed() > earliest, "it was let through before its time");
}

#[test]
fn accounts_of_one_external_account_key_share_its_orders() {
    let world = by_account();
    let kid = format!("limited-{}", std::process::id());
    let eab = json!({"kid": kid, "use": "multi", "maxBindings": 5});
    let registration = world.officer().preregister(&json!({"eab": eab}));
    let clients = [(); 2].map(|()| {
        let mut client = world.client("registered");
        let binding = client.binding(&registration.kid, &registration.secret);
        let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
        client
    });
    for name in ["one.shared.test", "two.shared.test"] {
        let _ = clients[0].new_order(&[name]).expect(201);
    }
    let _ = clients[1].new_order(&["three.shared.test"]).expect(201);
    let refused = clients[1].new_order(&["four.shared.test"]);
    let wait = assert_limited(&refused, "new_orders_per_external_account");
    assert!((190..=200).contains(&wait), "{refused:?}");
}

#[test]
fn a_name_that_fails_is_left_alone_for_a_while_and_other_names_are_not() {
    let client = by_account().account();
    fail(&client, "fails.example.test");
    let refused = client.new_order(&["fails.example.test"]);
    let wait = assert_limited(&refused, "failed_validations_per_account_and_name");
    assert!((590..=600).contains(&wait), "{refused:?}");
    assert!(refused.member("detail").contains("fails.example.test"), "{refused:?}");
    let _ = client.new_order(&["works.example.test"]).expect(201);
    let _ = by_account().account().new_order(&["fails.example.test"]).expect(201);
}

#[test]
fn a_challenge_that_was_ordered_before_is_limited_too() {
    let client = by_account().account();
    let earlier = client.order(&["twice.example.test"]);
    fail(&client, "twice.example.test");
    let authorization = client.read(earlier.object["authorizations"][0].as_str().unwrap()).expect(200).json();
    let offered = client.provide(&authorization, "http-01");
    let url = offered["url"].as_str().unwrap();
    let _ = assert_limited(&client.post(url, &json!({})), "failed_validations_per_account_and_name");
    assert_eq!(client.read(url).expect(200).json()["status"], "pending", "nothing was changed");
}

#[test]
fn an_account_that_asks_without_a_pause_is_slowed_down_but_can_always_revoke() {
    let client = by_account().account();
    let issued = client.issue(&["busy.example.test"]);
    let url = client.account_url();
    let refused = std::iter::repeat_with(|| client.read(&url)).take(400).find(|response| response.status != 200);
    let wait = assert_limited(&refused.expect("a limit of 100 was not met"), "requests_per_account");
    assert_eq!(wait, 1, "five a second");
    let _ = client.revoke(&issued.leaf, 4).expect(200);
}

#[test]
fn strangers_make_only_so_many_accounts_and_bindings_from_one_address() {
    let world = World::start_with(&[
        ("limits", "unknown_accounts_per_address = { burst = 6, per_secs = 600 }"),
        ("limits", "new_accounts_per_address = { burst = 2, per_secs = 600 }"),
        ("limits", "failed_external_accounts_per_address_and_key_id = { burst = 1, per_secs = 600 }"),
        ("limits", "failed_external_accounts_per_address = { burst = 2, per_secs = 600 }"),
    ]);
    // Two key ids that nobody knows, one of them twice.
    let bind = |kid: &str| {
        let mut client = world.client("registered");
        let binding = client.binding(kid, &[7; 32]);
        client.register(&json!({"externalAccountBinding": binding}))
    };
    let _ = bind("nobody-1").assert_refused(403, "unauthorized");
    let (asked, wait) = world.counting("bindRegistration", || {
        assert_limited(&bind("nobody-1"), "failed_external_accounts_per_address_and_key_id")
    });
    assert_eq!((asked, (590..=600).contains(&wait)), (0, true), "{wait}");
    let _ = bind("nobody-2").assert_refused(403, "unauthorized");
    let _ = assert_limited(&bind("nobody-3"), "failed_external_accounts_per_address");

    // The four keys above had no account; neither have these three, but the third is one too many.
    let _ = (world.account(), world.account());
    let (made, ()) = world.counting("createRegistration", || {
        let refused = world.client("open").register(&json!({}));
        let wait = assert_limited(&refused, "unknown_accounts_per_address");
        assert!((90..=100).contains(&wait), "{wait}");
    });
    assert_eq!(made, 0);
}

/// Asks for accounts that do not exist until the limit of 4 is met.
fn exhaust(world: &World) {
    for _ in 0..4 {
        let nobody = world.client("open").register(&json!({"onlyReturnExisting": true}));
        let _ = nobody.assert_refused(400, "accountDoesNotExist");
    }
    let _ = assert_limited(&world.client("open").register(&json!({})), "unknown_accounts_per_address");
}

#[test]
fn a_host_that_asks_for_strangers_does_not_lock_out_the_accounts_behind_the_same_address() {
    let mut world = World::start_with(&[("limits", "unknown_accounts_per_address = { burst = 4, per_secs = 6000 }")]);
    let (busy, idle) = (world.account(), world.account());
    let order = busy.order(&["behind-nat.example.test"]);
    exhaust(&world);
    for client in [&busy, &idle] {
        // What is known of an account is good for a second; then the CM is asked again.
        tests::wait_for("a question about an account that exists", Duration::from_secs(120), || {
            let (asked, _) = world.counting("getRegistration", || client.read(&client.account_url()).expect(200));
            (asked > 0).then_some(())
        });
    }
    // Another process remembers nobody, but it has the orders.
    world.kill_gateway();
    world.restart_gateway();
    exhaust(&world);
    let (busy, mut idle) = (busy.restarted(), idle.restarted());
    let _ = busy.read(&order.url).expect(200);
    let _ = idle.read(&idle.account_url()).expect(200);
    let _ = idle.register(&json!({})).expect(200);
    let issued = busy.issue(&["revoked-behind-nat.example.test"]);
    let _ = busy.revoke(&issued.leaf, 4).expect(200);
    let mut stranger = world.client("open");
    stranger.kid = Some(stranger.url("acct/reg_nobody"));
    let _ = stranger.new_order(&["a.example.test"]).assert_refused(400, "accountDoesNotExist");
}

#[test]
fn new_orders_of_an_address_are_limited_over_all_its_accounts() {
    let world = World::start_with(&[("limits", "new_orders_per_address = { burst = 2, per_secs = 600 }")]);
    let (one, other) = (world.account(), world.account());
    let _ = one.new_order(&["one.example.test"]).expect(201);
    let _ = other.new_order(&["not a name"]).assert_refused(400, "malformed");
    let _ = other.new_order(&["two.example.test"]).expect(201);
    let wait = assert_limited(&one.new_order(&["three.example.test"]), "new_orders_per_address");
    assert!((290..=300).contains(&wait), "{wait}");
}

#[test]
fn new_accounts_of_an_address_are_limited_and_those_that_are_there_are_found() {
    let world = World::start_with(&[("limits", "new_accounts_per_address = { burst = 2, per_secs = 600 }")]);
    let mut first = world.account();
    // What is refused for itself is not counted.
    let _ = world.client("open").register(&json!({"contact": ["tel:1"]})).assert_refused(400, "unsupportedContact");
    let _ = world.account();
    let refused = world.client("open").register(&json!({"termsOfServiceAgreed": true}));
    let wait = assert_limited(&refused, "new_accounts_per_address");
    assert!((290..=300).contains(&wait), "{refused:?}");
    let _ = first.register(&json!({})).expect(200);
}

#[test]
fn a_flood_from_an_address_gets_503_for_nonces_and_429_for_the_rest_but_can_revoke() {
    let world = World::start_with(&[("limits", "requests_per_address = { burst = 400, per_secs = 20 }")]);
    let client = world.account();
    let issued = client.issue(&["flood.example.test"]);
    let site = world.site();
    let nonce = || site.send("HEAD", &site.url("open", "new-nonce"), &[], None);
    let mut spare = Vec::new();
    let refused = std::iter::repeat_with(nonce).take(2000).find(|response| {
        spare.extend(response.header("replay-nonce").map(str::to_owned));
        response.status != 200
    });
    let refused = refused.expect("a limit of 400 was not met");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    let get = || site.get(&site.url("open", "directory"));
    let limited = std::iter::repeat_with(get).take(100).find(|response| response.status != 200);
    let limited = limited.expect("the limit is for all requests");
    let detail = limited.assert_problem(429, "rateLimited");
    assert!(detail.contains("(limits.requests_per_address)"), "{detail}");
    assert_eq!(limited.header("retry-after"), Some("1"));

    // Nonces of before are as good as new ones.
    let url = client.url("revoke-cert");
    let payload = tests::client::revocation(&issued.leaf, json!(4)).to_string();
    let draft = client.draft(&url, payload).with("nonce", spare.pop().unwrap());
    let _ = client.send(&url, &draft.sign()).expect(200);
    let text = site.ops("/metrics").expect(200).text();
    assert!(text.contains("rate_limited_total{limit=\"requests_per_address\"}"), "{text}");
}

#[test]
fn an_account_has_at_most_three_hundred_pending_orders() {
    let client = world().account();
    let order = |number: usize| client.new_order(&[&format!("n{number}.pending.test")]);
    let orders: Vec<_> = (0..300).map(|number| order(number).expect(201)).collect();
    let refused = order(300);
    let detail = refused.assert_refused(429, "rateLimited");
    assert!(detail.contains("limits.pending_orders_per_account_max") && detail.contains("300 pending"), "{detail}");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(wait > 604_000 && wait <= 604_800, "the first expires in a week: {wait}");
    // One that ends makes room; the account is looked at again after some seconds.
    let authorization = orders[0].json()["authorizations"][0].as_str().unwrap().to_owned();
    let _ = client.post(&authorization, &json!({"status": "deactivated"})).expect(200);
    tests::wait_for("room", Duration::from_secs(120), || (order(300).status == 201).then_some(()));
}

//! Requests of one who asks for too much (RFC 8555 §6.6).

use tests::world::World;

use super::{Row, prove};

pub(super) const ROWS: &[Row] = &[Row::refused("N-112", "Who orders too much waits", 429, "rateLimited", |trial| {
    let world = World::start_with(&[("limits", "new_orders_per_account = { burst = 2, per_secs = 86400 }")]);
    let client = world.account();
    for _ in 0..2 {
        let _ = client.order(&["quota.limits.test"]);
    }
    trial.watch(&client);
    for what in ["the third", "the fourth"] {
        let response = trial.refuse(what, || client.new_order(&["quota.limits.test"]));
        let wait: u32 = response.header("retry-after").unwrap().parse().unwrap();
        assert!((43_000..=43_200).contains(&wait), "one in half a day: {response:?}");
    }
    // Who is out of orders goes on with those that there are.
    let _ = client.read(&client.account_url()).expect(200);
})];

#[test]
fn who_asks_for_too_much_waits() {
    prove(ROWS);
}

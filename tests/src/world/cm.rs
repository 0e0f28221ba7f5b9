//! The reference CM: what it is made to do wrong, what it is asked, and what stands in its books.

use serde_json::{Value, json};

use super::World;

/// More requests than any test makes, to count by.
const COUNT_FROM: u64 = 1_000_000;

impl World {
    /// Orders the next request of a CM operation (`*`: of any) to go wrong.
    pub fn set_fault(&self, operation: &str, fault: &Value) {
        self.set_faults(operation, 1, fault);
    }

    /// Orders the next `count` requests of a CM operation (`*`: of any) to go wrong.
    pub fn set_faults(&self, operation: &str, count: u32, fault: &Value) {
        let _ = self.site.control("/faults", &json!({"operation": operation, "count": count, "fault": fault}));
    }

    /// Faults that were ordered and did not happen yet.
    #[must_use]
    pub fn faults(&self) -> Value {
        self.site.control_get("/faults")
    }

    /// Forgets faults that did not happen yet.
    pub fn clear_faults(&self) {
        self.site.clear_faults();
    }

    /// How many requests of a CM operation (`*`: of any) come in while `act` runs, and what that answers.
    ///
    /// # Panics
    /// Faults of this operation are in force.
    pub fn counting<T>(&self, operation: &str, act: impl FnOnce() -> T) -> (u64, T) {
        assert_eq!(self.faults(), json!([]), "faults would be counted too");
        // A delay of nothing: each request uses up one of them and goes on.
        let fault = json!({"kind": "delay-before", "millis": 0});
        let _ = self.site.control("/faults", &json!({"operation": operation, "count": COUNT_FROM, "fault": fault}));
        let answer = act();
        let left = self.faults()[0]["count"].as_u64().expect("there are more than are ever used");
        self.clear_faults();
        (COUNT_FROM - left, answer)
    }

    /// How many certificates the reference CM issued for this order.
    #[must_use]
    pub fn certificates_of(&self, order_url: &str) -> u64 {
        let id = order_url.rsplit('/').next().unwrap_or_default();
        self.books()["certificatesByOrderRef"][id].as_u64().unwrap_or(0)
    }

    /// What the reference CM has registered, issued and revoked.
    #[must_use]
    pub fn books(&self) -> Value {
        self.site.control_get("/books")
    }
}

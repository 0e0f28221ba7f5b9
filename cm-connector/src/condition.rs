//! How the way to the CM is at this moment: for those who watch, not for those who decide.

/// Circuit and queues of an adapter (CM contract section 6). Nothing is asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// Calls fail at once, because the CM did not answer others.
    pub is_circuit_open: bool,
    /// Calls that wait for a free place.
    pub calls_waiting: usize,
    /// Calls that have a place, by whose share it is: `issuance`, `revocation`, `events`, `rest`.
    pub calls_under_way: Vec<(&'static str, usize)>,
    /// Most calls in a second at present.
    pub calls_per_second_max: u32,
}

//! What one client is going to want, decided before it begins.

/// What one client wants.
pub struct ClientPlan {
    /// Whether an officer has registered it beforehand, and it needs its external account key.
    pub is_registered: bool,
    /// Whether it changes its contact once it has an account.
    pub changes_contact: bool,
    /// One after the other.
    pub orders: Vec<OrderPlan>,
}

/// What one order is for.
pub struct OrderPlan {
    /// Its DNS names.
    pub names: Vec<String>,
    /// Whether its certificate is revoked in the end.
    pub is_revoked: bool,
    /// Whether its client takes the first answer to that for the last.
    pub walks_away: bool,
}

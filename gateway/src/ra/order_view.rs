//! An order with what its status is told by (RFC 8555 §7.1.6).

use acme::{authorization::Authorization, order::Order};
use store::ReadError;

use crate::app::App;

/// An order with everything its status depends on.
pub(crate) struct OrderView {
    pub(crate) order: Order,
    pub(crate) authorizations: Vec<Authorization>,
}

impl OrderView {
    /// Reads the authorizations of an order.
    pub(super) async fn of(app: &App, order: Order) -> Result<Self, ReadError> {
        let authorizations = app.store.authorizations(&order.authorizations).await?;
        Ok(Self { order, authorizations: authorizations.into_iter().map(|stored| stored.value).collect() })
    }
}

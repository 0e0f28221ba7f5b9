//! Which status may follow which (RFC 8555 §7.1.6), for every proof that plays histories.

use acme::{authorization::AuthorizationStatus, order::OrderStatus};

/// The arrows of RFC 8555 §7.1.6 for authorizations, and staying.
pub(crate) fn authorization_may(from: AuthorizationStatus, to: AuthorizationStatus) -> bool {
    use AuthorizationStatus::{Deactivated, Expired, Invalid, Pending, Revoked, Valid};
    from == to
        || match from {
            Pending => matches!(to, Valid | Invalid | Expired | Deactivated),
            Valid => matches!(to, Expired | Deactivated | Revoked),
            Invalid | Deactivated | Expired | Revoked => false,
        }
}

/// The arrows of RFC 8555 §7.1.6 for orders, and staying. One event is one arrow.
pub(crate) fn order_may(from: OrderStatus, to: OrderStatus) -> bool {
    use OrderStatus::{Invalid, Pending, Processing, Ready, Valid};
    from == to
        || match from {
            Pending => matches!(to, Ready | Invalid),
            Ready => matches!(to, Processing | Invalid),
            Processing => matches!(to, Valid | Invalid),
            Valid | Invalid => false,
        }
}

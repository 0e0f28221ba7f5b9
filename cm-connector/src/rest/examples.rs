//! The examples of the CM contract, word for word.

use serde_json::Value;

macro_rules! examples {
    ($($name:ident)*) => {$(
        pub(crate) fn $name() -> Value {
            serde_json::from_str(include_str!(concat!("examples/", stringify!($name), ".json"))).unwrap()
        }
    )*};
}

examples! {
    bind_request certificate_request certificate_request_create create_open delivery health info issuer problem
    profile realm registration renewal_info revocation waived_validation waiver
}

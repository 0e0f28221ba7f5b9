//! Tests of the whole CM over its own TLS listener, with the clients' signatures made for real.

mod accounts;
mod directory_links;
mod evil_gateway;
mod external_account_keys;
mod faults;
mod idempotency;
mod issuance;
mod people;
mod relying_parties;
mod roles;
mod stolen_gateway;
mod waivers;
mod world;

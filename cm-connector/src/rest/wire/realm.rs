//! Realms (CM contract section 4.2), as far as their policy binds registrations.

use acme::{ids::RealmName, registration::AllowedIdentifiers};
use serde::Deserialize;
use serde_json::Value;

use super::{Broken, allowed_identifiers};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct RealmIn {
    name: String,
    #[serde(default)]
    allowed_identifiers: Value,
}

impl RealmIn {
    /// Takes the list of this realm. One that is missing or not understood allows nothing: a CM that has promised
    /// to say what the realm allows must say so.
    pub(in crate::rest) fn convert(self, realm: &RealmName) -> Result<AllowedIdentifiers, Broken> {
        if self.name != realm.as_str() {
            return Err(Broken(format!("realm {realm} was asked for")));
        }
        Ok(allowed_identifiers::convert(self.allowed_identifiers))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rest::examples;

    fn list(json: Value) -> Result<AllowedIdentifiers, Broken> {
        super::super::read::<RealmIn>(json)?.convert(&"tls".parse().unwrap())
    }

    #[test]
    fn the_contracts_realm_is_understood() {
        let AllowedIdentifiers::Any { exclude } = list(examples::realm()).unwrap() else { panic!("any") };
        assert_eq!(exclude.len(), 1);
    }

    #[test]
    fn a_list_that_is_missing_allows_nothing_and_another_realm_is_broken() {
        let nothing = AllowedIdentifiers::Listed { rules: vec![], exclude: vec![] };
        assert_eq!(list(json!({"name": "tls"})), Ok(nothing));
        assert!(list(json!({"name": "other", "allowedIdentifiers": {"mode": "any"}})).is_err());
    }
}

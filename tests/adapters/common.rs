//! What subjects have in common whose officers speak the contract.

use cm_connector::testing::Caller;

/// The methods of `Subject` that are the same wherever somebody answers calls of the contract.
macro_rules! by_contract {
    () => {
        fn cryptography(&self) -> &dyn cm_connector::testing::Cryptography {
            &crate::cryptography::OpenSsl
        }

        fn realm(&self, realm: cm_connector::testing::Realm) -> RealmName {
            use cm_connector::testing::Realm;
            let name = match realm {
                Realm::Open => "open",
                Realm::Registered => "registered",
                Realm::Foreign => "foreign",
            };
            name.parse().unwrap()
        }

        fn acme_base(&self, realm: &RealmName) -> String {
            crate::common::acme_base(realm.as_str())
        }

        fn preregister(
            &self,
            realm: &RealmName,
            wish: &cm_connector::testing::Preregistration,
        ) -> cm_connector::testing::ExternalAccount {
            crate::officer::preregister(self, realm, wish)
        }

        fn draw_link(&self, realm: &RealmName, id: &acme::ids::RegistrationId) -> cm_connector::DirectoryToken {
            crate::officer::draw_link(self, realm, id)
        }

        fn set_status(
            &self,
            realm: &RealmName,
            id: &acme::ids::RegistrationId,
            status: acme::registration::RegistrationStatus,
        ) {
            crate::officer::done(crate::officer::set_status(self, "officer", realm, id, status)).unwrap();
        }

        fn narrow(&self, realm: &RealmName, id: &acme::ids::RegistrationId, suffix: &str) {
            crate::officer::done(crate::officer::limit(self, "officer", realm, id, Some(suffix))).unwrap();
        }

        fn decide(
            &self,
            realm: &RealmName,
            id: &acme::ids::CertificateRequestId,
            decision: cm_connector::testing::Decision,
        ) -> Result<(), String> {
            crate::officer::decide(self, realm, id, decision)
        }
    };
}

pub(crate) use by_contract;

/// Where clients find a realm.
pub(crate) fn acme_base(realm: &str) -> String {
    format!("https://acme.example.net/acme/{realm}")
}

/// The certificate of the throwaway PKI with which somebody calls.
pub(crate) const fn certificate_of(caller: Caller) -> &'static str {
    match caller {
        Caller::Gateway => "gateway",
        Caller::Officer => "officer",
        Caller::Stranger => "acme-server",
    }
}

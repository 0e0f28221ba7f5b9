//! Somebody with an account, who asks for certificates.

use std::sync::Arc;

use acme::ids::RegistrationId;

use super::{Subject, asking::Asking, expect::fresh_name, person::Person};
use crate::CertificateManager;

/// Somebody with an account at the open realm.
pub(super) struct Holder {
    pub(super) subject: &'static dyn Subject,
    pub(super) cm: Arc<dyn CertificateManager>,
    pub(super) person: Person<'static>,
    pub(super) id: RegistrationId,
}

impl Holder {
    pub(super) async fn new(subject: &'static dyn Subject) -> Self {
        let (cm, person) = (subject.gateway(), Person::new(subject));
        let id = person.register(&*cm).await.registration.id;
        Self { subject, cm, person, id }
    }

    pub(super) async fn asking(&self, names: &[&str]) -> Asking {
        Asking::open(self.subject, &self.person, &self.id, &*self.cm, names).await
    }

    /// For a name that nobody else asks for.
    pub(super) async fn ask(&self) -> Asking {
        self.asking(&[&fresh_name("example.com")]).await
    }

    pub(super) fn count(&self, asking: &Asking) -> usize {
        self.subject.certificates(&asking.realm, &asking.name())
    }
}

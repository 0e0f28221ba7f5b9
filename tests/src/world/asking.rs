//! Those who ask the gateway: ACME clients, officers, and the commands of its own program.

use std::{process::Command, sync::Arc};

use serde_json::{Value, json};

use super::World;
use crate::{binaries, client::Client, desk::Desk, key::Key, officer::Officer};

impl World {
    /// A client with a fresh P-256 key and no account yet.
    #[must_use]
    pub fn client(&self, endpoint: &str) -> Client {
        self.client_with(endpoint, Key::p256())
    }

    /// A client with this key and no account yet.
    #[must_use]
    pub fn client_with(&self, endpoint: &str, key: Key) -> Client {
        Client::new(Arc::clone(&self.site), endpoint, key)
    }

    /// A client with an account at `open`.
    #[must_use]
    pub fn account(&self) -> Client {
        let mut client = self.client("open");
        let _ = client.register(&json!({"termsOfServiceAgreed": true})).expect(201);
        client
    }

    /// A client with an account at `registered` whose registration allows these rules, and its registration's id.
    #[must_use]
    pub fn registered_account(&self, allowed_identifiers: &Value) -> (Client, String) {
        self.registered_account_with(&json!({"allowedIdentifiers": allowed_identifiers}))
    }

    /// The same for a registration with these members.
    #[must_use]
    pub fn registered_account_with(&self, members: &Value) -> (Client, String) {
        let registration = self.officer().preregister(members);
        let mut client = self.client("registered");
        let binding = client.binding(&registration.kid, &registration.secret);
        let _ = client.register(&json!({"externalAccountBinding": binding})).expect(201);
        (client, registration.id)
    }

    /// The registration officer of the realm `registered`.
    #[must_use]
    pub fn officer(&self) -> Officer {
        Officer::new(&self.facts, self.site.sandbox_dir().join("pki"))
    }

    /// The program acme-officer as the person with this certificate uses it: `officer`, `approver`, `auditor`.
    #[must_use]
    pub fn desk(&self, certificate: &str) -> Desk {
        Desk::new(&self.site, &self.facts, certificate)
    }

    /// Runs a command of the gateway's program that asks the running gateway, with its settings; answers what it
    /// printed, or what it complained about.
    ///
    /// # Errors
    /// The end of the command's standard error.
    ///
    /// # Panics
    /// It cannot be run.
    pub fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(binaries::gateway());
        let _ = command.args(arguments).arg("--config").arg(self.site.settings_file());
        let output = command.output().unwrap_or_else(|error| panic!("{arguments:?} cannot be run: {error}"));
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

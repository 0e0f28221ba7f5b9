//! The adapter for OpenBao and a real OpenBao over TLS, prepared by the script that operators run.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use acme::{
    identifier::Identifier,
    ids::{ProfileName, RealmName},
    registration::AllowedIdentifiers,
};
use cm_connector::{
    CertificateManager,
    openbao::{
        OpenBaoCertificateManager, Settings,
        officer::{OfficerDesk, Request},
    },
    testing::{Caller, ExternalAccount, OfficersAct, Subject},
};
use policies::identifier::{Verdict, allowed};
use serde_json::{Value, json};
use tests::openbao::{MOUNT, OpenBao, throwaway_pki};

use crate::{
    common::{by_contract, certificate_of},
    fresh_folder,
    officer::Contract,
};

/// How long a sign whose answer was lost is waited for.
const REQUEST_DURATION_MAX: Duration = Duration::from_secs(2);

static SHARED: LazyLock<Prepared> = LazyLock::new(|| {
    let prepared = Prepared::start();
    prepared.bao.lock().unwrap().prepare("foreign", "preregistered", &["--gateway-role", "acme-gateway-elsewhere"]);
    prepared
});

cm_connector::conformance!(&*SHARED, Box::new(Prepared::start()));

/// A running OpenBao with the realms of the suite.
struct Prepared {
    bao: Mutex<OpenBao>,
    address: SocketAddr,
    pki: std::path::PathBuf,
}

impl Prepared {
    fn start() -> Self {
        let dir = fresh_folder();
        let pki = throwaway_pki(&dir);
        let bao = OpenBao::start(&dir, &pki);
        bao.prepare("open", "open", &[]);
        bao.prepare("registered", "preregistered", &[]);
        let address = bao.url().trim_start_matches("https://").parse().unwrap();
        Self { bao: Mutex::new(bao), address, pki }
    }
}

fn settings(address: SocketAddr, pki: &Path, certificate: &str, role: &str) -> Settings {
    Settings {
        addresses: vec![format!("https://{address}")],
        ca_file: pki.join("infra-ca.pem"),
        certificate_file: pki.join(format!("{certificate}.pem")),
        key_file: pki.join(format!("{certificate}.key")),
        login_mount: String::from("cert"),
        login_role: format!("acme-{role}"),
        mount: String::from(MOUNT),
        request_duration_max: REQUEST_DURATION_MAX,
    }
}

/// As the gateway judges.
fn allows(identifier: &Identifier, list: &AllowedIdentifiers) -> bool {
    matches!(allowed(identifier, list), Verdict::Allowed { .. })
}

impl Contract for Prepared {
    fn ask(&self, role: &str, method: &str, path: &str, if_match: Option<u64>, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string);
        let request = Request {
            method,
            path,
            query: &[],
            accept: "application/json",
            if_match,
            idempotency_key: None,
            body: body.as_deref(),
        };
        let answer = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let desk = OfficerDesk::new(settings(self.address, &self.pki, role, role), allows).unwrap();
            runtime.block_on(desk.answer(&request))
        };
        // A runtime of its own, for the caller has one.
        let answer = std::thread::scope(|scope| scope.spawn(answer).join().unwrap());
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }
}

impl Subject for Prepared {
    fn adapter(&self) -> &'static str {
        "openbao"
    }

    by_contract!();

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn gateway_at(&self, address: SocketAddr, caller: Caller) -> Arc<dyn CertificateManager> {
        let certificate = certificate_of(caller);
        let settings = settings(address, &self.pki, certificate, "gateway");
        Arc::new(OpenBaoCertificateManager::new(settings, allows).unwrap())
    }

    fn approving_profile(&self) -> Option<ProfileName> {
        None
    }

    fn certificates(&self, realm: &RealmName, name: &str) -> usize {
        // Nothing of the adapter: OpenBao's own list.
        let listed = self.bao.lock().unwrap().get(&format!("{MOUNT}/{realm}/pki/certs/detailed?list=true"));
        let Some(certificates) = listed.pointer("/data/key_info").and_then(Value::as_object) else {
            assert_eq!(listed["errors"], json!([]), "an empty list: {listed}");
            return 0;
        };
        let has_name =
            |certificate: &&Value| certificate["dns_names"].as_array().is_some_and(|it| it.contains(&json!(name)));
        certificates.values().filter(has_name).count()
    }

    fn attempt(&self, act: OfficersAct, realm: &RealmName, account: &ExternalAccount) -> Result<(), String> {
        let bao = self.bao.lock().unwrap();
        let (realm, kid) = (format!("{MOUNT}/{realm}"), &account.kid);
        let token = bao.token("gateway");
        let write = |record: String, version: u64| {
            let data = json!({"status": "active", "allowedIdentifiers": {"mode": "any"}});
            let body = json!({"options": {"cas": version}, "data": data});
            bao.as_holder(&token, &format!("{realm}/cm/data/{record}"), Some(&body))
        };
        let version = || {
            let read = bao.root(&["read", "-format=json", &format!("{realm}/cm/data/prereg/{kid}")], None);
            read.pointer("/data/metadata/version").and_then(Value::as_u64).expect("a version")
        };
        match act {
            OfficersAct::Preregister => write(format!("prereg/{kid}-another"), 0),
            OfficersAct::Resume => write(format!("prereg/{kid}"), version()),
            OfficersAct::Widen => write(format!("hold/{}", account.registration), 0),
            OfficersAct::TakeSecret => bao.as_holder(&token, &format!("{realm}/eab/export/hmac-key/{kid}"), None),
        }
    }

    fn kill(&self) {
        self.bao.lock().unwrap().kill();
    }

    fn restart(&self) {
        self.bao.lock().unwrap().restart();
    }
}

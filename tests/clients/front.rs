//! A gateway in front of a real OpenBao, for the lanes whose clients go there. It is started while others run, so that
//! these neither wait for it nor fail with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use tests::{
    desk::Desk,
    openbao::{Gateway, OpenBao},
    site::Site,
    world::World,
};

/// The realms, which are called like their endpoints, and who may have an account.
const REALMS: [(&str, &str); 2] = [("open", "open"), ("registered", "preregistered")];

/// OpenBao, the gateway, and what the clients of all lanes did there.
pub(crate) struct Front<'w> {
    /// The world that it shares all else with.
    pub(crate) world: &'w World,
    started: OnceLock<Option<Started>>,
    external_accounts: Mutex<BTreeMap<&'static str, (String, String)>>,
    revocations: Mutex<Revocations>,
}

struct Started {
    bao: OpenBao,
    gateway: Gateway,
}

/// Serial numbers of certificates whose revocation was asked for, and of those for which it was confirmed, by the URL
/// of the CRL that has to list them.
#[derive(Clone, Default)]
pub(crate) struct Revocations {
    pub(crate) asked: BTreeSet<(String, String)>,
    pub(crate) confirmed: BTreeSet<(String, String)>,
}

impl<'w> Front<'w> {
    /// With the names, the validation and the throwaway PKI of this world.
    pub(crate) fn new(world: &'w World) -> Self {
        let (started, external_accounts, revocations) = Default::default();
        Self { world, started, external_accounts, revocations }
    }

    /// Starts both, or waits for whoever is doing so. If they do not start, who needs them fails, and at once.
    pub(crate) fn start(&self) {
        let start = || {
            let bao = OpenBao::start(&self.world.site().dir.join("openbao"), &self.world.site().pki(""));
            for (realm, mode) in REALMS {
                bao.prepare(realm, mode, &["--status-url", &bao.status_url()]);
            }
            Started { gateway: Gateway::start(self.world, &bao), bao }
        };
        let _ = self.started.get_or_init(|| catch_unwind(AssertUnwindSafe(start)).ok());
    }

    /// Where its gateway is.
    pub(crate) fn site(&self) -> &Site {
        self.started().gateway.site()
    }

    /// What its gateway has written to its log.
    pub(crate) fn gateway_log(&self) -> String {
        self.started().gateway.log()
    }

    /// Key id, and secret in base64url, that an officer made for the clients of this lane: for every name below the one
    /// that is called like the lane.
    pub(crate) fn external_account(&self, lane: &'static str) -> (String, String) {
        let desk = self.officer("registered");
        let mut made = locked(&self.external_accounts);
        made.entry(lane)
            .or_insert_with(|| {
                let allow = format!("suffix:{lane}.test");
                let said = desk.json(&["registrations", "create", "--owner", lane, "--allow", &allow]);
                let text = |pointer: &str| said.pointer(pointer).and_then(|text| text.as_str()).map(str::to_owned);
                (text("/eab/kid").expect("a key id"), text("/eab/hmac_key").expect("a key"))
            })
            .clone()
    }

    /// The program of the officer, at OpenBao, in this realm.
    pub(crate) fn officer(&self, realm: &str) -> Desk {
        // Lanes run side by side: whoever reads settings must never find half of them.
        let dir = self.dir().join(format!("{realm}-{:?}", std::thread::current().id()));
        fs::create_dir_all(&dir).expect("a folder can be made");
        Desk::at_openbao(&dir, &self.started().bao, "officer", realm)
    }

    /// What was revoked so far.
    pub(crate) fn revocations(&self) -> MutexGuard<'_, Revocations> {
        locked(&self.revocations)
    }

    fn dir(&self) -> PathBuf {
        self.world.site().dir.join("front")
    }

    fn started(&self) -> &Started {
        self.start();
        self.started.get().and_then(Option::as_ref).expect("OpenBao and the gateway before it are up; see above")
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

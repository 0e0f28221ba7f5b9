//! Lanes of scenarios, and running them.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{officer::Preregistration, site::Site, world::World};

use super::{command::Shell, front::Front, origin::Client, webroot};

/// What a scenario says when it fails.
pub(crate) type Failure = String;

/// Scenarios that run one after the other and may build on each other.
pub(crate) struct Lane<'w> {
    /// The world they run in.
    pub(crate) world: &'w World,
    /// What its clients go to instead of the world's gateway.
    pub(crate) front: Option<&'w Front<'w>>,
    /// What it is called.
    pub(crate) name: &'static str,
    /// The folder of everything the lane's clients write.
    pub(crate) dir: PathBuf,
    /// The lane's own loopback address.
    pub(crate) address: Ipv4Addr,
    /// A port that is free for servers of the lane's own.
    pub(crate) https_port: u16,
    /// The program under test, where a client is there in two versions.
    pub(crate) program: PathBuf,
    /// What an officer made for its clients.
    pub(crate) external_account: Option<Preregistration>,
    scenarios: Vec<Scenario>,
    /// For clients that only write files.
    _web_server: Option<webroot::Server>,
}

/// The steps of a scenario.
type Steps = dyn Fn(&Lane<'_>) -> Result<(), Failure> + Send;

struct Scenario {
    client: Client,
    name: &'static str,
    /// Why the client cannot, if the steps show that it cannot.
    limit: Option<&'static str>,
    run: Box<Steps>,
}

/// What became of a scenario.
pub(crate) struct Outcome {
    pub(crate) client: Client,
    pub(crate) name: &'static str,
    pub(crate) limit: Option<&'static str>,
    pub(crate) took: Duration,
    /// The client's own words.
    pub(crate) failure: Option<Failure>,
}

impl<'w> Lane<'w> {
    /// A lane with the loopback address 127.0.0.`number`.
    pub(crate) fn new(world: &'w World, name: &'static str, number: u8) -> Self {
        let dir = world.site().dir.join(name);
        fs::create_dir_all(&dir).expect("a folder can be made");
        let address = Ipv4Addr::new(127, 0, 0, number);
        // Bound and released: nobody else binds ports on this address.
        let free = TcpListener::bind((address, 0)).and_then(|listener| listener.local_addr());
        let https_port = free.expect("there is a free port").port();
        let program = PathBuf::new();
        Self {
            world,
            front: None,
            name,
            dir,
            address,
            https_port,
            program,
            external_account: None,
            scenarios: Vec::new(),
            _web_server: None,
        }
    }

    /// The same in front of an OpenBao.
    pub(crate) fn at(front: &'w Front<'w>, name: &'static str, number: u8) -> Self {
        Self { front: Some(front), ..Self::new(front.world, name, number) }
    }

    /// The same with this program under test.
    pub(crate) fn running(self, program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), ..self }
    }

    /// The same with a web server for as long as it runs.
    pub(crate) fn with_web_server(self) -> Self {
        let (server, _) = webroot::serve(&self).expect("nobody else is on this address");
        Self { _web_server: Some(server), ..self }
    }

    /// The same for clients that an officer registered.
    pub(crate) fn with_external_account(self, account: Preregistration) -> Self {
        Self { external_account: Some(account), ..self }
    }

    /// The same with one more scenario.
    pub(crate) fn with(
        mut self,
        client: Client,
        name: &'static str,
        run: impl Fn(&Lane<'_>) -> Result<(), Failure> + Send + 'static,
    ) -> Self {
        self.scenarios.push(Scenario { client, name, limit: None, run: Box::new(run) });
        self
    }

    /// The same with one more scenario in which the client is seen to fail because of a limit of its own.
    pub(crate) fn with_limit(
        mut self,
        client: Client,
        name: &'static str,
        limit: &'static str,
        run: impl Fn(&Lane<'_>) -> Result<(), Failure> + Send + 'static,
    ) -> Self {
        self.scenarios.push(Scenario { client, name, limit: Some(limit), run: Box::new(run) });
        self
    }

    /// Lets names resolve to this lane's address.
    pub(crate) fn resolve(&self, names: &[&str]) {
        for name in names {
            let host = format!("{name}.");
            self.world.site().control("/add-a", &json!({"host": host, "addresses": [self.address]}));
        }
    }

    /// What an officer made for this lane's clients: key id, and secret in base64url.
    pub(crate) fn eab(&self) -> (String, String) {
        if let Some(front) = self.front {
            return front.external_account(self.name);
        }
        let account = self.external_account.as_ref().expect("the lane has an external account");
        (account.kid.clone(), tests::base64url(&account.secret))
    }

    /// Where the gateway is that its clients go to, and what is around it.
    pub(crate) fn site(&self) -> &Site {
        self.front.map_or_else(|| self.world.site().as_ref(), Front::site)
    }

    /// Where this lane's clients answer http-01.
    pub(crate) fn http_01_port(&self) -> u16 {
        self.world.site().http_01_port
    }

    /// Where this lane's clients answer tls-alpn-01.
    pub(crate) fn tls_alpn_01_port(&self) -> u16 {
        self.world.site().tls_alpn_01_port
    }

    /// The CA of the gateway's own certificate, which clients must trust to talk to it.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.world.site().pki("acme-ca.pem")
    }

    /// The URL of an endpoint's directory.
    pub(crate) fn directory(&self, endpoint: &str) -> String {
        self.site().url(endpoint, "directory")
    }

    /// The lines of the gateway's log that have all of these words.
    pub(crate) fn gateway_log(&self, words: &[&str]) -> Vec<String> {
        let own = || fs::read_to_string(self.world.site().log("gateway")).unwrap_or_default();
        let text = self.front.map_or_else(own, Front::gateway_log);
        text.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    }

    /// A program with the lane's folder as its own.
    pub(crate) fn shell(&self, program: impl AsRef<Path>) -> Shell {
        Shell::new(program.as_ref(), &self.dir)
    }

    /// Its scenarios: who, what, and whether it is seen that the client cannot.
    pub(crate) fn abilities(&self) -> impl Iterator<Item = (Client, &'static str, bool)> {
        self.scenarios.iter().map(|scenario| (scenario.client, scenario.name, scenario.limit.is_some()))
    }

    /// Runs every scenario, whatever became of the ones before.
    pub(crate) fn run(self) -> Vec<Outcome> {
        self.scenarios.iter().map(|scenario| self.run_one(scenario)).collect()
    }

    fn run_one(&self, scenario: &Scenario) -> Outcome {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (scenario.run)(self)));
        let failure = result.unwrap_or_else(|_| Err("it panicked; see above".to_owned())).err();
        let Scenario { client, name, limit, .. } = scenario;
        let outcome = Outcome { client: *client, name, limit: *limit, took: start.elapsed(), failure };
        match &outcome.failure {
            None => println!("ok      {}: {name} ({:.1} s)", client.name, outcome.took.as_secs_f64()),
            Some(words) => println!("FAILED  {}: {name}\n        {}", client.name, words.replace('\n', "\n        ")),
        }
        outcome
    }
}

//! Lanes of scenarios, running them, and the table at the end.

use std::{
    fs,
    net::Ipv4Addr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::json;
use tests::{officer::Preregistration, world::World};

use super::command::Shell;

/// What a scenario says when it fails.
pub(crate) type Failure = String;

/// Scenarios that run one after the other and may build on each other.
pub(crate) struct Lane<'w> {
    /// The world they run in.
    pub(crate) world: &'w World,
    /// The folder of everything the lane's clients write.
    pub(crate) dir: PathBuf,
    /// The lane's own loopback address.
    pub(crate) address: Ipv4Addr,
    /// What an officer made for its clients.
    pub(crate) external_account: Option<Preregistration>,
    scenarios: Vec<Scenario>,
}

/// The steps of a scenario.
type Steps = dyn Fn(&Lane<'_>) -> Result<(), Failure> + Send;

struct Scenario {
    client: &'static str,
    name: &'static str,
    run: Box<Steps>,
}

/// What became of a scenario.
pub(crate) struct Outcome {
    client: &'static str,
    name: &'static str,
    took: Duration,
    /// The client's own words.
    pub(crate) failure: Option<Failure>,
}

impl<'w> Lane<'w> {
    /// A lane with the loopback address 127.0.0.`number`.
    pub(crate) fn new(world: &'w World, name: &str, number: u8) -> Self {
        let dir = world.site().dir.join(name);
        fs::create_dir_all(&dir).expect("a folder can be made");
        Self { world, dir, address: Ipv4Addr::new(127, 0, 0, number), external_account: None, scenarios: Vec::new() }
    }

    /// The same for clients that an officer registered.
    pub(crate) fn with_external_account(self, account: Preregistration) -> Self {
        Self { external_account: Some(account), ..self }
    }

    /// The same with one more scenario.
    pub(crate) fn with(
        mut self,
        client: &'static str,
        name: &'static str,
        run: impl Fn(&Lane<'_>) -> Result<(), Failure> + Send + 'static,
    ) -> Self {
        self.scenarios.push(Scenario { client, name, run: Box::new(run) });
        self
    }

    /// Lets names resolve to this lane's address.
    pub(crate) fn resolve(&self, names: &[&str]) {
        for name in names {
            let host = format!("{name}.");
            self.world.site().control("/add-a", &json!({"host": host, "addresses": [self.address]}));
        }
    }

    /// Where this lane's clients answer http-01.
    pub(crate) fn http_01_port(&self) -> u16 {
        self.world.site().http_01_port
    }

    /// A program with the lane's folder as its own.
    pub(crate) fn shell(&self, program: &str) -> Shell {
        Shell::new(program, &self.dir)
    }

    /// Runs every scenario, whatever became of the ones before.
    pub(crate) fn run(self) -> Vec<Outcome> {
        self.scenarios.iter().map(|scenario| self.run_one(scenario)).collect()
    }

    fn run_one(&self, scenario: &Scenario) -> Outcome {
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| (scenario.run)(self)));
        let failure = result.unwrap_or_else(|_| Err("it panicked; see above".to_owned())).err();
        let outcome = Outcome { client: scenario.client, name: scenario.name, took: start.elapsed(), failure };
        match &outcome.failure {
            None => println!("ok      {}: {} ({:.1} s)", outcome.client, outcome.name, outcome.took.as_secs_f64()),
            Some(words) => {
                println!("FAILED  {}: {}\n        {}", outcome.client, outcome.name, words.replace('\n', "\n        "))
            }
        }
        outcome
    }
}

/// The table at the end.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut out = format!("{:<10}{:<16}{:<56}{:<8}{:>8}\n", "client", "version", "scenario", "result", "seconds");
    let mut clients: Vec<&'static str> = outcomes.iter().map(|outcome| outcome.client).collect();
    clients.sort_unstable();
    clients.dedup();
    for client in clients {
        let version = version(client);
        for outcome in outcomes.iter().filter(|outcome| outcome.client == client) {
            let result = if outcome.failure.is_none() { "passed" } else { "FAILED" };
            let seconds = outcome.took.as_secs_f64();
            out.push_str(&format!("{client:<10}{version:<16}{:<56}{result:<8}{seconds:>8.1}\n", outcome.name));
        }
    }
    out
}

/// A client's version in its own words, or its package's where it does not know.
fn version(client: &str) -> String {
    let argument = if client == "openssl" { "version" } else { "--version" };
    let of_package = || words_of("dpkg-query", &["-W", "-f", "${Version}", client]);
    let own = words_of(client, &[argument]);
    let own = own.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    own.map_or_else(of_package, str::to_owned)
}

fn words_of(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

//! The table at the end: client, version, scenario, outcome.

use super::{origin::Client, scenario::Outcome};

/// All outcomes, client by client, and then once more what failed, with the clients' last words.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut out = format!("{:<14}{:<26}{:<60}{:<8}{:>7}\n", "client", "version", "scenario", "outcome", "seconds");
    let mut clients: Vec<Client> = Vec::new();
    for outcome in outcomes {
        if !clients.contains(&outcome.client) {
            clients.push(outcome.client);
        }
    }
    clients.sort_by_key(|client| client.name);
    for client in clients {
        let version = client.version();
        for outcome in outcomes.iter().filter(|outcome| outcome.client == client) {
            let seconds = outcome.took.as_secs_f64();
            let (word, reason) = match (&outcome.failure, outcome.limit) {
                (Some(_), _) => ("FAILED", String::new()),
                (None, None) => ("ok", String::new()),
                (None, Some(limit)) => ("limit", format!("{:>40}as expected: {limit}\n", "")),
            };
            out.push_str(&format!("{:<14}{version:<26}{:<60}{word:<8}{seconds:>7.1}\n", client.name, outcome.name));
            out.push_str(&reason);
        }
    }
    for outcome in outcomes {
        if let Some(words) = &outcome.failure {
            let (client, version) = (outcome.client.name, outcome.client.version());
            let words = words.replace('\n', "\n    ");
            out.push_str(&format!("\nFAILED: {client} {version}: {}\n    {words}\n", outcome.name));
        }
    }
    out
}

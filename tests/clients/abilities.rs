//! What each client is seen to do, as the table in `docs/clients/README.md` has it: made from the scenarios, so that it says
//! no more and no less than what runs.

use super::scenario::Lane;

/// The document whose table it is.
const PAGE: &str = include_str!("../../docs/clients/README.md");
/// A column, and the words of scenarios that belong in it; one must have all words of one group.
const COLUMNS: [(&str, &[&[&str]]); 10] = [
    ("http-01", &[&["http-01"]]),
    ("tls-alpn-01", &[&["tls-alpn-01"]]),
    ("dns-01", &[&["dns-01"]]),
    ("external account", &[&["EAB"], &["registered: no account"]]),
    ("directory URL of its own", &[&["linked: an allowed name"]]),
    ("IP address", &[&["IP address"]]),
    ("profile", &[&["profile"]]),
    ("ARI", &[&["ARI"]]),
    ("revokes", &[&["revoke"]]),
    (
        "with a reason",
        &[&["revoke", "superseded"], &["revoke", "reason"], &["revoke", "cessation"], &["revoke", "affiliation"]],
    ),
];

/// The table, if the document has another one.
pub(crate) fn outdated(lanes: &[Lane<'_>]) -> Option<String> {
    let table = table(lanes);
    (!PAGE.contains(&table)).then_some(table)
}

fn table(lanes: &[Lane<'_>]) -> String {
    let mut rows: Vec<(String, &str, bool)> = Vec::new();
    for (client, scenario, limit) in lanes.iter().flat_map(Lane::abilities) {
        rows.push((format!("{}, {}", client.name, client.from()), scenario, limit));
    }
    let mut clients: Vec<&str> = rows.iter().map(|(client, ..)| client.as_str()).collect();
    clients.sort_by_key(|client| client.to_lowercase());
    clients.dedup();
    clients.retain(|client| !client.starts_with("openssl"));
    let heads = COLUMNS.map(|(head, _)| head).join(" | ");
    let mut out = format!("| seen to do | {heads} |\n|---|{}\n", "---|".repeat(COLUMNS.len()));
    for client in clients {
        let own = || rows.iter().filter(|(name, ..)| name == client);
        let cell = |groups: &[&[&str]]| {
            let mut found = own().filter(|(_, scenario, _)| belongs(scenario, groups)).map(|(_, _, limit)| *limit);
            match found.next() {
                None => "–",
                // One scenario in which it can is enough.
                Some(limit) if limit && found.all(|limit| limit) => "cannot",
                Some(_) => "yes",
            }
        };
        out.push_str(&format!("| {client} | {} |\n", COLUMNS.map(|(_, groups)| cell(groups)).join(" | ")));
    }
    out
}

fn belongs(scenario: &str, groups: &[&[&str]]) -> bool {
    // Neither a challenge that fails nor what others revoke shows what the client can do.
    let other = scenario.contains("fails") || scenario.contains("revoked");
    !other && groups.iter().any(|words| words.iter().all(|word| scenario.contains(word)))
}

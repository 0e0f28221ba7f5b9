//! What would change is told before it is saved: also for accounts that came from a registration, for profiles and for
//! the validity; on the page and on the command line by one function.

use serde_json::json;
use tests::client::Client;

use super::{super::text, Console, hidden};
use crate::{
    officer::{bound, created},
    world,
};

/// The table with this caption.
fn table<'h>(html: &'h str, caption: &str) -> &'h str {
    let found = html.split("<caption>").find(|part| part.starts_with(caption));
    found.unwrap_or_else(|| panic!("no table {caption} in\n{html}")).split("</table>").next().unwrap()
}

const LOST: &str = "Certificates in force whose renewal will be refused";

fn account(client: &Client) -> String {
    client.account_url().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn certificates_of_accounts_that_came_from_it_are_named_too() {
    let parent = created(&["--allow", "suffix:family.console.test", "--use", "multi"]);
    let id = text(&parent, "/id");
    let child = bound(&parent);
    let _ = child.issue(&["kept.family.console.test"]);
    let _ = child.issue(&["gone.family.console.test"]);
    let mut console = Console::open("officer", "family");
    let editor = format!("registrations/{id}/list");
    let version = hidden(&console.text(&editor), "version");
    let change = [("version", version.as_str()), ("allow", "exact:kept.family.console.test")];
    let html = console.submit(&editor, &format!("{editor}/preview"), &change).expect(200).text();
    let lost = table(&html, LOST);
    assert!(lost.contains("gone.family.console.test") && !lost.contains(">kept.family"), "{lost}");
    assert!(lost.contains(&account(&child)) && lost.contains("identifier.not-listed"), "{lost}");

    let dry = ["registrations", "update", id, "--allow", "exact:kept.family.console.test", "--dry-run"];
    let shown = world().desk("officer").json(&dry);
    assert_eq!(shown["no_longer_renewable"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(text(&shown, "/no_longer_renewable/0/registration"), account(&child));
    assert_eq!(shown["no_longer_renewable"][0]["refused_today"], false);
    // The word of the gateway is the same once it is saved.
    let _ = console.submit(&editor, &editor, &change).expect(303);
    tests::wait_for("the effect", super::AT_ONCE, || {
        (child.new_order(&["gone.family.console.test"]).status == 403).then_some(())
    });
    assert_eq!(child.new_order(&["kept.family.console.test"]).status, 201);
}

#[test]
fn a_profile_that_is_taken_away_is_told_with_the_certificates_that_have_it() {
    let registration = created(&["--allow", "suffix:profile.console.test", "--profile", "tls-server"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let _ = client.issue(&["www.profile.console.test"]);
    let mut console = Console::open("officer", "profile");
    let editor = format!("registrations/{id}/list");
    let html = console.text(&editor);
    assert!(html.contains("name=\"profiles\" value=\"tls-server\" checked"), "{html}");
    let version = hidden(&html, "version");
    let list = [("version", version.as_str()), ("allow", "suffix:profile.console.test"), ("max_validity", "")];
    let change = [&list[..], &[("profiles", "tls-server-approval")]].concat();
    let html = console.submit(&editor, &format!("{editor}/preview"), &change).expect(200).text();
    for part in ["<h3>Profiles</h3>", "<del>tls-server</del>", "<ins>tls-server-approval</ins>"] {
        assert!(html.contains(part), "no {part} in\n{html}");
    }
    assert!(!html.contains("<h3>List</h3>"), "{html}");
    assert!(table(&html, LOST).contains("may not use the profile tls-server"), "{html}");
    assert_eq!(hidden(&html, "profiles"), "tls-server-approval");
    let _ = console.submit(&editor, &editor, &change).expect(303);
    let shown = world().desk("officer").json(&["registrations", "show", id]);
    assert_eq!(shown["allowed_profiles"], json!(["tls-server-approval"]));
}

#[test]
fn a_shorter_validity_is_told_with_the_certificates_that_are_longer() {
    let registration = created(&["--allow", "suffix:shorter.console.test"]);
    let (client, id) = (bound(&registration), text(&registration, "/id"));
    let _ = client.issue(&["www.shorter.console.test"]);
    let mut console = Console::open("officer", "shorter");
    let editor = format!("registrations/{id}/list");
    let version = hidden(&console.text(&editor), "version");
    let list = [("version", version.as_str()), ("allow", "suffix:shorter.console.test")];
    let preview = format!("{editor}/preview");
    let wrong = [&list[..], &[("max_validity", "a week")]].concat();
    let html = console.submit(&editor, &preview, &wrong).expect(400).text();
    assert!(html.contains("id=\"max_validity-mistake\"") && html.contains("value=\"a week\""), "{html}");
    let change = [&list[..], &[("max_validity", "7d")]].concat();
    let html = console.submit(&editor, &preview, &change).expect(200).text();
    assert!(html.contains("<ins>P7D</ins>") && html.contains("All certificates in force could be renewed"), "{html}");
    assert!(table(&html, "Renewed for a shorter time").contains("P7D"), "{html}");
    let dry = ["registrations", "update", id, "--max-validity", "P7D", "--dry-run"];
    let shown = world().desk("officer").json(&dry);
    assert_eq!(text(&shown, "/renewed_for_less/0/at_most"), "P7D");
    assert_eq!(shown["no_longer_renewable"], json!([]));
    let _ = console.submit(&editor, &editor, &change).expect(303);
    let shown = world().desk("officer").json(&["registrations", "show", id]);
    assert_eq!(text(&shown, "/max_validity"), "P7D");
    // A form that says nothing about validity and profiles leaves them as they are.
    let version = hidden(&console.text(&editor), "version");
    let list = [("version", version.as_str()), ("allow", "exact:www.shorter.console.test")];
    let _ = console.submit(&editor, &editor, &list).expect(303);
    let shown = world().desk("officer").json(&["registrations", "show", id]);
    assert_eq!(text(&shown, "/max_validity"), "P7D");
}

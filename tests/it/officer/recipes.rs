//! Recipes that are shown with a new key: what stands in them can be asked for, with that key. And the sheet's word of the CA.

use std::{fs, process::Command};

use super::text;
use crate::world;

/// The recipe for this client, and the registration's id.
fn recipe(client: &str, more: &[&str]) -> (String, String) {
    let desk = world().desk("officer");
    let words = ["registrations", "create", "--owner", "recipes", "--recipe", client];
    let shown = desk.text(&[&words[..], more].concat());
    let id =
        shown.lines().next().and_then(|line| line.strip_prefix("Registered ")).expect("it is registered").to_owned();
    let (_, recipe) = shown.split_once(&format!("{client}\n")).expect("there is a recipe");
    (recipe.to_owned(), id)
}

#[test]
fn a_recipe_asks_for_what_the_list_allows() {
    let desk = world().desk("officer");
    let table = [
        (vec!["--allow", "suffix:e.recipe.test", "--exclude", "exact:e.recipe.test"], "www.e.recipe.test"),
        (vec!["--allow", "cidr:192.0.2.0/24"], "192.0.2.1"),
        (vec!["--allow", "wildcard:*.w.recipe.test"], "*.w.recipe.test"),
    ];
    for (list, name) in table {
        let (recipe, id) = recipe("lego", &list);
        assert!(recipe.contains(&format!("--domains '{name}'")), "{list:?}: {recipe}");
        assert_eq!(text(&desk.json(&["explain", &id, name]), "/decision"), "allow", "{list:?}");
        assert_eq!(recipe.contains("--dns manual"), name.starts_with('*'), "{recipe}");
    }
    let (recipe, _) = recipe("lego", &["--allow-any"]);
    assert!(recipe.contains("# put a name that the list allows in place of NAME"), "{recipe}");
}

#[test]
fn a_recipe_says_the_mac_that_its_key_is_for() {
    let list = ["--allow", "suffix:mac.recipe.test", "--algorithm", "HS512"];
    let (certbot, _) = recipe("certbot", &list);
    assert!(certbot.contains("--eab-hmac-alg=HS512") && certbot.contains("certbot 4.2"), "{certbot}");
    let (lego, _) = recipe("lego", &list);
    assert!(lego.contains("this one is for HS512") && !lego.contains("--hmac="), "{lego}");
    let both = [&list[..], &["--algorithm", "HS256"]].concat();
    let (lego, _) = recipe("lego", &both);
    assert!(lego.contains("--hmac="), "every client has the usual one: {lego}");
}

#[test]
fn the_sheet_says_how_to_recognize_the_ca() {
    let site = world().site();
    let ca = site.pki("infra-ca.pem");
    let sheet = site.dir.join("sheet-with-a-ca.html");
    let desk = world().desk("officer").trusting(&ca);
    let words = ["registrations", "create", "--owner", "o", "--allow", "suffix:ca.recipe.test", "--sheet"];
    let _ = desk.text(&[&words[..], &[sheet.to_str().unwrap()]].concat());
    let page = fs::read_to_string(&sheet).unwrap();
    let openssl = Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&ca).output();
    let said = String::from_utf8(openssl.unwrap().stdout).unwrap();
    let octets: Vec<&str> = said.trim().split_once('=').unwrap().1.split(':').collect();
    let groups = octets.chunks(2).map(<[&str]>::concat).collect::<Vec<_>>().join(" ");
    assert!(page.contains(&groups), "{groups}");
    assert!(page.contains("the CA certificate that the officer gives you, O=ACME sandbox"), "{page}");
    assert!(!page.contains("infra-ca.pem"), "nobody at the machine has the officer's files");
}

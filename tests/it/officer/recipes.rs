//! Recipes that are shown with a new key: what stands in them can be asked for, with that key.

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

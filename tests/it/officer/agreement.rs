//! Random lists as officers write them: what is explained and what the CM's own reading of the list says are the same.
//! The CM is asked by a search for registrations whose list allows a name. The gateway, and lists of realms and
//! parents, are held against both in `effective_policy`.

use tests::random::Random;

use super::text;
use crate::world;

/// Lists that are tried.
const LISTS: u64 = 8;
/// Names that are tried on each of them.
const NAMES: [&str; 16] = [
    "agree.test",
    "*.agree.test",
    "a.agree.test",
    "*.a.agree.test",
    "b.a.agree.test",
    "c.b.a.agree.test",
    "evilagree.test",
    "*.evilagree.test",
    "evila.agree.test",
    "agree.test.evil.test",
    "xn--bcher-kva.agree.test",
    "www.xn--bcher-kva.agree.test",
    "127.0.0.1",
    "127.0.0.9",
    "127.0.1.1",
    "2001:db8::7",
];

fn entry(random: &mut Random) -> String {
    let name =
        random.one_of(&["agree.test", "a.agree.test", "b.a.agree.test", "b\u{fc}cher.agree.test", "Evilagree.test."]);
    match random.between(0..=4) {
        0 => format!("suffix:{name}"),
        1 => format!("suffix:{name},no-wildcards"),
        2 => format!("exact:{name}"),
        3 => format!("wildcard:*.{name}"),
        _ => format!(
            "cidr:{}",
            random.one_of(&["127.0.0.0/29", "::ffff:127.0.0.0/120", "2001:db8::/32", "127.0.0.0/23"])
        ),
    }
}

#[test]
fn explanation_and_the_search_of_the_cm_agree_on_lists_as_officers_write_them() {
    let mut random = Random::of(0x0ff1_ce12, &[]);
    let desk = world().desk("officer");
    let mut allowed = 0;
    for list in 0..LISTS {
        let owner = format!("agreement {list}");
        let mut words = vec!["--owner".to_owned(), owner.clone()];
        for (option, most) in [("--allow", 3), ("--exclude", 2)] {
            let least = u64::from(option == "--allow");
            for _ in 0..random.between(least..=most) {
                words.extend([option.to_owned(), entry(&mut random)]);
            }
        }
        let arguments: Vec<&str> =
            ["registrations", "create"].into_iter().chain(words.iter().map(String::as_str)).collect();
        let registration = desk.json(&arguments);
        let id = text(&registration, "/id");
        for name in NAMES {
            let explained = desk.json(&["explain", id, name]);
            let is_allowed = explained["decision"] == "allow";
            let found = desk.json(&["registrations", "list", "--owner", &owner, "--identifier", name]);
            let by_cm = found["items"].as_array().is_some_and(|items| items.len() == 1);
            assert_eq!(is_allowed, by_cm, "the CM and explain differ about {name} by {words:?}: {explained}");
            allowed += usize::from(is_allowed);
        }
    }
    assert!((10..100).contains(&allowed), "the lists allow too little or too much to prove anything: {allowed}");
}

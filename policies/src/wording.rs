//! Lists inside sentences for clients, short enough for a problem's `detail`.

use std::fmt::Display;

/// Most things that one list names.
const ITEMS_MAX: usize = 10;
/// Longest list in characters, so that a detail with two of them stays below 1 KiB.
const LENGTH_MAX: usize = 400;

/// Names the first few of some things and counts the rest: `a, b and 3 more`.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    let mut left_out: usize = 0;
    for (index, item) in items.into_iter().enumerate() {
        let item = item.to_string();
        if left_out > 0 || index >= ITEMS_MAX || text.len() + item.len() > LENGTH_MAX {
            left_out += 1;
            continue;
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&item);
    }
    if left_out > 0 {
        text.push_str(&format!(" and {left_out} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_ten_things_and_count_the_rest() {
        assert_eq!(list(["a", "b"]), "a, b");
        assert_eq!(list(1..=12), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more");
    }

    #[test]
    fn lists_of_long_names_stay_short() {
        let name = "a".repeat(253);
        assert_eq!(list([&name, &name, &name]), format!("{name} and 2 more"));
    }
}

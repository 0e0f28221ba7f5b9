//! The tables of requirements, `docs/CONFORMANCE.md`, `docs/conformance/` and `docs/THREAT_MODEL.md`: every requirement of
//! the list stands there once, in a state that is defined, with tests that exist or with a reason.
//!
//! Whether a test proves what its row says is for readers to judge.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{Finding, tree::TextFile};

/// The document that defines the states; the tables are beside it.
const INDEX: &str = "docs/CONFORMANCE.md";
const TABLES: &str = "docs/conformance/";
/// Has other tables too; of requirements are the rows that begin so.
const THREAT_MODEL: &str = "docs/THREAT_MODEL.md";
const SECURITY: &str = "R-SEC-";
/// Where the verbs of `cargo xtask` are.
const VERBS: &str = "xtask/src/main.rs";
/// First cell of a table's head, and the cells of each row: id, what is asked, state, tests, remark.
const HEAD: &str = "id";
const CELLS: usize = 5;

/// The list: areas of requirements, how many each has, and the letter before them. `R` are requirements, `Q` what
/// clients need or trip over, `D` what clients were seen to demand, `P` what must work from end to end.
const LIST: [(&str, &[(&str, usize)]); 4] = [
    (
        "R-",
        &[
            ("HTTP", 17),
            ("HDR", 12),
            ("URL", 9),
            ("GET", 7),
            ("JWS", 15),
            ("ALG", 8),
            ("KEY", 5),
            ("NONCE", 7),
            ("LIM", 5),
            ("DIR", 11),
            ("NN", 5),
            ("ACCT", 9),
            ("CONT", 7),
            ("TOS", 4),
            ("EAB", 13),
            ("UPD", 4),
            ("DEAC", 4),
            ("ROLL", 7),
            ("ORDS", 3),
            ("ORD", 16),
            ("DNSN", 10),
            ("IPN", 4),
            ("OST", 8),
            ("AUTHZ", 14),
            ("PRE", 3),
            ("CHAL", 13),
            ("VAL", 10),
            ("H01", 12),
            ("D01", 9),
            ("ALPN", 8),
            ("IP", 3),
            ("DACC", 3),
            ("DPER", 7),
            ("DATT", 8),
            ("ONION", 1),
            ("CAA", 10),
            ("MPIC", 4),
            ("FIN", 9),
            ("CSR", 13),
            ("ISS", 5),
            ("CERT", 12),
            ("REV", 13),
            ("ARI", 12),
            ("PROF", 7),
            ("PROB", 9),
            ("BR", 16),
            ("PRIV", 9),
            ("RA", 12),
        ],
    ),
    (
        "Q-",
        &[
            ("CERTBOT", 8),
            ("ACMESH", 5),
            ("LEGO", 6),
            ("CADDY", 6),
            ("GO", 4),
            ("CM", 4),
            ("MODMD", 3),
            ("NGX", 3),
            ("UACME", 3),
            ("DEHY", 2),
            ("TINY", 1),
            ("GETSSL", 5),
            ("POSH", 3),
            ("WACS", 5),
            ("ACME4J", 1),
            ("ACMETOOL", 1),
            ("INSTANT", 1),
            ("PROXMOX", 1),
            ("TRUENAS", 3),
            ("HAPROXY", 1),
            ("MISC", 5),
            ("FORTI", 1),
            ("CISCO", 3),
            ("F5", 1),
            ("PAN", 1),
            ("SYNO", 1),
            ("PRINT", 1),
            ("APPLE", 2),
            ("SEEN", 1),
        ],
    ),
    ("D", &[("", 17)]),
    ("P", &[("", 32)]),
];

/// The numbers of the requirements of security: of requests, validation, floods and the host.
const SECURITY_NUMBERS: [RangeInclusive<usize>; 4] = [1..=16, 20..=34, 40..=50, 60..=70];

/// What a row in this state must have beside the state.
struct State {
    name: &'static str,
    tests: bool,
    remark: bool,
}

const STATES: [State; 9] = [
    State { name: "done", tests: true, remark: false },
    State { name: "partly", tests: true, remark: true },
    State { name: "unproven", tests: false, remark: true },
    State { name: "missing", tests: false, remark: true },
    State { name: "diverges", tests: false, remark: true },
    State { name: "not offered", tests: false, remark: true },
    State { name: "operator", tests: false, remark: true },
    State { name: "CM", tests: false, remark: true },
    State { name: "client", tests: false, remark: true },
];

/// Finds requirements without a row or with two, and rows without what their state asks for.
pub(crate) fn check(files: &[TextFile]) -> Vec<Finding> {
    let Some(index) = files.iter().find(|file| file.path == INDEX) else {
        return vec![Finding::new(INDEX, 1, "this document must exist")];
    };
    let mut findings: Vec<Finding> = STATES
        .iter()
        .filter(|state| !index.text.lines().any(|line| line.starts_with(&format!("| {} |", state.name))))
        .map(|state| Finding::new(INDEX, 1, format!("the state {} is not defined here", state.name)))
        .collect();
    let mut rows: BTreeMap<String, usize> = ids().into_iter().map(|id| (id, 0)).collect();
    for file in files.iter().filter(|file| file.path.starts_with(TABLES) || file.path == THREAT_MODEL) {
        for (line, number) in file.text.lines().zip(1..) {
            let Some(cells) = cells(line) else { continue };
            if file.path == THREAT_MODEL && !cells.first().is_some_and(|id| id.starts_with(SECURITY)) {
                continue;
            }
            match cells.first().and_then(|id| rows.get_mut(*id)) {
                Some(count) => {
                    *count = count.saturating_add(1);
                    let rules = check_row(files, &cells).into_iter();
                    findings.extend(rules.map(|rule| Finding::new(&file.path, number, rule)));
                }
                None => {
                    let rule = "the first cell is no id of the list of requirements";
                    findings.push(Finding::new(&file.path, number, rule));
                }
            }
        }
    }
    let wrong = rows.into_iter().filter(|(_, count)| *count != 1);
    findings.extend(wrong.map(|(id, count)| {
        let tables = if id.starts_with(SECURITY) { THREAT_MODEL } else { TABLES };
        Finding::new(INDEX, 1, format!("{id} has {count} rows in {tables}; it needs exactly one"))
    }));
    findings
}

/// Every id of the list.
fn ids() -> Vec<String> {
    let ids = LIST.iter().flat_map(|(letter, areas)| {
        areas.iter().flat_map(move |(area, count)| (1..=*count).map(move |number| format!("{letter}{area}-{number}")))
    });
    let security = SECURITY_NUMBERS.iter().cloned().flatten().map(|number| format!("{SECURITY}{number}"));
    ids.chain(security).collect()
}

/// The cells of a table row; `None` for the lines around it.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('|')?.trim_end().strip_suffix('|')?;
    let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
    let first = cells.first()?;
    (*first != HEAD && !first.starts_with("--")).then_some(cells)
}

/// What is wrong with a row.
fn check_row(files: &[TextFile], cells: &[&str]) -> Vec<String> {
    let [_, asked, state, tests, remark] = cells else {
        return vec![format!(
            "{} cells, where {CELLS} are wanted: id, what is asked, state, tests, remark",
            cells.len()
        )];
    };
    let mut wrong = Vec::new();
    if asked.is_empty() {
        wrong.push(String::from("what is asked is not said"));
    }
    match STATES.iter().find(|known| known.name == *state) {
        None => wrong.push(format!("the state {state} is not one of those that {INDEX} defines")),
        Some(known) => {
            if known.tests && tests.is_empty() {
                wrong.push(format!("{state} without a test that proves it"));
            }
            if known.remark && remark.is_empty() {
                wrong.push(format!("{state} without a reason"));
            }
        }
    }
    let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
    if tests.split('`').step_by(2).any(|between| !between.trim_matches([',', ' ']).is_empty()) {
        wrong.push(String::from("tests are named between backticks, with commas between them"));
    }
    wrong.extend(names.iter().filter(|name| !exists(files, name)).map(|name| format!("there is no test {name}")));
    wrong
}

/// Whether there is such a test: `cargo xtask verb`, `crate::module::name`, `it::module::name` for the end-to-end tests, `clients::name` for
/// the scenarios of one real client, or the id of a row in a table of end-to-end tests, such as `N-049`.
fn exists(files: &[TextFile], name: &str) -> bool {
    if let Some(verb) = name.strip_prefix("cargo xtask ") {
        let called =
            format!("Verb::{}{}", verb.get(..1).unwrap_or_default().to_uppercase(), verb.get(1..).unwrap_or_default());
        return files.iter().any(|file| file.path == VERBS && file.text.contains(&called));
    }
    let parts: Vec<&str> = name.split("::").collect();
    match parts.as_slice() {
        [id] => {
            let quoted = format!("\"{id}\"");
            is_row_id(id) && files.iter().any(|file| file.path.starts_with("tests/it/") && file.text.contains(&quoted))
        }
        ["clients", client] => {
            let places = [format!("tests/clients/{client}.rs"), format!("tests/clients/{client}/mod.rs")];
            files.iter().any(|file| places.contains(&file.path))
        }
        [first, modules @ .., function] => {
            let modules = modules.join("/");
            let places = match *first {
                "it" => vec![format!("tests/it/{modules}")],
                other => {
                    let folder = other.replace('_', "-");
                    vec![format!("{folder}/src/{modules}"), format!("{folder}/tests/{modules}")]
                }
            };
            let is_place = |path: &str| {
                places.iter().any(|place| {
                    let rest = path.strip_prefix(place.trim_end_matches('/'));
                    rest.is_some_and(|rest| matches!(rest, ".rs" | "/mod.rs" | "/tests.rs" | "/lib.rs"))
                })
            };
            files.iter().any(|file| is_place(&file.path) && has_test(&file.text, function))
        }
        [] => false,
    }
}

/// `N-049`: a letter and three digits, or two.
fn is_row_id(id: &str) -> bool {
    id.split_once('-').is_some_and(|(letter, number)| {
        letter.len() == 1
            && letter.bytes().all(|octet| octet.is_ascii_uppercase())
            && matches!(number.len(), 2 | 3)
            && number.bytes().all(|octet| octet.is_ascii_digit())
    })
}

/// Whether a function of this name stands under an attribute that makes it a test.
fn has_test(text: &str, function: &str) -> bool {
    let begins = [format!("fn {function}("), format!("async fn {function}(")];
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    lines.iter().enumerate().any(|(index, line)| {
        let above = lines.iter().take(index).rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        begins.iter().any(|begin| line.starts_with(begin))
            && above.into_iter().any(|line| line.starts_with("#[") && line.contains("test"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "| R-HTTP-1 | HTTPS only | done | `it::transport::plain_http_is_refused` | |";

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    /// A repository with a full table in which the row of R-HTTP-1 is replaced by these lines.
    fn repository(rows: &str) -> Vec<TextFile> {
        let states: String = STATES.iter().map(|state| format!("| {} | as it says |\n", state.name)).collect();
        let others = ids().into_iter().filter(|id| id != "R-HTTP-1");
        let others: String = others.map(|id| format!("| {id} | something | missing | | to come |\n")).collect();
        let head = "| id | asked | state | tests | remark |\n|---|---|---|---|---|\n";
        let it = "#[test]\nfn plain_http_is_refused() {}\n\nfn no_test() {}\nRow(\"N-049\", \"N-0501\");\n// N-001\n";
        let acme = "    #[tokio::test]\n    #[cfg(unix)]\n    async fn keys_are_kept() {}\n";
        vec![
            file(INDEX, &states),
            file("docs/conformance/all.md", &format!("# All\n\n{head}{rows}\n{others}")),
            file("tests/it/transport.rs", it),
            file("tests/clients/certbot.rs", "//! certbot."),
            file("cm-connector/src/rest/tests.rs", acme),
        ]
    }

    fn found(rows: &str) -> Vec<String> {
        check(&repository(rows)).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn the_list_has_every_requirement_once() {
        let all = ids();
        let of = |letter: &str| all.iter().filter(|id| id.starts_with(letter)).count();
        assert_eq!((of("R-"), of("Q-"), of("D-"), of("P-")), (465, 82, 17, 32));
        assert_eq!(of(SECURITY), 53);
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), all.len());
    }

    #[test]
    fn a_full_table_is_fine() {
        assert_eq!(found(ROW), Vec::<String>::new());
        for tests in ["`cm_connector::rest::keys_are_kept`, `N-049`", "`clients::certbot`"] {
            assert_eq!(found(&format!("| R-HTTP-1 | HTTPS | done | {tests} | |")), Vec::<String>::new());
        }
    }

    #[test]
    fn rows_that_are_missing_doubled_or_unknown_are_found() {
        assert_eq!(found(""), ["R-HTTP-1 has 0 rows in docs/conformance/; it needs exactly one"]);
        let twice = found(&format!("{ROW}\n{ROW}"));
        assert_eq!(twice, ["R-HTTP-1 has 2 rows in docs/conformance/; it needs exactly one"]);
        let unknown = found(&format!("{ROW}\n| R-HTTP-99 | x | missing | | y |"));
        assert_eq!(unknown, ["the first cell is no id of the list of requirements"]);
    }

    #[test]
    fn rows_without_what_their_state_asks_for_are_found() {
        for (row, rule) in [
            ("| R-HTTP-1 | HTTPS | done | | |", "done without a test that proves it"),
            ("| R-HTTP-1 | HTTPS | partly | `N-049` | |", "partly without a reason"),
            ("| R-HTTP-1 | HTTPS | diverges | | |", "diverges without a reason"),
            ("| R-HTTP-1 | | missing | | later |", "what is asked is not said"),
            ("| R-HTTP-1 | HTTPS | fine | | |", "the state fine is not one of those that docs/CONFORMANCE.md defines"),
            (
                "| R-HTTP-1 | HTTPS | done | `N-049` |",
                "4 cells, where 5 are wanted: id, what is asked, state, tests, remark",
            ),
            ("| R-HTTP-1 | HTTPS | done | N-049 | |", "tests are named between backticks, with commas between them"),
        ] {
            assert_eq!(found(row), [rule], "{row}");
        }
    }

    #[test]
    fn the_threat_model_has_tables_of_its_own_and_of_requirements() {
        let mut files = repository(ROW);
        let row = "| R-SEC-1 | something | missing | | to come |\n";
        files[1].text = files[1].text.replace(row, "");
        files.push(file(VERBS, "        Verb::Deny(options) => deny::run(&options),"));
        let mut model = |rows: &str| {
            files.retain(|file| file.path != THREAT_MODEL);
            files.push(file(THREAT_MODEL, &format!("| attacker | wants |\n|---|---|\n| a flood | silence |\n{rows}")));
            check(&files).into_iter().map(|finding| finding.rule).collect::<Vec<String>>()
        };
        assert_eq!(model(row), Vec::<String>::new());
        assert_eq!(model(""), ["R-SEC-1 has 0 rows in docs/THREAT_MODEL.md; it needs exactly one"]);
        assert_eq!(model("| R-SEC-1 | clean | done | `cargo xtask deny` | |"), Vec::<String>::new());
        let unknown = model("| R-SEC-1 | clean | done | `cargo xtask admit` | |\n| R-SEC-17 | x | missing | | y |");
        let expected = ["there is no test cargo xtask admit", "the first cell is no id of the list of requirements"];
        assert_eq!(unknown, expected);
    }

    #[test]
    fn tests_that_do_not_exist_are_found() {
        for name in [
            "it::transport::no_test",
            "it::transport::plain_http",
            "it::order::plain_http_is_refused",
            "transport::plain_http_is_refused",
            "cm_connector::keys_are_kept",
            "clients::lego",
            "N-001",
            "N-050",
            "transport",
            "",
        ] {
            assert_eq!(
                found(&format!("| R-HTTP-1 | HTTPS | done | `{name}` | |")),
                [format!("there is no test {name}")]
            );
        }
    }

    #[test]
    fn a_state_that_is_not_defined_is_found() {
        let mut files = repository(ROW);
        files[0].text = files[0].text.replace("| client |", "| somebody |");
        assert_eq!(check(&files).len(), 1);
        files.remove(0);
        assert_eq!(check(&files)[0].rule, "this document must exist");
    }
}

//! The fault matrix: each fault of the CM, met by each operation that needs the CM, and what the client gets.
//!
//! The test prints the table (`cargo test -p tests --test it fault_matrix -- --nocapture`); each cell is an expectation
//! of its own. Each operation has a gateway and a CM of its own, because the way to a CM that fails is shut for all.

use std::{thread, time::Duration};

use serde_json::{Value, json};
use tests::{csr::Csr, key::Key, response::Response, wait_for, world::World};

use crate::fragile_world;

/// A fault and what each operation makes of it.
struct Row {
    name: &'static str,
    fault: Value,
    /// How many requests in a row meet it.
    count: u32,
    new_account: Expected,
    new_order: Expected,
    finalize: Expected,
    revoke: Expected,
}

/// What a cell has to be.
#[derive(Clone, Copy)]
enum Expected {
    /// The fault is about certificates that are issued.
    NotApplicable,
    /// The operation succeeds as if nothing had happened.
    Done,
    /// finalize succeeds, and answers before the certificate is there; the order is valid in the end.
    Later,
    /// The certificate is withheld or refused: the order is invalid in the end, with an error of this type.
    Invalid(&'static str),
    /// Refused with this status, `serverInternal` and `Retry-After`; when the fault is over the same request succeeds.
    Refused(u16),
}

impl Expected {
    /// What is printed beside what came.
    fn shown(self) -> String {
        match self {
            NotApplicable => String::from("-"),
            Done => String::from("done"),
            Later => String::from("processing, then valid"),
            Invalid(kind) => format!("invalid, {kind}"),
            Refused(status) => format!("{status}, then done"),
        }
    }
}
use Expected::{Done, Invalid, Later, NotApplicable, Refused};

/// What a cell was.
struct Cell {
    row: &'static str,
    column: &'static str,
    expected: Expected,
    text: String,
}

const ONCE: u32 = 1;
/// More than any operation tries.
const LASTING: u32 = 1_000;
/// How long anything may take once the CM is well again: the way to it is tried every five seconds.
const SOON: Duration = Duration::from_secs(120);

fn rows() -> Vec<Row> {
    let row = |name, fault, count, [new_account, new_order, finalize, revoke]: [Expected; 4]| Row {
        name,
        fault,
        count,
        new_account,
        new_order,
        finalize,
        revoke,
    };
    let mended = [Done, Done, Done, Done];
    vec![
        row("no fault", json!({"kind": "delay-before", "millis": 0}), ONCE, mended),
        row("latency before the work", json!({"kind": "delay-before", "millis": 800}), ONCE, mended),
        row("latency after the work", json!({"kind": "delay-after-commit", "millis": 800}), ONCE, mended),
        row("503", json!({"kind": "unavailable"}), ONCE, mended),
        row("503 with Retry-After", json!({"kind": "unavailable", "retry_after_secs": 1}), ONCE, mended),
        row("reset before the work", json!({"kind": "reset-before"}), ONCE, mended),
        row("reset after the work", json!({"kind": "reset-after"}), ONCE, mended),
        row("truncated body", json!({"kind": "truncated-body"}), ONCE, mended),
        row("HTML page", json!({"kind": "html-page"}), ONCE, mended),
        // What is not about the request proves nothing: no account, order or revocation is built on it.
        row(
            "replayed answer",
            json!({"kind": "replayed-answer"}),
            ONCE,
            [Refused(503), Refused(503), Done, Refused(503)],
        ),
        row("clock 3 min ahead", json!({"kind": "skewed-clock", "seconds": 180}), ONCE, mended),
        row("clock 1 min behind", json!({"kind": "skewed-clock", "seconds": -60}), ONCE, mended),
        row(
            "pending",
            json!({"kind": "pending", "millis": 12_000}),
            ONCE,
            [NotApplicable, NotApplicable, Later, NotApplicable],
        ),
        row(
            "rejected",
            json!({"kind": "rejected"}),
            ONCE,
            [NotApplicable, NotApplicable, Invalid("unauthorized"), NotApplicable],
        ),
        // Lasting: whether a single one is replaced within the time of a call hangs on when the CM was last heard on it.
        row(
            "frozen connections",
            json!({"kind": "frozen-connection"}),
            LASTING,
            [Refused(503), Done, Later, Refused(503)],
        ),
        row("503 that lasts", json!({"kind": "unavailable"}), LASTING, [Refused(503), Done, Later, Refused(503)]),
        row("reset that lasts", json!({"kind": "reset-before"}), LASTING, [Refused(503), Done, Later, Refused(503)]),
        // Last, because they shake the trust in a profile.
        row(
            "wrong certificate: key",
            json!({"kind": "wrong-key"}),
            ONCE,
            [NotApplicable, NotApplicable, Invalid("serverInternal"), NotApplicable],
        ),
        row(
            "wrong certificate: names",
            json!({"kind": "wrong-names"}),
            ONCE,
            [NotApplicable, NotApplicable, Invalid("serverInternal"), NotApplicable],
        ),
        row(
            "wrong chain",
            json!({"kind": "wrong-chain"}),
            ONCE,
            [NotApplicable, NotApplicable, Invalid("serverInternal"), NotApplicable],
        ),
    ]
}

#[test]
fn each_fault_of_the_cm_gets_each_operation_the_answer_that_is_expected() {
    let columns: [fn() -> Vec<Cell>; 4] = [new_account, new_order, finalize, revoke];
    let cells: Vec<Cell> = thread::scope(|scope| {
        let columns = columns.map(|column| scope.spawn(column));
        columns.into_iter().flat_map(|column| column.join().unwrap()).collect()
    });
    let line = |fault: &str, operation: &str, expected: &str, came: &str| {
        println!("| {fault:<25} | {operation:<10} | {expected:<23} | {came} |");
    };
    line("fault", "operation", "expected", "came");
    line("---", "---", "---", "---");
    for row in rows() {
        for cell in cells.iter().filter(|cell| cell.row == row.name) {
            line(row.name, cell.column, &cell.expected.shown(), &cell.text);
        }
    }
    assert_eq!(cells.len(), rows().len() * columns.len());
}

fn new_account() -> Vec<Cell> {
    let world = fragile_world();
    let count = || world.books()["registrations"].as_u64().unwrap();
    let run = |row: Row| {
        let expected = row.new_account;
        run_cell(&world, &row, "newAccount", "createRegistration", expected, || {
            let before = count();
            let mut client = world.client("open");
            let first = client.register(&json!({}));
            let end = end_of(&world, &row, expected, &first, &[200, 201], || client.register(&json!({})));
            assert_eq!(count() - before, 1, "{}: registrations", row.name);
            format!("{end}; 1 registration")
        })
    };
    rows().into_iter().map(run).collect()
}

fn new_order() -> Vec<Cell> {
    let world = World::start();
    let run = |row: Row| {
        let expected = row.new_order;
        // What the CM has answered last is about the account of another row.
        let mut client = world.client("open");
        // After a lasting fault the way to the CM is shut for some seconds; orders do not need it.
        wait_for("an account", SOON, || (client.register(&json!({})).status == 201).then_some(()));
        run_cell(&world, &row, "newOrder", "getRegistration", expected, || {
            let order = || client.new_order(&["matrix.example.test"]);
            // What is known of the account is good for a second; then the CM is asked.
            let first = wait_for("a question about the account", SOON, || {
                let response = order();
                (world.faults()[0]["count"] != row.count).then_some(response)
            });
            let end = end_of(&world, &row, expected, &first, &[201], order);
            format!("{end}; no certificate")
        })
    };
    let cells = rows().into_iter().map(run).collect();
    assert_eq!(world.books()["certificates"], 0);
    cells
}

fn finalize() -> Vec<Cell> {
    let world = World::start();
    let run = |row: Row| {
        let expected = row.finalize;
        // A certificate that is wrong stops its profile: each such row has one of its own.
        let mut client = world.client(match row.name {
            "wrong certificate: names" => "strict",
            "wrong chain" => tests::world::STAPLED,
            _ => "open",
        });
        let _ = client.register(&json!({})).expect(201);
        let order = client.ready_order(&["matrix.example.test"]);
        run_cell(&world, &row, "finalize", "requestCertificate", expected, || {
            let csr = Csr::for_names(&["matrix.example.test"]).text(&Key::p256());
            let first = client.finalize(&order, &csr).expect(200);
            let answered = first.member("status");
            let retry_after = if first.header("retry-after").is_some() { " Retry-After" } else { "" };
            if row.count == LASTING {
                world.clear_faults();
            }
            let (status, certificates) = match expected {
                Done | Later => ("valid", 1),
                // Rejected, there is none; wrong, the CM has it, and the client never sees it.
                Invalid(kind) => ("invalid", u64::from(kind != "unauthorized")),
                NotApplicable | Refused(_) => unreachable!("finalize is answered before the CM is asked"),
            };
            if matches!(expected, Later) {
                assert_eq!((answered.as_str(), retry_after), ("processing", " Retry-After"), "{}", row.name);
            }
            let order = client.wait(&order, status);
            let mut error = String::new();
            if let Invalid(kind) = expected {
                assert_eq!(order.object["error"]["type"], format!("urn:ietf:params:acme:error:{kind}"), "{order:?}");
                assert!(order.object.get("certificate").is_none(), "{}", row.name);
                error = format!(" ({kind})");
            }
            assert_eq!(world.certificates_of(&order.url), certificates, "{}: certificates", row.name);
            format!("200 {answered}{retry_after}, then {status}{error}; {certificates} certificate(s) in the books")
        })
    };
    rows().into_iter().map(run).collect()
}

fn revoke() -> Vec<Cell> {
    let world = fragile_world();
    let client = world.account();
    let count = || world.books()["revoked"].as_u64().unwrap();
    let run = |row: Row| {
        let expected = row.revoke;
        if matches!(expected, NotApplicable) {
            return not_applicable(&row, "revoke");
        }
        let issued = client.issue(&["matrix.example.test"]);
        run_cell(&world, &row, "revoke", "revokeCertificate", expected, || {
            let before = count();
            let first = client.revoke(&issued.leaf, Value::Null);
            let again = || {
                let response = client.revoke(&issued.leaf, Value::Null);
                // What was promised may have been done meanwhile.
                let is_done = response.status == 400 && response.text().contains(":alreadyRevoked");
                if is_done { Response { status: 200, ..response } } else { response }
            };
            let end = end_of(&world, &row, expected, &first, &[200], again);
            wait_for("the revocation in the books", SOON, || (count() > before).then_some(()));
            assert_eq!(count() - before, 1, "{}: revocations", row.name);
            format!("{end}; 1 revocation")
        })
    };
    rows().into_iter().map(run).collect()
}

fn not_applicable(row: &Row, column: &'static str) -> Cell {
    Cell { row: row.name, column, expected: NotApplicable, text: "-".to_owned() }
}

/// Orders the fault and looks that it happens.
fn run_cell(
    world: &World,
    row: &Row,
    column: &'static str,
    operation: &str,
    expected: Expected,
    act: impl FnOnce() -> String,
) -> Cell {
    if matches!(expected, NotApplicable) {
        return not_applicable(row, column);
    }
    world.set_faults(operation, row.count, &row.fault);
    let text = act();
    assert_eq!(world.faults(), json!([]), "{}: the fault did not happen to {column}", row.name);
    Cell { row: row.name, column, expected, text }
}

/// Judges the first answer, ends a lasting fault, and sees to it that the request succeeds in the end.
fn end_of(
    world: &World,
    row: &Row,
    expected: Expected,
    first: &Response,
    good: &[u16],
    mut again: impl FnMut() -> Response,
) -> String {
    if row.count == LASTING {
        assert_ne!(world.faults()[0]["count"], LASTING, "{}: the fault did not happen", row.name);
        world.clear_faults();
    }
    let is_good = good.contains(&first.status);
    let status = match expected {
        Done => {
            assert!(is_good, "{}: {first:?}", row.name);
            return first.status.to_string();
        }
        Refused(status) => status,
        NotApplicable | Later | Invalid(_) => unreachable!("this is for finalize"),
    };
    let _ = first.assert_refused(status, "serverInternal");
    let waits = first.header("retry-after").is_some();
    assert!(waits, "{}: {first:?}", row.name);
    let last = wait_for(row.name, SOON, || {
        let response = again();
        good.contains(&response.status).then_some(response)
    });
    format!("{status} serverInternal Retry-After, then {}", last.status)
}

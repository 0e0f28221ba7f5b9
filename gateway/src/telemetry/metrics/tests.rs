//! What is counted, under which labels, and that lists, rules and dashboard know it.

use std::collections::BTreeMap;

use acme::{certificate::Check, problem::Problem};
use cm_connector::{Call, CallOutcome};

use super::*;

fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn what_became_of_a_request_is_counted_by_endpoint_profile_outcome_and_rule() {
    let metrics = Metrics::new().unwrap();
    let endpoint = EndpointName::parse("open").unwrap();
    let profile = ProfileName::parse("tls-server").unwrap();
    let by_rule = Problem::new(ProblemKind::RejectedIdentifier, "no").by("identifier.not-listed");
    let by_type = Problem::new(ProblemKind::RateLimited, "later");
    for (profile, ending, labels) in [
        (Some(&profile), Ending::Issued, r#"outcome="issued",profile="tls-server",rule="""#),
        (
            Some(&profile),
            Ending::Refused(&by_rule),
            r#"outcome="refused",profile="tls-server",rule="identifier.not-listed""#,
        ),
        (None, Ending::Refused(&by_type), r#"outcome="refused",profile="",rule="rateLimited""#),
        (Some(&profile), Ending::Failed(&by_type), r#"outcome="failed",profile="tls-server",rule="rateLimited""#),
        (
            Some(&profile),
            Ending::Withheld(Some(Check::PublicKey)),
            r#"outcome="withheld",profile="tls-server",rule="public-key""#,
        ),
    ] {
        metrics.issuance.ended(&endpoint, profile, ending);
        let name = format!("acme_gateway_issuance_total{{endpoint=\"open\",{labels}}}");
        assert_eq!(sample(&metrics.text(), &name), Some(1.0), "{name}");
    }
}

#[test]
fn a_call_is_counted_by_what_was_heard_and_timed_in_seconds() {
    let metrics = Metrics::new().unwrap();
    let call = |operation: &str, outcome| Call {
        operation: operation.to_owned(),
        attempt: 1,
        trace_id: String::new(),
        outcome,
        elapsed_millis: 1500,
    };
    let problem = |status| CallOutcome::Problem { status, code: String::from("x"), request_id: None };
    for (outcome, label) in [
        (CallOutcome::Answered { status: 200, request_id: None }, "answered"),
        (problem(422), "refused"),
        (problem(503), "failed"),
        (CallOutcome::TimedOut, "timed-out"),
        (CallOutcome::CircuitOpen, "circuit-open"),
    ] {
        metrics.cm.called(&call("GET /info", outcome));
        let name = format!("acme_gateway_cm_calls_total{{operation=\"GET /info\",outcome=\"{label}\"}}");
        assert_eq!(sample(&metrics.text(), &name), Some(1.0), "{name}");
    }
    let name = "acme_gateway_cm_call_seconds_sum{operation=\"GET /info\"}";
    assert_eq!(sample(&metrics.text(), name), Some(7.5));
}

#[test]
fn an_adapter_that_names_its_operations_without_end_makes_no_series_without_end() {
    let metrics = Metrics::new().unwrap();
    let ask = |from: usize, to: usize| {
        for number in from..to {
            let operation = format!("GET /realms/tls/registrations/{number}");
            let (trace_id, outcome) = (String::new(), CallOutcome::TimedOut);
            metrics.cm.called(&Call { operation, attempt: 1, trace_id, outcome, elapsed_millis: 1 });
        }
        series(&metrics.text())
    };
    let many = ask(0, 100);
    assert_eq!(ask(100, 5000), many);
    let other = "acme_gateway_cm_calls_total{operation=\"other\",outcome=\"timed-out\"}";
    assert!(sample(&metrics.text(), other).is_some_and(|count| count > 4900.0), "nothing is lost");
}

#[test]
fn the_space_that_is_left_is_that_of_the_folder_and_never_more_than_there_is() {
    let metrics = Metrics::new().unwrap();
    metrics.store.show(&std::env::temp_dir(), true);
    let text = metrics.text();
    let of = |name: &str| sample(&text, &format!("acme_gateway_store_{name}")).unwrap();
    let (available, size) = (of("filesystem_available_bytes"), of("filesystem_size_bytes"));
    assert!((0.0..=size).contains(&available) && size > 1_000_000.0, "{available} of {size}");
    assert_eq!(of("full"), 1.0);
    metrics.store.show("/no/such/folder".as_ref(), false);
    assert_eq!(sample(&metrics.text(), "acme_gateway_store_filesystem_size_bytes"), Some(size), "the last word stays");
}

#[test]
fn a_store_that_was_moved_aside_is_shown_until_somebody_moves_it_away() {
    let metrics = Metrics::new().unwrap();
    let folder = std::env::temp_dir().join(format!("acme-gateway-metrics-aside-{}", std::process::id()));
    let aside = folder.join("sled.damaged-1800000000");
    std::fs::create_dir_all(&aside).unwrap();
    let shown = || {
        metrics.store.show(&folder, false);
        sample(&metrics.text(), "acme_gateway_store_set_aside")
    };
    assert_eq!(shown(), Some(1.0));
    std::fs::remove_dir(&aside).unwrap();
    assert_eq!(shown(), Some(0.0));
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn the_numbers_of_the_process_are_those_of_this_process() {
    let folder = std::env::temp_dir();
    let held: Vec<_> = (0..150).map(|_| std::fs::File::open(&folder).unwrap()).collect();
    let before = crate::clock::now().unix_secs() as f64;
    let text = Metrics::new().unwrap().text();
    let of = |name: &str| sample(&text, &format!("process_{name}")).unwrap_or_else(|| panic!("{name} in {text}"));
    let open = of("open_fds");
    assert!(open > held.len() as f64 && open <= of("max_fds"), "{open}");
    let resident = of("resident_memory_bytes");
    assert!(resident > 1_000_000.0 && resident <= of("virtual_memory_bytes"), "{resident}");
    let age = before - of("start_time_seconds");
    assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
    assert!(of("threads") >= 2.0 && of("cpu_seconds_total") < 3600.0 * of("threads"), "{text}");
    assert_eq!(text.matches("# TYPE process_").count(), process::PROCESS.len());
}

#[test]
fn the_commit_is_what_stands_in_the_stamp_beside_the_version() {
    let version = env!("CARGO_PKG_VERSION");
    for (build, expected) in [
        (version.to_owned(), "unknown"),
        (format!("{version} (0123abc)"), "0123abc"),
        (format!("{version}+0123abc"), "0123abc"),
        (format!("{version}-0123abc"), "0123abc"),
    ] {
        assert_eq!(commit(&build), expected, "{build}");
    }
}

#[test]
fn the_list_for_people_has_one_row_for_each_metric_and_says_the_same() {
    let document = include_str!("../../../../docs/METRICS.md");
    let described = Metrics::new().unwrap().described;
    let row = |one: &registrar::Description| {
        let labels = one.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        format!("| `{}` | {} | {labels} | {} |", one.name, one.kind, one.help)
    };
    let of_the_process = process::PROCESS.map(|(name, kind, help)| format!("| `{name}` | {kind} |  | {help} |"));
    let expected: Vec<_> = described.iter().map(row).chain(of_the_process).collect();
    let is_row = |line: &&str| ["| `acme_gateway_", "| `process_"].iter().any(|start| line.starts_with(start));
    let found: Vec<_> = document.lines().filter(is_row).collect();
    let missing: Vec<_> = expected.iter().filter(|row| !found.contains(&row.as_str())).collect();
    let canary = |row: &&&str| row.starts_with("| `acme_gateway_canary_");
    let stale: Vec<_> = found.iter().filter(|row| !canary(row) && !expected.iter().any(|one| one == *row)).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "docs/METRICS.md lacks:\n{missing:#?}\nand has in their place:\n{stale:#?}"
    );
}

/// The table of a document: the cells of each row that begins with a name in backticks.
fn rows(document: &str) -> BTreeMap<String, Vec<String>> {
    let rows = document.lines().filter_map(|line| {
        let cells: Vec<_> =
            line.strip_prefix("| `")?.split(" | ").map(|cell| cell.trim_matches([' ', '`', '|'])).collect();
        let (name, rest) = cells.split_first()?;
        Some(((*name).to_owned(), rest.iter().map(|cell| (*cell).to_owned()).collect()))
    });
    rows.collect()
}

#[test]
fn rules_and_dashboard_name_no_metric_that_is_not_in_the_list() {
    let known = rows(include_str!("../../../../docs/METRICS.md"));
    for (file, text) in [
        ("rules.yaml", include_str!("../../../../deploy/prometheus/rules.yaml")),
        ("acme-gateway.json", include_str!("../../../../deploy/grafana/acme-gateway.json")),
    ] {
        let mut named = 0;
        let with = |prefix: &'static str| text.split(prefix).skip(1).map(move |rest| (prefix, rest));
        for (prefix, rest) in with("acme_gateway_").chain(with("process_")) {
            let end = rest.find(|one: char| !one.is_ascii_alphanumeric() && one != '_').unwrap_or(rest.len());
            let word = format!("{prefix}{}", rest.split_at(end).0);
            let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part));
            let is_known = known.contains_key(&word)
                || histogram.and_then(|name| known.get(name)).is_some_and(|cells| cells[0] == "histogram");
            assert!(is_known, "{file} names {word}");
            named += 1;
        }
        assert!(named > 10, "{file} names {named} metrics");
    }
}

//! What came of a flight, as a file for the textfile collector of node_exporter.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path};

use acme::time::Timestamp;
use anyhow::Context as _;

use super::Report;

const LAST_SUCCESS: &str = "acme_gateway_canary_success_timestamp_seconds";

/// node_exporter runs as somebody else, and the canary may have any umask.
const FOR_ALL_TO_READ: u32 = 0o644;

/// Writes the file in one step, for somebody may be reading it. When a flight ended well last stays in it.
pub(crate) fn write(file: &Path, directory: &str, report: &Report, now: Timestamp) -> anyhow::Result<()> {
    let before = fs::read_to_string(file).unwrap_or_default();
    let fresh = file.with_extension("fresh");
    let write = || {
        let mut written = fs::File::create(&fresh)?;
        written.set_permissions(fs::Permissions::from_mode(FOR_ALL_TO_READ))?;
        written.write_all(text(&before, directory, report, now).as_bytes())?;
        fs::rename(&fresh, file)
    };
    write().with_context(|| {
        format!("--textfile: cannot write {}; its folder must be the canary's to write in", file.display())
    })
}

fn text(before: &str, directory: &str, report: &Report, now: Timestamp) -> String {
    let labels = format!("{{directory=\"{}\"}}", directory.replace(['\\', '"', '\n'], "?"));
    let (now, is_good) = (now.unix_secs(), report.failure.is_none());
    let earlier = before.lines().find_map(|line| line.strip_prefix(&format!("{LAST_SUCCESS}{labels} "))?.parse().ok());
    let last = if is_good { Some(now) } else { earlier };
    let mut text = String::new();
    let mut add = |name: &str, help: &str, value: String| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}\n"));
    };
    add("acme_gateway_canary_success", "1 if the last canary got a certificate.", u8::from(is_good).to_string());
    add(
        "acme_gateway_canary_run_timestamp_seconds",
        "When the last canary ended, in seconds since 1970.",
        now.to_string(),
    );
    add("acme_gateway_canary_run_seconds", "How long the last canary took.", report.took.as_secs_f64().to_string());
    if let Some(last) = last {
        add(LAST_SUCCESS, "When a canary got a certificate last, in seconds since 1970.", last.to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Stage, *};

    const DIRECTORY: &str = "https://acme.example.test/acme/open/directory";

    #[test]
    fn the_file_is_for_all_to_read_whatever_was_left_of_an_earlier_one() {
        let folder = std::env::temp_dir().join(format!("acme-gateway-canary-textfile-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, left) = (folder.join("canary.prom"), folder.join("canary.fresh"));
        fs::write(&left, "half").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o600)).unwrap();
        let report = Report { took: Duration::from_secs(1), order: None, failure: None };
        write(&file, DIRECTORY, &report, Timestamp::from_unix_secs(100)).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(fs::read_to_string(&file).unwrap().starts_with("# HELP ") && !left.exists());
        let nowhere = write(&folder.join("absent/canary.prom"), DIRECTORY, &report, Timestamp::from_unix_secs(100));
        assert!(nowhere.unwrap_err().to_string().starts_with("--textfile: "));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_came_of_it_is_told_and_the_last_success_stays() {
        let at = Timestamp::from_unix_secs;
        let good = Report { took: Duration::from_millis(2500), order: None, failure: None };
        let failure = Some((Stage::Proof, String::from("no")));
        let bad = Report { took: Duration::from_secs(1), order: None, failure };
        let has = |text: &str, name: &str, value: &str| {
            text.contains(&format!("\nacme_gateway_canary_{name}{{directory=\"{DIRECTORY}\"}} {value}\n"))
        };
        let never = text("", DIRECTORY, &bad, at(100));
        assert!(has(&never, "success", "0") && has(&never, "run_timestamp_seconds", "100"), "{never}");
        assert!(!never.contains(LAST_SUCCESS), "{never}");
        let once = text(&never, DIRECTORY, &good, at(200));
        assert!(has(&once, "success", "1") && has(&once, "run_seconds", "2.5"), "{once}");
        assert!(has(&once, "success_timestamp_seconds", "200"), "{once}");
        let again = text(&once, DIRECTORY, &bad, at(300));
        assert!(has(&again, "success", "0") && has(&again, "success_timestamp_seconds", "200"), "{again}");
    }
}

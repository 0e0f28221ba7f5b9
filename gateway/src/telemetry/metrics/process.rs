//! Numbers of this process as the kernel has them, under the names that Prometheus' client libraries give them.

use std::{fmt::Write as _, fs};

use acme::time::Timestamp;
use rustix::process::{Resource, getrlimit};

/// Clock ticks a second in `/proc/self/stat`: what Linux shows to programs on every platform that this runs on.
const TICKS: u64 = 100;

/// Name, kind and meaning.
pub(super) const PROCESS: [(&str, &str, &str); 7] = [
    (
        "process_cpu_seconds_total",
        "counter",
        "Time on processors, in the program and in the kernel for it, in seconds.",
    ),
    ("process_max_fds", "gauge", "Files that this process may have open at once; connections are files too."),
    ("process_open_fds", "gauge", "Files that this process has open; connections are files too."),
    ("process_resident_memory_bytes", "gauge", "Memory that this process has in RAM."),
    ("process_start_time_seconds", "gauge", "When this process started, in seconds since 1970."),
    ("process_threads", "gauge", "Threads of this process."),
    ("process_virtual_memory_bytes", "gauge", "Addresses that this process has reserved; most of them are no memory."),
];

/// What `/proc/self` says; what it does not say is left out.
pub(super) fn text(now: Timestamp) -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut text = String::new();
    for (name, kind, help) in PROCESS {
        let value = match name {
            "process_cpu_seconds_total" => cpu_seconds(&stat),
            "process_max_fds" => getrlimit(Resource::Nofile).current.map(|most| most.to_string()),
            "process_open_fds" => fs::read_dir("/proc/self/fd").ok().map(|open| open.count().to_string()),
            "process_resident_memory_bytes" => octets(&status, "VmRSS:").map(|octets| octets.to_string()),
            "process_start_time_seconds" => {
                start(&stat, rustix::system::sysinfo().uptime.unsigned_abs(), now).map(|at| at.to_string())
            }
            "process_threads" => field(&stat, 20).map(|threads| threads.to_string()),
            _ => octets(&status, "VmSize:").map(|octets| octets.to_string()),
        };
        if let Some(value) = value {
            // A String takes all that is written.
            let _infallible = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    }
    text
}

/// A field of `/proc/self/stat` by its number in `proc_pid_stat(5)`, from the third on.
fn field(stat: &str, number: usize) -> Option<u64> {
    // The second is the program's name, in which anything may stand, also a parenthesis.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<String> {
    let ticks = field(stat, 14)?.checked_add(field(stat, 15)?)?;
    Some(format!("{}.{:02}", ticks / TICKS, ticks % TICKS))
}

/// In seconds since 1970, of a host that has been up for so many seconds.
fn start(stat: &str, uptime: u64, now: Timestamp) -> Option<i64> {
    let age = uptime.saturating_sub(field(stat, 22)? / TICKS);
    now.unix_secs().checked_sub(i64::try_from(age).ok()?)
}

/// A line of `/proc/self/status`, which counts in KiB.
fn octets(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

//! Connections are files: a listener that may have more than the process may open would take them
//! from the store, the CM and validation.

use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As the unit has it; more would only slow down what looks at each file that it might have.
const ENOUGH: u64 = 65_536;

/// Lets this process open as many files as it may: what it begins with is for programs that cannot take more, mostly
/// 1024.
///
/// # Errors
/// The kernel refuses; then the limit is what it was.
pub(crate) fn raise_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let possible = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|current| current < possible) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum })?;
    }
    Ok(())
}

/// How many connections may be open at a time: as many as wanted, if the limit of open files
/// (`ulimit -n`, systemd's `LimitNOFILE`) leaves a tenth of it and `others` beside them; never less than
/// half of that limit.
pub(super) fn connections_within_limit(wanted: usize, others: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let Some(limit) = soft_limit(&limits) else { return wanted };
    let possible = connections_within(limit, others);
    if possible < wanted {
        tracing::warn!(
            open_files_max = limit,
            connections_max = possible,
            "server.connections_max: the limit of open files allows fewer connections than {wanted}; raise it with LimitNOFILE or ulimit -n"
        );
    }
    wanted.min(possible)
}

fn connections_within(limit: usize, others: usize) -> usize {
    limit.saturating_sub(limit / 10).saturating_sub(others).max(limit / 2)
}

/// The soft limit of open files in the words of `/proc/self/limits`; `None` if there is none.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let text = |soft: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                Max processes             63432                63432                processes \n\
                Max open files            {soft}                 524288               files     \n"
            )
        };
        assert_eq!(soft_limit(&text("1024")), Some(1024));
        assert_eq!(soft_limit(&text("unlimited")), None);
        assert_eq!(soft_limit(""), None);
        assert!(soft_limit(&fs::read_to_string("/proc/self/limits").unwrap()).is_none_or(|limit| limit > 0));
    }

    #[test]
    fn a_tenth_and_what_others_need_is_left_to_them() {
        assert_eq!(connections_within(65_536, 600), 58_383);
        assert_eq!(connections_within(1024, 600), 512);
    }
}

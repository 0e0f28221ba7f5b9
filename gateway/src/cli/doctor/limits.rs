//! What the system allows the process: open files, and ports to listen on.

use std::{fs, io, net::TcpListener};

use super::{finding::Finding, running::Running};
use crate::settings::Settings;

const OPEN_FILES: &str = "open-files";
const PORTS: &str = "ports";

pub(super) fn check(settings: &Settings, running: &Running) -> Vec<Finding> {
    let mut findings = vec![open_files(settings, running.process)];
    if running.is_there() {
        findings.push(Finding::not_looked_at(PORTS, "a gateway runs with this store and has them; see external-url"));
    } else {
        findings.extend(ports(settings));
    }
    findings
}

fn open_files(settings: &Settings, running: Option<u32>) -> Finding {
    let process = running.map_or_else(|| String::from("self"), |pid| pid.to_string());
    let whose = if running.is_some() { "the gateway" } else { "a process started as this one" };
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap_or_default();
    // What the gateway begins with it raises as far as it may.
    let Some(limit) = (if running.is_some() { soft_limit(&limits) } else { hard_limit(&limits) }) else {
        return Finding::not_looked_at(OPEN_FILES, "the system does not tell, or there is no limit");
    };
    let what = format!("{whose} may open {limit} files");
    let wanted = settings.server.connections_max + settings.validation.concurrent_max;
    if limit - limit / 10 < wanted {
        return Finding::warn(
            OPEN_FILES,
            format!("{what}, and server.connections_max and validation.concurrent_max are {wanted} together"),
            "fewer connections are taken than the settings say",
            "write LimitNOFILE=65536 below [Service] in its unit, then restart it",
        )
        .run("systemctl edit acme-gateway");
    }
    Finding::fine(OPEN_FILES, what)
}

/// In the words of `/proc/PID/limits`; `None` if there is none.
fn soft_limit(limits: &str) -> Option<usize> {
    columns(limits)?.next()?.parse().ok()
}

fn hard_limit(limits: &str) -> Option<usize> {
    columns(limits)?.nth(1)?.parse().ok()
}

fn columns(limits: &str) -> Option<impl Iterator<Item = &str>> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    Some(line.split_whitespace())
}

/// Listens on each for a moment: no gateway has them now.
fn ports(settings: &Settings) -> Vec<Finding> {
    let all = settings.server.listen.iter().map(|address| ("server.listen", *address));
    let all = all.chain([("ops.listen", settings.ops.listen)]);
    let mut findings = Vec::new();
    for (setting, address) in all {
        let Err(error) = TcpListener::bind(address) else { continue };
        let port = address.port();
        let (mend, run) = if error.kind() == io::ErrorKind::PermissionDenied {
            (
                "write AmbientCapabilities=CAP_NET_BIND_SERVICE below [Service] in its unit, as deploy/systemd has it"
                    .to_owned(),
                String::from("systemctl edit acme-gateway"),
            )
        } else if error.kind() == io::ErrorKind::AddrInUse {
            (
                "see which program has it, and stop that one; another acme-gateway has other settings".to_owned(),
                format!("ss -ltnp 'sport = :{port}'"),
            )
        } else {
            (format!("set {setting} to an address of this host"), String::from("ip address"))
        };
        let what = format!("{setting}: cannot listen on {address}: {error}");
        findings.push(Finding::wrong(PORTS, what, "serve does not start", mend).run(run));
    }
    if findings.is_empty() {
        findings.push(Finding::fine(PORTS, "all addresses can be listened on"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let limits = "Max processes 63432 63432 processes\nMax open files            1024       524288     files\n";
        assert_eq!((soft_limit(limits), soft_limit("Max open files unlimited unlimited files")), (Some(1024), None));
    }
}

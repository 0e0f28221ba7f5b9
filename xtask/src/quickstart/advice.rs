//! What to do with a quickstart that is up: commands to paste, for officers, certbot and lego.

use std::{net::SocketAddr, path::Path};

use serde_json::Value;

use super::{desks, hooks, layout::Layout, ports::Ports, sandbox::Facts, shell::quoted};

/// The whole text. With a DNS server of the user's own there are no commands for dns-01: the hook scripts change the
/// sandbox's DNS, which the gateway then does not ask.
pub(crate) fn text(
    layout: &Layout,
    ports: &Ports,
    facts: &Facts,
    own_dns: Option<SocketAddr>,
    officer: &Path,
) -> String {
    let allowed = allowed_name(&facts.allowed);
    let mut out = format!(
        "Ready. Two ACME endpoints; certificates that they issue chain to {root}\n\n  \
           {open}\n      anyone may have an account\n  \
           {registered}\n      with external account key: kid {kid}\n                                 hmac {hmac}\n      \
             for: {identifiers}\n\n",
        root = layout.pki("root.pem").display(),
        open = ports.directory("open"),
        registered = ports.directory("registered"),
        kid = facts.kid,
        hmac = facts.hmac_key,
        identifiers = list(&facts.allowed),
    );
    let certbot_key = format!("    --eab-kid {} --eab-hmac-key {} \\\n", facts.kid, facts.hmac_key);
    let lego_key = format!("    --eab --kid {} --hmac {} \\\n", facts.kid, facts.hmac_key);
    out.push_str(&registration(layout, officer));
    out.push_str(&certbot_http(layout, ports, "open", "certbot.quickstart.test", ""));
    out.push_str(&certbot_http(layout, ports, "registered", &allowed, &certbot_key));
    out.push_str(&certbot_later(layout, ports, "certbot.quickstart.test"));
    out.push_str(&lego_http(layout, ports, "open", "lego.quickstart.test", ""));
    out.push_str(&lego_http(layout, ports, "registered", &allowed, &lego_key));
    out.push_str(&lego_later(layout, ports, "lego.quickstart.test"));
    match own_dns {
        None => {
            out.push_str(&certbot_dns(layout, ports));
            out.push_str(&lego_dns(layout, ports));
        }
        Some(server) => out.push_str(&format!(
            "Names are looked up at {server}: they must lead here, and dns-01 records belong there as well.\n\n"
        )),
    }
    out.push_str(&format!(
        "Addresses and files are also in {}; logs are in {}.\n\
         Up until Ctrl-C.",
        layout.description().display(),
        layout.dir().join("logs").display(),
    ));
    out
}

/// How an officer lets somebody in. What it prints has commands for clients in it.
fn registration(layout: &Layout, officer: &Path) -> String {
    format!(
        "registration officer, a client of her own choice (certificates, reports and more: --help):\n\n  \
           {officer} --config {config} \\\n    \
             registrations create --owner 'print room' --allow suffix:printers.quickstart.test\n\n",
        officer = quoted(officer),
        config = quoted(&desks::file(layout, "officer")),
    )
}

fn certbot_http(layout: &Layout, ports: &Ports, endpoint: &str, name: &str, key: &str) -> String {
    format!(
        "certbot, http-01, endpoint {endpoint}:\n\n  \
           REQUESTS_CA_BUNDLE={ca} certbot certonly --standalone --http-01-port {port} \\\n    \
             --server {server} \\\n{key}    \
             --config-dir {dir}/config --work-dir {dir}/work --logs-dir {dir}/logs \\\n    \
             --non-interactive --agree-tos --register-unsafely-without-email -d {name}\n\n",
        ca = quoted(&layout.pki("acme-ca.pem")),
        port = ports.http_01,
        server = ports.directory(endpoint),
        dir = quoted(&layout.dir().join("certbot")),
    )
}

/// What becomes of a certificate of the endpoint open. It is renewed long before it is due, to see it.
fn certbot_later(layout: &Layout, ports: &Ports, name: &str) -> String {
    let dir = quoted(&layout.dir().join("certbot"));
    let folders = format!("--config-dir {dir}/config --work-dir {dir}/work --logs-dir {dir}/logs --non-interactive");
    let ca = quoted(&layout.pki("acme-ca.pem"));
    format!(
        "certbot, renewing and revoking, endpoint open:\n\n  \
           REQUESTS_CA_BUNDLE={ca} certbot renew --force-renewal --no-random-sleep-on-renew --cert-name {name} \\\n    \
             {folders}\n  \
           REQUESTS_CA_BUNDLE={ca} certbot revoke --reason superseded --no-delete-after-revoke --cert-name {name} \\\n    \
             --server {server} \\\n    \
             {folders}\n\n",
        server = ports.directory("open"),
    )
}

fn certbot_dns(layout: &Layout, ports: &Ports) -> String {
    format!(
        "certbot, dns-01, a wildcard name:\n\n  \
           REQUESTS_CA_BUNDLE={ca} certbot certonly --manual --preferred-challenges dns \\\n    \
             --manual-auth-hook {set} --manual-cleanup-hook {clear} \\\n    \
             --server {server} \\\n    \
             --config-dir {dir}/config --work-dir {dir}/work --logs-dir {dir}/logs \\\n    \
             --non-interactive --agree-tos --register-unsafely-without-email -d '*.wild.quickstart.test'\n\n",
        ca = quoted(&layout.pki("acme-ca.pem")),
        set = quoted(&layout.hook(hooks::SET)),
        clear = quoted(&layout.hook(hooks::CLEAR)),
        server = ports.directory("open"),
        dir = quoted(&layout.dir().join("certbot")),
    )
}

/// lego files its accounts by server, not by directory: each endpoint gets a folder.
fn lego_http(layout: &Layout, ports: &Ports, endpoint: &str, name: &str, key: &str) -> String {
    format!(
        "lego, http-01, endpoint {endpoint}:\n\n  \
           LEGO_CA_CERTIFICATES={ca} lego \\\n    \
             --server {server} \\\n{key}    \
             --path {dir} --email you@quickstart.test --accept-tos \\\n    \
             --http --http.port 127.0.0.1:{port} --domains {name} run\n\n",
        ca = quoted(&layout.pki("acme-ca.pem")),
        server = ports.directory(endpoint),
        dir = quoted(&layout.dir().join("lego").join(endpoint)),
        port = ports.http_01,
    )
}

/// The same for lego.
fn lego_later(layout: &Layout, ports: &Ports, name: &str) -> String {
    let account = format!(
        "LEGO_CA_CERTIFICATES={ca} lego --server {server} \\\n    \
           --path {dir} --email you@quickstart.test --accept-tos \\\n    \
           --http --http.port 127.0.0.1:{port} --domains {name}",
        ca = quoted(&layout.pki("acme-ca.pem")),
        server = ports.directory("open"),
        dir = quoted(&layout.dir().join("lego").join("open")),
        port = ports.http_01,
    );
    format!(
        "lego, renewing and revoking, endpoint open:\n\n  \
           {account} renew --days 365 --no-random-sleep\n  \
           {account} revoke --keep --reason 4\n\n"
    )
}

fn lego_dns(layout: &Layout, ports: &Ports) -> String {
    format!(
        "lego, dns-01, a wildcard name:\n\n  \
           LEGO_CA_CERTIFICATES={ca} EXEC_PATH={hook} lego \\\n    \
             --server {server} \\\n    \
             --path {dir} --email you@quickstart.test --accept-tos \\\n    \
             --dns exec --dns.disable-cp --dns.resolvers {dns} --domains '*.lego.quickstart.test' run\n\n",
        ca = quoted(&layout.pki("acme-ca.pem")),
        hook = quoted(&layout.hook(hooks::LEGO)),
        server = ports.directory("open"),
        dir = quoted(&layout.dir().join("lego").join("open")),
        dns = ports.dns(),
    )
}

/// A name that the external account key may be used for.
fn allowed_name(allowed: &[Value]) -> String {
    let name = allowed.first().map(identifier).unwrap_or_else(|| "www.quickstart.test".to_owned());
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(parent) => format!("www.{parent}"),
        None => name,
    }
}

fn list(allowed: &[Value]) -> String {
    if allowed.is_empty() {
        return "any name".to_owned();
    }
    allowed.iter().map(identifier).collect::<Vec<_>>().join(", ")
}

/// An entry of the list: text, or a rule of the CM with its text in `value`.
fn identifier(entry: &Value) -> String {
    let text = entry.as_str().or_else(|| entry.get("value").and_then(Value::as_str));
    text.map_or_else(|| entry.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use serde_json::json;

    use super::{super::layout::tests::folder, *};

    fn facts() -> Facts {
        Facts {
            cm: "https://127.0.0.1:14001".to_owned(),
            control: "http://127.0.0.1:14004".to_owned(),
            kid: "kid-1".to_owned(),
            hmac_key: "c2VjcmV0".to_owned(),
            allowed: vec![json!({"type": "dns", "match": "suffix", "value": "registered.test"})],
        }
    }

    #[test]
    fn both_endpoints_and_both_clients_are_shown() {
        let dir = folder("advice");
        let layout = Layout::create(&dir).unwrap();
        let ports = Ports::plan(14000, 5002, 5001).unwrap();
        let text = text(&layout, &ports, &facts(), None, Path::new("/t/acme-officer"));
        assert_eq!(text.matches("certbot certonly").count(), 3);
        assert_eq!(text.matches(" lego \\\n").count(), 3);
        for later in ["certbot renew ", "certbot revoke ", " renew --days 365", " revoke --keep"] {
            assert_eq!(text.matches(later).count(), 1, "{later}");
        }
        assert!(text.contains("--eab-kid kid-1 --eab-hmac-key c2VjcmV0") && text.contains("-d registered.test\n"));
        assert!(text.contains("--eab --kid kid-1 --hmac c2VjcmV0"));
        assert!(text.contains("/t/acme-officer --config ") && text.contains("registrations create"), "{text}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_commands_are_such_that_a_shell_reads_each_path_as_one_word() {
        let dir = folder("advice with 'quotes'");
        let layout = Layout::create(&dir).unwrap();
        let ports = Ports::plan(14000, 5002, 5001).unwrap();
        let command = certbot_http(&layout, &ports, "open", "a.test", "");
        let command =
            command.split_once("\n\n").unwrap().1.replace("certbot certonly", "printf '%s\\n' \"$REQUESTS_CA_BUNDLE\"");
        let script = format!("set -e\nREQUESTS_CA_BUNDLE=\n{}", command.replacen(" printf", "; printf", 1));
        let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        let words = String::from_utf8(output.stdout).unwrap();
        assert_eq!(words.lines().next().unwrap(), layout.pki("acme-ca.pem").to_str().unwrap());
        assert!(words.contains(&format!("\n{}/config\n", layout.dir().join("certbot").display())));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn with_a_dns_server_of_ones_own_no_hooks_are_offered() {
        let dir = folder("advice-dns");
        let layout = Layout::create(&dir).unwrap();
        let ports = Ports::plan(14000, 5002, 5001).unwrap();
        let text =
            text(&layout, &ports, &facts(), Some("127.0.0.1:8053".parse().unwrap()), Path::new("/t/acme-officer"));
        assert!(!text.contains("hooks") && text.contains("127.0.0.1:8053"));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_name_for_the_registered_endpoint_is_one_that_is_allowed() {
        assert_eq!(allowed_name(&[json!("*.a.test")]), "www.a.test");
        assert_eq!(allowed_name(&[json!("b.test"), json!("c.test")]), "b.test");
        assert_eq!(allowed_name(&[]), "www.quickstart.test");
    }
}

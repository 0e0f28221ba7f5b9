//! The table of forbidden addresses: each by every way that leads to an address, and the connections counted where they
//! arrive (RFC 8555 §10.4).
//!
//! The test runs in a network of its own (`unshare --net`) in which every address is this host's: a listener gets
//! whatever is dialled, wherever to. `cargo test -p validation --test it ssrf -- --nocapture` prints the counts.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    process::Command,
    sync::{Arc, Mutex},
};

use acme::{challenge::ChallengeKind, identifier::Identifier};
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use validation::{Settings, Validator};

use crate::{
    SENTINEL, attempt,
    dns_server::{Answer, Asked, DnsServer, a, aaaa},
    settings,
};

/// Addresses that nobody may make this server dial, though it dials public ones.
const FORBIDDEN: [&str; 120] = [
    // This network, loopback.
    "0.0.0.0",
    "0.0.0.1",
    "0.1.2.3",
    "0.255.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.0.0.2",
    "127.0.0.53",
    "127.1.2.3",
    "127.255.255.255",
    // Link-local and where clouds hand out credentials.
    "169.254.0.0",
    "169.254.1.1",
    "169.254.169.253",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.255.255",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    // Private, carrier-grade NAT.
    "10.0.0.0",
    "10.0.0.1",
    "10.1.2.3",
    "10.96.0.1",
    "10.255.255.255",
    "172.16.0.0",
    "172.16.0.1",
    "172.17.0.1",
    "172.20.10.2",
    "172.31.255.255",
    "192.168.0.0",
    "192.168.0.1",
    "192.168.1.1",
    "192.168.122.1",
    "192.168.255.255",
    "100.64.0.0",
    "100.64.0.1",
    "100.127.255.255",
    // Assigned to protocols, documents, benchmarks, relays.
    "192.0.0.0",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.1",
    "192.0.2.255",
    "198.51.100.0",
    "198.51.100.7",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.9",
    "203.0.113.255",
    "198.18.0.0",
    "198.18.0.1",
    "198.19.255.255",
    "192.88.99.0",
    "192.88.99.1",
    "192.88.99.255",
    // Groups, reserved, everybody.
    "224.0.0.0",
    "224.0.0.1",
    "224.0.0.251",
    "239.255.255.250",
    "239.255.255.255",
    "240.0.0.0",
    "240.0.0.1",
    "250.1.2.3",
    "255.255.255.254",
    "255.255.255.255",
    // Our own, as the settings name them.
    "8.8.4.4",
    "2001:4860:4860::8844",
    // IPv6: unspecified, loopback, link-local, site-local of old, private.
    "::",
    "::1",
    "fe80::",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf:ffff::1",
    "fec0::1",
    "feff::1",
    "fc00::",
    "fc00::1",
    "fd00::1",
    "fd12:3456:789a::1",
    "fdff:ffff::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    // IPv4 in the clothes of IPv6: compatible, mapped, translated, NAT64, Teredo, 6to4.
    "::127.0.0.1",
    "::10.0.0.1",
    "::169.254.169.254",
    "::8.8.8.8",
    "::ffff:0.0.0.0",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "::ffff:0:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::808:808",
    "64:ff9b:1::7f00:1",
    "64:ff9b:1::a9fe:a9fe",
    "2001::1",
    "2001:0:7f00:1::",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    // Groups, benchmarks, documents, protocols, not assigned.
    "ff00::",
    "ff02::1",
    "ff02::fb",
    "ff0e::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "4000::1",
    "5f00::1",
    "ff05::1:3",
    "192.168.100.1",
    "172.24.0.1",
];
/// Where a validator may go, and from where it is led astray.
const PUBLIC: &str = "8.8.8.8";
/// Says to the process in the network of its own that it is there.
const INSIDE: &str = "ACME_GATEWAY_TESTS_NETWORK_OF_ITS_OWN";
const NETWORK: &str = "ip link set lo up && ip route add local 0.0.0.0/0 dev lo && ip -6 route add local ::/0 dev lo \
    && exec \"$0\" \"$@\"";

#[test]
fn no_forbidden_address_gets_a_connection_by_name_by_redirect_or_by_rebinding() {
    if std::env::var_os(INSIDE).is_some() {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(count());
        return;
    }
    let test = "ssrf::no_forbidden_address_gets_a_connection_by_name_by_redirect_or_by_rebinding";
    let mut again = Command::new("unshare");
    let again = again.args(["--user", "--map-root-user", "--net", "sh", "-c", NETWORK]);
    let again = again.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let output = again.output().expect("unshare (util-linux) can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("0 forbidden connections"), "{said}{words}");
}

/// Connections by the address that they were made to.
type Arrived = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

async fn count() {
    let arrived = Arrived::default();
    let (http, https) = (listen(&arrived).await, listen(&arrived).await);
    let dns = DnsServer::start(resolve).await;
    let ports = Settings {
        http_port: http,
        https_port: https,
        tls_port: https,
        danger_allow_loopback: false,
        public_addresses: true,
        never: vec!["8.8.4.4/32".parse().unwrap(), "2001:4860:4860::8844/128".parse().unwrap()],
        ..settings(&dns)
    };
    let validator = Validator::new(ports).unwrap();
    let mut attempts = 0;
    for (index, address) in FORBIDDEN.iter().enumerate() {
        let mut ways: Vec<(ChallengeKind, String)> = ["direct", "http", "https", "literal", "rebind"]
            .map(|way| (ChallengeKind::Http01, way))
            .to_vec()
            .into_iter()
            .chain([(ChallengeKind::TlsAlpn01, "direct")])
            .map(|(kind, way)| (kind, format!("{way}-{index}.test")))
            .collect();
        if Identifier::parse_ip(address).is_ok() {
            ways.extend([ChallengeKind::Http01, ChallengeKind::TlsAlpn01].map(|kind| (kind, (*address).to_owned())));
        }
        for (kind, identifier) in ways {
            // What the problem says is looked at there: nothing of any body or header may be in it.
            let result = attempt(&validator, kind, &identifier).await;
            assert!(result.is_err(), "{identifier} for {address}");
            attempts += 1;
        }
    }
    let arrived = arrived.lock().unwrap().clone();
    let public: IpAddr = PUBLIC.parse().unwrap();
    let forbidden: BTreeMap<_, _> = arrived.iter().filter(|(address, _)| **address != public).collect();
    println!(
        "{} addresses, {attempts} attempts by name, redirect, rebinding and literal: {} connections to {PUBLIC}, \
         {} forbidden connections, nothing shown of any body or header",
        FORBIDDEN.len(),
        arrived.get(&public).copied().unwrap_or_default(),
        forbidden.values().copied().sum::<usize>(),
    );
    assert!(forbidden.is_empty(), "{forbidden:?}");
    // The front of each redirect was reached, so whatever else is dialled arrives too: the count can count.
    assert_eq!(arrived.get(&public), Some(&(4 * FORBIDDEN.len())));
    let probe = TcpStream::connect(("10.1.2.3", http)).await;
    assert!(probe.is_ok(), "a forbidden address that is dialled is reached: {probe:?}");
}

/// Every address is ours: one listener for all of both families.
async fn listen(arrived: &Arrived) -> u16 {
    let listener = TcpListener::bind("[::]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let arrived = Arc::clone(arrived);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let address = stream.local_addr().unwrap().ip().to_canonical();
            *arrived.lock().unwrap().entry(address).or_default() += 1;
            tokio::spawn(answer(stream));
        }
    });
    port
}

/// Leads away from a front, and shows what must not be shown anywhere else.
async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let (way, rest) = host.split_once('-').unwrap_or_default();
    let index = rest.split('.').next().unwrap_or_default();
    let location = match way {
        "http" | "https" => format!("{way}://direct-{index}.test/{SENTINEL}"),
        "literal" => {
            let address: IpAddr = FORBIDDEN.get(index.parse::<usize>().unwrap()).unwrap().parse().unwrap();
            format!(
                "http://{}/{SENTINEL}",
                if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }
            )
        }
        "rebind" => format!("http://rebind-{index}.test/{SENTINEL}"),
        _ => String::new(),
    };
    let head = match location.is_empty() {
        true => "HTTP/1.1 200 OK\r\n".to_owned(),
        false => format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n"),
    };
    let text = format!("{head}X-Secret: {SENTINEL}\r\nContent-Length: {}\r\n\r\n{SENTINEL}", SENTINEL.len());
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Fronts are public; a target is a forbidden address, and a name that rebinds becomes one after the first look.
fn resolve(asked: &Asked) -> Answer {
    let (way, rest) = asked.name.split_once('-').unwrap_or_default();
    let index = rest.split('.').next().and_then(|number| number.parse::<usize>().ok());
    let Some(forbidden) = index.and_then(|index| FORBIDDEN.get(index)) else { return Answer::Data(Vec::new()) };
    let is_front = matches!(way, "http" | "https" | "literal") || (way == "rebind" && asked.earlier == 0);
    let address = if is_front { PUBLIC } else { forbidden };
    let record: Option<RData> = match (asked.kind, address.contains(':')) {
        (RecordType::A, false) => Some(a(address)),
        (RecordType::AAAA, true) => Some(aaaa(address)),
        _ => None,
    };
    Answer::Data(record.into_iter().collect())
}

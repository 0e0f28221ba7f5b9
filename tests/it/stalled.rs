//! Five thousand connections that stall in the handshake, in a head, in a body, and in their second request: all are cut
//! in time, and nobody else waits (RFC 8555 §6.6 is for those who speak).

use std::{
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tests::{
    http::{Connection, Tls, request},
    site::Site,
    wait_for,
    world::World,
};

/// Connections of each of the four kinds.
const EACH: usize = 1_250;
const KINDS: [&str; 4] = ["body", "second request", "head", "handshake"];
/// Connections from one address of loopback: fewer than one address may have.
const PER_ADDRESS: usize = 100;
/// How long the gateway lets each of them stall, in seconds: longer than it takes to open them all. If a busy machine
/// needs more, it is done again with the next.
const CUT_AFTER_SECS: [u64; 3] = [30, 90, 300];
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(60);
/// So many must stand at the same time: all but those that a busy machine was too slow to open before the first were cut.
const STANDING_MIN: usize = 4 * EACH * 9 / 10;
/// Requests of others while they stand.
const OTHERS: usize = 100;
/// What half of the other requests may take; measured it is a few milliseconds, and those that stall take much longer.
const MEDIAN_MAX: Duration = Duration::from_secs(3);
/// What the slowest of them may take on a machine that does other things at the same time.
const P99_MAX: Duration = Duration::from_secs(20);
/// The most memory that they may cost the gateway, in KiB: 64 KiB each.
const MEMORY_KIB_MAX: u64 = 64 * 4 * EACH as u64;

#[test]
fn five_thousand_stalled_connections_are_cut_in_time_and_keep_nobody_waiting() {
    raise_open_files(12_000);
    let stood = CUT_AFTER_SECS.into_iter().find(|seconds| stall_all(*seconds) >= STANDING_MIN);
    assert!(stood.is_some(), "too few stood at once to tell");
}

/// Stalls all of them, and looks whether they are cut after so many seconds and keep nobody waiting. Answers how many
/// stood at the same time.
fn stall_all(seconds: u64) -> usize {
    let cut_after = Duration::from_secs(seconds);
    let limits = ["handshake", "head", "body"].map(|what| format!("{what}_timeout_secs = {seconds}"));
    let world = World::start_with(&limits.each_ref().map(|limit| ("server", limit.as_str())));
    let site = world.site();
    let _ = site.get(&site.url("open", "directory")).expect(200);
    let before = world.gateway_memory_kib_max();

    let start = Instant::now();
    let halves = [0..2 * EACH, 2 * EACH..4 * EACH];
    let (opened, times, memory, Watched { standing, longest }) = thread::scope(|scope| {
        let (opening, arriving) = mpsc::channel();
        let watching = scope.spawn(move || watch(&arriving, cut_after));
        let halves = halves.map(|half| {
            let opening = opening.clone();
            scope.spawn(move || half.for_each(|index| opening.send(stall(site, index)).unwrap()))
        });
        drop(opening);
        halves.into_iter().for_each(|half| half.join().unwrap());
        let opened = start.elapsed();
        let mut times: Vec<Duration> = (0..OTHERS)
            .map(|_| {
                let start = Instant::now();
                let _ = site.get(&site.url("open", "directory")).expect(200);
                start.elapsed()
            })
            .collect();
        times.sort();
        let memory = world.gateway_memory_kib_max().saturating_sub(before);
        (opened, times, memory, watching.join().unwrap())
    });
    let (median, p99) = (times[OTHERS / 2], times[OTHERS - 1]);
    println!(
        "{} connections stalled within {} s in {KINDS:?}, {standing} at once: the last cut after {} s (limit {} s); \
         {OTHERS} other requests: median {} ms, p99 (the slowest) {} ms; {} MiB of memory for all ({} KiB each)",
        4 * EACH,
        opened.as_secs(),
        longest.as_secs(),
        seconds,
        median.as_millis(),
        p99.as_millis(),
        memory / 1024,
        memory / u64::try_from(4 * EACH).unwrap(),
    );
    assert!(longest < cut_after + SLACK, "one stood for {longest:?}");
    assert!(median < MEDIAN_MAX, "{median:?}");
    assert!(p99 < P99_MAX, "{p99:?}");
    assert!(memory < MEMORY_KIB_MAX, "{memory} KiB");
    let _ = site.get(&site.url("open", "directory")).expect(200);
    standing
}

/// What became of the stalled connections.
struct Watched {
    /// The most that stood at once.
    standing: usize,
    /// The longest that one of them stood.
    longest: Duration,
}

/// Looks at the connections from the moment that they stall until the last of them is cut.
fn watch(arriving: &mpsc::Receiver<(Instant, TcpStream)>, cut_after: Duration) -> Watched {
    const LOOK_EVERY: usize = 50;
    let mut watched = Watched { standing: 0, longest: Duration::ZERO };
    let mut stalled: Vec<(Instant, TcpStream)> = Vec::new();
    let look = |stalled: &mut Vec<(Instant, TcpStream)>, watched: &mut Watched| {
        watched.standing = watched.standing.max(stalled.len());
        stalled.retain_mut(|(since, stream)| {
            let cut = is_cut(stream);
            if cut {
                watched.longest = watched.longest.max(since.elapsed());
            }
            !cut
        });
    };
    for (count, connection) in arriving.iter().enumerate() {
        stalled.push(connection);
        if count % LOOK_EVERY == 0 {
            look(&mut stalled, &mut watched);
        }
    }
    wait_for("the end of every stalled connection", cut_after + SLACK, || {
        look(&mut stalled, &mut watched);
        stalled.is_empty().then_some(())
    });
    watched
}

/// Lets this process, and the gateway that it starts, have so many open files.
fn raise_open_files(wanted: u32) {
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &own, &format!("--nofile={wanted}:")]).output();
    let raised = raised.expect("prlimit (util-linux) can be run");
    let words = String::from_utf8_lossy(&raised.stderr);
    assert!(raised.status.success(), "this test needs {wanted} open files (ulimit -Hn): {words}");
}

/// A connection that goes silent in the middle of what its kind says: since when, and its socket.
fn stall(site: &Site, index: usize) -> (Instant, TcpStream) {
    let address = u8::try_from(2 + index / PER_ADDRESS).unwrap();
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 1, address));
    let stream = connect(from, site.gateway);
    let kind = KINDS[index / EACH];
    if kind != "handshake" {
        let ca_file = site.pki("acme-ca.pem");
        let tls = Tls { ca_file: Some(&ca_file), ..Tls::default() };
        let (mut connection, _) = Connection::tls_over(stream.try_clone().unwrap(), "localhost", &tls).unwrap();
        let host = site.external_url.trim_start_matches("https://");
        let half_head = format!("GET /acme/open/directory HTTP/1.1\r\nHost: {host}\r\nX-Slow: ");
        match kind {
            "head" => connection.send(half_head).unwrap(),
            "second request" => {
                connection.send(request("GET", "/acme/open/directory", host, &[], None)).unwrap();
                let _ = connection.receive("GET").unwrap().expect(200);
                connection.send(half_head).unwrap();
            }
            _ => {
                let headers = [("Content-Type", tests::client::JOSE), ("Content-Length", "1000")];
                let head = request("POST", "/acme/open/new-order", host, &headers, None);
                connection.send([head.as_slice(), b"{\"protected\":\""].concat()).unwrap();
            }
        }
    }
    stream.set_nonblocking(true).unwrap();
    (Instant::now(), stream)
}

/// From this address, because one address may not have so many.
fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        socket.connect(to).await?.into_std()
    });
    let stream = stream.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Whether the other side has ended it. What it says before it does (session tickets, a refusal) is passed over.
fn is_cut(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

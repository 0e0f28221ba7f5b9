//! A web server for clients that only write files: it gives out what lies in a folder, and nothing else.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::scenario::{Failure, Lane};

/// The folder below a web root in which answers to http-01 lie.
const CHALLENGES: &str = ".well-known/acme-challenge";

/// A running server; it ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Gives out the lane's folder `web` on the lane's address. Answers the server and the folder.
pub(crate) fn serve(lane: &Lane<'_>) -> Result<(Server, PathBuf), Failure> {
    let (server, folder) = Server::start(&lane.dir, lane.address, lane.http_01_port())
        .map_err(|error| format!("no web server on {}: {error}", lane.address))?;
    Ok((server, folder))
}

/// Where a lane's clients put their answers.
pub(crate) fn challenges(lane: &Lane<'_>) -> PathBuf {
    lane.dir.join("web").join(CHALLENGES)
}

impl Server {
    /// Gives out the folder `web` in `dir`, which it answers too.
    pub(crate) fn start(dir: &Path, address: Ipv4Addr, port: u16) -> std::io::Result<(Self, PathBuf)> {
        let folder = dir.join("web");
        fs::create_dir_all(folder.join(CHALLENGES))?;
        let listener = TcpListener::bind((address, port))?;
        let (root, ended) = (folder.clone(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                // A visitor that goes away is no concern of the next one.
                let _ = answer(stream, &root);
            }
        });
        Ok((Self { address: SocketAddr::from((address, port)), ended, thread: Some(thread) }, folder))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // It looks when the next visitor comes, so one comes.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn answer(mut stream: TcpStream, root: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let file = if path.contains("..") { None } else { fs::read(root.join(path)).ok() };
    let (status, body) = file.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

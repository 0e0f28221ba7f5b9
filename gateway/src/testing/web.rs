//! A web server on loopback that shows one text, whatever it is asked for: the client's side of
//! http-01.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A server; it ends with its runtime.
pub(crate) struct Web {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    text: Mutex<String>,
    is_busy: AtomicBool,
    is_silent: AtomicBool,
    asked_in_vain: Notify,
    requests: AtomicUsize,
}

impl Web {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        tokio::spawn(serve(listener, shared.clone()));
        Self { port, shared }
    }

    pub(crate) fn show(&self, text: &str) {
        text.clone_into(&mut self.shared.text.lock().unwrap());
    }

    /// Answers 503 whatever there is to show, or does so no longer.
    pub(crate) fn is_busy(&self, is_busy: bool) {
        self.shared.is_busy.store(is_busy, Ordering::SeqCst);
    }

    /// Takes requests and answers none, or does so no longer.
    pub(crate) fn is_silent(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// Waits until somebody has asked while it is silent.
    pub(crate) async fn asked_in_vain(&self) {
        self.shared.asked_in_vain.notified().await;
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(answer(connection, shared.clone()));
    }
}

async fn answer(mut connection: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await?);
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    if shared.is_silent.load(Ordering::SeqCst) {
        shared.asked_in_vain.notify_one();
        std::future::pending::<()>().await;
    }
    let text = shared.text.lock().unwrap().clone();
    let status = if shared.is_busy.load(Ordering::SeqCst) { "503 Busy" } else { "200 OK" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len());
    connection.write_all(answer.as_bytes()).await
}

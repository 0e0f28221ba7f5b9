//! The line between gateway and CM, which breaks after the CM has acted and before its answer arrives.
//!
//! A TCP proxy on loopback. It knows nothing of TLS or HTTP: whenever octets come from the CM it first asks whether the
//! thing has happened. Once it has, all connections are cut and no new ones are made, so the answer that tells of it is
//! always lost, whatever number of calls it took and whatever the machine was doing meanwhile.

use std::{
    fmt::Debug,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{Caller, Subject};
use crate::{CertificateManager, CmError, Outcome};

/// Most octets that are passed on at a time.
const CHUNK: usize = 16 * 1024;
/// A pace at which a CM that is busy can be asked again.
const CALL_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A proxy's question whether it has happened, with where the answer goes.
type Question = oneshot::Sender<bool>;

/// Makes a call by a gateway of its own whose answer gets lost once this has happened; what became of the call. One that
/// ends before, because the CM was too slow for it, is made again.
pub(super) async fn losing_the_answer<T: Debug>(
    subject: &dyn Subject,
    call: impl AsyncFn(&dyn CertificateManager) -> Result<T, CmError>,
    has_happened: impl AsyncFn() -> bool,
) -> Result<T, CmError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let cm = subject.gateway_at(listener.local_addr().unwrap(), Caller::Gateway);
    let (ask, mut questions) = mpsc::unbounded_channel();
    // Dropped at the end of this function, and with it all connections.
    let mut proxy = JoinSet::new();
    proxy.spawn(accept(listener, subject.address(), ask));
    let (mut is_lost, mut pace) = (false, tokio::time::interval(CALL_AGAIN_AFTER));
    let mut earlier = Outcome::NotSent;
    let mut calling = Box::pin(call(&*cm));
    loop {
        tokio::select! {
            outcome = &mut calling => match outcome {
                Err(CmError::Unavailable { outcome, retry_after }) => {
                    earlier = earlier.and(outcome);
                    if is_lost {
                        return Err(CmError::Unavailable { outcome: earlier, retry_after });
                    }
                    let _tick = pace.tick().await;
                    calling = Box::pin(call(&*cm));
                }
                other => {
                    assert!(is_lost, "the call ended before what it is for had happened: {other:?}");
                    return other;
                }
            },
            Some(answer) = questions.recv() => {
                is_lost = is_lost || has_happened().await;
                // One that went away needs no answer.
                let _ = Question::send(answer, is_lost);
            }
        }
    }
}

async fn accept(listener: TcpListener, cm: SocketAddr, ask: mpsc::UnboundedSender<Question>) {
    let is_cut = Arc::new(AtomicBool::new(false));
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        if is_cut.load(Ordering::SeqCst) {
            continue;
        }
        let (ask, is_cut) = (ask.clone(), Arc::clone(&is_cut));
        connections.spawn(async move {
            // However it ends, both sides are closed.
            let _ = pass_on(client, cm, &ask, &is_cut).await;
        });
    }
}

async fn pass_on(
    client: TcpStream,
    cm: SocketAddr,
    ask: &mpsc::UnboundedSender<Question>,
    is_cut: &AtomicBool,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_cm, mut to_cm) = TcpStream::connect(cm).await?.into_split();
    let upwards = async { tokio::io::copy(&mut from_client, &mut to_cm).await.map(drop) };
    let downwards = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = from_cm.read(&mut chunk).await?;
            if length == 0 {
                return Ok(());
            }
            let (question, answer) = oneshot::channel();
            let is_asked = ask.send(question).is_ok();
            if !is_asked || answer.await.unwrap_or(true) {
                is_cut.store(true, Ordering::SeqCst);
                return Ok(());
            }
            to_client.write_all(&chunk[..length]).await?;
        }
    };
    tokio::select! { ended = upwards => ended, ended = downwards => ended }
}

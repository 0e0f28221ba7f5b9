//! The side of the socket that answers.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};

use super::{Answer, QUESTION_OCTETS_MAX, Request, answer::answer};
use crate::app::Current;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 8;
/// How long one may take, from the first octet to the last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Before the socket is looked at again after it could not be used.
const FAILED_PAUSE: Duration = Duration::from_millis(100);
/// Longest path of a socket, in octets: the system has no room for more.
const PATH_OCTETS_MAX: usize = 107;

/// The socket. The file goes when this is dropped.
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Who runs the gateway.
    owner: u32,
}

impl Listener {
    /// Makes the socket, in place of one that an earlier process has left behind.
    ///
    /// # Errors
    /// The text names the setting.
    pub(crate) fn bind(path: &Path) -> anyhow::Result<Self> {
        let octets = path.as_os_str().len();
        if octets > PATH_OCTETS_MAX {
            bail!(
                "ops.admin_socket: {} has {octets} octets, and a socket's path has {PATH_OCTETS_MAX} at most; name a \
                 shorter one",
                path.display()
            );
        }
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => bail!("ops.admin_socket: {} is there and is no socket; name another path", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("ops.admin_socket: {}", path.display())),
        }
        let socket = UnixListener::bind(path)
            .with_context(|| format!("ops.admin_socket: cannot make the socket {}", path.display()))?;
        // Whoever came before this is turned away by who he is.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let owner = fs::symlink_metadata(path)?.uid();
        Ok(Self { socket, path: path.to_owned(), owner })
    }

    /// Answers, for ever.
    pub(crate) async fn run(self, current: Current) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    let (current, owner) = (current.clone(), self.owner);
                    tokio::spawn(async move {
                        let _place = place;
                        match timeout(CONNECTION_TIMEOUT, serve(stream, &current, owner)).await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => tracing::warn!(%error, "an operator's connection broke off"),
                            Err(_) => tracing::warn!("an operator's connection took too long"),
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an operator's connection");
                    tokio::time::sleep(FAILED_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may be gone already, and the next process removes what is left.
        let _gone = fs::remove_file(&self.path);
    }
}

async fn serve(mut stream: UnixStream, current: &Current, owner: u32) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let answer = if peer == owner || peer == 0 {
        let (reading, _) = stream.split();
        let mut line = Vec::new();
        let most = u64::try_from(QUESTION_OCTETS_MAX).unwrap_or(u64::MAX);
        BufReader::new(reading.take(most)).read_until(b'\n', &mut line).await?;
        match serde_json::from_slice::<Request>(&line) {
            Ok(request) => {
                tracing::info!(uid = peer, ?request, "an operator asks");
                answer(&current.app(), request, &format!("uid {peer}")).await
            }
            Err(error) => Answer::Error(format!("this is no request that this gateway knows: {error}")),
        }
    } else {
        tracing::warn!(uid = peer, "somebody else's user came to the operators' socket");
        Answer::Error(format!("user {peer} is not the user of the gateway"))
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await
}

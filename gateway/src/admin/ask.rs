//! The side of the socket that asks: `acme-gateway` on the command line.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{ANSWER_OCTETS_MAX, Answer, Request};

/// How long the gateway may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the gateway that runs on this machine.
///
/// # Errors
/// What the gateway says against it, or that none can be asked.
pub(crate) fn ask(socket: &Path, request: &Request) -> anyhow::Result<Value> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "cannot reach the gateway at {}; is it running, is this its socket, and are you its user or root?",
            socket.display()
        )
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    // Whoever is turned away is told so before the question was read.
    let asked = stream.write_all(&line);
    let mut answer = Vec::new();
    let most = u64::try_from(ANSWER_OCTETS_MAX)?;
    BufReader::new(stream.take(most)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        asked?;
    }
    match serde_json::from_slice(&answer).context("the gateway broke off its answer")? {
        Answer::Ok(value) => Ok(value),
        Answer::Error(text) => bail!(text),
    }
}

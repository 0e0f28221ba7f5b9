//! The socket as operators and others find it.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::*;
use crate::{app::Current, testing::Gateway};

/// A folder of its own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name: String = crate::random::octets::<8>().iter().map(|octet| format!("{octet:02x}")).collect();
        let folder = std::env::temp_dir().join(format!("admin-{name}"));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// What a line gets for an answer.
async fn say(socket: &Path, line: &'static [u8]) -> String {
    let socket = socket.to_owned();
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(line).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    said.await.unwrap()
}

#[tokio::test]
async fn a_question_is_answered_and_what_is_none_is_refused() {
    let (gateway, folder) = (Gateway::new().await, Folder::new());
    let listener = Listener::bind(&folder.socket()).unwrap();
    let mode = fs::metadata(folder.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let running = tokio::spawn(listener.run(Current::from(gateway.app.clone())));
    let socket = folder.socket();
    let asked = tokio::task::spawn_blocking(move || ask(&socket, &Request::ProfileList {})).await.unwrap().unwrap();
    assert_eq!(asked, json!({"stopped": [], "badCertificates": []}));
    let resume = b"{\"request\":\"profile-resume\",\"realm\":\"open\",\"profile\":\"tls-server\"}\n";
    assert!(say(&folder.socket(), resume).await.contains("is not stopped"));
    for line in [&b"\n"[..], b"{}\n", b"{\"request\":\"shutdown\"}\n", b"{\"request\":\"profile-list\",\"all\":1}\n"] {
        assert!(say(&folder.socket(), line).await.starts_with("{\"error\":"), "{line:?}");
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert!(!folder.socket().exists(), "nothing is left behind");
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_anything_else_is_not() {
    let folder = Folder::new();
    let left_behind = std::os::unix::net::UnixListener::bind(folder.socket()).unwrap();
    drop(left_behind);
    assert!(folder.socket().exists());
    drop(Listener::bind(&folder.socket()).unwrap());
    fs::write(folder.socket(), "mine").unwrap();
    let refused = Listener::bind(&folder.socket()).err().unwrap().to_string();
    assert!(refused.contains("ops.admin_socket"), "{refused}");
    assert_eq!(fs::read(folder.socket()).unwrap(), b"mine");
    let long = folder.0.join("x".repeat(120));
    assert!(Listener::bind(&long).err().unwrap().to_string().contains("107"));
}

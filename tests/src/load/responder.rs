//! Where clients put their answers to http-01: the responder of a sandbox.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{Connection, request};

/// It, by the address of the sandbox's control server.
#[derive(Clone, Copy)]
pub struct Responder {
    control: SocketAddr,
}

impl Responder {
    /// Answers http-01 on this port from now on.
    ///
    /// # Panics
    /// The control server does not.
    #[must_use]
    pub fn listen(control: SocketAddr, http_01_port: u16) -> Self {
        let responder = Self { control };
        responder.command("/http-01/listen", &json!({"address": format!("127.0.0.1:{http_01_port}")}));
        responder
    }

    /// Answers the challenge of this token.
    pub(super) fn provide(self, token: &str, key_authorization: &str) {
        self.command("/add-http01", &json!({"token": token, "content": key_authorization}));
    }

    fn command(self, path: &str, body: &Value) {
        let body = body.to_string();
        let octets = request("POST", path, "localhost", &[("Connection", "close")], Some(body.as_bytes()));
        let answer = Connection::plain(self.control).and_then(|mut connection| {
            connection.send(octets)?;
            connection.receive("POST")
        });
        let _ = answer.unwrap_or_else(|error| panic!("{path}: {error}")).expect(200);
    }
}

//! Where the parts of a world are, and how to talk to each of them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use serde_json::Value;

use crate::{
    http::{Connection, Tls, request, tcp_from},
    response::Response,
};

/// Where things are; clients share it.
#[derive(Clone)]
pub struct Site {
    /// The folder of this world.
    pub dir: PathBuf,
    /// `https://localhost:PORT`, or under another name.
    pub external_url: String,
    /// The file of the throwaway PKI with the authority of the gateway's server certificate.
    pub authority: &'static str,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// The gateway's listener for operators.
    pub ops: SocketAddr,
    /// The sandbox's control server.
    pub control: SocketAddr,
    /// The sandbox's name server.
    pub dns: SocketAddr,
    /// Where http-01 is dialled.
    pub http_01_port: u16,
    /// Where tls-alpn-01 is dialled.
    pub tls_alpn_01_port: u16,
    /// What those who go by this show of themselves to the gateway.
    pub shown: Shown,
}

/// What a client shows of itself before it says anything.
#[derive(Clone, Default)]
pub struct Shown {
    /// The address of ours that it comes from, if it matters.
    pub source: Option<IpAddr>,
    /// The files with its certificate and key (PEM), if it has some.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Site {
    /// The folder of the sandbox.
    #[must_use]
    pub fn sandbox_dir(&self) -> PathBuf {
        self.dir.join("sandbox")
    }

    /// A file of the throwaway PKI, such as `root.pem`.
    #[must_use]
    pub fn pki(&self, file: &str) -> PathBuf {
        self.sandbox_dir().join("pki").join(file)
    }

    /// The gateway's settings.
    #[must_use]
    pub fn settings_file(&self) -> PathBuf {
        self.dir.join("gateway.toml")
    }

    /// The log of a process.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// `https://localhost:PORT/acme/ENDPOINT/RESOURCE`.
    #[must_use]
    pub fn url(&self, endpoint: &str, resource: &str) -> String {
        format!("{}/acme/{endpoint}/{resource}", self.external_url)
    }

    /// A TLS connection to the gateway.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn connect(&self) -> Connection {
        self.try_connect().unwrap_or_else(|error| panic!("no TLS: {error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// There is no listener, or its certificate is not accepted.
    pub fn try_connect(&self) -> io::Result<Connection> {
        let ca_file = self.pki(self.authority);
        let identity = self.shown.identity.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let tls = Tls { ca_file: Some(&ca_file), identity, ..Tls::default() };
        let connected = match self.shown.source {
            Some(source) => Connection::tls_over(tcp_from(source, self.gateway)?, self.name(), &tls),
            None => Connection::tls(self.gateway, self.name(), &tls),
        };
        Ok(connected?.0)
    }

    /// The gateway's name in its external URL.
    #[must_use]
    pub fn name(&self) -> &str {
        self.external_url.trim_start_matches("https://").split(':').next().unwrap_or_default()
    }

    /// One request to the gateway.
    ///
    /// # Panics
    /// There is no response.
    #[must_use]
    pub fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Response {
        let path = url.strip_prefix(self.external_url.as_str()).unwrap_or(url);
        let host = self.external_url.trim_start_matches("https://");
        let mut connection = self.connect();
        connection.send(request(method, path, host, headers, body)).unwrap();
        connection.receive(method).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// GET without a signature.
    #[must_use]
    pub fn get(&self, url: &str) -> Response {
        self.send("GET", url, &[], None)
    }

    /// A command of the control server.
    ///
    /// # Panics
    /// It is refused.
    pub fn control(&self, path: &str, body: &Value) -> Value {
        plain(self.control, "POST", path, Some(body.to_string().as_bytes())).expect(200).json()
    }

    /// Something that the control server tells.
    ///
    /// # Panics
    /// It does not.
    #[must_use]
    pub fn control_get(&self, path: &str) -> Value {
        plain(self.control, "GET", path, None).expect(200).json()
    }

    /// Forgets faults that were ordered.
    ///
    /// # Panics
    /// The control server does not answer.
    pub fn clear_faults(&self) {
        let _ = plain(self.control, "DELETE", "/faults", None).expect(200);
    }

    /// A page of the gateway's listener for operators.
    ///
    /// # Panics
    /// It does not answer.
    #[must_use]
    pub fn ops(&self, path: &str) -> Response {
        plain(self.ops, "GET", path, None)
    }
}

/// A request over plain HTTP.
fn plain(address: SocketAddr, method: &str, path: &str, body: Option<&[u8]>) -> Response {
    let ask = || {
        let mut connection = Connection::plain(address)?;
        connection.send(request(method, path, "localhost", &[("Connection", "close")], body))?;
        connection.receive(method)
    };
    ask().unwrap_or_else(|error| panic!("{method} http://{address}{path}: {error}"))
}

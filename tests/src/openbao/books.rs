//! What OpenBao itself says: how a node is, and which certificates there are. Asked over HTTPS without the program
//! `bao`, because it is asked often and while nodes die.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use serde_json::Value;

use super::{MOUNT, OpenBao};
use crate::{
    client::strings,
    http::{Connection, Tls, request},
    response::Response,
};

/// Certificates on a page of the list.
const PAGE: usize = 500;

impl OpenBao {
    /// Whether this node leads its cluster and says so; false if it says nothing.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.api("GET", "sys/health", "").is_ok_and(|response| response.status == 200)
    }

    /// The certificates of a realm but its CA's by their serials, and what names they are for, out of OpenBao's list.
    ///
    /// # Panics
    /// The node does not answer, or has one more often or less often than its other list says.
    #[must_use]
    pub fn certificates(&self, realm: &str) -> BTreeMap<String, BTreeSet<String>> {
        let read = |path: &str| {
            let path = format!("{MOUNT}/{realm}/pki/{path}");
            self.api("GET", &path, &self.root_token).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let (mut found, mut after) = (BTreeMap::new(), String::new());
        loop {
            let response = read(&format!("certs/detailed?list=true&detailed=true&limit={PAGE}&after={after}"));
            if response.status == 404 {
                break;
            }
            let page = response.expect(200).json();
            let keys = strings(&page["data"]["keys"]);
            for serial in &keys {
                let names = page["data"]["key_info"][serial]["dns_names"].as_array().cloned().unwrap_or_default();
                let names: BTreeSet<_> = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                assert!(found.insert(plain(serial), names).is_none(), "{serial} is twice in the list");
            }
            match keys.last() {
                Some(last) if keys.len() == PAGE => after.clone_from(last),
                _ => break,
            }
        }
        let listed = strings(&read("certs?list=true").expect(200).json()["data"]["keys"]);
        let listed: Vec<_> = listed.iter().map(|serial| plain(serial)).collect();
        assert!(listed.iter().eq(found.keys()), "OpenBao's two lists differ");
        let own: BTreeSet<_> = self.serials(realm).iter().map(|serial| plain(serial)).collect();
        found.retain(|serial, _| own.contains(serial));
        found
    }

    /// One request of the API; the token may be empty.
    fn api(&self, method: &str, path: &str, token: &str) -> io::Result<Response> {
        let ca_file = self.pki.join("infra-ca.pem");
        let (certificate, key) = (self.pki.join("officer.pem"), self.pki.join("officer.key"));
        let tls = Tls { ca_file: Some(&ca_file), identity: Some((&certificate, &key)), ..Tls::default() };
        let (mut connection, _) = Connection::tls(self.address, &self.address.ip().to_string(), &tls)?;
        let headers = [("X-Vault-Token", token), ("Connection", "close")];
        let headers = if token.is_empty() { headers.get(1..).unwrap_or_default() } else { &headers };
        connection.send(request(method, &format!("/v1/{path}"), &self.address.to_string(), headers, None))?;
        connection.receive(method)
    }
}

/// A serial as certificates write it: hex without what stands between octets.
fn plain(serial: &str) -> String {
    serial.replace([':', '-'], "").to_lowercase()
}

//! Which port is whose. One option moves all of them but those of the challenges.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
};

use anyhow::{bail, ensure};

/// The ports of one quickstart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ports {
    acme: u16,
    cm: u16,
    status: u16,
    dns: u16,
    control: u16,
    ops: u16,
    /// Where clients answer http-01.
    pub(crate) http_01: u16,
    /// Where the sandbox answers tls-alpn-01.
    pub(crate) tls_alpn_01: u16,
    openbao: bool,
    ipv6: bool,
}

impl Ports {
    /// The gateway gets `port`, everything else the five after it.
    ///
    /// # Errors
    /// There are not five ports after it, or two of the options name the same port.
    pub(crate) fn plan(port: u16, http_01: u16, tls_alpn_01: u16) -> anyhow::Result<Self> {
        ensure!(
            (1..=u16::MAX - 5).contains(&port),
            "--port {port}: this port and the five after it are used, so give one from 1 to 65530"
        );
        let ports = Self {
            acme: port,
            cm: port.saturating_add(1),
            status: port.saturating_add(2),
            dns: port.saturating_add(3),
            control: port.saturating_add(4),
            ops: port.saturating_add(5),
            http_01,
            tls_alpn_01,
            openbao: false,
            ipv6: TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok(),
        };
        for (option, given) in [("--http-01-port", http_01), ("--tls-alpn-01-port", tls_alpn_01)] {
            ensure!(given != 0, "{option} 0: give a port from 1 to 65535");
            ensure!(
                !(ports.acme..=ports.ops).contains(&given),
                "{option} {given} is one of the six ports from --port {port} on: change one of the two"
            );
        }
        ensure!(http_01 != tls_alpn_01, "--http-01-port and --tls-alpn-01-port are both {http_01}: change one of them");
        Ok(ports)
    }

    /// The same with an OpenBao, on three more ports.
    ///
    /// # Errors
    /// There are not eight ports after the gateway's, or another option names one of them.
    pub(crate) fn with_openbao(self) -> anyhow::Result<Self> {
        ensure!(
            self.acme <= u16::MAX - 8,
            "--port {}: with --cm openbao the eight ports after it are used, so give one from 1 to 65527",
            self.acme
        );
        for (option, given) in [("--http-01-port", self.http_01), ("--tls-alpn-01-port", self.tls_alpn_01)] {
            ensure!(
                !(self.acme..=self.openbao_status().port()).contains(&given),
                "{option} {given} is one of the nine ports from --port {} on: change one of the two",
                self.acme
            );
        }
        Ok(Self { openbao: true, ..self })
    }

    /// Tries each port that is going to be used.
    ///
    /// # Errors
    /// One is in use or not allowed; the text names the option to change.
    pub(crate) fn check_free(&self, answers_http_01: bool) -> anyhow::Result<()> {
        let mut wanted = vec![
            (v4(self.acme), "the gateway", "--port"),
            (v4(self.cm), "the reference Certificate Manager", "--port"),
            (v4(self.status), "the status server of the sandbox", "--port"),
            (v4(self.dns), "the DNS server of the sandbox", "--port"),
            (v4(self.control), "the control server of the sandbox", "--port"),
            (v4(self.ops), "health and metrics of the gateway", "--port"),
        ];
        if self.openbao {
            wanted.extend([
                (self.openbao(), "OpenBao", "--port"),
                (self.openbao_cluster(), "the cluster address of OpenBao", "--port"),
                (self.openbao_status(), "OCSP and CRL of OpenBao", "--port"),
            ]);
        }
        if self.ipv6 {
            wanted.push((SocketAddr::from((Ipv6Addr::LOCALHOST, self.acme)), "the gateway", "--port"));
        }
        if answers_http_01 {
            wanted.push((v4(self.http_01), "answers to http-01 challenges", "--http-01-port"));
        }
        for (address, whose, option) in wanted {
            let tried = TcpListener::bind(address).map(drop).and_then(|()| match address.port() == self.dns {
                true => UdpSocket::bind(address).map(drop),
                false => Ok(()),
            });
            match tried.map_err(|error| error.kind()) {
                Ok(()) => {}
                Err(ErrorKind::AddrInUse) => {
                    bail!("{address}, meant for {whose}, is in use: free it or choose another port with {option}")
                }
                Err(ErrorKind::PermissionDenied) => bail!(
                    "{address}, meant for {whose}, may not be opened by this user: choose a port above 1023 with \
                     {option}, or run as root"
                ),
                Err(other) => bail!("{address}, meant for {whose}, cannot be opened ({other}): see {option}"),
            }
        }
        Ok(())
    }

    /// Where clients reach the gateway; without the port that https has anyway.
    pub(crate) fn external_url(&self) -> String {
        if self.acme == 443 { "https://localhost".to_owned() } else { format!("https://localhost:{}", self.acme) }
    }

    /// The directory URL of an endpoint.
    pub(crate) fn directory(&self, endpoint: &str) -> String {
        format!("{}/acme/{endpoint}/directory", self.external_url())
    }

    /// What account and order URLs of an endpoint begin with.
    pub(crate) fn acme_base(&self, endpoint: &str) -> String {
        format!("{}/acme/{endpoint}", self.external_url())
    }

    /// Where the gateway listens: loopback only, in each version of IP that is there.
    pub(crate) fn listen(&self) -> Vec<SocketAddr> {
        let mut addresses = vec![v4(self.acme)];
        if self.ipv6 {
            addresses.push(SocketAddr::from((Ipv6Addr::LOCALHOST, self.acme)));
        }
        addresses
    }

    /// Health and metrics of the gateway.
    pub(crate) const fn ops(&self) -> SocketAddr {
        v4(self.ops)
    }

    /// The reference Certificate Manager.
    pub(crate) const fn cm(&self) -> SocketAddr {
        v4(self.cm)
    }

    /// The status server of the sandbox: CRL and OCSP.
    pub(crate) const fn status(&self) -> SocketAddr {
        v4(self.status)
    }

    /// The DNS server of the sandbox.
    pub(crate) const fn dns(&self) -> SocketAddr {
        v4(self.dns)
    }

    /// The control server of the sandbox.
    pub(crate) const fn control(&self) -> SocketAddr {
        v4(self.control)
    }

    /// OpenBao, for who shows a client certificate.
    pub(crate) const fn openbao(&self) -> SocketAddr {
        v4(self.acme.saturating_add(6))
    }

    /// Where its nodes would talk with each other.
    pub(crate) const fn openbao_cluster(&self) -> SocketAddr {
        v4(self.acme.saturating_add(7))
    }

    /// OpenBao, for who asks for OCSP and CRL.
    pub(crate) const fn openbao_status(&self) -> SocketAddr {
        v4(self.acme.saturating_add(8))
    }

    /// Where `first-certificate` answers its challenge.
    pub(crate) const fn http_01(&self) -> SocketAddr {
        v4(self.http_01)
    }
}

const fn v4(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(port: u16, http_01: u16, tls_alpn_01: u16) -> String {
        Ports::plan(port, http_01, tls_alpn_01).unwrap_err().to_string()
    }

    #[test]
    fn five_ports_follow_the_one_of_the_gateway() {
        let ports = Ports::plan(14000, 5002, 5001).unwrap();
        assert_eq!(ports.directory("open"), "https://localhost:14000/acme/open/directory");
        let rest = [ports.cm(), ports.status(), ports.dns(), ports.control(), ports.ops()];
        assert_eq!(rest.map(|address| address.port()), [14001, 14002, 14003, 14004, 14005]);
    }

    #[test]
    fn an_openbao_takes_three_ports_more_and_they_clash_with_options_as_the_others_do() {
        let ports = Ports::plan(14000, 5002, 5001).unwrap().with_openbao().unwrap();
        let more = [ports.openbao(), ports.openbao_cluster(), ports.openbao_status()];
        assert_eq!(more.map(|address| address.port()), [14006, 14007, 14008]);
        let refusal = |port, http_01, tls_alpn_01| {
            Ports::plan(port, http_01, tls_alpn_01).unwrap().with_openbao().unwrap_err().to_string()
        };
        assert!(refusal(65528, 5002, 5001).contains("--port 65528"));
        assert!(refusal(14000, 14008, 5001).contains("--http-01-port 14008"));
        assert!(refusal(14000, 5002, 14006).contains("--tls-alpn-01-port 14006"));
    }

    #[test]
    fn a_port_of_openbao_is_tried_only_where_there_is_one() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let status = taken.local_addr().unwrap().port();
        let ports = Ports::plan(status - 8, 5002, 5001).unwrap().with_openbao().unwrap();
        let error = ports.check_free(false).unwrap_err().to_string();
        assert!(error.contains("choose another port with --port"), "{error}");
        assert!(
            !Ports { openbao: false, ..ports }.check_free(false).is_err_and(|said| said.to_string().contains("OCSP"))
        );
    }

    #[test]
    fn the_port_of_https_is_left_out_of_urls() {
        assert_eq!(Ports::plan(443, 80, 5001).unwrap().external_url(), "https://localhost");
    }

    #[test]
    fn options_that_clash_are_refused_by_name() {
        assert!(refusal(65531, 5002, 5001).contains("--port 65531"));
        assert!(refusal(0, 5002, 5001).contains("--port 0"));
        assert!(refusal(14000, 14003, 5001).contains("--http-01-port 14003"));
        assert!(refusal(14000, 5002, 14005).contains("--tls-alpn-01-port 14005"));
        assert!(refusal(14000, 5001, 5001).contains("--tls-alpn-01-port"));
        assert!(refusal(14000, 0, 5001).contains("--http-01-port 0"));
    }

    #[test]
    fn a_port_in_use_is_reported_with_the_option_that_moves_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut ports = Ports::plan(14000, 5002, 5001).unwrap();
        ports.acme = port;
        let error = ports.check_free(true).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.ends_with("--port"), "{error}");
    }
}

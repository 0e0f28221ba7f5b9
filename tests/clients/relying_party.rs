//! What relying parties find out about a certificate from OpenBao, by nothing but the root and what the certificate
//! says itself. They ask in three ways, `openssl verify`, OCSP and CRL, and the three have to agree.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    command::write,
    front::Front,
    scenario::{Failure, Lane},
};

/// A certificate with the chain that came with it.
pub(crate) struct Certificate {
    /// Hexadecimal, without separators.
    pub(crate) serial: String,
    leaf: PathBuf,
    chain: PathBuf,
    ocsp: String,
    crl: String,
}

/// What is heard about a certificate.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    verify: String,
    ocsp: String,
    crl: String,
    verify_by_crl: String,
}

impl Certificate {
    /// Reads a file that a client got, the certificate first.
    pub(crate) fn read(lane: &Lane<'_>, full_chain: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(full_chain).map_err(|error| format!("{}: {error}", full_chain.display()))?;
        Self::parse(lane, &text)
    }

    /// Takes what a server shows for this name.
    pub(crate) fn served(lane: &Lane<'_>, address: SocketAddr, name: &str) -> Result<Self, Failure> {
        let connect = lane.shell("openssl").args(&["s_client", "-showcerts", "-servername", name, "-connect"]);
        Self::parse(lane, &connect.arg(address.to_string()).succeed()?)
    }

    /// Keeps copies, because clients replace and remove their files.
    fn parse(lane: &Lane<'_>, text: &str) -> Result<Self, Failure> {
        let end = "-----END CERTIFICATE-----";
        let blocks = text.split_inclusive(end).filter(|block| block.ends_with(end));
        let mut pems =
            blocks.filter_map(|block| block.find("-----BEGIN").map(|begin| format!("{}\n", &block[begin..])));
        let first = pems.next().ok_or_else(|| format!("no certificate in\n{text}"))?;
        let draft = lane.dir.join("leaf.pem");
        write(&draft, &first)?;
        let x509 =
            |what: &[&str]| lane.shell("openssl").args(&["x509", "-noout"]).args(what).arg("-in").arg(&draft).succeed();
        let serial = x509(&["-serial"])?.trim().trim_start_matches("serial=").to_owned();
        let [leaf, chain] = ["pem", "chain.pem"].map(|kind| lane.dir.join(format!("{serial}.{kind}")));
        write(&leaf, &first)?;
        write(&chain, &pems.collect::<String>())?;
        let urls = x509(&["-ext", "authorityInfoAccess,crlDistributionPoints"])?;
        let url = |what: &str| {
            let mut after = urls.split(what).skip(1).flat_map(str::split_whitespace);
            let found = after.find_map(|word| word.split_once("URI:").map(|(_, url)| url.to_owned()));
            found.ok_or_else(|| format!("certificate {serial} has no URL of {what}:\n{urls}"))
        };
        let (ocsp, crl, issuer) = (url("OCSP - ")?, url("CRL Distribution Points")?, url("CA Issuers - ")?);
        let certificate = Self { serial, leaf, chain, ocsp, crl };
        certificate.names_its_issuer(lane, &issuer)?;
        Ok(certificate)
    }

    /// What lies at the URL of the issuer is the certificate that came along.
    fn names_its_issuer(&self, lane: &Lane<'_>, url: &str) -> Result<(), Failure> {
        let file = lane.dir.join(format!("{}.issuer.der", self.serial));
        lane.shell("curl").args(&["-fsS", "-o"]).arg(&file).arg(url).succeed()?;
        let digest = |form: &str, file: &Path| {
            let read =
                lane.shell("openssl").args(&["x509", "-noout", "-fingerprint", "-sha256", "-inform", form, "-in"]);
            read.arg(file).succeed()
        };
        let (there, here) = (digest("DER", &file)?, digest("PEM", &self.chain)?);
        let same = there == here;
        same.then_some(()).ok_or_else(|| format!("the issuer at {url} is {there}, and the one that came along {here}"))
    }

    /// Fails with one sentence unless all that relying parties can ask say of it what the clients of all lanes did.
    pub(crate) fn agree(&self, lane: &Lane<'_>) -> Result<(), Failure> {
        let front = front(lane)?;
        let before = front.revocations().clone();
        let own = (self.crl.clone(), self.serial.clone());
        let revoked = before.confirmed.contains(&own);
        let (crl, listed) = self.fetch_crl(lane)?;
        let after = front.revocations().clone();
        let wanted = Heard {
            verify: "good".to_owned(),
            ocsp: if revoked { "revoked" } else { "good" }.to_owned(),
            crl: if revoked { "listed" } else { "not listed" }.to_owned(),
            verify_by_crl: if revoked { "certificate revoked" } else { "good" }.to_owned(),
        };
        let is_listed = listed.contains(&self.serial);
        let heard = Heard {
            verify: self.verify(lane, &[])?,
            ocsp: self.ask_ocsp(lane)?,
            crl: if is_listed { "listed" } else { "not listed" }.to_owned(),
            verify_by_crl: self.verify(lane, &["-crl_check", "-CRLfile", &crl.display().to_string()])?,
        };
        if heard != wanted {
            return Err(format!(
                "relying parties disagree about {}, which is {}: openssl verify says {}, OCSP at {} says {}, the CRL at {} \
                 says {} and openssl verify by it {}",
                self.leaf.display(),
                wanted.ocsp,
                heard.verify,
                self.ocsp,
                heard.ocsp,
                self.crl,
                heard.crl,
                heard.verify_by_crl
            ));
        }
        // Other lanes revoke at the same time: what was confirmed before has to be there, what was asked for may be.
        let missing = before.confirmed.iter().find(|(crl, serial)| *crl == self.crl && !listed.contains(serial));
        let strange = listed.iter().find(|serial| !after.asked.contains(&(self.crl.clone(), (*serial).clone())));
        match (missing, strange) {
            (Some((_, serial)), _) => Err(format!("the CRL at {} leaves out {serial}, which was revoked", self.crl)),
            (_, Some(serial)) => Err(format!("the CRL at {} lists {serial}, which nobody revoked", self.crl)),
            (None, None) => Ok(()),
        }
    }

    /// Lets somebody revoke it, after which everybody sees that at once; the reason, which OpenBao does not publish, the
    /// officer sees.
    pub(crate) fn revoke(
        &self,
        lane: &Lane<'_>,
        (realm, reason): (&str, &str),
        act: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (front, own) = (front(lane)?, (self.crl.clone(), self.serial.clone()));
        let _ = front.revocations().asked.insert(own.clone());
        act()?;
        let _ = front.revocations().confirmed.insert(own);
        self.agree(lane)?;
        let known = front.officer(realm).json(&["certificates", "show", &self.id(lane)?]);
        let words = known.pointer("/revocation/reason").and_then(serde_json::Value::as_str);
        match words {
            Some(word) if word == reason => Ok(()),
            other => Err(format!("the officer is told the reason {other:?} and not {reason}")),
        }
    }

    /// What officers call it: the key id of its issuer and its serial number, in base64url (RFC 9773 §4.1).
    pub(crate) fn id(&self, lane: &Lane<'_>) -> Result<String, Failure> {
        let show = lane.shell("openssl").args(&["x509", "-noout", "-ext", "authorityKeyIdentifier", "-in"]);
        let shown = show.arg(&self.leaf).succeed()?;
        let key = shown.lines().nth(1).unwrap_or_default().trim().trim_start_matches("keyid:").replace(':', "");
        let serial =
            if self.serial.starts_with(|digit: char| digit >= '8') { "00" } else { "" }.to_owned() + &self.serial;
        Ok(format!("{}.{}", base64url_of_hex(&key)?, base64url_of_hex(&serial)?))
    }

    fn verify(&self, lane: &Lane<'_>, more: &[&str]) -> Result<String, Failure> {
        let root = lane.world.site().pki("root.pem");
        let shell =
            lane.shell("openssl").args(&["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"]).arg(root);
        let (good, words) = shell.arg("-untrusted").arg(&self.chain).args(more).arg(&self.leaf).run()?;
        let reason = words.lines().find_map(|line| line.rsplit_once("lookup: "));
        Ok(if good { "good".to_owned() } else { reason.map_or(words.clone(), |(_, reason)| reason.to_owned()) })
    }

    /// OpenBao publishes no reasons: one that appears would be a change to tell people about.
    fn ask_ocsp(&self, lane: &Lane<'_>) -> Result<String, Failure> {
        let root = lane.world.site().pki("root.pem");
        let ask = lane.shell("openssl").args(&["ocsp", "-CAfile"]).arg(root).arg("-issuer").arg(&self.chain);
        let said = ask.arg("-cert").arg(&self.leaf).args(&["-url", &self.ocsp]).succeed()?;
        let status = said.lines().find_map(|line| line.strip_prefix(&format!("{}: ", self.leaf.display())));
        match status {
            Some(status) if said.contains("Response verify OK") && !said.contains("Reason:") => Ok(status.to_owned()),
            _ => Ok(said),
        }
    }

    /// The CRL that it names, as PEM, and the serial numbers on it. Its issuer's signature is verified.
    fn fetch_crl(&self, lane: &Lane<'_>) -> Result<(PathBuf, Vec<String>), Failure> {
        let [der, pem] = ["crl.der", "crl.pem"].map(|kind| lane.dir.join(format!("{}.{kind}", self.serial)));
        lane.shell("curl").args(&["-fsS", "-o"]).arg(&der).arg(&self.crl).succeed()?;
        let read = lane.shell("openssl").args(&["crl", "-inform", "DER", "-text", "-CAfile"]).arg(&self.chain);
        let said = read.arg("-in").arg(&der).arg("-out").arg(&pem).succeed()?;
        let text = std::fs::read_to_string(&pem).map_err(|error| format!("{}: {error}", pem.display()))?;
        if !said.contains("verify OK") || text.contains("CRL Reason Code") {
            return Err(format!("the CRL at {} is not as expected:\n{said}\n{text}", self.crl));
        }
        let listed = text.lines().filter_map(|line| line.trim().strip_prefix("Serial Number: "));
        Ok((pem, listed.map(str::to_owned).collect()))
    }
}

/// OpenBao, for which this lane is.
pub(crate) fn front<'a>(lane: &Lane<'a>) -> Result<&'a Front<'a>, Failure> {
    lane.front.ok_or_else(|| format!("{} is no lane with OpenBao", lane.name))
}

fn base64url_of_hex(hex: &str) -> Result<String, Failure> {
    let octets = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2).unwrap_or_default(), 16));
    let octets: Vec<u8> =
        octets.collect::<Result<_, _>>().map_err(|error| format!("{hex:?} is not hexadecimal: {error}"))?;
    Ok(tests::base64url(octets))
}

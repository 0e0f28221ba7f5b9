//! What a certificate must be before it is shown to clients as the gateway's own: one that they accept.

use std::{sync::Arc, time::Duration};

use acme::time::Timestamp;
use anyhow::{Context as _, bail};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};

/// That the key belongs to the certificate, and that whoever trusts these roots accepts the chain now for
/// every one of these names.
pub(crate) fn require_sound(
    (key_pem, chain_pem): (&str, &str),
    names: &[String],
    anchors: &[Vec<u8>],
    now: Timestamp,
) -> anyhow::Result<()> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
    CertifiedKey::from_der(chain.clone(), key, &provider).context("the key does not belong to the certificate")?;
    let mut roots = RootCertStore::empty();
    let (_usable, _unusable) =
        roots.add_parsable_certificates(anchors.iter().map(|anchor| CertificateDer::from(anchor.as_slice())));
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    let Some((leaf, issuers)) = chain.split_first() else { bail!("there is no certificate") };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unix_secs().unsigned_abs()));
    for name in names {
        let server = ServerName::try_from(name.as_str())?;
        verifier
            .verify_server_cert(leaf, issuers, &server, &[], now)
            .with_context(|| format!("clients would not accept it for {name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    const NAME: &str = "acme.example.test";

    fn root() -> CertifiedIssuer<'static, KeyPair> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-22T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn only_what_clients_accept_for_every_name_is_sound() {
        let (root, stranger, key, other) = (root(), root(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut parameters = CertificateParams::new([NAME.to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) =
            (rcgen::date_time_ymd(2026, 11, 1), rcgen::date_time_ymd(2027, 1, 1));
        let chain = parameters.signed_by(&key, &root).unwrap().pem();
        let (key, other) = (key.serialize_pem(), other.serialize_pem());
        let sound = |key: &str, names: &[&str], anchor: &CertifiedIssuer<'_, KeyPair>, now: Timestamp| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            require_sound((key, &chain), &names, &[anchor.der().to_vec()], now)
        };
        sound(&key, &[NAME], &root, now()).unwrap();
        let day = |text: &str| text.parse::<Timestamp>().unwrap();
        for (case, outcome) in [
            ("another key", sound(&other, &[NAME], &root, now())),
            ("a name is missing", sound(&key, &[NAME, "b.example.test"], &root, now())),
            ("another root", sound(&key, &[NAME], &stranger, now())),
            ("expired", sound(&key, &[NAME], &root, day("2027-01-02T00:00:00Z"))),
            ("not yet", sound(&key, &[NAME], &root, day("2026-10-31T00:00:00Z"))),
        ] {
            assert!(outcome.is_err(), "{case}");
        }
        assert!(require_sound((&key, ""), &[], &[root.der().to_vec()], now()).is_err());
    }
}

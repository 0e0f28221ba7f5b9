//! What becomes of a request, and the certificate that it gets, with the flaw that the script wants.

use std::time::Duration;

use acme::{
    csr::Csr,
    ids::{IssuerName, OrderId, RegistrationId},
};
use cm_connector::{Certificate, CertificateStatus, Chain, Refusal, RequestClaims, RequestState};

use super::{
    super::{
        authority::{Leaf, sha256},
        new_csr,
        script::{Flaw, Ruling},
    },
    Asked, ScriptedCm, State,
};
use crate::{clock, random};

impl ScriptedCm {
    /// What the CM says of the request at this place; issues it if that is due.
    pub(super) fn state_of(&self, state: &mut State, index: usize) -> RequestState {
        let id = state.requests[index].id.clone();
        match &mut state.requests[index].ruling {
            Some(Ruling::IssuedAfter(looks @ 1..) | Ruling::RefusedAfter(looks @ 1.., _)) => {
                *looks -= 1;
                return RequestState::Pending { id, retry_after: None, approval: true };
            }
            Some(Ruling::RefusedAfter(0, problem)) => {
                let refusal = Refusal { problem: problem.clone(), evidence_refused: false };
                return RequestState::Refused { id, refusal };
            }
            Some(Ruling::IssuedAfter(0) | Ruling::IssuedAnew | Ruling::Wrong(_)) | None => {}
        }
        let flaw = match &state.requests[index].ruling {
            Some(Ruling::Wrong(flaw)) => Some(*flaw),
            Some(Ruling::IssuedAfter(_) | Ruling::IssuedAnew | Ruling::RefusedAfter(..)) | None => None,
        };
        let asked = state.requests[index].asked.clone();
        let is_anew = matches!(state.requests[index].ruling, Some(Ruling::IssuedAnew));
        let certificate = match state.requests[index].issued.clone().filter(|_| !is_anew) {
            Some(certificate) => certificate,
            None => {
                let certificate = self.issue(state, &asked, flaw);
                state.certificates.push(certificate.clone());
                state.requests[index].issued = Some(certificate.clone());
                certificate
            }
        };
        let csr_digest = if flaw == Some(Flaw::FalseCsr) { [0; 32] } else { sha256(&asked.csr()) };
        let claims = RequestClaims {
            registration: asked.registration,
            order_ref: Some(asked.order),
            csr_sha256: Some(csr_digest),
        };
        RequestState::Issued { id, certificate: Box::new(certificate), claims }
    }

    fn issue(&self, state: &mut State, asked: &Asked, flaw: Option<Flaw>) -> Certificate {
        const DAY: Duration = Duration::from_secs(86_400);
        let csr = Csr::parse(&asked.csr()).unwrap();
        let mut names: Vec<String> = asked.identifiers.iter().map(ToString::to_string).collect();
        let mut spki_der = csr.spki_der().to_vec();
        let (mut signer, mut days, mut serial) = (&self.authority, 30, random::octets::<16>());
        serial[0] = serial[0] & 0x3f | 0x40;
        let mut not_before = clock::now().minus(DAY);
        match flaw {
            Some(Flaw::OtherKey) => spki_der = new_csr(&["a.test"]).spki_der().to_vec(),
            Some(Flaw::OtherName) => names.push(String::from("other.test")),
            Some(Flaw::UnknownRoot) => signer = &self.stranger,
            Some(Flaw::OtherIssuer) => signer = &self.other,
            Some(Flaw::TooLong) => days = 91,
            Some(Flaw::BeginsIn { minutes }) => not_before = clock::now().plus(Duration::from_secs(60) * minutes),
            Some(Flaw::OldSerial) => serial = state.last_serial.unwrap(),
            Some(
                Flaw::NotForServers
                | Flaw::FalseFingerprint
                | Flaw::FalseRegistration
                | Flaw::FalseOrder
                | Flaw::FalseCsr
                | Flaw::NoChain
                | Flaw::UnknownAlternate,
            )
            | None => {}
        }
        let now = clock::now();
        let leaf = Leaf {
            spki_der: &spki_der,
            names,
            serial,
            not_before,
            not_after: now.plus(DAY * days),
            for_servers: flaw != Some(Flaw::NotForServers),
        };
        state.last_serial = Some(serial);
        let signed = signer.sign(&leaf);
        let chain = |name: &str, pem| Chain { name: name.to_owned(), is_default: name == "default", pem };
        let mut certificate = Certificate {
            id: signed.id,
            status: CertificateStatus::Good,
            registration: asked.registration.clone(),
            issuer: IssuerName::parse("issuing-1").unwrap(),
            profile: None,
            order_ref: Some(asked.order.clone()),
            identifiers: asked.identifiers.clone(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            chains: vec![chain("default", signed.pem)],
            claims: signed.claims,
            spki_sha256: sha256(&spki_der),
            revocation: None,
        };
        match flaw {
            Some(Flaw::FalseFingerprint) => certificate.claims.sha256 = [0; 32],
            Some(Flaw::FalseRegistration) => certificate.registration = RegistrationId::parse("reg_other").unwrap(),
            Some(Flaw::FalseOrder) => certificate.order_ref = Some(OrderId::parse("other").unwrap()),
            Some(Flaw::NoChain) => certificate.chains.clear(),
            Some(Flaw::UnknownAlternate) => {
                certificate.chains.insert(0, chain("alternate", self.stranger.sign(&leaf).pem));
            }
            Some(
                Flaw::OtherKey
                | Flaw::OtherName
                | Flaw::UnknownRoot
                | Flaw::OtherIssuer
                | Flaw::TooLong
                | Flaw::BeginsIn { .. }
                | Flaw::NotForServers
                | Flaw::OldSerial
                | Flaw::FalseCsr,
            )
            | None => {}
        }
        certificate
    }
}

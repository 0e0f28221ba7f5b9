//! Which waiver of a registration covers a name (CM contract section 4.3, Waivers): whether control need not be proven,
//! because an officer proposed that, another approved it, and the client shows what both asked for.
//!
//! Names are matched as in the list of allowed identifiers, which has been asked before: a waiver allows nothing that the list
//! does not. Everything here says no unless all of it says yes.

use std::{fmt, net::IpAddr};

use acme::{
    identifier::Identifier,
    problem::{ProblemKind, Subproblem},
    time::Timestamp,
    waiver::{KeyDigest, Waived, Waiver, WaiverEvidence},
};

use crate::{
    identifier::covers,
    rule::{Refusal, Rule},
};

/// What the gateway saw of a client by itself, with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Where the connection comes from.
    pub address: IpAddr,
    /// The key that the client proved to hold in the handshake of the connection.
    pub client_certificate: Option<KeyDigest>,
}

/// What the waivers of a registration say about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Control need not be proven. Of several waivers it is the one that ends last.
    Waived(&'a Waiver),
    /// It has to be.
    Required {
        /// Those that are about the name, and why they do not count.
        missed: Vec<Miss<'a>>,
    },
}

/// A waiver that is about a name and does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss<'a> {
    /// Which one.
    pub waiver: &'a Waiver,
    /// Why not.
    pub why: Why,
}

/// Why a waiver does not count. For officers: clients are told less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its time is over.
    Ended,
    /// The client is not at one of its addresses.
    OtherAddress,
    /// The client showed no certificate.
    NoCertificate,
    /// The key of the client's certificate is not one of its keys.
    OtherCertificate,
    /// It asks for nothing, so that anybody would do.
    NoEvidence,
}

/// Judges one name.
#[must_use]
pub fn judge<'a>(identifier: &Identifier, waivers: &'a [Waiver], shown: &Shown, now: Timestamp) -> Verdict<'a> {
    let about = waivers.iter().filter(|waiver| is_about(waiver, identifier));
    let (mut best, mut missed) = (None::<&Waiver>, Vec::new());
    for waiver in about {
        match counts(waiver, shown, now) {
            Ok(()) => best = Some(best.filter(|best| best.not_after >= waiver.not_after).unwrap_or(waiver)),
            Err(why) => missed.push(Miss { waiver, why }),
        }
    }
    best.map_or(Verdict::Required { missed }, Verdict::Waived)
}

/// What is kept of a waiver that counts.
#[must_use]
pub fn waived(waiver: &Waiver, shown: &Shown) -> Waived {
    Waived {
        waiver: waiver.id.clone(),
        proposed_by: waiver.proposed_by.clone(),
        decided_by: waiver.decided_by.clone(),
        reason: waiver.reason.clone(),
        address: shown.address.to_canonical(),
        client_certificate: shown.client_certificate,
    }
}

/// Judges again by what waiver control of a name was not proven: that very waiver has to be there still, be about the
/// name, and count for what the client shows now.
///
/// # Errors
/// What the client is told, and for officers why the waiver does not count; `None` if it is not there or is not about the name.
pub fn still_counts(
    identifier: &Identifier,
    earlier: &Waived,
    waivers: &[Waiver],
    shown: &Shown,
    now: Timestamp,
) -> Result<(), (Subproblem, Option<Why>)> {
    let same = waivers.iter().find(|waiver| waiver.id == earlier.waiver && is_about(waiver, identifier));
    let why = match same.map(|waiver| counts(waiver, shown, now)) {
        Some(Ok(())) => return Ok(()),
        Some(Err(why)) => Some(why),
        None => None,
    };
    let refusal = match why {
        None | Some(Why::Ended | Why::NoEvidence) => Refusal::new(
            Rule::WaiverNotInForce,
            "the waiver by which control of it was not proven is not in force any more",
            "create a new order and prove control, or ask the registration authority",
        ),
        Some(Why::OtherAddress | Why::NoCertificate | Why::OtherCertificate) => Refusal::new(
            Rule::WaiverEvidence,
            "this request does not come with what the waiver by which control of it was not proven asks for",
            "finalize from where the order was made, or create a new order",
        ),
    };
    let rule = refusal.rule.name();
    Err((Subproblem::new(ProblemKind::Unauthorized, identifier, refusal.detail).by(rule), why))
}

fn is_about(waiver: &Waiver, identifier: &Identifier) -> bool {
    waiver.identifiers.iter().any(|rule| covers(rule, identifier))
}

fn counts(waiver: &Waiver, shown: &Shown, now: Timestamp) -> Result<(), Why> {
    let WaiverEvidence { addresses, client_certificates } = &waiver.evidence;
    if waiver.not_after <= now {
        return Err(Why::Ended);
    }
    if addresses.is_empty() && client_certificates.is_empty() {
        return Err(Why::NoEvidence);
    }
    if !addresses.is_empty() && !addresses.iter().any(|block| block.contains(shown.address)) {
        return Err(Why::OtherAddress);
    }
    match shown.client_certificate {
        _ if client_certificates.is_empty() => Ok(()),
        None => Err(Why::NoCertificate),
        Some(key) if client_certificates.contains(&key) => Ok(()),
        Some(_) => Err(Why::OtherCertificate),
    }
}

impl Why {
    /// The name by which transcripts know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::OtherAddress => "other-address",
            Self::NoCertificate => "no-certificate",
            Self::OtherCertificate => "other-certificate",
            Self::NoEvidence => "no-evidence",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Ended => "it has ended",
            Self::OtherAddress => "the client is not at one of its addresses",
            Self::NoCertificate => "the client showed no certificate",
            Self::OtherCertificate => "the client's certificate has another key",
            Self::NoEvidence => "it asks for no evidence",
        })
    }
}

#[cfg(test)]
mod tests;

//! The records and forced outcomes of one owner name, with their limits, and how they become answer data.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::ensure;
use hickory_proto::rr::rdata::{A, AAAA, CAA, TXT};
use hickory_proto::rr::{Name, RData, RecordType};
use serde::{Deserialize, Serialize};

/// Records of one type at one owner; also steps of an address sequence.
pub(super) const RECORDS_PER_TYPE_MAX: usize = 256;
/// Bytes of one TXT or CAA record's data.
const RECORD_BYTES_MAX: usize = 16_384;
/// A TXT character-string holds at most this many bytes (RFC 1035 §3.3).
const CHARACTER_STRING_BYTES_MAX: usize = 255;

/// A failure the name server is told to show for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// Answers SERVFAIL.
    ServFail,
    /// Answers REFUSED.
    Refused,
    /// Answers NXDOMAIN, even where records exist.
    NxDomain,
    /// Never answers.
    Timeout,
    /// Answers empty with TC over UDP, so that the client asks again over TCP, where it gets the true answer.
    Truncated,
}

/// One CAA property (RFC 8659 §4.1). Nothing is checked beyond what the wire format can carry, so that tests can
/// publish malformed properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CaaProperty {
    /// The flags octet; 128 is "issuer critical".
    pub(crate) flags: u8,
    /// The property tag, for example `issue`; 1 to 255 ASCII characters.
    pub(crate) tag: String,
    /// The property value, byte for byte.
    pub(crate) value: Vec<u8>,
}

/// All that is set for one owner name. Setters refuse what would break a limit.
#[derive(Default)]
pub(super) struct Owner {
    /// The front is what is answered; it goes away once answered, unless it is the last. Empty: the default address.
    pub(super) a: VecDeque<Vec<Ipv4Addr>>,
    pub(super) aaaa: Vec<Ipv6Addr>,
    pub(super) txt: Vec<Vec<Vec<u8>>>,
    pub(super) caa: Vec<CaaProperty>,
    pub(super) cname: Option<Name>,
    /// The outcome for one type, or (`None`) for every type without its own.
    pub(super) outcomes: Vec<(Option<RecordType>, Outcome)>,
}

impl Owner {
    pub(super) fn is_empty(&self) -> bool {
        self.a.is_empty()
            && self.aaaa.is_empty()
            && self.txt.is_empty()
            && self.caa.is_empty()
            && self.cname.is_none()
            && self.outcomes.is_empty()
    }

    pub(super) fn add_a(&mut self, addresses: &[Ipv4Addr]) -> anyhow::Result<()> {
        let mut last = self.a.pop_back().unwrap_or_default();
        let added = extend(&mut last, addresses.iter().copied());
        self.a.push_back(last);
        added
    }

    pub(super) fn set_a_sequence(&mut self, answers: Vec<Vec<Ipv4Addr>>) -> anyhow::Result<()> {
        ensure!(
            !answers.is_empty(),
            "a sequence needs at least one answer; to go back to the default, clear the addresses"
        );
        ensure!(
            answers.len() <= RECORDS_PER_TYPE_MAX && answers.iter().all(|step| step.len() <= RECORDS_PER_TYPE_MAX),
            "a sequence holds at most {RECORDS_PER_TYPE_MAX} answers of {RECORDS_PER_TYPE_MAX} addresses"
        );
        self.a = answers.into();
        Ok(())
    }

    pub(super) fn add_aaaa(&mut self, addresses: &[Ipv6Addr]) -> anyhow::Result<()> {
        extend(&mut self.aaaa, addresses.iter().copied())
    }

    pub(super) fn add_txt(&mut self, strings: Vec<Vec<u8>>) -> anyhow::Result<()> {
        ensure!(
            !strings.is_empty() && strings.iter().all(|string| string.len() <= CHARACTER_STRING_BYTES_MAX),
            "a TXT record needs character-strings of at most {CHARACTER_STRING_BYTES_MAX} bytes (RFC 1035 §3.3.14)"
        );
        ensure!(
            strings.iter().map(Vec::len).sum::<usize>() <= RECORD_BYTES_MAX,
            "a record holds at most {RECORD_BYTES_MAX} bytes here"
        );
        extend(&mut self.txt, [strings])
    }

    pub(super) fn add_caa(&mut self, properties: Vec<CaaProperty>) -> anyhow::Result<()> {
        for property in &properties {
            ensure!(
                property.tag.is_ascii() && (1..=255).contains(&property.tag.len()),
                "a CAA tag is 1 to 255 ASCII characters (RFC 8659 §4.1)"
            );
            ensure!(property.value.len() <= RECORD_BYTES_MAX, "a record holds at most {RECORD_BYTES_MAX} bytes here");
        }
        extend(&mut self.caa, properties)
    }

    pub(super) fn set_outcome(&mut self, record_type: Option<RecordType>, outcome: Outcome) -> anyhow::Result<()> {
        self.outcomes.retain(|(kept, _)| *kept != record_type);
        extend(&mut self.outcomes, [(record_type, outcome)])
    }

    pub(super) fn outcome(&self, record_type: RecordType) -> Option<Outcome> {
        let find = |wanted: Option<RecordType>| self.outcomes.iter().find(|(kept, _)| *kept == wanted);
        let (_, outcome) = find(Some(record_type)).or_else(|| find(None))?;
        Some(*outcome)
    }

    /// The data of the records of one type; `default_addresses` stand in for IPv4 addresses that were never set. Moves
    /// an address sequence one step on.
    pub(super) fn records(&mut self, record_type: RecordType, default_addresses: &[Ipv4Addr]) -> Vec<RData> {
        if record_type == RecordType::A {
            a_records(&self.next_addresses().unwrap_or_else(|| default_addresses.to_vec()))
        } else if record_type == RecordType::AAAA {
            self.aaaa.iter().map(|address| RData::AAAA(AAAA(*address))).collect()
        } else if record_type == RecordType::TXT {
            self.txt.iter().map(|strings| txt_record(strings)).collect()
        } else if record_type == RecordType::CAA {
            self.caa.iter().map(caa_record).collect()
        } else {
            Vec::new()
        }
    }

    fn next_addresses(&mut self) -> Option<Vec<Ipv4Addr>> {
        match self.a.len() {
            0 | 1 => self.a.front().cloned(),
            _ => self.a.pop_front(),
        }
    }
}

/// Cuts a value into the character-strings of one TXT record, at least one.
pub(super) fn character_strings(value: &[u8]) -> Vec<Vec<u8>> {
    if value.is_empty() {
        return vec![Vec::new()];
    }
    value.chunks(CHARACTER_STRING_BYTES_MAX).map(<[u8]>::to_vec).collect()
}

/// The data of A records.
pub(super) fn a_records(addresses: &[Ipv4Addr]) -> Vec<RData> {
    addresses.iter().map(|address| RData::A(A(*address))).collect()
}

fn txt_record(strings: &[Vec<u8>]) -> RData {
    RData::TXT(TXT::from_bytes(strings.iter().map(Vec::as_slice).collect()))
}

fn caa_record(property: &CaaProperty) -> RData {
    let mut record = CAA::new_issue(property.flags & 0x80 != 0, None, Vec::new());
    record.reserved_flags = property.flags & 0x7f;
    record.tag.clone_from(&property.tag);
    record.value.clone_from(&property.value);
    RData::CAA(record)
}

fn extend<T>(
    records: &mut Vec<T>,
    added: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
) -> anyhow::Result<()> {
    let added = added.into_iter();
    ensure!(
        records.len().saturating_add(added.len()) <= RECORDS_PER_TYPE_MAX,
        "a name holds at most {RECORDS_PER_TYPE_MAX} records of one type: clear them first"
    );
    records.extend(added);
    Ok(())
}

//! From the bytes of a DNS question to the bytes of its answer (RFC 1035 §4, EDNS of RFC 6891), by what the zone
//! holds. No sockets here; the only change it makes is what a question itself does to the zone (log, sequences).
//!
//! The server stands in for the whole outside DNS, so it answers with AA and RA both set: clients that expect an
//! authority and clients that expect a recursive resolver are both content.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record};

use super::owner::Outcome;
use super::zone::{Found, LoggedQuery, Zone};

/// Time to live of every record: tests change records at any moment, so nobody may keep them.
const TTL_SECS: u32 = 0;
/// Aliases followed within one answer; a longer chain (or a loop) ends in SERVFAIL.
const ALIASES_MAX: usize = 8;
/// A client without EDNS takes this many bytes over UDP (RFC 1035 §4.2.1).
const UDP_BYTES_WITHOUT_EDNS: u16 = 512;
/// The most this server sends over UDP, whatever the client offers (avoids IP fragments).
const UDP_BYTES_MAX: u16 = 1_232;

/// How a question came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// One datagram; long answers are truncated.
    Udp,
    /// A connection with length-prefixed messages.
    Tcp,
}

/// The answer to `request`; `None` where the server stays silent (a forced timeout, or no DNS question at all).
pub(super) fn answer(zone: &Zone, request: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let request = match Message::from_vec(request) {
        Ok(request) => request,
        Err(_) => return format_error(request),
    };
    // Answering an answer would let two servers talk to each other for ever.
    if request.metadata.message_type == MessageType::Response {
        return None;
    }
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    // The question goes back as it came, byte for byte, in the case the client chose (0x20).
    response.add_queries(request.queries.iter().cloned());
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        response.set_edns(edns);
    }
    match request.queries.as_slice() {
        _ if request.metadata.op_code != OpCode::Query => {
            response.metadata.response_code = ResponseCode::NotImp;
        }
        [query] => fill(zone, query, transport, &mut response)?,
        _ => response.metadata.response_code = ResponseCode::FormErr,
    }
    encode(response, udp_bytes_max(&request), transport)
}

fn fill(zone: &Zone, query: &Query, transport: Transport, response: &mut Message) -> Option<()> {
    zone.record_query(LoggedQuery {
        name: query.name().to_ascii(),
        record_type: query.query_type().to_string(),
        transport: match transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        },
    });
    if query.query_class() != DNSClass::IN {
        response.metadata.response_code = ResponseCode::Refused;
        return Some(());
    }
    response.metadata.authoritative = true;
    let mut name = query.name().clone();
    for _ in 0..=ALIASES_MAX {
        match zone.outcome(&name, query.query_type()) {
            Some(Outcome::Timeout) => return None,
            Some(Outcome::ServFail) => return fail(response, ResponseCode::ServFail),
            Some(Outcome::Refused) => return fail(response, ResponseCode::Refused),
            Some(Outcome::NxDomain) => {
                response.metadata.response_code = ResponseCode::NXDomain;
                add_soa(zone, &name, response);
                return Some(());
            }
            Some(Outcome::Truncated) if transport == Transport::Udp => {
                response.answers.clear();
                response.metadata.truncation = true;
                return Some(());
            }
            Some(Outcome::Truncated) | None => {}
        }
        match zone.find(&name, query.query_type()) {
            Found::Records(records) => {
                if records.is_empty() {
                    add_soa(zone, &name, response);
                }
                for data in records {
                    response.add_answer(Record::from_rdata(name.clone(), TTL_SECS, data));
                }
                return Some(());
            }
            Found::Alias(target) => {
                let data = RData::CNAME(CNAME(target.clone()));
                response.add_answer(Record::from_rdata(name, TTL_SECS, data));
                name = target;
            }
            Found::NoSuchName => {
                response.metadata.response_code = ResponseCode::NXDomain;
                add_soa(zone, &name, response);
                return Some(());
            }
        }
    }
    fail(response, ResponseCode::ServFail)
}

/// A failure carries no records, not even the aliases followed so far.
fn fail(response: &mut Message, code: ResponseCode) -> Option<()> {
    response.answers.clear();
    response.metadata.authoritative = false;
    response.metadata.response_code = code;
    Some(())
}

/// Empty answers name their zone (RFC 2308 §3); a minimum of 0 keeps them out of caches.
fn add_soa(zone: &Zone, name: &Name, response: &mut Message) {
    let apex = zone.apex(name);
    let soa = SOA::new(apex.clone(), apex.clone(), 1, 3_600, 600, 86_400, 0);
    response.add_authority(Record::from_rdata(apex, TTL_SECS, RData::SOA(soa)));
}

fn udp_bytes_max(request: &Message) -> u16 {
    request
        .edns
        .as_ref()
        .map_or(UDP_BYTES_WITHOUT_EDNS, |edns| edns.max_payload().clamp(UDP_BYTES_WITHOUT_EDNS, UDP_BYTES_MAX))
}

fn encode(response: Message, udp_bytes_max: u16, transport: Transport) -> Option<Vec<u8>> {
    match response.to_vec() {
        Ok(bytes) if transport == Transport::Tcp || bytes.len() <= usize::from(udp_bytes_max) => Some(bytes),
        Ok(_) => response.truncate().to_vec().ok(),
        Err(error) => {
            tracing::warn!(%error, "a DNS answer could not be encoded");
            let metadata = response.metadata;
            Message::error_msg(metadata.id, metadata.op_code, ResponseCode::ServFail).to_vec().ok()
        }
    }
}

/// FORMERR for bytes that carry at least an id and are not marked as an answer.
fn format_error(request: &[u8]) -> Option<Vec<u8>> {
    let [high, low, flags, ..] = *request else {
        return None;
    };
    if flags & 0x80 != 0 {
        return None;
    }
    let id = u16::from_be_bytes([high, low]);
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}

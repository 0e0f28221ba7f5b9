//! DNS questions to the configured resolvers, and the difference between no record and no answer.
//!
//! Answers come from the operator's recursive resolvers only: no hosts file, no search list, no
//! cache. Names are asked in random case (0x20) from random ports, truncated and spoofed-looking
//! answers are asked for again over TCP. Validating DNSSEC is the resolvers' work; what they reject
//! they answer with SERVFAIL, and that is never taken for "no record" (RFC 8555 §10.2).

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use acme::{caa::Property, identifier::DnsName};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, Record, RecordType, rdata::CAA},
    },
};
use tokio::time::{Instant, timeout_at};

use crate::{
    observation::{self, Observation, ms_since, note},
    settings::{Settings, SettingsError},
};

/// Aliases followed from a name to its records.
const ALIASES_MAX: usize = 8;
/// Questions asked before a lookup is given up, over all resolvers.
const TRIES_MAX: usize = 4;
/// Questions that may wait for one resolver at a time; more are told that it is busy.
const QUESTIONS_AT_ONCE_MAX: usize = 1024;
/// CAA records of one name; a larger set is not judged in part.
const CAA_RECORDS_MAX: usize = 100;
/// UDP payload that crosses the internet unfragmented (DNS flag day 2020).
const UDP_PAYLOAD_OCTETS: u16 = 1232;

/// What a client is told of a question without an answer.
const TIMED_OUT: &str = "the DNS query timed out";

/// Asks the configured resolvers.
pub(crate) struct Resolver {
    servers: Vec<Server>,
    /// Index of the server that answered last; it is asked first.
    preferred: AtomicUsize,
    timeout: Duration,
    addresses_max: usize,
    txt_records_max: usize,
}

struct Server {
    address: SocketAddr,
    /// UDP, and TCP after a truncated answer or one in the wrong case.
    usual: TokioResolver,
    /// TCP only, for when UDP brought nothing.
    tcp: TokioResolver,
}

/// Why a lookup brought no records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// The DNS says there is none. `at` is the name at the end of the aliases.
    NoRecord { at: String },
    /// The chain of aliases is too long or a loop.
    Aliases,
    /// The DNS did not say: which resolver error or timeout it was.
    NoAnswer(String),
}

/// TXT records of one name.
#[derive(Debug)]
pub(crate) struct TxtRecords {
    /// Each record's strings, joined (RFC 7208 §3.3 spells out what RFC 8555 §8.4 assumes).
    pub(crate) values: Vec<Vec<u8>>,
    /// Records that exist, seen or not.
    pub(crate) count: usize,
    /// The resolver that answered.
    pub(crate) resolver: SocketAddr,
    /// The shortest of them, as far as the resolver tells.
    pub(crate) time_to_live: Duration,
}

impl Resolver {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let server = |address: &SocketAddr| {
            Ok(Server {
                address: *address,
                usual: build(*address, vec![ConnectionConfig::udp(), ConnectionConfig::tcp()], settings.dns_timeout)?,
                tcp: build(*address, vec![ConnectionConfig::tcp()], settings.dns_timeout)?,
            })
        };
        Ok(Self {
            servers: settings.resolvers.iter().map(server).collect::<Result<_, SettingsError>>()?,
            preferred: AtomicUsize::new(0),
            timeout: settings.dns_timeout,
            addresses_max: settings.addresses_max,
            txt_records_max: settings.txt_records_max,
        })
    }

    /// The addresses of a name, IPv6 first, at most `addresses_max` of either family. If one family
    /// cannot be looked up the other one suffices.
    pub(crate) async fn addresses(&self, name: &DnsName, deadline: Instant) -> Result<Vec<IpAddr>, LookupError> {
        let owner = absolute(name.as_str())?;
        let (v6, v4) =
            tokio::join!(self.lookup(&owner, RecordType::AAAA, deadline), self.lookup(&owner, RecordType::A, deadline));
        let mut addresses = Vec::new();
        for answer in [&v6, &v4].into_iter().flatten() {
            let records = answer.records.iter().take(self.addresses_max);
            addresses.extend(records.filter_map(|record| record.data.ip_addr()));
        }
        match (v6, v4) {
            _ if !addresses.is_empty() => Ok(addresses),
            (Err(LookupError::NoRecord { .. }), Err(other)) | (Err(other), _) => Err(other),
            (Ok(_), Err(other)) => Err(other),
            (Ok(_), Ok(_)) => Err(LookupError::NoRecord { at: name.to_string() }),
        }
    }

    /// The TXT records of `owner`, a name without final dot. One answer holds less than 64 KiB by
    /// the rules of the DNS; of its records the first `txt_records_max` are kept.
    pub(crate) async fn txt_records(&self, owner: &str, deadline: Instant) -> Result<TxtRecords, LookupError> {
        let answer = self.lookup(&absolute(owner)?, RecordType::TXT, deadline).await?;
        tracing::info!(owner, resolver = %answer.resolver, records = answer.records.len(), "TXT records");
        let value =
            |record: &Record| if let RData::TXT(txt) = &record.data { Some(txt.txt_data.concat()) } else { None };
        Ok(TxtRecords {
            values: answer.records.iter().filter_map(value).take(self.txt_records_max).collect(),
            count: answer.records.len(),
            resolver: answer.resolver,
            time_to_live: Duration::from_secs(answer.records.iter().map(|record| record.ttl).min().unwrap_or(0).into()),
        })
    }

    /// The CAA records of `owner`, a name without final dot, all of them or none.
    pub(crate) async fn caa_records(&self, owner: &str, deadline: Instant) -> Result<Vec<Property>, LookupError> {
        let answer = self.lookup(&absolute(owner)?, RecordType::CAA, deadline).await?;
        let properties: Option<Vec<_>> = answer
            .records
            .iter()
            .map(|record| if let RData::CAA(caa) = &record.data { Some(property(caa)) } else { None })
            .collect();
        match properties {
            Some(properties) if properties.len() <= CAA_RECORDS_MAX => Ok(properties),
            Some(_) => Err(LookupError::NoAnswer(format!("there are more than {CAA_RECORDS_MAX} records"))),
            None => Err(LookupError::NoAnswer("a record could not be read".to_owned())),
        }
    }

    /// Asks one server after another, the last one that answered first, then once more over TCP.
    async fn lookup(&self, owner: &Name, kind: RecordType, deadline: Instant) -> Result<Answer, LookupError> {
        let first = self.preferred.load(Ordering::Relaxed) % self.servers.len().max(1);
        let in_order = || self.servers.iter().enumerate().cycle().skip(first).take(self.servers.len());
        let usual = in_order().map(|(index, server)| (index, server, &server.usual));
        let tcp = in_order().map(|(index, server)| (index, server, &server.tcp));
        let mut failure = LookupError::NoAnswer(TIMED_OUT.to_owned());
        for (index, server, resolver) in usual.chain(tcp).take(TRIES_MAX) {
            let now = Instant::now();
            if now >= deadline {
                break;
            }
            let until = deadline.min(now + self.timeout);
            let outcome = timeout_at(until, resolver.lookup(owner.clone(), kind)).await;
            let no_such_name = matches!(&outcome, Ok(Err(error)) if is_nx_domain(error));
            let result = match outcome {
                Ok(Ok(lookup)) => records_of(&lookup, owner, kind),
                Ok(Err(error)) => Err(lookup_error(&error)),
                Err(_) => Err(LookupError::NoAnswer(TIMED_OUT.to_owned())),
            };
            note(|| Observation::Lookup {
                resolver: server.address,
                tcp: std::ptr::eq(resolver, &server.tcp),
                name: observation::text(&plain(owner)),
                record_type: kind.to_string(),
                answer: answer(&result, no_such_name),
                ms: ms_since(now),
            });
            match result {
                Ok(records) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(Answer { records, resolver: server.address });
                }
                Err(error @ (LookupError::NoRecord { .. } | LookupError::Aliases)) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Err(error);
                }
                Err(error @ LookupError::NoAnswer(_)) => {
                    tracing::debug!(resolver = %server.address, name = %owner, %kind, ?error, "no answer");
                    failure = error;
                }
            }
        }
        Err(failure)
    }
}

struct Answer {
    records: Vec<Record>,
    resolver: SocketAddr,
}

fn build(
    address: SocketAddr,
    mut connections: Vec<ConnectionConfig>,
    timeout: Duration,
) -> Result<TokioResolver, SettingsError> {
    for connection in &mut connections {
        connection.port = address.port();
    }
    let server = NameServerConfig::new(address.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = timeout;
    options.attempts = 0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.num_concurrent_reqs = 1;
    options.max_active_requests = QUESTIONS_AT_ONCE_MAX;
    options.case_randomization = true;
    options.try_tcp_on_error = true;
    options.preserve_intermediates = true;
    options.edns0 = true;
    options.edns_payload_len = UDP_PAYLOAD_OCTETS;
    builder.build().map_err(|error| SettingsError::Resolver(error.to_string()))
}

/// The name as a fully qualified one, so that no search list applies.
fn absolute(name: &str) -> Result<Name, LookupError> {
    Name::from_ascii(format!("{name}.")).map_err(|_| LookupError::NoAnswer("the name cannot be asked for".to_owned()))
}

/// The records at the end of the chain of aliases that begins at `owner`. What else an answer
/// holds is not looked at.
fn records_of(lookup: &Lookup, owner: &Name, kind: RecordType) -> Result<Vec<Record>, LookupError> {
    let answers = lookup.answers();
    let alias_of = |name: &Name| {
        let aliases = answers.iter().filter(|record| record.name == *name);
        aliases.filter_map(|record| if let RData::CNAME(target) = &record.data { Some(&target.0) } else { None }).next()
    };
    let mut end = owner;
    let mut aliases = 0;
    while let Some(target) = alias_of(end) {
        aliases += 1;
        if aliases > ALIASES_MAX {
            return Err(LookupError::Aliases);
        }
        end = target;
    }
    let wanted = |record: &&Record| record.name == *end && record.record_type() == kind;
    let records: Vec<Record> = answers.iter().filter(wanted).cloned().collect();
    if records.is_empty() { Err(no_record(end)) } else { Ok(records) }
}

fn lookup_error(error: &NetError) -> LookupError {
    if let NetError::Dns(DnsError::NoRecordsFound(none)) = error {
        // A server that points elsewhere instead of answering is no recursive resolver.
        if none.ns.is_some() && none.soa.is_none() {
            return LookupError::NoAnswer("the resolver answered with a referral".to_owned());
        }
        if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return no_record(none.query.name());
        }
        return LookupError::NoAnswer(response(none.response_code));
    }
    LookupError::NoAnswer(if let NetError::Dns(DnsError::ResponseCode(code)) = error {
        response(*code)
    } else if matches!(error, NetError::Timeout) {
        TIMED_OUT.to_owned()
    } else if matches!(error, NetError::Io(_) | NetError::NoConnections) {
        "the resolver is not reachable".to_owned()
    } else {
        "the answer of the resolver could not be used".to_owned()
    })
}

fn is_nx_domain(error: &NetError) -> bool {
    matches!(error, NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NXDomain)
}

fn no_record(at: &Name) -> LookupError {
    LookupError::NoRecord { at: plain(at) }
}

/// The name in lower case and without final dot.
fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

fn property(caa: &CAA) -> Property {
    Property { flags: caa.flags(), tag: caa.tag.clone(), value: caa.value.clone() }
}

/// The outcome of one question, for operators.
fn answer(result: &Result<Vec<Record>, LookupError>, no_such_name: bool) -> observation::Answer {
    let told = |record: &Record| match (&record.data, record.data.ip_addr()) {
        (_, Some(address)) => address.to_string(),
        (RData::CAA(caa), None) => property(caa).text(),
        (RData::TXT(txt), None) => observation::digest(&txt.txt_data.concat()),
        (_, None) => record.record_type().to_string(),
    };
    match result {
        Ok(records) => observation::Answer::records(records.iter().map(told)),
        Err(LookupError::NoRecord { at }) => observation::Answer::NoRecord {
            at: observation::text(at),
            response_code: String::from(if no_such_name { "NXDOMAIN" } else { "NOERROR" }),
        },
        Err(LookupError::Aliases) => {
            observation::Answer::NoAnswer { reason: String::from("more than 8 aliases, or aliases in a loop") }
        }
        Err(LookupError::NoAnswer(reason)) => observation::Answer::NoAnswer { reason: observation::text(reason) },
    }
}

fn response(code: ResponseCode) -> String {
    if code == ResponseCode::ServFail {
        "the resolver answered SERVFAIL; the zone may be broken, unreachable or wrongly signed".to_owned()
    } else if code == ResponseCode::Refused {
        "the resolver answered REFUSED".to_owned()
    } else {
        format!("the resolver answered with response code {}", u16::from(code))
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::{
        op::Query,
        rr::rdata::{A, CNAME, TXT},
    };

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn lookup(records: Vec<Record>) -> Lookup {
        Lookup::new_with_max_ttl(Query::query(name("n0.test."), RecordType::TXT), records)
    }

    fn alias(from: usize, to: usize) -> Record {
        let target = CNAME(name(&format!("n{to}.test.")));
        Record::from_rdata(name(&format!("n{from}.test.")), 60, RData::CNAME(target))
    }

    fn txt(owner: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::TXT(TXT::new(vec!["value".to_owned()])))
    }

    #[test]
    fn eight_aliases_are_followed_and_nine_are_not() {
        let chain = |length: usize| {
            let mut records: Vec<Record> = (0..length).map(|step| alias(step, step + 1)).collect();
            records.push(txt(&format!("n{length}.test.")));
            records_of(&lookup(records), &name("n0.test."), RecordType::TXT).map(|found| found.len())
        };
        assert_eq!(chain(0), Ok(1));
        assert_eq!(chain(8), Ok(1));
        assert_eq!(chain(9), Err(LookupError::Aliases));
    }

    #[test]
    fn a_loop_of_aliases_ends() {
        let records = vec![alias(0, 1), alias(1, 0), txt("n2.test.")];
        assert_eq!(records_of(&lookup(records), &name("n0.test."), RecordType::TXT), Err(LookupError::Aliases));
    }

    #[test]
    fn records_of_other_names_and_types_are_not_looked_at() {
        let address = Record::from_rdata(name("n0.test."), 60, RData::A(A::new(192, 0, 2, 1)));
        let records = vec![txt("evil.test."), address, txt("N0.Test.")];
        let found = records_of(&lookup(records.clone()), &name("n0.test."), RecordType::TXT).unwrap();
        assert_eq!(found, [txt("N0.Test.")]);
        let none = records_of(&lookup(records), &name("n1.test."), RecordType::TXT);
        assert_eq!(none, Err(LookupError::NoRecord { at: "n1.test".to_owned() }));
    }
}

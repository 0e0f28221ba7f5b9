//! Real questions over real sockets to a served zone.

use std::time::Duration;

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::*;

/// An answer on loopback takes far less; a test that would wait for ever fails instead.
const PATIENCE: Duration = Duration::from_secs(10);

struct Server {
    address: SocketAddr,
    zone: Zone,
    _task: tokio::task::JoinSet<()>,
}

async fn start() -> Server {
    let zone = Zone::new(&DEFAULT_SUFFIXES).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let (address, server) = serve(any, zone.clone()).await.unwrap();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(server);
    Server { address, zone, _task: task }
}

fn question(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    message
}

async fn over_udp(server: &Server, request: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(request, server.address).await.unwrap();
    receive(&socket).await
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let received = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await;
    buffer.truncate(received.unwrap().unwrap());
    buffer
}

async fn over_tcp(server: &Server, requests: &[Message]) -> Vec<Message> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut answers = Vec::new();
    for request in requests {
        let bytes = request.to_vec().unwrap();
        let length = u16::try_from(bytes.len()).unwrap();
        stream.write_u16(length).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let read = async {
            let length = stream.read_u16().await.unwrap();
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await.unwrap();
            Message::from_vec(&answer).unwrap()
        };
        answers.push(tokio::time::timeout(PATIENCE, read).await.unwrap());
    }
    answers
}

async fn ask(server: &Server, name: &str, record_type: RecordType) -> Message {
    let request = question(name, record_type).to_vec().unwrap();
    Message::from_vec(&over_udp(server, &request).await).unwrap()
}

async fn ask_tcp(server: &Server, name: &str, record_type: RecordType) -> Message {
    let answers = over_tcp(server, &[question(name, record_type)]).await;
    answers.into_iter().next().unwrap()
}

fn data(message: &Message) -> Vec<String> {
    let answers = message.answers.iter();
    answers.map(|record| record.data.to_string()).collect()
}

/// The TXT values, each the concatenation of its character-strings, and how many strings each had.
fn texts(message: &Message) -> Vec<(Vec<u8>, usize)> {
    let texts = message.answers.iter().filter_map(|record| {
        let RData::TXT(txt) = &record.data else {
            return None;
        };
        Some((txt.txt_data.concat(), txt.txt_data.len()))
    });
    texts.collect()
}

#[tokio::test]
async fn a_name_under_a_suffix_has_loopback_as_a_and_no_aaaa() {
    let server = start().await;
    let answer = ask(&server, "host.quickstart.test.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
    assert_eq!(data(&answer), ["127.0.0.1"]);
    let answer = ask_tcp(&server, "host.quickstart.test.", RecordType::AAAA).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.answers.is_empty());
    let soa = answer.authorities.first().unwrap();
    assert_eq!(soa.record_type(), RecordType::SOA);
    assert_eq!(soa.name, Name::from_ascii("quickstart.test.").unwrap());
}

#[tokio::test]
async fn a_name_outside_the_suffixes_does_not_exist() {
    let server = start().await;
    let answer = ask(&server, "www.example.net.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let answer = ask(&server, "nottest.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn the_case_of_the_question_comes_back_in_question_and_answer() {
    let server = start().await;
    let name = "hOsT.QuIcKsTaRt.tEsT.";
    let request = question(name, RecordType::A).to_vec().unwrap();
    let raw = over_udp(&server, &request).await;
    let question_bytes = 12..request.len();
    assert_eq!(raw[question_bytes.clone()], request[question_bytes]);
    let answer = Message::from_vec(&raw).unwrap();
    assert_eq!(answer.answers[0].name.to_ascii(), name);
}

#[tokio::test]
async fn several_txt_records_and_long_values_survive() {
    let server = start().await;
    let host = "_acme-challenge.example.test";
    let long = vec![b'x'; 300];
    server.zone.add_txt(host, b"first").unwrap();
    server.zone.add_txt(host, &long).unwrap();
    let strings = vec![b"a".to_vec(), b"".to_vec(), b"bc".to_vec()];
    server.zone.add_txt_strings(host, strings).unwrap();
    server.zone.add_txt(host, b"").unwrap();
    let answer = ask_tcp(&server, "_ACME-challenge.example.test.", RecordType::TXT).await;
    let expected = vec![(b"first".to_vec(), 1), (long, 2), (b"abc".to_vec(), 3), (b"".to_vec(), 1)];
    assert_eq!(texts(&answer), expected);
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_truncated_and_whole_over_tcp() {
    let server = start().await;
    for number in 0..20 {
        let value = format!("{number:0>64}");
        server.zone.add_txt("big.test", value.as_bytes()).unwrap();
    }
    let answer = ask(&server, "big.test.", RecordType::TXT).await;
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    let answer = ask_tcp(&server, "big.test.", RecordType::TXT).await;
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 20);
}

#[tokio::test]
async fn edns_raises_the_udp_limit_and_is_answered() {
    let server = start().await;
    server.zone.add_txt("mid.test", &[b'x'; 800]).unwrap();
    let mut request = question("mid.test.", RecordType::TXT);
    let mut edns = Edns::new();
    edns.set_max_payload(1_232);
    request.set_edns(edns);
    let raw = over_udp(&server, &request.to_vec().unwrap()).await;
    let answer = Message::from_vec(&raw).unwrap();
    assert!(!answer.metadata.truncation && answer.edns.is_some());
    assert_eq!(texts(&answer), vec![(vec![b'x'; 800], 4)]);
}

#[tokio::test]
async fn an_alias_answers_with_the_whole_chain() {
    let server = start().await;
    let zone = &server.zone;
    zone.set_cname("_acme-challenge.www.test", "a.outside.example").unwrap();
    zone.set_cname("a.outside.example", "b.outside.example").unwrap();
    zone.add_txt("b.outside.example", b"value").unwrap();
    let answer = ask(&server, "_acme-challenge.www.test.", RecordType::TXT).await;
    let types: Vec<RecordType> = answer.answers.iter().map(|r| r.record_type()).collect();
    assert_eq!(types, [RecordType::CNAME, RecordType::CNAME, RecordType::TXT]);
    let answer = ask(&server, "_acme-challenge.www.test.", RecordType::CNAME).await;
    assert_eq!(data(&answer), ["a.outside.example."]);
    zone.set_outcome("b.outside.example", None, Outcome::ServFail).unwrap();
    let answer = ask(&server, "_acme-challenge.www.test.", RecordType::TXT).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(answer.answers.is_empty());
}

#[tokio::test]
async fn a_loop_of_aliases_ends_in_servfail() {
    let server = start().await;
    server.zone.set_cname("a.test", "b.test").unwrap();
    server.zone.set_cname("b.test", "a.test").unwrap();
    let answer = ask(&server, "a.test.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn caa_properties_come_back_byte_for_byte() {
    let server = start().await;
    let issue = CaaProperty { flags: 0, tag: "issue".into(), value: b"ca.example; validationmethods=dns-01".to_vec() };
    let strange = CaaProperty { flags: 0x81, tag: "Tbs".into(), value: b"%%%".to_vec() };
    server.zone.add_caa("caa.test", vec![issue.clone(), strange.clone()]).unwrap();
    let answer = ask(&server, "caa.test.", RecordType::CAA).await;
    let found = answer.answers.iter().map(|record| {
        let RData::CAA(caa) = &record.data else {
            panic!("not CAA: {record}");
        };
        CaaProperty { flags: caa.flags(), tag: caa.tag.clone(), value: caa.value.clone() }
    });
    assert_eq!(found.collect::<Vec<_>>(), [issue, strange]);
}

#[tokio::test]
async fn forced_response_codes_are_shown() {
    let server = start().await;
    for (outcome, code) in [
        (Outcome::ServFail, ResponseCode::ServFail),
        (Outcome::Refused, ResponseCode::Refused),
        (Outcome::NxDomain, ResponseCode::NXDomain),
    ] {
        server.zone.set_outcome("x.test", None, outcome).unwrap();
        let answer = ask(&server, "X.test.", RecordType::A).await;
        assert_eq!(answer.metadata.response_code, code);
        assert!(answer.answers.is_empty());
    }
}

#[tokio::test]
async fn a_forced_timeout_is_silence_for_that_name_only() {
    let server = start().await;
    server.zone.set_outcome("mute.test", None, Outcome::Timeout).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // The server takes datagrams in order, so an answer to the first would arrive first.
    let mute = question("mute.test.", RecordType::A);
    let loud = question("loud.test.", RecordType::A);
    for request in [&mute, &loud] {
        let bytes = request.to_vec().unwrap();
        socket.send_to(&bytes, server.address).await.unwrap();
    }
    let answer = Message::from_vec(&receive(&socket).await).unwrap();
    assert_eq!(answer.queries, loud.queries);
    let asked = server.zone.queries(Some("mute.test")).unwrap();
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn a_forced_truncation_sends_the_client_to_tcp() {
    let server = start().await;
    server.zone.add_txt("tc.test", b"value").unwrap();
    server.zone.set_outcome("tc.test", Some(RecordType::TXT), Outcome::Truncated).unwrap();
    let answer = ask(&server, "tc.test.", RecordType::TXT).await;
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    let answer = ask_tcp(&server, "tc.test.", RecordType::TXT).await;
    assert_eq!(texts(&answer), vec![(b"value".to_vec(), 1)]);
    let transports = server.zone.queries(Some("tc.test")).unwrap();
    let transports: Vec<&str> = transports.iter().map(|query| query.transport).collect();
    assert_eq!(transports, ["udp", "tcp"]);
}

#[tokio::test]
async fn one_tcp_connection_carries_several_questions() {
    let server = start().await;
    let requests = [question("a.test.", RecordType::A), question("b.test.", RecordType::A)];
    let answers = over_tcp(&server, &requests).await;
    assert_eq!(answers[0].metadata.id, requests[0].metadata.id);
    assert_eq!(answers[1].metadata.id, requests[1].metadata.id);
}

#[tokio::test]
async fn malformed_and_foreign_questions_are_refused() {
    let server = start().await;
    let raw = over_udp(&server, &[0xab, 0xcd, 0x01, 0x00, 0, 1]).await;
    let answer = Message::from_vec(&raw).unwrap();
    assert_eq!(answer.metadata.id, 0xabcd);
    assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);

    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let mut notify = question("a.test.", RecordType::SOA);
    notify.metadata.op_code = OpCode::Notify;
    let mut two = question("a.test.", RecordType::A);
    two.add_query(Query::query(Name::from_ascii("b.test.").unwrap(), RecordType::A));
    let answers = over_tcp(&server, &[chaos, notify, two]).await;
    let codes: Vec<ResponseCode> = answers.iter().map(|answer| answer.metadata.response_code).collect();
    assert_eq!(codes, [ResponseCode::Refused, ResponseCode::NotImp, ResponseCode::FormErr]);
}

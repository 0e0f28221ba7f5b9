//! A small DNS server on loopback: UDP and TCP on one port, answers by a closure, and a memory of
//! what it was asked.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CAA, CNAME, NS, TXT},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Lower case, without final dot.
    pub(crate) name: String,
    /// As it arrived.
    pub(crate) spelled: String,
    pub(crate) kind: RecordType,
    pub(crate) tcp: bool,
    /// How often the same name and kind were asked before.
    pub(crate) earlier: usize,
}

/// One answer.
pub(crate) enum Answer {
    /// Records at the name that was asked for.
    Data(Vec<RData>),
    /// Records at any names.
    Records(Vec<(&'static str, RData)>),
    /// As `Data`, with the name in the answer's question in lower case.
    WrongCase(Vec<RData>),
    Code(ResponseCode),
    /// An empty answer that asks to come back over TCP.
    Truncated,
    /// A pointer to another server instead of an answer.
    Referral,
    /// Nothing.
    Silence,
}

pub(crate) const NO_DATA: Answer = Answer::Code(ResponseCode::NoError);
pub(crate) const NX_DOMAIN: Answer = Answer::Code(ResponseCode::NXDomain);

pub(crate) fn a(address: &str) -> RData {
    RData::A(A(address.parse::<Ipv4Addr>().unwrap()))
}

pub(crate) fn aaaa(address: &str) -> RData {
    RData::AAAA(AAAA(address.parse::<Ipv6Addr>().unwrap()))
}

pub(crate) fn txt(strings: &[&str]) -> RData {
    RData::TXT(TXT::new(strings.iter().map(|text| (*text).to_owned()).collect()))
}

pub(crate) fn caa(flags: u8, tag: &str, value: &str) -> RData {
    let mut caa = CAA::new_issue(flags & 128 != 0, None, Vec::new());
    caa.reserved_flags = flags & 127;
    caa.tag = tag.to_owned();
    caa.value = value.as_bytes().to_vec();
    RData::CAA(caa)
}

pub(crate) fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(name(target)))
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

/// A port that is free for both. One that was free for TCP may be a query's for UDP.
async fn one_port() -> (TcpListener, UdpSocket, SocketAddr) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (tcp, udp, address);
        }
    }
}

type Answers = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The server; it runs as long as the test's runtime.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl DnsServer {
    pub(crate) async fn start(answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let (tcp, udp, address) = one_port().await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers: Arc<Answers> = Arc::new(answers);
        tokio::spawn(serve_udp(udp, Arc::clone(&answers), Arc::clone(&asked)));
        tokio::spawn(serve_tcp(tcp, answers, Arc::clone(&asked)));
        Self { address, asked }
    }

    /// A server for which every name ends at one IPv4 address.
    pub(crate) async fn all_names_at(address: &'static str) -> Self {
        Self::start(move |asked| match asked.kind == RecordType::A {
            true => Answer::Data(vec![a(address)]),
            false => NO_DATA,
        })
        .await
    }

    /// A server that knows one address per name, of either family.
    pub(crate) async fn names_at(names: &'static [(&'static str, &'static str)]) -> Self {
        Self::start(move |asked| {
            let v6 = asked.kind == RecordType::AAAA;
            let of_name = names.iter().filter(|(name, _)| *name == asked.name);
            let of_kind = of_name.filter(|(_, address)| address.contains(':') == v6);
            Answer::Data(of_kind.map(|(_, address)| if v6 { aaaa(address) } else { a(address) }).collect())
        })
        .await
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, name: &str, kind: RecordType) -> usize {
        self.asked().iter().filter(|asked| asked.name == name && asked.kind == kind).count()
    }
}

async fn serve_udp(socket: UdpSocket, answers: Arc<Answers>, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut buffer = [0; 2048];
    while let Ok((octets, peer)) = socket.recv_from(&mut buffer).await {
        if let Some(reply) = reply(buffer.get(..octets).unwrap(), false, &*answers, &asked) {
            let _ = socket.send_to(&reply, peer).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, answers: Arc<Answers>, asked: Arc<Mutex<Vec<Asked>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_connection(stream, Arc::clone(&answers), Arc::clone(&asked)));
    }
}

async fn serve_connection(mut stream: TcpStream, answers: Arc<Answers>, asked: Arc<Mutex<Vec<Asked>>>) {
    while let Ok(octets) = stream.read_u16().await {
        let mut question = vec![0; octets.into()];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        if let Some(reply) = reply(&question, true, &*answers, &asked) {
            let framed = [&u16::try_from(reply.len()).unwrap().to_be_bytes(), reply.as_slice()].concat();
            if stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}

fn reply(question: &[u8], tcp: bool, answers: &Answers, memory: &Mutex<Vec<Asked>>) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    let query = question.queries.first()?.clone();
    let spelled = query.name.to_ascii().trim_end_matches('.').to_owned();
    let mut asked = Asked { name: spelled.to_ascii_lowercase(), spelled, kind: query.query_type, tcp, earlier: 0 };
    {
        let mut memory = memory.lock().unwrap();
        asked.earlier = memory.iter().filter(|past| past.name == asked.name && past.kind == asked.kind).count();
        memory.push(asked.clone());
    }
    let mut message = Message::response(question.metadata.id, OpCode::Query);
    message.metadata.recursion_available = true;
    message.queries.push(query.clone());
    let at_name = |data: Vec<RData>| -> Vec<Record> {
        data.into_iter().map(|data| Record::from_rdata(query.name.clone(), 300, data)).collect()
    };
    match answers(&asked) {
        Answer::Data(data) => message.answers = at_name(data),
        Answer::Records(records) => {
            message.answers =
                records.into_iter().map(|(owner, data)| Record::from_rdata(name(owner), 300, data)).collect();
        }
        Answer::WrongCase(data) => {
            message.answers = at_name(data);
            for query in &mut message.queries {
                query.name = query.name.to_lowercase();
            }
        }
        Answer::Code(code) => message.metadata.response_code = code,
        Answer::Truncated => message.metadata.truncation = true,
        Answer::Referral => {
            message.authorities = vec![Record::from_rdata(name("test"), 300, RData::NS(NS(name("ns.test"))))];
        }
        Answer::Silence => return None,
    }
    Some(message.to_vec().unwrap())
}

//! The upstreams of a script: UDP and TCP on the loopback, on the script's own thread.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use waypost::wire::Rcode;

use super::Failure;
use super::script::Step;
use super::text::{self, Section};
use crate::support::message;

/// An upstream that does as the script says; its tasks end with their runtime.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    /// The last that matches a query counts.
    rules: RefCell<Vec<Rule>>,
    /// Queries that came and no step has looked at.
    asked: Cell<usize>,
    /// The same for probes, which ask for the NS records of the root.
    probed: Cell<usize>,
    changed: Notify,
}

/// What is said to whom.
struct Rule {
    question: Option<(Name, RecordType)>,
    over_tcp: Option<bool>,
    deed: Deed,
}

enum Deed {
    Silence,
    Say { rcode: Rcode, flags: Vec<String>, records: Vec<String> },
}

/// The question of probes.
const PROBE: RecordType = RecordType::NS;

impl Upstream {
    /// An upstream that is silent until a rule says otherwise.
    pub(super) async fn open() -> Self {
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
            // The port that UDP got may be another's over TCP.
            let address = socket.local_addr().expect("a bound socket has an address");
            if let Ok(listener) = TcpListener::bind(address).await {
                break (socket, listener);
            }
        };
        let address = socket.local_addr().expect("a bound socket has an address");
        let state = Rc::new(State::default());
        spawn_local(serve_udp(socket, Rc::clone(&state)));
        spawn_local(serve_tcp(listener, Rc::clone(&state)));
        Self { address, state }
    }

    /// Adds the rule of a step `upstream NAME [QNAME QTYPE] [udp|tcp]`.
    pub(super) fn rule(&self, step: &Step) -> Result<(), Failure> {
        let rule = Rule::read(step)?;
        self.state.rules.borrow_mut().push(rule);
        Ok(())
    }

    /// Waits until `n` queries have come, or probes, that no step has looked at, and returns how many there are then.
    pub(super) async fn wait_for(&self, n: usize, probes: bool) {
        let count = if probes { &self.state.probed } else { &self.state.asked };
        while count.get() < n {
            self.state.changed.notified().await;
        }
    }

    /// The queries, or probes, that no step has looked at; this one does.
    pub(super) fn take_count(&self, probes: bool) -> usize {
        if probes { self.state.probed.take() } else { self.state.asked.take() }
    }
}

impl Rule {
    fn read(step: &Step) -> Result<Self, Failure> {
        let no_rule = |line, text| Failure::new(line, text);
        let mut words = step.words[2..].to_vec();
        let over_tcp = match words.last().map(String::as_str) {
            Some("tcp") => Some(true),
            Some("udp") => Some(false),
            _ => None,
        };
        if over_tcp.is_some() {
            words.pop();
        }
        let question = match &words[..] {
            [] => None,
            [name, rtype] => {
                let question = Name::from_ascii(name).ok().zip(rtype.parse().ok());
                Some(question.ok_or_else(|| no_rule(step.line, format!("no question: `{name} {rtype}`")))?)
            }
            _ => return Err(no_rule(step.line, "`upstream NAME [QNAME QTYPE] [udp|tcp]`".to_owned())),
        };
        let mut lines = step.lines();
        let Some((first, line)) = lines.next() else {
            return Err(no_rule(step.line, "it is not said what the upstream says".to_owned()));
        };
        if first == "silent" {
            return Ok(Self { question, over_tcp, deed: Deed::Silence });
        }
        let mut words = first.split_whitespace();
        let rcode =
            words.next().and_then(|word| (0..=23).map(Rcode).find(|code| code.mnemonic() == Some(word)));
        let rcode = rcode.ok_or_else(|| no_rule(line, format!("no response code: `{first}`")))?;
        let flags: Vec<String> = words.map(str::to_owned).collect();
        if let Some(flag) = flags.iter().find(|flag| !["aa", "tc", "ad", "no-ra"].contains(&flag.as_str())) {
            return Err(no_rule(line, format!("no flag: `{flag}`")));
        }
        let mut records = Vec::new();
        for (text, line) in lines {
            if text::records(text, &Name::root()).is_none() {
                return Err(no_rule(line, format!("no record: `{text}`")));
            }
            records.push(text.to_owned());
        }
        Ok(Self { question, over_tcp, deed: Deed::Say { rcode, flags, records } })
    }

    fn is_for(&self, query: &Message, over_tcp: bool) -> bool {
        let asked = &query.queries[0];
        self.over_tcp.is_none_or(|tcp| tcp == over_tcp)
            && self
                .question
                .as_ref()
                .is_none_or(|(name, rtype)| *name == asked.name && *rtype == asked.query_type)
    }
}

impl State {
    /// Takes note of a query and says what to send back.
    fn answer(&self, wire: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let query = message::read(wire);
        let asked = &query.queries[0];
        let count =
            if asked.name.is_root() && asked.query_type == PROBE { &self.probed } else { &self.asked };
        count.set(count.get() + 1);
        self.changed.notify_waiters();
        self.changed.notify_one();
        let rules = self.rules.borrow();
        let rule = rules.iter().rev().find(|rule| rule.is_for(&query, over_tcp))?;
        let Deed::Say { rcode, flags, records } = &rule.deed else { return None };
        let mut response = message::response(&query, ResponseCode::from(0, rcode.0 as u8), Vec::new());
        let has = |flag: &str| flags.iter().any(|f| f == flag);
        response.metadata.authoritative = has("aa");
        response.metadata.truncation = has("tc");
        response.metadata.authentic_data = has("ad");
        response.metadata.recursion_available = !has("no-ra");
        for line in records {
            // It was read once already, when the rule was made.
            let (section, records) = text::records(line, &asked.name)?;
            match section {
                Section::Answer => response.answers.extend(records),
                Section::Authority => response.authorities.extend(records),
                Section::Additional => response.additionals.extend(records),
            }
        }
        Some(message::wire(&response))
    }
}

async fn serve_udp(socket: UdpSocket, state: Rc<State>) {
    let mut buffer = vec![0; 65_535];
    loop {
        // A client's port that is closed shows as an error of the next call.
        let Ok((len, client)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = state.answer(&buffer[..len], false) {
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, state: Rc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        spawn_local(serve_connection(stream, Rc::clone(&state)));
    }
}

async fn serve_connection(mut stream: TcpStream, state: Rc<State>) {
    while let Ok(len) = stream.read_u16().await {
        let mut query = vec![0; usize::from(len)];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        if let Some(answer) = state.answer(&query, true)
            && stream.write_all(&crate::support::client::framed(&answer)).await.is_err()
        {
            return;
        }
    }
}

//! A name server that says what a test wants, differently each time if need be.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// What to answer for a name.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// All of these addresses, those of the family that was asked for.
    Addresses(Vec<IpAddr>),
    /// One of these addresses, the next one for each question.
    InTurn(Vec<IpAddr>),
    /// Another name.
    Alias(String),
    /// An error, by its code.
    Code(u8),
    /// Nothing at all.
    Nothing,
}

/// These addresses, of both families.
pub(crate) fn both(addresses: &[&str]) -> Says {
    Says::Addresses(addresses.iter().map(|text| ip(text)).collect())
}

/// An address of either family.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[derive(Debug, Default)]
struct Zone {
    names: BTreeMap<String, Says>,
    asked: BTreeMap<String, usize>,
}

/// A name server on the port where resolvers look for one.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameServer(Arc<Mutex<Zone>>);

/// The kind of a record, and its data.
type Record = (u8, Vec<u8>);

const A: u8 = 1;
const AAAA: u8 = 28;
const CNAME: u8 = 5;
const NXDOMAIN: u8 = 3;
/// What fits into an answer over UDP; what does not is cut off, and nobody answers over TCP.
const RECORDS_MAX: usize = 25;

impl NameServer {
    /// Starts one on 127.0.0.1:53.
    pub(crate) fn start() -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:53").expect("the namespace is the test's own"))
    }

    /// Answers what comes to this socket.
    pub(crate) fn on(socket: UdpSocket) -> Self {
        let server = Self::default();
        let zone = server.clone();
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut query) {
                if let Some(answer) = zone.answer(&query[..len]) {
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        server
    }

    /// Changes what is answered for a name, from now on.
    pub(crate) fn says(&self, name: &str, says: Says) {
        self.0.lock().unwrap().names.insert(name.to_owned(), says);
    }

    /// How often a name was asked for, in both families.
    pub(crate) fn queries(&self, name: &str) -> usize {
        let zone = self.0.lock().unwrap();
        zone.asked.get(name).copied().unwrap_or_default()
    }

    /// Writes an answer: header, question, then the records. Nothing may be remembered.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let name_len = query[12..].iter().position(|byte| *byte == 0)? + 1;
        let question = &query[12..12 + name_len + 4];
        let (code, records) =
            self.records(&dotted(&question[..name_len]), question[name_len + 1])?;
        let is_cut = records.len() > RECORDS_MAX;
        let shown = &records[..records.len().min(RECORDS_MAX)];
        let count = u8::try_from(shown.len()).unwrap();
        let mut answer = query[..2].to_vec();
        let flags = if is_cut { 0x83 } else { 0x81 };
        answer.extend([flags, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        answer.extend(question);
        for (kind, data) in shown {
            let len = u8::try_from(data.len()).unwrap();
            answer.extend([0xc0, 12, 0, *kind, 0, 1, 0, 0, 0, 0, 0, len]);
            answer.extend(data);
        }
        Some(answer)
    }

    fn records(&self, name: &str, asked_for: u8) -> Option<(u8, Vec<Record>)> {
        let mut zone = self.0.lock().unwrap();
        let asked = zone.asked.entry(name.to_owned()).or_default();
        *asked += 1;
        // A resolver asks for both families at once: two questions are one look-up.
        let turn = *asked / 2;
        let says = zone.names.get(name).cloned();
        let ips = match says.unwrap_or(Says::Code(NXDOMAIN)) {
            Says::Nothing => return None,
            Says::Code(code) => return Some((code, Vec::new())),
            Says::Alias(name) => return Some((0, vec![(CNAME, encoded(&name))])),
            Says::Addresses(ips) => ips,
            Says::InTurn(ips) => vec![ips[turn % ips.len()]],
        };
        let records = ips.into_iter().map(|ip| match ip {
            IpAddr::V4(ip) => (A, ip.octets().to_vec()),
            IpAddr::V6(ip) => (AAAA, ip.octets().to_vec()),
        });
        Some((0, records.filter(|(kind, _)| *kind == asked_for).collect()))
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

fn dotted(mut encoded: &[u8]) -> String {
    let mut labels = Vec::new();
    while let [len, rest @ ..] = encoded
        && *len > 0
    {
        let (label, rest) = rest.split_at((*len).into());
        labels.push(String::from_utf8(label.to_ascii_lowercase()).unwrap());
        encoded = rest;
    }
    labels.join(".")
}

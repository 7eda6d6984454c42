//! The system's resolver against a name server of our own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::ErrorClass;
use posthaste_egress::{Client, Config, Resolve, ResolveError, SystemResolver};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::support::{LATE, OK, Receiver, config, connect, post, url};

const NXDOMAIN: u8 = 3;
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

/// What a name server says about a name.
#[derive(Clone)]
enum Says {
    Addresses(Vec<IpAddr>),
    Code(u8),
    Alias(&'static str),
    Nothing,
}

struct NameServer {
    address: SocketAddr,
    queries: Arc<AtomicUsize>,
}

impl NameServer {
    async fn start(zone: &[(&'static str, Says)]) -> Self {
        let zone: BTreeMap<_, _> = zone.iter().cloned().collect();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&queries);
        tokio::spawn(async move {
            let mut query = [0; 512];
            loop {
                let (len, from) = socket.recv_from(&mut query).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(&zone, &query[..len]) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        Self { address, queries }
    }

    fn resolver(&self) -> SystemResolver {
        SystemResolver::with_name_servers(&[self.address])
    }
}

/// Writes an answer to a query: header, question, then one record per address.
fn answer(zone: &BTreeMap<&str, Says>, query: &[u8]) -> Option<Vec<u8>> {
    const A: u8 = 1;
    const AAAA: u8 = 28;
    const CNAME: u8 = 5;
    let name_len = query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let question = &query[12..12 + name_len + 4];
    let asked_for = question[name_len + 1];
    let says = zone.get(dotted(&question[..name_len]).as_str());
    let (code, records) = match says.unwrap_or(&Says::Code(NXDOMAIN)) {
        Says::Nothing => return None,
        Says::Code(code) => (*code, Vec::new()),
        Says::Alias(name) => (0, vec![(CNAME, encoded(name))]),
        Says::Addresses(ips) => {
            let records = ips.iter().map(|ip| match ip {
                IpAddr::V4(ip) => (A, ip.octets().to_vec()),
                IpAddr::V6(ip) => (AAAA, ip.octets().to_vec()),
            });
            (0, records.filter(|(kind, _)| *kind == asked_for).collect())
        }
    };
    let count = u8::try_from(records.len()).unwrap();
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question);
    for (kind, data) in records {
        let len = u8::try_from(data.len()).unwrap();
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, len]);
        answer.extend(data);
    }
    Some(answer)
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

fn both() -> Vec<IpAddr> {
    vec![
        Ipv4Addr::LOCALHOST.into(),
        Ipv4Addr::new(127, 0, 0, 2).into(),
        Ipv6Addr::LOCALHOST.into(),
    ]
}

#[tokio::test]
async fn all_addresses_of_both_families_are_found_and_kept() {
    let zone = [("hooks.example", Says::Addresses(both()))];
    let server = NameServer::start(&zone).await;
    let resolver = server.resolver();

    let mut found = resolver.resolve("hooks.example").await.unwrap();
    found.sort();
    assert_eq!(found, both());

    let queries = server.queries.load(Ordering::SeqCst);
    resolver.resolve("hooks.example").await.unwrap();
    assert_eq!(server.queries.load(Ordering::SeqCst), queries);
}

#[tokio::test]
async fn a_name_with_an_underscore_or_a_final_full_stop_is_looked_up() {
    let zone = [("my_service.example", Says::Addresses(both()))];
    let server = NameServer::start(&zone).await;

    for name in ["my_service.example", "my_service.example."] {
        assert_eq!(server.resolver().resolve(name).await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn b4_a_missing_name_is_told_from_a_failing_server() {
    let zone = [
        ("failing.example", Says::Code(SERVFAIL)),
        ("refused.example", Says::Code(REFUSED)),
        ("empty.example", Says::Addresses(Vec::new())),
    ];
    let resolver = NameServer::start(&zone).await.resolver();

    for name in ["missing.example", "empty.example"] {
        assert_eq!(
            resolver.resolve(name).await,
            Err(ResolveError::NotFound),
            "{name}"
        );
    }
    for name in ["failing.example", "refused.example"] {
        let answer = resolver.resolve(name).await;
        assert!(
            matches!(answer, Err(ResolveError::Failed(_))),
            "{name}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn b4_aliases_in_a_circle_end_and_one_server_that_is_silent_hurts_nobody_else() {
    let zone = [
        ("silent.example", Says::Nothing),
        ("a.example", Says::Alias("b.example")),
        ("b.example", Says::Alias("a.example")),
        (
            "hooks.example",
            Says::Addresses(vec![Ipv4Addr::LOCALHOST.into()]),
        ),
    ];
    let server = NameServer::start(&zone).await;
    let receiver = Receiver::answering(OK).await;
    let resolver = Arc::new(server.resolver());
    let client = Arc::new(
        Client::new(Config {
            resolver,
            ..config()
        })
        .unwrap(),
    );
    let start = Instant::now();

    let silent: Vec<_> = (0..64)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move {
                let connected = connect(&client, &url("http://silent.example/")).await;
                connected.err().unwrap().class
            })
        })
        .collect();
    let circle = connect(&client, &url("http://a.example/"))
        .await
        .err()
        .unwrap();
    let healthy = post(&client, &receiver.named("hooks.example"))
        .await
        .unwrap();

    assert_eq!(healthy.status, 200);
    assert!(start.elapsed() < LATE);
    assert_ne!(circle.class, ErrorClass::Internal);
    for silent in silent {
        assert_eq!(silent.await.unwrap(), ErrorClass::DnsFailed);
    }
    assert!(start.elapsed().as_secs() < 6);
}

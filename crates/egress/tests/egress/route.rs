//! Connecting from an address, and through a proxy.

use std::sync::{Arc, Mutex};

use domain::{AddressPolicy, ErrorClass};
use posthaste_egress::{Bind, Client, Config, Proxy, SharedPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{Names, OK, Peer, Receiver, config, post, url};

/// A proxy that opens tunnels, and what it was asked for.
pub(crate) struct Tunnels {
    receiver: Receiver,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnels {
    pub(crate) async fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&asked);
        let receiver = Receiver::start(move |peer| tunnel(peer, Arc::clone(&heads))).await;
        Self { receiver, asked }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn proxy(&self, user_info: &str) -> Proxy {
        proxy(&self.receiver, user_info)
    }
}

async fn tunnel(mut peer: Peer, heads: Arc<Mutex<Vec<String>>>) {
    let Some(head) = peer.request().await else {
        return;
    };
    let to = head.split(' ').nth(1).unwrap().to_owned();
    heads.lock().unwrap().push(head);
    let mut onward = TcpStream::connect(to).await.unwrap();
    peer.write(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n")
        .await;
    let _ = tokio::io::copy_bidirectional(&mut peer.stream, &mut onward).await;
}

fn proxy(at: &Receiver, user_info: &str) -> Proxy {
    Proxy::parse(&format!("http://{user_info}{}", at.address)).unwrap()
}

fn through(proxy: Option<Proxy>) -> Client {
    Client::new(Config {
        proxy,
        resolver: Names::with("hooks.example", &[&["127.0.0.1"]]),
        ..config()
    })
    .unwrap()
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_vetted_address_and_the_host_stays_the_name() {
    let (heads, mut requests) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut peer| {
        let heads = heads.clone();
        async move {
            heads.send(peer.request().await.unwrap()).unwrap();
            peer.write(OK).await;
            peer.hold().await;
        }
    })
    .await;
    let tunnels = Tunnels::start().await;
    let target = receiver.named("hooks.example");

    let answer = post(&through(Some(tunnels.proxy(""))), &target)
        .await
        .unwrap();

    assert_eq!(answer.status, 200);
    let address = receiver.address;
    let asked = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    assert_eq!(tunnels.asked(), [asked]);
    let request = requests.recv().await.unwrap();
    let host = format!("host: hooks.example:{}\r\n", address.port());
    assert!(request.contains(&host), "{request}");
    assert!(!request.to_ascii_lowercase().contains("proxy"), "{request}");
}

#[tokio::test]
async fn credentials_go_to_the_proxy_alone() {
    let receiver = Receiver::answering(OK).await;
    let tunnels = Tunnels::start().await;

    post(&through(Some(tunnels.proxy("me:secret@"))), &receiver.url())
        .await
        .unwrap();

    // me:secret
    let header = "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n";
    let asked = tunnels.asked();
    assert!(asked[0].contains(header), "{asked:?}");
}

#[tokio::test]
async fn a_refused_address_never_reaches_the_proxy() {
    let tunnels = Tunnels::start().await;
    let client = Client::new(Config {
        proxy: Some(tunnels.proxy("")),
        resolver: Names::with("inside.example", &[&["127.0.0.1", "10.0.0.1"]]),
        ..config()
    })
    .unwrap();

    for target in ["http://inside.example/", "http://169.254.169.254/"] {
        let error = post(&client, &url(target)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::DestinationNotAllowed, "{target}");
    }

    assert_eq!(tunnels.receiver.connections(), 0);
}

#[tokio::test]
async fn the_address_of_the_proxy_is_the_operators_choice() {
    let receiver = Receiver::start_at("127.0.0.2:0", OK).await;
    let tunnels = Tunnels::start().await;
    let policy = AddressPolicy {
        allow: vec!["127.0.0.2".parse().unwrap()],
        allow_http: true,
        ..AddressPolicy::default()
    };
    let client = Client::new(Config {
        policy: SharedPolicy::new(policy),
        proxy: Some(tunnels.proxy("")),
        ..config()
    })
    .unwrap();

    // The proxy's own address, 127.0.0.1, is closed to destinations.
    let closed = post(&client, &tunnels.receiver.url()).await.unwrap_err();
    let answer = post(&client, &receiver.url()).await.unwrap();

    assert_eq!(closed.class, ErrorClass::DestinationNotAllowed);
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_proxy_that_fails_is_named_and_not_taken_for_the_destination() {
    let receiver = Receiver::answering(OK).await;
    for (answer, says) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
            "does not take the credentials of egress.proxy (407)",
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
            "refuses the tunnel with status 403",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "speaks before"),
        (b"SSH-2.0-x\r\n\r\n", "does not speak HTTP"),
        (&[b'x'; 9_000], "at too great a length"),
    ] {
        let broken = Receiver::answering_once(answer).await;
        let client = through(Some(proxy(&broken, "me:secret@")));

        let error = post(&client, &receiver.url()).await.unwrap_err();

        assert_eq!(error.class, ErrorClass::ConnectFailed, "{error:?}");
        assert!(error.detail.contains(says), "{error:?}");
        assert!(
            !error.detail.contains("secret") && !error.wrote,
            "{error:?}"
        );
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_proxy_that_is_down_is_a_failure_to_connect() {
    let receiver = Receiver::answering(OK).await;
    let client = through(Proxy::parse("http://127.0.0.1:1").ok());

    let error = post(&client, &receiver.url()).await.unwrap_err();

    assert_eq!(error.class, ErrorClass::ConnectFailed);
    assert!(
        error.detail.contains("the proxy could not be reached"),
        "{error:?}"
    );
}

#[tokio::test]
async fn connections_come_from_the_address_that_is_set() {
    let (peers, mut seen) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut peer| {
        let peers = peers.clone();
        async move {
            peers.send(peer.stream.peer_addr().unwrap().ip()).unwrap();
            let mut byte = [0];
            let _ = peer.stream.read(&mut byte).await;
            let _ = peer.stream.write_all(OK).await;
            peer.hold().await;
        }
    })
    .await;
    let bind = Bind {
        v4: Some([127, 0, 0, 9].into()),
        v6: None,
    };
    let client = Client::new(Config { bind, ..config() }).unwrap();

    post(&client, &receiver.url()).await.unwrap();

    assert_eq!(seen.recv().await.unwrap().to_string(), "127.0.0.9");
}

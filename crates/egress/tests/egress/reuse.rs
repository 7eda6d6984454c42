//! One connection for one request after the other.

use std::io::{Read, Write};
use std::time::Duration;

use domain::{ErrorClass, Phases};
use env::{OutboundRequest, ResponseLimits};
use http::{HeaderMap, Method};
use posthaste_egress::{Client, Config};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::support::{
    AMPLE, BRIEF, OK, Receiver, client, config, connect, request, send, send_within, url,
};

#[tokio::test]
async fn a_connection_serves_1000_requests() {
    let receiver = Receiver::answering(OK).await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    for turn in 0..1_000 {
        assert!(connection.is_usable(Instant::now()), "{turn}");
        let response = send(&mut connection, &target).await.unwrap();
        assert_eq!(
            (response.status, &response.body[..]),
            (200, b"ok".as_slice())
        );
    }

    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_fresh_connection_is_usable_and_has_the_phases_of_opening_it() {
    let receiver = Receiver::answering(OK).await;
    let names = crate::support::Names::with("hooks.example", &[&["127.0.0.1"]]);
    let client = crate::support::client_with(names);
    let target = receiver.named("hooks.example");
    let mut phases = Phases::default();
    let deadline = Instant::now() + AMPLE;

    let mut connection = env::Egress::connect(&client, &target, deadline, &mut phases)
        .await
        .unwrap();

    assert!(connection.is_usable(Instant::now()));
    assert!(phases.dns.is_some() && phases.connect.is_some());
    assert_eq!(
        (phases.tls, phases.first_byte, phases.body),
        (None, None, None)
    );

    let mut phases = Phases::default();
    let limits = ResponseLimits::default();
    let request = request(&target, "{}");
    connection
        .send(request, limits, deadline, &mut phases)
        .await
        .unwrap();

    assert!(phases.first_byte.is_some() && phases.body.is_some());
    assert_eq!((phases.dns, phases.connect, phases.tls), (None, None, None));
}

#[tokio::test]
async fn the_path_may_differ_from_request_to_request_and_the_host_may_not() {
    let (seen, mut requests_seen) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut peer| {
        let seen = seen.clone();
        async move {
            while let Some(request) = peer.request().await {
                seen.send(request).unwrap();
                peer.write(OK).await;
            }
        }
    })
    .await;
    let address = receiver.address;
    let mut connection = connect(&client(), &receiver.url()).await.unwrap();

    for path in ["/a", "/b?c", "/a"] {
        send(&mut connection, &url(&format!("http://{address}{path}")))
            .await
            .unwrap();
        let seen = requests_seen.recv().await.unwrap();
        assert!(
            seen.starts_with(&format!("POST {path} HTTP/1.1\r\n")),
            "{seen}"
        );
    }
    let port = address.port();
    for other in [
        format!("https://127.0.0.1:{port}/"),
        format!("http://127.0.0.2:{port}/"),
    ] {
        let error = send(&mut connection, &url(&other)).await.unwrap_err();
        assert_eq!((error.class, error.wrote), (ErrorClass::Internal, false));
    }
}

/// The runtime collects events only when it comes around. Here it does not between the close and
/// the question, and an idle connection is seen to be closed all the same.
#[tokio::test]
async fn a_connection_that_the_peer_closed_is_not_usable_even_if_no_event_said_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = url(&format!("http://{}/", listener.local_addr().unwrap()));
    let (close, asked_to_close) = std::sync::mpsc::channel();
    let (closed, peer_closed) = std::sync::mpsc::channel();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"{}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        stream.write_all(OK).unwrap();
        asked_to_close.recv().unwrap();
        drop(stream);
        closed.send(()).unwrap();
    });
    let mut connection = connect(&client(), &target).await.unwrap();
    send(&mut connection, &target).await.unwrap();
    assert!(connection.is_usable(Instant::now() + BRIEF));

    close.send(()).unwrap();
    peer_closed.recv().unwrap();

    assert!(!connection.is_usable(Instant::now() + BRIEF));
    let error = send(&mut connection, &target).await.unwrap_err();
    assert_eq!(
        (error.class, error.wrote),
        (ErrorClass::ConnectionReset, false)
    );
    peer.join().unwrap();
}

#[tokio::test]
async fn a_stale_connection_that_is_used_all_the_same_says_that_nothing_was_written() {
    let (closed, peer_closed) = oneshot::channel();
    let closed = std::sync::Mutex::new(Some(closed));
    let receiver = Receiver::start(move |mut peer| {
        let closed = closed.lock().unwrap().take().unwrap();
        async move {
            peer.request().await;
            peer.write(OK).await;
            peer.reset();
            closed.send(()).unwrap();
        }
    })
    .await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();
    send(&mut connection, &target).await.unwrap();
    peer_closed.await.unwrap();

    let error = send(&mut connection, &target).await.unwrap_err();

    assert_eq!(
        (error.class, error.wrote),
        (ErrorClass::ConnectionReset, false)
    );
}

#[tokio::test]
async fn a_peer_that_talks_unasked_is_not_trusted_with_a_request() {
    let (talked, peer_talked) = oneshot::channel();
    let talked = std::sync::Mutex::new(Some(talked));
    let receiver = Receiver::start(move |mut peer| {
        let talked = talked.lock().unwrap().take().unwrap();
        async move {
            peer.request().await;
            peer.write(OK).await;
            peer.write(OK).await;
            talked.send(()).unwrap();
            peer.hold().await;
        }
    })
    .await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();
    send(&mut connection, &target).await.unwrap();
    peer_talked.await.unwrap();

    assert!(!connection.is_usable(Instant::now() + BRIEF));
}

#[tokio::test]
async fn an_answer_that_announces_the_close_ends_the_connection() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let receiver = Receiver::answering_once(answer).await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    send(&mut connection, &target).await.unwrap();

    assert!(!connection.is_usable(Instant::now()));
}

#[tokio::test]
async fn a_connection_ends_before_the_peer_would_drop_it() {
    let answer = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=5, max=9\r\ncontent-length: 0\r\n\r\n";
    let receiver = Receiver::answering_once(answer).await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();
    send(&mut connection, &target).await.unwrap();
    let now = Instant::now();

    assert!(connection.is_usable(now + Duration::from_millis(3_500)));
    assert!(!connection.is_usable(now + Duration::from_millis(4_500)));
}

#[tokio::test]
async fn a_connection_lives_as_long_as_configured() {
    let receiver = Receiver::answering(OK).await;
    let age_max = Duration::from_mins(5);
    let client = Client::new(Config {
        connection_age_max: age_max,
        ..config()
    })
    .unwrap();
    let before = Instant::now();
    let mut connection = connect(&client, &receiver.url()).await.unwrap();
    let after = Instant::now();

    assert!(connection.is_usable(before + age_max - Duration::from_millis(1)));
    assert!(!connection.is_usable(after + age_max));
}

#[tokio::test]
async fn an_exchange_that_is_abandoned_closes_the_connection() {
    let (closed, client_closed) = oneshot::channel();
    let closed = std::sync::Mutex::new(Some(closed));
    let receiver = Receiver::start(move |mut peer| {
        let closed = closed.lock().unwrap().take().unwrap();
        async move {
            peer.request().await;
            peer.hold().await;
            closed.send(()).unwrap();
        }
    })
    .await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let sending = send(&mut connection, &target);
    assert!(timeout(BRIEF / 4, sending).await.is_err());

    client_closed.await.unwrap();
    assert!(!connection.is_usable(Instant::now()));
}

#[tokio::test]
async fn a_deadline_that_has_passed_sends_nothing_or_fails_in_time() {
    let receiver = Receiver::answering_once("").await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let error = send_within(&mut connection, &target, "{}", Duration::ZERO)
        .await
        .unwrap_err();

    assert_eq!(error.class, ErrorClass::Timeout);
}

#[tokio::test]
async fn an_empty_body_has_a_length() {
    let (seen, request_seen) = oneshot::channel();
    let seen = std::sync::Mutex::new(Some(seen));
    let receiver = Receiver::start(move |mut peer| {
        let seen = seen.lock().unwrap().take().unwrap();
        async move {
            seen.send(peer.request().await.unwrap()).unwrap();
            peer.write(OK).await;
        }
    })
    .await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();
    let request = OutboundRequest {
        method: Method::POST,
        target,
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
    };

    let deadline = Instant::now() + AMPLE;
    let limits = ResponseLimits::default();
    connection
        .send(request, limits, deadline, &mut Phases::default())
        .await
        .unwrap();

    assert!(
        request_seen
            .await
            .unwrap()
            .contains("content-length: 0\r\n")
    );
}

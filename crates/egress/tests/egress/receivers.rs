//! Receivers that are slow, endless, broken or hostile.

use domain::{ErrorClass, Phases};
use env::{Egress, ResponseLimits};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::support::{
    AMPLE, BRIEF, LATE, OK, Receiver, client, connect, post, request, send, send_within, url,
};

/// Answers once with these bytes, and says how the attempt failed.
async fn failure_of(answer: impl Into<Vec<u8>>) -> ErrorClass {
    let receiver = Receiver::answering_once(answer).await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let error = send(&mut connection, &target).await.unwrap_err();

    assert!(error.wrote);
    assert!(!connection.is_usable(Instant::now()));
    error.class
}

#[tokio::test]
async fn the_request_has_the_line_and_headers_that_a_receiver_expects() {
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
    let port = receiver.address.port();
    let target = url(&format!("http://127.0.0.1:{port}/a%20b?c=d"));

    let response = post(&client(), &target).await.unwrap();

    assert_eq!(response.status, 200);
    assert_eq!(&response.body[..], b"ok");
    assert_eq!(
        request_seen.await.unwrap(),
        format!(
            "POST /a%20b?c=d HTTP/1.1\r\ncontent-type: application/json\r\n\
             host: 127.0.0.1:{port}\r\naccept-encoding: identity\r\ncontent-length: 2\r\n\r\n{{}}"
        )
    );
}

#[tokio::test]
async fn lengths_that_a_caller_gives_are_replaced_by_the_true_one() {
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
    let mut request = request(&target, "body");
    request
        .headers
        .insert("content-length", "1".parse().unwrap());
    request
        .headers
        .insert("transfer-encoding", "chunked".parse().unwrap());
    request
        .headers
        .insert("host", "other.example".parse().unwrap());
    let mut connection = connect(&client(), &target).await.unwrap();

    let deadline = Instant::now() + AMPLE;
    let limits = ResponseLimits::default();
    connection
        .send(request, limits, deadline, &mut Phases::default())
        .await
        .unwrap();

    let seen = request_seen.await.unwrap();
    assert!(seen.contains("\r\ncontent-length: 4\r\n"), "{seen}");
    assert!(!seen.contains("transfer-encoding"), "{seen}");
    assert!(!seen.contains("other.example"), "{seen}");
}

#[tokio::test]
async fn h1_a_body_that_drips_ends_at_the_deadline() {
    let receiver = Receiver::answering_once("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nx").await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();
    let mut phases = Phases::default();
    let start = Instant::now();

    let error = connection
        .send(
            request(&target, "{}"),
            ResponseLimits::default(),
            start + BRIEF,
            &mut phases,
        )
        .await
        .unwrap_err();

    assert_eq!(error.class, ErrorClass::Timeout);
    assert_eq!(error.detail, "the answer's body did not end in time");
    assert!(error.wrote);
    assert!(start.elapsed() < LATE);
    assert!(phases.first_byte.unwrap() < BRIEF);
    assert!(phases.body.unwrap() > BRIEF / 2);
    assert!(!connection.is_usable(Instant::now()));
}

#[tokio::test]
async fn no_answer_at_all_ends_at_the_deadline() {
    let receiver = Receiver::answering_once("").await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let error = send_within(&mut connection, &target, "{}", BRIEF)
        .await
        .unwrap_err();

    assert_eq!(error.class, ErrorClass::Timeout);
    assert_eq!(error.detail, "no answer in time");
    assert!(error.wrote);
}

#[tokio::test]
async fn h2_an_endless_body_is_cut_off_and_the_status_decides() {
    let (closed, client_closed) = oneshot::channel();
    let closed = std::sync::Mutex::new(Some(closed));
    let receiver = Receiver::start(move |mut peer| {
        let closed = closed.lock().unwrap().take();
        async move {
            peer.request().await;
            peer.write(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
            let mut sent = 0_usize;
            loop {
                use tokio::io::AsyncWriteExt;
                if peer.stream.write_all(&chunk).await.is_err() {
                    break;
                }
                sent += 4096;
            }
            closed.unwrap().send(sent).unwrap();
        }
    })
    .await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();
    let limits = ResponseLimits {
        kept_private: 16 * 1024,
        ..ResponseLimits::default()
    };

    let response = connection
        .send(
            request(&target, "{}"),
            limits,
            Instant::now() + AMPLE,
            &mut Phases::default(),
        )
        .await
        .unwrap();

    assert_eq!(response.status, 201);
    assert_eq!(response.body.len(), limits.kept_private);
    // The receiver can have filled the buffers between us, but not more.
    let sent = timeout(AMPLE, client_closed).await.unwrap().unwrap();
    assert!(sent < 32 * 1024 * 1024);
    assert!(!connection.is_usable(Instant::now()));
}

#[tokio::test]
async fn less_is_kept_of_answers_from_private_addresses() {
    let answer = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n".as_slice(),
        &b"x".repeat(20_000),
    ]
    .concat();
    let receiver = Receiver::answering_once(answer).await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let response = send(&mut connection, &target).await.unwrap();

    assert_eq!(response.body.len(), ResponseLimits::default().kept_private);
    assert!(connection.is_usable(Instant::now()));
}

#[tokio::test]
async fn h3_a_compressed_body_is_not_decompressed() {
    let answer =
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\0";
    let receiver = Receiver::answering_once(*answer).await;

    let response = post(&client(), &receiver.url()).await.unwrap();

    assert_eq!(&response.body[..], b"\x1f\x8b\x08\0");
}

#[tokio::test]
async fn h4_a_header_of_1_mb_is_too_large() {
    let mut answer = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    answer.resize(1024 * 1024, b'x');
    assert_eq!(failure_of(answer).await, ErrorClass::ResponseTooLarge);
}

#[tokio::test]
async fn h4_10000_headers_are_too_large() {
    let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
    answer.extend(b"x: y\r\n".repeat(10_000));
    answer.extend(b"\r\n");
    assert_eq!(failure_of(answer).await, ErrorClass::ResponseTooLarge);
}

#[tokio::test]
async fn h4_a_large_head_below_the_limit_is_read() {
    let value = "x".repeat(60 * 1024);
    let answer = format!("HTTP/1.1 200 OK\r\nx: {value}\r\ncontent-length: 0\r\n\r\n");
    let receiver = Receiver::answering_once(answer).await;

    assert_eq!(post(&client(), &receiver.url()).await.unwrap().status, 200);
}

#[tokio::test]
async fn h4_a_flood_of_interim_answers_is_an_error_and_a_few_are_not() {
    let few = [b"HTTP/1.1 103 Early\r\n\r\n".repeat(8), OK.to_vec()].concat();
    let receiver = Receiver::answering_once(few).await;
    assert_eq!(post(&client(), &receiver.url()).await.unwrap().status, 200);

    let flood = [b"HTTP/1.1 103 Early\r\n\r\n".repeat(100), OK.to_vec()].concat();
    assert_eq!(failure_of(flood).await, ErrorClass::InvalidResponse);
}

#[tokio::test]
async fn h4_an_upgrade_that_nobody_asked_for_keeps_its_status_and_ends_the_connection() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let receiver = Receiver::answering_once(answer).await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let response = send(&mut connection, &target).await.unwrap();

    assert_eq!(response.status, 101);
    assert!(!connection.is_usable(Instant::now()));
}

#[tokio::test]
async fn h4_what_is_not_http_1_is_an_invalid_response() {
    for answer in [
        "<html>hello from 0.9</html>\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "\0\0\u{12}\u{4}\0\0\0\0\0",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \u{1}\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "HTTP/1.1 99999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a length\r\n",
    ] {
        assert_eq!(
            failure_of(answer).await,
            ErrorClass::InvalidResponse,
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn h4_a_204_with_a_body_keeps_its_status_and_ends_the_connection() {
    let receiver = Receiver::answering_once("HTTP/1.1 204 No Content\r\n\r\nbody").await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let response = send(&mut connection, &target).await.unwrap();

    assert_eq!((response.status, response.body.len()), (204, 0));
    assert!(!connection.is_usable(Instant::now()));
}

#[tokio::test]
async fn h5_a_receiver_that_never_reads_ends_at_the_deadline() {
    let receiver = Receiver::start(|peer| async move {
        let _peer = peer;
        std::future::pending::<()>().await;
    })
    .await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();
    let start = Instant::now();

    let body = vec![b'x'; 16 * 1024 * 1024];
    let error = send_within(&mut connection, &target, body, BRIEF)
        .await
        .unwrap_err();

    assert_eq!(error.class, ErrorClass::Timeout);
    assert!(error.wrote);
    assert!(start.elapsed() < LATE);
}

#[tokio::test]
async fn h7_a_reset_after_the_request_is_a_failure_that_wrote() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.reset();
    })
    .await;
    let target = receiver.url();

    let error = post(&client(), &target).await.unwrap_err();

    assert_eq!(error.class, ErrorClass::ConnectionReset);
    assert!(error.wrote);
    assert_eq!(receiver.connections(), 1, "nothing is sent a second time");
}

#[tokio::test]
async fn a_close_instead_of_an_answer_is_a_reset() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
    })
    .await;

    let error = post(&client(), &receiver.url()).await.unwrap_err();

    assert_eq!(error.class, ErrorClass::ConnectionReset);
    assert!(error.wrote);
}

#[tokio::test]
async fn a_close_within_the_head_or_the_body_is_a_reset() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nha",
    ] {
        let receiver = Receiver::start(move |mut peer| async move {
            peer.request().await;
            peer.write(answer.as_bytes()).await;
        })
        .await;

        let error = post(&client(), &receiver.url()).await.unwrap_err();

        assert_eq!(error.class, ErrorClass::ConnectionReset, "{answer:?}");
    }
}

#[tokio::test]
async fn a_reset_within_the_body_is_a_reset() {
    let (seen, head_seen) = oneshot::channel::<()>();
    let head_seen = std::sync::Mutex::new(Some(head_seen));
    let receiver = Receiver::start(move |mut peer| {
        let head_seen = head_seen.lock().unwrap().take().unwrap();
        async move {
            peer.request().await;
            peer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
                .await;
            head_seen.await.unwrap();
            peer.reset();
        }
    })
    .await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();
    let mut phases = Phases::default();

    let sending = connection.send(
        request(&target, "{}"),
        ResponseLimits::default(),
        Instant::now() + AMPLE,
        &mut phases,
    );
    let (sent, ()) = tokio::join!(sending, async { seen.send(()).unwrap() });

    assert_eq!(sent.unwrap_err().class, ErrorClass::ConnectionReset);
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_the_connection() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it").await;
    })
    .await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let response = send(&mut connection, &target).await.unwrap();

    assert_eq!(&response.body[..], b"all of it");
    assert!(!connection.is_usable(Instant::now()));
}

#[tokio::test]
async fn an_answer_in_chunks_is_put_together() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                  3\r\nabc\r\n2;x=y\r\nde\r\n0\r\ntrailer: t\r\n\r\n";
    let receiver = Receiver::answering_once(answer).await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let response = send(&mut connection, &target).await.unwrap();

    assert_eq!(&response.body[..], b"abcde");
    assert!(connection.is_usable(Instant::now()));
}

#[tokio::test]
async fn b5_a_redirect_is_an_answer_like_any_other() {
    for status in [300, 301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: http://127.0.0.1:1/\r\n\
             refresh: 0; url=http://127.0.0.1:1/\r\nalt-svc: h2=\"127.0.0.1:1\"\r\n\
             content-length: 0\r\n\r\n"
        );
        let receiver = Receiver::answering_once(answer).await;

        let response = post(&client(), &receiver.url()).await.unwrap();

        assert_eq!(response.status, status);
        assert_eq!(receiver.connections(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_read_decides() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.stream.read_u8().await.unwrap();
        peer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
            .await;
        std::future::pending::<()>().await;
    })
    .await;
    let target = receiver.url();
    let mut connection = connect(&client(), &target).await.unwrap();

    let body = vec![b'x'; 16 * 1024 * 1024];
    let response = send_within(&mut connection, &target, body, AMPLE)
        .await
        .unwrap();

    assert_eq!(response.status, 413);
    assert!(
        !connection.is_usable(Instant::now()),
        "half of the request is still to be sent"
    );
}

#[tokio::test]
async fn retry_after_is_handed_on_unless_it_is_absurd() {
    let absurd = "9".repeat(65);
    for (value, handed_on) in [
        ("120", Some("120")),
        (
            "Wed, 21 Oct 2026 07:28:00 GMT",
            Some("Wed, 21 Oct 2026 07:28:00 GMT"),
        ),
        (absurd.as_str(), None),
        ("\u{e4}", None),
    ] {
        let answer =
            format!("HTTP/1.1 503 Busy\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
        let receiver = Receiver::answering_once(answer).await;

        let response = post(&client(), &receiver.url()).await.unwrap();

        assert_eq!(response.retry_after.as_deref(), handed_on);
    }
}

#[tokio::test]
async fn a_closed_port_is_a_refused_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut phases = Phases::default();

    let error = client()
        .connect(
            &url(&format!("http://{address}/")),
            Instant::now() + AMPLE,
            &mut phases,
        )
        .await
        .err()
        .unwrap();

    assert_eq!(error.class, ErrorClass::ConnectionRefused);
    assert!(!error.wrote);
    assert!(
        error.detail.starts_with(&address.to_string()),
        "{}",
        error.detail
    );
    assert!(phases.connect.is_some());
    assert_eq!(phases.dns, None);
}

//! What the accept loop does with peers that are slow, strange or many.

use std::time::Duration;

use super::raw::{PATIENT, SHORT, Server, limits};
use crate::serve::{Deadlines, ServeLimits};

const POST_HI: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

fn patient() -> Server {
    Server::start(limits(PATIENT))
}

fn status(answer: &str) -> &str {
    answer
        .get("HTTP/1.1 ".len()..)
        .unwrap_or_default()
        .split(' ')
        .next()
        .unwrap()
}

fn assert_problem(answer: &str, code: &str) {
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    assert!(answer.contains("x-request-id: "), "{answer}");
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let server = patient();
    let mut peer = server.connect().await;

    for _ in 0..3 {
        peer.send(POST_HI.as_bytes()).await;
        let answer = peer.until("\r\n\r\nhi").await;
        assert_eq!(status(&answer), "200");
        assert!(answer.contains("x-request-id: "));
    }
}

#[tokio::test]
async fn a_request_with_two_readings_never_reaches_a_handler() {
    let server = patient();
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\n";

    for bytes in [
        format!("{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n"),
        format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!"),
        format!("{post}Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
        format!("{post}Content-Length: +2\r\n\r\nhi"),
        format!("{post}Content-Length : 2\r\n\r\nhi"),
        format!("{post}X: a\r\n b\r\nContent-Length: 2\r\n\r\nhi"),
        POST_HI.replace("\r\n", "\n"),
    ] {
        let answer = server.exchange(bytes.as_bytes()).await;

        assert_eq!(status(&answer), "400", "{bytes:?}");
        assert_problem(&answer, "malformed_request");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn broken_heads_that_the_library_finds_are_400_as_well() {
    let server = patient();

    for bytes in [
        "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = server.exchange(bytes.as_bytes()).await;
        assert_eq!(status(&answer), "400", "{bytes:?}");
        assert_problem(&answer, "malformed_request");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn heads_and_urls_that_are_too_large_are_431_and_414() {
    let server = patient();

    for (bytes, expected, code) in [
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000)),
            "431",
            "headers_too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1_000)),
            "431",
            "headers_too_large",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(65_536)),
            "414",
            "url_too_long",
        ),
    ] {
        let answer = server.exchange(bytes.as_bytes()).await;

        assert_eq!(status(&answer), expected);
        assert_problem(&answer, code);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let server = patient();

    for (line, expected, code) in [
        ("GET /nowhere", "404", "unknown_route"),
        ("FOO /echo", "405", "method_not_allowed"),
        ("GET /echo", "405", "method_not_allowed"),
    ] {
        let bytes = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = server.exchange(bytes.as_bytes()).await;

        assert_eq!(status(&answer), expected, "{line}");
        assert_problem(&answer, code);
    }
}

#[tokio::test]
async fn chunked_bodies_are_read_and_broken_ones_are_not() {
    let server = patient();
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                   Transfer-Encoding: chunked\r\n\r\n";
    let long_extension = format!("2;{}\r\nhi\r\n0\r\n\r\n", "x".repeat(1024 * 1024));
    let trailer_bomb = format!("2\r\nhi\r\n0\r\n{}\r\n", "A: b\r\n".repeat(100_000));

    for (body, expected) in [
        ("2\r\nhi\r\n1;a=b\r\n!\r\n0\r\n\r\n", "hi!"),
        ("2\r\nhi\r\n0\r\nTrailer: 1\r\n\r\n", "hi"),
        ("x\r\n", "broken"),
        ("2\nhi\n0\n\n", "broken"),
        ("2\r\nhi!\r\n0\r\n\r\n", "broken"),
        ("-2\r\nhi\r\n0\r\n\r\n", "broken"),
        ("ffffffffffffffffff\r\nhi", "broken"),
        (long_extension.as_str(), "broken"),
        (trailer_bomb.as_str(), "broken"),
    ] {
        let answer = server.exchange(format!("{chunked}{body}").as_bytes()).await;
        let shown: String = body.chars().take(40).collect();
        assert!(
            answer.ends_with(&format!("\r\n\r\n{expected}")),
            "{shown:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_thousand_pipelined_requests_are_all_answered() {
    let server = patient();
    let last = POST_HI.replace("Host: a", "Host: a\r\nConnection: close");
    let bytes = POST_HI.repeat(999) + &last;

    let answers = server.exchange(bytes.as_bytes()).await;

    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1_000);
    assert_eq!(server.requests(), 1_000);
}

#[tokio::test]
async fn requests_before_a_malformed_one_are_answered_first() {
    let server = patient();
    let bytes = format!("{POST_HI}{POST_HI}GET / HTTP/1.1\n\n{POST_HI}");

    let answers = server.exchange(bytes.as_bytes()).await;

    let statuses: Vec<_> = answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|a| &a[..3])
        .collect();
    assert_eq!(statuses, ["200", "200", "400"]);
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_body_is_asked_for_when_its_sender_waits_to_be() {
    let server = patient();
    let mut peer = server.connect().await;

    peer.send(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    )
    .await;
    peer.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    peer.send(b"hi").await;

    assert_eq!(status(&peer.until("\r\n\r\nhi").await), "200");
}

#[tokio::test]
async fn a_connection_that_stays_silent_is_closed() {
    let server = Server::start(limits(Deadlines {
        first_byte: SHORT,
        ..PATIENT
    }));

    assert_eq!(server.exchange(b"").await, "");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_408() {
    let server = Server::start(limits(Deadlines {
        head: SHORT,
        ..PATIENT
    }));

    for start in ["G", "POST /echo HTTP/1.1\r\nHost: a\r\n"] {
        let answer = server.exchange(start.as_bytes()).await;

        assert_eq!(status(&answer), "408");
        assert_problem(&answer, "request_timeout");
    }
    // Also when requests before it were answered.
    let answer = server
        .exchange(format!("{POST_HI}POST /e").as_bytes())
        .await;
    assert!(
        answer.contains("HTTP/1.1 200 OK") && answer.contains("HTTP/1.1 408"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_request() {
    let server = Server::start(limits(Deadlines {
        body_grace: SHORT,
        ..PATIENT
    }));

    let answer = server
        .exchange(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi")
        .await;

    // This handler answers 200 whatever it reads; what counts is that it was let go on.
    assert!(answer.ends_with("\r\n\r\nbroken"), "{answer}");
}

#[tokio::test]
async fn what_came_of_a_body_buys_time_for_the_rest() {
    let server = Server::start(limits(Deadlines {
        body_grace: SHORT,
        body_bytes_per_second: 1,
        ..PATIENT
    }));
    let mut peer = server.connect().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n";

    peer.send(format!("{head}0123456789").as_bytes()).await;
    // Ten bytes are ten seconds at this rate, so waiting past the grace does no harm.
    tokio::time::timeout(SHORT * 4, peer.until("HTTP/1.1"))
        .await
        .unwrap_err();
    peer.send(b"ab").await;

    assert!(peer.until("ab").await.ends_with("0123456789ab"));
}

#[tokio::test]
async fn a_connection_that_rests_too_long_between_requests_is_closed() {
    let server = Server::start(limits(Deadlines {
        idle: SHORT,
        first_byte: SHORT * 4,
        ..PATIENT
    }));

    let answer = server.exchange(POST_HI.as_bytes()).await;

    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1);
    assert!(answer.ends_with("hi"));
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answer_is_cut_off() {
    const LARGE: usize = 64 * 1024 * 1024;
    let server = Server::start(limits(Deadlines {
        write: SHORT,
        ..PATIENT
    }));
    let mut peer = server.connect().await;
    peer.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;

    server.handler.entered.notified().await;

    // Nothing is read until the server has given up, which stopping it waits for.
    server.begin_stop();
    server.stopped().await;

    assert!(peer.rest_bytes().await.len() < LARGE);
}

/// A socket that closes with bytes unread resets the connection, which on some systems discards
/// the answer that came before.
#[tokio::test]
async fn what_is_sent_on_after_an_answer_is_taken_for_a_while() {
    let server = patient();
    let unread = "x".repeat(500_000);

    for (head, end) in [
        (
            "POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n",
            "refused",
        ),
        (
            "POST /echo HTTP/1.1\r\nHost : a\r\nContent-Length: 900000\r\n\r\n",
            "HTTP/1.1.\"}",
        ),
    ] {
        let mut peer = server.connect().await;
        peer.send(head.as_bytes()).await;
        peer.until(end).await;

        peer.send_on(unread.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_503() {
    let server = Server::start(limits(Deadlines {
        answer: SHORT,
        head: SHORT * 2,
        ..PATIENT
    }));

    let answer = server
        .exchange(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;

    assert_eq!(status(&answer), "503");
    assert_problem(&answer, "timed_out");
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away_and_closing_one_makes_room() {
    let server = Server::start(ServeLimits {
        connections_per_peer: 2,
        ..limits(PATIENT)
    });
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    for peer in [&mut first, &mut second] {
        peer.send(POST_HI.as_bytes()).await;
        peer.until("hi").await;
    }

    let refused = server.exchange(b"").await;
    drop(first);
    // The server notices the close in its own time; until then it may still say no.
    let mut third = server.exchange(&closing()).await;
    while status(&third) != "200" {
        assert_problem(&third, "too_many_connections");
        third = server.exchange(&closing()).await;
    }

    assert_eq!(status(&refused), "503");
    assert_problem(&refused, "too_many_connections");
}

fn closing() -> Vec<u8> {
    POST_HI
        .replace("Host: a", "Host: a\r\nConnection: close")
        .into_bytes()
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let server = patient();
    let mut idle = server.connect().await;
    idle.send(POST_HI.as_bytes()).await;
    idle.until("hi").await;
    let mut fresh = server.connect().await;
    let mut busy = server.connect().await;
    busy.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.handler.entered.notified().await;

    server.begin_stop();
    assert_eq!(idle.rest().await, "");
    assert_eq!(fresh.rest().await, "");
    assert!(server.is_closed_to_newcomers().await);
    server.handler.go_on.notify_one();

    assert!(busy.rest().await.ends_with("waited"));
    server.stopped().await;
}

#[tokio::test]
async fn stopping_gives_up_on_what_takes_too_long() {
    let server = Server::start(ServeLimits {
        drain: Duration::from_millis(50),
        ..limits(PATIENT)
    });
    let mut busy = server.connect().await;
    busy.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.handler.entered.notified().await;

    server.begin_stop();
    server.stopped().await;

    assert_eq!(busy.rest().await, "");
}

/// Many at once that are silent, do not finish their head or do not send their body: whoever means
/// it is served among them, and they are all gone in the end.
#[tokio::test]
async fn slow_peers_keep_nobody_from_being_served_and_are_closed() {
    const SLOW: usize = 300;
    let server = Server::start(ServeLimits {
        connections: 2 * SLOW,
        connections_per_peer: 2 * SLOW,
        ..limits(Deadlines {
            first_byte: 10 * SHORT,
            head: 10 * SHORT,
            ..PATIENT
        })
    });
    let mut slow = Vec::new();
    for number in 0..SLOW {
        let mut peer = server.connect().await;
        let starts: [&[u8]; 2] = [b"", b"POST /echo HTTP/1.1\r\nHost: a\r\nX-Slow: "];
        peer.send(starts[number % starts.len()]).await;
        slow.push(peer);
    }

    for _ in 0..20 {
        assert_eq!(status(&server.exchange(&closing()).await), "200");
    }

    for mut peer in slow {
        let last = peer.rest().await;
        assert!(last.is_empty() || status(&last) == "408", "{last}");
    }
}

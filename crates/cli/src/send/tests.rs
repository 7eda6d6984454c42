use clap::Parser as _;

use super::*;
use crate::client::testing::{Scripted, answer};
use crate::tests::{typed, typed_words};

const MESSAGE: &str = r#"{"id":"msg_1","eventType":"content.published","payload":{}}"#;

/// A page of destinations with these statuses.
fn page(statuses: &[u8]) -> &'static str {
    let items = statuses.iter().enumerate().map(|(index, status)| {
        format!(r#"{{"id":"ep_{index}","url":"https://example.com/{index}","status":{status}}}"#)
    });
    let items = items.collect::<Vec<_>>().join(",");
    format!(r#"{{"data":[{items}],"iterator":"next","done":true}}"#).leak()
}

#[tokio::test]
async fn the_payload_reaches_the_server_byte_for_byte() {
    let server = Scripted::start(vec![answer(202, MESSAGE)]).await;
    let payload = r#"{ "n": 1.0,  "big": 12345678901234567890, "e": "\u00e9" }"#;
    let words = [
        "send",
        "content.published",
        "-a",
        "shop/1",
        "--url",
        &server.url,
        "-d",
        payload,
    ];

    let sent = typed_words(&words, b"").await;

    let asked = server.asked().remove(0);
    assert_eq!(
        (sent.exit, sent.out.as_str()),
        (Exit::Ok, "msg_1  content.published\n")
    );
    assert_eq!(
        asked.line,
        "POST /api/v1/app/shop%2F1/msg?with_content=false HTTP/1.1"
    );
    assert_eq!(
        asked.body,
        format!(r#"{{"eventType":"content.published","payload":{payload}}}"#)
    );
}

#[tokio::test]
async fn standard_input_is_a_file_called_minus() {
    let server = Scripted::start(vec![answer(202, MESSAGE)]).await;
    let words = ["send", "x", "-a", "shop", "-f", "-", "--url", &server.url];

    typed_words(&words, b"[1, 2]\n").await;

    assert!(server.asked()[0].body.contains(r#""payload":[1, 2]"#));
}

#[tokio::test]
async fn every_option_is_a_field_or_a_header() {
    let server = Scripted::start(vec![answer(202, MESSAGE)]).await;
    let line = "send x -a shop --id evt_1 --at 2030-01-01T00:00:00Z --channel a --channel b \
                --idempotency-key key-1 -o id";

    let sent = typed(&server, line).await;

    let asked = server.asked().remove(0);
    assert_eq!(sent.out, "msg_1\n");
    assert_eq!(asked.header("idempotency-key"), Some("key-1"));
    assert_eq!(
        asked.body,
        concat!(
            r#"{"eventType":"x","payload":{},"eventId":"evt_1","#,
            r#""deliverAt":"2030-01-01T00:00:00.000000Z","channels":["a","b"]}"#
        )
    );
}

#[tokio::test]
async fn json_output_is_the_servers_own() {
    let server = Scripted::start(vec![answer(202, MESSAGE)]).await;

    let sent = typed(&server, "send x -a shop -o json").await;

    assert_eq!(sent.out, format!("{MESSAGE}\n"));
}

#[tokio::test]
async fn a_payload_that_is_not_json_is_not_sent() {
    let server = Scripted::start(Vec::new()).await;

    let sent = typed(&server, "send x -a shop -d {oops").await;

    assert_eq!(sent.exit, Exit::Usage);
    assert!(
        sent.err.starts_with("error: the payload is not JSON: "),
        "{}",
        sent.err
    );
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn the_fields_that_are_wrong_are_named_in_one_line() {
    let problem = concat!(
        r#"{"code":"validation","detail":["#,
        r#"{"loc":["body","eventType"],"msg":"is empty","type":"value_error"},"#,
        r#"{"loc":["body","channels","0"],"msg":"is too long","type":"value_error"}]}"#
    );
    let server = Scripted::start(vec![answer(422, problem)]).await;

    let sent = typed(&server, "send x -a shop").await;

    assert_eq!(sent.exit, Exit::Failure);
    assert_eq!(
        sent.err,
        "error: body.eventType is empty; body.channels.0 is too long (422, validation) \
         [request req_1]\n"
    );
}

#[tokio::test]
async fn a_refused_key_is_answered_with_where_to_put_the_right_one() {
    let problem = r#"{"code":"authentication_failed","detail":"The key is not known."}"#;
    let server = Scripted::start(vec![answer(401, problem)]).await;

    let sent = typed(&server, "send x -a shop -o json").await;

    assert_eq!(sent.exit, Exit::Auth);
    assert_eq!(sent.out.trim_end(), problem);
    assert!(
        sent.err.contains("\nhint: give a key by --token"),
        "{}",
        sent.err
    );
}

#[tokio::test]
async fn publishing_is_tried_again_until_the_server_is_back() {
    let script = vec![answer(503, "{}"), answer(202, MESSAGE)];
    let server = Scripted::start(script).await;
    let client = Client::new(&server.args()).unwrap().without_waits();
    let (mut input, mut out, mut err) = (&b""[..], Vec::new(), Vec::new());
    let mut streams = Streams {
        input: &mut input,
        out: &mut out,
        err: &mut err,
        around: crate::Surroundings::default(),
    };

    let exit = run_with(&client, args("send x -a shop -o id"), &mut streams)
        .await
        .unwrap();

    let asked = server.asked();
    assert_eq!(exit, Exit::Ok);
    assert_eq!(
        asked[0].header("idempotency-key"),
        asked[1].header("idempotency-key")
    );
    assert!(asked[0].header("idempotency-key").is_some());
}

#[derive(clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    send: SendArgs,
}

fn args(line: &str) -> SendArgs {
    CommandLine::try_parse_from(line.split(' ')).unwrap().send
}

#[test]
fn wait_takes_a_duration_only_after_an_equals_sign() {
    assert_eq!(args("send x -a shop").wait, None);
    assert_eq!(
        args("send --wait x -a shop").wait,
        Some(Duration::from_mins(1))
    );
    assert_eq!(
        args("send --wait=5m x -a shop").wait,
        Some(Duration::from_mins(5))
    );
}

#[tokio::test]
async fn waiting_ends_well_when_every_delivery_has() {
    let script = vec![
        answer(202, MESSAGE),
        answer(200, page(&[1, 3])),
        answer(200, page(&[0, 0])),
    ];
    let server = Scripted::start(script).await;

    let sent = typed(&server, "send content.published -a shop --wait").await;

    assert_eq!((sent.exit, sent.err.as_str()), (Exit::Ok, ""));
    assert_eq!(
        sent.out,
        "msg_1  content.published\n\
         ep_0  success   https://example.com/0\n\
         ep_1  success   https://example.com/1\n"
    );
    assert_eq!(
        server.asked()[1].line,
        "GET /api/v1/app/shop/msg/msg_1/endpoint?limit=250&expanded_statuses=true HTTP/1.1"
    );
}

#[tokio::test]
async fn a_failed_delivery_has_an_exit_code_of_its_own() {
    for statuses in [[0, 2], [0, 4]] {
        let script = vec![answer(202, MESSAGE), answer(200, page(&statuses))];
        let server = Scripted::start(script).await;

        let sent = typed(&server, "send x -a shop --wait").await;

        assert_eq!(sent.exit, Exit::DeliveryFailed, "{statuses:?}");
        assert_eq!(sent.err, "error: 1 of 2 deliveries failed\n");
    }
}

#[tokio::test]
async fn waiting_ends_with_the_patience() {
    let script = vec![answer(202, MESSAGE), answer(200, page(&[0, 1]))];
    let server = Scripted::start(script).await;

    let sent = typed(&server, "send x -a shop --wait=1ms").await;

    assert_eq!(sent.exit, Exit::Unavailable);
    assert!(
        sent.err
            .starts_with("error: 1 of 2 deliveries have not ended yet"),
        "{}",
        sent.err
    );
}

#[tokio::test]
async fn all_pages_of_destinations_count() {
    let first = concat!(
        r#"{"data":[{"id":"ep_a","url":"https://example.com/","status":0}],"#,
        r#""iterator":"a b","done":false}"#
    );
    let script = vec![
        answer(202, MESSAGE),
        answer(200, first),
        answer(200, page(&[2])),
    ];
    let server = Scripted::start(script).await;

    let sent = typed(&server, "send x -a shop --wait -o json").await;

    let both: serde_json::Value = serde_json::from_str(&sent.out).unwrap();
    assert_eq!(sent.exit, Exit::DeliveryFailed);
    assert_eq!(both["message"]["id"], "msg_1");
    assert_eq!(both["destinations"].as_array().unwrap().len(), 2);
    assert!(server.asked()[2].line.ends_with("&iterator=a%20b HTTP/1.1"));
}

#[tokio::test]
async fn a_message_that_nobody_asked_for_is_said_to_be_one() {
    let script = vec![answer(202, MESSAGE), answer(200, page(&[]))];
    let server = Scripted::start(script).await;

    let sent = typed(&server, "send x -a shop --wait").await;

    assert_eq!(sent.exit, Exit::Ok);
    assert_eq!(sent.err, "no endpoint asked for this message\n");
}

use tokio::io::AsyncReadExt as _;

use super::testing::{Script, Scripted, answer};
use super::*;
use crate::Exit;

fn client(server: &Scripted) -> Client {
    Client::new(&server.args()).unwrap().without_waits()
}

#[tokio::test]
async fn a_call_carries_the_key_and_asks_below_the_prefix() {
    let server = Scripted::start(vec![answer(200, "{}")]).await;
    let args = Target {
        url: format!("{}/hooks/", server.url),
        ..server.args()
    };

    let answer = Client::new(&args)
        .unwrap()
        .call(Call::get("/api/v1/app"))
        .await
        .unwrap();

    let asked = server.asked();
    assert_eq!(answer.status, 200);
    assert_eq!(asked[0].line, "GET /hooks/api/v1/app HTTP/1.1");
    assert_eq!(asked[0].header("authorization"), Some("Bearer key_1"));
    assert_eq!(
        format!("http://{}", asked[0].header("host").unwrap()),
        server.url
    );
}

#[tokio::test]
async fn a_server_error_and_a_broken_connection_are_tried_again_with_the_same_key() {
    let script = vec![
        answer(503, "{}"),
        Script::HangUp,
        answer(500, ""),
        answer(202, "{}"),
    ];
    let server = Scripted::start(script).await;
    let call = Call::new(Method::POST, "/x").with_json("{}");

    let answer = client(&server).call(call).await.unwrap();

    let asked = server.asked();
    let key = asked[0].header("idempotency-key").unwrap();
    assert_eq!(answer.status, 202);
    assert!(key.starts_with("auto_"), "{key}");
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("idempotency-key") == Some(key))
    );
}

#[tokio::test]
async fn after_the_last_try_the_last_answer_counts() {
    let script = (0..4)
        .map(|_| answer(503, r#"{"detail":"The disk is full."}"#))
        .collect();
    let server = Scripted::start(script).await;

    let answer = client(&server).call(Call::get("/")).await.unwrap();

    assert_eq!(server.asked().len(), 4);
    assert_eq!(answer.success().unwrap_err().exit, Exit::Unavailable);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let server = Scripted::start(vec![answer(409, "{}"), answer(200, "{}")]).await;

    let answer = client(&server).call(Call::get("/")).await.unwrap();

    assert_eq!(answer.status, 409);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_unavailable() {
    let server = Scripted::start(Vec::new()).await;
    let client = client(&server);
    drop(server); // Its listener goes with its task, so the address is free before the call.
    tokio::task::yield_now().await;

    let failure = client.call(Call::get("/")).await.unwrap_err();

    assert_eq!(failure.exit, Exit::Unavailable);
}

#[test]
fn a_url_that_cannot_be_a_server_is_a_usage_error() {
    for url in [
        "",
        "localhost:8411",
        "ftp://127.0.0.1",
        "http://user:pass@127.0.0.1",
        "http://127.0.0.1/?a=1",
    ] {
        let args = Target {
            profile: String::new(),
            url: url.to_owned(),
            token: None,
            app: None,
        };

        let failure = Client::new(&args).unwrap_err();

        assert_eq!(failure.exit, Exit::Usage, "{url:?}");
    }
}

#[tokio::test]
async fn an_https_url_is_spoken_to_in_tls_and_hears_no_key_in_the_clear() {
    #[allow(
        clippy::disallowed_types,
        reason = "a server that looks at the first bytes only"
    )]
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let args = Target {
        profile: String::new(),
        app: None,
        url: format!("https://{}", listener.local_addr().unwrap()),
        token: Some("key_1".parse().unwrap()),
    };
    let client = Client::new(&args).unwrap().without_waits();
    let first_bytes = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 2];
        socket.read_exact(&mut bytes).await.unwrap();
        drop(listener);
        bytes
    };

    let (first_bytes, result) = tokio::join!(first_bytes, client.call(Call::get("/")));

    // A TLS record that holds a part of a handshake, of any version 3.
    assert_eq!(first_bytes, [22, 3]);
    assert_eq!(result.unwrap_err().exit, Exit::Unavailable);
}

#[test]
fn what_stands_in_a_path_is_encoded() {
    assert_eq!(encoded("my-app_1.x~"), "my-app_1.x~");
    assert_eq!(encoded("a/b?c d\u{e9}"), "a%2Fb%3Fc%20d%C3%A9");
}

//! What the commands about sources and what came in at them ask the server.

use serde_json::{Value, json};

use crate::Exit;
use crate::client::testing::{Scripted, answer};
use crate::tests::{typed, typed_words};

const SOURCE: &str = r#"{"id":"src_1","name":"Repo","provider":"github","state":"live",
 "verify":"enforce","url":"http://127.0.0.1:8411/in/t","activity":{"accepted":3}}"#;

#[tokio::test]
async fn a_source_is_made_with_its_secret_read_from_a_file() {
    let server = Scripted::start(vec![answer(201, SOURCE)]).await;
    let words = [
        "source",
        "add",
        "Repo",
        "-a",
        "shop",
        "--provider",
        "github",
        "--secret-file",
        "-",
        "--tolerance",
        "5m",
        "--rate",
        "100",
        "--allowed-ips",
        "192.0.2.0/24,::1",
        "-o",
        "id",
        "--url",
        &server.url,
        "--token",
        "key_1",
    ];

    let ended = typed_words(&words, b"the secret\n").await;

    assert_eq!(
        (ended.exit, ended.out.as_str()),
        (Exit::Ok, "src_1\n"),
        "{}",
        ended.err
    );
    let asked = &server.asked()[0];
    assert_eq!(asked.line, "POST /api/v1/app/shop/source HTTP/1.1");
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let expected = json!({
        "name": "Repo", "provider": "github", "secrets": ["the secret"],
        "toleranceSeconds": 300, "requestsPerSecond": 100, "allowedIps": ["192.0.2.0/24", "::1"],
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_dry_run_shows_no_secret() {
    let server = Scripted::start(vec![]).await;
    let words = [
        "source",
        "add",
        "Repo",
        "-a",
        "shop",
        "--provider",
        "github",
        "--secret-file",
        "-",
        "--dry-run",
        "--url",
        &server.url,
    ];

    let ended = typed_words(&words, b"hunter2").await;

    assert!(
        ended.out.contains("***") && !ended.out.contains("hunter2"),
        "{}",
        ended.out
    );
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn the_verbs_of_a_source_are_calls_of_the_api() {
    for (line, asked, body) in [
        ("get src_1 -a shop", "GET /api/v1/app/shop/source/src_1", ""),
        (
            "pause src_1 -a shop",
            "POST /api/v1/app/shop/source/src_1/pause",
            "",
        ),
        (
            "resume src_1 -a shop",
            "POST /api/v1/app/shop/source/src_1/resume",
            "",
        ),
        (
            "edit src_1 -a shop --tolerance none --verify tag",
            "PATCH /api/v1/app/shop/source/src_1",
            r#"{"toleranceSeconds":null,"verify":"tag"}"#,
        ),
        (
            "url rotate src_1 -a shop --grace 1h --yes",
            "POST /api/v1/app/shop/source/src_1/token/rotate",
            r#"{"gracePeriodSeconds":3600}"#,
        ),
    ] {
        let server = Scripted::start(vec![answer(200, SOURCE)]).await;

        let ended = typed(&server, &format!("source {line}")).await;

        assert_eq!(ended.exit, Exit::Ok, "{line}: {}", ended.err);
        let found = &server.asked()[0];
        assert_eq!(found.line, format!("{asked} HTTP/1.1"), "{line}");
        assert_eq!(found.body, body, "{line}");
    }
}

#[tokio::test]
async fn the_url_of_a_source_is_printed_alone() {
    let server = Scripted::start(vec![answer(200, SOURCE)]).await;

    let ended = typed(&server, "source url show src_1 -a shop").await;

    assert_eq!(ended.out, "http://127.0.0.1:8411/in/t\n");
}

#[tokio::test]
async fn a_secret_is_rotated_from_a_file() {
    let server = Scripted::start(vec![answer(200, SOURCE)]).await;
    let words = [
        "source",
        "secret",
        "rotate",
        "src_1",
        "-a",
        "shop",
        "--secret-file",
        "-",
        "--grace",
        "2h",
        "--url",
        &server.url,
        "--token",
        "key_1",
    ];

    let ended = typed_words(&words, b"new secret\n").await;

    assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
    let asked = &server.asked()[0];
    assert_eq!(
        asked.line,
        "POST /api/v1/app/shop/source/src_1/secret/rotate HTTP/1.1"
    );
    assert_eq!(
        asked.body,
        r#"{"gracePeriodSeconds":7200,"secret":"new secret"}"#
    );
}

#[tokio::test]
async fn requests_are_filtered_and_shown_with_their_diagnosis() {
    let page = r#"{"data":[{"id":"req_1","verdict":"rejected","reason":"signature_mismatch",
        "sourceId":"src_1","diagnosis":"it was signed with the previous secret"}],"done":true}"#;
    let server = Scripted::start(vec![answer(200, page)]).await;

    let ended = typed(
        &server,
        "request ls -a shop --verdict rejected --source src_1",
    )
    .await;

    let line = &server.asked()[0].line;
    let expected = "GET /api/v1/app/shop/request?source_id=src_1&verdict=rejected&limit=100";
    assert_eq!(line, &format!("{expected} HTTP/1.1"));
    assert!(
        ended.out.contains("rejected: signature_mismatch"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("previous secret"), "{}", ended.out);
}

#[tokio::test]
async fn a_body_is_saved_byte_for_byte() {
    let server = Scripted::start(vec![answer(200, "{ \"a\" : 1 }\n")]).await;

    let ended = typed(&server, "request save req_1 -a shop").await;

    assert_eq!(ended.out, "{ \"a\" : 1 }\n");
    assert!(server.asked()[0].line.contains("/request/req_1/raw "));
}

#[tokio::test]
async fn providers_are_listed_by_name() {
    let page = r#"{"data":[{"name":"github","title":"GitHub","algorithm":"HMAC-SHA256"}],
        "done":true,"iterator":null}"#;
    let server = Scripted::start(vec![answer(200, page)]).await;

    let ended = typed(&server, "provider ls").await;

    assert!(ended.out.contains("github"), "{}", ended.out);
    assert!(
        server.asked()[0]
            .line
            .starts_with("GET /api/v1/provider?limit=100 ")
    );
}

#[tokio::test]
async fn a_request_is_put_in_again_as_it_is_said() {
    let replayed = r#"{"requestId":"req_2","verdict":"accepted","messageId":"msg_1"}"#;
    let server = Scripted::start(vec![answer(200, replayed), answer(200, replayed)]).await;

    let ended = typed(&server, "request replay req_1 -a shop").await;
    typed(&server, "request replay req_1 -a shop --unverified --again").await;

    let asked = server.asked();
    assert!(
        asked[0]
            .line
            .starts_with("POST /api/v1/app/shop/request/req_1/replay ")
    );
    assert_eq!(asked[0].body, r#"{"deduplicate":true,"verify":true}"#);
    assert_eq!(asked[1].body, r#"{"deduplicate":false,"verify":false}"#);
    assert!(ended.out.contains("msg_1"), "{}", ended.out);
}

const WHOLE: &str = r#"{"id":"req_1","sourceId":"src_1","method":"POST","path":"/in/***/a?b=1",
 "headers":[{"name":"host","value":"h"},{"name":"authorization","value":"***"},
 {"name":"x-event","value":"it's"}],"bodyBytes":4,"body":"@'x'"}"#;

#[tokio::test]
async fn requests_are_exported_with_their_bodies_one_a_line() {
    let server = Scripted::start(vec![
        answer(
            200,
            r#"{"data":[{"id":"req_1"},{"id":"req_2"}],"done":true}"#,
        ),
        answer(200, WHOLE),
        answer(200, r#"{"id":"req_2","bodyBytes":2}"#),
        answer(200, "\u{1}\u{2}"),
    ])
    .await;

    let ended = typed(&server, "request export -a shop --body x").await;

    assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
    let lines: Vec<Value> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["body"], &lines[1]["bodyBase64"]),
        (&json!("@'x'"), &json!("AQI="))
    );
    assert!(server.asked()[0].line.contains("/request?body=x&limit=250"));
}

#[tokio::test]
async fn a_request_is_a_command_for_a_shell_without_its_credentials() {
    let server = Scripted::start(vec![answer(200, WHOLE), answer(200, SOURCE)]).await;

    let ended = typed(&server, "request curl req_1 -a shop").await;

    assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
    assert_eq!(
        ended.out,
        "curl -sS -i -X 'POST' 'http://127.0.0.1:8411/in/t/a?b=1' \\\n  \
         -H 'x-event: it'\\''s' \\\n  --data-raw '@'\\''x'\\'''\n"
    );
}

#[tokio::test]
async fn a_body_that_is_no_text_reaches_the_shell_as_base64() {
    let binary = r#"{"id":"req_1","method":"POST","path":"/in/***","headers":[]}"#;
    let server = Scripted::start(vec![answer(200, binary), answer(200, "\u{1}\u{2}")]).await;

    let ended = typed(
        &server,
        "request curl req_1 -a shop --to http://localhost:1/x",
    )
    .await;

    assert_eq!(
        ended.out,
        "printf %s 'AQI=' | base64 -d |\ncurl -sS -i -X 'POST' 'http://localhost:1/x' \\\n  \
         --data-binary @-\n"
    );
}

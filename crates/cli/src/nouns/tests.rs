//! What the commands about things ask the server, and what they show of its answers.

use crate::Exit;
use crate::client::testing::{Scripted, answer};
use crate::tests::{typed, typed_words};

const APP: &str = r#"{"id":"app_1","uid":"shop","name":"Shop","createdAt":"2026-01-31T12:00:00Z"}"#;

#[tokio::test]
async fn a_list_is_followed_page_by_page_up_to_its_limit() {
    let server = Scripted::start(vec![
        answer(
            200,
            r#"{"data":[{"id":"a"},{"id":"b"}],"iterator":"i/1","done":false}"#,
        ),
        answer(
            200,
            r#"{"data":[{"id":"c"}],"iterator":"i/2","done":false}"#,
        ),
    ])
    .await;

    let ended = typed(&server, "app ls --limit 3 -o id").await;

    let asked = server.asked();
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Ok, "a\nb\nc\n"));
    assert_eq!(asked[0].line, "GET /api/v1/app?limit=3 HTTP/1.1");
    assert_eq!(
        asked[1].line,
        "GET /api/v1/app?limit=1&iterator=i%2F1 HTTP/1.1"
    );
    assert_eq!(
        ended.err,
        "3 applications shown; --all lists the rest too\n"
    );
}

#[tokio::test]
async fn a_whole_list_is_followed_to_its_end() {
    let server = Scripted::start(vec![
        answer(200, r#"{"data":[{"id":"a"}],"iterator":"1","done":false}"#),
        answer(200, r#"{"data":[],"iterator":null,"done":true}"#),
    ])
    .await;

    let ended = typed(&server, "apps ls --all -o json").await;

    assert_eq!(ended.out, "[\n  {\"id\":\"a\"}\n]\n");
    assert_eq!(ended.err, "");
}

#[tokio::test]
async fn what_is_named_is_what_is_sent() {
    let server = Scripted::start(vec![answer(201, APP), answer(200, APP)]).await;

    let added = typed(
        &server,
        "app add Shop --uid shop --rate 5 --metadata a=b --if-missing --idempotency-key k1 -o id",
    )
    .await;
    typed(&server, "app edit shop --uid none --rate none").await;

    let asked = server.asked();
    assert_eq!(added.out, "app_1\n");
    assert_eq!(
        asked[0].line,
        "POST /api/v1/app?get_if_exists=true HTTP/1.1"
    );
    assert_eq!(asked[0].header("idempotency-key"), Some("k1"));
    assert_eq!(
        asked[0].body,
        r#"{"metadata":{"a":"b"},"name":"Shop","throttleRate":5,"uid":"shop"}"#
    );
    assert_eq!(asked[1].line, "PATCH /api/v1/app/shop HTTP/1.1");
    assert_eq!(asked[1].body, r#"{"throttleRate":null,"uid":null}"#);
}

#[tokio::test]
async fn nothing_is_deleted_unasked() {
    let server = Scripted::start(vec![answer(204, "")]).await;

    let unasked = typed(&server, "app rm shop").await;
    let shown = typed(&server, "app rm shop --dry-run").await;
    let done = typed(&server, "app rm shop --yes").await;

    assert_eq!(unasked.exit, Exit::Usage);
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    assert_eq!(shown.out, "DELETE /api/v1/app/shop\n");
    assert_eq!(server.asked().len(), 1);
    assert_eq!((done.exit, done.out.as_str()), (Exit::Ok, ""));
}

#[tokio::test]
async fn a_command_about_endpoints_needs_an_application() {
    let server = Scripted::start(Vec::new()).await;

    let ended = typed(&server, "endpoint ls").await;

    assert_eq!(ended.exit, Exit::Usage);
    assert!(ended.err.contains("--app"), "{}", ended.err);
}

#[tokio::test]
async fn a_secret_is_printed_alone() {
    let server = Scripted::start(vec![answer(200, r#"{"key":"whsec_x"}"#)]).await;

    let ended = typed(&server, "endpoint secret show ep_1 -a shop").await;

    assert_eq!(ended.out, "whsec_x\n");
}

#[tokio::test]
async fn a_secret_comes_from_a_file_and_does_not_show_in_a_dry_run() {
    let server = Scripted::start(Vec::new()).await;
    let words = [
        "endpoint",
        "add",
        "https://x.example/",
        "-a",
        "shop",
        "--dry-run",
    ];
    let words = [
        words.as_slice(),
        &["--secret-file", "-", "--url", &server.url],
    ]
    .concat();

    let ended = typed_words(&words, b"whsec_hunter2\n").await;

    assert_eq!(ended.exit, Exit::Ok);
    assert!(ended.out.contains(r#""secret": "***""#), "{}", ended.out);
    assert!(!ended.out.contains("hunter2"), "{}", ended.out);
}

#[tokio::test]
async fn enabling_ends_a_pause_too() {
    let server = Scripted::start(vec![
        answer(200, r#"{"id":"ep_1","paused":true,"disabled":true}"#),
        answer(200, "{}"),
        answer(200, r#"{"id":"ep_1","paused":false,"disabled":false}"#),
    ])
    .await;

    typed(&server, "endpoint enable ep_1 -a shop").await;

    let asked = server.asked();
    assert_eq!(
        asked[1].line,
        "POST /api/v1/app/shop/endpoint/ep_1/unpause HTTP/1.1"
    );
    assert_eq!(
        asked[2].line,
        "PATCH /api/v1/app/shop/endpoint/ep_1 HTTP/1.1"
    );
    assert_eq!(asked[2].body, r#"{"disabled":false}"#);
}

#[tokio::test]
async fn headers_are_set_and_removed_one_by_one() {
    let server = Scripted::start(vec![answer(204, ""), answer(204, "")]).await;

    typed(&server, "endpoint headers set ep_1 x-a=1 x-b=2=3 -a shop").await;
    typed(&server, "endpoint headers unset ep_1 x-a -a shop").await;

    let asked = server.asked();
    assert_eq!(asked[0].body, r#"{"headers":{"x-a":"1","x-b":"2=3"}}"#);
    assert_eq!(asked[1].body, r#"{"headers":{"x-a":null}}"#);
}

#[tokio::test]
async fn a_portal_link_is_the_link_alone() {
    let made = r#"{"url":"http://x/portal#key=appsk_1","token":"appsk_1"}"#;
    let server = Scripted::start(vec![answer(200, made), answer(200, made)]).await;

    let line = "app portal-link shop --allow ManageEndpoint --feature-flag beta --expiry 15m -o id";
    let link = typed(&server, line).await;
    typed(&server, "app portal-link shop --read-only --session ada").await;

    assert_eq!(link.out, "http://x/portal#key=appsk_1\n");
    let asked = server.asked();
    let path = "POST /api/v1/auth/app-portal-access/shop HTTP/1.1";
    assert_eq!(asked[0].line, path);
    let wanted = r#"{"capabilities":["ManageEndpoint"],"expiry":900,"featureFlags":["beta"]}"#;
    assert_eq!(asked[0].body, wanted);
    assert_eq!(asked[1].body, r#"{"readOnly":true,"sessionId":"ada"}"#);
}

#[tokio::test]
async fn an_export_that_breaks_off_prints_its_lines_and_says_so() {
    const WHOLE: &str = r#"{"id":"msg_1","payload":{"a":1}}"#;
    const PART: &str = concat!(r#"{"id":"msg_1","payload":{"a":1}}"#, "\n{\"id\":");
    let server = Scripted::start(vec![answer(200, PART)]).await;

    let ended = typed(&server, "message export -a shop").await;

    let asked = &server.asked()[0].line;
    assert!(asked.starts_with("GET /api/v1/app/shop/msg/export?with_content=true"));
    assert_eq!(
        (ended.exit, ended.out),
        (Exit::Unavailable, format!("{WHOLE}\n"))
    );
    assert!(ended.err.contains("only a part"), "{}", ended.err);
}

#[tokio::test]
async fn an_endpoint_is_tested_with_an_example_or_with_a_payload_of_ones_own() {
    let message = r#"{"id":"msg_1","eventType":"a.b"}"#;
    let server = Scripted::start(vec![answer(200, message), answer(200, message)]).await;

    typed(&server, "endpoint test hook -a shop --type a.b --index 2").await;
    typed(&server, "endpoint test hook -a shop --type a.b -d {}").await;
    let refused = typed(&server, "endpoint test hook -a shop --type a.b -d {").await;

    let asked = server.asked();
    assert_eq!(asked[0].body, r#"{"eventType":"a.b","exampleIndex":2}"#);
    assert_eq!(asked[1].body, r#"{"eventType":"a.b","payload":{}}"#);
    assert_eq!((refused.exit, asked.len()), (Exit::Usage, 2));
}

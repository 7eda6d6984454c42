//! Requests as data, and who sent them.

use http::Method;
use serde_json::{Value, json};

use super::harness::TestApi;
use super::inbound::{REQUESTS, path};

async fn open(api: &TestApi) -> String {
    api.acme().await;
    let body = json!({"name": "x", "provider": "github", "verify": "none"});
    path(&api.source(body).await)
}

async fn view(api: &TestApi, path: &str, content_type: &str, body: &[u8]) -> Value {
    let headers = [
        ("content-type", content_type),
        ("authorization", "Bearer x"),
    ];
    let body = body.to_vec();
    api.deliver(path, &headers, body).await.expect(200);
    let newest = &api.requests("limit=1").await[0];
    let view = format!("{REQUESTS}/{}/view", newest["id"].as_str().unwrap());
    api.get(&view).await.expect(200)
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_body_is_shown_as_data() {
    let api = TestApi::new().await;
    let path = open(&api).await;
    let multipart = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n";

    let cases: [(&str, &[u8], &str, Value); 7] = [
        (
            "application/json",
            br#"{"a": [1]}"#,
            "json",
            json!({"a": [1]}),
        ),
        (
            "application/x-www-form-urlencoded",
            b"a=1&a=2",
            "form",
            json!({"a": ["1", "2"]}),
        ),
        (
            "multipart/form-data; boundary=b",
            multipart,
            "multipart",
            json!({"a": "1"}),
        ),
        (
            "application/xml",
            b"<a b=\"1\"/>",
            "xml",
            json!({"a": {"@b": "1"}}),
        ),
        ("text/csv", b"a,b", "text", json!("a,b")),
        (
            "image/png",
            &[0, 255],
            "binary",
            json!({"size": 2, "base64": "AP8="}),
        ),
        ("application/json", b"", "empty", Value::Null),
    ];
    for (content_type, body, kind, value) in cases {
        // Keys that rise with time are how the newest one is found.
        tokio::time::advance(std::time::Duration::from_millis(5)).await;
        let shown = view(&api, &format!("{path}/sub?q=1"), content_type, body).await;
        assert_eq!(shown["bodyKind"], kind, "{shown}");
        assert_eq!(shown["body"], value, "{content_type}");
        assert_eq!(shown["method"], "POST");
        assert_eq!(shown["path"], "/in/***/sub");
        assert_eq!(shown["query"], json!({"q": "1"}));
        assert_eq!(shown["headers"]["content-type"], content_type);
        assert_eq!(shown["headers"]["authorization"], "***");
    }
    let unknown = format!("{REQUESTS}/req_00000000000000000000000000/view");
    let reply = api.call(Method::GET, &unknown, &[], "").await;
    reply.expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn the_log_is_searched() {
    let api = TestApi::new().await;
    let path = open(&api).await;
    for (event, body) in [("push", r#"{"who": "ada"}"#), ("ping", r#"{"who": "eve"}"#)] {
        let headers = [
            ("x-github-event", event),
            ("content-type", "application/json"),
        ];
        let path = format!("{path}/{event}");
        api.deliver(&path, &headers, body).await.expect(200);
    }

    for (query, count) in [
        ("body=ada", 1),
        ("body=nobody", 0),
        ("header=X-GitHub-Event", 2),
        ("header=x-github-event:%20pus", 1),
        ("path=/ping", 1),
        ("event_type=push", 1),
        ("event_type=push&body=eve", 0),
        ("peer=0.0.0.0", 2),
        ("peer=192.0.2.0/24", 0),
    ] {
        assert_eq!(api.requests(query).await.len(), count, "{query}");
    }
    for (query, place) in [
        ("body=", "query.body"),
        ("header=", "query.header"),
        ("peer=x", "query.peer"),
    ] {
        let reply = api.get(&format!("{REQUESTS}?{query}")).await;
        reply.expect_faults(&[place]);
    }
}

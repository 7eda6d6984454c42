//! What endpoints get of what a source received (rows B9 and H11 of the security tests).

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use super::harness::TestApi;
use super::inbound::{REQUESTS, SECRET, path, signature};
use super::keys::call_as;

const ENDPOINT: &str = "/api/v1/app/acme/endpoint";
const HOOK: &str = "/api/v1/app/acme/endpoint/hook";
const BODY: &str = r#"{"ref": "refs/heads/main"}"#;

/// An application with an endpoint that is as `more` says, and the path of a source.
async fn set_up(api: &TestApi, more: Value) -> String {
    api.acme().await;
    let mut endpoint = json!({"url": "https://example.com/hook?own=1", "uid": "hook"});
    for (name, value) in more.as_object().unwrap() {
        endpoint[name] = value.clone();
    }
    let made = api.post(ENDPOINT, &endpoint.to_string()).await.expect(201);
    for (name, value) in more.as_object().unwrap() {
        assert_eq!(made[name], *value, "{name} reads back as given");
    }
    path(&api.github().await)
}

/// A push with everything in its head that must not go on, and something that must.
async fn hostile_push(api: &TestApi, path: &str) -> Value {
    let signature = signature(SECRET, BODY);
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("user-agent", "GitHub-Hookshot/1"),
        ("x-github-event", "push"),
        ("x-github-delivery", "delivery-1"),
        ("x-hub-signature-256", &signature),
        ("connection", "close, X-Secret, keep-alive"),
        ("x-secret", "s"),
        ("te", "trailers"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic x"),
        ("upgrade", "h2c"),
        ("cookie", "session=1"),
        ("authorization", "Bearer x"),
        ("host", "hooks.example.com"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "internal"),
        ("posthaste-from-x-github-event", "forged"),
        ("posthaste-id", "msg_forged"),
        ("webhook-signature", "v1,theirs"),
        ("webhook-hops", "2"),
    ];
    let mut request = Request::builder().method(Method::POST).uri(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let reply = api.send(request.body(Body::from(BODY)).unwrap()).await;
    reply.expect(200)
}

/// Neither mode lets any of these out, under any name.
fn assert_stripped(headers: &http::HeaderMap) {
    let shown = format!("{headers:?}");
    for gone in [
        "trailers",
        "timeout=5",
        "Basic x",
        "h2c",
        "session=1",
        "Bearer x",
        "hooks.example.com",
        "10.0.0.1",
        "internal",
        "forged",
        "\"s\"",
    ] {
        assert!(!shown.contains(gone), "{gone} in {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_received_message_is_signed_by_us_with_the_providers_headers_beside_it() {
    let api = TestApi::new().await;
    let path = set_up(&api, json!({})).await;

    let answer = hostile_push(&api, &path).await;
    api.settle().await;

    let [sent] = &api.network.seen()[..] else {
        panic!("one delivery");
    };
    assert_stripped(&sent.headers);
    assert_eq!(sent.body, BODY);
    assert_eq!(sent.target.as_str(), "https://example.com/hook?own=1");
    let header = |name: &str| sent.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("webhook-id"), answer["id"].as_str().unwrap());
    assert!(header("webhook-signature").starts_with("v1,"));
    assert_ne!(header("webhook-signature"), "v1,theirs");
    assert_eq!(header("webhook-hops"), "3");
    assert_eq!(header("content-type"), "application/json; charset=utf-8");
    assert!(header("user-agent").starts_with("posthaste/"));
    assert_eq!(header("posthaste-from-x-github-event"), "push");
    assert_eq!(header("posthaste-from-user-agent"), "GitHub-Hookshot/1");
    assert!(header("posthaste-from-x-hub-signature-256").starts_with("sha256="));
    let requests = api.requests("").await;
    assert_eq!(
        header("posthaste-request"),
        requests[0]["id"].as_str().unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_is_forwarded_as_it_came() {
    let api = TestApi::new().await;
    let path = set_up(&api, json!({"deliverAs": "request"})).await;

    let answer = hostile_push(&api, &format!("{path}/deep/er?a=1&b=%20")).await;
    api.settle().await;

    let [sent] = &api.network.seen()[..] else {
        panic!("one delivery");
    };
    assert_stripped(&sent.headers);
    assert_eq!(
        (&sent.method, &sent.body[..]),
        (&Method::POST, BODY.as_bytes())
    );
    assert_eq!(
        sent.target.as_str(),
        "https://example.com/hook/deep/er?own=1&a=1&b=%20"
    );
    let header = |name: &str| sent.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-github-event"), "push");
    assert_eq!(header("user-agent"), "GitHub-Hookshot/1");
    assert_eq!(header("content-type"), "application/json; charset=utf-8");
    assert_eq!(header("x-hub-signature-256"), signature(SECRET, BODY));
    assert_eq!(header("webhook-signature"), "v1,theirs");
    assert_eq!(header("posthaste-id"), answer["id"].as_str().unwrap());
    assert!(header("posthaste-signature").starts_with("v1,"));
    assert_eq!(header("webhook-hops"), "3");
    assert_eq!(sent.headers.get_all("x-forwarded-for").iter().count(), 1);
}

/// The first attempt is made from memory, later ones from the store: they are the same.
#[tokio::test(start_paused = true)]
async fn a_later_attempt_is_like_the_first() {
    let api = TestApi::new().await;
    let path = set_up(&api, json!({"deliverAs": "request"})).await;
    hostile_push(&api, &format!("{path}/x?a=1")).await;
    api.settle().await;
    let message = &api.requests("").await[0]["messageId"];
    let resend = format!(
        "/api/v1/app/acme/msg/{}/endpoint/hook/resend",
        message.as_str().unwrap()
    );
    api.post(&resend, "").await.expect(202);
    api.settle().await;

    let [first, second] = &api.network.seen()[..] else {
        panic!("two attempts");
    };
    assert_eq!(first.target.as_str(), second.target.as_str());
    assert_eq!((&first.method, &first.body), (&second.method, &second.body));
    for name in first.headers.keys() {
        let ours = ["posthaste-timestamp", "posthaste-signature"];
        if !ours.contains(&name.as_str()) {
            assert_eq!(first.headers[name], second.headers[name], "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_headers_on_an_endpoints_list_are_passed_on() {
    let api = TestApi::new().await;
    let path = set_up(&api, json!({"forwardHeaders": ["x-github-*"]})).await;
    hostile_push(&api, &path).await;
    api.patch(HOOK, r#"{"deliverAs": "request", "forwardHeaders": []}"#)
        .await
        .expect(200);
    api.push(&path, "delivery-2", "{}").await.expect(200);
    api.settle().await;

    let [listed, none] = &api.network.seen()[..] else {
        panic!("two deliveries");
    };
    let passed = |sent: &env::OutboundRequest, what: &str| {
        let names = sent
            .headers
            .keys()
            .filter(|name| name.as_str().contains(what));
        names.count()
    };
    assert_eq!(passed(listed, "posthaste-from-"), 2);
    assert_eq!(passed(none, "x-github"), 0);
    assert_eq!(passed(none, "x-hub"), 0);
    let cleared = api.patch(HOOK, r#"{"deliverAs": null, "forwardHeaders": null}"#);
    let cleared = cleared.await.expect(200);
    assert!(cleared.get("deliverAs").is_none() && cleared.get("forwardHeaders").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_item_of_an_array_is_forwarded_whole_only_when_it_is_alone() {
    let api = TestApi::new().await;
    api.acme().await;
    let endpoint = json!({"url": "https://example.com/", "deliverAs": "request"});
    api.post(ENDPOINT, &endpoint.to_string()).await.expect(201);
    let source = json!({"name": "SendGrid", "provider": "sendgrid", "verify": "none"});
    let path = path(&api.source(source).await);

    let alone = r#"[ {"sg_event_id": "a", "event": "open"} ]"#;
    api.deliver(&path, &[], alone).await.expect(200);
    let two = r#"[{"sg_event_id": "b"}, {"sg_event_id": "c"}]"#;
    api.deliver(&path, &[], two).await.expect(200);
    api.settle().await;

    let seen = api.network.seen();
    let mut bodies: Vec<_> = seen.iter().map(|sent| &sent.body[..]).collect();
    bodies.sort_unstable();
    let mut wanted: Vec<&[u8]> = vec![
        alone.as_bytes(),
        br#"{"sg_event_id": "b"}"#,
        br#"{"sg_event_id": "c"}"#,
    ];
    wanted.sort_unstable();
    assert_eq!(bodies, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_published_message_is_delivered_as_one_whatever_was_asked_for() {
    let api = TestApi::new().await;
    set_up(&api, json!({"deliverAs": "request"})).await;

    let id = api.publish(r#"{"eventType": "a.b", "payload": {}}"#).await;
    api.settle().await;

    let sent = &api.network.seen()[0];
    assert_eq!(sent.headers["webhook-id"], id.as_str());
    assert!(!sent.headers.contains_key("posthaste-id"));
}

/// B9 at the inbound URL.
#[tokio::test(start_paused = true)]
async fn a_request_that_has_come_round_too_often_is_refused_and_kept() {
    let api = TestApi::new().await;
    let path = set_up(&api, json!({})).await;
    let signature = signature(SECRET, "{}");
    for (hops, status) in [("3", 200), ("4", 508), ("x", 200)] {
        let headers = [
            ("x-hub-signature-256", signature.as_str()),
            ("x-github-delivery", hops),
            ("webhook-hops", hops),
        ];
        let reply = api.deliver(&path, &headers, "{}").await;
        if status == 508 {
            reply.expect_problem(508, "loop_detected");
        } else {
            reply.expect(status);
        }
    }
    api.settle().await;

    let hops: Vec<_> = api.network.seen();
    let mut hops: Vec<_> = hops
        .iter()
        .map(|sent| &sent.headers["webhook-hops"])
        .collect();
    hops.sort_by_key(|value| value.to_str().unwrap().to_owned());
    assert_eq!(hops, ["1", "4"]);
    assert_eq!(api.requests("reason=loop_detected").await.len(), 1);
}

#[tokio::test]
async fn a_path_that_climbs_is_no_inbound_url() {
    let api = TestApi::new().await;
    let path = set_up(&api, json!({"deliverAs": "request"})).await;

    for suffix in ["/../x", "/%2e%2e/x", "//x", "/a%2fb"] {
        let reply = api.push(&format!("{path}{suffix}"), "one", "{}").await;
        reply.expect_problem(404, "not_found");
    }
    api.push(&format!("{path}/"), "one", "{}").await.expect(200);
    let request = &api.requests("").await[0];
    assert_eq!(request["path"], "/in/***/");
    let replay = format!("{REQUESTS}/{}/replay", request["id"].as_str().unwrap());
    let again = api
        .post(&replay, r#"{"deduplicate": false}"#)
        .await
        .expect(200);
    let again = format!("{REQUESTS}/{}", again["requestId"].as_str().unwrap());
    let again = api.get(&again).await.expect(200);
    assert_eq!(again["path"], "/in/***/");
}

#[tokio::test]
async fn faults_in_what_is_to_be_forwarded_are_named() {
    let api = TestApi::new().await;
    set_up(&api, json!({})).await;

    let form = api.patch(HOOK, r#"{"deliverAs": "raw"}"#).await;
    form.expect_faults(&["body.deliverAs"]);
    let header = api.patch(HOOK, r#"{"forwardHeaders": ["a b"]}"#).await;
    header.expect_faults(&["body.forwardHeaders"]);
}

#[tokio::test]
async fn a_customer_in_the_portal_cannot_ask_for_requests() {
    let api = TestApi::new().await;
    set_up(&api, json!({})).await;
    let access = "/api/v1/auth/app-portal-access/acme";
    let token = api.post(access, "{}").await.expect(200);
    let token = token["token"].as_str().unwrap();

    for (body, place) in [
        (r#"{"deliverAs": "request"}"#, "body.deliverAs"),
        (r#"{"forwardHeaders": null}"#, "body.forwardHeaders"),
    ] {
        let reply = call_as(&api, token, Method::PATCH, HOOK, body).await;
        reply.expect_faults(&[place]);
    }
    let other = call_as(&api, token, Method::PATCH, HOOK, r#"{"description": "x"}"#).await;
    other.expect(200);
}

use bytes::Bytes;
use domain::InboundId;

use super::*;

fn origin(path: &str, headers: &str) -> Origin {
    Origin {
        request: InboundId::from_bits(1),
        method: "POST".into(),
        path: path.into(),
        peer: "192.0.2.7".into(),
        headers: Bytes::copy_from_slice(headers.as_bytes()),
        body: None,
    }
}

fn url(text: &str) -> Arc<TargetUrl> {
    Arc::new(TargetUrl::parse(text).unwrap())
}

const RECEIVED: &str = "host: hooks.example.com\nx-github-event: push\nauthorization: ***\n\
    connection: close, X-Internal\nx-internal: 1\ncookie: a=b\nx-forwarded-for: 10.0.0.1\n\
    webhook-signature: v1,x\nwebhook-hops: 2\nuser-agent: GitHub\ncontent-type: text/plain\n\
    x-gitlab-token: ***\nposthaste-from-x: forged\n";

#[test]
fn a_message_has_the_providers_headers_beside_it() {
    let mut headers = HeaderMap::new();
    let origin = origin("/in/***", RECEIVED);

    add_beside(&mut headers, &origin, None, ForwardLimits::default());

    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["posthaste-from-user-agent", "posthaste-from-x-github-event"]
    );
    assert_eq!(headers["posthaste-from-x-github-event"], "push");
}

#[test]
fn a_request_as_it_came_keeps_the_names_and_the_providers_signature() {
    let origin = origin("/in/***", RECEIVED);

    let headers = as_it_came(&origin, None, ForwardLimits::default());

    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-type",
            "user-agent",
            "webhook-signature",
            "x-forwarded-for",
            "x-github-event"
        ]
    );
    assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
}

#[test]
fn only_the_headers_that_are_asked_for_are_passed_on() {
    let filter = HeaderFilter::parse(&["x-*", "authorization"]).unwrap();
    let origin = origin("/in/***", RECEIVED);
    let mut beside = HeaderMap::new();

    add_beside(
        &mut beside,
        &origin,
        Some(&filter),
        ForwardLimits::default(),
    );
    let raw = as_it_came(&origin, Some(&filter), ForwardLimits::default());

    assert_eq!(beside.len(), 1);
    assert_eq!(raw.len(), 2, "{raw:?}");
}

#[test]
fn headers_beyond_the_limits_are_left_out() {
    let long = "x".repeat(100);
    let many = origin("/in/***", &format!("a: {long}\nb: 2\nc: 3\nd: 4\n"));
    let limits = ForwardLimits {
        headers: 2,
        header_bytes: 50,
    };

    let headers = as_it_came(&many, None, limits);

    let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["b", "c", "x-forwarded-for"]);
}

#[test]
fn the_hops_of_the_request_are_counted_on() {
    assert_eq!(hops(None), 1);
    assert_eq!(hops(Some(&origin("/in/***", "a: b\n"))), 1);
    assert_eq!(hops(Some(&origin("/in/***", RECEIVED))), 3);
    let nonsense = origin("/in/***", "webhook-hops: many\n");
    assert_eq!(hops(Some(&nonsense)), 1);
}

#[test]
fn path_and_query_follow_those_of_the_endpoint() {
    let own = url("https://a.example/hook?k=v");
    for (path, wanted) in [
        ("/in/***", "https://a.example/hook?k=v"),
        ("/in/***/x/y", "https://a.example/hook/x/y?k=v"),
        ("/in/***?a=1&b", "https://a.example/hook?k=v&a=1&b"),
        (
            "/in/***/x?token=***&a=1",
            "https://a.example/hook/x?k=v&a=1",
        ),
        ("/in/***?***", "https://a.example/hook?k=v"),
    ] {
        let made = target(&own, &origin(path, "")).unwrap();
        assert_eq!(made.as_str(), wanted, "{path}");
    }
    let bare = url("https://a.example");
    let made = target(&bare, &origin("/in/***/x", "")).unwrap();
    assert_eq!(made.as_str(), "https://a.example/x");
}

#[test]
fn a_path_that_leads_elsewhere_is_not_followed() {
    let own = url("https://a.example/hook");
    for path in ["/in/***/../admin", "/in/***/%2e%2e/admin", "/in/***//b"] {
        assert!(target(&own, &origin(path, "")).is_err(), "{path}");
    }
}

#[test]
fn a_method_that_is_none_for_a_webhook_is_post() {
    let with = |method: &str| {
        let origin = Origin {
            method: method.into(),
            ..origin("/in/***", "")
        };
        super::method(&origin)
    };
    assert_eq!(with("PUT"), Method::PUT);
    assert_eq!(with("CONNECT"), Method::POST);
    assert_eq!(with("TRACE"), Method::POST);
}

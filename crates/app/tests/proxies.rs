//! Addresses that a source takes requests from, behind proxies that are believed and others.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use serde_json::json;
use testkit::{Launch, TestServer};

const PROVIDER: &str = "203.0.113.7";

/// A server, and the path of a source that takes requests from the provider's network alone.
async fn server(trusted: &str) -> (TestServer, String) {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    let launch = launch.set("SERVER__TRUSTED_PROXIES", trusted);
    let server = launch.start().await;
    server.api.create_application("shop").await;
    let source = json!({
        "name": "x", "provider": "github", "verify": "none", "allowedIps": ["203.0.113.0/24"],
    });
    let path = "/api/v1/app/shop/source";
    let made = server.api.post(path, source.to_string()).await.expect(201);
    let (_, token) = made["url"].as_str().unwrap().split_once("/in/").unwrap();
    let path = format!("/in/{token}");
    (server, path)
}

async fn answered(server: &TestServer, path: &str, forwarded: &[&str]) -> u16 {
    let header = |value: &&str| ("x-forwarded-for".to_owned(), (*value).to_owned());
    let headers: Vec<_> = forwarded.iter().map(header).collect();
    let answer = server.api.deliver(("POST", path), &headers, "{}").await;
    answer.status
}

#[tokio::test]
async fn a_trusted_proxy_says_where_a_request_comes_from() {
    let (server, path) = server("127.0.0.0/8,10.0.0.0/8").await;

    for (forwarded, status) in [
        (vec![PROVIDER], 200),
        (vec!["203.0.113.7, 10.1.2.3"], 200),
        (vec![PROVIDER, "10.1.2.3"], 200),
        (vec!["198.51.100.1"], 403),
        // What the sender wrote itself stands before what the proxy saw.
        (vec!["203.0.113.7, 198.51.100.1"], 403),
        (vec!["203.0.113.7, nonsense"], 403),
        (vec![], 403),
    ] {
        let found = answered(&server, &path, &forwarded).await;
        assert_eq!(found, status, "{forwarded:?}");
    }
    let list = "/api/v1/app/shop/request?verdict=accepted&peer=203.0.113.7";
    let list = server.api.get(list).await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_proxy_that_is_not_named_is_not_believed() {
    let (server, path) = server("10.0.0.0/8").await;

    assert_eq!(answered(&server, &path, &[PROVIDER]).await, 403);
}

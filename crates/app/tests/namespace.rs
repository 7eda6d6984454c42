//! The rows B1 to B8, B12 and B13 of what posthaste promises about addresses, against the built
//! program and with addresses that really answer.
//!
//! Each test runs itself once more in a network of its own (`unshare`), in which the metadata
//! service, a private host and a public one are listeners of the test's, and so is the resolver.
//! What passes is that nobody has connected to where nobody may.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

#[path = "namespace/dns.rs"]
mod dns;
#[path = "namespace/net.rs"]
mod net;

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Launch, TestServer, eventually_some};

use dns::{Says, both, ip};
use net::{METADATA, Net, PRIVATE, PUBLIC};

const PATIENCE: Duration = Duration::from_secs(30);

/// With `http://` allowed, as there is nobody to certify the names here, and one attempt each.
fn guarded() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_posthaste"))
        .guarded()
        .set("EGRESS__ALLOW_HTTP", "true")
        .retries("0s")
}

async fn shop(launch: Launch) -> TestServer {
    let server = launch.start().await;
    server.api.create_application("shop").await;
    server
}

async fn endpoint(server: &TestServer, url: &str) -> String {
    let endpoint = json!({"url": url});
    server.api.create_endpoint("shop", &endpoint).await.id
}

async fn forget(server: &TestServer, endpoint: &str) {
    let path = format!("/api/v1/app/shop/endpoint/{endpoint}");
    assert_eq!(server.api.delete(&path).await.status, 204);
}

/// Publishes one message; the outcome of its only attempt.
async fn attempt(server: &TestServer) -> Value {
    let message = server.api.publish("shop", "{}").await;
    let path = format!("/api/v1/app/shop/attempt/msg/{message}");
    eventually_some("an attempt", PATIENCE, async || {
        let list = server.api.get(&path).await.expect(200);
        list["data"].as_array().unwrap().first().cloned()
    })
    .await
}

fn class(attempt: &Value) -> &str {
    attempt["error"]["class"].as_str().unwrap_or("none")
}

#[tokio::test]
async fn b1_a_name_that_is_rebound_leads_nowhere_else() {
    const FLIPS: usize = 1000;
    let Some(net) = Net::enter() else { return };
    net.dns
        .says("rebound.test", Says::InTurn(vec![ip(PUBLIC), ip(METADATA)]));
    // One after the other, each over a connection of its own: each looks the name up.
    let launch = guarded()
        .set("DELIVERY__CONCURRENCY_START", "1")
        .set("DELIVERY__CONCURRENCY_MAX", "1");
    let server = shop(launch).await;
    let id = endpoint(&server, "http://rebound.test/close").await;

    server.api.publish_batch("shop", vec!["{}"; FLIPS]).await;
    let path = format!("/api/v1/app/shop/endpoint/{id}/stats");
    let stats = eventually_some("all outcomes", PATIENCE, async || {
        let stats = server.api.get(&path).await.expect(200);
        let done = stats["success"].as_u64().unwrap() + stats["fail"].as_u64().unwrap();
        (done >= FLIPS as u64).then_some(stats)
    })
    .await;

    assert!(stats["success"].as_u64().unwrap() > 0, "{stats}");
    assert!(stats["fail"].as_u64().unwrap() > 0, "{stats}");
    let queries = net.dns.queries("rebound.test");
    assert!(queries > FLIPS, "only {queries} questions; {stats}");
    net.assert_untouched();
}

#[tokio::test]
async fn b2_a_name_with_one_forbidden_address_is_refused_as_a_whole() {
    let Some(net) = Net::enter() else { return };
    net.dns.says("mixed.test", both(&[PUBLIC, "127.0.0.1"]));
    let server = shop(guarded()).await;
    endpoint(&server, "http://mixed.test/").await;

    let attempt = attempt(&server).await;

    assert_eq!(class(&attempt), "destination_not_allowed", "{attempt}");
    assert_eq!(net.public.connections(), 0);
    net.assert_untouched();
}

#[tokio::test]
async fn b3_a_forbidden_address_of_the_other_family_refuses_the_name() {
    let Some(net) = Net::enter() else { return };
    let server = shop(guarded()).await;
    for hidden in ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00:ec2::254"] {
        net.dns.says("mixed.test", both(&[PUBLIC, hidden]));
        let id = endpoint(&server, "http://mixed.test/").await;

        let attempt = attempt(&server).await;

        assert_eq!(
            class(&attempt),
            "destination_not_allowed",
            "{hidden}: {attempt}"
        );
        assert_eq!(net.public.connections(), 0, "{hidden}");
        forget(&server, &id).await;
    }
    net.assert_untouched();
}

#[tokio::test]
async fn b4_answers_that_lead_nowhere_end_in_time_and_slow_nobody() {
    let Some(net) = Net::enter() else { return };
    for hop in 0..20 {
        let next = format!("hop{}.test", hop + 1);
        net.dns.says(&format!("hop{hop}.test"), Says::Alias(next));
    }
    net.dns.says("hop20.test", both(&[METADATA]));
    net.dns
        .says("loop.test", Says::Alias("pool.test".to_owned()));
    net.dns
        .says("pool.test", Says::Alias("loop.test".to_owned()));
    net.dns.says("crowd.test", both(&vec![METADATA; 1000]));
    net.dns.says("failing.test", Says::Code(2));
    net.dns.says("refused.test", Says::Code(5));
    net.dns.says("silent.test", Says::Nothing);
    net.dns.says("healthy.test", both(&[PUBLIC]));
    let launch = guarded().set("EGRESS__DNS_TIMEOUT", "2s");
    let server = shop(launch).await;
    let names = [
        "hop0.test",
        "loop.test",
        "crowd.test",
        "failing.test",
        "refused.test",
        "silent.test",
        "missing.test",
    ];
    for name in names {
        endpoint(&server, &format!("http://{name}/")).await;
    }
    let healthy = endpoint(&server, "http://healthy.test/").await;

    let message = server.api.publish("shop", "{}").await;
    let path = format!("/api/v1/app/shop/attempt/msg/{message}");
    let attempts = eventually_some("an attempt of each", PATIENCE, async || {
        let list = server.api.get(&path).await.expect(200);
        let attempts = list["data"].as_array().unwrap().clone();
        (attempts.len() == names.len() + 1).then_some(attempts)
    })
    .await;

    for attempt in &attempts {
        let took = attempt["responseDurationMs"].as_u64().unwrap();
        let is_healthy = attempt["endpointId"] == *healthy;
        assert_eq!(attempt["status"] == 0, is_healthy, "{attempt}");
        let bound = if is_healthy { 1_000 } else { 3_000 };
        assert!(took < bound, "{attempt}");
    }
    net.assert_untouched();
}

#[tokio::test]
async fn b5_no_redirect_is_followed() {
    let Some(net) = Net::enter() else { return };
    net.dns.says("public.test", both(&[PUBLIC]));
    let server = shop(guarded()).await;
    let answers = [
        (301, "redirect/301"),
        (302, "redirect/302"),
        (303, "redirect/303"),
        (307, "redirect/307"),
        (308, "redirect/308"),
        (302, "relative"),
        (300, "alternative"),
        (200, "refresh"),
    ];
    for (status, path) in answers {
        let before = net.public.connections();
        let id = endpoint(&server, &format!("http://public.test/{path}")).await;

        let attempt = attempt(&server).await;

        assert_eq!(attempt["responseStatusCode"], status, "{path}");
        assert_eq!(attempt["status"] == 0, status == 200, "{path}");
        assert_eq!(net.public.connections(), before + 1, "{path}");
        forget(&server, &id).await;
    }
    net.assert_untouched();
}

#[tokio::test]
async fn b6_a_kept_connection_does_not_move_with_its_name() {
    let Some(net) = Net::enter() else { return };
    net.dns.says("moving.test", both(&[PUBLIC]));
    let server = shop(guarded()).await;
    endpoint(&server, "http://moving.test/").await;
    let first = attempt(&server).await;

    net.dns.says("moving.test", both(&[PRIVATE]));
    for _ in 0..5 {
        let next = attempt(&server).await;
        let is_refused = class(&next) == "destination_not_allowed";
        assert!(next["status"] == 0 || is_refused, "{next}");
    }

    assert_eq!(first["status"], 0, "{first}");
    assert!(net.public.connections() >= 1);
    net.assert_untouched();
}

#[tokio::test]
async fn b7_an_endpoint_that_was_saved_before_the_filter_is_refused_after() {
    let Some(net) = Net::enter() else { return };
    let data = tempfile::tempdir().unwrap();
    let open = Launch::new(env!("CARGO_BIN_EXE_posthaste")).retries("0s");
    let open = open.set("EGRESS__ALLOW", "169.254.169.254/32");
    let mut open = shop(open.data(data.path())).await;
    endpoint(&open, &format!("http://{PRIVATE}/")).await;
    endpoint(&open, &format!("http://{METADATA}/")).await;
    open.kill();

    let server = guarded().data(data.path()).start().await;
    let message = server.api.publish("shop", "{}").await;
    let path = format!("/api/v1/app/shop/attempt/msg/{message}");
    let attempts = eventually_some("both attempts", PATIENCE, async || {
        let list = server.api.get(&path).await.expect(200);
        let attempts = list["data"].as_array().unwrap().clone();
        (attempts.len() == 2).then_some(attempts)
    })
    .await;

    for attempt in attempts {
        assert_eq!(class(&attempt), "destination_not_allowed", "{attempt}");
    }
    net.assert_untouched();
}

#[tokio::test]
async fn b8_a_proxy_of_the_environment_is_not_used() {
    let Some(net) = Net::enter() else { return };
    net.dns.says("public.test", both(&[PUBLIC]));
    let mut launch = guarded();
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        launch = launch.variable(name, &format!("http://{PRIVATE}/"));
    }
    let server = shop(launch).await;
    endpoint(&server, "http://public.test/").await;

    let attempt = attempt(&server).await;

    assert_eq!(attempt["status"], 0, "{attempt}");
    net.assert_untouched();
}

#[tokio::test]
async fn b12_little_is_kept_of_a_private_answer_and_nothing_of_a_refused_one() {
    const KEPT_MAX: usize = 4 * 1024;
    let Some(net) = Net::enter() else { return };
    let launch = guarded().set("EGRESS__ALLOW", "10.0.0.0/8");
    let server = shop(launch).await;
    let private = endpoint(&server, &format!("http://{PRIVATE}/large")).await;

    let allowed = attempt(&server).await;

    assert_eq!(allowed["status"], 0, "{allowed}");
    let kept = allowed["response"].as_str().unwrap().len();
    assert!((1..=KEPT_MAX).contains(&kept), "{kept} bytes");
    forget(&server, &private).await;
    net.dns.says("inside.test", both(&[METADATA]));
    endpoint(&server, "http://inside.test/large").await;
    let refused = attempt(&server).await;
    assert_eq!(class(&refused), "destination_not_allowed");
    assert_eq!(refused["response"], "");
    assert_eq!(net.metadata.connections(), 0);
}

#[tokio::test]
async fn b13_a_listed_network_is_reached_and_the_metadata_service_only_by_name() {
    let Some(net) = Net::enter() else { return };
    net.dns.says("private.test", both(&[PRIVATE]));
    net.dns.says("metadata.test", both(&[METADATA]));
    // As wide as can be, and still not it.
    let launch = guarded().set("EGRESS__ALLOW", "10.0.0.0/8,168.0.0.0/6");
    let server = shop(launch).await;
    let listed = endpoint(&server, "http://private.test/").await;
    assert_eq!(attempt(&server).await["status"], 0);
    forget(&server, &listed).await;
    endpoint(&server, "http://metadata.test/").await;
    let refused = attempt(&server).await;
    assert_eq!(class(&refused), "destination_not_allowed", "{refused}");
    assert_eq!(net.metadata.connections(), 0);
    drop(server);

    let launch = guarded().set("EGRESS__ALLOW", "169.254.169.254/32");
    let server = shop(launch).await;
    endpoint(&server, "http://metadata.test/").await;
    assert_eq!(attempt(&server).await["status"], 0);
    assert_eq!(net.metadata.connections(), 1);
}

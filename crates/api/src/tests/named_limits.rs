//! Every named limit: what is at it passes, what is one above it is refused.
#![allow(
    clippy::needless_pass_by_value,
    reason = "bodies are made where they are used"
)]

use domain::Limits;
use serde_json::{Value, json};

use super::harness::TestApi;

const APP: &str = "/api/v1/app";
const ENDPOINT: &str = "/api/v1/app/acme/endpoint";
const HOOK: &str = "/api/v1/app/acme/endpoint/hook";
const MSG: &str = "/api/v1/app/acme/msg";
const TYPES: &str = "/api/v1/event-type";
const SOURCES: &str = "/api/v1/app/acme/source";
const KEYS: &str = "/api/v1/key";
const PORTAL: &str = "/api/v1/auth/app-portal-access/acme";

const INBOUND: &str = include_str!("inbound.rs");

/// Limits with exact tests of their own, for which one call is not enough.
const ELSEWHERE: [(&str, &str, &str); 8] = [
    (
        "inbound_messages",
        INBOUND,
        "an_array_of_too_many_items_is_one_message",
    ),
    (
        "rejected_bytes",
        INBOUND,
        "only_the_beginning_of_a_refused_body_is_kept",
    ),
    (
        "rejected_per_second",
        INBOUND,
        "only_so_many_refused_requests_are_kept",
    ),
    (
        "rejected_burst",
        INBOUND,
        "only_so_many_refused_requests_are_kept",
    ),
    (
        "refusal_delay",
        INBOUND,
        "refusals_are_answered_later_while_more_come_than_are_kept",
    ),
    (
        "idempotency_key_bytes",
        include_str!("named_limits.rs"),
        "an_idempotency_key_has_so_many_bytes",
    ),
    (
        "streams",
        include_str!("stream.rs"),
        "only_so_many_streams_are_open_at_once",
    ),
    (
        "schema_steps",
        include_str!("../../../schema/tests/check.rs"),
        "the_budget_of_steps_is_exact",
    ),
];

/// A limit, lowered, and the calls at it and beyond it.
struct Case {
    lower: fn(&mut Limits),
    path: &'static str,
    /// As often as is still allowed, each a call of its own.
    at: Vec<String>,
    above: String,
    code: &'static str,
}

fn case(lower: fn(&mut Limits), path: &'static str, body: impl Fn(usize) -> Value) -> Case {
    Case {
        lower,
        path,
        at: vec![body(0).to_string()],
        above: body(1).to_string(),
        code: "validation",
    }
}

/// One thing too many: each call makes one.
fn count(lower: fn(&mut Limits), path: &'static str, body: impl Fn(usize) -> Value) -> Case {
    Case {
        code: "limit_reached",
        ..case(lower, path, body)
    }
}

fn size(lower: fn(&mut Limits), path: &'static str, at: String, above: String) -> Case {
    Case {
        lower,
        path,
        at: vec![at],
        above,
        code: "payload_too_large",
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("n{n}")).collect()
}

fn map(count: usize) -> Value {
    names(count).into_iter().map(|name| (name, "x")).collect()
}

fn padded(text: &str, bytes: usize) -> String {
    let spaces = " ".repeat(bytes - text.len());
    format!("{text}{spaces}")
}

fn url(more: &Value) -> Value {
    let mut body = json!({"url": "https://example.com/"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn event_type(schemas: &Value) -> Value {
    json!({"name": "a", "description": "", "schemas": schemas})
}

fn message(more: &Value) -> Value {
    let mut body = json!({"eventType": "a", "payload": {}});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

/// What is sent for a limit; a limit that is not here fails the test.
fn case_of(limit: &str) -> Option<Case> {
    things(limit)
        .or_else(|| bodies(limit))
        .or_else(|| parts(limit))
        .or_else(|| endpoints(limit))
        .or_else(|| schemas(limit))
        .or_else(|| sources(limit))
}

fn source(more: &Value) -> Value {
    let mut body = json!({"name": "x", "provider": "github", "verify": "none"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn sources(limit: &str) -> Option<Case> {
    Some(match limit {
        "sources_per_application" => count(
            |all| all.sources_per_application = 1,
            SOURCES,
            |_| source(&json!({})),
        ),
        "secrets_per_source" => case(
            |all| all.secrets_per_source = 2,
            SOURCES,
            |n| source(&json!({"secrets": names(2 + n)})),
        ),
        "inbound_bytes" => case(
            |all| all.inbound_bytes = 100,
            SOURCES,
            |n| source(&json!({"maxBodyBytes": 100 + n})),
        ),
        "deduplication_window" => case(
            |all| all.deduplication_window = std::time::Duration::from_mins(1),
            SOURCES,
            |n| source(&json!({"deduplication": {"windowSeconds": 60 + n}})),
        ),
        _ => return None,
    })
}

fn things(limit: &str) -> Option<Case> {
    Some(match limit {
        // `acme` is there already, and so are its endpoint and the key that asks.
        "applications" => count(|all| all.applications = 2, APP, |_| json!({"name": "x"})),
        "event_types" => count(
            |all| all.event_types = 1,
            TYPES,
            |n| json!({"name": format!("t{n}"), "description": ""}),
        ),
        "keys" => count(
            |all| all.keys = 2,
            KEYS,
            |_| json!({"name": "x", "scope": "read"}),
        ),
        "endpoints_per_application" => count(
            |all| all.endpoints_per_application = 2,
            ENDPOINT,
            |_| url(&json!({})),
        ),
        "jobs_per_application" => count(
            |all| all.jobs_per_application = 1,
            "/api/v1/app/acme/replay",
            |_| json!({"rate": 1}),
        ),
        "secrets_per_endpoint" => count(
            |all| all.secrets_per_endpoint = 2,
            "/api/v1/app/acme/endpoint/hook/secret/rotate",
            |_| json!({}),
        ),
        _ => return None,
    })
}

fn bodies(limit: &str) -> Option<Case> {
    let text = |n: usize| "x".repeat(n);
    let app = r#"{"name": "x"}"#;
    let batch = r#"{"messages": [{"eventType": "a", "payload": 1}]}"#;
    Some(match limit {
        "payload_bytes" => size(
            |all| all.payload_bytes = 100,
            MSG,
            message(&json!({"payload": text(98)})).to_string(),
            message(&json!({"payload": text(99)})).to_string(),
        ),
        "body_bytes" => size(
            |all| all.body_bytes = 200 * 1024,
            APP,
            padded(app, 200 * 1024),
            padded(app, 200 * 1024 + 1),
        ),
        "batch_bytes" => size(
            |all| all.batch_bytes = 100,
            "/api/v1/app/acme/msg/batch",
            padded(batch, 100),
            padded(batch, 101),
        ),
        "bodies_bytes" => Case {
            code: "busy",
            ..size(
                |all| all.bodies_bytes = 100 * 1024,
                "/api/v1/app/acme/msg/batch",
                padded(batch, 100 * 1024),
                padded(batch, 100 * 1024 + 1),
            )
        },
        "batch_messages" => case(
            |all| all.batch_messages = 3,
            "/api/v1/app/acme/msg/batch",
            |n| json!({"messages": vec![message(&json!({})); 3 + n]}),
        ),
        _ => return None,
    })
}

fn parts(limit: &str) -> Option<Case> {
    let text = |n: usize| "é".repeat(n);
    Some(match limit {
        "channels" => case(
            |all| all.channels = 3,
            MSG,
            |n| message(&json!({"channels": names(3 + n)})),
        ),
        "tags" => case(
            |all| all.tags = 3,
            MSG,
            |n| message(&json!({"tags": names(3 + n)})),
        ),
        "name_chars" => case(
            |all| all.name_chars = 5,
            APP,
            |n| json!({"name": text(5 + n)}),
        ),
        "description_chars" => case(
            |all| all.description_chars = 5,
            TYPES,
            |n| json!({"name": "a", "description": text(5 + n)}),
        ),
        "metadata_entries" => case(
            |all| all.metadata_entries = 3,
            APP,
            |n| json!({"name": "x", "metadata": map(3 + n)}),
        ),
        "metadata_bytes" => case(
            |all| all.metadata_bytes = 10,
            APP,
            |n| json!({"name": "x", "metadata": {"key": "x".repeat(7 + n)}}),
        ),
        "portal_flags" => case(
            |all| all.portal_flags = 3,
            PORTAL,
            |n| json!({"featureFlags": names(3 + n)}),
        ),
        "portal_sessions" => case(
            |all| all.portal_sessions = 3,
            "/api/v1/auth/app/acme/expire-all",
            |n| json!({"sessionIds": names(3 + n)}),
        ),
        "session_chars" => case(
            |all| all.session_chars = 5,
            PORTAL,
            |n| json!({"sessionId": text(5 + n)}),
        ),
        _ => return None,
    })
}

fn endpoints(limit: &str) -> Option<Case> {
    const HEADERS: &str = "/api/v1/app/acme/endpoint/hook/headers";
    Some(match limit {
        "event_types_per_endpoint" => case(
            |all| all.event_types_per_endpoint = 3,
            ENDPOINT,
            |n| url(&json!({"filterTypes": names(3 + n)})),
        ),
        "endpoint_headers" => case(
            |all| all.endpoint_headers = 3,
            HEADERS,
            |n| json!({"headers": map(3 + n)}),
        ),
        "endpoint_header_bytes" => case(
            |all| all.endpoint_header_bytes = 5,
            HEADERS,
            |n| json!({"headers": {"x-a": "x".repeat(5 + n)}}),
        ),
        "url_chars" => case(
            |all| all.url_chars = 40,
            ENDPOINT,
            |n| json!({"url": format!("https://example.com/{}", "x".repeat(20 + n))}),
        ),
        "retry_attempts" => case(
            |all| all.retry_attempts = 3,
            ENDPOINT,
            |n| url(&json!({"retrySchedule": vec![0; 3 + n]})),
        ),
        "retry_total" => case(
            |all| all.retry_total = std::time::Duration::from_hours(1),
            ENDPOINT,
            |n| url(&json!({"retrySchedule": [0, 3_600 + n]})),
        ),
        "endpoint_timeout" => case(
            |all| all.endpoint_timeout = std::time::Duration::from_secs(30),
            ENDPOINT,
            |n| url(&json!({"timeoutSeconds": 30 + n})),
        ),
        "endpoint_concurrency" => case(
            |all| all.endpoint_concurrency = 10,
            ENDPOINT,
            |n| url(&json!({"maxConcurrency": 10 + n})),
        ),
        _ => return None,
    })
}

fn schemas(limit: &str) -> Option<Case> {
    Some(match limit {
        "schema_bytes" => case(
            |all| all.schema_bytes = 100,
            TYPES,
            // `{"1":{"title":"…"}}` around the text.
            |n| event_type(&json!({"1": {"title": "x".repeat(82 + n)}})),
        ),
        "schema_versions" => case(
            |all| all.schema_versions = 3,
            TYPES,
            |n| {
                let versions = names(3 + n).into_iter().map(|name| (name, json!({})));
                event_type(&versions.collect::<Value>())
            },
        ),
        "schema_nodes" => case(
            |all| all.schema_nodes = 3,
            TYPES,
            |n| event_type(&json!({"1": {"allOf": vec![json!({}); 2 + n]}})),
        ),
        "schema_patterns" => case(
            |all| all.schema_patterns = 3,
            TYPES,
            |n| event_type(&json!({"1": {"patternProperties": patterns(3 + n)}})),
        ),
        _ => return None,
    })
}

fn patterns(count: usize) -> Value {
    names(count)
        .into_iter()
        .map(|name| (name, json!({})))
        .collect()
}

/// The fields of the limits, read off their debug form: nobody has to remember to add one here.
fn all_limits() -> Vec<String> {
    let shown = format!("{:#?}", Limits::default());
    let fields = shown.lines().filter_map(|line| line.strip_prefix("    "));
    fields
        .filter_map(|line| line.split_once(": "))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with(' '))
        .collect()
}

async fn send(api: &TestApi, case: &Case, body: &str) -> super::harness::Reply {
    if case.path.ends_with("/headers") {
        api.put(case.path, body).await
    } else {
        api.post(case.path, body).await
    }
}

async fn prepared(case: &Case) -> TestApi {
    let mut limits = Limits::default();
    (case.lower)(&mut limits);
    let api = TestApi::with_limits(limits).await;
    api.acme().await;
    let body = r#"{"url": "https://example.com/hook", "uid": "hook"}"#;
    api.post(ENDPOINT, body).await.expect(201);
    api.post(&format!("{HOOK}/pause"), "").await.expect(200);
    api
}

#[tokio::test(start_paused = true)]
async fn every_limit_lets_pass_what_is_at_it_and_refuses_one_more() {
    for limit in all_limits() {
        if ELSEWHERE.iter().any(|(name, _, _)| *name == limit) {
            continue;
        }
        let case = case_of(&limit).unwrap_or_else(|| panic!("{limit} has no case here"));
        let api = prepared(&case).await;
        for body in &case.at {
            let reply = send(&api, &case, body).await;
            let body = String::from_utf8_lossy(&reply.bytes);
            assert!(reply.status.is_success(), "at {limit}: {body}");
        }

        let refused = send(&api, &case, &case.above).await;

        let status = match case.code {
            "validation" => 422,
            "limit_reached" => 409,
            "busy" => 503,
            _ => 413,
        };
        assert_eq!(refused.status, status, "above {limit}");
        let said = refused.expect_problem(status, case.code).to_string();
        if case.code == "limit_reached" {
            assert!(said.contains(&limit), "{limit}: {said}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idempotency_key_has_so_many_bytes() {
    let api = TestApi::with_limits(Limits {
        idempotency_key_bytes: 5,
        ..Limits::default()
    })
    .await;
    let body = r#"{"name": "x"}"#;

    api.post_keyed(APP, "12345", body).await.expect(201);
    let refused = api.post_keyed(APP, "123456", body).await;
    refused.expect_faults(&["header.idempotency-key"]);
}

#[test]
fn limits_that_are_tested_elsewhere_are() {
    let all = all_limits();
    for (limit, file, test) in ELSEWHERE {
        assert!(all.iter().any(|name| name == limit), "{limit}");
        assert!(file.contains(&format!("fn {test}()")), "{test}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_has_so_many_items() {
    let api = TestApi::new().await;

    api.get("/api/v1/app?limit=250").await.expect(200);
    for limit in ["0", "251"] {
        let refused = api.get(&format!("/api/v1/app?limit={limit}")).await;
        refused.expect_faults(&["query.limit"]);
    }
}

/// Names have a grammar, and with it a length that no setting changes.
#[tokio::test(start_paused = true)]
async fn names_have_so_many_characters() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let long = |n: usize| "x".repeat(n);
    for (path, field, at, body) in [
        (MSG, "eventType", 256, "message"),
        (MSG, "eventId", 256, "message"),
        (MSG, "orderingKey", 128, "message"),
        (MSG, "channels", 128, "message"),
        (MSG, "tags", 128, "message"),
        (APP, "uid", 256, "app"),
        (ENDPOINT, "uid", 256, "endpoint"),
        (TYPES, "name", 256, "type"),
        (TYPES, "featureFlag", 256, "type"),
    ] {
        let with = |n: usize| {
            let mut given = match body {
                "message" => message(&json!({})),
                "app" => json!({"name": "x"}),
                "endpoint" => url(&json!({})),
                _ => json!({"name": "a", "description": ""}),
            };
            let is_list = matches!(field, "channels" | "tags");
            given[field] = if is_list {
                json!([long(n)])
            } else {
                json!(long(n))
            };
            given.to_string()
        };
        let reply = api.post(path, &with(at)).await;
        assert!(reply.status.is_success(), "{field}: {:?}", reply.bytes);
        let refused = api.post(path, &with(at + 1)).await;
        assert_eq!(refused.status, 422, "{field}: {:?}", refused.bytes);
    }
}

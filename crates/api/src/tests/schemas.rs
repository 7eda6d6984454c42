//! Schemas that are enforced when a message is published.

use domain::Limits;
use serde_json::{Value, json};

use super::harness::TestApi;

const TYPES: &str = "/api/v1/event-type";
const MSG: &str = "/api/v1/app/acme/msg";

/// The identifiers of ordered items are integers.
fn order_type() -> Value {
    json!({
        "name": "order.placed", "description": "", "enforceSchema": true,
        "schemas": {"1": {
            "type": "object",
            "properties": {"items": {"items": {"properties": {"id": {"type": "integer"}}}}},
        }},
    })
}

async fn api_with_orders() -> TestApi {
    let api = TestApi::new().await;
    api.acme().await;
    let created = api.post(TYPES, &order_type().to_string()).await.expect(201);
    assert_eq!(created["enforceSchema"], true);
    api
}

fn order(id: &Value) -> Value {
    json!({"eventType": "order.placed", "payload": {"items": [{"id": id}]}})
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_does_not_match_is_refused_with_its_place() {
    let api = api_with_orders().await;

    api.post(MSG, &order(&json!(1)).to_string())
        .await
        .expect(202);
    let refused = api.post(MSG, &order(&json!("1")).to_string()).await;

    let detail = refused.expect_problem(422, "validation");
    assert_eq!(
        detail,
        json!([{
            "loc": ["body", "payload", "items", "0", "id"],
            "msg": "must be integer",
            "type": "schema_error",
        }])
    );
    let other = json!({"eventType": "order.canceled", "payload": {"items": [{"id": "1"}]}});
    api.post(MSG, &other.to_string()).await.expect(202);
}

#[tokio::test(start_paused = true)]
async fn a_batch_names_the_item_that_does_not_match_and_stores_nothing() {
    let api = api_with_orders().await;
    let batch = json!({"messages": [order(&json!(1)), order(&json!("x"))]});

    let refused = api.post(&format!("{MSG}/batch"), &batch.to_string()).await;

    refused.expect_faults(&["body.messages.1.payload.items.0.id"]);
    assert_eq!(api.get(MSG).await.expect(200)["data"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn the_newest_version_counts_unless_the_message_names_one() {
    let api = api_with_orders().await;
    let schemas = json!({"schemas": {
        "1": {"properties": {"items": {"items": {"properties": {"id": {"type": "integer"}}}}}},
        "10": {"properties": {"items": {"items": {"properties": {"id": {"type": "string"}}}}}},
    }});
    let path = format!("{TYPES}/order.placed");
    api.patch(&path, &schemas.to_string()).await.expect(200);

    let mut old = order(&json!(1));
    api.post(MSG, &order(&json!("1")).to_string())
        .await
        .expect(202);
    let refused = api.post(MSG, &old.to_string()).await;
    refused.expect_faults(&["body.payload.items.0.id"]);
    old["schemaVersion"] = json!("1");
    api.post(MSG, &old.to_string()).await.expect(202);
    old["schemaVersion"] = json!("2");
    let refused = api.post(MSG, &old.to_string()).await;
    refused.expect_faults(&["body.schemaVersion"]);
}

/// Each change counts for the very next publish.
#[tokio::test(start_paused = true)]
async fn switching_it_off_archiving_and_erasing_end_the_enforcement() {
    let api = api_with_orders().await;
    let path = format!("{TYPES}/order.placed");
    let bad = order(&json!("1")).to_string();
    api.post(MSG, &bad).await.expect_problem(422, "validation");

    api.patch(&path, r#"{"enforceSchema": false}"#)
        .await
        .expect(200);
    api.post(MSG, &bad).await.expect(202);
    api.patch(&path, r#"{"enforceSchema": true}"#)
        .await
        .expect(200);
    api.post(MSG, &bad).await.expect_problem(422, "validation");
    api.delete(&path).await.expect(204);
    api.post(MSG, &bad).await.expect(202);
    api.post(TYPES, &order_type().to_string()).await.expect(201);
    api.post(MSG, &bad).await.expect_problem(422, "validation");
    api.delete(&format!("{path}?expunge=true"))
        .await
        .expect(204);
    api.post(MSG, &bad).await.expect(202);
}

/// Clients that know nothing of the field replace the rest of the event type.
#[tokio::test(start_paused = true)]
async fn replacing_an_event_type_leaves_the_enforcement_as_it_is() {
    let api = api_with_orders().await;
    let path = format!("{TYPES}/order.placed");

    let body = json!({"description": "new", "schemas": order_type()["schemas"]});
    let put = api.put(&path, &body.to_string()).await.expect(200);

    assert_eq!(put["enforceSchema"], true);
    // Without schemas there would be nothing to enforce.
    let put = api.put(&path, r#"{"description": "new"}"#).await;
    put.expect_faults(&["body.enforceSchema"]);
}

#[tokio::test(start_paused = true)]
async fn a_schema_is_checked_when_it_is_written() {
    let api = TestApi::new().await;
    let with = |schema: Value, enforce: bool| {
        json!({"name": "a", "description": "", "enforceSchema": enforce, "schemas": {"1": schema}})
            .to_string()
    };

    for (schema, place) in [
        (
            json!({"properties": {"a": {"type": "strin"}}}),
            "body.schemas.1.properties.a.type",
        ),
        (
            json!({"items": {"pattern": "(?=x)"}}),
            "body.schemas.1.items.pattern",
        ),
        (
            json!({"$ref": "https://example.com/x"}),
            "body.schemas.1.$ref",
        ),
    ] {
        for enforce in [true, false] {
            let refused = api.post(TYPES, &with(schema.clone(), enforce)).await;
            refused.expect_faults(&[place]);
        }
    }
    let refused = api.post(
        TYPES,
        r#"{"name": "a", "description": "", "enforceSchema": true}"#,
    );
    refused.await.expect_faults(&["body.enforceSchema"]);
    // An earlier draft is kept for people to read, and cannot be enforced.
    let draft = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{}]});
    let refused = api.post(TYPES, &with(draft.clone(), true)).await;
    refused.expect_faults(&["body.schemas.1.$schema"]);
    api.post(TYPES, &with(draft, false)).await.expect(201);
    let refused = api
        .patch(&format!("{TYPES}/a"), r#"{"enforceSchema": true}"#)
        .await;
    refused.expect_faults(&["body.schemas.1.$schema"]);
}

#[tokio::test(start_paused = true)]
async fn a_raw_payload_is_held_to_the_schema_too() {
    let api = api_with_orders().await;
    let raw = |text: &str| {
        json!({
            "eventType": "order.placed", "payload": {},
            "transformationsParams": {"rawPayload": text},
        })
        .to_string()
    };

    api.post(MSG, &raw(r#"{"items": []}"#)).await.expect(202);
    let refused = api.post(MSG, &raw("plain text")).await;
    refused.expect_faults(&["body.payload"]);
    let refused = api.post(MSG, &raw(r#"{"items": [{"id": null}]}"#)).await;
    refused.expect_faults(&["body.payload.items.0.id"]);
}

/// It is checked on another thread; nothing else differs.
#[tokio::test(start_paused = true)]
async fn a_large_payload_is_held_to_the_schema_too() {
    let api = api_with_orders().await;
    let mut large = order(&json!("1"));
    large["payload"]["note"] = json!("x".repeat(100_000));

    let refused = api.post(MSG, &large.to_string()).await;

    refused.expect_faults(&["body.payload.items.0.id"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_schema_may_hold_and_cost_is_limited() {
    let limits = Limits {
        schema_nodes: 3,
        schema_patterns: 1,
        schema_steps: 3,
        schema_bytes: 200,
        ..Limits::default()
    };
    let api = TestApi::with_limits(limits).await;
    api.acme().await;
    let with = |schema: Value| {
        json!({"name": "a", "description": "", "enforceSchema": true, "schemas": {"1": schema}})
            .to_string()
    };

    let refused = api.post(TYPES, &with(json!({"allOf": [{}, {}, {}]}))).await;
    refused.expect_faults(&["body.schemas.1"]);
    let patterns = json!({"patternProperties": {"a": {}, "b": {}}});
    let refused = api.post(TYPES, &with(patterns)).await;
    refused.expect_faults(&["body.schemas.1.patternProperties.b"]);
    let refused = api
        .post(TYPES, &with(json!({"title": "x".repeat(200)})))
        .await;
    refused.expect_faults(&["body.schemas"]);
    let kept = json!({"items": {"type": "integer"}, "not": {"pattern": "x"}});
    let refused = api.post(TYPES, &with(kept)).await;
    refused.expect(201);
    // One step for the list, one for `not`, one for each item.
    let list = |items: Value| json!({"eventType": "a", "payload": items}).to_string();
    let refused = api.post(MSG, &list(json!([1, 2]))).await;
    refused.expect_faults(&["body.payload"]);
    let refused = api.post(MSG, &list(json!([1]))).await;
    refused.expect_faults(&["body.payload"]);
}

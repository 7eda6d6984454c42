//! Event types from an OpenAPI description.

use serde_json::{Value, json};

use super::harness::TestApi;

const PATH: &str = "/api/v1/event-type/import/openapi";

fn spec() -> Value {
    json!({
        "openapi": "3.1.0",
        "webhooks": {
            "content.published": {"post": {
                "summary": "A page went live",
                "requestBody": {"content": {"application/json": {
                    "schema": {"$ref": "#/components/schemas/Page"},
                }}},
            }},
            "content.deleted": {"post": {"description": "A page is gone", "deprecated": true}},
        },
        "components": {"schemas": {
            "Page": {"type": "object", "properties": {
                "author": {"$ref": "#/components/schemas/Author"},
            }},
            "Author": {"type": "string"},
            "Unused": {"type": "null"},
        }},
    })
}

async fn import(api: &TestApi, body: Value) -> Value {
    api.post(PATH, &body.to_string()).await.expect(200)["data"].clone()
}

#[tokio::test(start_paused = true)]
async fn webhooks_of_a_description_become_event_types() {
    let api = TestApi::new().await;

    let done = import(&api, json!({"spec": spec()})).await;

    assert_eq!(
        done,
        json!({"modified": ["content.deleted", "content.published"]})
    );
    let made = api
        .get("/api/v1/event-type/content.published")
        .await
        .expect(200);
    assert_eq!(made["description"], "A page went live");
    let schema = json!({
        "$ref": "#/$defs/Page",
        "$defs": {
            "Page": {"type": "object", "properties": {"author": {"$ref": "#/$defs/Author"}}},
            "Author": {"type": "string"},
        },
    });
    assert_eq!(made["schemas"], json!({"1": schema}));
    let made = api
        .get("/api/v1/event-type/content.deleted")
        .await
        .expect(200);
    assert_eq!(made["deprecated"], true);
    let again = import(&api, json!({"specRaw": spec().to_string()})).await;
    assert_eq!(again, json!({"modified": []}), "nothing is left to change");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing_and_says_what_would() {
    let api = TestApi::new().await;

    let would = import(&api, json!({"spec": spec(), "dryRun": true})).await;

    assert_eq!(would["modified"].as_array().unwrap().len(), 2);
    assert_eq!(would["to_modify"][0]["name"], "content.deleted");
    assert_eq!(would["to_modify"][1]["description"], "A page went live");
    let list = api.get("/api/v1/event-type").await.expect(200);
    assert_eq!(list["data"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn replacing_all_archives_what_the_description_does_not_have() {
    let api = TestApi::new().await;
    let other = r#"{"name": "other", "description": "", "featureFlag": "beta"}"#;
    api.post("/api/v1/event-type", other).await.expect(201);
    let known = r#"{"name": "content.deleted", "description": "", "featureFlag": "beta"}"#;
    api.post("/api/v1/event-type", known).await.expect(201);

    let done = import(&api, json!({"spec": spec(), "replaceAll": true})).await;

    assert_eq!(
        done["modified"],
        json!(["content.deleted", "content.published", "other"])
    );
    let other = api.get("/api/v1/event-type/other").await.expect(200);
    assert_eq!(other["archived"], true);
    let known = api
        .get("/api/v1/event-type/content.deleted")
        .await
        .expect(200);
    assert_eq!(
        known["featureFlag"], "beta",
        "the description knows of no flags"
    );
}

#[tokio::test(start_paused = true)]
async fn a_description_is_given_once_and_has_webhooks() {
    let api = TestApi::new().await;

    for (body, field) in [
        (json!({}), "body.spec"),
        (json!({"spec": {}, "specRaw": "{}"}), "body.specRaw"),
        (json!({"specRaw": "openapi: 3.1.0"}), "body.specRaw"),
        (json!({"spec": {"openapi": "3.0.0"}}), "body.spec"),
        (
            json!({"spec": {"webhooks": {"a": {}}}}),
            "body.spec.webhooks.a",
        ),
        (
            json!({"spec": {"webhooks": {"a b": {"post": {}}}}}),
            "body.spec.webhooks.a b",
        ),
    ] {
        let reply = api.post(PATH, &body.to_string()).await;
        reply.expect_faults(&[field]);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_by_whole_hours() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    api.publish(r#"{"eventType": "a", "payload": {}}"#).await;
    api.settle().await;
    let stats = "/api/v1/app/acme/endpoint/hook/attempt-stats";

    let all = api.get(stats).await.expect(200);
    let past = api
        .get(&format!("{stats}?until=2001-01-01T00:00:00Z"))
        .await
        .expect(200);

    assert_eq!(all, json!({"success": 1, "fail": 0, "canceled": 0}));
    assert_eq!(past, json!({"success": 0, "fail": 0, "canceled": 0}));
}

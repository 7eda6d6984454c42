//! `/api/v1/event-type`.

use serde_json::json;

use super::harness::TestApi;

const ALL: &str = "/api/v1/event-type";

#[tokio::test(start_paused = true)]
async fn an_event_type_is_created_with_its_schemas() {
    let api = TestApi::new().await;
    let body = r#"{"name": "a.b", "description": "x", "featureFlag": "beta",
                   "schemas": {"1": {"type": "object"}}}"#;

    let created = api.post(ALL, body).await.expect(201);

    assert_eq!(
        created,
        json!({
            "name": "a.b",
            "description": "x",
            "archived": false,
            "deprecated": false,
            "featureFlag": "beta",
            "featureFlags": ["beta"],
            "schemas": {"1": {"type": "object"}},
            "createdAt": "2026-01-01T00:00:00.000000Z",
            "updatedAt": "2026-01-01T00:00:00.000000Z",
        })
    );
    assert_eq!(api.get("/api/v1/event-type/a.b").await.expect(200), created);
    api.post(ALL, body).await.expect_problem(409, "conflict");
}

#[tokio::test(start_paused = true)]
async fn faults_of_an_event_type_are_named() {
    let api = TestApi::new().await;

    for (body, place) in [
        (
            r#"{"name": "no spaces here", "description": ""}"#,
            "body.name",
        ),
        (r#"{"name": "a\r\nb", "description": ""}"#, "body.name"),
        (r#"{"name": "a"}"#, "body.description"),
        (
            r#"{"name": "a", "description": "", "featureFlag": "a b"}"#,
            "body.featureFlag",
        ),
        (
            r#"{"name": "a", "description": "", "featureFlags": ["a", "b c"]}"#,
            "body.featureFlags.1",
        ),
        (
            r#"{"name": "a", "description": "", "featureFlag": "a", "featureFlags": ["b"]}"#,
            "body.featureFlag",
        ),
        (
            r#"{"name": "a", "description": "", "groupName": "a b"}"#,
            "body.groupName",
        ),
        (
            r#"{"name": "a", "description": "", "schemas": {"1": 2}}"#,
            "body.schemas.1",
        ),
        (
            r#"{"name": "a", "description": "", "schemas": []}"#,
            "body.schemas",
        ),
        (
            r#"{"name": "a", "description": "", "archived": "no"}"#,
            "body.archived",
        ),
    ] {
        api.post(ALL, body).await.expect_faults(&[place]);
    }
}

#[tokio::test(start_paused = true)]
async fn archived_ones_are_listed_on_request_and_revived_by_creating() {
    let api = TestApi::new().await;
    for name in ["b", "a"] {
        let body = format!(r#"{{"name": "{name}", "description": "x", "schemas": {{"1": {{}}}}}}"#);
        api.post(ALL, &body).await.expect(201);
    }
    api.delete("/api/v1/event-type/a").await.expect(204);
    let names = |list: &serde_json::Value| -> String {
        let data = list["data"].as_array().unwrap();
        data.iter()
            .map(|item| item["name"].as_str().unwrap())
            .collect()
    };

    let listed = api.get(ALL).await.expect(200);
    assert_eq!(names(&listed), "b");
    assert!(listed["data"][0].get("schemas").is_none());
    let listed = api
        .get(&format!("{ALL}?include_archived=true&with_content=true"))
        .await
        .expect(200);
    assert_eq!(names(&listed), "ab");
    assert_eq!(listed["data"][0]["schemas"], json!({"1": {}}));
    api.post(ALL, r#"{"name": "a", "description": "y"}"#)
        .await
        .expect(201);
    assert_eq!(names(&api.get(ALL).await.expect(200)), "ab");
    api.delete("/api/v1/event-type/a?expunge=true")
        .await
        .expect(204);
    api.get("/api/v1/event-type/a")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn put_creates_then_replaces_and_patch_clears() {
    let api = TestApi::new().await;
    let path = "/api/v1/event-type/a.b";

    let put = r#"{"description": "x", "featureFlag": "f", "schemas": {"1": {}}}"#;
    api.put(path, put).await.expect(201);
    let replaced = api
        .put(path, r#"{"description": "y", "schemas": {"2": {}}}"#)
        .await
        .expect(200);
    assert!(replaced.get("featureFlag").is_none());
    let patched = api
        .patch(path, r#"{"schemas": null, "deprecated": true}"#)
        .await
        .expect(200);

    assert_eq!(patched["description"], "y");
    assert_eq!(patched["deprecated"], true);
    assert!(patched.get("schemas").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_event_type_has_a_group_and_several_flags() {
    let api = TestApi::new().await;
    let path = "/api/v1/event-type/a.b";
    let body = r#"{"name": "a.b", "description": "", "groupName": "shop",
                   "featureFlags": ["beta", "gamma"]}"#;

    let created = api.post(ALL, body).await.expect(201);
    let kept = api.patch(path, r#"{"description": "x"}"#).await.expect(200);
    let sent_back = api.put(path, &kept.to_string()).await.expect(200);
    let cleared = r#"{"groupName": null, "featureFlags": null}"#;
    let cleared = api.patch(path, cleared).await.expect(200);

    for event_type in [created, kept, sent_back] {
        assert_eq!(event_type["groupName"], "shop");
        assert_eq!(event_type["featureFlag"], "beta");
        assert_eq!(event_type["featureFlags"], json!(["beta", "gamma"]));
    }
    for field in ["groupName", "featureFlag", "featureFlags"] {
        assert!(cleared.get(field).is_none(), "{field}: {cleared}");
    }
}

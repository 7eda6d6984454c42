//! `/api/v1/app`.

use serde_json::json;

use super::harness::TestApi;

#[tokio::test(start_paused = true)]
async fn an_application_is_found_by_its_id_and_by_its_uid() {
    let api = TestApi::new().await;
    let body = r#"{"name": "Acme", "uid": "acme", "throttleRate": 5, "metadata": {"a": "b"},
                   "unknown": [1]}"#;

    let created = api.post("/api/v1/app", body).await.expect(201);

    assert_eq!(
        created,
        json!({
            "id": created["id"],
            "uid": "acme",
            "name": "Acme",
            "throttleRate": 5,
            "metadata": {"a": "b"},
            "createdAt": "2026-01-01T00:00:00.000000Z",
            "updatedAt": "2026-01-01T00:00:00.000000Z",
        })
    );
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("app_"));
    for name in [id, "acme"] {
        let found = api.get(&format!("/api/v1/app/{name}")).await.expect(200);
        assert_eq!(found, created);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_name_of_an_application_is_404() {
    let api = TestApi::new().await;

    for name in [
        "nobody",
        "app_1srOrx2ZWZBpBUvZwXKQmoEYga2",
        "a%20b",
        "%FF",
        "%00",
    ] {
        let reply = api.get(&format!("/api/v1/app/{name}")).await;
        reply.expect_problem(404, "not_found");
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_an_application_is_named_at_once() {
    let api = TestApi::new().await;
    let id_like = format!("app_{}", "0".repeat(26));

    let all = r#"{"name": "", "uid": "a b", "throttleRate": 0, "metadata": {"k": "\u0000"}}"#;
    let places = [
        "body.name",
        "body.uid",
        "body.throttleRate",
        "body.metadata.k",
    ];
    api.post("/api/v1/app", all).await.expect_faults(&places);
    let uid = format!(r#"{{"name": "a", "uid": "{id_like}"}}"#);
    api.post("/api/v1/app", &uid)
        .await
        .expect_faults(&["body.uid"]);
    api.post("/api/v1/app", "{}")
        .await
        .expect_faults(&["body.name"]);
    let typed = r#"{"name": "a", "metadata": {"k": 1}}"#;
    api.post("/api/v1/app", typed)
        .await
        .expect_faults(&["body.metadata.k"]);
    let rate = r#"{"name": "a", "throttleRate": 70000}"#;
    api.post("/api/v1/app", rate)
        .await
        .expect_faults(&["body.throttleRate"]);
    let escape = r#"{"name": "\u001b[2J"}"#;
    api.post("/api/v1/app", escape)
        .await
        .expect_faults(&["body.name"]);
}

#[tokio::test(start_paused = true)]
async fn a_taken_uid_is_a_conflict_unless_the_existing_one_is_asked_for() {
    let api = TestApi::new().await;
    let body = r#"{"name": "Acme", "uid": "acme"}"#;
    let first = api.post("/api/v1/app", body).await.expect(201);

    api.post("/api/v1/app", body)
        .await
        .expect_problem(409, "conflict");
    let again = api
        .post("/api/v1/app?get_if_exists=true", body)
        .await
        .expect(200);
    assert_eq!(again, first);
    let other = r#"{"name": "Other", "uid": "other"}"#;
    api.post("/api/v1/app?get_if_exists=true", other)
        .await
        .expect(201);
}

#[tokio::test(start_paused = true)]
async fn put_creates_under_the_name_of_the_path_and_then_replaces() {
    let api = TestApi::new().await;

    let created = api
        .put("/api/v1/app/acme", r#"{"name": "A", "throttleRate": 1}"#)
        .await
        .expect(201);
    assert_eq!(created["uid"], "acme");
    let body = r#"{"name": "B", "uid": "acme"}"#;
    let replaced = api.put("/api/v1/app/acme", body).await.expect(200);

    assert_eq!(replaced["id"], created["id"]);
    assert_eq!(replaced["name"], "B");
    assert!(replaced.get("throttleRate").is_none());
    let unknown = format!("/api/v1/app/app_{}", "0".repeat(26));
    api.put(&unknown, body)
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn patch_leaves_out_sets_and_clears() {
    let api = TestApi::new().await;
    let body = r#"{"name": "A", "uid": "acme", "throttleRate": 1, "metadata": {"a": "b"}}"#;
    api.post("/api/v1/app", body).await.expect(201);

    let patch = r#"{"name": "B", "throttleRate": null}"#;
    let patched = api.patch("/api/v1/app/acme", patch).await.expect(200);

    assert_eq!(patched["name"], "B");
    assert_eq!(patched["uid"], "acme");
    assert_eq!(patched["metadata"], json!({"a": "b"}));
    assert!(patched.get("throttleRate").is_none());
    let cleared = api
        .patch("/api/v1/app/acme", r#"{"uid": null}"#)
        .await
        .expect(200);
    assert!(cleared.get("uid").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_application_is_gone_and_its_uid_free() {
    let api = TestApi::new().await;
    api.acme().await;

    api.delete("/api/v1/app/acme").await.expect(204);

    api.get("/api/v1/app/acme")
        .await
        .expect_problem(404, "not_found");
    api.delete("/api/v1/app/acme")
        .await
        .expect_problem(404, "not_found");
    api.acme().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_is_walked_forwards_and_backwards() {
    let api = TestApi::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        api.put(&format!("/api/v1/app/{name}"), r#"{"name": "x"}"#)
            .await
            .expect(201);
    }
    let names = |page: &serde_json::Value| -> String {
        let data = page["data"].as_array().unwrap();
        data.iter()
            .map(|app| app["uid"].as_str().unwrap())
            .collect()
    };

    let first = api.get("/api/v1/app?limit=2").await.expect(200);
    assert_eq!(
        (names(&first).as_str(), &first["done"]),
        ("ab", &json!(false))
    );
    let next = first["iterator"].as_str().unwrap();
    let second = api
        .get(&format!("/api/v1/app?limit=2&iterator={next}"))
        .await
        .expect(200);
    assert_eq!(
        (names(&second).as_str(), &second["done"]),
        ("cd", &json!(false))
    );
    let next = second["iterator"].as_str().unwrap();
    let last = api
        .get(&format!("/api/v1/app?limit=2&iterator={next}"))
        .await
        .expect(200);
    assert_eq!((names(&last).as_str(), &last["done"]), ("e", &json!(true)));
    let back = last["prevIterator"].as_str().unwrap();
    let before = api
        .get(&format!("/api/v1/app?limit=2&iterator={back}"))
        .await
        .expect(200);
    assert_eq!(names(&before), "cd");
    let descending = api.get("/api/v1/app?order=descending").await.expect(200);
    assert_eq!(
        (names(&descending).as_str(), &descending["done"]),
        ("edcba", &json!(true))
    );
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_and_one_that_cannot_be_are_told_apart() {
    let api = TestApi::new().await;

    let empty = api.get("/api/v1/app").await.expect(200);

    assert_eq!(
        empty,
        json!({"data": [], "iterator": null, "prevIterator": null, "done": true})
    );
    api.get("/api/v1/app?limit=0")
        .await
        .expect_faults(&["query.limit"]);
    api.get("/api/v1/app?limit=251")
        .await
        .expect_faults(&["query.limit"]);
    api.get("/api/v1/app?limit=x")
        .await
        .expect_faults(&["query.limit"]);
    api.get("/api/v1/app?iterator=x")
        .await
        .expect_faults(&["query.iterator"]);
    api.get("/api/v1/app?order=up")
        .await
        .expect_faults(&["query.order"]);
}

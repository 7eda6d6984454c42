//! Who may ask, and what others see of what they may not.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;

use crate::permissions;

use super::harness::{ADMIN_KEY, Reply, TestApi};

async fn with_authorization(api: &TestApi, values: &[&[u8]]) -> Reply {
    let mut request = Request::builder().uri("/api/v1/app");
    for value in values {
        request = request.header("authorization", *value);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_a_key_the_answer_is_the_same() {
    let api = TestApi::new().await;
    let good = format!("Bearer {ADMIN_KEY}");
    let mut last_byte_wrong = good.clone().into_bytes();
    *last_byte_wrong.last_mut().unwrap() ^= 1;
    let endless = [b"Bearer ".to_vec(), vec![b'a'; 1024 * 1024]].concat();

    let mut bodies = Vec::new();
    for values in [
        vec![],
        vec![b"".as_slice()],
        vec![b"Bearer"],
        vec![b"Bearer "],
        vec![ADMIN_KEY.as_bytes()],
        vec![b"Basic dXNlcjpwYXNz"],
        vec![b"Bearer ph_wrong"],
        vec![&last_byte_wrong],
        vec![&endless],
        vec![good.as_bytes(), good.as_bytes()],
    ] {
        let reply = with_authorization(&api, &values).await;
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
        bodies.push(reply.bytes.clone());
        reply.expect_problem(401, "authentication_failed");
    }

    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    let reply = with_authorization(&api, &[good.replace("Bearer", "bearer").as_bytes()]).await;
    reply.expect(200);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_the_query_is_no_key() {
    let api = TestApi::new().await;
    let uri = format!("/api/v1/app?token={ADMIN_KEY}&access_token={ADMIN_KEY}");

    let reply = api
        .send(Request::get(uri).body(Body::empty()).unwrap())
        .await;

    reply.expect_problem(401, "authentication_failed");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_ask_is_told_before_the_body_is_looked_at() {
    let api = TestApi::new().await;
    let request = Request::post("/api/v1/app").body(Body::from("not JSON"));

    let reply = api.send(request.unwrap()).await;

    reply.expect_problem(401, "authentication_failed");
}

#[tokio::test(start_paused = true)]
async fn every_described_operation_but_health_asks_for_a_key() {
    let api = TestApi::new().await;
    let description: serde_json::Value = serde_json::from_str(&crate::openapi_json()).unwrap();

    let mut asked = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, _) in operations.as_object().unwrap() {
            if path.starts_with("/api/v1/health") {
                continue;
            }
            let path = path.replace(['{', '}'], "");
            let request = Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(&path);
            let reply = api.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(reply.status, 401, "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
}

#[test]
fn every_described_operation_says_what_it_asks_and_no_other_does() {
    let description: serde_json::Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    let mut described = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, _) in operations.as_object().unwrap() {
            if !path.starts_with("/api/v1/health") {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let routes = permissions::ROUTES.iter();
    let listed: BTreeSet<_> = routes.map(|(m, path, _)| format!("{m} {path}")).collect();

    let without_entry: Vec<_> = described.difference(&listed).collect();
    let without_route: Vec<_> = listed.difference(&described).collect();

    let table = "the table is in crates/api/src/permissions.rs";
    assert!(without_entry.is_empty(), "{table}: {without_entry:?}");
    assert!(without_route.is_empty(), "{table}: {without_route:?}");
    assert_eq!(
        listed.len(),
        permissions::ROUTES.len(),
        "an entry is there twice"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_start_makes_a_key_and_no_other_does() {
    let api = TestApi::new().await;

    assert_eq!(api.service.bootstrap_admin_key(None).await, Ok(None));
    for weak in [
        "short",
        "with a space in it, and long enough",
        "ph_0123456789012345678901.eu",
    ] {
        let given = Some(weak.to_owned());
        let refused = api.service.bootstrap_admin_key(given).await;
        assert!(matches!(refused, Err(service::Error::Invalid(_))), "{weak}");
    }
}

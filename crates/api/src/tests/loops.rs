//! Messages that would come back: endpoints at this server.

use super::harness::TestApi;

#[tokio::test(start_paused = true)]
async fn an_endpoint_at_this_server_is_refused() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;

    for url in [
        "https://posthaste.example/api/v1/app/acme/msg",
        "https://POSTHASTE.example:8443/",
    ] {
        let body = format!(r#"{{"url": "{url}"}}"#);
        let reply = api.post("/api/v1/app/acme/endpoint", &body).await;
        let detail = reply.expect_problem(422, "validation");
        assert_eq!(detail[0]["loc"], serde_json::json!(["body", "url"]));
        let says = detail[0]["msg"].as_str().unwrap();
        assert!(says.contains("this server's own"), "{says}");
        let reply = api.patch("/api/v1/app/acme/endpoint/hook", &body).await;
        reply.expect_faults(&["body.url"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_has_come_round_too_often_is_refused() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;
    let message = r#"{"eventType": "a.b", "payload": {}}"#;
    let batch = format!(r#"{{"messages": [{message}]}}"#);

    for (hops, status) in [("0", 202), ("3", 202), ("4", 508), ("999", 508), ("x", 202)] {
        for (path, body) in [("msg", message), ("msg/batch", batch.as_str())] {
            let path = format!("/api/v1/app/acme/{path}");
            let headers = [("webhook-hops", hops)];
            let reply = api
                .call(http::Method::POST, &path, &headers, body.to_owned())
                .await;
            if status == 508 {
                reply.expect_problem(508, "loop_detected");
            } else {
                reply.expect(status);
            }
        }
    }

    api.settle().await;
    let seen = api.network.seen();
    assert_eq!(seen.len(), 6, "of refused ones nothing is sent");
    assert!(seen.iter().all(|sent| sent.headers["webhook-hops"] == "1"));
}

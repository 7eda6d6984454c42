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

//! What deliveries are signed with, and under which names.

use super::harness::TestApi;

const HOOK: &str = "/api/v1/app/acme/endpoint/hook";
const MESSAGE: &str = r#"{"eventType": "a", "payload": {}}"#;

/// Receivers that were made for the older names verify as they always did.
#[tokio::test(start_paused = true)]
async fn an_endpoint_gets_the_older_names_of_the_headers_when_it_asked() {
    let api = TestApi::new().await;
    api.acme_with_hook().await;

    let asked = api
        .patch(HOOK, r#"{"svixHeaders": true}"#)
        .await
        .expect(200);
    assert_eq!(asked["svixHeaders"], true);
    api.publish(MESSAGE).await;
    api.settle().await;
    let stopped = api
        .patch(HOOK, r#"{"svixHeaders": false}"#)
        .await
        .expect(200);
    assert!(stopped.get("svixHeaders").is_none());
    api.publish(MESSAGE).await;
    api.settle().await;

    let seen = api.network.seen();
    let (with, without) = (&seen[0].headers, &seen[1].headers);
    for name in ["id", "timestamp", "signature"] {
        assert_eq!(
            with[format!("svix-{name}")],
            with[format!("webhook-{name}")]
        );
        assert!(!without.contains_key(format!("svix-{name}")));
    }
}

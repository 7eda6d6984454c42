use svix::api::MessageGetOptions;

use crate::check::{World, message, ok, refused};

pub async fn run(world: &World) {
    let (messages, attempts) = (world.svix.message(), world.svix.message_attempt());
    let app = world.app();
    let endpoint = world.endpoint(world.endpoint_in("/all")).await.id;
    let id = world.publish(message("invoice.secret", 42)).await.id;
    let attempt = world.attempts(&id, 1).await[0].id.clone();
    let erased = attempts
        .expunge_content(app.clone(), id.clone(), attempt.clone())
        .await;
    erased.expect("it is erased");
    let erased = attempts.get(app.clone(), id.clone(), attempt, None).await;
    assert_eq!(erased.expect("it is there").response, "");
    ok("a response is erased");

    messages
        .expunge_content(app.clone(), id.clone())
        .await
        .expect("it is erased");
    let with_content = Some(MessageGetOptions {
        with_content: Some(true),
    });
    let erased = messages.get(app.clone(), id.clone(), with_content).await;
    assert_eq!(erased.expect("it is there").payload, serde_json::json!({}));
    let again = attempts.resend(app, id, endpoint, None).await;
    refused(again, 409, "resending what was erased is 409");
    ok("a payload is erased");
}

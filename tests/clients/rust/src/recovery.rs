//! What is sent again later: recover, replay missing, bulk replay, and the tasks that do it.

use std::time::Duration;

use svix::api::{BackgroundTaskListOptions, MessageAttemptListByEndpointOptions};
use svix::models::{
    BackgroundTaskStatus, BackgroundTaskType, BulkReplayIn, EndpointPatch, MessageStatus,
    RecoverIn, ReplayIn,
};

use crate::check::{World, all_pages, eventually, message, ok, refused, set};

pub async fn run(world: &World) {
    let (api, app) = (world.svix.endpoint(), world.app());
    let created = world
        .svix
        .application()
        .get(app.clone())
        .await
        .expect("it is there");
    let since = created.created_at - Duration::from_secs(1);
    let mut broken = world.endpoint_in("/status/500");
    broken.event_types = set(&["invoice.lost"]);
    let broken = world.endpoint(broken).await.id;
    let lost = world.publish(message("invoice.lost", 1)).await.id;
    eventually("a delivery that was given up", async || {
        let attempts = world.svix.message_attempt();
        let to = attempts
            .list_attempted_destinations(app.clone(), lost.clone(), None)
            .await;
        let is_given_up = to.expect("a list").data.first()?.status == MessageStatus::Fail;
        is_given_up.then_some(())
    })
    .await;
    let mut patch = EndpointPatch::new();
    patch.url = Some(format!("{}/well", world.receiver));
    api.patch(app.clone(), broken.clone(), patch)
        .await
        .expect("it is well again");
    let task = api
        .recover(app.clone(), broken.clone(), RecoverIn::new(since), None)
        .await;
    let task = task.expect("a recovery");
    assert_eq!(task.task, BackgroundTaskType::EndpointRecover);
    assert_eq!(
        world.finished(&task.id).await.status,
        BackgroundTaskStatus::Finished
    );
    succeeded(world, &broken, 1).await;
    ok("what had failed is recovered");

    let mut late = world.endpoint_in("/late");
    late.event_types = set(&["invoice.lost"]);
    let late = world.endpoint(late).await.id;
    let task = api
        .replay_missing(app.clone(), late.clone(), ReplayIn::new(since), None)
        .await;
    world.finished(&task.expect("a replay").id).await;
    succeeded(world, &late, 1).await;
    let mut bulk = BulkReplayIn::new(since);
    bulk.event_types = set(&["invoice.lost"]);
    let task = api
        .bulk_replay(app.clone(), late.clone(), bulk, None)
        .await
        .expect("a replay");
    world.finished(&task.id).await;
    succeeded(world, &late, 2).await;
    ok("what was missed is replayed, and what had succeeded when asked");

    let tasks = world.svix.background_task();
    let found = all_pages!(|iterator| {
        let limit = Some(1);
        tasks.list(Some(BackgroundTaskListOptions {
            limit,
            iterator,
            ..Default::default()
        }))
    });
    assert!(
        found.iter().any(|item| item.id == task.id),
        "the list has the task"
    );
    refused(
        tasks.get("qtask_nowhere".to_owned()).await,
        404,
        "an unknown task is 404",
    );
}

async fn succeeded(world: &World, endpoint: &str, count: usize) {
    eventually("successes", async || {
        let only = Some(MessageStatus::Success);
        let only = MessageAttemptListByEndpointOptions {
            status: only,
            ..Default::default()
        };
        let list = world.svix.message_attempt();
        let list = list
            .list_by_endpoint(world.app(), endpoint.to_owned(), Some(only))
            .await;
        (list.expect("a list").data.len() == count).then_some(())
    })
    .await;
}

//! Nothing is lost, whatever goes wrong.

use std::time::Duration;

use domain::{DeliveryState, ErrorClass};
use store::{AttemptFilter, Order, PageRequest};

use super::harness::{Reply, World};
use super::late::late_store;
use crate::EngineConfig;

const URL: &str = "https://receiver.example/hook";
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_lane_that_overflows_delivers_everything_exactly_once() {
    let config = EngineConfig {
        lane_queue_max: 4,
        claim_room: 8,
        ..EngineConfig::default()
    };
    let world = World::with(config).await;
    world.endpoint(URL).await;
    world
        .network
        .always(URL, Reply::Slow(Duration::from_millis(5), 200));

    for _ in 0..10 {
        world.publish_many(50).await;
        world.pass(Duration::from_millis(20)).await;
    }
    world.pass(20 * SECOND).await;

    let counts = world.network.counts(URL);
    assert_eq!(counts.len(), 500);
    assert!(
        counts.values().all(|count| *count == 1),
        "no repeats without a fault"
    );
}

#[tokio::test(start_paused = true)]
async fn payload_memory_stays_within_its_bound_and_everything_arrives() {
    let config = EngineConfig {
        payload_memory: 64 * 1024,
        ..EngineConfig::default()
    };
    let world = World::with(config).await;
    for number in 0..5 {
        let url = format!("https://receiver.example/{number}");
        world
            .network
            .always(&url, Reply::Slow(Duration::from_millis(50), 200));
        world.endpoint(&url).await;
    }
    let body = format!("\"{}\"", "x".repeat(4_096));

    let mut most = 0;
    for _ in 0..200 {
        world.publish(&body).await;
        most = most.max(world.running().engine.payload_memory());
    }
    world.pass(120 * SECOND).await;

    // One claim per reader may be on its way when the bound is reached.
    assert!(most <= 64 * 1024 + 3 * 8 * 1024, "{most}");
    for number in 0..5 {
        let counts = world
            .network
            .counts(&format!("https://receiver.example/{number}"));
        assert_eq!(counts.len(), 200);
        assert!(counts.values().all(|count| *count == 1));
    }
    assert_eq!(world.running().engine.payload_memory(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_leaves_behind_is_delivered_by_the_next_run() {
    let mut world = World::new().await;
    world.endpoint(URL).await;
    world.network.always(URL, Reply::Slow(SECOND, 200));

    world.publish_many(100).await;
    world.pass(Duration::from_millis(1_500)).await;
    world.crash();
    let before = world.network.seen().len();
    world.network.always(URL, Reply::Status(200));
    world.start().await;
    world.pass(30 * SECOND).await;

    let counts = world.network.counts(URL);
    assert_eq!(counts.len(), 100, "nothing lost");
    let repeats = world.network.seen().len() - 100;
    assert!(
        repeats <= before,
        "repeats only of what was in flight: {repeats}"
    );
    assert!(counts.values().all(|count| *count <= 2));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_was_due_after_a_crash_keeps_its_number_and_its_time() {
    let mut world = World::new().await;
    world.endpoint(URL).await;
    world.network.script(URL, [Reply::Status(500)]);
    let id = world.publish("{}").await;
    world.settle().await;

    world.crash();
    world.start().await;
    world.pass(4 * SECOND).await;
    assert_eq!(world.network.seen().len(), 1, "too early");
    world.pass(3 * SECOND).await;

    let page = PageRequest {
        limit: 10,
        order: Order::Ascending,
        cursor: None,
    };
    let attempts = world
        .store
        .attempts_by_message(id, &AttemptFilter::default(), page)
        .await
        .expect("read");
    let numbers: Vec<_> = attempts
        .items
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_wide_fan_out_goes_on_after_a_crash() {
    let mut world = World::new().await;
    for number in 0..700 {
        world
            .endpoint(&format!("https://receiver.example/{number}"))
            .await;
    }
    let request = world.request(["{}".to_owned()]);
    let engine = world.running().engine.clone();
    let publish = tokio::spawn(async move { engine.publish(request).await });
    publish.await.expect("no panic").expect("published");

    world.crash();
    world.start().await;
    world.pass(20 * SECOND).await;

    let mut urls: Vec<_> = world
        .network
        .seen()
        .into_iter()
        .map(|seen| seen.url)
        .collect();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), 700);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_sending_is_a_failed_attempt_and_is_retried() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world.network.script(URL, [Reply::Panic]);

    let id = world.publish("{}").await;
    world.pass(10 * SECOND).await;

    let page = PageRequest {
        limit: 10,
        order: Order::Ascending,
        cursor: None,
    };
    let attempts = world
        .store
        .attempts_by_message(id, &AttemptFilter::default(), page)
        .await
        .expect("read");
    assert_eq!(attempts.items[0].error, Some(ErrorClass::Internal));
    assert_eq!(attempts.items.len(), 2, "and then it worked");
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_attempts_in_flight_end_and_starts_no_others() {
    let config = EngineConfig {
        concurrency_start: 2,
        ..EngineConfig::default()
    };
    let mut world = World::with(config).await;
    world.endpoint(URL).await;
    world.network.always(URL, Reply::Slow(3 * SECOND, 200));
    let ids = world.publish_many(10).await;
    world.settle().await;

    let left = world.running().stop.stop(10 * SECOND).await;

    assert_eq!(left, 0);
    assert_eq!(world.network.seen().len(), 2);
    world.crash();
    world.start().await;
    world.pass(60 * SECOND).await;
    let counts = world.network.counts(URL);
    assert_eq!(counts.len(), ids.len());
    assert!(
        counts.values().all(|count| *count == 1),
        "what ended was recorded"
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_a_hung_attempt_beyond_its_deadline() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world.network.always(URL, Reply::Hang);
    world.publish("{}").await;
    world.settle().await;
    let began = tokio::time::Instant::now();

    let left = world.running().stop.stop(2 * SECOND).await;

    assert_eq!(left, 1);
    assert!(began.elapsed() < 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_delays_no_retry_and_one_set_forward_releases_it() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world
        .network
        .script(URL, [Reply::Status(500), Reply::Status(500)]);

    world.publish("{}").await;
    world.settle().await;
    world.clock.step(-3_600_000_000);
    world.pass(7 * SECOND).await;
    assert_eq!(world.network.seen().len(), 2, "an hour back delays nothing");
    world.clock.step(24 * 3_600_000_000);
    world.pass(2 * SECOND).await;

    assert_eq!(
        world.network.seen().len(),
        3,
        "a day forward releases what is due"
    );
}

#[tokio::test(start_paused = true)]
async fn a_canceled_delivery_stays_canceled_although_its_retry_was_planned() {
    let world = World::new().await;
    let endpoint = world.endpoint(URL).await;
    world.network.script(URL, [Reply::Status(500)]);
    let id = world.publish("{}").await;
    world.settle().await;

    let reference = store::EndpointRef::Id(endpoint.id);
    world
        .store
        .delete_endpoint(endpoint.application, &reference, world.now())
        .await
        .expect("deleted");
    world
        .running()
        .engine
        .changed(endpoint.application, Some(endpoint.key));
    world.pass(Duration::from_mins(10)).await;

    assert_eq!(world.network.seen().len(), 1);
    let page = PageRequest {
        limit: 10,
        order: Order::Ascending,
        cursor: None,
    };
    let found = world
        .store
        .message_destinations(id, page)
        .await
        .expect("listed");
    assert!(
        found
            .items
            .iter()
            .all(|delivery| delivery.state == DeliveryState::Canceled)
    );
}

#[tokio::test(start_paused = true)]
async fn a_suspect_of_crashes_is_held_back_until_somebody_resends_it() {
    let mut world = World::new().await;
    let endpoint = world.endpoint(URL).await;
    world.network.always(URL, Reply::Hang);
    let ids = world.publish_many(2).await;
    world.settle().await;
    world.crash();
    world.network.always(URL, Reply::Status(200));
    let before = world.network.seen().len();

    let suspect = (endpoint.key, ids[0].key());
    world.config.suspects = std::sync::Arc::new([suspect].into());
    world.start().await;
    world.pass(Duration::from_mins(5)).await;
    let sent: Vec<_> = world.network.seen()[before..]
        .iter()
        .map(|s| s.id.clone())
        .collect();
    assert_eq!(sent, [ids[1].to_string()], "the other one goes on");
    let resend = store::Resend {
        message: ids[0],
        endpoint: endpoint.key,
        due: world.now(),
        idempotency: None,
        now: world.now(),
    };
    world.store.resend(resend).await.expect("due");
    world.running().engine.delivery_due(endpoint.key);
    world.settle().await;

    let last = world.network.seen().pop().expect("sent");
    assert_eq!(last.id, ids[0].to_string());
}

#[tokio::test(start_paused = true)]
async fn one_outcome_that_cannot_be_stored_does_not_hold_up_the_others() {
    let store = late_store(1);
    let world = World::over(store.clone(), EngineConfig::default(), 1).await;
    let endpoint = world.endpoint(URL).await;
    world.network.always(URL, Reply::Slow(SECOND, 200));
    let messages = world.publish_many(40).await;
    store.refuse(messages[7].key());

    world.pass(Duration::from_secs(30)).await;
    let later = world.publish_many(5).await;
    world.pass(Duration::from_secs(5)).await;

    let mut pending = 0;
    for message in messages.iter().chain(&later) {
        let page = PageRequest {
            limit: 9,
            order: Order::Ascending,
            cursor: None,
        };
        let found = world.store.message_destinations(*message, page).await;
        let state = found.expect("listed").items[0].state;
        pending += usize::from(state != DeliveryState::Success);
    }
    assert_eq!(pending, 1, "all but the culprit");
    assert_eq!(world.network.counts(URL).len(), 45);
    assert_eq!(
        world.network.seen().len(),
        45,
        "none is sent again: {}",
        endpoint.id
    );
    assert_eq!(world.running().engine.shared.lanes().in_hand(), (0, 0));
    assert_eq!(world.running().engine.shared.metrics.abandoned.get(), 1);
}

//! What is published arrives: once, signed, on time, and again when it fails.

use std::time::Duration;

use domain::{AttemptStatus, DeliveryState, DisabledReason, FailReason, Trigger};
use signature::{Received, Verifier, VerifyingKey};
use store::{AttemptFilter, EndpointChange, EndpointRef, Order, PageRequest, Resend};

use super::harness::{Reply, SECRET, World};
use crate::EngineConfig;

const URL: &str = "https://receiver.example/hook";
const OTHER: &str = "https://other.example/hook";
const SECOND: Duration = Duration::from_secs(1);

fn page<C>() -> PageRequest<C> {
    PageRequest {
        limit: 250,
        order: Order::Ascending,
        cursor: None,
    }
}

async fn state(world: &World, message: domain::MessageId) -> DeliveryState {
    let found = world
        .store
        .message_destinations(message, page())
        .await
        .expect("listed");
    found.items[0].state
}

#[tokio::test(start_paused = true)]
async fn a_message_arrives_once_at_every_endpoint_with_one_id_and_the_exact_bytes() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world.endpoint(OTHER).await;
    let body = "{ \"b\": 1,\t\"a\": 2.0, \"n\": 9007199254740993, \"a\": 3 }";

    let id = world.publish(body).await;
    world.settle().await;

    let seen = world.network.seen();
    assert_eq!(seen.len(), 2);
    for request in seen {
        assert_eq!(request.id, id.to_string());
        assert_eq!(request.body, body);
        assert_eq!(request.content_type, "application/json");
    }
    assert_eq!(state(&world, id).await, DeliveryState::Success);
}

#[tokio::test(start_paused = true)]
async fn what_arrives_verifies_with_the_endpoints_secret() {
    let world = World::new().await;
    world.endpoint(URL).await;

    world.publish("{}").await;
    world.settle().await;

    let seen = &world.network.seen()[0];
    let verifier = Verifier::new([VerifyingKey::parse(SECRET).expect("a secret")]);
    let timestamp = seen.timestamp.to_string();
    let received = Received {
        id: Some(&seen.id),
        timestamp: Some(&timestamp),
        signatures: &[&seen.signature],
        body: &seen.body,
    };
    assert_eq!(verifier.verify(&received, world.now(), 5 * SECOND), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_made_again_after_the_schedules_wait_and_not_a_moment_before() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world.network.script(URL, [Reply::Status(500)]);

    let id = world.publish("{}").await;
    world.pass(Duration::from_millis(4_990)).await;
    assert_eq!(world.network.seen().len(), 1, "too early");
    world.pass(2 * SECOND).await;

    let seen = world.network.seen();
    assert_eq!(seen.len(), 2);
    let wait = seen[1].at.saturating_sub(seen[0].at);
    assert!(
        wait >= 5 * SECOND && wait <= Duration::from_millis(6_100),
        "{wait:?}"
    );
    assert_eq!(state(&world, id).await, DeliveryState::Success);
}

#[tokio::test(start_paused = true)]
async fn a_retry_carries_the_same_id_and_body_with_a_fresh_timestamp_and_signature() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world.network.script(URL, [Reply::Status(503)]);

    world.publish("{\"a\":1}").await;
    world.pass(10 * SECOND).await;

    let seen = world.network.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!((&seen[0].id, &seen[0].body), (&seen[1].id, &seen[1].body));
    assert!(seen[1].timestamp > seen[0].timestamp);
    assert_ne!(seen[0].signature, seen[1].signature);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_of_the_schedule_a_delivery_is_dead_lettered() {
    let world = World::new().await;
    let endpoint = world.endpoint(URL).await;
    world.network.always(URL, Reply::Status(500));

    let id = world.publish("{}").await;
    world.pass(Duration::from_hours(100)).await;

    assert_eq!(world.network.seen().len(), 10);
    let found = world
        .store
        .message_destinations(id, page())
        .await
        .expect("listed");
    assert_eq!(found.items[0].state, DeliveryState::Fail);
    assert_eq!(found.items[0].fail_reason, Some(FailReason::Exhausted));
    let attempts = world
        .store
        .attempts_by_endpoint(endpoint.key, &AttemptFilter::default(), page())
        .await
        .expect("listed");
    let numbers: Vec<_> = attempts
        .items
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_stretches_the_wait() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world.network.script(URL, [Reply::RetryAfter(503, "60")]);

    world.publish("{}").await;
    world.pass(59 * SECOND).await;
    assert_eq!(world.network.seen().len(), 1);
    world.pass(15 * SECOND).await;

    assert_eq!(world.network.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_not_sent_before_its_time() {
    let world = World::new().await;
    world.endpoint(URL).await;
    let mut request = world.request(["{}".to_owned()]);
    request.messages[0].deliver_at = Some(world.now().plus(60 * SECOND));

    world
        .running()
        .engine
        .publish(request)
        .await
        .expect("published");
    world.pass(59 * SECOND).await;
    assert_eq!(world.network.seen().len(), 0);
    world.pass(2 * SECOND).await;

    assert_eq!(world.network.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_410_disables_the_endpoint_and_cancels_what_is_pending() {
    let world = World::new().await;
    let endpoint = world.endpoint(URL).await;
    world
        .network
        .script(URL, [Reply::Status(500), Reply::Status(410)]);

    let waiting = world.publish("{\"first\":1}").await;
    world.settle().await;
    let told = world.publish("{\"second\":2}").await;
    world.settle().await;
    let after = world.publish("{\"third\":3}").await;
    world.pass(60 * SECOND).await;

    assert_eq!(world.network.seen().len(), 2, "nothing after the 410");
    let stored = world
        .store
        .endpoints_by_key(&[endpoint.key])
        .await
        .expect("read");
    assert_eq!(stored[0].disabled, Some(DisabledReason::Gone));
    assert_eq!(state(&world, waiting).await, DeliveryState::Canceled);
    assert_eq!(state(&world, told).await, DeliveryState::Fail);
    let none = world
        .store
        .message_destinations(after, page())
        .await
        .expect("listed");
    assert_eq!(
        none.items,
        [],
        "publishing to a disabled endpoint makes no delivery"
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_endpoint_gets_nothing_until_it_goes_on() {
    let world = World::new().await;
    let endpoint = world.endpoint(URL).await;
    let pause = |paused| EndpointChange {
        paused: Some(paused),
        now: world.now(),
        ..EndpointChange::default()
    };
    let reference = EndpointRef::Id(endpoint.id);
    let set = async |paused| {
        let change = pause(paused);
        world
            .store
            .update_endpoint(endpoint.application, &reference, change)
            .await
            .expect("changed");
        world
            .running()
            .engine
            .changed(endpoint.application, Some(endpoint.key));
    };

    set(true).await;
    world.publish_many(5).await;
    world.pass(60 * SECOND).await;
    assert_eq!(world.network.seen().len(), 0);
    set(false).await;
    world.pass(SECOND).await;

    assert_eq!(world.network.seen().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_resend_makes_one_manual_attempt_and_leaves_a_dead_letter_dead_when_it_fails() {
    let config = EngineConfig {
        retry: domain::RetryPolicy {
            schedule: domain::RetrySchedule::new(vec![Duration::ZERO]).expect("valid"),
            ..domain::RetryPolicy::default()
        },
        ..EngineConfig::default()
    };
    let world = World::with(config).await;
    let endpoint = world.endpoint(URL).await;
    world
        .network
        .script(URL, [Reply::Status(500), Reply::Status(500)]);
    let id = world.publish("{}").await;
    world.settle().await;
    let resend = async || {
        let resend = Resend {
            message: id,
            endpoint: endpoint.key,
            due: world.now(),
            idempotency: None,
            now: world.now(),
        };
        world.store.resend(resend).await.expect("due");
        world.running().engine.delivery_due(endpoint.key);
        world.pass(SECOND).await;
    };

    resend().await;
    assert_eq!(state(&world, id).await, DeliveryState::Fail);
    resend().await;

    assert_eq!(state(&world, id).await, DeliveryState::Success);
    let attempts = world
        .store
        .attempts_by_message(id, &AttemptFilter::default(), page())
        .await
        .expect("read");
    let found: Vec<_> = attempts
        .items
        .iter()
        .map(|attempt| (attempt.number, attempt.trigger, attempt.status))
        .collect();
    assert_eq!(
        found,
        [
            (1, Trigger::Scheduled, AttemptStatus::Fail),
            (2, Trigger::Manual, AttemptStatus::Fail),
            (3, Trigger::Manual, AttemptStatus::Success),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_created_a_moment_ago_always_gets_the_next_message() {
    let world = World::new().await;
    for number in 0..200 {
        let url = format!("https://receiver.example/{number}");
        world
            .store
            .create_endpoint(world.new_endpoint(&url))
            .await
            .expect("created");
        // The engine is not told: the store's answer alone must keep routing fresh.
        world.publish("{}").await;
        world.settle().await;
        assert_eq!(world.network.seen_by(&url).len(), 1, "endpoint {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_for_a_thousand_endpoints_reaches_each_exactly_once() {
    let world = World::new().await;
    for number in 0..1_000 {
        world
            .endpoint(&format!("https://receiver.example/{number}"))
            .await;
    }

    world.publish("{}").await;
    world.pass(10 * SECOND).await;

    let mut urls: Vec<_> = world
        .network
        .seen()
        .into_iter()
        .map(|seen| seen.url)
        .collect();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), 1_000);
    assert_eq!(world.network.seen().len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_in_flight_from_its_attempts_start_until_the_outcome_is_durable() {
    let config = EngineConfig {
        concurrency_start: 1,
        ..EngineConfig::default()
    };
    let world = World::with(config).await;
    let endpoint = world.endpoint(URL).await;
    let slow = Reply::Slow(10 * SECOND, 200);
    world.network.script(URL, [slow.clone(), slow]);
    let engine = &world.running().engine;

    let messages = world.publish_many(2).await;
    let in_flight = || {
        messages
            .iter()
            .map(|id| engine.in_flight(id.key(), endpoint.key))
    };
    world.settle().await;
    assert!(in_flight().eq([true, false]), "the second is queued");
    world.pass(10 * SECOND).await;
    assert!(in_flight().eq([false, true]));
    world.pass(10 * SECOND).await;

    assert!(in_flight().eq([false, false]));
    assert!(!engine.in_flight(messages[0].key(), domain::EndpointKey(77)));
}

#[tokio::test(start_paused = true)]
async fn the_engines_schedule_follows_the_clock() {
    let world = World::new().await;
    let engine = &world.running().engine;
    let before = engine.schedule_now();

    world.pass(60 * SECOND).await;

    assert_eq!(engine.schedule_now().since(before), 60 * SECOND);
}

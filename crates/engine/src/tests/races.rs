//! A store that answers late or fails loses nothing, repeats nothing and holds nothing up.
//!
//! The sweep, which would find what was lost, comes by once a day here.

use std::sync::Arc;
use std::time::Duration;

use domain::DisabledReason;
use store::{Endpoint, EndpointChange, EndpointRef, Resend};

use super::harness::{Reply, World};
use super::late::{LateStore, late_store};
use crate::EngineConfig;

const URL: &str = "https://receiver.example/hook";
const OTHER: &str = "https://other.example/hook";
const SECOND: Duration = Duration::from_secs(1);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config() -> EngineConfig {
    EngineConfig {
        sweep_interval: Duration::from_hours(24),
        ..EngineConfig::default()
    }
}

fn schedule(waits: &[Duration]) -> domain::RetryPolicy {
    domain::RetryPolicy {
        schedule: domain::RetrySchedule::new(waits.to_vec()).expect("valid"),
        ..domain::RetryPolicy::default()
    }
}

async fn world(config: EngineConfig) -> (World, Arc<LateStore>) {
    let store = late_store(1);
    let world = World::over(store.clone(), config, 1).await;
    world.settle().await;
    (world, store)
}

/// Changes an endpoint in the store, and tells the engine as the service does.
async fn change(world: &World, endpoint: &Endpoint, change: EndpointChange) {
    let reference = EndpointRef::Id(endpoint.id);
    let change = EndpointChange {
        now: world.now(),
        ..change
    };
    world
        .store
        .update_endpoint(endpoint.application, &reference, change)
        .await
        .expect("changed");
    world
        .running()
        .engine
        .changed(endpoint.application, Some(endpoint.key));
}

async fn pause(world: &World, endpoint: &Endpoint, paused: bool) {
    let paused = EndpointChange {
        paused: Some(paused),
        ..EndpointChange::default()
    };
    change(world, endpoint, paused).await;
}

async fn disable(world: &World, endpoint: &Endpoint, reason: Option<DisabledReason>) {
    let disabled = EndpointChange {
        disabled: Some(reason),
        ..EndpointChange::default()
    };
    change(world, endpoint, disabled).await;
}

/// Publishes without waiting for the answer.
fn publish_meanwhile(world: &World, body: &str) -> tokio::task::JoinHandle<()> {
    let engine = world.running().engine.clone();
    let request = world.request([body.to_owned()]);
    tokio::spawn(async move {
        engine.publish(request).await.expect("published");
    })
}

// ---- Claims -------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_retry_that_becomes_due_while_a_claim_is_under_way_is_made_on_time() {
    let config = EngineConfig {
        lane_queue_max: 1,
        retry: schedule(&[Duration::ZERO, SECOND, SECOND]),
        ..config()
    };
    let (world, store) = world(config).await;
    world.endpoint(URL).await;
    world
        .network
        .script(URL, [Reply::Slow(millis(100), 500), Reply::Status(200)]);
    // What the claim sees is older than the record of the first attempt, its answer is younger
    // than the retry's time.
    store.delay("claim", Duration::ZERO, 3 * SECOND);

    world.publish_many(2).await;
    world.pass(10 * SECOND).await;

    let counts = world.network.counts(URL);
    assert_eq!(counts.len(), 2);
    assert_eq!(counts.values().sum::<usize>(), 3, "one was made again");
}

#[tokio::test(start_paused = true)]
async fn what_is_published_while_a_claim_waits_for_its_turn_arrives_at_once() {
    let config = EngineConfig {
        lane_queue_max: 1,
        ..config()
    };
    let (world, store) = world(config).await;
    world.endpoint(URL).await;
    // The claim's time is older than the message, what it sees is not.
    store.delay("claim", millis(200), Duration::ZERO);
    let slow = Reply::Slow(5 * SECOND, 200);
    world.network.script(URL, [Reply::Status(200), slow]);

    world.publish_many(2).await;
    world.pass(millis(150)).await;
    world.publish("{}").await;
    world.pass(millis(150)).await;

    assert_eq!(world.network.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_resend_while_an_attempt_is_in_flight_is_made_after_it() {
    let (world, _) = world(config()).await;
    let endpoint = world.endpoint(URL).await;
    world.network.script(
        URL,
        [Reply::Slow(2 * SECOND, 500), Reply::Slow(millis(1), 200)],
    );
    let id = world.publish("{}").await;
    world.pass(SECOND).await;

    let resend = Resend {
        message: id,
        endpoint: endpoint.key,
        due: world.now(),
        idempotency: None,
        now: world.now(),
    };
    world.store.resend(resend).await.expect("due");
    world.running().engine.delivery_due(endpoint.key);
    world.pass(2 * SECOND).await;

    assert_eq!(world.network.seen().len(), 2, "at once, not by schedule");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_fails_is_made_again() {
    let config = EngineConfig {
        lane_queue_max: 1,
        ..config()
    };
    let (world, store) = world(config).await;
    world.endpoint(URL).await;
    store.fail("claim", [store::Error::Busy, store::Error::Busy]);

    world.publish_many(5).await;
    world.pass(5 * SECOND).await;

    assert_eq!(world.network.seen().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn due_destinations_that_cannot_be_read_are_read_again() {
    let (mut world, store) = world(config()).await;
    world.endpoint(URL).await;
    world.network.script(URL, [Reply::Status(500)]);
    world.publish("{}").await;
    world.settle().await;
    world.crash();
    world.start().await;
    world.settle().await;
    store.fail("endpoints_by_key", [store::Error::Busy]);

    world.pass(10 * SECOND).await;

    assert_eq!(world.network.seen().len(), 2);
}

// ---- Settings -----------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_be_read_at_first_counts_all_the_same() {
    let (world, store) = world(config()).await;
    let endpoint = world.endpoint(URL).await;
    world.publish("{}").await;
    world.settle().await;
    pause(&world, &endpoint, true).await;
    world.settle().await;
    world.publish("{}").await;
    world.settle().await;
    assert_eq!(world.network.seen().len(), 1, "paused");

    store.fail("endpoints_by_key", [store::Error::Busy]);
    pause(&world, &endpoint, false).await;
    world.pass(3 * SECOND).await;

    assert_eq!(world.network.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_only_a_claim_has_seen_forgets_nothing() {
    let config = EngineConfig {
        lane_queue_max: 1,
        ..config()
    };
    let (world, store) = world(config).await;
    let endpoint = world.endpoint(URL).await;
    store.delay("claim", millis(500), Duration::ZERO);
    world.publish_many(3).await;
    world.settle().await;
    // The claim finds the endpoint paused; by the time the lane hears of it, it is not any more.
    store.delay("endpoints_by_key", SECOND, Duration::ZERO);

    pause(&world, &endpoint, true).await;
    world.pass(millis(600)).await;
    pause(&world, &endpoint, false).await;
    world.pass(5 * SECOND).await;

    assert_eq!(world.network.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_canceled_stays_so_when_the_endpoint_is_enabled_at_once() {
    let (world, store) = world(config()).await;
    let endpoint = world.endpoint(URL).await;
    world.network.always(URL, Reply::Slow(SECOND, 200));
    world.publish_many(20).await;
    world.settle().await;
    assert_eq!(world.network.seen().len(), 8, "in flight");
    // Both changes are one to the lane.
    store.delay("endpoints_by_key", millis(100), Duration::ZERO);

    disable(&world, &endpoint, Some(DisabledReason::Requested)).await;
    disable(&world, &endpoint, None).await;
    world.pass(10 * SECOND).await;
    let later = world.publish("{\"later\":1}").await;
    world.pass(5 * SECOND).await;

    let seen = world.network.seen();
    assert_eq!(seen.len(), 9, "the twelve that waited were canceled");
    assert_eq!(seen[8].id, later.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_overtakes_the_news_that_its_endpoint_is_enabled_is_sent() {
    let (world, _) = world(config()).await;
    let endpoint = world.endpoint(URL).await;
    world.publish("{}").await;
    world.settle().await;
    disable(&world, &endpoint, Some(DisabledReason::Requested)).await;
    world.settle().await;
    let enable = EndpointChange {
        disabled: Some(None),
        now: world.now(),
        ..EndpointChange::default()
    };
    let reference = EndpointRef::Id(endpoint.id);
    world
        .store
        .update_endpoint(endpoint.application, &reference, enable)
        .await
        .expect("enabled");

    world.publish("{}").await;
    world.settle().await;
    let engine = &world.running().engine;
    engine.changed(endpoint.application, Some(endpoint.key));
    world.settle().await;

    assert_eq!(world.network.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_news_of_a_new_address_overtakes_goes_to_the_new_address() {
    let (world, store) = world(config()).await;
    let endpoint = world.endpoint(URL).await;
    store.delay("append", Duration::ZERO, SECOND);
    let publish = publish_meanwhile(&world, "{}");
    world.settle().await;

    let moved = EndpointChange {
        url: Some(domain::TargetUrl::parse(OTHER).expect("a URL")),
        ..EndpointChange::default()
    };
    change(&world, &endpoint, moved).await;
    publish.await.expect("no panic");
    world.settle().await;

    assert_eq!(world.network.seen_by(URL).len(), 0);
    assert_eq!(world.network.seen_by(OTHER).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_claim_brings_after_the_endpoint_was_disabled_is_not_kept() {
    let config = EngineConfig {
        lane_queue_max: 1,
        ..config()
    };
    let (world, store) = world(config).await;
    let endpoint = world.endpoint(URL).await;
    store.delay("claim", Duration::ZERO, SECOND);
    world.publish_many(3).await;
    world.settle().await;
    let before = world.network.seen().len();

    disable(&world, &endpoint, Some(DisabledReason::Requested)).await;
    world.pass(5 * SECOND).await;
    let held = world.running().engine.payload_memory();
    disable(&world, &endpoint, None).await;
    world.pass(5 * SECOND).await;

    assert_eq!(held, 0);
    assert_eq!(world.network.seen().len(), before, "it was canceled");
}

#[tokio::test(start_paused = true)]
async fn the_lane_of_a_disabled_endpoint_is_forgotten_although_a_retry_was_planned() {
    let mut config = config();
    config.sweep_interval = 30 * SECOND;
    let (world, _) = world(config).await;
    let endpoint = world.endpoint(URL).await;
    world.network.always(URL, Reply::Status(500));
    world.publish("{}").await;
    world.settle().await;

    disable(&world, &endpoint, Some(DisabledReason::Requested)).await;
    world.pass(Duration::from_mins(10)).await;

    let (lanes, behind, _) = world.running().engine.shared.lanes().counts();
    assert_eq!((lanes, behind), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn paused_endpoints_hold_no_memory_that_others_need() {
    let config = EngineConfig {
        payload_memory: 64 * 1024,
        ..config()
    };
    let (world, _) = world(config).await;
    for number in 0..20 {
        let url = format!("https://paused.example/{number}");
        let endpoint = world.endpoint(&url).await;
        pause(&world, &endpoint, true).await;
    }
    world.settle().await;
    for _ in 0..40 {
        world.publish(&format!("\"{}\"", "x".repeat(4_096))).await;
    }
    world.settle().await;

    let held = world.running().engine.payload_memory();
    world.endpoint(URL).await;
    world.publish_many(10).await;
    world.settle().await;

    assert_eq!(held, 0);
    assert_eq!(world.network.seen_by(URL).len(), 10);
}

// ---- Intake, recording, the disk ----------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_no_bytes_waiting() {
    let config = EngineConfig {
        intake_waiting_bytes: 100,
        ..config()
    };
    let (world, store) = world(config).await;
    store.delay("append", Duration::ZERO, SECOND);
    let body = format!("\"{}\"", "x".repeat(60));
    let publish = publish_meanwhile(&world, &body);
    world.settle().await;

    publish.abort();
    world.pass(2 * SECOND).await;
    let request = world.request([body.clone()]);
    let answer = world.running().engine.publish(request).await;

    assert!(answer.is_ok(), "{answer:?}");
    let bytes = world.running().engine.door.waiting_bytes();
    assert_eq!(bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_that_went_away_has_sent_still_counts_until_it_is_stored() {
    let config = EngineConfig {
        intake_waiting_bytes: 100,
        ..config()
    };
    let (world, store) = world(config).await;
    store.delay("append", Duration::ZERO, SECOND);
    let body = format!("\"{}\"", "x".repeat(60));
    let publish = publish_meanwhile(&world, &body);
    world.settle().await;

    publish.abort();
    world.settle().await;
    let request = world.request([body]);
    let answer = world.running().engine.publish(request).await;

    assert_eq!(answer, Err(crate::PublishError::Busy));
}

#[tokio::test(start_paused = true)]
async fn outcomes_that_cannot_be_recorded_are_recorded_when_the_disk_has_room() {
    let (world, store) = world(config()).await;
    world.endpoint(URL).await;
    world.network.always(URL, Reply::Slow(SECOND, 200));
    world.publish_many(20).await;
    world.settle().await;

    store.set_full(true);
    world.pass(2 * SECOND).await;
    let sent = world.network.seen().len();
    world.pass(10 * SECOND).await;
    let later = world.network.seen().len();
    let refused = world
        .running()
        .engine
        .publish(world.request(["{}".to_owned()]))
        .await;
    store.set_full(false);
    world.pass(10 * SECOND).await;

    assert_eq!(
        sent, later,
        "nothing new is sent while nothing can be recorded"
    );
    assert!(sent < 20);
    assert_eq!(refused, Err(crate::PublishError::Full));
    let counts = world.network.counts(URL);
    assert_eq!(counts.len(), 20);
    assert!(counts.values().all(|count| *count == 1));
    assert_eq!(world.running().engine.shared.lanes().in_hand(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_another_kind_does_not_hide_that_the_disk_is_full() {
    let (world, store) = world(config()).await;
    world.endpoint(URL).await;
    world.network.always(URL, Reply::Slow(SECOND, 200));
    world.publish("{}").await;
    world.settle().await;

    store.set_full(true);
    world.pass(2 * SECOND).await;
    store.fail("record", vec![store::Error::Busy; 100]);
    world.pass(2 * SECOND).await;

    assert!(world.running().engine.health().full);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_although_the_disk_is_full() {
    let (world, store) = world(config()).await;
    world.endpoint(URL).await;
    world.network.always(URL, Reply::Slow(SECOND, 200));
    world.publish("{}").await;
    world.settle().await;
    store.set_full(true);

    let left = world.running().stop.stop(5 * SECOND).await;
    world.pass(2 * SECOND).await;

    assert_eq!(left, 1, "an outcome that was not recorded");
    assert!(world.delivery_has_ended());
}

// ---- Order and time -----------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_throttled_endpoint_gets_the_next_message_as_soon_as_its_rate_allows() {
    let (world, _) = world(config()).await;
    let mut new = world.new_endpoint(URL);
    new.throttle_rate = Some(10);
    world.create(new).await;

    world.publish("{}").await;
    world.pass(millis(10)).await;
    world.publish("{}").await;
    world.pass(SECOND).await;

    let seen = world.network.seen();
    let gap = seen[1].at.saturating_sub(seen[0].at);
    assert!(gap >= millis(90) && gap < millis(120), "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_a_throttled_application_take_turns() {
    let (world, _) = world(config()).await;
    let limit = store::ApplicationChange {
        throttle_rate: Some(Some(10)),
        now: world.now(),
        ..store::ApplicationChange::default()
    };
    let reference = store::ApplicationRef::Id(world.application.id);
    world
        .store
        .update_application(world.organization, &reference, limit)
        .await
        .expect("changed");
    let urls: Vec<_> = (0..4)
        .map(|number| format!("https://receiver.example/{number}"))
        .collect();
    for url in &urls {
        world.endpoint(url).await;
    }

    world.publish_many(50).await;
    world.pass(10 * SECOND).await;

    for url in &urls {
        let seen = world.network.seen_by(url).len();
        assert!((23..=28).contains(&seen), "{url} got {seen} of about 100");
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_are_down_for_long_do_not_hold_up_the_retries_of_others() {
    let config = EngineConfig {
        breaker_failures: 2,
        breaker_after: Duration::ZERO,
        ..config()
    };
    let (world, store) = world(config).await;
    for number in 0..50 {
        let url = format!("https://down.example/{number}");
        let refused = domain::ErrorClass::ConnectionRefused;
        world.network.always(&url, Reply::Error(refused));
        world.endpoint(&url).await;
    }
    world.publish_many(2).await;
    world.pass(9 * SECOND).await;
    store.dither("give_up", SECOND, SECOND);
    world.endpoint(URL).await;
    world.network.script(URL, [Reply::Status(500)]);

    world.publish("{}").await;
    world.pass(7 * SECOND).await;

    assert_eq!(world.network.seen_by(URL).len(), 2);
}

// ---- Memory -------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn what_a_claim_brings_after_the_breaker_opened_is_left_to_the_store() {
    let config = EngineConfig {
        lane_queue_max: 100,
        breaker_failures: 8,
        breaker_after: Duration::ZERO,
        ..config()
    };
    let (world, store) = world(config).await;
    world.endpoint(URL).await;
    world.network.script(URL, vec![Reply::Status(200); 60]);
    world.network.always(URL, Reply::Slow(SECOND, 500));
    store.delay("claim", Duration::ZERO, 3 * SECOND);

    world.publish_many(200).await;
    world.pass(5 * SECOND).await;

    // The probe's delivery, and one in line after it.
    let held = world.running().engine.payload_memory();
    assert!(held <= 2 * 600, "{held} bytes");
}

#[tokio::test(start_paused = true)]
async fn wide_messages_wait_for_their_fan_out_in_the_store() {
    let (world, store) = world(config()).await;
    for number in 0..300 {
        world
            .endpoint(&format!("https://receiver.example/{number}"))
            .await;
    }
    store.dither("expand", millis(100), millis(100));

    for _ in 0..40 {
        world.publish("{}").await;
    }
    world.settle().await;
    world.pass(Duration::from_mins(2)).await;

    assert!(store.most_running("expand") <= 8);
    assert_eq!(world.network.seen().len(), 300 * 40);
    let counts = world.network.counts("https://receiver.example/0");
    assert!(counts.values().all(|count| *count == 1));
}

// ---- Everything at once -------------------------------------------------------------------

/// A random life without faults, but with a store that answers late and out of step: everything
/// arrives exactly once, soon, and nothing is left in memory.
async fn late_life(seed: u64) {
    let store = late_store(seed);
    let config = EngineConfig {
        lane_queue_max: 8,
        claim_room: 6,
        in_flight_max: 24,
        payload_memory: 32 * 1024,
        ..config()
    };
    let mut world = World::over(store.clone(), config, seed).await;
    let urls: Vec<String> = (0..4)
        .map(|number| format!("https://receiver.example/{number}"))
        .collect();
    for url in &urls {
        world.endpoint(url).await;
        let wait = Duration::from_millis(world.random(20));
        world.network.always(url, Reply::Slow(wait, 200));
    }
    for method in ["append", "record", "claim", "endpoints_by_key"] {
        let (before, after) = (world.random(60), world.random(60));
        store.dither(method, millis(before), millis(after));
    }
    let mut published = 0;
    for _ in 0..80 {
        let count = usize::try_from(1 + world.random(12)).expect("small");
        published += count;
        world.publish_many(count).await;
        world.pass(millis(world.random(100))).await;
    }
    world.pass(Duration::from_mins(2)).await;

    for url in &urls {
        let counts = world.network.counts(url);
        assert_eq!(counts.len(), published, "seed {seed}: {url} misses some");
        let most = counts.values().max().copied().unwrap_or_default();
        assert_eq!(most, 1, "seed {seed}: {url} saw one message {most} times");
    }
    let engine = &world.running().engine;
    assert_eq!(engine.payload_memory(), 0, "seed {seed}");
    let lanes = engine.shared.lanes();
    assert_eq!(lanes.in_hand(), (0, 0), "seed {seed}");
    assert_eq!(lanes.counts().1, 0, "seed {seed}: a lane is behind");
    drop(lanes);
    world.crash();
}

#[tokio::test(start_paused = true)]
async fn a_late_store_makes_no_repeats_and_loses_nothing() {
    for seed in 0..40 {
        late_life(seed).await;
    }
}

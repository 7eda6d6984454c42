//! One destination cannot slow another, nor be flooded.

use std::time::Duration;

use domain::ErrorClass;

use super::harness::{Reply, World};
use crate::EngineConfig;

const URL: &str = "https://receiver.example/hook";
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_delays_none_of_a_hundred_others() {
    let world = World::new().await;
    let hung = "https://hung.example/hook";
    world.network.always(hung, Reply::Hang);
    world.endpoint(hung).await;
    for number in 0..99 {
        world
            .endpoint(&format!("https://receiver.example/{number}"))
            .await;
    }

    for _ in 0..50 {
        world.publish("{}").await;
        world.pass(Duration::from_millis(100)).await;
    }

    let others: Vec<_> = world
        .network
        .seen()
        .into_iter()
        .filter(|seen| seen.url != hung)
        .collect();
    assert_eq!(others.len(), 50 * 99);
    assert_eq!(
        world.network.most_in_flight(hung),
        8,
        "its own window and no more"
    );
}

#[tokio::test(start_paused = true)]
async fn thousands_of_hung_endpoints_leave_half_of_all_attempts_to_those_that_answer() {
    let config = EngineConfig {
        in_flight_max: 200,
        ..EngineConfig::default()
    };
    let world = World::with(config).await;
    world.endpoint(URL).await;
    world.publish("{}").await;
    world.settle().await;
    for number in 0..1_000 {
        let url = format!("https://hung.example/{number}");
        world.network.always(&url, Reply::Hang);
        world.endpoint(&url).await;
    }

    for _ in 0..20 {
        world.publish("{}").await;
        world.pass(SECOND).await;
    }

    let seen = world.network.seen_by(URL);
    assert_eq!(seen.len(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_endpoint_gets_no_more_than_its_rate() {
    let world = World::new().await;
    let mut new = world.new_endpoint(URL);
    new.throttle_rate = Some(10);
    world.create(new).await;

    world.publish_many(100).await;
    world.pass(5 * SECOND).await;
    let halfway = world.network.seen().len();
    world.pass(6 * SECOND).await;

    assert!((45..=52).contains(&halfway), "{halfway}");
    assert_eq!(world.network.seen().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_application_shares_its_rate_over_all_endpoints() {
    let mut world = World::new().await;
    let change = store::ApplicationChange {
        throttle_rate: Some(Some(10)),
        now: world.now(),
        ..store::ApplicationChange::default()
    };
    let reference = store::ApplicationRef::Id(world.application.id);
    world
        .store
        .update_application(world.organization, &reference, change)
        .await
        .expect("changed");
    for number in 0..4 {
        world
            .endpoint(&format!("https://receiver.example/{number}"))
            .await;
    }

    world.publish_many(25).await;
    world.pass(5 * SECOND).await;
    let halfway = world.network.seen().len();
    // What is left after a restart is limited in the same way.
    world.crash();
    world.start().await;
    world.pass(2 * SECOND).await;

    assert!((45..=53).contains(&halfway), "{halfway}");
    let later = world.network.seen().len() - halfway;
    assert!(later <= 25, "{later} in two seconds");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_lets_one_probe_through_per_interval_and_uses_up_no_attempts() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world
        .network
        .always(URL, Reply::Error(ErrorClass::ConnectionRefused));
    for _ in 0..30 {
        world.publish_many(2).await;
        world.pass(SECOND).await;
    }
    let before = world.network.seen().len();

    world.pass(100 * SECOND).await;
    let probes = world.network.seen().len() - before;
    world.network.always(URL, Reply::Status(200));
    world.pass(Duration::from_mins(30)).await;

    assert!((9..=11).contains(&probes), "{probes} probes in 100 s");
    let counts = world.network.counts(URL);
    assert_eq!(counts.len(), 60, "everything arrived in the end");
}

#[tokio::test(start_paused = true)]
async fn a_recovered_endpoint_is_ramped_up_and_not_stampeded() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world
        .network
        .always(URL, Reply::Error(ErrorClass::ConnectionRefused));
    for _ in 0..30 {
        world.publish_many(40).await;
        world.pass(SECOND).await;
    }
    let failed = world.network.seen().len();

    world
        .network
        .always(URL, Reply::Slow(Duration::from_millis(200), 200));
    world.pass(10 * SECOND).await;
    let recovered = world.network.seen()[failed..].to_vec();

    let first = recovered[0].at;
    let early = recovered
        .iter()
        .filter(|seen| seen.at < first + SECOND)
        .count();
    // One at a time for the first second, 200 ms each; the window of 8 would allow 40.
    assert!(early <= 12, "{early} in the first second");
}

#[tokio::test(start_paused = true)]
async fn what_an_unavailable_endpoint_could_not_take_is_given_up_after_its_schedule() {
    let config = EngineConfig {
        retry: domain::RetryPolicy {
            schedule: domain::RetrySchedule::new(vec![Duration::ZERO, SECOND, SECOND])
                .expect("valid"),
            ..domain::RetryPolicy::default()
        },
        ..EngineConfig::default()
    };
    let world = World::with(config).await;
    world.endpoint(URL).await;
    world
        .network
        .always(URL, Reply::Error(ErrorClass::ConnectionRefused));
    for _ in 0..30 {
        world.publish_many(2).await;
        world.pass(SECOND).await;
    }

    let last = world.publish("{}").await;
    while state_of(&world, last).await.state != domain::DeliveryState::Fail {
        world.pass(Duration::from_millis(100)).await;
    }
    world.settle().await;

    let reason = state_of(&world, last).await.fail_reason;
    assert_eq!(reason, Some(domain::FailReason::EndpointUnavailable));
    let held = world.running().engine.payload_memory();
    assert_eq!(held, 0, "what was given up is no probe either");
}

async fn state_of(world: &World, message: domain::MessageId) -> store::MessageDestination {
    let page = store::PageRequest {
        limit: 10,
        order: store::Order::Ascending,
        cursor: None,
    };
    let found = world
        .store
        .message_destinations(message, page)
        .await
        .expect("listed");
    found.items[0]
}

//! What hangs, waits or is throttled takes no more than its share of attempts and memory.

use std::time::Duration;

use domain::{Channel, ErrorClass};

use super::harness::{Reply, World};
use crate::EngineConfig;

const URL: &str = "https://receiver.example/hook";
const SECOND: Duration = Duration::from_secs(1);

fn config() -> EngineConfig {
    EngineConfig {
        sweep_interval: Duration::from_hours(24),
        ..EngineConfig::default()
    }
}

fn hung(number: usize) -> String {
    format!("https://hung.example/{number}")
}

/// An endpoint that gets messages of its own channel only.
async fn endpoint_with_channel(world: &World, url: &str, channel: &str) {
    let mut new = world.new_endpoint(url);
    new.subscription.channels = Some(vec![Channel::parse(channel).expect("valid")]);
    world.create(new).await;
}

async fn publish_to(world: &World, channel: &str, count: usize) {
    let mut request = world.request((0..count).map(|number| format!("{{\"number\":{number}}}")));
    for message in &mut request.messages {
        message.channels = vec![Channel::parse(channel).expect("valid")];
    }
    let engine = &world.running().engine;
    engine.publish(request).await.expect("published");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_has_answered_leaves_the_line_of_those_that_hang() {
    let config = EngineConfig {
        in_flight_max: 8,
        ..config()
    };
    let world = World::with(config).await;
    world.endpoint(URL).await;
    world
        .network
        .always(URL, Reply::Slow(Duration::from_millis(10), 200));
    for number in 0..20 {
        world.network.always(&hung(number), Reply::Hang);
        world.endpoint(&hung(number)).await;
    }

    world.publish_many(10).await;
    world.pass(SECOND).await;

    assert_eq!(world.network.seen_by(URL).len(), 10);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_begin_to_hang_leave_half_of_all_attempts_to_others() {
    let config = EngineConfig {
        in_flight_max: 16,
        ..config()
    };
    let world = World::with(config).await;
    endpoint_with_channel(&world, URL, "healthy").await;
    publish_to(&world, "healthy", 1).await;
    for number in 0..2 {
        endpoint_with_channel(&world, &hung(number), "hung").await;
    }
    publish_to(&world, "hung", 1).await;
    world.settle().await;
    for number in 0..2 {
        world.network.always(&hung(number), Reply::Hang);
    }

    publish_to(&world, "hung", 40).await;
    // All of the first attempts run out of time; then each lane knows.
    world.pass(21 * SECOND).await;
    publish_to(&world, "healthy", 5).await;
    world.pass(SECOND).await;

    assert_eq!(world.network.seen_by(URL).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_single_attempt_at_a_time_is_enough_for_a_new_endpoint() {
    let config = EngineConfig {
        in_flight_max: 1,
        ..config()
    };
    let world = World::with(config).await;
    world.endpoint(URL).await;

    world.publish_many(5).await;
    world.settle().await;

    assert_eq!(world.network.seen().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_hang_leave_half_of_the_memory_to_others() {
    let config = EngineConfig {
        payload_memory: 256 * 1024,
        ..config()
    };
    let world = World::with(config).await;
    endpoint_with_channel(&world, URL, "healthy").await;
    publish_to(&world, "healthy", 1).await;
    world.settle().await;
    for number in 0..100 {
        world.network.always(&hung(number), Reply::Hang);
        endpoint_with_channel(&world, &hung(number), &format!("hung-{number}")).await;
    }
    for number in 0..100 {
        publish_to(&world, &format!("hung-{number}"), 40).await;
    }
    // Every one of them is known to be slow by now, and has a backlog.
    world.pass(30 * SECOND).await;

    for _ in 0..10 {
        publish_to(&world, "healthy", 10).await;
        world.pass(SECOND).await;
    }

    assert_eq!(world.network.seen_by(URL).len(), 101);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_endpoint_holds_in_memory_what_it_takes_in_two_seconds() {
    let world = World::with(config()).await;
    let mut new = world.new_endpoint(URL);
    new.throttle_rate = Some(5);
    world.create(new).await;

    world.publish_many(200).await;
    world.settle().await;
    let held = world.running().engine.payload_memory();
    world.pass(20 * SECOND).await;

    assert!(held <= 12 * 540, "{held} bytes");
    let seen = world.network.seen().len();
    assert!((95..=106).contains(&seen), "{seen} in 20 s");
}

#[tokio::test(start_paused = true)]
async fn a_recovered_endpoint_is_looked_at_a_few_times_while_it_is_ramped_up() {
    let world = World::with(config()).await;
    world.endpoint(URL).await;
    world
        .network
        .always(URL, Reply::Error(ErrorClass::ConnectionRefused));
    for _ in 0..30 {
        world.publish_many(2).await;
        world.pass(SECOND).await;
    }
    world
        .network
        .always(URL, Reply::Slow(Duration::from_millis(900), 200));
    while world.running().engine.shared.lanes().counts().2 > 0 {
        world.pass(SECOND).await;
    }

    for _ in 0..200 {
        world.publish("{}").await;
        world.pass(Duration::from_millis(1)).await;
    }

    let wakes = world.running().engine.shared.lanes().wake_count();
    assert!(wakes <= 10, "{wakes}");
}

//! Random histories: small queues, flaky receivers, crashes, everything drawn from a seed.

use std::time::Duration;

use domain::{RetryPolicy, RetrySchedule};

use super::harness::{Reply, World, memory};
use crate::EngineConfig;

/// Enough attempts to outlast every fault of a life, close enough together to be quick.
fn waits() -> Vec<Duration> {
    let mut waits = vec![Duration::ZERO];
    waits.extend((1..40).map(|number| Duration::from_secs(number % 20)));
    waits
}

/// A random life of an engine, then a healed world: every message must have been accepted by
/// every endpoint, and none more often than crashes and failures explain.
async fn life(seed: u64) {
    let config = EngineConfig {
        lane_queue_max: 8,
        claim_room: 6,
        payload_memory: 16 * 1024,
        in_flight_max: 24,
        retry: RetryPolicy {
            schedule: RetrySchedule::new(waits()).expect("valid"),
            ..RetryPolicy::default()
        },
        ..EngineConfig::default()
    };
    let mut world = World::over(memory(), config, seed).await;
    let urls: Vec<String> = (0..4)
        .map(|number| format!("https://receiver.example/{number}"))
        .collect();
    for url in &urls {
        world.endpoint(url).await;
    }
    let mut published = Vec::new();
    let mut crashes = 0;
    for _ in 0..60 {
        match world.random(10) {
            0 => {
                world.crash();
                crashes += 1;
                world.start().await;
            }
            1 | 2 => {
                let url = &urls[usize::try_from(world.random(4)).expect("small")];
                let reply = match world.random(5) {
                    0 => Reply::Hang,
                    1 => Reply::Status(500),
                    2 => Reply::RetryAfter(429, "3"),
                    3 => Reply::Slow(Duration::from_millis(300), 200),
                    _ => Reply::Status(200),
                };
                world.network.always(url, reply);
            }
            _ => {
                let count = usize::try_from(1 + world.random(30)).expect("small");
                published.extend(world.publish_many(count).await);
            }
        }
        world.pass(Duration::from_millis(world.random(2_000))).await;
    }
    for url in &urls {
        world.network.always(url, Reply::Status(200));
    }
    world.pass(Duration::from_mins(20)).await;

    for url in &urls {
        let counts = world.network.counts(url);
        assert_eq!(
            counts.len(),
            published.len(),
            "seed {seed}: {url} is missing some"
        );
        let most = counts.values().max().copied().unwrap_or_default();
        assert!(
            most <= 40 + crashes,
            "seed {seed}: {url} saw one message {most} times"
        );
    }
    assert_eq!(world.running().engine.payload_memory(), 0, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn random_lives_with_crashes_lose_nothing() {
    for seed in 0..20 {
        life(seed).await;
    }
}

//! Random lives without a crash, over a store that answers late and out of step: whatever is
//! changed meanwhile, each request that a receiver saw is one attempt that the store knows.

use std::sync::Arc;
use std::time::Duration;

use domain::{DeliveryState, EndpointKey, MessageId, RetryPolicy, RetrySchedule};
use store::{AttemptFilter, Endpoint, EndpointChange, EndpointRef, Order, PageRequest, Resend};

use super::harness::{Reply, World};
use super::late::{LateStore, late_store};
use crate::EngineConfig;

const METHODS: [&str; 6] = [
    "append",
    "record",
    "claim",
    "endpoints_by_key",
    "routes",
    "expand",
];

/// Close together at first, and then for long enough that nothing is given up.
fn waits() -> Vec<Duration> {
    let mut waits = vec![Duration::ZERO; 2];
    waits.extend((0..28).map(|number| Duration::from_millis(500 * (number % 5))));
    waits.resize(50, Duration::from_mins(1));
    waits
}

fn config() -> EngineConfig {
    EngineConfig {
        lane_queue_max: 8,
        claim_room: 6,
        payload_memory: 32 * 1024,
        in_flight_max: 24,
        sweep_interval: Duration::from_hours(24),
        retry: RetryPolicy {
            schedule: RetrySchedule::new(waits()).expect("valid"),
            ..RetryPolicy::default()
        },
        ..EngineConfig::default()
    }
}

fn page<C>() -> PageRequest<C> {
    PageRequest {
        limit: 250,
        order: Order::Ascending,
        cursor: None,
    }
}

fn url(number: u64) -> String {
    format!("https://receiver.example/{number}")
}

fn random_reply(world: &World) -> Reply {
    match world.random(6) {
        0 => Reply::Status(500),
        1 => Reply::Status(429),
        2 => Reply::Slow(Duration::from_millis(world.random(400)), 500),
        3 | 4 => Reply::Slow(Duration::from_millis(world.random(100)), 200),
        _ => Reply::Status(200),
    }
}

async fn change(world: &World, endpoint: &Endpoint, paused: Option<bool>, rate: Option<u16>) {
    let change = EndpointChange {
        paused,
        throttle_rate: Some(rate),
        now: world.now(),
        ..EndpointChange::default()
    };
    let reference = EndpointRef::Id(endpoint.id);
    world
        .store
        .update_endpoint(endpoint.application, &reference, change)
        .await
        .expect("changed");
    let engine = &world.running().engine;
    engine.changed(endpoint.application, Some(endpoint.key));
}

async fn resend(world: &World, message: MessageId, endpoint: EndpointKey) {
    let resend = Resend {
        message,
        endpoint,
        due: world.running().engine.shared.schedule_now(),
        idempotency: None,
        now: world.now(),
    };
    world.store.resend(resend).await.expect("due");
    world.running().engine.delivery_due(endpoint);
}

async fn live(world: &World, endpoints: &[Endpoint]) -> Vec<MessageId> {
    let mut published = Vec::new();
    for _ in 0..60 {
        let number = world.random(4);
        let endpoint = &endpoints[usize::try_from(number).expect("small")];
        match world.random(10) {
            0 | 1 => world.network.always(&url(number), random_reply(world)),
            2 => {
                let rate = u16::try_from(5 + world.random(50)).expect("small");
                change(world, endpoint, Some(world.random(2) == 0), Some(rate)).await;
            }
            3 => change(world, endpoint, Some(false), None).await,
            4 if !published.is_empty() => {
                let of = world.random(published.len() as u64);
                let message = published[usize::try_from(of).expect("small")];
                resend(world, message, endpoint.key).await;
            }
            _ => {
                let count = usize::try_from(1 + world.random(12)).expect("small");
                published.extend(world.publish_many(count).await);
            }
        }
        world.pass(Duration::from_millis(world.random(500))).await;
    }
    published
}

async fn check(world: &World, seed: u64, published: &[MessageId], endpoints: &[Endpoint]) {
    let counts: Vec<_> = (0..4)
        .map(|number| world.network.counts(&url(number)))
        .collect();
    for message in published {
        let found = world.store.message_destinations(*message, page()).await;
        let states = found.expect("listed").items;
        let filter = AttemptFilter::default();
        let attempts = world
            .store
            .attempts_by_message(*message, &filter, page())
            .await
            .expect("listed")
            .items;
        for (endpoint, counts) in endpoints.iter().zip(&counts) {
            let of = format!("seed {seed}: {message} to {}", endpoint.url.as_str());
            let state = states.iter().find(|one| one.endpoint == endpoint.key);
            let state = state.map(|state| state.state);
            assert_eq!(state, Some(DeliveryState::Success), "{of}");
            let known = attempts
                .iter()
                .filter(|attempt| attempt.endpoint_key == endpoint.key)
                .count();
            let seen = counts.get(&message.to_string()).copied();
            assert_eq!(seen, Some(known), "{of}");
        }
    }
    let engine = &world.running().engine;
    assert_eq!(engine.payload_memory(), 0, "seed {seed}");
    let lanes = engine.shared.lanes();
    assert_eq!(lanes.in_hand(), (0, 0), "seed {seed}");
    assert_eq!(lanes.counts().1, 0, "seed {seed}: a lane is behind");
}

async fn life(seed: u64) {
    let store: Arc<LateStore> = late_store(seed);
    let mut world = World::over(store.clone(), config(), seed).await;
    let mut endpoints = Vec::new();
    for number in 0..4 {
        endpoints.push(world.endpoint(&url(number)).await);
    }
    for method in METHODS {
        let (before, after) = (world.random(80), world.random(80));
        let millis = Duration::from_millis;
        store.dither(method, millis(before), millis(after));
    }

    let published = live(&world, &endpoints).await;
    for (number, endpoint) in (0..).zip(&endpoints) {
        world.network.always(&url(number), Reply::Status(200));
        change(&world, endpoint, Some(false), None).await;
    }
    world.pass(Duration::from_mins(5)).await;

    for method in METHODS {
        store.dither(method, Duration::ZERO, Duration::ZERO);
    }
    check(&world, seed, &published, &endpoints).await;
    world.crash();
}

#[tokio::test(start_paused = true)]
async fn every_request_is_one_attempt_that_the_store_knows() {
    for seed in 0..20 {
        life(seed).await;
    }
}

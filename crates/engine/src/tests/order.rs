//! Order per key: each endpoint accepts messages with one key in the order of publishing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{DisabledReason, MessageId, OrderingKey, RetryPolicy, RetrySchedule};
use store::{Endpoint, EndpointChange, EndpointRef, Resend};

use super::harness::{Reply, World, memory};
use super::late::late_store;
use crate::EngineConfig;

const URL: &str = "https://receiver.example/0";
const SECOND: Duration = Duration::from_secs(1);

async fn publish(world: &World, key: &str, count: usize) -> Vec<MessageId> {
    let mut request = world.request((0..count).map(|number| format!("{{\"n\":{number}}}")));
    for draft in &mut request.messages {
        draft.ordering_key = Some(OrderingKey::parse(key).expect("valid"));
    }
    let answer = world.running().engine.publish(request).await;
    let messages = answer.expect("published").messages;
    messages.into_iter().map(|message| message.id).collect()
}

fn config(seconds: &[u64]) -> EngineConfig {
    let waits = seconds.iter().copied().map(Duration::from_secs).collect();
    EngineConfig {
        sweep_interval: Duration::from_hours(24),
        retry: RetryPolicy {
            schedule: RetrySchedule::new(waits).expect("valid"),
            ..RetryPolicy::default()
        },
        ..EngineConfig::default()
    }
}

fn seen(world: &World) -> Vec<String> {
    let seen = world.network.seen_by(URL);
    seen.into_iter().map(|one| one.id).collect()
}

fn texts(ids: &[MessageId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

async fn change(world: &World, endpoint: &Endpoint, change: EndpointChange) {
    let change = EndpointChange {
        now: world.now(),
        ..change
    };
    let named = EndpointRef::Id(endpoint.id);
    let update = world
        .store
        .update_endpoint(endpoint.application, &named, change);
    update.await.expect("changed");
    let engine = &world.running().engine;
    engine.changed(endpoint.application, Some(endpoint.key));
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_key_arrive_one_after_the_other_and_others_pass_them_by() {
    let world = World::with(config(&[0, 5, 5])).await;
    world.endpoint(URL).await;
    world.network.script(URL, [Reply::Status(500)]);

    let line = publish(&world, "a", 3).await;
    world.settle().await;
    let other = publish(&world, "b", 1).await;
    let free = world.publish("{}").await;
    world.settle().await;
    assert_eq!(
        seen(&world),
        texts(&[line[0], other[0], free]),
        "the head failed"
    );
    world.pass(10 * SECOND).await;

    assert_eq!(
        seen(&world)[3..],
        texts(&line),
        "from the head on, in order"
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_messages_of_one_key_need_no_sweep() {
    let world = World::with(config(&[0, 5])).await;
    world.endpoint(URL).await;

    let line = publish(&world, "a", 500).await;
    world.pass(10 * SECOND).await;
    let more = publish(&world, "a", 500).await;
    world.pass(10 * SECOND).await;

    assert_eq!(seen(&world), [texts(&line), texts(&more)].concat());
    assert_eq!(world.network.most_in_flight(URL), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_lettered_head_lets_the_next_one_go() {
    let world = World::with(config(&[0, 1])).await;
    world.endpoint(URL).await;
    world
        .network
        .script(URL, [Reply::Status(500), Reply::Status(500)]);

    let line = publish(&world, "a", 2).await;
    world.pass(5 * SECOND).await;

    assert_eq!(seen(&world), texts(&[line[0], line[0], line[1]]));
}

#[tokio::test(start_paused = true)]
async fn a_line_behind_an_endpoint_that_is_unavailable_comes_to_an_end() {
    let world = World::with(config(&[0, 1, 1, 1, 1])).await;
    world.endpoint(URL).await;
    world
        .network
        .always(URL, Reply::Error(domain::ErrorClass::ConnectionRefused));
    for _ in 0..40 {
        world.publish("{}").await;
        world.pass(SECOND).await;
    }

    let line = publish(&world, "a", 20).await;
    world.pass(Duration::from_mins(30)).await;
    world.network.always(URL, Reply::Status(200));
    world.pass(Duration::from_mins(2)).await;
    let after = publish(&world, "a", 1).await;
    world.pass(SECOND).await;

    assert_eq!(
        seen(&world).last(),
        texts(&after).last(),
        "nobody stands before it"
    );
    drop(line);
}

#[tokio::test(start_paused = true)]
async fn a_crash_keeps_the_order() {
    let mut world = World::with(config(&[0, 5])).await;
    world.endpoint(URL).await;
    world.network.script(URL, [Reply::Slow(SECOND, 200)]);

    let line = publish(&world, "a", 3).await;
    world.settle().await;
    world.crash();
    world.start().await;
    world.pass(5 * SECOND).await;

    assert_eq!(seen(&world), texts(&[line[0], line[0], line[1], line[2]]));
}

#[tokio::test(start_paused = true)]
async fn pausing_holds_a_line_and_disabling_ends_it() {
    let world = World::with(config(&[0, 5])).await;
    let endpoint = world.endpoint(URL).await;
    let pause = |paused| EndpointChange {
        paused: Some(paused),
        ..EndpointChange::default()
    };
    let disable = |reason| EndpointChange {
        disabled: Some(reason),
        ..EndpointChange::default()
    };
    change(&world, &endpoint, pause(true)).await;
    let held = publish(&world, "a", 3).await;
    world.pass(5 * SECOND).await;
    change(&world, &endpoint, pause(false)).await;
    world.pass(5 * SECOND).await;
    assert_eq!(seen(&world), texts(&held));

    world.network.script(URL, [Reply::Status(500)]);
    publish(&world, "a", 3).await;
    world.settle().await;
    change(&world, &endpoint, disable(Some(DisabledReason::Requested))).await;
    change(&world, &endpoint, disable(None)).await;
    let after = publish(&world, "a", 2).await;
    world.pass(10 * SECOND).await;

    assert_eq!(seen(&world)[4..], texts(&after));
}

#[tokio::test(start_paused = true)]
async fn a_wide_message_keeps_its_place() {
    let world = World::with(config(&[0, 5])).await;
    let endpoint = world.endpoint(URL).await;
    for number in 1..300 {
        let mut new = world.new_endpoint(&format!("https://receiver.example/{number}"));
        new.subscription.event_types = Some(vec![
            domain::EventTypeFilter::parse("content.published").expect("valid"),
        ]);
        world.create(new).await;
    }
    let send = async |event_type: &str| {
        let mut request = world.request(["{}".to_owned()]);
        request.messages[0].ordering_key = Some(OrderingKey::parse("a").expect("valid"));
        request.messages[0].event_type = domain::EventType::parse(event_type).expect("valid");
        let answer = world.running().engine.publish(request).await;
        answer.expect("published").messages[0].id
    };

    let mut line = Vec::new();
    for number in 0..6 {
        let event_type = ["content.published", "content.other"][number % 2];
        line.push(send(event_type).await);
    }
    world.pass(20 * SECOND).await;

    assert_eq!(seen(&world), texts(&line));
    assert_eq!(world.network.seen().len(), 6 + 3 * 299, "{}", endpoint.id);
}

// ---- Random lives -------------------------------------------------------------------------

/// Checks each endpoint and key: every message was accepted, for the first time in order.
fn check(world: &World, seed: u64, published: &HashMap<String, Vec<MessageId>>) {
    for number in 0..3 {
        let url = format!("https://receiver.example/{number}");
        let accepted = world.network.accepted_by(&url);
        for (key, messages) in published {
            let expected = texts(messages);
            let mut found: Vec<_> = accepted.iter().filter(|id| expected.contains(id)).collect();
            let mut known = std::collections::HashSet::new();
            found.retain(|id| known.insert((*id).clone()));
            let expected: Vec<_> = expected.iter().collect();
            assert_eq!(found, expected, "seed {seed}: key {key} at {url}");
        }
    }
}

async fn life(seed: u64) {
    let late = late_store(seed);
    let store: Arc<dyn store::Store> = if seed.is_multiple_of(2) {
        memory()
    } else {
        late.clone()
    };
    let mut waits = vec![0, 0, 1, 1, 2];
    waits.resize(50, 3);
    let small = EngineConfig {
        lane_queue_max: 6,
        claim_room: 4,
        payload_memory: 32 * 1024,
        in_flight_max: 24,
        ..config(&waits)
    };
    let mut world = World::over(store, small, seed).await;
    for method in ["append", "record", "claim", "routes", "expand"] {
        let (before, after) = (world.random(60), world.random(60));
        let millis = Duration::from_millis;
        late.dither(method, millis(before), millis(after));
    }
    for number in 0..3 {
        world
            .endpoint(&format!("https://receiver.example/{number}"))
            .await;
    }
    let mut published: HashMap<String, Vec<MessageId>> = HashMap::new();
    for _ in 0..60 {
        let url = format!("https://receiver.example/{}", world.random(3));
        match world.random(10) {
            0 if seed.is_multiple_of(2) => {
                world.crash();
                world.start().await;
            }
            1 => world.network.always(&url, Reply::Status(500)),
            2 => world
                .network
                .always(&url, Reply::Slow(Duration::from_millis(80), 200)),
            3 => world.network.always(&url, Reply::Status(200)),
            4 => {
                world.publish_many(3).await;
            }
            _ => {
                let key = format!("key {}", world.random(3));
                let count = usize::try_from(1 + world.random(5)).expect("small");
                let sent = publish(&world, &key, count).await;
                published.entry(key).or_default().extend(sent);
            }
        }
        world.pass(Duration::from_millis(world.random(700))).await;
    }
    for number in 0..3 {
        let url = format!("https://receiver.example/{number}");
        world.network.always(&url, Reply::Status(200));
    }
    world.pass(Duration::from_mins(10)).await;

    check(&world, seed, &published);
    world.crash();
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_each_key_is_accepted_in_order_and_never_stuck() {
    for seed in 0..16 {
        life(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_resend_does_not_wait_in_line() {
    let world = World::with(config(&[0, 3_600])).await;
    let endpoint = world.endpoint(URL).await;
    world.network.script(URL, [Reply::Status(500)]);
    let line = publish(&world, "a", 3).await;
    world.settle().await;
    let resend = Resend {
        message: line[2],
        endpoint: endpoint.key,
        due: world.running().engine.schedule_now(),
        idempotency: None,
        now: world.now(),
    };

    world.store.resend(resend).await.expect("due");
    world.running().engine.delivery_due(endpoint.key);
    world.pass(SECOND).await;
    assert_eq!(seen(&world), texts(&[line[0], line[2]]));
    world.pass(Duration::from_hours(2)).await;

    assert_eq!(
        seen(&world)[2..],
        texts(&[line[0], line[1]]),
        "the others go in order"
    );
}

//! Endpoints that fail for long are disabled, and the operator is told of what happens.

use std::time::Duration;

use domain::{
    ApplicationId, DeliveryState, DisabledReason, ErrorClass, MessageId, RetryPolicy,
    RetrySchedule, Uid,
};
use serde_json::Value;
use store::{
    ApplicationRef, Endpoint, EndpointChange, EndpointRef, MessageFilter, NewEndpoint, Order,
    PageRequest,
};

use super::harness::{Reply, World};
use crate::EngineConfig;

const URL: &str = "https://receiver.example/hook";
const OPERATOR: &str = "https://operator.example/hook";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn config(waits: &[u64]) -> EngineConfig {
    let waits = waits.iter().copied().map(Duration::from_secs).collect();
    EngineConfig {
        disable_after: 5 * HOUR,
        operations: Some(ApplicationRef::Uid(Uid::parse("ops").expect("valid"))),
        retry: RetryPolicy {
            schedule: RetrySchedule::new(waits).expect("valid"),
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

async fn operator(world: &World) -> Option<store::Application> {
    let named = ApplicationRef::Uid(Uid::parse("ops").expect("valid"));
    let found = world.store.application(world.organization, &named).await;
    found.expect("read")
}

/// The operational messages so far.
async fn told(world: &World) -> Vec<Value> {
    let Some(application) = operator(world).await else {
        return Vec::new();
    };
    let filter = MessageFilter {
        with_content: true,
        ..MessageFilter::default()
    };
    let found = world.store.messages(application.key, &filter, page()).await;
    let items = found.expect("listed").items;
    let payloads = items.into_iter().map(|row| row.payload.expect("kept"));
    let values = payloads.map(|payload| serde_json::from_slice(&payload.bytes));
    values.map(|value| value.expect("JSON")).collect()
}

fn types(told: &[Value]) -> Vec<&str> {
    let types = told.iter().map(|one| one["type"].as_str());
    types.map(|one| one.expect("a type")).collect()
}

async fn state(world: &World, message: MessageId) -> DeliveryState {
    let found = world.store.message_destinations(message, page()).await;
    found.expect("listed").items[0].state
}

async fn read(world: &World, endpoint: &Endpoint) -> Endpoint {
    let found = world.store.endpoints_by_key(&[endpoint.key]).await;
    found.expect("read").remove(0)
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
async fn an_endpoint_that_fails_for_long_and_gave_up_is_disabled() {
    let world = World::with(config(&[0, 5])).await;
    let endpoint = world.endpoint(URL).await;
    let began = world.now();
    world
        .network
        .always(URL, Reply::Error(ErrorClass::ConnectionRefused));

    world.publish("{}").await;
    world.pass(4 * HOUR + 23 * HOUR / 24).await;
    assert_eq!(read(&world, &endpoint).await.disabled, None);
    let pending = world.publish("{}").await;
    world.pass(HOUR / 24 + 3 * SECOND).await;
    world.pass(Duration::from_mins(1)).await;

    let disabled = read(&world, &endpoint).await;
    assert_eq!(disabled.disabled, Some(DisabledReason::Failing));
    let since = disabled.failing_since.expect("told");
    assert!(since.since(began) < SECOND);
    assert_eq!(state(&world, pending).await, DeliveryState::Fail);
    let before = world.network.seen().len();
    world.publish("{}").await;
    world.pass(SECOND).await;
    assert_eq!(
        world.network.seen().len(),
        before,
        "nothing is sent any more"
    );
    let told = told(&world).await;
    let last = told.last().expect("told");
    assert_eq!(last["type"], "endpoint.disabled");
    assert_eq!(last["data"]["trigger"], "automatic");
    assert_eq!(last["data"]["reason"], "failing");
    assert_eq!(last["data"]["failSince"], since.to_string());
}

#[tokio::test(start_paused = true)]
async fn one_success_now_and_then_keeps_an_endpoint_enabled() {
    let world = World::with(config(&[0, 5])).await;
    let endpoint = world.endpoint(URL).await;
    world.network.always(URL, Reply::Status(500));
    world.publish("{}").await;
    world.pass(3 * HOUR).await;
    world.network.always(URL, Reply::Status(200));
    world.publish("{}").await;
    world.pass(SECOND).await;
    world.network.always(URL, Reply::Status(500));
    world.publish("{}").await;

    world.pass(4 * HOUR).await;

    assert_eq!(read(&world, &endpoint).await.disabled, None);
}

#[tokio::test(start_paused = true)]
async fn changes_are_published_to_an_application_that_is_made_at_first_need() {
    let world = World::with(config(&[0, 5])).await;
    assert!(operator(&world).await.is_none());

    let endpoint = world.endpoint(URL).await;
    let paused = EndpointChange {
        paused: Some(true),
        ..EndpointChange::default()
    };
    change(&world, &endpoint, paused).await;
    world.settle().await;

    let told = told(&world).await;
    assert_eq!(types(&told), ["endpoint.created", "endpoint.updated"]);
    let data = &told[0]["data"];
    assert_eq!(data["appId"], world.application.id.to_string());
    assert_eq!(data["endpointId"], endpoint.id.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_keeps_failing_is_told_of_once_and_so_is_its_end() {
    let world = World::with(config(&[0, 1, 1, 1, 1, 1])).await;
    world.endpoint(URL).await;
    world.network.always(URL, Reply::Status(503));

    let messages = world.publish_many(3).await;
    world.pass(Duration::from_mins(5)).await;
    world.network.always(URL, Reply::Status(200));
    world.publish("{}").await;
    world.pass(Duration::from_mins(1)).await;

    let told = told(&world).await;
    let count = |what| types(&told).iter().filter(|one| **one == what).count();
    assert_eq!(count("message.attempt.failing"), 1);
    assert_eq!(count("message.attempt.recovered"), 1);
    let dead = count("message.attempt.exhausted");
    assert_eq!(dead, 3, "once per message");
    let exhausted = told
        .iter()
        .find(|one| one["type"] == "message.attempt.failing")
        .expect("told");
    let data = &exhausted["data"];
    let ids: Vec<_> = messages.iter().map(ToString::to_string).collect();
    assert!(ids.iter().any(|id| data["msgId"] == *id));
    assert_eq!(data["lastAttempt"]["responseStatusCode"], 503);
    assert!(
        data["lastAttempt"]["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("atmpt_"))
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_the_operators_own_application() {
    let world = World::with(config(&[0, 1])).await;
    let endpoint = world.endpoint(URL).await;
    world.settle().await;
    let application = operator(&world).await.expect("made");
    world.network.always(OPERATOR, Reply::Status(500));
    let own = NewEndpoint {
        application: application.key,
        ..world.new_endpoint(OPERATOR)
    };
    world.create(own).await;
    let before = told(&world).await.len();

    let paused = EndpointChange {
        paused: Some(true),
        ..EndpointChange::default()
    };
    change(&world, &endpoint, paused).await;
    world.pass(Duration::from_mins(5)).await;

    assert_eq!(
        told(&world).await.len(),
        before + 1,
        "the change, and nothing that follows"
    );
    assert_eq!(world.network.seen_by(OPERATOR).len(), 2);
    let left = world.store.announcements(10).await.expect("listed");
    assert_eq!(left, []);
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_no_operational_message_and_doubles_none() {
    for moment in 0..12 {
        let mut world = World::with(config(&[0, 5])).await;
        for number in 0..3 {
            let url = format!("https://receiver.example/{number}");
            world.endpoint(&url).await;
            for _ in 0..moment {
                tokio::task::yield_now().await;
            }
            world.crash();
            world.start().await;
        }
        world.pass(5 * SECOND).await;

        let told = told(&world).await;
        assert_eq!(types(&told), ["endpoint.created"; 3], "moment {moment}");
        let mut ids: Vec<_> = told
            .iter()
            .map(|one| one["data"]["endpointId"].to_string())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3);
        world.crash();
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_operator_nothing_is_kept() {
    let world = World::new().await;
    world.endpoint(URL).await;
    world.settle().await;

    assert_eq!(world.store.announcements(10).await.expect("listed"), []);
    let named = ApplicationRef::Id(ApplicationId::from_bits(1));
    let found = world.store.application(world.organization, &named).await;
    assert_eq!(found.expect("read"), None);
}

//! Pruning, and what else keeps the store in order.

use std::time::Duration;

use domain::{CancelReason, DeliveryState, EndpointKey, EventId, MessageId};

use super::world::key;
use super::{World, everything};
use crate::{
    AfterAttempt, ApplicationRef, AttemptFilter, Endpoint, Expand, FAN_OUT_INLINE, MessageRef,
    NewMessage, Prune, Pruned, Publish, PublishOutcome, Store,
};

const DAY: u64 = 86_400;

/// Prunes until nothing is left to do, a few rows at a time, and adds up what was done.
pub(super) async fn prune(world: &World<'_>, rows: u16) -> Pruned {
    let mut sum = Pruned::default();
    for _ in 0..10_000 {
        let prune = Prune {
            now: world.now,
            history: Duration::from_secs(90 * DAY),
            statistics: Duration::from_secs(90 * DAY),
            rows,
        };
        let pruned = world.store.prune(prune).await.unwrap();
        sum.payloads += pruned.payloads;
        sum.history += pruned.history;
        sum.idempotency += pruned.idempotency;
        if !pruned.more {
            return sum;
        }
    }
    panic!("there was always more to prune");
}

async fn short_lived(world: &mut World<'_>, to: &[&Endpoint]) -> MessageId {
    let message = NewMessage {
        expires: world.after(3_600),
        ..world.message(to)
    };
    world.put(message).await
}

async fn has_payload(world: &World<'_>, message: MessageId) -> bool {
    world.read(message).await.unwrap().payload.is_some()
}

/// Finished is delivered, dead-lettered or canceled; nothing else is erased.
pub async fn an_expired_payload_is_erased_once_its_deliveries_are_finished(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (endpoint, disabled) = (world.endpoint().await, world.endpoint().await);
    let delivered = short_lived(&mut world, &[&endpoint]).await;
    let pending = short_lived(&mut world, &[&endpoint]).await;
    let canceled = short_lived(&mut world, &[&disabled]).await;
    let nowhere = short_lived(&mut world, &[]).await;
    let young = world.send(&[]).await;
    let then = AfterAttempt::Success;
    world.tried(delivered, &endpoint, 1, then).await;
    world.disable(&disabled).await;
    world.wait(3_599);
    assert_eq!(prune(&world, 1_000).await.payloads, 0, "not yet");
    world.wait(1);

    let pruned = prune(&world, 1_000).await;

    assert_eq!(pruned.payloads, 3);
    for (message, kept) in [
        (delivered, false),
        (pending, true),
        (canceled, false),
        (nowhere, false),
        (young, true),
    ] {
        assert_eq!(has_payload(&world, message).await, kept);
    }
    assert_eq!(world.due(&endpoint).await, [pending]);
    world.tried(pending, &endpoint, 1, then).await;
    assert_eq!(prune(&world, 1_000).await.payloads, 1, "finished since");
    assert!(!has_payload(&world, pending).await);
}

/// A pending fan-out counts as unfinished.
pub async fn a_payload_with_a_fan_out_to_come_is_kept(store: &dyn Store) {
    let mut world = World::new(store).await;
    let destinations = (10_000..).map(EndpointKey).take(FAN_OUT_INLINE + 1);
    let message = NewMessage {
        expires: world.now,
        destinations: destinations.collect(),
        ..world.message(&[])
    };
    let message = world.put(message).await;

    assert_eq!(prune(&world, 1_000).await.payloads, 0);

    assert!(has_payload(&world, message).await);
    let expand = Expand {
        message,
        room: 1_000,
    };
    assert!(store.expand(expand).await.unwrap().done);
    assert_eq!(prune(&world, 1_000).await.payloads, 1);
}

/// Message, deliveries and attempts; its event id is free again.
pub async fn history_is_erased_entirely(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let old = NewMessage {
        destinations: vec![endpoint.key],
        ..world.event("once")
    };
    let old = world.put(old).await;
    let then = AfterAttempt::Success;
    world.tried(old, &endpoint, 1, then).await;
    world.wait(90 * DAY);
    let young = world.send(&[&endpoint]).await;
    world.tried(young, &endpoint, 1, then).await;
    assert_eq!(prune(&world, 1_000).await.history, 0, "not yet");
    world.wait(1);

    let pruned = prune(&world, 1_000).await;

    assert_eq!(pruned.history, 2, "a message and an attempt");
    assert!(world.read(old).await.is_none());
    assert!(world.destinations(old).await.is_empty());
    let filter = AttemptFilter::default();
    let attempts = store
        .attempts_by_endpoint(endpoint.key, &filter, everything())
        .await
        .unwrap()
        .items;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].message, young);
    let event_id = MessageRef::EventId(EventId::parse("once").unwrap());
    let found = store.message(world.application.key, &event_id).await;
    assert_eq!(found, Ok(None));
    let again = world.event("once");
    world.put(again).await;
}

/// Retention never erases what is still to be delivered.
pub async fn unfinished_history_is_kept(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    world.wait(91 * DAY);

    for rows in [1, 1_000] {
        assert_eq!(prune(&world, rows).await.history, 0);
    }

    assert_eq!(world.due(&endpoint).await, [message]);
    assert!(has_payload(&world, message).await);
    world
        .tried(message, &endpoint, 1, AfterAttempt::Success)
        .await;
    assert_eq!(prune(&world, 1).await.history, 2);
}

/// Settling is the store's own business: it changes nothing that callers see.
pub async fn canceled_deliveries_are_settled_as_they_read(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let pending = world.send(&[&endpoint]).await;
    let delivered = world.send(&[&endpoint]).await;
    world
        .tried(delivered, &endpoint, 1, AfterAttempt::Success)
        .await;
    world.resend(delivered, &endpoint).await;
    world.disable(&endpoint).await;
    world.enable(&endpoint).await;
    let later = world.send(&[&endpoint]).await;
    let mut before = Vec::new();
    for message in [pending, delivered, later] {
        before.push(world.destination(message).await);
    }

    prune(&world, 1).await;

    for (index, message) in [pending, delivered, later].into_iter().enumerate() {
        assert_eq!(world.destination(message).await, before[index]);
    }
    assert_eq!(
        before[0].cancel_reason,
        Some(CancelReason::EndpointDisabled)
    );
    assert_eq!(before[1].state, DeliveryState::Success);
    assert_eq!(world.due(&endpoint).await, [later]);
}

/// With its deliveries and attempts, but not the messages.
pub async fn a_deleted_endpoint_is_erased(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (deleted, other) = (world.endpoint().await, world.endpoint().await);
    let mut messages = Vec::new();
    for _ in 0..5 {
        messages.push(world.send(&[&deleted, &other]).await);
    }
    let then = AfterAttempt::Success;
    world.tried(messages[0], &deleted, 1, then).await;
    world.delete(&deleted).await;

    prune(&world, 2).await;

    let by_key = store.endpoints_by_key(&[deleted.key]).await.unwrap();
    assert!(by_key.is_empty());
    for message in &messages {
        let row = world.destination(*message).await;
        assert_eq!(row.endpoint, other.key);
    }
    let filter = AttemptFilter::default();
    let attempts = store.attempts_by_message(messages[0], &filter, everything());
    assert!(attempts.await.unwrap().items.is_empty());
    // An outcome that was on its way finds nobody, and harms nobody.
    world.tried(messages[1], &deleted, 1, then).await;
    let row = world.destination(messages[1]).await;
    assert_eq!(row.endpoint, other.key);
}

/// With all that it had.
pub async fn a_deleted_application_is_erased(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let destinations = (10_000..).map(EndpointKey).take(FAN_OUT_INLINE + 1);
    let wide = world.send_wide(destinations).await;
    let message = world.send(&[&endpoint]).await;
    let named = ApplicationRef::Id(world.application.id);
    store
        .delete_application(world.organization, &named, world.now)
        .await
        .unwrap();

    prune(&world, 3).await;

    for message in [wide, message] {
        assert!(world.read(message).await.is_none());
        assert!(world.destinations(message).await.is_empty());
    }
    assert!(store.unfinished_fan_outs(9).await.unwrap().is_empty());
    let by_key = store.endpoints_by_key(&[endpoint.key]).await.unwrap();
    assert!(by_key.is_empty());
}

/// By whole hours; what was counted later stays.
pub async fn old_counters_are_erased(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let then = AfterAttempt::Success;
    for hours in [0, 2, 2] {
        world.wait(hours * 3_600);
        let message = world.send(&[&endpoint]).await;
        world.tried(message, &endpoint, 1, then).await;
    }
    let counted = async || {
        let stats = store.endpoint_stats(endpoint.key, crate::Span::default());
        stats.await.unwrap().success
    };
    let request = Prune {
        now: world.now,
        history: Duration::from_secs(90 * DAY),
        statistics: Duration::from_hours(4),
        rows: 1,
    };

    while store.prune(request).await.unwrap().more {}
    assert_eq!(counted().await, 3);
    let later = Prune {
        now: world.after(3_600),
        ..request
    };
    while store.prune(later).await.unwrap().more {}

    assert_eq!(counted().await, 2);
}

/// Buckets that are past their time; a key that still counts stays.
pub async fn old_idempotency_keys_are_dropped(store: &dyn Store) {
    let mut world = World::new(store).await;
    let publish = |world: &mut World<'_>, name| {
        let message = world.message(&[]);
        Publish {
            idempotency: Some(key(name, 1)),
            ..world.publish(vec![message])
        }
    };
    let old = publish(&mut world, 1);
    world.append(old).await;
    world.wait(DAY);
    let young = publish(&mut world, 2);
    world.append(young).await;
    assert_eq!(prune(&world, 1_000).await.idempotency, 0);
    world.wait(DAY);

    let pruned = prune(&world, 1_000).await;

    assert_eq!(pruned.idempotency, 1);
    let again = publish(&mut world, 2);
    let again = world.append(again).await;
    assert!(matches!(again, PublishOutcome::Replayed(_)), "{again:?}");
}

/// However small the batches, the end is the same.
pub async fn a_small_batch_says_that_there_is_more(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut messages = Vec::new();
    for _ in 0..10 {
        messages.push(short_lived(&mut world, &[&endpoint]).await);
    }
    let then = AfterAttempt::Success;
    for message in &messages[..8] {
        world.tried(*message, &endpoint, 1, then).await;
    }
    world.wait(7_200);

    assert_eq!(prune(&world, 3).await.payloads, 8);

    for (index, message) in messages.iter().enumerate() {
        assert_eq!(has_payload(&world, *message).await, index >= 8);
    }
    world.wait(91 * DAY);
    assert_eq!(prune(&world, 3).await.history, 16);
}

/// As `/readyz` asks.
pub async fn a_store_with_room_is_writable(store: &dyn Store) {
    let world = World::new(store).await;

    assert_eq!(store.check_writable(world.now).await, Ok(()));
    assert_eq!(store.check_writable(world.now).await, Ok(()));
}

/// For the metrics.
pub async fn commits_are_counted(store: &dyn Store) {
    let mut world = World::new(store).await;
    let before = store.stats().await.unwrap().commits;

    world.send(&[]).await;

    let stats = store.stats().await.unwrap();
    assert_eq!(stats.commits, before + 1);
    assert_eq!(stats.commits, store.commit_number());
}

/// And known by its key until that is dropped.
pub async fn a_request_is_noted_as_done_once(store: &dyn Store) {
    let mut world = World::new(store).await;
    assert_eq!(store.was_done(&key(1, 1), world.now).await, Ok(false));

    for _ in 0..2 {
        store.note_done(key(1, 1), world.now).await.unwrap();
    }

    assert_eq!(store.was_done(&key(1, 1), world.now).await, Ok(true));
    let other = store.was_done(&key(1, 2), world.now).await;
    assert_eq!(other, Err(crate::Error::KeyReused));
    let other = store.note_done(key(1, 2), world.now).await;
    assert_eq!(other, Err(crate::Error::KeyReused));
    assert_eq!(store.was_done(&key(2, 1), world.now).await, Ok(false));
    world.wait(3 * DAY);
    prune(&world, 10).await;
    assert_eq!(store.was_done(&key(1, 1), world.now).await, Ok(false));
}

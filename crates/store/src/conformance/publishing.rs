//! Appending and expanding.

use bytes::Bytes;
use domain::{DeliveryState, EndpointKey, MessageId};

use super::World;
use super::world::key;
use crate::{
    ApplicationRef, Error, Expand, FAN_OUT_INLINE, Idempotency, IdempotencyKind, NewMessage,
    OnEventId, Payload, Publish, PublishOutcome, PublishedMessage, Store, UnfinishedFanOut,
};

fn stored(ids: impl IntoIterator<Item = MessageId>) -> PublishOutcome {
    PublishOutcome::Stored(published(ids))
}

fn published(ids: impl IntoIterator<Item = MessageId>) -> Vec<PublishedMessage> {
    ids.into_iter()
        .map(|id| PublishedMessage {
            id,
            duplicate: false,
        })
        .collect()
}

/// Durable when it returns, all of it.
pub async fn an_append_stores_message_deliveries_and_key_together(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.message(&[&endpoint]);
    let publish = Publish {
        idempotency: Some(key(1, 1)),
        ..world.publish(vec![message.clone()])
    };

    let outcome = world.append(publish.clone()).await;

    assert_eq!(outcome, stored([message.id]));
    let row = world.read(message.id).await.unwrap();
    assert_eq!(row.id, message.id);
    assert_eq!(row.event_type, message.event_type);
    assert_eq!(row.payload, Some(message.payload));
    assert_eq!(world.due(&endpoint).await, [message.id]);
    let again = Publish {
        messages: vec![world.message(&[])],
        ..publish
    };
    let replayed = PublishOutcome::Replayed(published([message.id]));
    assert_eq!(world.append(again).await, replayed);
}

/// One outcome per publish, in order; the good ones beside a bad one are stored.
pub async fn a_refused_publish_changes_nothing_for_its_neighbours(store: &dyn Store) {
    let mut world = World::new(store).await;
    let first = world.event("taken");
    let first = world.put(first).await;
    let good = [world.message(&[]), world.message(&[])];
    let (innocent, taken) = (world.message(&[]), world.event("taken"));
    let batch = vec![
        world.publish(vec![good[0].clone()]),
        world.publish(vec![innocent.clone(), taken]),
        world.publish(vec![good[1].clone()]),
    ];

    let appended = store.append(batch).await.unwrap();

    let refused = PublishOutcome::EventIdTaken { index: 1, first };
    let expected = [stored([good[0].id]), refused, stored([good[1].id])];
    assert_eq!(appended.outcomes, expected);
    assert!(world.read(innocent.id).await.is_none(), "all or none");
    assert!(world.read(good[0].id).await.is_some());
    assert!(world.read(good[1].id).await.is_some());
}

/// Create an endpoint and publish at once: it matches, because the old version is refused.
pub async fn a_publish_with_another_routing_version_is_stale(store: &dyn Store) {
    let mut world = World::new(store).await;
    let message = world.message(&[]);
    let publish = world.publish(vec![message.clone()]);
    world.endpoint().await;

    let outcome = world.append(publish).await;

    assert_eq!(outcome, PublishOutcome::Stale);
    assert!(world.read(message.id).await.is_none());
    let outcome = world.append(world.publish(vec![message.clone()])).await;
    assert_eq!(outcome, stored([message.id]));
}

/// Whether it never was or was deleted.
pub async fn a_publish_without_an_application_says_so(store: &dyn Store) {
    let mut world = World::new(store).await;
    let messages = [world.message(&[]), world.message(&[])];
    let nowhere = Publish {
        application: domain::ApplicationKey(999),
        ..world.publish(vec![messages[0].clone()])
    };
    let named = ApplicationRef::Id(world.application.id);
    store
        .delete_application(world.organization, &named, world.now)
        .await
        .unwrap();
    let deleted = world.publish(vec![messages[1].clone()]);

    let appended = store.append(vec![nowhere, deleted]).await.unwrap();

    let expected = [PublishOutcome::NoApplication, PublishOutcome::NoApplication];
    assert_eq!(appended.outcomes, expected);
    assert!(world.read(messages[1].id).await.is_none());
}

/// `OnEventId::Refuse`.
pub async fn an_event_id_that_exists_is_refused(store: &dyn Store) {
    let mut world = World::new(store).await;
    let first = world.event("once");
    let first = world.put(first).await;
    let second = world.event("once");

    let outcome = world.append(world.publish(vec![second.clone()])).await;

    assert_eq!(outcome, PublishOutcome::EventIdTaken { index: 0, first });
    assert!(world.read(second.id).await.is_none());
}

/// `OnEventId::AnswerFirst`: the first id, marked, and the others of the publish are stored.
pub async fn an_event_id_that_exists_answers_the_first_message(store: &dyn Store) {
    let mut world = World::new(store).await;
    let first = world.event("once");
    let first = world.put(first).await;
    let (second, other) = (world.event("once"), world.message(&[]));
    let publish = Publish {
        on_event_id: OnEventId::AnswerFirst,
        ..world.publish(vec![second.clone(), other.clone()])
    };

    let outcome = world.append(publish).await;

    let duplicate = PublishedMessage {
        id: first,
        duplicate: true,
    };
    let mut expected = vec![duplicate];
    expected.extend(published([other.id]));
    assert_eq!(outcome, PublishOutcome::Stored(expected));
    assert!(world.read(second.id).await.is_none());
    assert!(world.read(other.id).await.is_some());
}

/// Between two publishes, and between two messages of one.
pub async fn an_event_id_twice_in_one_batch_is_noticed(store: &dyn Store) {
    let mut world = World::new(store).await;
    let messages: Vec<NewMessage> = ["a", "a", "b", "b"].map(|id| world.event(id)).into();
    let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
    let batch = vec![
        world.publish(vec![messages[0].clone()]),
        world.publish(vec![messages[1].clone()]),
        Publish {
            on_event_id: OnEventId::AnswerFirst,
            ..world.publish(vec![messages[2].clone(), messages[3].clone()])
        },
    ];

    let outcomes = store.append(batch).await.unwrap().outcomes;

    assert_eq!(outcomes[0], stored([ids[0]]));
    let first = ids[0];
    assert_eq!(
        outcomes[1],
        PublishOutcome::EventIdTaken { index: 0, first }
    );
    let mut expected = published([ids[2], ids[2]]);
    expected[1].duplicate = true;
    assert_eq!(outcomes[2], PublishOutcome::Stored(expected));
    assert!(world.read(ids[3]).await.is_none());
}

/// The same event goes to many applications.
pub async fn an_event_id_counts_within_its_application(store: &dyn Store) {
    let mut world = World::new(store).await;
    let first = world.event("shared");
    world.put(first).await;
    let other = world.new_application(None);
    let other = store.create_application(other).await.unwrap().into_inner();
    let second = world.event("shared");
    let publish = Publish {
        application: other.key,
        routing_version: 1,
        ..world.publish(vec![second.clone()])
    };

    let outcome = world.append(publish).await;

    assert_eq!(outcome, stored([second.id]));
}

/// The first ids come back for the same request, whatever has changed; another one is refused.
pub async fn a_known_idempotency_key_answers_its_first_effect(store: &dyn Store) {
    let mut world = World::new(store).await;
    let messages = [world.message(&[]), world.message(&[]), world.message(&[])];
    let first = Publish {
        idempotency: Some(key(1, 1)),
        ..world.publish(vec![messages[0].clone()])
    };
    assert_eq!(world.append(first.clone()).await, stored([messages[0].id]));
    world.endpoint().await; // The repeat comes with the old routing version.
    let repeat = Publish {
        messages: vec![messages[1].clone()],
        ..first.clone()
    };
    let another = Publish {
        idempotency: Some(key(1, 2)),
        messages: vec![messages[2].clone()],
        ..first
    };

    let outcomes = store.append(vec![repeat, another]).await.unwrap().outcomes;

    let replayed = PublishOutcome::Replayed(published([messages[0].id]));
    assert_eq!(outcomes, [replayed, PublishOutcome::KeyReused]);
    assert!(world.read(messages[1].id).await.is_none());
    assert!(world.read(messages[2].id).await.is_none());
}

/// Two equal keys in one batch are one effect.
pub async fn two_equal_idempotency_keys_in_one_batch_are_one_effect(store: &dyn Store) {
    let mut world = World::new(store).await;
    let messages = [world.message(&[]), world.message(&[])];
    let batch = messages
        .iter()
        .map(|message| Publish {
            idempotency: Some(key(1, 1)),
            ..world.publish(vec![message.clone()])
        })
        .collect();

    let outcomes = store.append(batch).await.unwrap().outcomes;

    let replayed = PublishOutcome::Replayed(published([messages[0].id]));
    assert_eq!(outcomes, [stored([messages[0].id]), replayed]);
    assert!(world.read(messages[1].id).await.is_none());
}

/// Known for at least its kind's time, and forgotten after twice that.
pub async fn an_idempotency_key_is_forgotten_after_its_time(store: &dyn Store) {
    let mut world = World::new(store).await;
    for (kind, seconds) in [
        (IdempotencyKind::Automatic, 3_600),
        (IdempotencyKind::Chosen, 86_400),
    ] {
        let idempotency = Idempotency { kind, ..key(7, 1) };
        let mut outcomes = Vec::new();
        for wait in [0, seconds - 1, seconds + 1] {
            world.wait(wait);
            let message = world.message(&[]);
            let publish = Publish {
                idempotency: Some(idempotency.clone()),
                ..world.publish(vec![message])
            };
            outcomes.push(world.append(publish).await);
        }

        assert!(matches!(outcomes[0], PublishOutcome::Stored(_)), "{kind:?}");
        assert!(
            matches!(outcomes[1], PublishOutcome::Replayed(_)),
            "{kind:?}"
        );
        assert!(
            matches!(outcomes[2], PublishOutcome::Stored(_)),
            "{kind:?}: {outcomes:?}"
        );
    }
}

/// Only what happened is remembered.
pub async fn a_refused_publish_leaves_its_idempotency_key_free(store: &dyn Store) {
    let mut world = World::new(store).await;
    let message = world.message(&[]);
    let stale = Publish {
        idempotency: Some(key(1, 1)),
        routing_version: world.version + 1,
        ..world.publish(vec![message.clone()])
    };
    assert_eq!(world.append(stale.clone()).await, PublishOutcome::Stale);

    let fresh = Publish {
        routing_version: world.version,
        ..stale
    };
    let outcome = world.append(fresh).await;

    assert_eq!(outcome, stored([message.id]));
}

/// Nothing about them is normalised: not even an empty payload is no payload.
pub async fn payload_bytes_are_kept_exactly(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let payloads: [(Bytes, Option<&str>); 4] = [
        (Bytes::from_static(b"{ \"a\" :\n1.0 }"), None),
        (Bytes::from_static(b""), Some("text/plain")),
        (
            Bytes::from_static(b"\x00\xff\xfe"),
            Some("application/octet-stream"),
        ),
        (Bytes::from(vec![b'x'; 300_000]), None),
    ];

    for (bytes, content_type) in payloads {
        let payload = Payload {
            bytes,
            content_type: content_type.map(Into::into),
        };
        let message = NewMessage {
            payload: payload.clone(),
            ..world.message(&[&endpoint])
        };
        let id = world.put(message).await;

        let read = world.read(id).await.unwrap().payload;
        assert_eq!(read.as_ref(), Some(&payload));
        let claimed = world.claim(&endpoint).await.deliveries;
        let sent = claimed.iter().find(|delivery| delivery.message == id);
        assert_eq!(sent.map(|delivery| &delivery.payload), Some(&payload));
    }
}

/// Ids are drawn so that this does not happen; if it does, nothing is overwritten.
pub async fn a_message_id_that_exists_fails_the_call_before_anything_is_stored(store: &dyn Store) {
    let mut world = World::new(store).await;
    let first = world.message(&[]);
    world.put(first.clone()).await;
    let (good, twice) = (world.message(&[]), world.message(&[]));
    let no_uuid = NewMessage {
        id: MessageId::from_bits(1),
        ..world.message(&[])
    };

    for bad in [
        vec![good.clone(), first.clone()],
        vec![good.clone(), twice.clone(), twice],
        vec![good.clone(), no_uuid],
    ] {
        let refused = store.append(vec![world.publish(bad)]).await;

        assert_eq!(refused, Err(Error::Conflict("message")));
        assert!(world.read(good.id).await.is_none());
    }
    let row = world.read(first.id).await.unwrap();
    assert_eq!(row.payload, Some(first.payload));
}

/// `commit` rises with every commit, and a claim that begins later reflects it.
pub async fn a_claim_after_an_append_sees_its_commit(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut last = store.commit_number();

    for count in 1..=3 {
        let message = world.message(&[&endpoint]);
        let batch = vec![world.publish(vec![message])];
        let commit = store.append(batch).await.unwrap().commit;

        assert!(commit > last);
        assert!(store.commit_number() >= commit);
        let claimed = world.claim(&endpoint).await;
        assert!(claimed.as_of >= commit);
        assert_eq!(claimed.deliveries.len(), count);
        last = commit;
    }
}

/// One message x one destination is one delivery.
pub async fn a_destination_named_twice_is_one_delivery(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;

    let id = world.send(&[&endpoint, &endpoint]).await;

    assert_eq!(world.due(&endpoint).await, [id]);
}

/// At the bound all are made at once; one more, and none is.
pub async fn many_destinations_become_a_fan_out(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let destinations = |count: usize| {
        let others = (10_000..).map(EndpointKey);
        std::iter::once(endpoint.key).chain(others.take(count - 1))
    };

    let inline = world.send_wide(destinations(FAN_OUT_INLINE)).await;
    assert_eq!(world.due(&endpoint).await, [inline]);
    let wide = world.send_wide(destinations(FAN_OUT_INLINE + 1)).await;

    assert_eq!(world.due(&endpoint).await, [inline]);
    let unfinished = store.unfinished_fan_outs(10).await.unwrap();
    assert_eq!(unfinished, [UnfinishedFanOut { message: wide }]);
}

/// Never one twice, never one left out, and the cursor is gone in the end.
pub async fn a_wide_message_is_expanded_in_order_and_once(store: &dyn Store) {
    let mut world = World::new(store).await;
    let mut endpoints = Vec::new();
    for _ in 0..=FAN_OUT_INLINE {
        endpoints.push(world.endpoint().await);
    }
    // Not in the order of their keys: the order of the append is what counts.
    let order: Vec<EndpointKey> = endpoints
        .iter()
        .rev()
        .map(|endpoint| endpoint.key)
        .collect();
    let message = world.send_wide(order.clone()).await;
    let due = world.now;
    world.wait(5);

    let mut made = Vec::new();
    let mut last = store.commit_number();
    for rounds in 1.. {
        let expand = Expand { message, room: 100 };
        let expanded = store.expand(expand).await.unwrap();
        assert_eq!(expanded.due, due);
        assert!(expanded.destinations.len() <= 100);
        assert!(expanded.commit > last);
        last = expanded.commit;
        made.extend(expanded.destinations);
        if expanded.done {
            assert_eq!(rounds, 3);
            break;
        }
    }

    assert_eq!(made, order);
    assert!(store.unfinished_fan_outs(10).await.unwrap().is_empty());
    for endpoint in &endpoints {
        let claimed = world.claim(endpoint).await.deliveries;
        assert_eq!(claimed.len(), 1);
        assert_eq!((claimed[0].message, claimed[0].due), (message, due));
    }
}

/// What is done, what was never wide, and what was never there.
pub async fn expanding_what_is_not_wide_makes_nothing(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let narrow = world.send(&[&endpoint]).await;
    let never = world.message(&[]).id;

    for message in [narrow, never] {
        let expand = Expand { message, room: 10 };
        let expanded = store.expand(expand).await.unwrap();

        assert!(expanded.done);
        assert!(expanded.destinations.is_empty());
    }
    assert_eq!(world.due(&endpoint).await, [narrow]);
}

/// Disabling and deleting cancel what is pending, rows that are still to be made included.
pub async fn a_wide_message_skips_what_was_canceled_meanwhile(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (disabled, deleted) = (world.endpoint().await, world.endpoint().await);
    let healthy = world.endpoint().await;
    let keys = [disabled.key, deleted.key, healthy.key];
    let others = (10_000..).map(EndpointKey).take(FAN_OUT_INLINE);
    let message = world.send_wide(keys.into_iter().chain(others)).await;
    world.disable(&disabled).await;
    world.enable(&disabled).await;
    world.delete(&deleted).await;

    let expand = Expand {
        message,
        room: 1_000,
    };
    let expanded = store.expand(expand).await.unwrap();

    assert_eq!(expanded.destinations, [healthy.key]);
    assert!(expanded.done);
    let states = world.destinations(message).await;
    let states: Vec<_> = states.iter().map(|row| (row.endpoint, row.state)).collect();
    let expected = [
        (disabled.key, DeliveryState::Canceled),
        (deleted.key, DeliveryState::Canceled),
        (healthy.key, DeliveryState::Pending),
    ];
    assert_eq!(states, expected);
    assert!(world.due(&disabled).await.is_empty());
}

/// So that a start finishes first what waits longest.
pub async fn unfinished_fan_outs_are_listed_oldest_first(store: &dyn Store) {
    let mut world = World::new(store).await;
    let wide = |from| (from..).map(EndpointKey).take(FAN_OUT_INLINE + 1);
    let mut sent = Vec::new();
    for from in [30_000, 20_000, 10_000] {
        let message = world.send_wide(wide(from)).await;
        sent.push(UnfinishedFanOut { message });
    }

    assert_eq!(store.unfinished_fan_outs(2).await.unwrap(), sent[..2]);
    assert_eq!(store.unfinished_fan_outs(9).await.unwrap(), sent);
}

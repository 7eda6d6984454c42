//! Claiming what is due.

use bytes::Bytes;
use domain::{CancelReason, Epoch, MessageId, ShardId, Trigger};

use super::World;
use crate::{
    AfterAttempt, ApplicationRef, AttemptRecord, Claim, DestinationDue, EndpointChange, Error,
    NewMessage, Payload, Recorded, Store,
};

/// Not by key alone: a message that is due earlier goes first.
pub async fn a_claim_is_ordered_by_due_time_and_message(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut sent = Vec::new();
    for delay in [30, 10, 10, 20] {
        let message = NewMessage {
            due: world.after(delay),
            ..world.message(&[&endpoint])
        };
        sent.push(world.put(message).await);
    }
    world.wait(30);

    let due = world.due(&endpoint).await;

    assert_eq!(due, [sent[1], sent[2], sent[3], sent[0]]);
}

/// Between two of the same due time too.
pub async fn a_claim_goes_on_after_a_delivery(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut sent = Vec::new();
    for delay in [20, 0, 20, 20, 10, 10] {
        let message = NewMessage {
            due: world.after(delay),
            ..world.message(&[&endpoint])
        };
        sent.push(world.put(message).await);
    }
    let order = [1, 4, 5, 0, 2, 3].map(|index| sent[index]);
    world.wait(20);

    let mut found: Vec<MessageId> = Vec::new();
    let mut after = None;
    loop {
        let claim = Claim {
            after,
            room: 2,
            ..world.all_due(&endpoint)
        };
        let claimed = store.claim(claim).await.unwrap();
        found.extend(claimed.deliveries.iter().map(|delivery| delivery.message));
        after = claimed
            .deliveries
            .last()
            .map(|delivery| (delivery.due, delivery.message.key()));
        if !claimed.more {
            break;
        }
    }

    assert_eq!(found, order);
}

/// What a lane does not drop comes back, so a lost task never loses a delivery.
pub async fn a_claim_changes_nothing(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    world.send(&[&endpoint]).await;
    world.send(&[&endpoint]).await;

    let first = world.claim(&endpoint).await;
    let again = world.claim(&endpoint).await;

    assert_eq!(first, again);
    assert_eq!(first.deliveries.len(), 2);
}

/// By number, and by bytes, of which one payload is always read.
pub async fn a_claim_stops_at_its_room_and_bytes(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    for _ in 0..4 {
        let message = NewMessage {
            payload: Payload {
                bytes: Bytes::from(vec![b'x'; 1_000]),
                content_type: None,
            },
            ..world.message(&[&endpoint])
        };
        world.put(message).await;
    }

    for (room, bytes, expected, more) in [
        (3, 1 << 20, 3, true),
        (4, 1 << 20, 4, false),
        (0, 1 << 20, 0, true),
        (10, 0, 1, true),
        (10, 1_000, 1, true),
        (10, 1_001, 2, true),
        (10, 3_500, 4, false),
    ] {
        let claim = Claim {
            room,
            bytes,
            ..world.all_due(&endpoint)
        };
        let claimed = store.claim(claim).await.unwrap();

        let found = (claimed.deliveries.len(), claimed.more);
        assert_eq!(found, (expected, more), "room {room}, {bytes} bytes");
    }
}

/// `next_due` is the earliest due time after now.
pub async fn a_claim_says_what_is_due_next(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    assert_eq!(world.claim(&endpoint).await.next_due, None);
    for delay in [0, 60, 30] {
        let message = NewMessage {
            due: world.after(delay),
            ..world.message(&[&endpoint])
        };
        world.put(message).await;
    }

    let claimed = world.claim(&endpoint).await;

    assert_eq!(claimed.deliveries.len(), 1);
    assert!(!claimed.more);
    assert_eq!(claimed.next_due, Some(world.after(30)));
    world.wait(60);
    assert_eq!(world.claim(&endpoint).await.next_due, None);
}

/// Disabled, paused, deleted, with its application deleted, and never there.
pub async fn a_claim_leaves_out_what_must_not_go_out(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (disabled, paused) = (world.endpoint().await, world.endpoint().await);
    let (deleted, healthy) = (world.endpoint().await, world.endpoint().await);
    let message = world.send(&[&disabled, &paused, &deleted, &healthy]).await;
    world.disable(&disabled).await;
    world.delete(&deleted).await;
    let pause = |paused| EndpointChange {
        paused: Some(paused),
        ..EndpointChange::default()
    };
    world.change(&paused, pause(true)).await;

    for endpoint in [&disabled, &paused, &deleted] {
        let claimed = world.claim(endpoint).await;
        assert_eq!((claimed.deliveries.len(), claimed.more), (0, false));
        assert_eq!(claimed.next_due, None);
    }
    let due = store.destinations_due(None, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].destination, healthy.key);
    world.change(&paused, pause(false)).await;
    assert_eq!(world.due(&paused).await, [message], "only held");
    let named = ApplicationRef::Id(world.application.id);
    store
        .delete_application(world.organization, &named, world.now)
        .await
        .unwrap();
    assert!(world.due(&healthy).await.is_empty());
    assert!(store.destinations_due(None, 10).await.unwrap().is_empty());
    let nowhere = Claim {
        destination: domain::EndpointKey(999),
        ..world.all_due(&healthy)
    };
    assert!(store.claim(nowhere).await.unwrap().deliveries.is_empty());
}

/// What disabling canceled stays canceled; what comes later goes out.
pub async fn enabling_does_not_bring_canceled_deliveries_back(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let before = world.send(&[&endpoint]).await;
    for _ in 0..2 {
        world.disable(&endpoint).await;
        world.enable(&endpoint).await;
    }

    let after = world.send(&[&endpoint]).await;

    assert_eq!(world.due(&endpoint).await, [after]);
    let row = world.destination(before).await;
    assert_eq!(row.cancel_reason, Some(CancelReason::EndpointDisabled));
}

/// Ids are drawn before an append, so a smaller key can come later: it is not canceled.
pub async fn a_message_stored_after_enabling_goes_out_whatever_its_key(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let drawn_early = world.message(&[&endpoint]);
    world.send(&[&endpoint]).await;
    world.disable(&endpoint).await;
    world.enable(&endpoint).await;

    let id = world.put(drawn_early).await;

    assert_eq!(world.due(&endpoint).await, [id]);
}

/// All that a lane needs to make the first attempt.
pub async fn a_claim_tells_what_it_knows_of_a_delivery(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.message(&[&endpoint]);
    world.put(message.clone()).await;
    let due = world.now;
    world.wait(1);

    let claimed = world.claim(&endpoint).await.deliveries;

    assert_eq!(claimed.len(), 1);
    let delivery = &claimed[0];
    assert_eq!(delivery.message, message.id);
    assert_eq!((delivery.due, delivery.first_due), (due, due));
    assert_eq!((delivery.attempts, delivery.scheduled_attempts), (0, 0));
    assert_eq!(delivery.trigger, Trigger::Scheduled);
    assert_eq!(delivery.payload, message.payload);
}

/// Whoever took the shards last is the owner, of all of them.
pub async fn an_earlier_epoch_is_fenced(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let old = world.epoch;

    let taken = store.take_shards(world.now).await.unwrap();

    assert!(taken.iter().map(|(shard, _)| *shard).eq(ShardId::all()));
    let next = Epoch(old.0 + 1);
    assert!(taken.iter().all(|(_, epoch)| *epoch == next));
    let claim = world.all_due(&endpoint);
    assert_eq!(store.claim(claim).await, Err(Error::Fenced));
    let record = world.attempt(message, &endpoint, 1, AfterAttempt::Success);
    let answers = store.record(vec![record.clone()]).await.unwrap();
    assert_eq!(answers, [Recorded::Fenced]);
    world.epoch = next;
    assert_eq!(world.due(&endpoint).await, [message]);
    world
        .record(AttemptRecord {
            epoch: next,
            ..record
        })
        .await;
    assert!(world.due(&endpoint).await.is_empty());
}

/// By endpoint key, a page at a time, whether due yet or not.
pub async fn destinations_are_listed_with_their_earliest_due_time(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoints = [
        world.endpoint().await,
        world.endpoint().await,
        world.endpoint().await,
        world.endpoint().await,
    ];
    for (index, delay) in [(0, 50), (1, 20), (3, 70), (0, 40), (2, 5)] {
        let message = NewMessage {
            due: world.after(delay),
            ..world.message(&[&endpoints[index]])
        };
        let id = world.put(message).await;
        if index == 2 {
            let then = AfterAttempt::Success;
            world.tried(id, &endpoints[2], 1, then).await;
        }
    }
    let expected = [(0, 40), (1, 20), (3, 70)].map(|(index, delay)| DestinationDue {
        destination: endpoints[index].key,
        due: world.after(delay),
    });

    let all = store.destinations_due(None, 10).await.unwrap();
    let first = store.destinations_due(None, 2).await.unwrap();
    let rest = store.destinations_due(Some(endpoints[1].key), 10).await;

    assert_eq!(all, expected);
    assert_eq!(first, expected[..2]);
    assert_eq!(rest.unwrap(), expected[2..]);
}

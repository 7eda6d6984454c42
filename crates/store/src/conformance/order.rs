//! Order per key: of each endpoint and ordering key only one delivery is due.

use domain::{DeliveryState, EndpointKey, FailReason, MessageId, OrderingKey, ShardId};

use super::World;
use crate::{
    AfterAttempt, AttemptRecord, Endpoint, Expand, FAN_OUT_INLINE, GiveUp, InLine, NewMessage,
    Prune, Recorded, Store, Waits,
};

const EXHAUSTED: AfterAttempt = AfterAttempt::Fail(FailReason::Exhausted);

fn keyed(world: &mut World<'_>, key: &str, to: &[&Endpoint]) -> NewMessage {
    NewMessage {
        ordering_key: Some(OrderingKey::parse(key).unwrap()),
        ..world.message(to)
    }
}

async fn send(world: &mut World<'_>, key: &str, to: &[&Endpoint]) -> MessageId {
    let message = keyed(world, key, to);
    world.put(message).await
}

/// Sends messages with one key, one after the other.
async fn line<const N: usize>(world: &mut World<'_>, to: &Endpoint) -> [MessageId; N] {
    let mut ids = [MessageId::from_bits(0); N];
    for id in &mut ids {
        *id = send(world, "a", &[to]).await;
    }
    ids
}

/// Records an attempt as the engine does for a message with a key.
async fn tried(
    world: &World<'_>,
    message: MessageId,
    endpoint: &Endpoint,
    number: u16,
    then: AfterAttempt,
) -> Recorded {
    let record = AttemptRecord {
        release: Some(world.now),
        ..world.attempt(message, endpoint, number, then)
    };
    world.store.record(vec![record]).await.unwrap()[0]
}

/// Each key and each endpoint has a line of its own, and messages without a key have none.
pub async fn only_the_first_of_a_key_is_due(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (one, other) = (world.endpoint().await, world.endpoint().await);
    let first = send(&mut world, "a", &[&one]).await;
    let second = keyed(&mut world, "a", &[&one, &other]);
    let (second_id, second_key) = (second.id, second.id.key());
    let third = send(&mut world, "b", &[&one]).await;
    let free = world.send(&[&one]).await;

    let appended = store.append(vec![world.publish(vec![second])]).await;

    let waits = Waits::At(vec![one.key]);
    let message = second_key;
    assert_eq!(appended.unwrap().in_line, [InLine { message, waits }]);
    let mut due = world.due(&one).await;
    due.sort_unstable_by_key(|id| id.key());
    let mut expected = vec![first, third, free];
    expected.sort_unstable_by_key(|id| id.key());
    assert_eq!(due, expected);
    assert_eq!(world.due(&other).await, [second_id]);
    let rows = world.destinations(second_id).await;
    assert_eq!(
        (rows[0].state, rows[0].next_attempt),
        (DeliveryState::Pending, None)
    );
    assert_eq!(rows[1].next_attempt, Some(world.now));
    let claimed = world.claim(&one).await.deliveries;
    let ordered = claimed.iter().filter(|due| due.ordered).count();
    assert_eq!(ordered, 2);
    let read = world.read(second_id).await.unwrap();
    assert_eq!(read.ordering_key, Some(OrderingKey::parse("a").unwrap()));
}

/// By success and by dead-lettering, but not by a failure that is retried.
pub async fn who_ends_lets_the_next_in_line_go(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let [first, second, third] = line(&mut world, &endpoint).await;
    let published = world.now;
    world.wait(5);
    let retry = AfterAttempt::RetryAt(world.now);

    assert_eq!(
        tried(&world, first, &endpoint, 1, retry).await,
        Recorded::Stored
    );
    assert_eq!(world.due(&endpoint).await, [first]);
    let success = AfterAttempt::Success;
    assert_eq!(
        tried(&world, first, &endpoint, 2, success).await,
        Recorded::Promoted
    );
    let due = world.claim(&endpoint).await.deliveries;
    assert_eq!((due.len(), due[0].message), (1, second));
    assert_eq!((due[0].due, due[0].first_due), (world.now, published));
    assert_eq!(
        tried(&world, second, &endpoint, 1, EXHAUSTED).await,
        Recorded::Promoted
    );
    assert_eq!(world.due(&endpoint).await, [third]);
    assert_eq!(
        tried(&world, third, &endpoint, 1, success).await,
        Recorded::Stored
    );

    let [next] = line(&mut world, &endpoint).await;
    assert_eq!(world.due(&endpoint).await, [next], "nobody is left in line");
}

/// What was promised to be due later is not due sooner.
pub async fn the_next_in_line_is_not_due_before_its_time(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let [first] = line(&mut world, &endpoint).await;
    let later = NewMessage {
        due: world.after(60),
        ..keyed(&mut world, "a", &[&endpoint])
    };
    let later = world.put(later).await;

    tried(&world, first, &endpoint, 1, AfterAttempt::Success).await;

    let claimed = world.claim(&endpoint).await;
    assert_eq!(
        (claimed.deliveries.len(), claimed.next_due),
        (0, Some(world.after(60)))
    );
    world.wait(60);
    assert_eq!(world.due(&endpoint).await, [later]);
}

/// A resend of the one that waits neither moves the others nor loses its own place.
pub async fn a_resend_is_outside_of_the_order(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let [first, second, third] = line(&mut world, &endpoint).await;

    world.resend(second, &endpoint).await;
    assert_eq!(world.due(&endpoint).await, [first, second]);
    world
        .tried_by_hand(second, &endpoint, 1, AfterAttempt::AsBefore)
        .await;
    assert_eq!(world.due(&endpoint).await, [first], "it waits again");
    world.resend(second, &endpoint).await;
    tried(&world, first, &endpoint, 1, AfterAttempt::Success).await;
    world
        .tried_by_hand(second, &endpoint, 2, AfterAttempt::AsBefore)
        .await;
    assert_eq!(
        world.due(&endpoint).await,
        [second],
        "its turn came meanwhile"
    );
    world.resend(third, &endpoint).await;
    tried(&world, third, &endpoint, 1, AfterAttempt::Success).await;
    assert_eq!(world.due(&endpoint).await, [second]);
    tried(&world, second, &endpoint, 3, AfterAttempt::Success).await;
    assert_eq!(world.due(&endpoint).await, []);
}

/// Nobody waits for what was canceled, and what was canceled never comes back.
pub async fn disabling_cancels_whole_lines(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let [first, second] = line(&mut world, &endpoint).await;
    world.disable(&endpoint).await;
    world.enable(&endpoint).await;
    let [after, last] = line(&mut world, &endpoint).await;

    assert_eq!(
        world.destination(second).await.state,
        DeliveryState::Canceled
    );
    assert_eq!(world.due(&endpoint).await, [after]);
    tried(&world, first, &endpoint, 1, AfterAttempt::Success).await;
    assert_eq!(world.due(&endpoint).await, [after]);
    loop {
        let prune = Prune {
            now: world.now,
            history: std::time::Duration::from_hours(1_000),
            statistics: std::time::Duration::from_hours(1_000),
            rows: 1,
        };
        if !store.prune(prune).await.unwrap().more {
            break;
        }
    }
    assert_eq!(
        world.destination(second).await.state,
        DeliveryState::Canceled
    );
    assert_eq!(
        tried(&world, after, &endpoint, 1, EXHAUSTED).await,
        Recorded::Promoted
    );
    assert_eq!(world.due(&endpoint).await, [last]);
}

/// One after the other, so that a line behind an unavailable endpoint comes to an end.
pub async fn what_is_given_up_lets_the_next_in_line_go(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let [first, second] = line(&mut world, &endpoint).await;
    world.wait(100);
    let give_up = GiveUp {
        destination: endpoint.key,
        shard: ShardId::of(endpoint.id),
        epoch: world.epoch,
        first_due_before: world.now,
        reason: FailReason::EndpointUnavailable,
        now: world.now,
        rows: 10,
    };

    assert_eq!(store.give_up(give_up).await, Ok(1));
    assert_eq!(world.due(&endpoint).await, [second]);
    assert_eq!(world.destination(first).await.state, DeliveryState::Fail);
    assert_eq!(store.give_up(give_up).await, Ok(1));
    assert_eq!(world.due(&endpoint).await, []);
}

/// Also one that would be narrow enough to be made at once.
pub async fn messages_of_a_key_are_expanded_in_order(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let others = (10_000..).map(EndpointKey).take(FAN_OUT_INLINE);
    let mut wide = keyed(&mut world, "a", &[&endpoint]);
    wide.destinations.extend(others);
    let wide = world.put(wide).await;
    let narrow = keyed(&mut world, "a", &[&endpoint]);
    let (narrow_id, key) = (narrow.id, narrow.id.key());
    let appended = store
        .append(vec![world.publish(vec![narrow])])
        .await
        .unwrap();
    let expand = async |message| {
        let room = 1_000;
        store.expand(Expand { message, room }).await.unwrap()
    };

    assert_eq!(appended.in_line.len(), 1);
    assert_eq!(appended.in_line[0].message, key);
    assert_eq!(appended.in_line[0].waits, Waits::Everywhere);
    let early = expand(narrow_id).await;
    assert_eq!((early.destinations, early.done), (vec![], true));
    assert_eq!(store.unfinished_fan_outs(9).await.unwrap().len(), 2);
    assert_eq!(expand(wide).await.destinations, [endpoint.key]);
    assert_eq!(expand(narrow_id).await.destinations, [], "it waits in line");
    assert_eq!(store.unfinished_fan_outs(9).await.unwrap(), []);
    assert_eq!(world.due(&endpoint).await, [wide]);
    tried(&world, wide, &endpoint, 1, AfterAttempt::Success).await;
    assert_eq!(world.due(&endpoint).await, [narrow_id]);
}

/// Neither its payload nor its history is pruned.
pub async fn what_waits_in_line_is_unfinished(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let [first, second] = line(&mut world, &endpoint).await;
    world.wait(3_600 * 24 * 40);
    loop {
        let prune = Prune {
            now: world.now,
            history: std::time::Duration::from_hours(24),
            statistics: std::time::Duration::from_hours(24),
            rows: 100,
        };
        if !store.prune(prune).await.unwrap().more {
            break;
        }
    }

    tried(&world, first, &endpoint, 1, AfterAttempt::Success).await;

    assert_eq!(world.due(&endpoint).await, [second]);
    assert!(world.read(second).await.unwrap().payload.is_some());
}

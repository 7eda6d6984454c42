//! Recording how attempts ended, and giving up.

use domain::{AttemptStatus, CancelReason, DeliveryState, Epoch, FailReason, ShardId, Trigger};

use super::{World, everything};
use crate::{
    AfterAttempt, AttemptFilter, AttemptRecord, Error, GiveUp, MessageDestination, Recorded, Store,
};

const EXHAUSTED: AfterAttempt = AfterAttempt::Fail(FailReason::Exhausted);

fn state(row: &MessageDestination) -> (DeliveryState, u16) {
    (row.state, row.attempts)
}

/// One answer per record, in order.
pub async fn records_are_answered_in_order_and_fenced_ones_leave_nothing(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let messages = [
        world.send(&[&endpoint]).await,
        world.send(&[&endpoint]).await,
        world.send(&[&endpoint]).await,
    ];
    let record = |index: usize| world.attempt(messages[index], &endpoint, 1, AfterAttempt::Success);
    let fenced = AttemptRecord {
        epoch: Epoch(world.epoch.0 - 1),
        ..record(1)
    };

    let answers = store.record(vec![record(0), fenced, record(2)]).await;

    let expected = [Recorded::Stored, Recorded::Fenced, Recorded::Stored];
    assert_eq!(answers.unwrap(), expected);
    assert_eq!(world.due(&endpoint).await, [messages[1]]);
    let attempts = store
        .attempts_by_endpoint(endpoint.key, &AttemptFilter::default(), everything())
        .await
        .unwrap()
        .items;
    let attempted: Vec<_> = attempts.iter().map(|attempt| attempt.message).collect();
    assert_eq!(attempted, [messages[0], messages[2]]);
}

/// Also for a delivery that was canceled, or that has no row of its own.
pub async fn an_attempt_is_stored_whatever_the_delivery_is(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (disabled, stranger) = (world.endpoint().await, world.endpoint().await);
    let message = world.send(&[&disabled]).await;
    world.disable(&disabled).await;

    for endpoint in [&disabled, &stranger] {
        let then = AfterAttempt::RetryAt(world.after(5));
        world.tried(message, endpoint, 1, then).await;
    }

    let filter = AttemptFilter::default();
    let attempts = store
        .attempts_by_message(message, &filter, everything())
        .await
        .unwrap()
        .items;
    let endpoints: Vec<_> = attempts.iter().map(|row| row.endpoint_key).collect();
    assert_eq!(endpoints, [disabled.key, stranger.key]);
}

/// The destination has it: whatever we thought of the delivery is settled by that.
pub async fn a_success_ends_a_delivery_in_whatever_state(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (canceled, failed) = (world.endpoint().await, world.endpoint().await);
    let pending = world.endpoint().await;
    let message = world.send(&[&canceled, &failed, &pending]).await;
    world.disable(&canceled).await;
    world.tried(message, &failed, 1, EXHAUSTED).await;

    for (endpoint, number) in [(&canceled, 1), (&failed, 2), (&pending, 1)] {
        let then = AfterAttempt::Success;
        world.tried(message, endpoint, number, then).await;
    }

    let found = world.destinations(message).await;
    let states: Vec<_> = found.iter().map(state).collect();
    let success = |attempts| (DeliveryState::Success, attempts);
    assert_eq!(states, [success(1), success(2), success(1)]);
    assert!(found.iter().all(|row| row.next_attempt.is_none()));
    assert!(found.iter().all(|row| row.fail_reason.is_none()));
    assert!(world.due(&pending).await.is_empty());
}

/// Not before that time; and when it was first due is not forgotten.
pub async fn a_retry_sets_the_next_due_time(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let (first_due, again) = (world.now, world.after(5));

    let then = AfterAttempt::RetryAt(again);
    world.tried(message, &endpoint, 1, then).await;

    assert!(world.due(&endpoint).await.is_empty());
    let row = world.destination(message).await;
    assert_eq!(state(&row), (DeliveryState::Pending, 1));
    assert_eq!(row.next_attempt, Some(again));
    world.wait(5);
    let claimed = world.claim(&endpoint).await.deliveries;
    assert_eq!((claimed[0].due, claimed[0].first_due), (again, first_due));
    assert_eq!((claimed[0].attempts, claimed[0].scheduled_attempts), (1, 1));
    assert_eq!(claimed[0].trigger, Trigger::Scheduled);
}

/// `Fail` dead-letters it with the reason.
pub async fn a_failure_dead_letters_with_its_reason(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;

    for reason in [FailReason::Exhausted, FailReason::EndpointUnavailable] {
        let message = world.send(&[&endpoint]).await;
        let then = AfterAttempt::Fail(reason);
        world.tried(message, &endpoint, 1, then).await;

        let row = world.destination(message).await;
        assert_eq!(state(&row), (DeliveryState::Fail, 1));
        assert_eq!(row.fail_reason, Some(reason));
        assert_eq!(row.next_attempt, None);
    }
    assert!(world.due(&endpoint).await.is_empty());
}

/// Disabled or deleted meanwhile: a late failure does not make it pending again.
pub async fn a_canceled_delivery_keeps_its_state_after_a_failure(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (disabled, deleted) = (world.endpoint().await, world.endpoint().await);
    let message = world.send(&[&disabled, &deleted]).await;
    world.disable(&disabled).await;
    world.delete(&deleted).await;

    let retry = AfterAttempt::RetryAt(world.now);
    for (endpoint, number, then) in [
        (&disabled, 1, retry),
        (&deleted, 1, retry),
        (&disabled, 2, EXHAUSTED),
        (&deleted, 2, EXHAUSTED),
    ] {
        world.tried(message, endpoint, number, then).await;
    }

    world.enable(&disabled).await;
    let rows = world.destinations(message).await;
    let reasons: Vec<_> = rows
        .iter()
        .map(|row| (row.state, row.cancel_reason))
        .collect();
    let canceled = |reason| (DeliveryState::Canceled, Some(reason));
    let expected = [
        canceled(CancelReason::EndpointDisabled),
        canceled(CancelReason::EndpointDeleted),
    ];
    assert_eq!(reasons, expected);
    assert!(world.due(&disabled).await.is_empty());
}

/// A record whose answer was lost is sent again: nothing of it may count twice.
pub async fn recording_twice_is_recording_once(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let then = AfterAttempt::RetryAt(world.after(5));
    let first = world.attempt(message, &endpoint, 1, then);
    world.record(first.clone()).await;

    let other = AttemptRecord {
        http_status: Some(502),
        then: AfterAttempt::RetryAt(world.after(50)),
        ..first.clone()
    };
    let late_success = AttemptRecord {
        status: AttemptStatus::Success,
        then: AfterAttempt::Success,
        ..first
    };
    let answers = store.record(vec![other, late_success]).await.unwrap();

    assert_eq!(answers, [Recorded::Stored, Recorded::Stored]);
    let row = world.destination(message).await;
    assert_eq!(state(&row), (DeliveryState::Pending, 1));
    assert_eq!(row.next_attempt, Some(world.after(5)));
    world.wait(5);
    let claimed = world.claim(&endpoint).await.deliveries;
    assert_eq!(claimed[0].scheduled_attempts, 1);
    let attempts = store
        .attempts_by_message(message, &AttemptFilter::default(), everything())
        .await
        .unwrap()
        .items;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].http_status, Some(500));
}

/// It is due again when it was; the manual attempt counts, but not against the schedule.
pub async fn a_failed_manual_attempt_leaves_a_pending_delivery_as_it_was(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let (first_due, again) = (world.now, world.after(300));
    let then = AfterAttempt::RetryAt(again);
    world.tried(message, &endpoint, 1, then).await;
    world.wait(10);
    world.resend(message, &endpoint).await;

    let then = AfterAttempt::AsBefore;
    world.tried_by_hand(message, &endpoint, 2, then).await;

    assert!(world.due(&endpoint).await.is_empty());
    let row = world.destination(message).await;
    assert_eq!(state(&row), (DeliveryState::Pending, 2));
    assert_eq!(row.next_attempt, Some(again));
    world.wait(290);
    let claimed = world.claim(&endpoint).await.deliveries;
    assert_eq!((claimed[0].attempts, claimed[0].scheduled_attempts), (2, 1));
    assert_eq!((claimed[0].due, claimed[0].first_due), (again, first_due));
    assert_eq!(claimed[0].trigger, Trigger::Scheduled);
}

/// Dead-lettered, delivered, canceled: each reads as it did.
pub async fn a_failed_manual_attempt_leaves_an_ended_delivery_as_it_was(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (failed, delivered) = (world.endpoint().await, world.endpoint().await);
    let canceled = world.endpoint().await;
    let message = world.send(&[&failed, &delivered, &canceled]).await;
    let unavailable = AfterAttempt::Fail(FailReason::EndpointUnavailable);
    world.tried(message, &failed, 1, unavailable).await;
    let success = AfterAttempt::Success;
    world.tried(message, &delivered, 1, success).await;
    let then = AfterAttempt::RetryAt(world.now);
    world.tried(message, &canceled, 1, then).await;
    world.disable(&canceled).await;
    world.enable(&canceled).await;
    let before = world.destinations(message).await;

    for endpoint in [&failed, &delivered, &canceled] {
        world.resend(message, endpoint).await;
        assert_eq!(world.due(endpoint).await, [message]);
        let then = AfterAttempt::AsBefore;
        world.tried_by_hand(message, endpoint, 2, then).await;
        assert!(world.due(endpoint).await.is_empty());
    }

    let expected: Vec<_> = before
        .into_iter()
        .map(|row| MessageDestination { attempts: 2, ..row })
        .collect();
    assert_eq!(world.destinations(message).await, expected);
}

/// Whoever records it has the attempt in the log, and the delivery goes on as scheduled.
pub async fn a_failed_manual_attempt_where_none_was_due_leaves_nothing(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (pending, stranger) = (world.endpoint().await, world.endpoint().await);
    let message = world.send(&[&pending]).await;
    world.resend(message, &stranger).await;

    let then = AfterAttempt::AsBefore;
    world.tried_by_hand(message, &stranger, 1, then).await;
    world.tried_by_hand(message, &pending, 1, then).await;

    let row = world.destination(message).await;
    assert_eq!(row.endpoint, pending.key);
    assert_eq!(state(&row), (DeliveryState::Pending, 1));
    assert_eq!(row.next_attempt, Some(world.now));
    assert!(world.due(&stranger).await.is_empty());
}

/// The schedule goes on behind the manual attempt, which stays due.
pub async fn a_scheduled_attempt_under_way_does_not_lose_a_manual_one(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (retried, exhausted) = (world.endpoint().await, world.endpoint().await);
    let message = world.send(&[&retried, &exhausted]).await;
    world.resend(message, &retried).await;
    world.resend(message, &exhausted).await;
    let again = world.after(300);

    let then = AfterAttempt::RetryAt(again);
    world.tried(message, &retried, 1, then).await;
    world.tried(message, &exhausted, 1, EXHAUSTED).await;

    for endpoint in [&retried, &exhausted] {
        let claimed = world.claim(endpoint).await.deliveries;
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].trigger, Trigger::Manual);
        assert_eq!((claimed[0].attempts, claimed[0].scheduled_attempts), (1, 1));
        let then = AfterAttempt::AsBefore;
        world.tried_by_hand(message, endpoint, 2, then).await;
    }
    let rows = world.destinations(message).await;
    assert_eq!(rows[0].next_attempt, Some(again));
    assert_eq!(rows[1].state, DeliveryState::Fail);
    assert_eq!(rows[1].fail_reason, Some(FailReason::Exhausted));
}

fn give_up(world: &World<'_>, endpoint: &crate::Endpoint, rows: u16) -> GiveUp {
    GiveUp {
        now: world.now,
        destination: endpoint.key,
        shard: ShardId::of(endpoint.id),
        epoch: world.epoch,
        first_due_before: world.now,
        reason: FailReason::EndpointUnavailable,
        rows,
    }
}

/// What was first due before the time given, however often it was put off since; and nothing that
/// somebody asked for by hand.
pub async fn what_waited_too_long_is_given_up(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (endpoint, other) = (world.endpoint().await, world.endpoint().await);
    let old = world.send(&[&endpoint, &other]).await;
    let retried = world.send(&[&endpoint]).await;
    let by_hand = world.send(&[&endpoint]).await;
    let then = AfterAttempt::RetryAt(world.after(7_200));
    world.tried(retried, &endpoint, 1, then).await;
    world.resend(by_hand, &endpoint).await;
    world.wait(3_600);
    let young = world.send(&[&endpoint]).await;

    let count = store.give_up(give_up(&world, &endpoint, 100)).await;

    assert_eq!(count, Ok(2));
    assert_eq!(world.due(&endpoint).await, [by_hand, young]);
    assert_eq!(world.due(&other).await, [old]);
    for (message, attempts) in [(old, 0), (retried, 1)] {
        let row = world.destinations(message).await[0];
        assert_eq!(state(&row), (DeliveryState::Fail, attempts));
        assert_eq!(row.fail_reason, Some(FailReason::EndpointUnavailable));
    }
}

/// At most `rows`, those that are due first; and by the shard's owner only.
pub async fn giving_up_is_fenced_and_bounded(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(world.send(&[&endpoint]).await);
        world.wait(1);
    }
    let fenced = GiveUp {
        epoch: Epoch(world.epoch.0 - 1),
        ..give_up(&world, &endpoint, 100)
    };
    assert_eq!(store.give_up(fenced).await, Err(Error::Fenced));
    let unknown = GiveUp {
        destination: domain::EndpointKey(999),
        ..give_up(&world, &endpoint, 100)
    };
    assert_eq!(store.give_up(unknown).await, Ok(0));

    let count = store.give_up(give_up(&world, &endpoint, 2)).await;

    assert_eq!(count, Ok(2));
    assert_eq!(world.due(&endpoint).await, sent[2..]);
    world.disable(&endpoint).await;
    let count = store.give_up(give_up(&world, &endpoint, 2)).await;
    assert_eq!(count, Ok(0), "canceled is not pending");
}

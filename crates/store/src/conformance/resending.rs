//! Sending by hand.

use std::time::Duration;

use domain::{DeliveryState, EndpointKey, FailReason, Trigger};

use super::World;
use super::world::key;
use crate::{
    AfterAttempt, Error, Expand, FAN_OUT_INLINE, MessageDestination, NewMessage, Prune, Resend,
    Resent, Store,
};

/// Now, for a delivery that was dead-lettered; a success ends it.
pub async fn a_resend_makes_one_manual_attempt_due(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let then = AfterAttempt::Fail(FailReason::Exhausted);
    world.tried(message, &endpoint, 1, then).await;
    world.wait(60);
    let commit = store.commit_number();

    let resent = world.resend(message, &endpoint).await;

    let Resent::Due { commit: made } = resent else {
        panic!("{resent:?}");
    };
    assert!(made > commit);
    let claimed = world.claim(&endpoint).await;
    assert!(claimed.as_of >= made);
    let delivery = &claimed.deliveries[0];
    assert_eq!((delivery.message, delivery.due), (message, world.now));
    assert_eq!(delivery.trigger, Trigger::Manual);
    assert_eq!((delivery.attempts, delivery.scheduled_attempts), (1, 1));
    let row = world.destination(message).await;
    assert_eq!(row.state, DeliveryState::Pending);
    let then = AfterAttempt::Success;
    world.tried_by_hand(message, &endpoint, 2, then).await;
    let row = world.destination(message).await;
    assert_eq!((row.state, row.attempts), (DeliveryState::Success, 2));
}

/// Before the attempt was made; and with the same idempotency key also after.
pub async fn asking_twice_for_a_resend_changes_nothing(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let then = AfterAttempt::RetryAt(world.after(300));
    world.tried(message, &endpoint, 1, then).await;
    let keyed = Resend {
        idempotency: Some(key(1, 1)),
        ..world.to_resend(message, &endpoint)
    };
    store.resend(keyed.clone()).await.unwrap();
    let due = world.claim(&endpoint).await.deliveries;
    world.wait(1);

    world.resend(message, &endpoint).await;

    assert_eq!(world.claim(&endpoint).await.deliveries, due);
    let then = AfterAttempt::AsBefore;
    world.tried_by_hand(message, &endpoint, 2, then).await;
    let again = store.resend(keyed.clone()).await.unwrap();
    assert!(matches!(again, Resent::Due { .. }), "{again:?}");
    assert!(world.due(&endpoint).await.is_empty(), "one effect");
    let other = Resend {
        idempotency: Some(key(1, 2)),
        ..keyed
    };
    assert_eq!(store.resend(other).await, Err(Error::KeyReused));
}

/// To an endpoint that subscribed later, for example.
pub async fn a_resend_works_without_a_delivery(store: &dyn Store) {
    let mut world = World::new(store).await;
    let message = world.send(&[]).await;
    let endpoint = world.endpoint().await;

    world.resend(message, &endpoint).await;

    let claimed = world.claim(&endpoint).await.deliveries;
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].attempts, claimed[0].due), (0, world.now));
    assert_eq!(claimed[0].first_due, world.now);
    let row = world.destination(message).await;
    assert_eq!(row.state, DeliveryState::Pending);
}

/// Each refusal by its name.
pub async fn a_resend_needs_a_payload_an_endpoint_and_a_message(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let never = world.message(&[]).id;
    let gone = NewMessage {
        expires: world.now,
        ..world.message(&[])
    };
    let gone = world.put(gone).await;
    let prune = Prune {
        now: world.now,
        history: Duration::from_hours(24),
        statistics: Duration::from_hours(24),
        rows: 1_000,
    };
    store.prune(prune).await.unwrap();

    let refused = store.resend(world.to_resend(never, &endpoint)).await;
    assert_eq!(refused, Err(Error::NotFound("message")));
    assert_eq!(world.resend(gone, &endpoint).await, Resent::PayloadGone);
    let other = world.new_application(None);
    let other = store.create_application(other).await.unwrap().into_inner();
    let foreign = crate::NewEndpoint {
        application: other.key,
        ..world.new_endpoint()
    };
    let foreign = store.create_endpoint(foreign).await.unwrap().into_inner();
    let refused = store.resend(world.to_resend(message, &foreign)).await;
    assert_eq!(refused, Err(Error::NotFound("endpoint")));
    world.disable(&endpoint).await;
    let disabled = world.resend(message, &endpoint).await;
    assert_eq!(disabled, Resent::EndpointDisabled);
    world.delete(&endpoint).await;
    let refused = store.resend(world.to_resend(message, &endpoint)).await;
    assert_eq!(refused, Err(Error::NotFound("endpoint")));
}

/// Although its message is older than the disabling.
pub async fn a_resend_of_a_canceled_delivery_goes_out(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    world.disable(&endpoint).await;
    world.enable(&endpoint).await;

    world.resend(message, &endpoint).await;

    assert_eq!(world.due(&endpoint).await, [message]);
    let row = world.destination(message).await;
    assert_eq!(
        (row.state, row.cancel_reason),
        (DeliveryState::Pending, None)
    );
    let then = AfterAttempt::Success;
    world.tried_by_hand(message, &endpoint, 1, then).await;
    let row = world.destination(message).await;
    assert_eq!(row.state, DeliveryState::Success);
}

/// A delivery that had succeeded or failed does not become canceled by it.
pub async fn disabling_cancels_a_resend_back_to_what_was_before(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut before: Vec<MessageDestination> = Vec::new();
    for then in [
        AfterAttempt::Success,
        AfterAttempt::Fail(FailReason::Exhausted),
    ] {
        let message = world.send(&[&endpoint]).await;
        world.tried(message, &endpoint, 1, then).await;
        before.push(world.destination(message).await);
        world.resend(message, &endpoint).await;
        world.disable(&endpoint).await;

        assert_eq!(world.destination(message).await, before[before.len() - 1]);
        world.enable(&endpoint).await;
        assert!(world.due(&endpoint).await.is_empty());
    }
    let never = world.send(&[]).await;
    world.resend(never, &endpoint).await;
    world.disable(&endpoint).await;
    assert!(world.destinations(never).await.is_empty());
}

/// What was sent by hand already is not sent once more for the schedule's sake, and what failed
/// by hand is.
pub async fn a_resend_before_its_expansion_is_no_second_delivery(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoints = [
        world.endpoint().await,
        world.endpoint().await,
        world.endpoint().await,
    ];
    let [delivered, failed, due] = &endpoints;
    let others = (10_000..).map(EndpointKey).take(FAN_OUT_INLINE);
    let keys = endpoints.iter().map(|endpoint| endpoint.key);
    let message = world.send_wide(keys.chain(others)).await;
    for endpoint in &endpoints {
        world.resend(message, endpoint).await;
    }
    let then = AfterAttempt::Success;
    world.tried_by_hand(message, delivered, 1, then).await;
    let then = AfterAttempt::AsBefore;
    world.tried_by_hand(message, failed, 1, then).await;

    let expand = Expand {
        message,
        room: 1_000,
    };
    let expanded = store.expand(expand).await.unwrap();

    assert!(expanded.destinations.is_empty(), "none was never tried");
    assert!(world.due(delivered).await.is_empty());
    let claimed = world.claim(failed).await.deliveries;
    assert_eq!(claimed[0].trigger, Trigger::Scheduled);
    assert_eq!((claimed[0].attempts, claimed[0].scheduled_attempts), (1, 0));
    world.tried_by_hand(message, due, 1, then).await;
    let claimed = world.claim(due).await.deliveries;
    assert_eq!(claimed[0].trigger, Trigger::Scheduled);
}

/// Whether the expansion or the resend comes first, disabling cancels the delivery.
pub async fn a_canceled_resend_does_not_hide_the_delivery_behind_it(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let others = (10_000..).map(EndpointKey).take(FAN_OUT_INLINE);
    let keys = std::iter::once(endpoint.key).chain(others);
    let message = world.send_wide(keys).await;
    world.resend(message, &endpoint).await;
    world.disable(&endpoint).await;

    let expand = Expand { message, room: 1 };
    store.expand(expand).await.unwrap();

    let row = world.destination(message).await;
    assert_eq!(row.state, DeliveryState::Canceled);
}

/// No number is used twice.
pub async fn a_resend_counts_attempts_on(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let then = AfterAttempt::RetryAt(world.now);
    world.tried(message, &endpoint, 1, then).await;
    let then = AfterAttempt::Success;
    world.tried(message, &endpoint, 2, then).await;

    world.resend(message, &endpoint).await;

    let claimed = world.claim(&endpoint).await.deliveries;
    assert_eq!((claimed[0].attempts, claimed[0].scheduled_attempts), (2, 2));
}

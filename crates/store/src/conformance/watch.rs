//! What is told to an operator, and endpoints that fail for long.

use std::time::Duration;

use domain::{AttemptId, CancelReason, DeliveryState, DisabledReason, FailReason, TargetUrl};

use super::World;
use crate::{
    AfterAttempt, Announced, DisableFailing, Endpoint, EndpointChange, EndpointRef, Rotation,
    Sealed, Store,
};

const EXHAUSTED: AfterAttempt = AfterAttempt::Fail(FailReason::Exhausted);

async fn told(store: &dyn Store) -> Vec<Announced> {
    let told = store.announcements(100).await.unwrap();
    told.iter().map(|one| one.what).collect()
}

/// Also the numbers, of which none is used twice.
pub async fn changes_of_an_endpoint_are_told_once_asked_for(store: &dyn Store) {
    use Announced::{Created, Deleted, Disabled, Enabled, Updated};
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    assert_eq!(told(store).await, [], "nobody asked");
    store.announce(true);
    let made = world.endpoint().await;

    world.change(&endpoint, EndpointChange::default()).await;
    let change = EndpointChange {
        description: Some("x".into()),
        disabled: Some(Some(DisabledReason::Gone)),
        ..EndpointChange::default()
    };
    world.change(&endpoint, change).await;
    world.disable(&endpoint).await;
    world.enable(&endpoint).await;
    let rotation = Rotation {
        secret: Sealed(vec![2]),
        old_expires: world.after(60),
        secrets_max: 5,
        now: world.now,
        idempotency: None,
    };
    let named = EndpointRef::Id(endpoint.id);
    let rotated = store.rotate_secret(world.application.key, &named, rotation);
    rotated.await.unwrap();
    world.delete(&endpoint).await;

    let expected = [Created, Updated, Disabled, Enabled, Updated, Deleted];
    assert_eq!(told(store).await, expected);
    let all = store.announcements(100).await.unwrap();
    assert_eq!((all[0].endpoint, all[0].at), (made.id, world.now));
    assert_eq!(all[0].application, world.application.id);
    assert_eq!(all[0].organization, world.organization);
    assert_eq!(all[2].disabled, Some(DisabledReason::Gone));
    let last = all[5].number;
    assert!(all.is_sorted_by(|a, b| a.number < b.number));
    store.forget_announcements(all[1].number).await.unwrap();
    assert_eq!(told(store).await, expected[2..]);
    store.forget_announcements(last).await.unwrap();
    world.delete(&made).await;
    let after = store.announcements(100).await.unwrap();
    assert!(after[0].number > last);
}

/// Once per endpoint until it recovers; a dead letter each time.
pub async fn failing_and_recovering_are_told_once_each(store: &dyn Store) {
    use Announced::{Created, Exhausted, Failing, Recovered};
    let mut world = World::new(store).await;
    store.announce(true);
    let endpoint = world.endpoint().await;
    let (one, other) = (
        world.send(&[&endpoint]).await,
        world.send(&[&endpoint]).await,
    );
    let retry = AfterAttempt::RetryAt(world.now);

    for number in 1..=5 {
        world.wait(1);
        world.tried(one, &endpoint, number, retry).await;
        world.tried(other, &endpoint, number, retry).await;
    }
    assert_eq!(told(store).await, [Created, Failing]);
    world.tried(one, &endpoint, 6, EXHAUSTED).await;
    world
        .tried(other, &endpoint, 6, AfterAttempt::Success)
        .await;
    let free = world.send(&[&endpoint]).await;
    world.tried(free, &endpoint, 1, AfterAttempt::Success).await;

    assert_eq!(told(store).await, [Created, Failing, Exhausted, Recovered]);
    let all = store.announcements(100).await.unwrap();
    let about = all[2].message.as_ref().unwrap();
    assert_eq!((about.id, &about.event_id), (one, &None));
    let attempt = about.attempt.unwrap();
    assert_eq!(
        attempt.id,
        AttemptId::derive(one, endpoint.id, 6, world.now)
    );
    assert_eq!((attempt.at, attempt.http_status), (world.now, Some(500)));
}

async fn disable(world: &World<'_>, hours: u64) -> Vec<Endpoint> {
    let request = DisableFailing {
        since: world.now.minus(Duration::from_hours(hours)),
        now: world.now,
        rows: 10,
    };
    world.store.disable_failing(request).await.unwrap()
}

/// With the reason and since when, and as any disabling cancels.
pub async fn who_fails_for_long_and_gave_up_is_disabled(store: &dyn Store) {
    let mut world = World::new(store).await;
    store.announce(true);
    let endpoint = world.endpoint().await;
    let (given_up, pending) = (
        world.send(&[&endpoint]).await,
        world.send(&[&endpoint]).await,
    );
    let began = world.now;
    let retry = AfterAttempt::RetryAt(world.after(1));
    world.tried(given_up, &endpoint, 1, retry).await;
    world.wait(3_600 * 10);
    assert_eq!(disable(&world, 10).await, [], "nothing was given up");
    world.tried(given_up, &endpoint, 2, EXHAUSTED).await;
    assert_eq!(disable(&world, 11).await, [], "not for so long");

    let disabled = disable(&world, 10).await;

    assert_eq!(disabled.len(), 1);
    let reason = Some(DisabledReason::Failing);
    assert_eq!(
        (disabled[0].id, disabled[0].disabled),
        (endpoint.id, reason)
    );
    assert_eq!(disabled[0].disabled_at, Some(world.now));
    assert_eq!(disabled[0].failing_since, Some(began));
    let canceled = world.destination(pending).await;
    assert_eq!(canceled.state, DeliveryState::Canceled);
    assert_eq!(canceled.cancel_reason, Some(CancelReason::EndpointDisabled));
    let all = store.announcements(100).await.unwrap();
    let last = all.last().unwrap();
    assert_eq!((last.what, last.disabled), (Announced::Disabled, reason));
    assert_eq!(last.failing_since, Some(began));
    assert_eq!(disable(&world, 0).await, [], "once");
    let enabled = world.enable(&endpoint).await;
    assert_eq!((enabled.disabled_at, enabled.failing_since), (None, None));
    assert_eq!(disable(&world, 0).await, [], "it begins anew");
}

/// A success, another URL, enabling.
pub async fn what_begins_anew_is_not_disabled(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (works, moved) = (world.endpoint().await, world.endpoint().await);
    for endpoint in [&works, &moved] {
        let message = world.send(&[endpoint]).await;
        world.tried(message, endpoint, 1, EXHAUSTED).await;
    }
    world.wait(3_600);

    let message = world.send(&[&works]).await;
    world.tried(message, &works, 1, AfterAttempt::Success).await;
    let change = EndpointChange {
        url: Some(TargetUrl::parse("https://example.com/moved").unwrap()),
        ..EndpointChange::default()
    };
    world.change(&moved, change).await;

    assert_eq!(disable(&world, 0).await, []);
    let message = world.send(&[&works]).await;
    world.tried(message, &works, 1, EXHAUSTED).await;
    assert_eq!(
        disable(&world, 1).await,
        [],
        "counted from the failure after the success"
    );
    assert_eq!(disable(&world, 0).await.len(), 1);
}

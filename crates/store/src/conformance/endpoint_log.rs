//! What an endpoint gets and got.

use std::time::Duration;

use domain::{CancelReason, DeliveryState, EventType, FailReason, MessageId};

use super::world::channel;
use super::{World, ascending, descending, everything};
use crate::{
    AfterAttempt, AttemptRecord, Cursor, Endpoint, EndpointMessageFilter, EndpointStats,
    MessageFilter, NewMessage, Prune, ROWS_EXAMINED_MAX, Span, Store,
};

/// Messages to the endpoint, each in another state: delivered, pending, failed, canceled.
async fn one_of_each(world: &mut World<'_>, endpoint: &Endpoint) -> [MessageId; 4] {
    let canceled = world.send(&[endpoint]).await;
    world.disable(endpoint).await;
    world.enable(endpoint).await;
    let [delivered, pending, failed] = [
        world.send(&[endpoint]).await,
        world.send(&[endpoint]).await,
        world.send(&[endpoint]).await,
    ];
    let then = AfterAttempt::Success;
    world.tried(delivered, endpoint, 1, then).await;
    let then = AfterAttempt::Fail(FailReason::Exhausted);
    world.tried(failed, endpoint, 1, then).await;
    [delivered, pending, failed, canceled]
}

async fn listed(
    world: &World<'_>,
    endpoint: &Endpoint,
    filter: EndpointMessageFilter,
) -> Vec<MessageId> {
    let application = world.application.key;
    let found = world
        .store
        .endpoint_messages(application, endpoint.key, &filter, everything())
        .await
        .unwrap();
    assert!(found.done);
    let ids = found.items.iter().map(|item| item.message.id);
    ids.collect()
}

/// Whatever its state, and no message that goes elsewhere.
pub async fn messages_of_an_endpoint_are_those_it_is_a_destination_of(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (endpoint, other) = (world.endpoint().await, world.endpoint().await);
    let ids = one_of_each(&mut world, &endpoint).await;
    world.send(&[&other]).await;
    world.send(&[]).await;
    let application = world.application.key;

    for page in [descending(10, None), ascending(10, None)] {
        let filter = EndpointMessageFilter::default();
        let found = store
            .endpoint_messages(application, endpoint.key, &filter, page)
            .await
            .unwrap();

        assert_eq!(found.items.len(), 4);
        for item in &found.items {
            assert!(ids.contains(&item.message.id));
            assert_eq!(item.message.payload, None);
            let shown = world.destinations(item.message.id).await;
            assert_eq!(shown, [item.delivery]);
        }
    }
    let rows = world.destination(ids[3]).await;
    assert_eq!(rows.cancel_reason, Some(CancelReason::EndpointDisabled));
}

/// By state, before and after canceled deliveries are settled; by channel, type and time.
pub async fn messages_of_an_endpoint_are_filtered(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let [delivered, pending, failed, canceled] = one_of_each(&mut world, &endpoint).await;
    let wanted = |states: &[DeliveryState]| EndpointMessageFilter {
        states: Some(states.to_vec()),
        ..EndpointMessageFilter::default()
    };

    for _ in 0..2 {
        use DeliveryState::{Canceled, Fail, Pending, Success};
        for (states, expected) in [
            (&[Success][..], vec![delivered]),
            (&[Pending], vec![pending]),
            (&[Fail], vec![failed]),
            (&[Canceled], vec![canceled]),
            (&[Canceled, Fail], vec![canceled, failed]),
            (&[Success, Fail], vec![delivered, failed]),
            (&[], vec![]),
        ] {
            let found = listed(&world, &endpoint, wanted(states)).await;
            assert_eq!(found, expected, "{states:?}");
        }
        let prune = Prune {
            now: world.now,
            history: Duration::from_hours(24),
            statistics: Duration::from_hours(24),
            rows: 1_000,
        };
        store.prune(prune).await.unwrap();
    }
    world.wait(10);
    let labelled = NewMessage {
        event_type: EventType::parse("b").unwrap(),
        channels: vec![channel("x")],
        ..world.message(&[&endpoint])
    };
    let labelled = world.put(labelled).await;
    for messages in [
        MessageFilter {
            channel: Some(channel("x")),
            ..MessageFilter::default()
        },
        MessageFilter {
            event_types: Some(vec![EventType::parse("b").unwrap()]),
            ..MessageFilter::default()
        },
        MessageFilter {
            after: Some(world.now.minus(Duration::from_secs(5))),
            ..MessageFilter::default()
        },
    ] {
        let filter = EndpointMessageFilter {
            messages,
            states: None,
        };
        assert_eq!(listed(&world, &endpoint, filter).await, [labelled]);
    }
}

/// Pages of dead letters meet without a gap, however many messages lie between.
pub async fn messages_of_an_endpoint_are_paged_in_both_directions(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let mut failed = Vec::new();
    for _ in 0..5 {
        let message = world.send(&[&endpoint]).await;
        world.send(&[&endpoint]).await;
        let then = AfterAttempt::Fail(FailReason::Exhausted);
        world.tried(message, &endpoint, 1, then).await;
        failed.push(message);
    }
    let filter = EndpointMessageFilter {
        states: Some(vec![DeliveryState::Fail, DeliveryState::Canceled]),
        ..EndpointMessageFilter::default()
    };
    let list = async |page| {
        let application = world.application.key;
        let found = store
            .endpoint_messages(application, endpoint.key, &filter, page)
            .await
            .unwrap();
        let ids = found.items.iter().map(|item| item.message.id);
        (ids.collect::<Vec<_>>(), found.done)
    };
    let newest: Vec<_> = failed.iter().rev().copied().collect();

    let page = list(descending(2, None)).await;
    assert_eq!(page, (newest[..2].to_vec(), false));
    let after = Some(Cursor::After(newest[1].key()));
    assert_eq!(
        list(descending(9, after)).await,
        (newest[2..].to_vec(), true)
    );
    let before = Some(Cursor::Before(newest[3].key()));
    assert_eq!(
        list(descending(2, before)).await,
        (newest[1..3].to_vec(), false)
    );
    assert_eq!(list(ascending(5, None)).await, (failed.clone(), true));
}

/// A page ends after so many rows, even if it found nothing; the next one goes on there.
pub async fn a_sparse_list_of_an_endpoints_messages_says_where_to_resume(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let wanted = world.send(&[&endpoint]).await;
    for _ in 0..=ROWS_EXAMINED_MAX / 1_000 {
        let messages: Vec<_> = (0..1_000).map(|_| world.message(&[])).collect();
        world.append(world.publish(messages)).await;
    }
    let list = async |cursor| {
        let application = world.application.key;
        let filter = EndpointMessageFilter::default();
        let page = descending(10, cursor);
        let found = store.endpoint_messages(application, endpoint.key, &filter, page);
        found.await.unwrap()
    };

    let first = list(None).await;

    assert!(first.items.is_empty() && !first.done);
    let second = list(Some(Cursor::After(first.resume.unwrap()))).await;
    assert_eq!(second.items.len(), 1);
    assert_eq!(second.items[0].message.id, wanted);
    assert!(second.done);
}

/// Also when the attempts are long erased.
pub async fn attempts_to_an_endpoint_are_counted_by_minute(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (endpoint, other) = (world.endpoint().await, world.endpoint().await);
    let start = world.now;
    for (number, then) in [
        (1, AfterAttempt::RetryAt(start)),
        (2, AfterAttempt::RetryAt(start)),
        (3, AfterAttempt::Success),
    ] {
        let message = world.send(&[&endpoint, &other]).await;
        let at = start.plus(Duration::from_secs(45 * number));
        let record = AttemptRecord {
            at,
            ..world.attempt(message, &endpoint, 1, then)
        };
        world.record(record).await;
    }
    let count = async |since, until| {
        let at = |seconds: Option<u64>| seconds.map(|s| start.plus(Duration::from_secs(s)));
        let span = Span {
            since: at(since),
            until: at(until),
        };
        let stats = store.endpoint_stats(endpoint.key, span).await.unwrap();
        (stats.success, stats.fail)
    };

    assert_eq!(count(None, None).await, (1, 2));
    assert_eq!(count(Some(0), Some(59)).await, (0, 1));
    assert_eq!(count(Some(100), None).await, (1, 1), "the whole minute");
    assert_eq!(count(Some(120), None).await, (1, 0));
    assert_eq!(count(None, Some(119)).await, (0, 2));
    world.wait(3_600);
    let prune = Prune {
        now: world.now,
        history: Duration::from_mins(1),
        statistics: Duration::from_mins(1),
        rows: 1_000,
    };
    store.prune(prune).await.unwrap();
    assert_eq!(count(None, None).await, (1, 2));
}

/// As they stand, whether canceled ones are settled or not.
pub async fn deliveries_to_an_endpoint_are_counted_as_they_stand(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    one_of_each(&mut world, &endpoint).await;
    world.wait(60);
    world.send(&[&endpoint]).await;
    let count = async |since, until| {
        let stats = store.endpoint_stats(endpoint.key, Span { since, until });
        let EndpointStats {
            pending, canceled, ..
        } = stats.await.unwrap();
        (pending, canceled)
    };

    for _ in 0..2 {
        assert_eq!(count(None, None).await, (2, 1));
        assert_eq!(count(Some(world.now), None).await, (1, 0));
        assert_eq!(count(None, Some(world.now)).await, (1, 1));
        let prune = Prune {
            now: world.now,
            history: Duration::from_hours(24),
            statistics: Duration::from_hours(24),
            rows: 1_000,
        };
        store.prune(prune).await.unwrap();
    }
    let other = world.endpoint().await;
    let stats = store.endpoint_stats(other.key, Span::default()).await;
    assert_eq!(stats, Ok(EndpointStats::default()));
}

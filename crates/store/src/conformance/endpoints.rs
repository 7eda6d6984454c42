//! Endpoints and what routing knows of them.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{
    CancelReason, DeliveryState, DisabledReason, EndpointKey, EventTypeFilter, RetrySchedule,
    Subscription, TargetUrl, Tuning, Uid,
};

use super::world::{channel, key};
use super::{World, ascending, descending, everything};
use crate::{
    AfterAttempt, ApplicationChange, ApplicationRef, AttemptFilter, Cursor, Endpoint,
    EndpointChange, EndpointRef, Error, NewEndpoint, Rotation, Sealed, Store, Write,
};

fn uid(text: &str) -> Uid {
    Uid::parse(text).unwrap()
}

fn tuning() -> Tuning {
    let waits = [0, 1_500].map(Duration::from_millis).to_vec();
    Tuning {
        retry_schedule: Some(RetrySchedule::new(waits).unwrap()),
        timeout: Some(Duration::from_secs(7)),
        concurrency: Some(3),
        svix_headers: true,
        deliver_as: domain::DeliverAs::Request,
        forward_headers: Some(domain::HeaderFilter::parse(&["x-*", "date"]).unwrap()),
    }
}

fn filter(text: &str) -> EventTypeFilter {
    EventTypeFilter::parse(text).unwrap()
}

/// Every field, by id, by uid and by key.
pub async fn an_endpoint_reads_back_as_created(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = NewEndpoint {
        uid: Some(uid("hook")),
        url: TargetUrl::parse("https://example.com/a?b=c").unwrap(),
        description: "of the blog".into(),
        disabled: Some(DisabledReason::Requested),
        subscription: Subscription {
            event_types: Some(vec![filter("a.b"), filter("c.*"), filter("**")]),
            channels: Some(Vec::new()),
        },
        throttle_rate: Some(9),
        tuning: tuning(),
        metadata: BTreeMap::from([("a".into(), "b".into())]),
        headers: Some(Sealed(vec![9, 8])),
        secret: Sealed(vec![0, 255]),
        ..world.new_endpoint()
    };

    let made = store.create_endpoint(new.clone()).await.unwrap();

    assert!(matches!(made, Write::Done(_)));
    let made = made.into_inner();
    assert_eq!((made.application, made.id), (new.application, new.id));
    assert_eq!(made.application_id, world.application.id);
    assert_eq!((&made.uid, &made.url), (&new.uid, &new.url));
    assert_eq!(made.description, new.description);
    assert_eq!((made.disabled, made.paused), (new.disabled, false));
    assert_eq!(made.subscription, new.subscription);
    assert_eq!(made.throttle_rate, Some(9));
    assert_eq!(made.tuning, tuning());
    assert_eq!(
        (&made.metadata, &made.headers),
        (&new.metadata, &new.headers)
    );
    assert_eq!(made.secrets.len(), 1);
    assert_eq!(made.secrets[0].sealed, new.secret);
    assert_eq!(made.secrets[0].expires, None);
    assert_eq!((made.version, made.canceled_through), (1, None));
    assert_eq!((made.created, made.updated), (world.now, world.now));
    assert_eq!(made.deleted, None);
    for named in [EndpointRef::Id(new.id), EndpointRef::Uid(uid("hook"))] {
        let read = store.endpoint(world.application.key, &named).await;
        assert_eq!(read.unwrap().as_ref(), Some(&made));
        let foreign = store.endpoint(domain::ApplicationKey(99), &named).await;
        assert_eq!(foreign, Ok(None));
    }
    let keys = [EndpointKey(999), made.key];
    assert_eq!(store.endpoints_by_key(&keys).await, Ok(vec![made]));
}

/// `Conflict`, `Limit`, `NotFound`; none of them leaves anything.
pub async fn a_taken_uid_a_limit_and_a_missing_application_refuse_an_endpoint(store: &dyn Store) {
    let mut world = World::new(store).await;
    let first = NewEndpoint {
        uid: Some(uid("hook")),
        ..world.new_endpoint()
    };
    store.create_endpoint(first.clone()).await.unwrap();
    world.reload().await;
    let (version, second) = (world.version, world.new_endpoint());
    let taken = NewEndpoint {
        uid: first.uid.clone(),
        ..second.clone()
    };
    let beyond = NewEndpoint {
        endpoints_max: 1,
        ..second.clone()
    };
    let nowhere = NewEndpoint {
        application: domain::ApplicationKey(99),
        ..second.clone()
    };

    let limit = Error::Limit {
        name: "endpoints_per_application",
        max: 1,
    };
    for (new, error) in [
        (taken, Error::Conflict("uid")),
        (beyond, limit),
        (nowhere, Error::NotFound("application")),
    ] {
        assert_eq!(store.create_endpoint(new).await, Err(error));
    }
    world.reload().await;
    assert_eq!(world.version, version);
    let made = store.create_endpoint(second).await.unwrap().into_inner();
    let change = EndpointChange {
        uid: Some(first.uid),
        ..EndpointChange::default()
    };
    let named = EndpointRef::Id(made.id);
    let refused = store
        .update_endpoint(world.application.key, &named, change)
        .await;
    assert_eq!(refused, Err(Error::Conflict("uid")));
}

/// `Replayed` with what it is today.
pub async fn a_repeated_creation_answers_the_endpoint_as_it_is(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = NewEndpoint {
        idempotency: Some(key(1, 1)),
        ..world.new_endpoint()
    };
    let made = store.create_endpoint(new.clone()).await.unwrap();
    let change = EndpointChange {
        paused: Some(true),
        ..EndpointChange::default()
    };
    let changed = world.change(&made.into_inner(), change).await;

    let again = store.create_endpoint(new.clone()).await;

    assert_eq!(again, Ok(Write::Replayed(changed.clone())));
    let other = NewEndpoint {
        idempotency: Some(key(1, 2)),
        ..new.clone()
    };
    assert_eq!(store.create_endpoint(other).await, Err(Error::KeyReused));
    world.delete(&changed).await;
    let gone = store.create_endpoint(new).await;
    assert_eq!(gone, Err(Error::NotFound("endpoint")));
}

/// Of one application, in both directions.
pub async fn endpoints_are_listed_by_id(store: &dyn Store) {
    let mut world = World::new(store).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.endpoint().await.id);
    }
    let other = world.new_application(None);
    let other = store.create_application(other).await.unwrap().into_inner();
    let foreign = NewEndpoint {
        application: other.key,
        ..world.new_endpoint()
    };
    store.create_endpoint(foreign).await.unwrap();
    let list = async |page| {
        let found = store.endpoints(world.application.key, page).await.unwrap();
        let found_ids: Vec<_> = found.items.iter().map(|item| item.id).collect();
        (found_ids, found.done)
    };

    assert_eq!(list(ascending(3, None)).await, (ids.clone(), true));
    let page = list(descending(2, None)).await;
    assert_eq!(page, (vec![ids[2], ids[1]], false));
    let after = Some(Cursor::After(ids[0]));
    let page = list(ascending(1, after)).await;
    assert_eq!(page, (vec![ids[1]], false));
    let before = Some(Cursor::Before(ids[2]));
    let page = list(ascending(9, before)).await;
    assert_eq!(page, (ids[..2].to_vec(), true));
}

/// `None` leaves a field alone, and the version rises.
pub async fn an_endpoint_change_touches_what_it_names(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = NewEndpoint {
        uid: Some(uid("hook")),
        headers: Some(Sealed(vec![1])),
        throttle_rate: Some(3),
        tuning: Tuning {
            concurrency: Some(5),
            ..Tuning::default()
        },
        ..world.new_endpoint()
    };
    let before = store.create_endpoint(new).await.unwrap().into_inner();
    world.wait(5);
    let subscription = Subscription {
        event_types: None,
        channels: Some(vec![channel("blog"), channel("shop")]),
    };
    let change = EndpointChange {
        uid: Some(None),
        paused: Some(true),
        subscription: Some(subscription.clone()),
        headers: Some(None),
        tuning: Some(Tuning {
            concurrency: None,
            ..tuning()
        }),
        ..EndpointChange::default()
    };

    let changed = world.change(&before, change).await;

    let expected = Endpoint {
        uid: None,
        paused: true,
        subscription,
        headers: None,
        tuning: Tuning {
            concurrency: None,
            ..tuning()
        },
        version: before.version + 1,
        updated: world.now,
        ..before
    };
    assert_eq!(changed, expected);
    let named = EndpointRef::Id(changed.id);
    let read = store.endpoint(world.application.key, &named).await;
    assert_eq!(read, Ok(Some(changed)));
    let nobody = EndpointRef::Uid(uid("hook"));
    let gone = store
        .update_endpoint(world.application.key, &nobody, EndpointChange::default())
        .await;
    assert_eq!(gone, Err(Error::NotFound("endpoint")));
}

/// Of the endpoints, and of the application itself.
pub async fn every_change_raises_the_routing_version(store: &dyn Store) {
    let mut world = World::new(store).await;
    let mut versions = vec![world.version];
    let endpoint = world.endpoint().await;
    versions.push(world.version);
    world.change(&endpoint, EndpointChange::default()).await;
    versions.push(world.version);
    let rotation = Rotation {
        idempotency: None,
        secret: Sealed(vec![2]),
        old_expires: world.after(60),
        secrets_max: 5,
        now: world.now,
    };
    let named = EndpointRef::Id(endpoint.id);
    store
        .rotate_secret(world.application.key, &named, rotation)
        .await
        .unwrap();
    world.reload().await;
    versions.push(world.version);
    world.delete(&endpoint).await;
    versions.push(world.version);
    let change = ApplicationChange {
        throttle_rate: Some(Some(1)),
        ..ApplicationChange::default()
    };
    let named = ApplicationRef::Id(world.application.id);
    store
        .update_application(world.organization, &named, change)
        .await
        .unwrap();
    world.reload().await;
    versions.push(world.version);

    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

/// One snapshot of the application with its endpoints by key.
pub async fn routes_leave_out_deleted_endpoints_only(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (disabled, paused) = (world.endpoint().await, world.endpoint().await);
    let deleted = world.endpoint().await;
    let disabled = world.disable(&disabled).await;
    let change = EndpointChange {
        paused: Some(true),
        ..EndpointChange::default()
    };
    let paused = world.change(&paused, change).await;
    let deleted = world.delete(&deleted).await;

    let named = ApplicationRef::Id(world.application.id);
    let routes = store.routes(world.organization, &named).await.unwrap();

    let routes = routes.unwrap();
    assert_eq!(routes.application, world.application);
    assert_eq!(routes.endpoints, [disabled, paused]);
    let by_key = store.endpoints_by_key(&[deleted.key]).await.unwrap();
    assert_eq!(by_key[0].deleted, Some(world.now));
    let foreign = store.routes(domain::OrganizationKey(99), &named).await;
    assert_eq!(foreign, Ok(None));
    store
        .delete_application(world.organization, &named, world.after(1))
        .await
        .unwrap();
    let by_key = store.endpoints_by_key(&[routes.endpoints[0].key]).await;
    assert_eq!(by_key.unwrap()[0].deleted, Some(world.after(1)));
}

/// Invisible at once, whatever is left of it.
pub async fn a_deleted_endpoint_is_gone_and_its_uid_free(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = NewEndpoint {
        uid: Some(uid("hook")),
        ..world.new_endpoint()
    };
    let made = store.create_endpoint(new).await.unwrap().into_inner();

    world.delete(&made).await;

    let application = world.application.key;
    for named in [EndpointRef::Id(made.id), EndpointRef::Uid(uid("hook"))] {
        assert_eq!(store.endpoint(application, &named).await, Ok(None));
        let deleted = store.delete_endpoint(application, &named, world.now).await;
        assert_eq!(deleted, Err(Error::NotFound("endpoint")));
    }
    let listed = store.endpoints(application, everything()).await.unwrap();
    assert!(listed.items.is_empty());
    let again = NewEndpoint {
        uid: Some(uid("hook")),
        endpoints_max: 1,
        ..world.new_endpoint()
    };
    let again = store.create_endpoint(again).await.unwrap().into_inner();
    assert_ne!(again.key, made.key);
}

/// The log says where it went, not where it would go today.
pub async fn a_new_url_leaves_old_attempts_with_the_old_one(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let then = AfterAttempt::RetryAt(world.now);
    world.tried(message, &endpoint, 1, then).await;
    let url = TargetUrl::parse("https://example.org/new").unwrap();
    let change = EndpointChange {
        url: Some(url.clone()),
        ..EndpointChange::default()
    };

    let moved = world.change(&endpoint, change.clone()).await;
    let same = world.change(&endpoint, change).await;
    let then = AfterAttempt::Success;
    world.tried(message, &moved, 2, then).await;

    assert_eq!(moved.url, url);
    assert_ne!(moved.url_key, endpoint.url_key);
    assert_eq!(same.url_key, moved.url_key);
    let attempts = store
        .attempts_by_message(message, &AttemptFilter::default(), everything())
        .await
        .unwrap()
        .items;
    let urls: Vec<_> = attempts.iter().map(|row| row.url.as_str()).collect();
    assert_eq!(
        urls,
        ["https://example.com/hook", "https://example.org/new"]
    );
}

/// One change of the endpoint's row, and all that was pending reads so.
pub async fn disabling_reads_as_canceled_at_once(store: &dyn Store) {
    let mut world = World::new(store).await;
    let (endpoint, other) = (world.endpoint().await, world.endpoint().await);
    let messages = [
        world.send(&[&endpoint]).await,
        world.send(&[&endpoint, &other]).await,
    ];

    let disabled = world.disable(&endpoint).await;

    assert_eq!(disabled.disabled, Some(DisabledReason::Requested));
    assert_eq!(disabled.canceled_through, Some(messages[1].key()));
    for message in messages {
        let row = world.destinations(message).await[0];
        assert_eq!(row.state, DeliveryState::Canceled);
        assert_eq!(row.cancel_reason, Some(CancelReason::EndpointDisabled));
        assert_eq!(row.next_attempt, None);
    }
    let row = world.destinations(messages[1]).await[1];
    assert_eq!(row.state, DeliveryState::Pending, "of another endpoint");
    world.delete(&other).await;
    let row = world.destinations(messages[1]).await[1];
    assert_eq!(row.cancel_reason, Some(CancelReason::EndpointDeleted));
}

/// The new one comes first; an earlier one never gets a longer life.
pub async fn a_rotated_secret_lives_no_longer_than_before(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let named = EndpointRef::Id(endpoint.id);
    let mut rotated = Vec::new();
    for (secret, old_lives) in [(2, 100), (3, 900), (4, 20)] {
        world.wait(10);
        let rotation = Rotation {
            idempotency: None,
            secret: Sealed(vec![secret]),
            old_expires: world.after(old_lives),
            secrets_max: 5,
            now: world.now,
        };
        let endpoint = store
            .rotate_secret(world.application.key, &named, rotation)
            .await
            .unwrap()
            .into_inner()
            .endpoint;
        let secrets = endpoint.secrets.iter().map(|secret| {
            let end = secret.expires.map(|end| end.since(world.now).as_secs());
            (secret.sealed.0.clone(), end)
        });
        rotated.push(secrets.collect::<Vec<_>>());
    }

    let first = vec![1, 2, 3];
    assert_eq!(rotated[0], [(vec![2], None), (first.clone(), Some(100))]);
    let second = [
        (vec![3], None),
        (vec![2], Some(900)),
        (first.clone(), Some(90)),
    ];
    assert_eq!(rotated[1], second);
    let third = [
        (vec![4], None),
        (vec![3], Some(20)),
        (vec![2], Some(20)),
        (first, Some(20)),
    ];
    assert_eq!(rotated[2], third);
}

/// Live ones count, expired ones do not.
pub async fn a_rotation_beyond_the_limit_is_refused(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let named = EndpointRef::Id(endpoint.id);
    let rotation = |world: &World<'_>, old_lives| Rotation {
        idempotency: None,
        secret: Sealed(vec![2]),
        old_expires: world.after(old_lives),
        secrets_max: 2,
        now: world.now,
    };
    let application = world.application.key;
    let rotate = |rotation| store.rotate_secret(application, &named, rotation);
    rotate(rotation(&world, 60)).await.unwrap();

    let refused = rotate(rotation(&world, 60)).await;

    let limit = Error::Limit {
        name: "secrets_per_endpoint",
        max: 2,
    };
    assert_eq!(refused, Err(limit));
    let read = store.endpoint(application, &named).await.unwrap().unwrap();
    assert_eq!(read.secrets.len(), 2);
    assert_eq!(read.secrets[1].expires, Some(world.after(60)));
    world.wait(60);
    let rotated = rotate(rotation(&world, 0)).await.unwrap();
    let rotated = rotated.into_inner().endpoint;
    assert_eq!(rotated.secrets.len(), 1, "the old ones are gone at once");
}

/// The secret of the first time, also when another came after it.
pub async fn a_repeated_rotation_answers_the_secret_of_the_first_time(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let named = EndpointRef::Id(endpoint.id);
    let application = world.application.key;
    let rotation = |world: &World<'_>, secret, idempotency| Rotation {
        secret: Sealed(vec![secret]),
        old_expires: world.after(100),
        secrets_max: 5,
        now: world.now,
        idempotency,
    };
    let rotate = |rotation| store.rotate_secret(application, &named, rotation);
    let first = rotate(rotation(&world, 7, Some(key(1, 1)))).await.unwrap();
    assert!(matches!(first, Write::Done(_)), "{first:?}");
    rotate(rotation(&world, 8, None)).await.unwrap();

    let again = rotate(rotation(&world, 9, Some(key(1, 1)))).await.unwrap();

    let Write::Replayed(again) = again else {
        panic!("{again:?}");
    };
    assert_eq!(again.secret, Sealed(vec![7]));
    let now = store.endpoint(application, &named).await.unwrap().unwrap();
    assert_eq!(again.endpoint, now);
    assert_eq!(now.secrets.len(), 3);
    let other = rotate(rotation(&world, 9, Some(key(1, 2)))).await;
    assert_eq!(other, Err(Error::KeyReused));
    world.wait(101);
    rotate(rotation(&world, 10, None)).await.unwrap();
    let gone = rotate(rotation(&world, 9, Some(key(1, 1)))).await;
    assert_eq!(gone, Err(Error::NotFound("secret")));
}

/// Whatever its application; a deleted one is none, and so is one of a deleted application.
pub async fn an_endpoint_is_found_by_its_id_alone(store: &dyn Store) {
    let mut world = World::new(store).await;
    let first = world.endpoint().await;
    let second = world.endpoint().await;
    assert_eq!(
        store.endpoint_by_id(first.id).await,
        Ok(Some(first.clone()))
    );

    let named = EndpointRef::Id(first.id);
    let deleted = store.delete_endpoint(first.application, &named, world.now);
    deleted.await.unwrap();
    assert_eq!(store.endpoint_by_id(first.id).await, Ok(None));
    let found = store.endpoint_by_id(second.id).await.unwrap();
    assert_eq!(found.map(|found| found.key), Some(second.key));
    let application = crate::ApplicationRef::Id(second.application_id);
    let deleted = store.delete_application(world.organization, &application, world.now);
    deleted.await.unwrap();
    assert_eq!(store.endpoint_by_id(second.id).await, Ok(None));
}

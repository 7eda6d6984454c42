//! Applications and event types.

use std::collections::BTreeMap;

use domain::{EventType, OrganizationKey, Uid};

use super::world::key;
use super::{World, ascending, descending};
use crate::{
    ApplicationChange, ApplicationRef, Cursor, Error, EventTypeChange, EventTypeRow,
    NewApplication, NewEventType, Store, Write,
};

fn uid(text: &str) -> ApplicationRef {
    ApplicationRef::Uid(Uid::parse(text).unwrap())
}

/// And by nobody else's organization.
pub async fn an_application_is_found_by_id_and_uid(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = NewApplication {
        throttle_rate: Some(7),
        metadata: BTreeMap::from([("tier".into(), "\"gold\", é".into())]),
        ..world.new_application(Some("blog"))
    };
    let made = store.create_application(new.clone()).await.unwrap();
    let made = made.into_inner();

    assert_eq!((made.id, &made.uid), (new.id, &new.uid));
    assert_eq!((&made.name, made.throttle_rate), (&new.name, Some(7)));
    assert_eq!((&made.metadata, made.created), (&new.metadata, world.now));
    for named in [ApplicationRef::Id(new.id), uid("blog")] {
        let found = store.application(world.organization, &named).await;
        assert_eq!(found.unwrap().as_ref(), Some(&made));
        let foreign = store.application(OrganizationKey(99), &named).await;
        assert_eq!(foreign, Ok(None));
    }
    let found = store.application(world.organization, &uid("other")).await;
    assert_eq!(found, Ok(None));
}

/// Within an organization.
pub async fn an_application_uid_is_taken_once(store: &dyn Store) {
    let mut world = World::new(store).await;
    let first = world.new_application(Some("blog"));
    store.create_application(first.clone()).await.unwrap();

    let second = world.new_application(Some("blog"));
    let refused = store.create_application(second).await;

    assert_eq!(refused, Err(Error::Conflict("uid")));
    let elsewhere = NewApplication {
        organization: OrganizationKey(99),
        ..world.new_application(Some("blog"))
    };
    assert!(store.create_application(elsewhere).await.is_ok());
    let change = ApplicationChange {
        uid: Some(first.uid.clone()),
        ..ApplicationChange::default()
    };
    let named = ApplicationRef::Id(world.application.id);
    let refused = store
        .update_application(world.organization, &named, change.clone())
        .await;
    assert_eq!(refused, Err(Error::Conflict("uid")));
    let own = ApplicationRef::Id(first.id);
    let kept = store
        .update_application(world.organization, &own, change)
        .await;
    assert!(kept.is_ok(), "its own uid is no conflict");
}

/// `Replayed` with what it is today; another request with the key is refused.
pub async fn a_repeated_creation_answers_the_application_as_it_is(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = NewApplication {
        idempotency: Some(key(1, 1)),
        ..world.new_application(Some("blog"))
    };
    let made = store.create_application(new.clone()).await.unwrap();
    assert!(matches!(made, Write::Done(_)));
    let change = ApplicationChange {
        name: Some("renamed".into()),
        ..ApplicationChange::default()
    };
    let renamed = store
        .update_application(world.organization, &uid("blog"), change)
        .await
        .unwrap();

    let again = NewApplication {
        id: world.new_application(None).id,
        ..new.clone()
    };
    let again = store.create_application(again).await;

    assert_eq!(again, Ok(Write::Replayed(renamed)));
    let other = NewApplication {
        idempotency: Some(key(1, 2)),
        ..new.clone()
    };
    assert_eq!(store.create_application(other).await, Err(Error::KeyReused));
    store
        .delete_application(world.organization, &uid("blog"), world.now)
        .await
        .unwrap();
    let gone = store.create_application(new).await;
    assert_eq!(gone, Err(Error::NotFound("application")));
}

/// Invisible at once.
pub async fn a_deleted_application_is_gone_and_its_uid_free(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = world.new_application(Some("blog"));
    let made = store.create_application(new).await.unwrap().into_inner();

    let deleted = store
        .delete_application(world.organization, &uid("blog"), world.now)
        .await;

    assert_eq!(deleted, Ok(made.clone()));
    for named in [ApplicationRef::Id(made.id), uid("blog")] {
        let organization = world.organization;
        assert_eq!(store.application(organization, &named).await, Ok(None));
        assert_eq!(store.routes(organization, &named).await, Ok(None));
        let gone = Err(Error::NotFound("application"));
        let change = ApplicationChange::default();
        let updated = store.update_application(organization, &named, change).await;
        assert_eq!(updated, gone);
        let deleted = store
            .delete_application(organization, &named, world.now)
            .await;
        assert_eq!(deleted, gone);
    }
    let listed = store
        .applications(world.organization, ascending(10, None))
        .await;
    assert_eq!(listed.unwrap().items, [world.application.clone()]);
    let again = world.new_application(Some("blog"));
    assert!(store.create_application(again).await.is_ok());
}

/// Both orders, both cursors, and what "done" says at each end.
pub async fn applications_are_listed_by_id_in_both_directions(store: &dyn Store) {
    let mut world = World::new(store).await;
    let mut ids = vec![world.application.id];
    for _ in 0..4 {
        let new = world.new_application(None);
        ids.push(new.id);
        store.create_application(new).await.unwrap();
    }
    let list = async |page| {
        let found = store.applications(world.organization, page).await.unwrap();
        let found_ids: Vec<_> = found.items.iter().map(|item| item.id).collect();
        (found_ids, found.done)
    };
    let reversed: Vec<_> = ids.iter().rev().copied().collect();

    assert_eq!(list(ascending(5, None)).await, (ids.clone(), true));
    assert_eq!(list(descending(5, None)).await, (reversed.clone(), true));
    assert_eq!(list(ascending(2, None)).await, (ids[..2].to_vec(), false));
    let after = Some(Cursor::After(ids[2]));
    let page = list(ascending(2, after.clone())).await;
    assert_eq!(page, (ids[3..].to_vec(), true));
    let page = list(descending(1, after)).await;
    assert_eq!(page, (vec![ids[1]], false));
    let before = Some(Cursor::Before(ids[3]));
    let page = list(ascending(2, before.clone())).await;
    assert_eq!(page, (ids[1..3].to_vec(), false));
    let page = list(descending(9, before)).await;
    assert_eq!(page, (reversed[..1].to_vec(), true));
    let foreign = store.applications(OrganizationKey(99), ascending(9, None));
    assert!(foreign.await.unwrap().items.is_empty());
}

/// `None` leaves a field alone; `Some(None)` clears it.
pub async fn an_application_change_touches_what_it_names(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = NewApplication {
        throttle_rate: Some(5),
        ..world.new_application(Some("blog"))
    };
    let before = store.create_application(new).await.unwrap().into_inner();
    world.wait(10);
    let change = ApplicationChange {
        uid: Some(None),
        name: Some("renamed".into()),
        metadata: Some(BTreeMap::from([("a".into(), "b".into())])),
        now: world.now,
        ..ApplicationChange::default()
    };

    let changed = store
        .update_application(world.organization, &uid("blog"), change)
        .await
        .unwrap();

    assert_eq!(changed.uid, None);
    assert_eq!(changed.name, "renamed");
    assert_eq!(changed.throttle_rate, Some(5));
    assert_eq!(changed.metadata.len(), 1);
    assert_eq!(
        (changed.created, changed.updated),
        (before.created, world.now)
    );
    let named = ApplicationRef::Id(before.id);
    let read = store.application(world.organization, &named).await;
    assert_eq!(read, Ok(Some(changed)));
}

fn event_type(world: &World<'_>, name: &str) -> NewEventType {
    NewEventType {
        organization: world.organization,
        name: EventType::parse(name).unwrap(),
        description: "what happened".into(),
        archived: false,
        deprecated: false,
        feature_flags: Vec::new(),
        group: None,
        schemas: None,
        enforced: false,
        event_types_max: u64::MAX,
        now: world.now,
        idempotency: None,
    }
}

/// An archived one is revived, and keeps when it was created.
pub async fn an_event_type_name_is_taken_until_it_is_archived(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = NewEventType {
        idempotency: Some(key(1, 1)),
        ..event_type(&world, "a.b")
    };
    let made = store.create_event_type(new.clone()).await.unwrap();
    assert!(matches!(made, Write::Done(_)));
    let made = made.into_inner();
    let repeated = store.create_event_type(new.clone()).await;
    assert_eq!(repeated, Ok(Write::Replayed(made.clone())));
    let refused = store.create_event_type(event_type(&world, "a.b")).await;
    assert_eq!(refused, Err(Error::Conflict("event type")));
    store
        .delete_event_type(world.organization, &new.name, false, world.now)
        .await
        .unwrap();
    world.wait(5);

    let revived = NewEventType {
        schemas: Some("{\"1\": {}}".into()),
        ..event_type(&world, "a.b")
    };
    let revived = store.create_event_type(revived).await.unwrap();

    let expected = EventTypeRow {
        schemas: Some("{\"1\": {}}".into()),
        updated: world.now,
        ..made
    };
    assert_eq!(revived, Write::Done(expected));
}

/// `Limit` beyond `applications_max` live ones; a deleted one makes room.
pub async fn an_organization_has_so_many_applications(store: &dyn Store) {
    let mut world = World::new(store).await;
    let full = NewApplication {
        applications_max: 2,
        ..world.new_application(Some("blog"))
    };
    let beyond = NewApplication {
        applications_max: 2,
        ..world.new_application(Some("shop"))
    };
    store.create_application(full).await.unwrap();

    let refused = store.create_application(beyond.clone()).await;

    let limit = Error::Limit {
        name: "applications",
        max: 2,
    };
    assert_eq!(refused, Err(limit));
    let found = store.application(world.organization, &uid("shop")).await;
    assert_eq!(found, Ok(None));
    store
        .delete_application(world.organization, &uid("blog"), world.now)
        .await
        .unwrap();
    assert!(store.create_application(beyond).await.is_ok());
}

/// `Limit` beyond `event_types_max`, archived ones counted; reviving one is no further one.
pub async fn an_organization_has_so_many_event_types(store: &dyn Store) {
    let world = World::new(store).await;
    let limited = |name| NewEventType {
        event_types_max: 1,
        ..event_type(&world, name)
    };
    let first = limited("a.b");
    store.create_event_type(first.clone()).await.unwrap();
    store
        .delete_event_type(world.organization, &first.name, false, world.now)
        .await
        .unwrap();

    let refused = store.create_event_type(limited("c.d")).await;

    let limit = Error::Limit {
        name: "event_types",
        max: 1,
    };
    assert_eq!(refused, Err(limit));
    let found = store
        .event_type(world.organization, &limited("c.d").name)
        .await;
    assert_eq!(found, Ok(None));
    assert!(store.create_event_type(first).await.is_ok());
}

/// Archived ones only when asked for.
pub async fn event_types_are_listed_by_name(store: &dyn Store) {
    let world = World::new(store).await;
    for name in ["b", "a.z", "a", "B"] {
        let new = event_type(&world, name);
        store.create_event_type(new).await.unwrap();
    }
    let archived = EventType::parse("a.z").unwrap();
    store
        .delete_event_type(world.organization, &archived, false, world.now)
        .await
        .unwrap();
    let list = async |archived, page| {
        let found = store
            .event_types(world.organization, archived, page)
            .await
            .unwrap();
        let names = found.items.iter().map(|item| item.name.to_string());
        (names.collect::<Vec<_>>(), found.done)
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();

    let page = list(false, ascending(9, None)).await;
    assert_eq!(page, (names(&["B", "a", "b"]), true));
    let page = list(true, ascending(2, None)).await;
    assert_eq!(page, (names(&["B", "a"]), false));
    let after = Some(Cursor::After(EventType::parse("a").unwrap()));
    let page = list(true, ascending(2, after.clone())).await;
    assert_eq!(page, (names(&["a.z", "b"]), true));
    let page = list(true, descending(2, after)).await;
    assert_eq!(page, (names(&["B"]), true));
    let before = Some(Cursor::Before(EventType::parse("b").unwrap()));
    let page = list(true, ascending(1, before)).await;
    assert_eq!(page, (names(&["a.z"]), false));
}

/// Archiving hides it, expunging erases it.
pub async fn an_event_type_is_changed_archived_and_erased(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = NewEventType {
        feature_flags: vec!["beta".into(), "gamma".into()],
        group: Some("shop".into()),
        ..event_type(&world, "a")
    };
    let made = store.create_event_type(new.clone()).await.unwrap();
    world.wait(5);
    let (organization, name) = (world.organization, new.name);
    let change = EventTypeChange {
        feature_flags: Some(vec!["gamma".into()]),
        group: Some(None),
        deprecated: Some(true),
        now: world.now,
        ..EventTypeChange::default()
    };

    let changed = store.update_event_type(organization, &name, change).await;

    let expected = EventTypeRow {
        feature_flags: vec!["gamma".into()],
        group: None,
        deprecated: true,
        updated: world.now,
        ..made.into_inner()
    };
    assert_eq!(changed, Ok(expected.clone()));
    let delete = |expunge| store.delete_event_type(organization, &name, expunge, world.now);
    delete(false).await.unwrap();
    let archived = EventTypeRow {
        archived: true,
        ..expected
    };
    let read = store.event_type(organization, &name).await;
    assert_eq!(read, Ok(Some(archived)));
    delete(true).await.unwrap();
    assert_eq!(store.event_type(organization, &name).await, Ok(None));
    let gone = Error::NotFound("event type");
    assert_eq!(delete(true).await, Err(gone.clone()));
    let change = EventTypeChange::default();
    let changed = store.update_event_type(organization, &name, change).await;
    assert_eq!(changed, Err(gone));
}

/// An archived event type is no longer published by.
pub async fn enforced_event_types_are_those_that_are_not_archived(store: &dyn Store) {
    let world = World::new(store).await;
    let organization = world.organization;
    for (name, enforced) in [("a", true), ("b", false), ("c", true)] {
        let new = NewEventType {
            enforced,
            ..event_type(&world, name)
        };
        store.create_event_type(new).await.unwrap();
    }
    let name = |text| EventType::parse(text).unwrap();
    let enforced = || store.enforced_event_types(organization);
    assert_eq!(enforced().await, Ok(vec![name("a"), name("c")]));

    for (text, enforced) in [("b", true), ("a", false)] {
        let change = EventTypeChange {
            enforced: Some(enforced),
            now: world.now,
            ..EventTypeChange::default()
        };
        let name = name(text);
        let changed = store.update_event_type(organization, &name, change).await;
        assert_eq!(changed.unwrap().enforced, enforced);
    }
    let archived = name("c");
    store
        .delete_event_type(organization, &archived, false, world.now)
        .await
        .unwrap();

    assert_eq!(enforced().await, Ok(vec![name("b")]));
    let other = domain::OrganizationKey(organization.0 + 1);
    assert_eq!(store.enforced_event_types(other).await, Ok(Vec::new()));
}

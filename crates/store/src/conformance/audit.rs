//! The audit trail.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{ApiKeyId, ApplicationId, OrganizationKey, Uid};

use super::{World, ascending, descending};
use crate::{
    ApplicationChange, ApplicationRef, AuditFilter, AuditRow, Author, Idempotency, IdempotencyKind,
    NewApplication, Store,
};

async fn all(store: &dyn Store, organization: OrganizationKey) -> Vec<AuditRow> {
    let filter = AuditFilter::default();
    let page = store.audit(organization, &filter, ascending(100, None));
    page.await.unwrap().items
}

fn renamed(world: &World<'_>, name: &str) -> ApplicationChange {
    ApplicationChange {
        name: Some(name.to_owned()),
        now: world.now,
        ..ApplicationChange::default()
    }
}

/// In its transaction, as its author's.
pub async fn a_change_is_noted_as_its_authors(store: &dyn Store) {
    let mut world = World::new(store).await;
    let key = ApiKeyId::from_bits(world.bits());
    let author = Author {
        key: Some(key),
        request: Some("1-2".to_owned()),
    };
    let mine = store.authored(author.clone());
    let named = ApplicationRef::Id(world.application.id);
    let organization = world.organization;
    let before = all(store, organization).await.len();

    let change = renamed(&world, "second");
    mine.update_application(organization, &named, change)
        .await
        .unwrap();
    mine.delete_application(organization, &named, world.now)
        .await
        .unwrap();

    let rows = all(store, organization).await.split_off(before);
    let actions: Vec<_> = rows.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["application.update", "application.delete"]);
    let [update, delete] = &rows[..] else {
        unreachable!("there are two");
    };
    assert_eq!(update.entry.author, author);
    assert_eq!(update.entry.target, world.application.id.to_string());
    assert_eq!(update.entry.application, Some(world.application.id));
    let changes = r#"{"name":{"after":"second","before":"first"}}"#;
    let values = |row: &AuditRow| row.entry.values.clone().unwrap();
    assert_eq!(values(update).changes, changes);
    assert!(values(update).before.is_some() && values(update).before != values(update).after);
    assert_eq!(values(delete).before, values(update).after);
    assert_eq!(values(delete).after, None);
    assert!(all(store, OrganizationKey(99)).await.is_empty());
}

/// Nor is a repeated request.
pub async fn what_is_refused_is_not_noted(store: &dyn Store) {
    let mut world = World::new(store).await;
    let organization = world.organization;
    let mut new = |uid: &str| NewApplication {
        organization,
        id: ApplicationId::from_bits(world.bits()),
        uid: Some(Uid::parse(uid).unwrap()),
        name: uid.to_owned(),
        throttle_rate: None,
        metadata: BTreeMap::new(),
        applications_max: u64::MAX,
        now: world.now,
        idempotency: Some(Idempotency {
            kind: IdempotencyKind::Chosen,
            key: [7; 16],
            fingerprint: [7; 16],
        }),
    };
    let (first, again) = (new("a"), new("a"));
    let taken = NewApplication {
        idempotency: None,
        ..new("a")
    };
    store.create_application(first).await.unwrap();
    let before = all(store, organization).await;

    store.create_application(again).await.unwrap();
    assert!(store.create_application(taken).await.is_err());

    assert_eq!(all(store, organization).await, before);
}

/// Publishing and delivering leave no entry.
pub async fn only_administrative_changes_are_noted(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let before = all(store, world.organization).await;
    assert_eq!(before.last().unwrap().entry.action, "endpoint.create");

    let message = world.send(&[&endpoint]).await;
    let then = crate::AfterAttempt::Success;
    world.tried(message, &endpoint, 1, then).await;

    assert_eq!(all(store, world.organization).await, before);
}

/// From the first entry to the newest.
pub async fn entries_are_a_chain(store: &dyn Store) {
    let world = World::new(store).await;
    let named = ApplicationRef::Id(world.application.id);
    for name in ["a", "b", "c"] {
        let change = renamed(&world, name);
        let updated = store.update_application(world.organization, &named, change);
        updated.await.unwrap();
    }

    let rows = all(store, world.organization).await;

    let ends = store.audit_ends(world.organization).await.unwrap();
    assert_eq!(ends.erased, (0, [0; 32]));
    let mut at = ends.erased;
    for row in &rows {
        assert!(row.follows(at), "{row:?}");
        at = (row.number, row.hash);
    }
    assert_eq!(at, ends.newest);
    assert_eq!(rows.len(), 4);
}

/// By author, action, target and time, in both directions.
pub async fn the_trail_is_listed_and_filtered(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let organization = world.organization;
    let numbers = async |filter: AuditFilter, page| {
        let found = store.audit(organization, &filter, page).await.unwrap();
        found.items.iter().map(|row| row.number).collect::<Vec<_>>()
    };
    let all = || AuditFilter::default();

    assert_eq!(numbers(all(), ascending(1, None)).await, [1]);
    assert_eq!(numbers(all(), descending(9, None)).await, [2, 1]);
    let about = AuditFilter {
        target: Some(endpoint.id.to_string()),
        ..all()
    };
    assert_eq!(numbers(about, ascending(9, None)).await, [2]);
    let action = AuditFilter {
        action: Some("application.create".into()),
        ..all()
    };
    assert_eq!(numbers(action, ascending(9, None)).await, [1]);
    let nobody = AuditFilter {
        key: Some(ApiKeyId::from_bits(1)),
        ..all()
    };
    assert!(numbers(nobody, ascending(9, None)).await.is_empty());
    let later = AuditFilter {
        after: Some(world.now),
        ..all()
    };
    assert!(numbers(later, ascending(9, None)).await.is_empty());
}

/// And the rest still verifies.
pub async fn a_pruned_trail_is_still_a_chain(store: &dyn Store) {
    let mut world = World::new(store).await;
    let named = ApplicationRef::Id(world.application.id);
    for name in ["a", "b", "c"] {
        world.now = world.now.plus(Duration::from_secs(1));
        let change = renamed(&world, name);
        let updated = store.update_application(world.organization, &named, change);
        updated.await.unwrap();
    }
    let before = all(store, world.organization).await;

    assert_eq!(store.prune_audit(world.now, 2).await, Ok(2));
    assert_eq!(store.prune_audit(world.now, 2).await, Ok(1));
    assert_eq!(store.prune_audit(world.now, 2).await, Ok(0));

    let left = all(store, world.organization).await;
    assert_eq!(left, before[3..]);
    let ends = store.audit_ends(world.organization).await.unwrap();
    assert_eq!(ends.erased, (3, before[2].hash));
    assert!(left[0].follows(ends.erased));
}

/// Nothing else changes: who did what and when stays, and the chain verifies.
pub async fn an_erased_application_leaves_entries_without_values(store: &dyn Store) {
    let mut world = World::new(store).await;
    world.endpoint().await;
    let other = {
        let new = world.new_application(None);
        store.create_application(new).await.unwrap().into_inner()
    };
    let named = ApplicationRef::Id(world.application.id);
    let change = renamed(&world, "second");
    let updated = store.update_application(world.organization, &named, change);
    updated.await.unwrap();
    let deleted = store.delete_application(world.organization, &named, world.now);
    deleted.await.unwrap();
    let before = all(store, world.organization).await;
    assert!(before.iter().all(|row| row.entry.values.is_some()));

    super::housekeeping::prune(&world, 2).await;

    let after = all(store, world.organization).await;
    assert_eq!(after.len(), before.len());
    let mut at = (0, [0; 32]);
    for (row, was) in after.iter().zip(before) {
        let is_other = row.entry.application == Some(other.id);
        assert_eq!(row.entry.values.is_some(), is_other, "{row:?}");
        let mut expected = was;
        expected.entry.values.clone_from(&row.entry.values);
        assert_eq!(*row, expected);
        assert!(row.follows(at));
        at = (row.number, row.hash);
    }
}

/// A payload, and an answer.
pub async fn what_is_erased_on_request_is_noted(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let message = world.send(&[&endpoint]).await;
    let then = crate::AfterAttempt::Success;
    world.tried(message, &endpoint, 1, then).await;
    let filter = crate::AttemptFilter::default();
    let attempts = store.attempts_by_message(message, &filter, super::everything());
    let attempt = attempts.await.unwrap().items[0].id;
    let application = world.application.key;
    let before = all(store, world.organization).await.len();

    let erased = store.expunge_attempt(application, message, attempt, world.now);
    erased.await.unwrap();
    let erased = store.expunge_message(application, message, world.now);
    erased.await.unwrap();

    let rows = all(store, world.organization).await.split_off(before);
    let told = rows.iter().map(|row| {
        assert_eq!(row.entry.application, Some(world.application.id));
        (row.entry.action.as_str(), row.entry.target.clone())
    });
    let expected = [
        ("attempt.expunge", attempt.to_string()),
        ("message.expunge", message.to_string()),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

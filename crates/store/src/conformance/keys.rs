//! Organizations and API keys.

use domain::{ApiKeyId, EndpointKey, OrganizationId, OrganizationKey, Timestamp};

use super::{World, ascending, descending};
use crate::{
    ApiKeyChange, ApiKeyRow, ApplicationRef, Capability, Error, Idempotency, IdempotencyKind,
    KeyQuota, NewApiKey, PortalSession, Resealed, Scope, Sealed, Store, Write,
};

fn key(world: &mut World<'_>, seed: u8) -> NewApiKey {
    NewApiKey {
        id: ApiKeyId::from_bits(world.bits()),
        organization: world.organization,
        application: None,
        name: format!("key {seed}"),
        hash: [seed; 32],
        prefix: "ph_abcd".into(),
        scope: Scope::Admin,
        portal: None,
        quota: KeyQuota::default(),
        expires: None,
        keys_max: u64::MAX,
        now: world.now,
        idempotency: None,
    }
}

fn token(world: &mut World<'_>, seed: u8, session: Option<&str>) -> NewApiKey {
    let capabilities = [Capability::ViewBase, Capability::CreateAttempts];
    NewApiKey {
        application: Some(world.application.key),
        scope: Scope::Portal,
        portal: Some(PortalSession {
            capabilities: capabilities.into_iter().collect(),
            feature_flags: vec!["beta".into(), "gamma".into()],
            session: session.map(str::to_owned),
        }),
        expires: Some(world.now.plus(std::time::Duration::from_hours(1))),
        ..key(world, seed)
    }
}

fn row(new: &NewApiKey, world: &World<'_>) -> ApiKeyRow {
    let new = new.clone();
    ApiKeyRow {
        id: new.id,
        organization: new.organization,
        application: new.application,
        application_id: new.application.map(|_| world.application.id),
        name: new.name,
        hash: new.hash,
        prefix: new.prefix,
        scope: new.scope,
        portal: new.portal,
        quota: new.quota,
        created: new.now,
        expires: new.expires,
        used: None,
    }
}

/// And a second one is made only when it is asked for.
pub async fn the_organization_is_made_once(store: &dyn Store) {
    let mut world = World::new(store).await;
    let id = OrganizationId::from_bits(world.bits());

    let again = store.ensure_organization(id, world.now).await;
    assert_eq!(again, Ok(world.organization));

    let second = store.create_organization(id, world.now).await.unwrap();
    assert_ne!(second, world.organization);
    let refused = store.create_organization(id, world.now).await;
    assert_eq!(refused, Err(Error::Conflict("organization")));
    let first = store.ensure_organization(id, world.now).await;
    assert_eq!(first, Ok(world.organization));
}

/// With all that was stored.
pub async fn an_api_key_is_found_by_its_hash(store: &dyn Store) {
    let mut world = World::new(store).await;
    assert_eq!(store.api_key_count().await, Ok(0));
    let new = NewApiKey {
        application: Some(world.application.key),
        scope: Scope::Publish,
        quota: KeyQuota {
            requests_per_second: Some(10),
            burst: Some(0),
            messages_per_day: Some(u32::MAX),
        },
        expires: Some(world.now),
        ..key(&mut world, 7)
    };
    let tok = token(&mut world, 8, Some("browser"));

    let created = store.create_api_key(new.clone()).await;
    store.create_api_key(tok.clone()).await.unwrap();

    let expected = row(&new, &world);
    assert_eq!(created, Ok(Write::Done(expected.clone())));
    assert_eq!(store.api_key(&[7; 32]).await, Ok(Some(expected)));
    assert_eq!(store.api_key(&[8; 32]).await, Ok(Some(row(&tok, &world))));
    assert_eq!(store.api_key(&[9; 32]).await, Ok(None));
    assert_eq!(store.portal_session(tok.id).await, Ok(tok.portal));
    assert_eq!(store.portal_session(new.id).await, Ok(None));
    assert_eq!(store.api_key_count().await, Ok(2));
}

/// `Conflict` for a known id or hash, `NotFound` without its application.
pub async fn a_known_key_and_a_foreign_application_refuse_a_key(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = key(&mut world, 1);
    store.create_api_key(new.clone()).await.unwrap();
    let other = OrganizationId::from_bits(world.bits());
    let other = store.create_organization(other, world.now).await.unwrap();

    let same_hash = key(&mut world, 1);
    let same_id = NewApiKey {
        hash: [2; 32],
        ..new
    };
    for again in [same_hash, same_id] {
        let refused = store.create_api_key(again).await;
        assert_eq!(refused, Err(Error::Conflict("API key")));
    }
    let foreign = NewApiKey {
        organization: other,
        application: Some(world.application.key),
        ..key(&mut world, 3)
    };
    let refused = store.create_api_key(foreign).await;
    assert_eq!(refused, Err(Error::NotFound("application")));
}

/// By its idempotency key.
pub async fn a_repeated_creation_answers_the_key_as_it_is(store: &dyn Store) {
    let mut world = World::new(store).await;
    let idempotency = Idempotency {
        kind: IdempotencyKind::Chosen,
        key: [1; 16],
        fingerprint: [2; 16],
    };
    let new = NewApiKey {
        idempotency: Some(idempotency.clone()),
        ..key(&mut world, 1)
    };
    store.create_api_key(new.clone()).await.unwrap();
    let again = NewApiKey {
        idempotency: Some(idempotency.clone()),
        ..key(&mut world, 2)
    };

    let replayed = store.create_api_key(again).await;

    assert_eq!(replayed, Ok(Write::Replayed(row(&new, &world))));
    let other = NewApiKey {
        idempotency: Some(Idempotency {
            fingerprint: [3; 16],
            ..idempotency
        }),
        ..key(&mut world, 3)
    };
    assert_eq!(store.create_api_key(other).await, Err(Error::KeyReused));
}

/// Those of the organization, without portal tokens, in both directions.
pub async fn api_keys_are_listed_by_id(store: &dyn Store) {
    let mut world = World::new(store).await;
    let other = OrganizationId::from_bits(world.bits());
    let other = store.create_organization(other, world.now).await.unwrap();
    let keys = [key(&mut world, 1), key(&mut world, 2), key(&mut world, 3)];
    for new in keys.clone() {
        store.create_api_key(new).await.unwrap();
    }
    let tok = token(&mut world, 4, None);
    store.create_api_key(tok.clone()).await.unwrap();
    let foreign = NewApiKey {
        organization: other,
        ..key(&mut world, 5)
    };
    store.create_api_key(foreign.clone()).await.unwrap();
    let ids = |rows: Vec<ApiKeyRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();

    let page = store.api_keys(world.organization, ascending(2, None)).await;
    let page = page.unwrap();
    assert!(!page.done);
    assert_eq!(ids(page.items), [keys[0].id, keys[1].id]);
    let page = store
        .api_keys(world.organization, descending(9, None))
        .await;
    assert_eq!(
        ids(page.unwrap().items),
        [keys[2].id, keys[1].id, keys[0].id]
    );
    let read = |organization, id| store.api_key_by_id(organization, id);
    assert_eq!(read(world.organization, tok.id).await, Ok(None));
    assert_eq!(read(world.organization, foreign.id).await, Ok(None));
    let own = row(&keys[0], &world);
    assert_eq!(read(world.organization, keys[0].id).await, Ok(Some(own)));
}

/// And nothing else; others' keys and portal tokens are not found.
pub async fn an_api_key_change_touches_what_it_names(store: &dyn Store) {
    let mut world = World::new(store).await;
    let keys = [key(&mut world, 1), key(&mut world, 2)];
    for new in keys.clone() {
        store.create_api_key(new).await.unwrap();
    }
    let tok = token(&mut world, 4, None);
    store.create_api_key(tok.clone()).await.unwrap();
    let change = ApiKeyChange {
        expires: Some(Some(world.now)),
        now: world.now,
        ..ApiKeyChange::default()
    };
    let update = |organization, id| store.update_api_key(organization, id, change.clone());

    let changed = update(world.organization, keys[0].id).await;

    let expected = ApiKeyRow {
        expires: Some(world.now),
        ..row(&keys[0], &world)
    };
    assert_eq!(changed, Ok(expected.clone()));
    assert_eq!(store.api_key(&[1; 32]).await, Ok(Some(expected)));
    let missing = Err(Error::NotFound("API key"));
    assert_eq!(update(world.organization, tok.id).await, missing);
    assert_eq!(update(OrganizationKey(99), keys[0].id).await, missing);
}

/// Whoever revokes it could do nothing any more.
pub async fn the_last_admin_key_is_kept(store: &dyn Store) {
    let mut world = World::new(store).await;
    let admin = key(&mut world, 1);
    let of_application = NewApiKey {
        application: Some(world.application.key),
        ..key(&mut world, 2)
    };
    let expiring = NewApiKey {
        expires: Some(world.now),
        ..key(&mut world, 3)
    };
    for new in [admin.clone(), of_application.clone(), expiring] {
        store.create_api_key(new).await.unwrap();
    }
    let ends = ApiKeyChange {
        expires: Some(Some(world.now)),
        ..ApiKeyChange::default()
    };
    let delete = |id| store.delete_api_key(world.organization, id, world.now);

    assert!(matches!(delete(admin.id).await, Err(Error::Refused(_))));
    let ended = store
        .update_api_key(world.organization, admin.id, ends)
        .await;
    assert!(matches!(ended, Err(Error::Refused(_))));
    assert_eq!(delete(of_application.id).await, Ok(()));
    let missing = Err(Error::NotFound("API key"));
    assert_eq!(delete(of_application.id).await, missing);
    let foreign = store.delete_api_key(OrganizationKey(99), admin.id, world.now);
    assert_eq!(foreign.await, missing);
}

/// And its portal tokens.
pub async fn deleting_an_application_revokes_its_keys(store: &dyn Store) {
    let mut world = World::new(store).await;
    let of_application = NewApiKey {
        application: Some(world.application.key),
        ..key(&mut world, 2)
    };
    let tok = token(&mut world, 4, None);
    for new in [key(&mut world, 1), of_application, tok] {
        store.create_api_key(new).await.unwrap();
    }
    let named = ApplicationRef::Id(world.application.id);

    store
        .delete_application(world.organization, &named, world.now)
        .await
        .unwrap();

    assert_eq!(store.api_key_count().await, Ok(1));
    assert_eq!(store.api_key(&[4; 32]).await, Ok(None));
}

/// All of them, or those of some sessions; none lives longer by it.
pub async fn portal_tokens_end_together(store: &dyn Store) {
    let mut world = World::new(store).await;
    let plain = NewApiKey {
        application: Some(world.application.key),
        ..key(&mut world, 1)
    };
    let a = token(&mut world, 2, Some("a"));
    let b = token(&mut world, 3, Some("b"));
    let c = token(&mut world, 4, None);
    for new in [plain, a.clone(), b, c] {
        store.create_api_key(new).await.unwrap();
    }
    let at = world.now.plus(std::time::Duration::from_mins(5));
    let expire = |sessions: Vec<String>, at: Timestamp| {
        store.expire_portal_tokens(world.application.key, sessions, at, world.now)
    };
    let ends = async |seed: u8| {
        let found = store.api_key(&[seed; 32]).await.unwrap();
        found.unwrap().expires
    };

    assert_eq!(expire(vec!["a".into(), "x".into()], at).await, Ok(1));
    assert_eq!(ends(2).await, Some(at));
    assert_eq!(ends(3).await, a.expires);
    let later = at.plus(std::time::Duration::from_mins(1));
    assert_eq!(expire(Vec::new(), later).await, Ok(3));
    assert_eq!(ends(1).await, None);
    assert_eq!(ends(2).await, Some(at));
    assert_eq!(ends(4).await, Some(later));

    assert_eq!(store.erase_expired_tokens(at, 10).await, Ok(1));
    assert_eq!(store.erase_expired_tokens(later, 1).await, Ok(1));
    assert_eq!(store.erase_expired_tokens(later, 10).await, Ok(1));
    assert_eq!(store.api_key_count().await, Ok(1));
}

/// And is never set back.
pub async fn the_last_use_of_a_key_is_noted(store: &dyn Store) {
    let mut world = World::new(store).await;
    let new = key(&mut world, 1);
    store.create_api_key(new.clone()).await.unwrap();
    let later = world.now.plus(std::time::Duration::from_mins(1));
    let unknown = ApiKeyId::from_bits(world.bits());

    for at in [later, world.now] {
        let uses = vec![(unknown, at), (new.id, at)];
        store.note_key_uses(uses).await.unwrap();
    }

    let read = store.api_key(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(read.used, Some(later));
}

/// And touches nothing else; what was changed meanwhile stays.
pub async fn what_is_sealed_anew_replaces_the_same_bytes_alone(store: &dyn Store) {
    let mut world = World::new(store).await;
    let endpoint = world.endpoint().await;
    let other = world.endpoint().await;
    let found = store.endpoints_sealed(EndpointKey(0), 1).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&endpoint));
    let rest = store.endpoints_sealed(endpoint.key, 9).await.unwrap();
    assert_eq!(rest, std::slice::from_ref(&other));
    let reseal = |old: &Sealed| {
        store.reseal(vec![Resealed {
            endpoint: endpoint.key,
            old: old.clone(),
            new: Sealed(b"anew".to_vec()),
        }])
    };
    let old = endpoint.secrets[0].sealed.clone();

    assert_eq!(reseal(&Sealed(b"changed meanwhile".to_vec())).await, Ok(0));
    assert_eq!(reseal(&old).await, Ok(1));
    assert_eq!(reseal(&old).await, Ok(0));

    let mut expected = endpoint.clone();
    expected.secrets[0].sealed = Sealed(b"anew".to_vec());
    let read = store.endpoints_by_key(&[endpoint.key, other.key]).await;
    assert_eq!(read.unwrap(), [expected, other]);
}

/// `Limit` beyond `keys_max`; portal tokens neither count nor are refused.
pub async fn an_organization_has_so_many_keys(store: &dyn Store) {
    let mut world = World::new(store).await;
    let first = NewApiKey {
        keys_max: 1,
        ..key(&mut world, 1)
    };
    let second = NewApiKey {
        keys_max: 1,
        ..key(&mut world, 2)
    };
    for seed in [3, 4] {
        let free = NewApiKey {
            keys_max: 0,
            ..token(&mut world, seed, None)
        };
        store.create_api_key(free).await.unwrap();
    }
    store.create_api_key(first).await.unwrap();

    let refused = store.create_api_key(second.clone()).await;

    let limit = Error::Limit {
        name: "keys",
        max: 1,
    };
    assert_eq!(refused, Err(limit));
    assert_eq!(store.api_key(&second.hash).await, Ok(None));
}

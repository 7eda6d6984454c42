use svix::api::{ApplicationCreateOptions, ApplicationListOptions};
use svix::models::{ApplicationIn, ApplicationPatch, Ordering};

use crate::check::{World, all_pages, invalid, ok, refused};

fn named(name: &str, uid: &str) -> ApplicationIn {
    let mut application = ApplicationIn::new(name.to_owned());
    application.uid = Some(uid.to_owned());
    application
}

pub async fn run(world: &World) {
    let (api, uid) = (world.svix.application(), format!("rs-{}", world.app()));
    let created = api
        .create(named("First", &uid), None)
        .await
        .expect("it is created");
    assert!(
        created.id.starts_with("app_"),
        "an application has an id of its kind"
    );
    assert_eq!(
        (created.name.as_str(), &created.uid),
        ("First", &Some(uid.clone()))
    );
    assert_eq!(
        api.get(uid.clone()).await.expect("by its uid").id,
        created.id
    );
    assert_eq!(
        api.get(created.id.clone()).await.expect("by its id").id,
        created.id
    );
    ok("an application is created and found by id and uid");

    let again = api.create(named("Second", &uid), None).await;
    refused(again, 409, "a second application with the same uid is 409");
    let again = api
        .get_or_create(named("Other", &uid), None)
        .await
        .expect("the first");
    assert_eq!(
        (again.id, again.name.as_str()),
        (created.id.clone(), "First")
    );
    refused(
        api.get("app_nowhere".to_owned()).await,
        404,
        "an unknown application is 404",
    );
    let bad = api.create(named("x", "no spaces here"), None).await;
    invalid(bad, "uid", "a bad uid is 422 and named");

    let mut patch = ApplicationPatch::new();
    patch.name = Some("Patched".to_owned());
    let patched = api.patch(uid.clone(), patch).await.expect("it is patched");
    assert_eq!(
        (patched.name.as_str(), &patched.uid),
        ("Patched", &Some(uid.clone()))
    );
    let updated = api
        .upsert(uid.clone(), named("Updated", &uid))
        .await
        .expect("it is updated");
    assert_eq!(
        (&updated.id, updated.name.as_str()),
        (&created.id, "Updated")
    );
    let other = format!("{uid}-2");
    let made = api
        .upsert(other.clone(), named("Made", &other))
        .await
        .expect("it is made");
    ok("applications are patched, updated and upserted");

    for order in [Ordering::Ascending, Ordering::Descending] {
        let found = all_pages!(|iterator| {
            let limit = Some(1);
            api.list(Some(ApplicationListOptions {
                limit,
                iterator,
                order: Some(order),
                ..Default::default()
            }))
        });
        let mut found: Vec<String> = found.into_iter().map(|item| item.id).collect();
        found.retain(|id| *id == created.id || *id == made.id);
        if order == Ordering::Descending {
            found.reverse();
        }
        assert_eq!(found, [created.id.clone(), made.id.clone()], "both orders");
    }
    ok("applications are listed page by page, both ways");

    let key = || {
        Some(ApplicationCreateOptions {
            idempotency_key: Some(format!("key-{uid}")),
        })
    };
    let once = async || {
        let application = ApplicationIn::new("Once".to_owned());
        api.create(application, key())
            .await
            .expect("it is created")
            .id
    };
    assert_eq!(once().await, once().await, "the same key");
    let other = api
        .create(ApplicationIn::new("Twice".to_owned()), key())
        .await;
    refused(other, 409, "the same key for another request is 409");
    api.delete(uid.clone()).await.expect("it is deleted");
    refused(
        api.get(uid.clone()).await,
        404,
        "a deleted application is 404",
    );
    refused(api.delete(uid).await, 404, "deleting it again is 404");
}

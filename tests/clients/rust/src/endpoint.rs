use std::collections::BTreeMap;

use svix::api::{EndpointCreateOptions, EndpointListOptions};
use svix::models::{
    EndpointHeadersIn, EndpointHeadersPatchIn, EndpointIn, EndpointPatch, EndpointSecretRotateIn,
    EndpointUpsertIn, Ordering,
};

use crate::check::{World, all_pages, eventually, invalid, message, ok, refused, set};

fn all() -> String {
    "all".to_owned()
}

pub async fn run(world: &World) {
    basics(world).await;
    lists(world).await;
    secrets(world).await;
    headers(world).await;
    statistics(world).await;
    deletion(world).await;
}

async fn basics(world: &World) {
    let (api, app) = (world.svix.endpoint(), world.app());
    let mut first = world.endpoint_in("/all");
    first.uid = Some(all());
    let first = world.endpoint(first).await;
    assert!(
        first.id.starts_with("ep_"),
        "an endpoint has an id of its kind"
    );
    let mut filtered = world.endpoint_in("/paid");
    filtered.event_types = set(&["invoice.paid"]);
    filtered.channels = set(&["eu"]);
    let filtered = world.endpoint(filtered).await;
    assert_eq!(filtered.event_types, set(&["invoice.paid"]));
    assert_eq!(filtered.channels, set(&["eu"]));
    assert_eq!(
        api.get(app.clone(), all()).await.expect("by its uid").id,
        first.id
    );
    ok("endpoints are created and found by id and uid");

    let mut second = world.endpoint_in("/b");
    second.uid = Some(all());
    let second = api.create(app.clone(), second, None).await;
    refused(second, 409, "a second endpoint with the same uid is 409");
    let unknown = api.get(app.clone(), "ep_nowhere".to_owned()).await;
    refused(unknown, 404, "an unknown endpoint is 404");
    let bad = api
        .create(app.clone(), EndpointIn::new("not a url".to_owned()), None)
        .await;
    invalid(bad, "url", "a bad URL is 422 and named");

    let mut patch = EndpointPatch::new();
    patch.description = Some("patched".to_owned());
    let patched = api
        .patch(app.clone(), all(), patch)
        .await
        .expect("it is patched");
    assert_eq!(
        (patched.description.as_str(), &patched.url),
        ("patched", &first.url)
    );
    let upsert = EndpointUpsertIn::new(filtered.url.clone());
    let updated = api
        .upsert(app.clone(), filtered.id.clone(), upsert)
        .await
        .expect("an update");
    assert_eq!((updated.id, updated.event_types), (filtered.id, None));
    let mut made = EndpointUpsertIn::new(filtered.url.clone());
    made.uid = Some("made".to_owned());
    api.upsert(app.clone(), "made".to_owned(), made)
        .await
        .expect("it is made");
    let once = async || {
        let key = Some(EndpointCreateOptions {
            idempotency_key: Some(format!("endpoint-{app}")),
        });
        let endpoint = EndpointIn::new(filtered.url.clone());
        api.create(app.clone(), endpoint, key)
            .await
            .expect("it is created")
            .id
    };
    assert_eq!(once().await, once().await, "the same key");
    ok("endpoints are patched, updated and upserted");
}

async fn lists(world: &World) {
    let api = world.svix.endpoint();
    let mut found = Vec::new();
    for order in [Ordering::Ascending, Ordering::Descending] {
        let limit = Some(1);
        let list = all_pages!(|iterator| {
            let options = EndpointListOptions {
                limit,
                iterator,
                order: Some(order),
            };
            api.list(world.app(), Some(options))
        });
        found.push(list.into_iter().map(|item| item.id).collect::<Vec<_>>());
    }
    found[1].reverse();
    assert_eq!(found[0].len(), 4, "all endpoints");
    assert_eq!(found[0], found[1], "both orders");
    ok("endpoints are listed page by page, both ways");
}

async fn secrets(world: &World) {
    let (api, app) = (world.svix.endpoint(), world.app());
    let current = async || {
        api.get_secret(app.clone(), all())
            .await
            .expect("a secret")
            .key
    };
    let rotate = async |key: Option<&str>| {
        let mut rotate = EndpointSecretRotateIn::new();
        rotate.key = key.map(str::to_owned);
        api.rotate_secret(app.clone(), all(), rotate, None).await
    };
    let first = current().await;
    assert!(first.starts_with("whsec_"), "a secret has its prefix");
    rotate(None).await.expect("it is rotated");
    assert_ne!(current().await, first, "rotating makes another secret");
    let chosen = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    rotate(Some(chosen)).await.expect("it is rotated");
    assert_eq!(current().await, chosen);
    invalid(
        rotate(Some("whsec_c2hvcnQ=")).await,
        "key",
        "a short secret is 422 and named",
    );
    ok("a secret is read and rotated, to a made and to a chosen one");
}

async fn headers(world: &World) {
    let (api, app) = (world.svix.endpoint(), world.app());
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.to_lowercase(), (*value).to_owned()))
            .collect()
    };
    let found = async || api.get_headers(app.clone(), all()).await.expect("headers");
    let set = EndpointHeadersIn::new(map(&[("x-team", "a"), ("x-old", "b")]));
    api.set_headers(app.clone(), all(), set)
        .await
        .expect("they are set");
    let mut patch = EndpointHeadersPatchIn::new(map(&[("x-new", "c")]));
    patch.delete_headers = Some(vec!["x-old".to_owned()]);
    api.patch_headers(app.clone(), all(), patch)
        .await
        .expect("they are patched");
    let headers = found().await.headers.into_iter();
    let headers: BTreeMap<_, _> = headers
        .map(|(name, it)| (name.to_lowercase(), it))
        .collect();
    assert_eq!(headers, map(&[("x-team", "a"), ("x-new", "c")]));
    let ours = EndpointHeadersIn::new(map(&[("webhook-id", "x")]));
    let ours = api.set_headers(app.clone(), all(), ours).await;
    invalid(ours, "headers", "a header of ours is 422 and named");
    let none = EndpointHeadersIn::new(BTreeMap::new());
    api.set_headers(app.clone(), all(), none)
        .await
        .expect("they are taken away");
    assert!(found().await.headers.is_empty());
    ok("headers are set and patched");
}

async fn statistics(world: &World) {
    let (api, app) = (world.svix.endpoint(), world.app());
    for number in 0..3 {
        world.publish(message("invoice.counted", number)).await;
    }
    eventually("three successes", async || {
        let stats = api
            .get_stats(app.clone(), all(), None)
            .await
            .expect("statistics");
        (stats.success >= 3 && stats.fail == 0).then_some(())
    })
    .await;
    ok("an endpoint's deliveries are counted");
}

async fn deletion(world: &World) {
    let (api, app) = (world.svix.endpoint(), world.app());
    api.delete(app.clone(), all()).await.expect("it is deleted");
    refused(
        api.get(app.clone(), all()).await,
        404,
        "a deleted endpoint is 404",
    );
    refused(
        api.delete(app, all()).await,
        404,
        "deleting it again is 404",
    );
    let mut reborn = world.endpoint_in("/b");
    reborn.uid = Some(all());
    world.endpoint(reborn).await;
    ok("its uid is free at once");
}

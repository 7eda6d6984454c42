use serde_json::{Value, json};
use svix::api::{EventTypeDeleteOptions, EventTypeListOptions};
use svix::models::{EventTypeIn, EventTypePatch, EventTypeUpsertIn};

use crate::check::{World, all_pages, invalid, ok, refused};

/// A schema with an example.
pub fn schema() -> Value {
    json!({
        "type": "object", "title": "A shipment", "required": ["id"],
        "properties": {"id": {"type": "string"}}, "examples": [{"id": "shp_1"}],
    })
}

pub fn event_type(name: &str, description: &str) -> EventTypeIn {
    EventTypeIn::new(name.to_owned(), description.to_owned())
}

pub async fn run(world: &World) {
    let (api, name) = (world.svix.event_type(), format!("{}.shipped", world.app()));
    let schemas = json!({"1": schema()});
    let mut shipped = event_type(&name, "A shipment left");
    shipped.schemas = Some(schemas.clone());
    let created = api.create(shipped, None).await.expect("it is created");
    assert_eq!(
        (created.name, created.schemas),
        (name.clone(), Some(schemas.clone()))
    );
    let again = api.create(event_type(&name, "Again"), None).await;
    refused(again, 409, "a second event type with the same name is 409");
    refused(
        api.get("nothing.here".to_owned()).await,
        404,
        "an unknown event type is 404",
    );
    let bad = api.create(event_type("no spaces here", ""), None).await;
    invalid(bad, "name", "a bad name is 422 and named");
    let mut patch = EventTypePatch::new();
    patch.deprecated = Some(true);
    let patched = api.patch(name.clone(), patch).await.expect("it is patched");
    assert_eq!(
        (patched.deprecated, patched.schemas),
        (true, Some(schemas.clone()))
    );
    let mut upsert = EventTypeUpsertIn::new("Updated".to_owned());
    upsert.schemas = Some(schemas);
    let updated = api
        .upsert(name.clone(), upsert)
        .await
        .expect("it is updated");
    assert_eq!(
        (updated.description.as_str(), updated.deprecated),
        ("Updated", false)
    );
    ok("event types are created, patched and updated");
    archives(world, &name).await;
}

async fn archives(world: &World, name: &str) {
    let api = world.svix.event_type();
    let names = async |include_archived: Option<bool>| {
        let limit = Some(1);
        let found = all_pages!(|iterator| {
            api.list(Some(EventTypeListOptions {
                limit,
                iterator,
                include_archived,
                ..Default::default()
            }))
        });
        let mut names: Vec<String> = found.into_iter().map(|item| item.name).collect();
        names.retain(|item| item == name);
        names
    };
    api.delete(name.to_owned(), None)
        .await
        .expect("it is archived");
    assert_eq!(
        api.get(name.to_owned())
            .await
            .expect("it is there")
            .archived,
        Some(true)
    );
    assert_eq!(
        (names(None).await.len(), names(Some(true)).await.len()),
        (0, 1)
    );
    let back = api
        .create(event_type(name, "Back"), None)
        .await
        .expect("it is brought back");
    assert_eq!(back.archived, Some(false));
    let expunge = Some(EventTypeDeleteOptions {
        expunge: Some(true),
    });
    api.delete(name.to_owned(), expunge)
        .await
        .expect("it is expunged");
    refused(
        api.get(name.to_owned()).await,
        404,
        "an expunged event type is 404",
    );
    ok("event types are listed, archived, brought back and expunged");
}

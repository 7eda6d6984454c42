from svix.api import (
    EventTypeDeleteOptions,
    EventTypeImportOpenApiIn,
    EventTypeIn,
    EventTypeListOptions,
    EventTypePatch,
    EventTypeUpsertIn,
)

from check import all_pages, invalid, ok, refused, same

SCHEMAS = {
    "1": {
        "type": "object",
        "title": "A shipment",
        "required": ["id"],
        "properties": {"id": {"type": "string"}},
        "examples": [{"id": "shp_1"}],
    }
}


def run(world):
    api, name = world.svix.event_type, f"{world.app}.shipped"
    created = api.create(
        EventTypeIn(name=name, description="A shipment left", schemas=SCHEMAS)
    )
    same((created.name, created.description), (name, "A shipment left"), "an event type")
    same(created.schemas, SCHEMAS, "its schemas")
    same(api.get(name).schemas, SCHEMAS, "its schemas, read again")
    again = EventTypeIn(name=name, description="Again")
    refused(lambda: api.create(again), 409, "a second event type with the same name is 409")
    refused(lambda: api.get("nothing.here"), 404, "an unknown event type is 404")
    invalid(
        lambda: api.create(EventTypeIn(name="no spaces here", description="")),
        "name",
        "a bad name is 422 and named",
    )
    patched = api.patch(name, EventTypePatch(description="Patched", deprecated=True))
    same((patched.description, patched.deprecated), ("Patched", True), "a patch")
    same(patched.schemas, SCHEMAS, "what a patch leaves out stays")
    grouped = EventTypePatch(group_name="shop", feature_flags=["beta", "gamma"])
    api.patch(name, grouped)
    read = api.get(name)
    same((read.group_name, read.feature_flags), ("shop", ["beta", "gamma"]), "group and flags")
    same(read.feature_flag, "beta", "the older field has the first flag")
    updated = api.upsert(name, EventTypeUpsertIn(description="Updated", schemas=SCHEMAS))
    same((updated.description, updated.deprecated), ("Updated", False), "an update")
    made = api.upsert(f"{name}.2", EventTypeUpsertIn(description="Made"))
    same(made.name, f"{name}.2", "an upsert makes what is not there")
    ok("event types are created, patched, updated and upserted")
    imports(world, f"{name}.imported")
    archives(world, name)


def imports(world, name):
    api = world.svix.event_type
    spec = {"webhooks": {name: {"post": {"description": "From a description"}}}}
    dry = api.import_openapi(EventTypeImportOpenApiIn(spec=spec, dry_run=True))
    same(dry.data.modified, [name], "what an import would change")
    refused(lambda: api.get(name), 404, "a dry run changes nothing")
    api.import_openapi(EventTypeImportOpenApiIn(spec=spec))
    same(api.get(name).description, "From a description", "an imported event type")
    api.delete(name, EventTypeDeleteOptions(expunge=True))
    ok("event types are imported")


def archives(world, name):
    api = world.svix.event_type

    def names(**options):
        found = all_pages(
            lambda at: api.list(EventTypeListOptions(limit=1, iterator=at, **options))
        )
        return [item.name for item in found if item.name.startswith(world.app)]

    same(names(), [name, f"{name}.2"], "event types by name")
    same(names(order="descending"), [f"{name}.2", name], "event types the other way")
    api.delete(name)
    same(api.get(name).archived, True, "a deleted event type is archived")
    same(names(), [f"{name}.2"], "the list leaves it out")
    same(names(include_archived=True), [name, f"{name}.2"], "unless it is asked for")
    revived = api.create(EventTypeIn(name=name, description="Back"))
    same(revived.archived, False, "creating it again brings it back")
    for each in (name, f"{name}.2"):
        api.delete(each, EventTypeDeleteOptions(expunge=True))
        refused(lambda each=each: api.get(each), 404, "an expunged event type is 404")
    ok("event types are listed, archived, brought back and expunged")

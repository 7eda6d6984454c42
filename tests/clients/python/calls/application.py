from svix.api import (
    ApplicationCreateOptions,
    ApplicationIn,
    ApplicationListOptions,
    ApplicationPatch,
)

from check import all_pages, holds, ids, invalid, ok, refused, same


def run(world):
    api, app = world.svix.application, f"{world.app}-other"
    created = api.create(ApplicationIn(name="First", uid=app, metadata={"a": "1"}))
    holds(created.id.startswith("app_"), "an application has an id of its kind")
    same(
        (created.name, created.uid, created.metadata),
        ("First", app, {"a": "1"}),
        "an application as created",
    )
    same(api.get(app).id, created.id, "an application by its uid")
    same(api.get(created.id).uid, app, "an application by its id")
    ok("an application is created and found by id and uid")

    refused(
        lambda: api.create(ApplicationIn(name="Second", uid=app)),
        409,
        "a second application with the same uid is 409",
    )
    again = api.get_or_create(ApplicationIn(name="Other", uid=app))
    same((again.id, again.name), (created.id, "First"), "get_or_create finds the first")
    made = api.get_or_create(ApplicationIn(name="Other", uid=f"{app}-2"))
    holds(made.id != created.id, "get_or_create makes what is not there")
    refused(lambda: api.get("app_nowhere"), 404, "an unknown application is 404")
    refused(lambda: api.get("nowhere"), 404, "an unknown uid is 404")
    invalid(
        lambda: api.create(ApplicationIn(name="x", uid="no spaces here")),
        "uid",
        "a bad uid is 422 and named",
    )

    patched = api.patch(app, ApplicationPatch(name="Patched", throttle_rate=100))
    same((patched.name, patched.throttle_rate), ("Patched", 100), "a patch")
    same(patched.metadata, {"a": "1"}, "what a patch leaves out stays")
    upserted = api.upsert(app, ApplicationIn(name="Updated", uid=app))
    same((upserted.id, upserted.name), (created.id, "Updated"), "an update")
    same(upserted.metadata, {}, "what an update leaves out goes")
    fresh = api.upsert(f"{app}-3", ApplicationIn(name="Upserted", uid=f"{app}-3"))
    holds(fresh.id not in (created.id, made.id), "an upsert makes what is not there")
    ok("applications are patched, updated and upserted")

    ours = [created.id, made.id, fresh.id]
    for order in ("ascending", "descending"):
        listed = ids(
            all_pages(
                lambda at: api.list(ApplicationListOptions(limit=2, iterator=at, order=order))
            )
        )
        same(len(listed), len(set(listed)), "the list repeats no application")
        mine = [item for item in listed if item in ours]
        same(mine, ours if order == "ascending" else ours[::-1], f"the list, {order}")
    ok("applications are listed page by page, both ways")

    key = ApplicationCreateOptions(idempotency_key=f"key-{app}")
    body = ApplicationIn(name="Once", uid=f"{app}-4")
    same(api.create(body, key).id, api.create(body, key).id, "the same key")
    refused(
        lambda: api.create(ApplicationIn(name="Twice", uid=f"{app}-5"), key),
        409,
        "the same key for another request is 409",
    )
    for uid in (app, f"{app}-2", f"{app}-3", f"{app}-4"):
        api.delete(uid)
    refused(lambda: api.get(app), 404, "a deleted application is 404")
    refused(lambda: api.delete(app), 404, "deleting it again is 404")

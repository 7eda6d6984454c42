from svix.api import (
    EndpointCreateOptions,
    EndpointHeadersIn,
    EndpointHeadersPatchIn,
    EndpointIn,
    EndpointListOptions,
    EndpointPatch,
    EndpointSecretRotateIn,
    EndpointUpsertIn,
)

from check import all_pages, eventually, holds, ids, invalid, ok, refused, same


def run(world):
    basics(world)
    lists(world)
    secrets(world)
    headers(world)
    statistics(world)
    deletion(world)


def basics(world):
    api, app = world.svix.endpoint, world.app
    first = world.endpoint("/all", uid="all", description="everything", metadata={"a": "1"})
    holds(first.id.startswith("ep_"), "an endpoint has an id of its kind")
    same((first.event_types, first.channels), (None, None), "an endpoint without filters")
    filtered = world.endpoint("/paid", event_types=["invoice.paid"], channels=["eu"])
    same(filtered.event_types, ["invoice.paid"], "an endpoint's event types")
    same(filtered.channels, ["eu"], "an endpoint's channels")
    same(api.get(app, "all").id, first.id, "an endpoint by its uid")
    same(api.get(app, first.id).uid, "all", "an endpoint by its id")
    ok("endpoints are created and found by id and uid")

    refused(
        lambda: world.endpoint("/b", uid="all"),
        409,
        "a second endpoint with the same uid is 409",
    )
    refused(lambda: api.get(app, "ep_nowhere"), 404, "an unknown endpoint is 404")
    refused(lambda: api.get("nowhere", "all"), 404, "an endpoint of nobody's is 404")
    invalid(
        lambda: api.create(app, EndpointIn(url="not a url")), "url", "a bad URL is 422 and named"
    )
    patched = api.patch(app, "all", EndpointPatch(description="patched", disabled=True))
    same(
        (patched.description, patched.disabled, patched.url),
        ("patched", True, first.url),
        "a patch",
    )
    api.patch(app, "all", EndpointPatch(disabled=False))
    updated = api.upsert(
        app, filtered.id, EndpointUpsertIn(url=filtered.url, description="updated")
    )
    same(
        (updated.id, updated.description, updated.event_types),
        (filtered.id, "updated", None),
        "an update",
    )
    made = api.upsert(app, "made", EndpointUpsertIn(url=filtered.url, uid="made"))
    holds(made.id not in (first.id, filtered.id), "an upsert makes what is not there")
    key = EndpointCreateOptions(idempotency_key=f"endpoint-{app}")
    body = EndpointIn(url=filtered.url)
    same(api.create(app, body, key).id, api.create(app, body, key).id, "the same key")
    ok("endpoints are patched, updated and upserted")


def lists(world):
    api = world.svix.endpoint
    found = {}
    for order in ("ascending", "descending"):
        found[order] = ids(
            all_pages(
                lambda at: api.list(
                    world.app, EndpointListOptions(limit=1, iterator=at, order=order)
                )
            )
        )
    same(len(found["ascending"]), 4, "all endpoints")
    same(found["ascending"], found["descending"][::-1], "both orders")
    ok("endpoints are listed page by page, both ways")


def secrets(world):
    api, app = world.svix.endpoint, world.app
    first = api.get_secret(app, "all").key
    holds(first.startswith("whsec_"), "a secret has its prefix")
    same(api.get_secret(app, "all").key, first, "a secret stays")
    second = api.rotate_secret(app, "all", EndpointSecretRotateIn()).key
    holds(second.startswith("whsec_") and second != first, "rotating makes another secret")
    same(api.get_secret(app, "all").key, second, "the new secret is the endpoint's")
    chosen = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    rotated = api.rotate_secret(app, "all", EndpointSecretRotateIn(key=chosen))
    same(rotated.key, chosen, "rotating to a chosen secret")
    same(api.get_secret(app, "all").key, chosen, "the chosen secret is the endpoint's")
    invalid(
        lambda: api.rotate_secret(app, "all", EndpointSecretRotateIn(key="whsec_c2hvcnQ=")),
        "key",
        "a short secret is 422 and named",
    )
    ok("a secret is read and rotated, to a made and to a chosen one")


def headers(world):
    api, app = world.svix.endpoint, world.app
    api.set_headers(app, "all", EndpointHeadersIn(headers={"X-Team": "a", "X-Old": "b"}))
    names = lambda: {name.lower(): value for name, value in api.get_headers(app, "all").headers.items()}
    same(names(), {"x-team": "a", "x-old": "b"}, "headers as set")
    api.patch_headers(
        app, "all", EndpointHeadersPatchIn(headers={"X-New": "c"}, delete_headers=["X-Old"])
    )
    same(names(), {"x-team": "a", "x-new": "c"}, "headers as patched")
    api.set_headers(app, "all", EndpointHeadersIn(headers={"Authorization": "Bearer of-a-test"}))
    answer = api.get_headers(app, "all")
    holds(not any("of-a-test" in value for value in answer.headers.values()), "it is not shown")
    same([name.lower() for name in answer.sensitive], ["authorization"], "it is said to be there")
    invalid(
        lambda: api.set_headers(app, "all", EndpointHeadersIn(headers={"webhook-id": "x"})),
        "headers",
        "a header of ours is 422 and named",
    )
    api.set_headers(app, "all", EndpointHeadersIn(headers={}))
    same(api.get_headers(app, "all").headers, {}, "headers are taken away")
    ok("headers are set, patched and hidden")


def statistics(world):
    api, app = world.svix.endpoint, world.app
    for number in range(3):
        world.publish("invoice.counted", number)

    def look():
        found = api.get_stats(app, "all")
        return found if found.success >= 3 else None

    found = eventually(look, "three successes")
    same((found.fail, found.canceled), (0, 0), "no failures")
    refused(lambda: api.get_stats(app, "ep_nowhere"), 404, "statistics of nobody are 404")
    ok("an endpoint's deliveries are counted")


def deletion(world):
    api, app = world.svix.endpoint, world.app
    before = api.get(app, "all").id
    api.delete(app, "all")
    refused(lambda: api.get(app, "all"), 404, "a deleted endpoint is 404")
    refused(lambda: api.delete(app, "all"), 404, "deleting it again is 404")
    holds(world.endpoint("/b", uid="all").id != before, "its uid is free at once")

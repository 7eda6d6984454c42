from svix.api import AppPortalAccessIn, ApplicationTokenExpireIn

from check import holds, ids, ok, refused, same


def run(world):
    api = world.svix.authentication
    stranger = world.client("not-a-key")
    refused(lambda: stranger.application.list(), 401, "a token that is no key is 401")

    access = api.app_portal_access(world.app, AppPortalAccessIn())
    holds(access.url.startswith("http") and access.token, "a portal's address and token")
    portal = world.client(access.token)
    same(portal.application.get(world.app).uid, world.app, "a portal sees its application")
    holds(isinstance(ids(portal.endpoint.list(world.app).data), list), "and its endpoints")
    refused(lambda: portal.application.get("nowhere"), 404, "a portal sees no other")
    portal.authentication.logout()
    refused(lambda: portal.endpoint.list(world.app), 401, "after the logout it sees nothing")
    ok("a portal is opened and left")

    sessions = [
        api.app_portal_access(world.app, AppPortalAccessIn(session_id=name)).token
        for name in ("one", "two")
    ]
    first, second = map(world.client, sessions)
    api.expire_all(world.app, ApplicationTokenExpireIn(expiry=0, session_ids=["one"]))
    refused(lambda: first.endpoint.list(world.app), 401, "an expired session sees nothing")
    second.endpoint.list(world.app)
    api.expire_all(world.app, ApplicationTokenExpireIn(expiry=0))
    refused(lambda: second.endpoint.list(world.app), 401, "nor does any after all expired")
    refused(
        lambda: api.app_portal_access("nowhere", AppPortalAccessIn()),
        404,
        "a portal of nobody's is 404",
    )
    ok("sessions expire, one by one and all at once")

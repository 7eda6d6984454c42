import { holds, ok, refused, same } from "../check.mjs";

export async function run(world) {
  const { svix, app } = world;
  const api = svix.authentication;
  const stranger = world.client("not-a-key");
  await refused(() => stranger.application.list(), 401, "a token that is no key is 401");

  const access = await api.appPortalAccess(app, {});
  holds(access.url.startsWith("http") && access.token, "a portal's address and token");
  const portal = world.client(access.token);
  same((await portal.application.get(app)).uid, app, "a portal sees its application");
  holds(Array.isArray((await portal.endpoint.list(app)).data), "and its endpoints");
  await refused(() => portal.application.get("nowhere"), 404, "a portal sees no other");
  await portal.authentication.logout();
  await refused(() => portal.endpoint.list(app), 401, "after the logout it sees nothing");
  ok("a portal is opened and left");

  const session = async (sessionId) => world.client((await api.appPortalAccess(app, { sessionId })).token);
  const [first, second] = [await session("one"), await session("two")];
  await api.expireAll(app, { expiry: 0, sessionIds: ["one"] });
  await refused(() => first.endpoint.list(app), 401, "an expired session sees nothing");
  await second.endpoint.list(app);
  await api.expireAll(app, { expiry: 0 });
  await refused(() => second.endpoint.list(app), 401, "nor does any after all expired");
  ok("sessions expire, one by one and all at once");
}

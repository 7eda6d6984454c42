import { allPages, eventually, holds, ids, invalid, ok, refused, same } from "../check.mjs";

export async function run(world) {
  await basics(world);
  await lists(world);
  await secrets(world);
  await headers(world);
  await statistics(world);
  await deletion(world);
}

async function basics(world) {
  const [api, app] = [world.svix.endpoint, world.app];
  const description = "everything";
  const first = await world.endpoint("/all", { uid: "all", description, metadata: { a: "1" } });
  holds(first.id.startsWith("ep_"), "an endpoint has an id of its kind");
  holds(first.eventTypes == null && first.channels == null, "an endpoint without filters");
  const filters = { eventTypes: ["invoice.paid"], channels: ["eu"] };
  const filtered = await world.endpoint("/paid", filters);
  same([filtered.eventTypes, filtered.channels], [["invoice.paid"], ["eu"]], "its filters");
  same((await api.get(app, "all")).id, first.id, "an endpoint by its uid");
  same((await api.get(app, first.id)).uid, "all", "an endpoint by its id");
  ok("endpoints are created and found by id and uid");

  const second = () => world.endpoint("/b", { uid: "all" });
  await refused(second, 409, "a second endpoint with the same uid is 409");
  await refused(() => api.get(app, "ep_nowhere"), 404, "an unknown endpoint is 404");
  await invalid(() => api.create(app, { url: "not a url" }), "url", "a bad URL is 422 and named");
  const patched = await api.patch(app, "all", { description: "patched", disabled: true });
  same(
    [patched.description, patched.disabled, patched.url],
    ["patched", true, first.url],
    "a patch",
  );
  await api.patch(app, "all", { disabled: false });
  const updated = await api.upsert(app, filtered.id, { url: filtered.url, description: "new" });
  same([updated.id, updated.description], [filtered.id, "new"], "an update");
  holds(updated.eventTypes == null, "what an update leaves out goes");
  await api.upsert(app, "made", { url: filtered.url, uid: "made" });
  const key = { idempotencyKey: `endpoint-${app}` };
  const create = async () => (await api.create(app, { url: filtered.url }, key)).id;
  same(await create(), await create(), "the same key");
  ok("endpoints are patched, updated and upserted");
}

async function lists(world) {
  const list = async (order) =>
    ids(
      await allPages((iterator) =>
        world.svix.endpoint.list(world.app, { limit: 1, iterator, order }),
      ),
    );
  const ascending = await list("ascending");
  same(ascending.length, 4, "all endpoints");
  same(await list("descending"), ascending.reverse(), "both orders");
  ok("endpoints are listed page by page, both ways");
}

async function secrets(world) {
  const [api, app] = [world.svix.endpoint, world.app];
  const current = async () => (await api.getSecret(app, "all")).key;
  const first = await current();
  holds(first.startsWith("whsec_"), "a secret has its prefix");
  // The client keeps the answer to itself, so the new secret is asked for.
  await api.rotateSecret(app, "all", {});
  const second = await current();
  holds(second.startsWith("whsec_") && second !== first, "rotating makes another secret");
  const chosen = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
  await api.rotateSecret(app, "all", { key: chosen });
  same(await current(), chosen, "the chosen secret is the endpoint's");
  const short = () => api.rotateSecret(app, "all", { key: "whsec_c2hvcnQ=" });
  await invalid(short, "key", "a short secret is 422 and named");
  ok("a secret is read and rotated, to a made and to a chosen one");
}

async function headers(world) {
  const [api, app] = [world.svix.endpoint, world.app];
  const names = async () => {
    const pairs = Object.entries((await api.getHeaders(app, "all")).headers);
    return Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]).sort());
  };
  await api.setHeaders(app, "all", { headers: { "X-Old": "b", "X-Team": "a" } });
  same(await names(), { "x-old": "b", "x-team": "a" }, "headers as set");
  await api.patchHeaders(app, "all", { headers: { "X-New": "c" }, deleteHeaders: ["X-Old"] });
  same(await names(), { "x-new": "c", "x-team": "a" }, "headers as patched");
  await api.setHeaders(app, "all", { headers: { Authorization: "Bearer of-a-test" } });
  const { sensitive } = await api.getHeaders(app, "all");
  same(sensitive.map((name) => name.toLowerCase()), ["authorization"], "it is only named");
  const ours = () => api.setHeaders(app, "all", { headers: { "webhook-id": "x" } });
  await invalid(ours, "headers", "a header of ours is 422 and named");
  await api.setHeaders(app, "all", { headers: {} });
  ok("headers are set, patched and hidden");
}

async function statistics(world) {
  const [api, app] = [world.svix.endpoint, world.app];
  for (const number of [1, 2, 3]) {
    await world.publish("invoice.counted", number);
  }
  const found = await eventually(async () => {
    const stats = await api.getStats(app, "all");
    return stats.success >= 3 && stats;
  }, "three successes");
  same([found.fail, found.canceled], [0, 0], "no failures");
  await refused(() => api.getStats(app, "ep_nowhere"), 404, "statistics of nobody are 404");
  ok("an endpoint's deliveries are counted");
}

async function deletion(world) {
  const [api, app] = [world.svix.endpoint, world.app];
  const before = (await api.get(app, "all")).id;
  await api.delete(app, "all");
  await refused(() => api.get(app, "all"), 404, "a deleted endpoint is 404");
  holds((await world.endpoint("/b", { uid: "all" })).id !== before, "its uid is free at once");
}

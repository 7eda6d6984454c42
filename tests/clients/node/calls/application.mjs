import { allPages, holds, ids, invalid, ok, refused, same } from "../check.mjs";

export async function run(world) {
  const [api, app] = [world.svix.application, `${world.app}-other`];
  const created = await api.create({ name: "First", uid: app, metadata: { a: "1" } });
  holds(created.id.startsWith("app_"), "an application has an id of its kind");
  same([created.name, created.uid, created.metadata], ["First", app, { a: "1" }], "as created");
  holds(!Number.isNaN(created.createdAt.getTime()), "it has a time");
  same((await api.get(app)).id, created.id, "an application by its uid");
  same((await api.get(created.id)).uid, app, "an application by its id");
  ok("an application is created and found by id and uid");

  const second = () => api.create({ name: "Second", uid: app });
  await refused(second, 409, "a second application with the same uid is 409");
  const again = await api.getOrCreate({ name: "Other", uid: app });
  same([again.id, again.name], [created.id, "First"], "getOrCreate finds the first");
  const made = await api.getOrCreate({ name: "Other", uid: `${app}-2` });
  holds(made.id !== created.id, "getOrCreate makes what is not there");
  await refused(() => api.get("app_nowhere"), 404, "an unknown application is 404");
  const bad = () => api.create({ name: "x", uid: "no spaces here" });
  await invalid(bad, "uid", "a bad uid is 422 and named");

  const patched = await api.patch(app, { name: "Patched", throttleRate: 100 });
  same([patched.name, patched.throttleRate], ["Patched", 100], "a patch");
  same(patched.metadata, { a: "1" }, "what a patch leaves out stays");
  const updated = await api.upsert(app, { name: "Updated", uid: app });
  same([updated.id, updated.name], [created.id, "Updated"], "an update");
  same(updated.metadata, {}, "what an update leaves out goes");
  const fresh = await api.upsert(`${app}-3`, { name: "Upserted", uid: `${app}-3` });
  ok("applications are patched, updated and upserted");

  const ours = [created.id, made.id, fresh.id];
  for (const order of ["ascending", "descending"]) {
    const listed = ids(await allPages((iterator) => api.list({ limit: 2, iterator, order })));
    same(new Set(listed).size, listed.length, "the list repeats no application");
    const expected = order === "ascending" ? ours : [...ours].reverse();
    same(listed.filter((id) => ours.includes(id)), expected, `the list, ${order}`);
  }
  ok("applications are listed page by page, both ways");

  const key = { idempotencyKey: `key-${app}` };
  const body = { name: "Once", uid: `${app}-4` };
  same((await api.create(body, key)).id, (await api.create(body, key)).id, "the same key");
  const other = () => api.create({ name: "Twice" }, key);
  await refused(other, 409, "the same key for another request is 409");
  for (const uid of [app, `${app}-2`, `${app}-3`, `${app}-4`]) {
    await api.delete(uid);
  }
  await refused(() => api.get(app), 404, "a deleted application is 404");
  await refused(() => api.delete(app), 404, "deleting it again is 404");
}

import { allPages, invalid, ok, refused, same } from "../check.mjs";

const schemas = {
  1: {
    type: "object",
    title: "A shipment",
    required: ["id"],
    properties: { id: { type: "string" } },
    examples: [{ id: "shp_1" }],
  },
};
const keys = (object) => Object.keys(object).sort();

export async function run(world) {
  const [api, name] = [world.svix.eventType, `${world.app}.shipped`];
  const created = await api.create({ name, description: "A shipment left", schemas });
  same([created.name, created.description], [name, "A shipment left"], "an event type");
  same(keys(created.schemas[1]), keys(schemas[1]), "its schemas");
  const again = () => api.create({ name, description: "Again" });
  await refused(again, 409, "a second event type with the same name is 409");
  await refused(() => api.get("nothing.here"), 404, "an unknown event type is 404");
  const bad = () => api.create({ name: "no spaces here", description: "" });
  await invalid(bad, "name", "a bad name is 422 and named");
  const patched = await api.patch(name, { description: "Patched", deprecated: true });
  same([patched.description, patched.deprecated], ["Patched", true], "a patch");
  await api.patch(name, { groupName: "shop", featureFlags: ["beta"] });
  const { groupName, featureFlags } = await api.get(name);
  same([groupName, featureFlags], ["shop", ["beta"]], "a group and flags");
  const updated = await api.upsert(name, { description: "Updated", schemas });
  same([updated.description, updated.deprecated], ["Updated", false], "an update");
  await api.upsert(`${name}.2`, { description: "Made" });
  ok("event types are created, patched, updated and upserted");
  await archives(world, name);
}

async function archives(world, name) {
  const api = world.svix.eventType;
  const names = async (options) => {
    const found = await allPages((iterator) => api.list({ limit: 1, iterator, ...options }));
    return found.map((item) => item.name).filter((item) => item.startsWith(world.app));
  };
  same(await names({}), [name, `${name}.2`], "event types by name");
  same(await names({ order: "descending" }), [`${name}.2`, name], "the other way");
  await api.delete(name);
  same((await api.get(name)).archived, true, "a deleted event type is archived");
  same(await names({}), [`${name}.2`], "the list leaves it out");
  same(await names({ includeArchived: true }), [name, `${name}.2`], "unless it is asked for");
  same((await api.create({ name, description: "Back" })).archived, false, "it is brought back");
  for (const each of [name, `${name}.2`]) {
    await api.delete(each, { expunge: true });
    await refused(() => api.get(each), 404, "an expunged event type is 404");
  }
  ok("event types are listed, archived, brought back and expunged");
}

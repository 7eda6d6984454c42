// What an event type's schema is good for: examples of it, and coming from a description.

import { holds, ok, refused, same } from "../check.mjs";

const schema = {
  type: "object",
  title: "A shipment",
  required: ["id"],
  properties: { id: { type: "string" } },
  examples: [{ id: "shp_1" }],
};

export async function run(world) {
  const api = world.svix.eventType;
  const shipped = `${world.app}.shipped`;
  await api.create({ name: shipped, description: "A shipment left", schemas: { 1: schema } });
  const example = await world.endpoint("/example", { uid: "example" });
  await world.endpoint("/other");
  const sent = await world.svix.endpoint.sendExample(world.app, "example", { eventType: shipped });
  same([sent.eventType, sent.payload], [shipped, { id: "shp_1" }], "an example");
  const attempts = await world.attempts(sent.id, 1);
  same(attempts.map((item) => item.endpointId), [example.id], "it goes to one endpoint");
  await api.delete(shipped, { expunge: true });
  ok("an example is sent");

  const name = `${world.app}.imported`;
  const content = { "application/json": { schema } };
  const spec = {
    openapi: "3.1.0",
    info: { title: "Events", version: "1" },
    webhooks: { [name]: { post: { description: "Imported", requestBody: { content } } } },
  };
  await api.importOpenapi({ spec, dryRun: true });
  await refused(() => api.get(name), 404, "a dry run makes nothing");
  const answer = await api.importOpenapi({ spec });
  same(answer.data.modified, [name], "what an import has made");
  holds((await api.get(name)).schemas, "an imported event type has its schema");
  await api.delete(name, { expunge: true });
  ok("event types are imported");
}

// An example of an event type, made from its schema.

import { ok, same } from "../check.mjs";

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
}

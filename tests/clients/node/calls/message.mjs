import { allPages, ids, ok, holds, invalid, refused, same } from "../check.mjs";

export async function run(world) {
  const [api, app] = [world.svix.message, world.app];
  const rest = { eventId: "evt-1", tags: ["red"], channels: ["eu"] };
  const paid = await world.publish("invoice.paid", 1, rest);
  holds(paid.id.startsWith("msg_"), "a message has an id of its kind");
  same([paid.eventId, paid.eventType], ["evt-1", "invoice.paid"], "a message");
  same([paid.tags, paid.channels], [["red"], ["eu"]], "its tags and channels");
  same(paid.payload, { number: 1 }, "the payload when asked for");
  const created = [];
  for (const number of [2, 3, 4, 5]) {
    created.push((await world.publish("invoice.created", number)).id);
  }
  ok("messages are published");

  const twice = () => world.publish("invoice.paid", 9, { eventId: "evt-1" });
  await refused(twice, 409, "a second message with the same event id is 409");
  const bad = () => world.publish("no spaces here");
  await invalid(bad, "eventType", "a bad event type is 422 and named");
  same((await api.get(app, "evt-1")).id, paid.id, "a message by its event id");
  same((await api.get(app, paid.id)).payload, {}, "no payload unless asked for");
  const full = await api.get(app, paid.id, { withContent: true });
  same(full.payload, { number: 1 }, "the payload of a message read again");
  await refused(() => api.get(app, "msg_nowhere"), 404, "an unknown message is 404");
  await lists(world, paid, [...created.reverse(), paid.id]);
  await keys(world);
  await upserts(world);
}

async function lists(world, paid, newestFirst) {
  const list = async (filter) => {
    const page = (iterator) => world.svix.message.list(world.app, { limit: 2, iterator, ...filter });
    return ids(await allPages(page));
  };
  const both = ["invoice.paid", "invoice.created"];
  const later = new Date(paid.timestamp.getTime() + 1);
  for (const [filter, expected] of [
    [{}, newestFirst],
    [{ eventTypes: ["invoice.paid"] }, [paid.id]],
    [{ eventTypes: both }, newestFirst],
    [{ tag: "red" }, [paid.id]],
    [{ channel: "eu" }, [paid.id]],
    [{ before: paid.timestamp }, []],
    [{ after: new Date(later.getTime() + 600_000) }, []],
  ]) {
    same(await list(filter), expected, `messages with ${JSON.stringify(filter)}`);
  }
  const { data } = await world.svix.message.list(world.app, { withContent: true });
  same(data.at(-1).payload, { number: 1 }, "a list with payloads");
  ok("messages are read and listed with an iterator and filters");
}

async function keys(world) {
  const [api, app] = [world.svix.message, world.app];
  const body = { eventType: "invoice.created", payload: { number: 6 } };
  const key = { idempotencyKey: `key-${app}` };
  const first = await api.create(app, body, key);
  same((await api.create(app, body, key)).id, first.id, "the same key");
  const other = () => api.create(app, { ...body, payload: {} }, key);
  await refused(other, 409, "the same key for another message is 409");
  ok("the same idempotency key makes one message");
}

async function upserts(world) {
  const uid = `${world.app}-late`;
  const application = { name: "Made on the way", uid };
  const body = { eventType: "invoice.created", payload: {}, application };
  await world.svix.message.create(uid, body);
  same((await world.svix.application.get(uid)).name, "Made on the way", "it came with a message");
  await world.svix.application.delete(uid);
  ok("an application is made on the way");
}

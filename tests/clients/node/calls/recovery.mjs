// What is sent again later: recover, replay missing, bulk replay, and the tasks that do it.

import { allPages, eventually, FAIL, holds, ids, ok, refused, same, SUCCESS } from "../check.mjs";

export async function run(world) {
  const { svix, app } = world;
  const api = svix.endpoint;
  const since = new Date((await svix.application.get(app)).createdAt.getTime() - 1000);
  const eventTypes = ["invoice.lost"];
  const broken = await world.endpoint("/status/500", { uid: "broken", eventTypes });
  const lost = (await world.publish("invoice.lost")).id;
  await eventually(async () => {
    const { data } = await svix.messageAttempt.listAttemptedDestinations(app, lost);
    return data[0]?.status === FAIL;
  }, "a delivery that was given up");
  // From now on the endpoint is well.
  await api.patch(app, broken.id, { url: `${world.receiver}/well` });
  const recovery = await api.recover(app, broken.id, { since });
  same(recovery.task, "endpoint.recover", "the kind of a task");
  same((await world.finished(recovery)).status, "finished", "a recovery's end");
  await succeeded(world, broken.id, [lost]);
  ok("what had failed is recovered");

  const late = await world.endpoint("/late", { uid: "late", eventTypes });
  const replay = await api.replayMissing(app, late.id, { since });
  same(replay.task, "endpoint.replay", "the kind of a task");
  same((await world.finished(replay)).status, "finished", "a replay's end");
  await succeeded(world, late.id, [lost]);
  ok("what was missed is replayed");

  const bulk = await api.bulkReplay(app, late.id, { since, eventTypes, status: SUCCESS });
  same(bulk.task, "endpoint.bulk-replay", "the kind of a task");
  same((await world.finished(bulk)).status, "finished", "a bulk replay's end");
  await succeeded(world, late.id, [lost, lost]);
  ok("what had succeeded is sent again when asked");

  const page = (iterator) => svix.backgroundTask.list({ limit: 1, iterator });
  holds(ids(await allPages(page)).includes(bulk.id), "the list has the task");
  const only = { task: "endpoint.recover", status: "finished" };
  const { data } = await svix.backgroundTask.list(only);
  holds(data.length > 0 && data.every(({ task }) => task === "endpoint.recover"), "of one kind");
  const unknown = () => svix.backgroundTask.get("qtask_nowhere");
  await refused(unknown, 404, "an unknown task is 404");
  ok("tasks are listed and read");
}

async function succeeded(world, endpoint, messages) {
  const found = await eventually(async () => {
    const only = { status: SUCCESS };
    const { data } = await world.svix.messageAttempt.listByEndpoint(world.app, endpoint, only);
    return data.length >= messages.length && data.map((item) => item.msgId);
  }, "successes");
  same(found, messages, "what the endpoint got");
}

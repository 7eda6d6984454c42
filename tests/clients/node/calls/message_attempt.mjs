import {
  allPages,
  eventually,
  FAIL,
  holds,
  ids,
  ok,
  PENDING,
  refused,
  same,
  sorted,
  SUCCESS,
} from "../check.mjs";

export async function run(world) {
  const everything = await world.endpoint("/all", { uid: "everything" });
  const paidOnly = await world.endpoint("/paid", { eventTypes: ["invoice.paid"] });
  const paid = await world.publish("invoice.paid", 1, { tags: ["red"], channels: ["eu"] });
  const created = await world.publish("invoice.created");
  const attempts = await world.attempts(paid.id, 2);
  const both = sorted([everything.id, paidOnly.id]);
  same(sorted(attempts.map((attempt) => attempt.endpointId)), both, "both asked for it");
  for (const { status, responseStatusCode, msgId, triggerType } of attempts) {
    same([status, responseStatusCode], [SUCCESS, 200], "an attempt");
    same([msgId, triggerType], [paid.id, 0], "whose it is, and of the schedule");
  }
  const only = await world.attempts(created.id, 1);
  same(only.map((item) => item.endpointId), [everything.id], "the filter held the other back");
  ok("each message reached the endpoints that asked for it");

  await lists(world, paid, paidOnly, attempts);
  await failures(world);
  await resends(world, paid, paidOnly);
}

async function lists(world, paid, paidOnly, attempts) {
  const [api, app] = [world.svix.messageAttempt, world.app];
  same((await api.get(app, paid.id, attempts[0].id)).url, attempts[0].url, "an attempt by id");
  const unknown = () => api.get(app, paid.id, "atmpt_nowhere");
  await refused(unknown, 404, "an unknown attempt is 404");

  const both = sorted(ids(attempts));
  for (const [filter, expected] of [
    [{}, both],
    [{ status: SUCCESS }, both],
    [{ status: FAIL }, []],
    [{ statusCodeClass: 200 }, both],
    [{ statusCodeClass: 500 }, []],
    [{ tag: "red", channel: "eu" }, both],
    [{ tag: "blue" }, []],
    [{ channel: "us" }, []],
    [{ eventTypes: ["invoice.paid"] }, both],
    [{ eventTypes: ["invoice.created"] }, []],
    [{ before: paid.timestamp }, []],
  ]) {
    const page = (iterator) => api.listByMsg(app, paid.id, { limit: 1, iterator, ...filter });
    same(sorted(ids(await allPages(page))), expected, `attempts with ${JSON.stringify(filter)}`);
  }
  for (const [filter, expected] of [
    [{ withMsg: true }, [paid.id]],
    [{ status: FAIL }, []],
    [{ statusCodeClass: 200, tag: "red", channel: "eu" }, [paid.id]],
    [{ eventTypes: ["invoice.created"] }, []],
  ]) {
    const { data } = await api.listByEndpoint(app, paidOnly.id, filter);
    const what = `attempts of an endpoint with ${JSON.stringify(filter)}`;
    same(data.map((item) => item.msgId), expected, what);
  }
  const destinations = (await api.listAttemptedDestinations(app, paid.id)).data;
  same(sorted(ids(destinations)), sorted(attempts.map((a) => a.endpointId)), "destinations");
  holds(destinations.every((item) => item.status === SUCCESS), "all of them succeeded");
  const messages = await api.listAttemptedMessages(app, paidOnly.id, { status: SUCCESS });
  same(ids(messages.data), [paid.id], "messages of an endpoint");
  ok("attempts are listed by message and by endpoint, with every filter");
}

async function failures(world) {
  const [api, app] = [world.svix.messageAttempt, world.app];
  const broken = await world.endpoint("/status/500", { eventTypes: ["invoice.broken"] });
  const message = await world.publish("invoice.broken", 7);
  const attempt = await eventually(
    async () => (await api.listByEndpoint(app, broken.id)).data[0],
    "an attempt that fails",
  );
  same([attempt.status, attempt.responseStatusCode], [FAIL, 500], "a failed attempt");
  const delivery = await eventually(async () => {
    const { data } = await api.listAttemptedDestinations(app, message.id);
    return data.find((item) => item.id === broken.id && item.status === PENDING);
  }, "a delivery that waits for its next attempt");
  holds(delivery.nextAttempt instanceof Date, "it says when");
  ok("a failed attempt is shown, and its delivery waits for the next");
}

async function resends(world, paid, paidOnly) {
  const [api, app] = [world.svix.messageAttempt, world.app];
  await api.resend(app, paid.id, paidOnly.id);
  const byHand = (await world.attempts(paid.id, 3)).filter((attempt) => attempt.triggerType === 1);
  same(byHand.map((item) => item.endpointId), [paidOnly.id], "the attempt made by hand");
  await refused(() => api.resend(app, paid.id, "ep_nowhere"), 404, "resending to nobody is 404");
  ok("a message is resent");
}

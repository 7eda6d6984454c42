// Walks through the sending API with the official JavaScript client.
//
// RECEIVER is the base URL of a receiver that answers 200, and 500 below /status/500.

import { allPages, args, eventually, holds, invalid, load, ok, refused, same } from "./check.mjs";

const [url, token, base] = args(3, 3, "spine.mjs URL TOKEN RECEIVER");
const { Svix } = await load("svix");
const receiver = base.replace(/\/+$/, "");
// Without retries, so that a 500 is seen as one.
const options = { serverUrl: url, retryScheduleInMs: [] };
const svix = new Svix(token, options);
const app = `js-${crypto.randomUUID().slice(0, 12)}`;
const [SUCCESS, PENDING, FAIL] = [0, 1, 2];
const ids = (items) => items.map((item) => item.id);
const sorted = (items) => [...items].sort();

async function applications() {
  const api = svix.application;
  const stranger = new Svix("not-a-key", options);
  await refused(() => stranger.application.list(), 401, "a token that is no key is 401");

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
  ok("getOrCreate answers with what is there");
  await refused(() => api.get("app_nowhere"), 404, "an unknown application is 404");
  const bad = () => api.create({ name: "x", uid: "no spaces here" });
  await invalid(bad, "uid", "a bad uid is 422 and named");

  same((await api.patch(app, { name: "Patched" })).name, "Patched", "a patch");
  const updated = await api.upsert(app, { name: "Updated", uid: app });
  same([updated.id, updated.name], [created.id, "Updated"], "an update");
  const all = ids(await allPages((iterator) => api.list({ limit: 1, iterator })));
  same(new Set(all).size, all.length, "the list repeats no application");
  holds(all.includes(created.id), "the list has the application");
  ok("applications are patched, updated and listed page by page");
}

let everything;
let filtered;

async function endpoints() {
  const api = svix.endpoint;
  const all = { url: `${receiver}/all`, uid: "all", description: "takes everything" };
  everything = await api.create(app, all);
  holds(everything.id.startsWith("ep_"), "an endpoint has an id of its kind");
  holds(everything.eventTypes == null, "an endpoint without a filter");
  const paid = { url: `${receiver}/paid`, eventTypes: ["invoice.paid"] };
  filtered = await api.create(app, paid);
  same(filtered.eventTypes, ["invoice.paid"], "an endpoint with a filter");
  same((await api.get(app, "all")).id, everything.id, "an endpoint by its uid");
  ok("two endpoints are created, one of them filtered");

  const second = () => api.create(app, { url: `${receiver}/b`, uid: "all" });
  await refused(second, 409, "a second endpoint with the same uid is 409");
  await refused(() => api.get(app, "ep_nowhere"), 404, "an unknown endpoint is 404");
  await invalid(() => api.create(app, { url: "not a url" }), "url", "a bad URL is 422 and named");

  const patched = await api.patch(app, "all", { description: "patched" });
  same([patched.description, patched.url], ["patched", everything.url], "a patch");
  const updated = await api.upsert(app, filtered.id, { ...paid, description: "updated" });
  same([updated.id, updated.description], [filtered.id, "updated"], "an update");
  const listed = await allPages((iterator) => api.list(app, { limit: 1, iterator }));
  same(sorted(ids(listed)), sorted([everything.id, filtered.id]), "listed endpoints");
  ok("endpoints are patched, updated and listed page by page");
}

async function secrets() {
  const api = svix.endpoint;
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
  ok("a secret is read and rotated, to a made and to a chosen one");
}

const publish = (eventType, number, rest = {}) =>
  svix.message.create(
    app,
    { eventType, payload: { number }, ...rest },
    { withContent: true },
  );

let paid;
let created;

async function messages() {
  const api = svix.message;
  paid = await publish("invoice.paid", 1, { eventId: "evt-1", tags: ["red"] });
  holds(paid.id.startsWith("msg_"), "a message has an id of its kind");
  same([paid.eventId, paid.eventType], ["evt-1", "invoice.paid"], "a message");
  same(paid.payload, { number: 1 }, "the payload when asked for");
  created = await publish("invoice.created", 2);
  const rest = [];
  for (const number of [3, 4, 5]) {
    rest.push((await publish("invoice.created", number)).id);
  }
  ok("messages are published");

  const twice = () => publish("invoice.paid", 9, { eventId: "evt-1" });
  await refused(twice, 409, "a second message with the same event id is 409");
  const bad = () => publish("no spaces here", 1);
  await invalid(bad, "eventType", "a bad event type is 422 and named");
  same((await api.get(app, "evt-1")).id, paid.id, "a message by its event id");
  same((await api.get(app, paid.id)).payload, {}, "no payload unless asked for");
  const full = await api.get(app, paid.id, { withContent: true });
  same(full.payload, { number: 1 }, "the payload of a message read again");
  await refused(() => api.get(app, "msg_nowhere"), 404, "an unknown message is 404");

  const list = async (filter) =>
    ids(await allPages((iterator) => api.list(app, { limit: 2, iterator, ...filter })));
  const newestFirst = [...rest.reverse(), created.id, paid.id];
  same(await list({}), newestFirst, "all messages, newest first, over several pages");
  same(await list({ eventTypes: ["invoice.paid"] }), [paid.id], "messages of one type");
  const both = ["invoice.paid", "invoice.created"];
  same(await list({ eventTypes: both }), newestFirst, "messages of two types");
  same(await list({ tag: "red" }), [paid.id], "messages with a tag");
  ok("messages are read and listed with an iterator and filters");

  const body = { eventType: "invoice.created", payload: { number: 6 } };
  const key = { idempotencyKey: `key-${app}` };
  const first = await api.create(app, body, key);
  same((await api.create(app, body, key)).id, first.id, "the same key");
  ok("the same idempotency key makes one message");
}

const attemptsOf = (message, count) =>
  eventually(async () => {
    const { data } = await svix.messageAttempt.listByMsg(app, message);
    return data.length >= count && data;
  }, `${count} attempts of ${message}`);

async function deliveries() {
  const api = svix.messageAttempt;
  const attempts = await attemptsOf(paid.id, 2);
  const both = sorted([everything.id, filtered.id]);
  same(sorted(attempts.map((attempt) => attempt.endpointId)), both, "both asked for it");
  for (const { status, responseStatusCode, msgId, triggerType } of attempts) {
    same([status, responseStatusCode], [SUCCESS, 200], "an attempt");
    same([msgId, triggerType], [paid.id, 0], "whose it is, and of the schedule");
  }
  const only = await attemptsOf(created.id, 1);
  same(only.map((item) => item.endpointId), [everything.id], "the filter held the other back");
  ok("each message reached the endpoints that asked for it");

  same((await api.get(app, paid.id, attempts[0].id)).url, attempts[0].url, "an attempt by id");
  const unknown = () => api.get(app, paid.id, "atmpt_nowhere");
  await refused(unknown, 404, "an unknown attempt is 404");
  const listed = (await api.listByEndpoint(app, filtered.id)).data;
  same(listed.map((attempt) => attempt.msgId), [paid.id], "attempts of an endpoint");
  same((await api.listByMsg(app, paid.id, { status: FAIL })).data, [], "failed attempts");
  const destinations = (await api.listAttemptedDestinations(app, paid.id)).data;
  same(sorted(ids(destinations)), both, "destinations of a message");
  holds(destinations.every((item) => item.status === SUCCESS), "all of them succeeded");
  ok("attempts are listed by message and by endpoint");

  await api.resend(app, paid.id, filtered.id);
  const byHand = (await attemptsOf(paid.id, 3)).filter((attempt) => attempt.triggerType === 1);
  same(byHand.map((item) => item.endpointId), [filtered.id], "the attempt made by hand");
  ok("a message is resent");
}

async function failures() {
  const target = { url: `${receiver}/status/500`, eventTypes: ["invoice.broken"] };
  const broken = await svix.endpoint.create(app, target);
  const message = await publish("invoice.broken", 7);
  const attempt = await eventually(
    async () => (await svix.messageAttempt.listByEndpoint(app, broken.id)).data[0],
    "an attempt that fails",
  );
  same([attempt.status, attempt.responseStatusCode], [FAIL, 500], "a failed attempt");
  const delivery = await eventually(async () => {
    const { data } = await svix.messageAttempt.listAttemptedDestinations(app, message.id);
    return data.find((item) => item.id === broken.id && item.status === PENDING);
  }, "a delivery that waits for its next attempt");
  holds(delivery.nextAttempt instanceof Date, "it says when");
  ok("a failed attempt is shown, and its delivery waits for the next");
}

async function deletion() {
  await svix.endpoint.delete(app, "all");
  const gone = () => svix.endpoint.get(app, "all");
  await refused(gone, 404, "a deleted endpoint is 404");
  const reborn = await svix.endpoint.create(app, { url: `${receiver}/b`, uid: "all" });
  holds(reborn.id !== everything.id, "its uid is free at once");
  await svix.application.delete(app);
  await refused(() => svix.application.get(app), 404, "a deleted application is 404");
}

for (const part of [applications, endpoints, secrets, messages, deliveries, failures, deletion]) {
  await part();
}

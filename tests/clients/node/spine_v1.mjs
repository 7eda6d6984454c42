// Walks through the sending API with the previous major version of the official client, which is
// what most programs still have: it asks for payloads by itself and calls some fields otherwise.

import { args, eventually, holds, load, ok, refused, same } from "./check.mjs";

const [url, token, base] = args(3, 3, "spine_v1.mjs URL TOKEN RECEIVER");
const { Svix } = await load("svix-1");
const receiver = base.replace(/\/+$/, "");
const svix = new Svix(token, { serverUrl: url, retryScheduleInMs: [] });
const app = `js1-${crypto.randomUUID().slice(0, 12)}`;

const created = await svix.application.create({ name: "First", uid: app });
const twice = () => svix.application.create({ name: "Second", uid: app });
await refused(twice, 409, "a second application with the same uid is 409");
same((await svix.application.update(app, { name: "New", uid: app })).id, created.id, "an update");
ok("an application is created and updated");

const everything = await svix.endpoint.create(app, { url: `${receiver}/all`, uid: "all" });
const filtered = await svix.endpoint.create(app, {
  url: `${receiver}/paid`,
  filterTypes: ["invoice.paid"],
});
same(filtered.filterTypes, ["invoice.paid"], "a filter under its older name");
ok("an endpoint's filter is understood under its older name");

const { key } = await svix.endpoint.getSecret(app, "all");
holds(key.startsWith("whsec_"), "a secret has its prefix");
await svix.endpoint.rotateSecret(app, "all", {});
holds((await svix.endpoint.getSecret(app, "all")).key !== key, "rotating makes another secret");
ok("a secret is rotated");

const message = await svix.message.create(app, { eventType: "invoice.created", payload: { n: 1 } });
same(message.payload, { n: 1 }, "the payload comes unasked");
same((await svix.message.get(app, message.id)).payload, { n: 1 }, "also when read again");
const attempts = await eventually(async () => {
  const { data } = await svix.messageAttempt.listByMsg(app, message.id);
  return data.length > 0 && data;
}, "an attempt");
same(attempts.map((attempt) => attempt.endpointId), [everything.id], "the filter held");
ok("a message reaches the endpoints that asked for it");

await svix.application.delete(app);
await refused(() => svix.application.get(app), 404, "a deleted application is 404");

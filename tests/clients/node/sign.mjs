// Signs requests with the libraries of providers, as they are published. Prints what sign.py does.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const modules = process.env.POSTHASTE_TEST_NODE_MODULES;
const require = createRequire(pathToFileURL(join(modules, "sign.mjs")));
const load = (name) => import(pathToFileURL(require.resolve(name)));

const octokit = await import(
  pathToFileURL(join(modules, "@octokit/webhooks-methods/dist-node/index.js"))
);
const sanity = await load("@sanity/webhook");
const hygraph = await load("@hygraph/utils");
const standard = await load("standardwebhooks");
const svix = await load("svix");

const encodeSanity = sanity.encodeSignatureHeader ?? sanity.default.encodeSignatureHeader;
const signHygraph = hygraph.generateWebhookSignature ?? hygraph.default.generateWebhookSignature;
const now = new Date();
const json = { "Content-Type": "application/json" };
const key = (byte) => "whsec_" + Buffer.alloc(32, byte).toString("base64");

const signers = [
  {
    provider: "github",
    signature: "X-Hub-Signature-256",
    secrets: ["It's a Secret to Everybody", "another"],
    sign: async (secret, body, number) => ({
      ...json,
      "X-GitHub-Delivery": `72d3162e-cc78-11e3-81ab-4c9367dc095${number}`,
      "X-GitHub-Event": "push",
      "X-Hub-Signature-256": await octokit.sign(secret, body),
    }),
  },
  {
    provider: "sanity",
    signature: "sanity-webhook-signature",
    secrets: ["a good secret", "another"],
    sign: async (secret, body, number) => ({
      ...json,
      "idempotency-key": `key-${number}`,
      "sanity-operation": "update",
      "sanity-webhook-signature": await encodeSanity(body, now.getTime(), secret),
    }),
  },
  {
    provider: "hygraph",
    signature: "gcms-signature",
    secrets: ["a good secret", "another"],
    sign: async (secret, body) => ({
      ...json,
      "gcms-signature": signHygraph({ rawPayload: body, secret }),
    }),
  },
  {
    provider: "standard-webhooks",
    signature: "webhook-signature",
    secrets: [key(5), key(6)],
    sign: async (secret, body, number) => ({
      ...json,
      "webhook-id": `msg_js_${number}`,
      "webhook-timestamp": String(Math.floor(now.getTime() / 1000)),
      "webhook-signature": new standard.Webhook(secret).sign(`msg_js_${number}`, now, body),
    }),
  },
  {
    provider: "svix",
    signature: "svix-signature",
    secrets: [key(7), key(8)],
    sign: async (secret, body, number) => ({
      ...json,
      "svix-id": `msg_js_${number}`,
      "svix-timestamp": String(Math.floor(now.getTime() / 1000)),
      "svix-signature": new svix.Webhook(secret).sign(`msg_js_${number}`, now, body),
    }),
  },
];

const bodies = [
  '{"_id":"one","type":"a.b","operation":"publish"}',
  '{"_id":"two", "type":"a.b","text":"caf\u00e9 \u2028 \\u00e9 \\/ \u{1f680}"}\n',
];

for (const { provider, signature, secrets, sign } of signers) {
  for (const [number, body] of bodies.entries()) {
    const [good, other] = await Promise.all(secrets.map((secret) => sign(secret, body, number)));
    console.log(
      JSON.stringify({
        provider,
        secret: secrets[0],
        publicUrl: null,
        signature: signature.toLowerCase(),
        good,
        other,
        body: Buffer.from(body).toString("base64"),
      }),
    );
  }
}

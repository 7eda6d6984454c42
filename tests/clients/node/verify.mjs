// Verifies captured deliveries with the official JavaScript verifiers.
//
// Each line of FILE (or - for standard input) is a delivery: {"headers": {...}, "body": "<base64>",
// "secret": "whsec_..."}. `secret` may be a list, each of which must verify it, and SECRET stands in
// where there is none. Every delivery must be accepted by all verifiers, and every forgery made
// from it be refused.

import { readFileSync } from "node:fs";

import { args, fail, load, ok } from "./check.mjs";

const [path, fallback] = args(1, 2, "verify.mjs FILE [SECRET]");
const standard = await load("standardwebhooks");
const current = await load("svix");
const previous = await load("svix-1");

const verifiers = {
  standardwebhooks: (secret, body, headers) =>
    new standard.Webhook(secret).verify(body, headers, { jsonParse: false }),
  svix: (secret, body, headers) => new current.Webhook(secret).verify(body, headers),
  "svix 1": (secret, body, headers) => new previous.Webhook(secret).verify(body, headers),
};
const [ID, TIME, SIGNATURE] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/** What somebody without the secret could send instead, each with its name. */
function forgeries(secret, body, headers) {
  const but = (name, value) => {
    const changed = { ...headers, [name]: value };
    if (value === undefined) {
      delete changed[name];
    }
    return changed;
  };
  const signature = headers[SIGNATURE];
  const at = Number(headers[TIME]);
  const last = body.length - 1;
  const replaced = (from, to) => but(SIGNATURE, signature.replaceAll(from, to));
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  key[0] ^= 1;
  const changed = Buffer.from(body);
  changed[last] ^= 1;
  const shortened = signature.split(" ").map((part) => part.slice(0, -4)).join(" ");
  return {
    "another secret": [`whsec_${key.toString("base64")}`, body, headers],
    "a byte more": [secret, Buffer.concat([body, Buffer.from(" ")]), headers],
    "a byte less": [secret, body.subarray(0, last), headers],
    "a byte changed": [secret, changed, headers],
    "white space in front": [secret, Buffer.concat([Buffer.from(" "), body]), headers],
    "another id": [secret, body, but(ID, `${headers[ID]}x`)],
    "a second later": [secret, body, but(TIME, String(at + 1))],
    "310 seconds earlier": [secret, body, but(TIME, String(at - 310))],
    "310 seconds later": [secret, body, but(TIME, String(at + 310))],
    "no time": [secret, body, but(TIME)],
    "no id": [secret, body, but(ID)],
    "no signature": [secret, body, but(SIGNATURE)],
    "an empty signature": [secret, body, but(SIGNATURE, "")],
    "another version": [secret, body, replaced("v1,", "v2,")],
    "v1a only": [secret, body, replaced("v1,", "v1a,")],
    "an upper-case version": [secret, body, replaced("v1,", "V1,")],
    "no version": [secret, body, replaced("v1,", "")],
    "a shortened signature": [secret, body, but(SIGNATURE, shortened)],
    "a signature of zeros": [
      secret,
      body,
      but(SIGNATURE, `v1,${Buffer.alloc(32).toString("base64")}`),
    ],
  };
}

function accepts(verify, given) {
  try {
    verify(...given);
    return true;
  } catch {
    return false;
  }
}

let deliveries = 0;
let refusals = 0;
const lines = readFileSync(path === "-" ? 0 : path, "utf8").split("\n");
for (const line of lines.filter((text) => text.trim() !== "")) {
  const delivery = JSON.parse(line);
  const headers = {};
  for (const [name, value] of Object.entries(delivery.headers)) {
    headers[name.toLowerCase()] = value;
  }
  const body = Buffer.from(delivery.body, "base64");
  for (const secret of [delivery.secret ?? fallback].flat()) {
    for (const [name, verify] of Object.entries(verifiers)) {
      if (!accepts(verify, [secret, body, headers])) {
        fail(`${name} refuses ${headers[ID]}`);
      }
      for (const [what, forged] of Object.entries(forgeries(secret, body, headers))) {
        if (accepts(verify, forged)) {
          fail(`${name} accepts ${headers[ID]} with ${what}`);
        }
        refusals += 1;
      }
    }
  }
  deliveries += 1;
}
if (deliveries === 0) {
  fail("there was no delivery to verify");
}
ok(`${deliveries} deliveries verified, ${refusals} forgeries refused`);

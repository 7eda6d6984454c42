// Verifies captured deliveries with the official JavaScript verifiers.
//
// Each line of FILE (or - for standard input) is a delivery: {"headers": {...}, "body": "<base64>",
// "secret": "whsec_..."}. `secret` may be a list, each of which must verify it, and SECRET stands in
// where there is none. Every delivery must be accepted by all verifiers, and every forgery made
// from it be refused.

import { createHash, createHmac } from "node:crypto";
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
  const but = (changes) => {
    const changed = { ...headers, ...changes };
    return Object.fromEntries(Object.entries(changed).filter(([, value]) => value !== undefined));
  };
  const signature = headers[SIGNATURE];
  const at = Number(headers[TIME]);
  const name = headers[ID];
  const last = body.length - 1;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const other = Buffer.from(key);
  other[0] ^= 1;
  const flipped = (index) => {
    const changed = Buffer.from(body);
    changed[index] ^= 1;
    return changed;
  };
  const swapped = (text) =>
    text.replace(/[a-zA-Z]/g, (c) => (c < "a" ? c.toLowerCase() : c.toUpperCase()));
  const bodies = {
    "a byte more": Buffer.concat([body, Buffer.from(" ")]),
    "a byte less": body.subarray(0, last),
    "the last byte changed": flipped(last),
    "the first byte changed": flipped(0),
    "a byte in the middle changed": flipped(Math.floor(body.length / 2)),
    "white space in front": Buffer.concat([Buffer.from(" "), body]),
    "a new line at the end": Buffer.concat([body, Buffer.from("\n")]),
    "a byte order mark": Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), body]),
    "no body": Buffer.alloc(0),
  };
  const others = {
    "another id": { [ID]: `${name}x` },
    "an id in upper case": { [ID]: name.toUpperCase() },
    "a second later": { [TIME]: String(at + 1) },
    "310 seconds earlier": { [TIME]: String(at - 310) },
    "310 seconds later": { [TIME]: String(at + 310) },
    "id and time swapped": { [ID]: String(at), [TIME]: name },
    "a full stop moved": { [ID]: `${name}.${at}` },
    "no time": { [TIME]: undefined },
    "no id": { [ID]: undefined },
    "no signature": { [SIGNATURE]: undefined },
  };
  const signed = Buffer.concat([Buffer.from(`${name}.${at}.`), body]);
  const mac = (by, of) => `v1,${createHmac("sha256", by).update(of).digest("base64")}`;
  const each = (change) => signature.split(" ").map(change).join(" ");
  const signatures = {
    "an empty signature": "",
    "another version": signature.replaceAll("v1,", "v2,"),
    "v1a only": signature.replaceAll("v1,", "v1a,"),
    "an upper-case version": signature.replaceAll("v1,", "V1,"),
    "no version": signature.replaceAll("v1,", ""),
    "a shortened signature": each((part) => part.slice(0, -4)),
    "a signature's first half": each((part) => part.slice(0, part.length / 2)),
    "a signature in other cases": each((part) => `v1,${swapped(part.slice(3))}`),
    "a signature backwards": each((part) => `v1,${[...part.slice(3)].reverse().join("")}`),
    "a signature of zeros": `v1,${Buffer.alloc(32).toString("base64")}`,
    "a signature of the body only": mac(key, body),
    "a hash without the secret": `v1,${createHash("sha256").update(signed).digest("base64")}`,
    "the secret's text as the key": mac(secret, signed),
  };
  const given = { "another secret": [`whsec_${other.toString("base64")}`, body, headers] };
  for (const [what, changed] of Object.entries(bodies)) {
    given[what] = [secret, changed, headers];
  }
  for (const [what, changes] of Object.entries(others)) {
    given[what] = [secret, body, but(changes)];
  }
  for (const [what, forged] of Object.entries(signatures)) {
    given[what] = [secret, body, but({ [SIGNATURE]: forged })];
  }
  return given;
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

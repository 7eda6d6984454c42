"""Verifies captured deliveries with the official Python verifiers.

Usage: verify.py FILE [SECRET]    (FILE may be - for standard input)

Each line is a delivery: {"headers": {...}, "body": "<base64>", "secret": "whsec_..."}. `secret` may
be a list, each of which must verify it, and SECRET stands in where there is none. Every delivery
must be accepted by both verifiers, and every forgery made from it be refused.
"""

import base64
import hashlib
import hmac
import json
import sys

import standardwebhooks
import svix.webhooks

VERIFIERS = {
    "standardwebhooks": lambda secret, body, headers: standardwebhooks.Webhook(secret).verify(
        body, headers, json_parse=False
    ),
    "svix": lambda secret, body, headers: svix.webhooks.Webhook(secret).verify(body, headers),
}
ID, TIME, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def forgeries(secret, body, headers):
    """What somebody without the secret could send instead, each with its name."""

    def but(**changes):
        names = {"id": ID, "time": TIME, "signature": SIGNATURE}
        changed = {names[name]: value for name, value in changes.items()}
        return {name: v for name, v in {**headers, **changed}.items() if v is not None}

    def flipped(at):
        return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]

    def each(change):
        return but(signature=" ".join(change(part) for part in signature.split(" ")))

    signature, at, name = headers[SIGNATURE], int(headers[TIME]), headers[ID]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    other = "whsec_" + base64.b64encode(bytes([key[0] ^ 1]) + key[1:]).decode()
    yield "another secret", other, body, headers
    yield "a byte more", secret, body + b" ", headers
    yield "a byte less", secret, body[:-1], headers
    yield "the last byte changed", secret, flipped(len(body) - 1), headers
    yield "the first byte changed", secret, flipped(0), headers
    yield "a byte in the middle changed", secret, flipped(len(body) // 2), headers
    yield "white space in front", secret, b" " + body, headers
    yield "a new line at the end", secret, body + b"\n", headers
    yield "a byte order mark", secret, b"\xef\xbb\xbf" + body, headers
    yield "no body", secret, b"", headers
    yield "another id", secret, body, but(id=name + "x")
    yield "an id in upper case", secret, body, but(id=name.upper())
    yield "a second later", secret, body, but(time=str(at + 1))
    yield "310 seconds earlier", secret, body, but(time=str(at - 310))
    yield "310 seconds later", secret, body, but(time=str(at + 310))
    yield "id and time swapped", secret, body, but(id=str(at), time=name)
    yield "a full stop moved", secret, body, but(id=f"{name}.{at}", time=str(at))
    yield "no time", secret, body, but(time=None)
    yield "no id", secret, body, but(id=None)
    yield "no signature", secret, body, but(signature=None)
    yield "an empty signature", secret, body, but(signature="")
    yield "another version", secret, body, but(signature=signature.replace("v1,", "v2,"))
    yield "v1a only", secret, body, but(signature=signature.replace("v1,", "v1a,"))
    yield "an upper-case version", secret, body, but(signature=signature.replace("v1,", "V1,"))
    yield "no version", secret, body, but(signature=signature.replace("v1,", ""))
    yield "a shortened signature", secret, body, each(lambda part: part[:-4])
    yield "a signature's first half", secret, body, each(lambda part: part[: len(part) // 2])
    swapped = each(lambda part: part[:3] + part[3:].swapcase())
    yield "a signature in other cases", secret, body, swapped
    yield "a signature backwards", secret, body, each(lambda part: part[:3] + part[:2:-1])
    zeros = "v1," + base64.b64encode(bytes(32)).decode()
    yield "a signature of zeros", secret, body, but(signature=zeros)
    of_body = base64.b64encode(hmac.digest(key, body, "sha256")).decode()
    yield "a signature of the body only", secret, body, but(signature=f"v1,{of_body}")
    signed = f"{name}.{at}.".encode() + body
    unkeyed = base64.b64encode(hashlib.sha256(signed).digest()).decode()
    yield "a hash without the secret", secret, body, but(signature=f"v1,{unkeyed}")
    textual = hmac.digest(secret.encode(), signed, "sha256")
    textual = base64.b64encode(textual).decode()
    yield "the secret's text as the key", secret, body, but(signature=f"v1,{textual}")


def main(path, fallback=None):
    lines = sys.stdin if path == "-" else open(path, encoding="utf-8")
    deliveries = refusals = 0
    for line in filter(None, map(str.strip, lines)):
        delivery = json.loads(line)
        headers = {name.lower(): value for name, value in delivery["headers"].items()}
        body = base64.b64decode(delivery["body"])
        secrets = delivery.get("secret") or fallback
        for secret in [secrets] if isinstance(secrets, str) else secrets:
            for name, verify in VERIFIERS.items():
                try:
                    verify(secret, body, headers)
                except Exception as error:
                    sys.exit(f"not ok {name} refuses {headers.get(ID)}: {error!r}")
                for what, *forged in forgeries(secret, body, headers):
                    try:
                        verify(*forged)
                    except Exception:
                        refusals += 1
                    else:
                        sys.exit(f"not ok {name} accepts {headers[ID]} with {what}")
        deliveries += 1
    if deliveries == 0:
        sys.exit("not ok there was no delivery to verify")
    print(f"ok {deliveries} deliveries verified, {refusals} forgeries refused")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])

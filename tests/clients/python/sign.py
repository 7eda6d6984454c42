"""Signs requests with the libraries of providers, as they are published.

Prints a line of JSON for each request: `provider` and `secret` (what a source of posthaste is made
with), `publicUrl` where the provider signs it, `signature` (the name of the header that has it),
`good` and `other` (the headers by the right secret and by another) and `body` (base64).
"""

import base64
import json
import time
from datetime import datetime, timezone

import svix
import standardwebhooks
from multidict import MultiDict
from slack_sdk.signature import SignatureVerifier
from stripe import WebhookSignature
from twilio.request_validator import RequestValidator

NOW = int(time.time())
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PUBLIC = "https://hooks.example/in/twilio?tenant=1"

BODIES = [
    '{"id":"evt_%d","type":"a.b","event_id":"Ev%d"}',
    '{"id":"evt_%d", "type":"a.b","event_id":"Ev%d","text":"caf\u00e9 \u2028 \\u00e9 \\/ \U0001f680"}\n',
]


def stripe(secret, body, _number):
    signed = WebhookSignature._compute_signature(f"{NOW}.{body}", secret)
    return {**JSON, "Stripe-Signature": f"t={NOW},v1={signed}"}


def slack(secret, body, _number):
    signed = SignatureVerifier(secret).generate_signature(timestamp=str(NOW), body=body)
    return {**JSON, "X-Slack-Request-Timestamp": str(NOW), "X-Slack-Signature": signed}


def standard(secret, body, number):
    at = datetime.fromtimestamp(NOW, tz=timezone.utc)
    signed = standardwebhooks.Webhook(secret).sign(f"msg_{number}", at, body)
    return {
        **JSON,
        "webhook-id": f"msg_{number}",
        "webhook-timestamp": str(NOW),
        "webhook-signature": signed,
    }


def of_svix(secret, body, number):
    at = datetime.fromtimestamp(NOW, tz=timezone.utc)
    signed = svix.Webhook(secret).sign(f"msg_{number}", at, body)
    return {
        **JSON,
        "svix-id": f"msg_{number}",
        "svix-timestamp": str(NOW),
        "svix-signature": signed,
    }


def twilio_form(secret, fields, number):
    signed = RequestValidator(secret).compute_signature(PUBLIC, fields)
    return {**FORM, "X-Twilio-Signature": signed, "I-Twilio-Idempotency-Token": f"t{number}"}


def key(byte):
    return "whsec_" + base64.b64encode(bytes([byte]) * 32).decode()


SIGNERS = [
    ("stripe", "Stripe-Signature", stripe, "whsec_good", "whsec_other"),
    ("slack", "X-Slack-Signature", slack, "8f742231b10e8888abcd99yyyzzz85a5", "another"),
    ("standard-webhooks", "webhook-signature", standard, key(1), key(2)),
    ("svix", "svix-signature", of_svix, key(3), key(4)),
]


def line(provider, signature, secret, good, other, body, public_url=None):
    print(
        json.dumps(
            {
                "provider": provider,
                "secret": secret,
                "publicUrl": public_url,
                "signature": signature.lower(),
                "good": good,
                "other": other,
                "body": base64.b64encode(body.encode()).decode(),
            }
        )
    )


def main():
    for provider, signature, sign, secret, other in SIGNERS:
        for number, body in enumerate(BODIES):
            body = body % (number, number)
            good, bad = sign(secret, body, number), sign(other, body, number)
            line(provider, signature, secret, good, bad, body)
    forms = [
        (
            {"MessageSid": "SM1", "Body": "plain", "From": "14158675309"},
            "MessageSid=SM1&Body=plain&From=14158675309",
        ),
        (
            MultiDict(
                [("MessageSid", "SM2"), ("Body", "caf\u00e9 & more"), ("Media", "b"), ("Media", "a")]
            ),
            "MessageSid=SM2&Body=caf%C3%A9+%26+more&Media=b&Media=a",
        ),
    ]
    for number, (fields, body) in enumerate(forms):
        good, bad = twilio_form("12345", fields, number), twilio_form("54321", fields, number)
        line("twilio", "X-Twilio-Signature", "12345", good, bad, body, PUBLIC)


if __name__ == "__main__":
    main()

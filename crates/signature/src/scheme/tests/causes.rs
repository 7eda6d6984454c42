//! What a diagnosis says of what usually goes wrong.

use super::round_trips::{NOW, shared};
use super::*;

/// What is said of a refused request.
fn cause(scheme: &Scheme, sent: &Sent, secret: &str, now: i64) -> Option<Cause> {
    cause_with(scheme, sent, secret, &[], now)
}

fn cause_with(
    scheme: &Scheme,
    sent: &Sent,
    secret: &str,
    others: &[Other<'_>],
    now: i64,
) -> Option<Cause> {
    let refused = sent.refused(scheme, &[secret], now);
    let suspect = Suspect {
        secrets: &[secret],
        others,
    };
    let now = Timestamp::from_unix_seconds(now);
    let cause = sent.as_request(|request| diagnose(scheme, request, &suspect, &refused, now));
    if let Some(cause) = &cause {
        assert!(
            !cause.text.contains(secret.trim()),
            "shows a secret: {}",
            cause.text
        );
    }
    cause
}

#[track_caller]
fn says(cause: Option<Cause>, slug: &str, words: &str) {
    let cause = cause.expect("there is a cause");
    assert_eq!(cause.slug, slug, "{}", cause.text);
    assert!(cause.text.contains(words), "{}", cause.text);
}

const SECRET: &str = "dGhpcyBpcyBhIHNlY3JldCBvZiBwb3N0aGFzdGU=";

fn github(body: &str) -> Sent {
    shared("github", SECRET, &Sent::post(body))
}

fn of_body(signed: &[u8], received: &[u8]) -> Option<Cause> {
    let mut sent = shared("github", SECRET, &Sent::post(signed));
    sent.body = received.to_vec();
    cause(scheme("github"), &sent, SECRET, NOW)
}

#[test]
fn another_reading_of_the_secret_is_found() {
    let mut hex = scheme("github").clone();
    hex.key.encoding = KeyEncoding::Base64;
    let key = SchemeSigningKey::shared(&hex, SECRET).unwrap();
    let sent = round_trips::signed(&hex, &key, &Sent::post("{}"), NOW);
    let stripe = shared("stripe", "whsec_abc", &Sent::post("{}"));

    says(
        cause(scheme("github"), &sent, SECRET, NOW),
        "secret_encoding",
        "read as base64",
    );
    let spaced = cause(scheme("stripe"), &stripe, " whsec_abc\n", NOW);
    says(spaced, "secret_surrounded", "white space");
    let svix = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let sent = shared("stripe", svix, &Sent::post("{}").with("x", "y"));
    let mut decoding = scheme("stripe").clone();
    decoding.key = scheme("svix").key_form().clone();
    says(
        cause(&decoding, &sent, svix, NOW),
        "secret_encoding",
        "its characters as they are",
    );
}

#[test]
fn the_previous_secret_and_that_of_another_source_are_found() {
    let sent = github("{}");
    let others = [
        Other {
            label: "the previous secret",
            secret: "older",
        },
        Other {
            label: "the secret of the source `shop`",
            secret: SECRET,
        },
    ];

    let cause = cause_with(scheme("github"), &sent, "current", &others, NOW);

    says(
        cause,
        "other_secret",
        "matches the secret of the source `shop`",
    );
}

#[test]
fn a_body_that_was_changed_on_its_way_is_found() {
    let compact = br#"{"b":"\u00e9","a":[1,2.0]}"#;
    let spaced = "{\"b\": \"é\", \"a\": [1, 2.0]}".as_bytes();

    says(of_body(compact, spaced), "body_changed", "re-serialised");
    says(of_body(spaced, compact), "body_changed", "re-serialised");
    says(
        of_body(b"{\n  \"a\": 1\n}", b"{\"a\":1}"),
        "body_changed",
        "re-serialised",
    );
    says(of_body(b"a\r\n", b"a"), "body_changed", "taken off");
    says(of_body(b"a\n", b"a"), "body_changed", "taken off");
    says(of_body(b"a", b"a\n"), "body_changed", "put around");
    says(of_body(b"a\r\nb", b"a\nb"), "body_changed", "CRLF to LF");
    says(of_body(b"a\nb", b"a\r\nb"), "body_changed", "LF to CRLF");
    says(
        of_body(b"a", b"\xef\xbb\xbfa"),
        "body_changed",
        "byte order mark",
    );
    says(
        of_body(b"\xef\xbb\xbfa", b"a"),
        "body_changed",
        "byte order mark",
    );
    says(
        of_body(b"caf\xe9", "café".as_bytes()),
        "body_changed",
        "Latin-1",
    );
    says(of_body(b"{}", b"e30="), "body_changed", "base64");
    says(of_body(b"", b"--x\r\nfile"), "body_changed", "empty");
}

#[test]
fn a_signature_in_another_spelling_is_found() {
    let sent = github("{}");
    let hex = sent.clone().header("x-hub-signature-256").unwrap().clone();
    let hex = hex.strip_prefix("sha256=").unwrap();
    let with = |value: String| {
        let mut sent = sent.clone();
        *sent.header("x-hub-signature-256").unwrap() = value;
        cause(scheme("github"), &sent, SECRET, NOW)
    };
    let bytes = Encoding::Hex.decode(hex).unwrap();

    says(with(hex.to_owned()), "signature_prefix", "stands alone");
    let base64 = format!("sha256={}", Encoding::Base64.encode(&bytes));
    says(with(base64), "signature_encoding", "written in base64");
}

#[test]
fn a_clock_that_is_off_is_measured() {
    let sent = shared("slack", SECRET, &Sent::post("{}"));
    let slack = scheme("slack");

    says(
        cause(slack, &sent, SECRET, NOW + 412),
        "clock",
        "412 s behind",
    );
    says(
        cause(slack, &sent, SECRET, NOW - 412),
        "clock",
        "412 s ahead of",
    );
    says(
        cause(slack, &sent, SECRET, NOW + 7_200),
        "clock",
        "exactly 2 h",
    );
    says(
        cause(slack, &sent, "other", NOW + 412),
        "signature_mismatch",
        "either",
    );
}

#[test]
fn milliseconds_for_seconds_are_found() {
    let mut milliseconds = scheme("slack").clone();
    milliseconds.timestamp.as_mut().unwrap().unit = TimestampUnit::Milliseconds;
    let key = SchemeSigningKey::shared(&milliseconds, SECRET).unwrap();
    let sent = round_trips::signed(&milliseconds, &key, &Sent::post("{}"), NOW);
    let seconds = shared("slack", SECRET, &Sent::post("{}"));

    let found = cause(scheme("slack"), &sent, SECRET, NOW);
    says(found, "timestamp_unit", "milliseconds where");
    says(
        cause(&milliseconds, &seconds, SECRET, NOW),
        "timestamp_unit",
        "seconds where",
    );
}

#[test]
fn another_header_scheme_or_provider_is_found() {
    let mut moved = github("{}");
    let signature = moved.header("x-hub-signature-256").unwrap().clone();
    moved.headers = vec![("X-Forwarded-Signature".into(), signature)];
    let stripe = shared("stripe", SECRET, &Sent::post("{}"));
    let foreign = shared("stripe", "unknown", &Sent::post("{}"));
    let sha1 = shared("vercel", SECRET, &Sent::post("{}"));
    let mut vercel = scheme("vercel").clone();
    vercel.algorithm = Algorithm::HmacSha256;

    let github = scheme("github");
    says(
        cause(github, &moved, SECRET, NOW),
        "other_header",
        "`X-Forwarded-Signature`",
    );
    says(
        cause(github, &stripe, SECRET, NOW),
        "other_scheme",
        "use the scheme `stripe`",
    );
    says(
        cause(github, &foreign, SECRET, NOW),
        "other_provider",
        "Stripe",
    );
    says(cause(&vercel, &sha1, SECRET, NOW), "algorithm", "HMAC-SHA1");
}

#[test]
fn a_url_that_a_proxy_changed_is_found() {
    let sent = Sent::post("{}").to("https://shop.example/hook?x=1");
    let mut sent = shared("square", SECRET, &sent);
    sent.url = Some("http://shop.example/hook?x=1".into());
    let http = cause(scheme("square"), &sent, SECRET, NOW);
    sent.url = Some("https://shop.example/hook?x=1/".into());
    let slash = cause(scheme("square"), &sent, SECRET, NOW);

    says(http, "url", "the other of `http` and `https`");
    says(slash, "url", "without the slash");
}

#[test]
fn what_nothing_explains_is_not_explained() {
    let sent = github("{\"a\":1}");

    assert_eq!(
        cause(scheme("github"), &sent, "quite another secret", NOW),
        None
    );
}

#[test]
fn a_long_body_is_not_respelled() {
    let body = "x".repeat(BODY_LEN_DIAGNOSED);
    let longer = format!("{body}\n");

    says(
        of_body(longer.as_bytes(), body.as_bytes()),
        "body_changed",
        "taken off",
    );
    assert_eq!(
        of_body(format!("{longer}\n").as_bytes(), longer.as_bytes()),
        None
    );
}

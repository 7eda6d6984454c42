//! What reads requests of providers: schemes, handshakes, diagnoses, events and bodies.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use domain::Timestamp;
use inbound::{cloud_events, view};
use posthaste_fuzz::run;
use signature::scheme::{
    Asked, Greeting, Handshake, Key, Location, Preset, Request, Scheme, Suspect, Verdict, diagnose,
    presets,
};

/// When the seeds were signed.
const NOW: i64 = 1_795_478_813;
/// How many providers try an input, of those whose header it has and of all; every one of them
/// would take too long for a short run.
const TRIED: usize = 2;

/// An input as a request: `METHOD URL`, headers as `name: value`, an empty line, the body.
struct Made<'a> {
    method: &'a str,
    url: Option<&'a str>,
    headers: Vec<(&'a str, &'a [u8])>,
    body: &'a [u8],
}

impl<'a> Made<'a> {
    fn of(input: &'a [u8]) -> Self {
        let split = input.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = match split {
            Some(at) => (&input[..at], &input[at + 2..]),
            None => (&input[..0], input),
        };
        let mut lines = head.split(|byte| *byte == b'\n');
        let first = lines.next().and_then(|line| str::from_utf8(line).ok());
        let (method, url) = first
            .unwrap_or_default()
            .split_once(' ')
            .unwrap_or(("POST", ""));
        let headers = lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = str::from_utf8(&line[..colon]).ok()?;
            Some((name, line[colon + 1..].trim_ascii()))
        });
        Self {
            method,
            url: url.contains("://").then_some(url),
            headers: headers.collect(),
            body,
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            method: self.method,
            url: self.url,
            headers: &self.headers,
            body: self.body,
            fetched: None,
        }
    }
}

fn key(scheme: &Scheme) -> Option<(Key, &'static str)> {
    let texts = [
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "00112233445566778899aabbccddeeff",
        // A public key of P-256, and one of Ed25519 in each of two spellings.
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe6\
         2gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    ];
    texts
        .into_iter()
        .find_map(|text| Key::parse(scheme, text).ok().map(|key| (key, text)))
}

/// The providers that try an input: those whose signature header it has, and others by chance.
fn some_presets<'a>(input: &'a [u8], made: &'a Made<'a>) -> impl Iterator<Item = &'static Preset> {
    let fold = |sum: usize, byte: &u8| sum.wrapping_mul(31).wrapping_add(usize::from(*byte));
    let start = input.iter().fold(0, fold) % presets().len();
    let is_for = |preset: &&Preset| {
        let mut places = preset.scheme.signature().from().iter();
        places.any(|place| match place {
            Location::Header(wanted) => {
                let mut names = made.headers.iter();
                names.any(|(name, _)| name.eq_ignore_ascii_case(wanted))
            }
            _ => false,
        })
    };
    let mut for_it = Vec::new();
    for_it.extend(presets().iter().filter(is_for).take(TRIED));
    for_it.extend(presets().iter().cycle().skip(start).take(TRIED));
    for_it.into_iter()
}

/// Nobody without the secret gets through, and whatever is refused can be explained.
#[test]
fn requests_of_providers() {
    run("scheme", |input| {
        let made = Made::of(input);
        let now = Timestamp::from_unix_seconds(NOW);
        for preset in some_presets(input, &made) {
            let scheme = &preset.scheme;
            let (key, text) = key(scheme).expect("every scheme takes one of the keys");
            match scheme.verify(&made.request(), &[key], now) {
                Verdict::Refused(refused) => {
                    let suspect = Suspect {
                        secrets: &[text],
                        others: &[],
                    };
                    let cause = diagnose(scheme, &made.request(), &suspect, &refused, now);
                    let told = cause.map(|cause| cause.text).unwrap_or_default();
                    assert!(!told.contains(text), "the secret is told: {told}");
                }
                Verdict::Needs(_) => {}
                Verdict::Verified(_) => panic!("{} took a forgery", preset.name),
            }
        }
    });
}

/// No answer to a stranger holds what is secret, nor is longer than what may be sent back.
#[test]
fn handshakes() {
    let asking: Vec<_> = presets()
        .iter()
        .filter(|preset| !preset.handshakes.is_empty())
        .collect();
    let all: Vec<Handshake> = asking
        .iter()
        .flat_map(|preset| preset.handshakes.clone())
        .collect();
    run("handshake", |input| {
        let made = Made::of(input);
        let query = made.url.and_then(|url| url.split_once('?'));
        for awaiting in [false, true] {
            let preset = asking[input.len() % asking.len()];
            let (key, text) = key(&preset.scheme).unwrap();
            let greeting = Greeting {
                handshakes: &all,
                scheme: &preset.scheme,
                keys: if awaiting { &[] } else { &[key] },
                verify_token: awaiting.then_some(&[7; 32]),
                awaiting,
                query: query.map_or("", |(_, query)| query),
                rate_max: Some(60),
                now: Timestamp::from_unix_seconds(NOW),
            };
            match greeting.answer(&made.request()) {
                Asked::Answer(answer) => {
                    assert!(!answer.body.contains(text));
                    assert!(answer.body.len() <= 4 * 256, "{}", answer.body.len());
                    let plain = |value: &str| !value.contains(['\r', '\n']);
                    assert!(answer.headers.iter().all(|(_, value)| plain(value)));
                }
                Asked::Secret { .. } => assert!(awaiting, "a live key was replaced"),
                Asked::Confirm { .. } => panic!("an unsigned subscription was confirmed"),
                Asked::Nothing | Asked::Needs(_) | Asked::Refused(_) => {}
            }
        }
    });
}

/// A description that is taken never trusts a request without a signature.
#[test]
fn descriptions_of_schemes() {
    run("description", |input| {
        let Ok(text) = str::from_utf8(input) else {
            return;
        };
        let Ok(scheme) = Scheme::parse(text) else {
            return;
        };
        let Some((key, _)) = key(&scheme) else {
            return;
        };
        let bare = Request {
            method: "POST",
            url: Some("https://hooks.example/in/a?b=c"),
            headers: &[],
            body: b"{\"id\":1}",
            fetched: None,
        };
        let now = Timestamp::from_unix_seconds(NOW);
        let verdict = scheme.verify(&bare, &[key], now);
        assert!(!matches!(verdict, Verdict::Verified(_)), "{text}");
    });
}

/// Events that are read have what events must have, and are pieces of what came.
#[test]
fn events() {
    run("cloud-events", |input| {
        let made = Made::of(input);
        let request = made.request();
        for event in cloud_events::read(&request).unwrap_or_default() {
            assert!(!event.id.is_empty() && event.id.len() <= cloud_events::ID_LEN_MAX);
            assert!(!event.source.is_empty() && !event.kind.is_empty());
            let whole = made.body.as_ptr_range();
            let piece = event.bytes.as_ptr_range();
            assert!(
                event.bytes.is_empty() || (whole.start <= piece.start && piece.end <= whole.end)
            );
        }
    });
}

/// Any body can be looked at, and what is shown of it is not much more than it is.
#[test]
fn bodies() {
    run("body", |input| {
        let split = input.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = match split {
            Some(at) => (&input[..at], &input[at + 2..]),
            None => (&input[..0], input),
        };
        let content_type = str::from_utf8(head).ok();
        let shown = view::body(content_type, body);
        assert_eq!(shown.kind == view::Kind::Empty, body.is_empty());
        let length = shown.value.to_string().len();
        assert!(
            length <= 6 * body.len() + 10_000,
            "{length} of {}",
            body.len()
        );
    });
}

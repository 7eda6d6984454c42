//! Requests of providers, against the built program: what they sign is taken in, nothing else is.
//!
//! Two makers of requests: the providers' own libraries, unmodified, which `cargo xtask test`
//! installs, and the samples that `posthaste trigger` sends, of every provider there is.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use inbound::samples::{Fresh, Making, Ready, Spoil, samples_of};
use serde::Deserialize;
use serde_json::{Value, json};
use signature::scheme::{Algorithm, KeyEncoding, Preset, SchemeSigningKey, presets};
use testkit::{ADMIN_KEY, Answer, Launch, TestServer, eventually_some, external, finish};

const APP: &str = "providers";
const PATIENCE: Duration = Duration::from_secs(20);

/// A source, as far as a provider knows it.
struct Source {
    id: String,
    path: String,
}

async fn server() -> TestServer {
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste")).start().await;
    server.api.create_application(APP).await;
    server
}

async fn create(server: &TestServer, source: &Value) -> Source {
    let path = format!("/api/v1/app/{APP}/source");
    let answer = server.api.post(&path, source.to_string()).await;
    assert_eq!(answer.status, 201, "{source}: {}", answer.text());
    let made = answer.expect(201);
    let url = made["url"].as_str().unwrap();
    let (_, path) = url.split_once("/in/").unwrap();
    Source {
        id: made["id"].as_str().unwrap().to_owned(),
        path: format!("/in/{path}"),
    }
}

async fn requests(server: &TestServer, source: &Source, verdict: &str) -> Vec<Value> {
    let Source { id, .. } = source;
    let filter = format!("source_id={id}&verdict={verdict}&limit=250");
    let path = format!("/api/v1/app/{APP}/request?{filter}");
    let page = server.api.get(&path).await.expect(200);
    page["data"].as_array().unwrap().clone()
}

/// What a library has signed.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    provider: String,
    secret: String,
    public_url: Option<String>,
    /// The header that has the signature.
    signature: String,
    good: BTreeMap<String, String>,
    /// The same, signed with another secret.
    other: BTreeMap<String, String>,
    body: String,
}

/// A request, and what was done to it.
struct Sent {
    what: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Signed {
    fn good(&self) -> Sent {
        Sent {
            what: "unchanged",
            headers: self.good.clone().into_iter().collect(),
            body: STANDARD.decode(&self.body).unwrap(),
        }
    }

    fn with_body(&self, what: &'static str, change: impl FnOnce(&mut Vec<u8>)) -> Sent {
        let mut sent = self.good();
        change(&mut sent.body);
        Sent { what, ..sent }
    }

    fn with_signature(&self, what: &'static str, change: impl FnOnce(&mut String)) -> Sent {
        let mut sent = self.good();
        let mut headers = sent.headers.iter_mut();
        let named = |(name, _): &&mut (String, String)| name.to_lowercase() == self.signature;
        change(&mut headers.find(named).expect("it is signed").1);
        Sent { what, ..sent }
    }

    /// Where the digest stands in the signature header, whatever stands around it.
    fn digest(&self) -> std::ops::Range<usize> {
        let header = self.good.iter();
        let named = |(name, _): &(&String, &String)| name.to_lowercase() == self.signature;
        let value = header.clone().find(|pair| named(pair)).unwrap().1;
        let is_part = |c: char| c.is_ascii_alphanumeric() || "+/_-".contains(c);
        let parts = value.split(|c| !is_part(c));
        let longest = parts.max_by_key(|part| part.len()).unwrap();
        let start = value.find(longest).unwrap();
        start..start + longest.len()
    }

    /// Twenty requests that are not the provider's.
    fn forgeries(&self, another: &Self) -> Vec<Sent> {
        let digest = self.digest();
        let exchange = |at: usize| {
            move |text: &mut String| {
                let new = if &text[at..=at] == "a" { "b" } else { "a" };
                text.replace_range(at..=at, new);
            }
        };
        let (first, last) = (digest.start, digest.end - 3);
        let unsigned = || {
            let mut sent = self.good();
            let named = |name: &str| name.to_lowercase() == self.signature;
            sent.headers.retain(|(name, _)| !named(name));
            sent
        };
        let mut elsewhere = self.good();
        elsewhere.headers = another.good.clone().into_iter().collect();
        let mut other = self.good();
        other.headers = self.other.clone().into_iter().collect();
        vec![
            self.with_body("first byte", |body| body[0] ^= 1),
            self.with_body("middle byte", |body| {
                let middle = body.len() / 2;
                body[middle] ^= 1;
            }),
            self.with_body("last byte", |body| *body.last_mut().unwrap() ^= 1),
            self.with_body("one byte more", |body| body.push(b'x')),
            self.with_body("one byte before", |body| body.insert(0, b'x')),
            self.with_body("one byte less", |body| body.truncate(body.len() - 1)),
            self.with_body("without its first byte", |body| {
                body.remove(0);
            }),
            self.with_body("empty", Vec::clear),
            self.with_body("twice", |body| *body = [&**body, body].concat()),
            self.with_body("byte order mark", |body| {
                body.splice(0..0, *b"\xef\xbb\xbf");
            }),
            self.with_body("line end", |body| body.extend(b"\r\n")),
            Sent {
                what: "unsigned",
                ..unsigned()
            },
            self.with_signature("empty signature", String::clear),
            self.with_signature("first digit of the signature", exchange(first)),
            self.with_signature(
                "middle of the signature",
                exchange(usize::midpoint(first, last)),
            ),
            self.with_signature("end of the signature", exchange(last)),
            self.with_signature("shortened signature", |text| {
                text.replace_range(digest.end - 4..digest.end, "");
            }),
            self.with_signature("eight digits", |text| {
                text.replace_range(digest.start + 8..digest.end, "");
            }),
            Sent {
                what: "another secret",
                ..other
            },
            Sent {
                what: "the signature of another body",
                ..elsewhere
            },
        ]
    }
}

async fn signed_by(mut script: Command) -> Vec<Signed> {
    script.stdin(Stdio::null());
    let output = finish(script).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

fn scripts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients")
}

/// What each library signs is taken in once; twenty forgeries of it are refused, and none of them
/// becomes a message.
async fn holds_for(signed: &[Signed], expected: &[&str]) {
    let server = server().await;
    let mut by_provider: BTreeMap<&str, Vec<&Signed>> = BTreeMap::new();
    for one in signed {
        by_provider.entry(&one.provider).or_default().push(one);
    }
    assert_eq!(by_provider.keys().copied().collect::<Vec<_>>(), expected);
    for (provider, signed) in by_provider {
        let source = create(
            &server,
            &json!({
                "name": provider, "provider": provider, "secrets": [signed[0].secret],
                "publicUrl": signed[0].public_url,
            }),
        )
        .await;
        let send = async |sent: &Sent| -> Answer {
            let call = ("POST", source.path.as_str());
            server
                .api
                .deliver(call, &sent.headers, sent.body.clone())
                .await
        };
        for (index, one) in signed.iter().enumerate() {
            let another = signed[(index + 1) % signed.len()];
            let forgeries = one.forgeries(another);
            assert_eq!(forgeries.len(), 20);
            for forgery in forgeries {
                let answer = send(&forgery).await;
                let refused = matches!(answer.status, 400 | 401);
                let what = forgery.what;
                assert!(
                    refused,
                    "{provider}, {what}: {} {}",
                    answer.status,
                    answer.text()
                );
            }
            let answer = send(&one.good()).await;
            assert_eq!(answer.status, 200, "{provider}: {}", answer.text());
        }
        let accepted = requests(&server, &source, "accepted").await;
        assert_eq!(accepted.len(), signed.len(), "{provider}");
    }
}

#[tokio::test]
async fn what_python_libraries_of_providers_sign_is_taken_in_and_forgeries_are_not() {
    let Some(python) = external::provided("POSTHASTE_TEST_PYTHON") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg("-B").arg(scripts().join("python/sign.py"));

    let signed = signed_by(command).await;

    let expected = ["slack", "standard-webhooks", "stripe", "svix", "twilio"];
    holds_for(&signed, &expected).await;
}

#[tokio::test]
async fn what_javascript_libraries_of_providers_sign_is_taken_in_and_forgeries_are_not() {
    const NODE_MODULES: &str = "POSTHASTE_TEST_NODE_MODULES";
    let Some(modules) = external::provided(NODE_MODULES) else {
        return;
    };
    let mut command = Command::new("node");
    command.arg(scripts().join("node/sign.mjs"));
    command.env(NODE_MODULES, modules);

    let signed = signed_by(command).await;

    let expected = ["github", "hygraph", "sanity", "standard-webhooks", "svix"];
    holds_for(&signed, &expected).await;
}

/// The key that a sample is signed with, and the one that the source has.
fn keys(preset: &Preset) -> (String, String) {
    let scheme = &preset.scheme;
    let seed = match scheme.algorithm() {
        Algorithm::Ed25519 => "07".repeat(32),
        // PKCS #8 of a P-256 key that belongs to nobody.
        Algorithm::EcdsaP256 => include_str!("data/p256.txt").trim().to_owned(),
        _ => {
            let secret = match scheme.key_form().encoding {
                KeyEncoding::Base64 => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                KeyEncoding::Hex => "00112233445566778899aabbccddeeff",
                _ => "user:a secret of twenty-four b",
            };
            return (secret.to_owned(), secret.to_owned());
        }
    };
    let der = match scheme.algorithm() {
        Algorithm::Ed25519 => vec![7; 32],
        _ => STANDARD.decode(&seed).unwrap(),
    };
    let pair = SchemeSigningKey::private(scheme, &der, "").unwrap();
    (seed, pair.public(scheme).unwrap())
}

fn ready(preset: &Preset, (secret, url): (&str, &str), seed: u8, spoil: Option<Spoil>) -> Ready {
    let now = jiff::Timestamp::now().as_microsecond();
    let sample = samples_of(&preset.name).next().expect("each has one");
    let making = Making {
        preset,
        secret,
        url,
        fresh: Fresh {
            seed: [seed; 16],
            at: Timestamp::from_micros(now),
        },
        body: None,
        spoil,
    };
    sample.make(&making).unwrap()
}

/// The reasons for which the log may say that a spoiled request was refused.
fn reasons(spoil: Spoil, preset: &Preset) -> &'static [&'static str] {
    match spoil {
        Spoil::Stale => &["timestamp_too_old"],
        // What is a password has no form that it could be out of.
        Spoil::Malformed if preset.scheme.algorithm() == Algorithm::Token => {
            &["signature_mismatch", "signature_malformed"]
        }
        Spoil::Malformed => &["signature_malformed"],
        Spoil::BadSignature | Spoil::Tampered => &["signature_mismatch"],
    }
}

#[tokio::test]
async fn the_samples_of_every_provider_are_taken_in_and_no_spoiled_one_is() {
    let server = server().await;
    let mut refused = 0;
    for preset in presets() {
        let name = &preset.name;
        if preset.scheme.certificate().is_some() {
            continue;
        }
        let (private, public) = keys(preset);
        let url = format!("https://hooks.example/{name}");
        let source = json!({
            "name": name, "provider": name, "secrets": [public], "publicUrl": url,
        });
        let source = create(&server, &source).await;
        let send = async |ready: Ready| {
            let call = (ready.method, source.path.as_str());
            server.api.deliver(call, &ready.headers, ready.body).await
        };
        let key = (private.as_str(), url.as_str());
        let mut spoiled = Vec::new();
        for spoil in Spoil::ALL {
            if !spoil.is_refused(&preset.scheme) {
                continue;
            }
            let answer = send(ready(preset, key, 1, Some(spoil))).await;
            let is_refused = matches!(answer.status, 400 | 401);
            assert!(
                is_refused,
                "{name} {spoil:?}: {} {}",
                answer.status,
                answer.text()
            );
            refused += 1;
            spoiled.push(spoil);
        }
        // Kept beside the path of requests, the newest first.
        let kept = eventually_some("they are in the log", PATIENCE, async || {
            let kept = requests(&server, &source, "rejected").await;
            (kept.len() == spoiled.len()).then_some(kept)
        });
        let kept = kept.await;
        for (spoil, request) in spoiled.iter().rev().zip(&kept) {
            let reason = request["reason"].as_str().unwrap();
            let expected = reasons(*spoil, preset);
            assert!(expected.contains(&reason), "{name} {spoil:?}: {request}");
            assert!(
                request["diagnosis"].is_string(),
                "{name} {spoil:?}: {request}"
            );
        }

        let good = ready(preset, key, 2, None);
        let answer = send(good).await;

        assert!(
            (200..300).contains(&answer.status),
            "{name}: {}",
            answer.text()
        );
        let accepted = requests(&server, &source, "accepted").await;
        assert_eq!(accepted.len(), 1, "{name}: {accepted:?}");
    }
    assert!(refused > 150, "{refused}");
}

/// Types `posthaste trigger` at the server, with the secret in a file.
async fn trigger(server: &TestServer, words: &[&str]) -> (i32, String) {
    let secret = server.scratch().join("secret");
    std::fs::write(&secret, "It's a Secret to Everybody\n").unwrap();
    let secret = secret.to_str().unwrap();
    let words = [&["trigger"], words, &["--secret-file", secret]].concat();
    let mut command = Launch::new(env!("CARGO_BIN_EXE_posthaste")).command(&words);
    command.env("POSTHASTE_URL", server.api.url());
    command.env("POSTHASTE_TOKEN", ADMIN_KEY);
    let ended = finish(command).await;
    let text = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    (ended.status.code().unwrap(), text)
}

#[tokio::test]
async fn a_source_is_tried_by_its_name_in_every_way() {
    let server = server().await;
    let source = json!({
        "name": "Shop", "uid": "shop", "provider": "stripe",
        "secrets": ["It's a Secret to Everybody"], "toleranceSeconds": 900,
    });
    let source = create(&server, &source).await;
    for flag in [
        "--bad-signature",
        "--stale",
        "--malformed",
        "--tampered",
        "--duplicate",
    ] {
        let (code, said) = trigger(&server, &["--source", "providers/shop", flag]).await;
        assert_eq!(code, 0, "{flag}: {said}");
    }
    let words = [
        "stripe.invoice.paid",
        "--source",
        "shop",
        "-a",
        APP,
        "--flood",
        "7",
    ];
    let (code, said) = trigger(&server, &words).await;
    assert_eq!((code, said.lines().next()), (0, Some("200  7")), "{said}");
    let count = async |verdict| requests(&server, &source, verdict).await.len();
    assert_eq!((count("accepted").await, count("duplicate").await), (8, 1));
    let kept = eventually_some("they are in the log", PATIENCE, async || {
        let kept = requests(&server, &source, "rejected").await;
        (kept.len() == 4).then_some(kept)
    });
    let kept = kept.await;
    let reasons: Vec<_> = kept.iter().map(|one| one["reason"].as_str()).collect();
    let mismatch = Some("signature_mismatch");
    let expected = [
        mismatch,
        Some("signature_malformed"),
        Some("timestamp_too_old"),
        mismatch,
    ];
    assert_eq!(reasons, expected);

    for (words, code, told) in [
        (["--source", "providers/nothing"], 3, "source"),
        (
            ["github", "--source=providers/shop"],
            2,
            "is of the provider stripe",
        ),
    ] {
        let (ended, said) = trigger(&server, &words).await;
        assert_eq!(ended, code, "{said}");
        assert!(said.contains(told), "{said}");
    }
}

#[tokio::test]
async fn a_scheme_of_one_s_own_is_tried_by_its_source_and_by_its_file() {
    let server = server().await;
    let scheme = json!({
        "signature": {"from": ["header:X-Own"], "prefix": "v9="},
        "signed": "{timestamp}|{body}", "algorithm": "hmac-sha512", "encoding": "base64",
        "timestamp": {"from": ["header:X-At"], "unit": "seconds", "tolerance": 60},
        "ids": ["json:id"],
    });
    let file = server.scratch().join("scheme.json");
    std::fs::write(&file, scheme.to_string()).unwrap();
    let source = json!({
        "name": "Own", "uid": "own", "provider": "custom", "scheme": scheme,
        "secrets": ["It's a Secret to Everybody"],
    });
    let source = create(&server, &source).await;
    let url = format!("{}{}", server.api.url(), source.path);
    let by_file = [
        "custom",
        "--scheme-file",
        file.to_str().unwrap(),
        "--url",
        &url,
    ];
    let by_name = ["--source", "providers/own"];

    for words in [by_file.as_slice(), &by_name] {
        for flag in [
            "--duplicate",
            "--bad-signature",
            "--stale",
            "--malformed",
            "--tampered",
        ] {
            let (code, said) = trigger(&server, &[words, &[flag]].concat()).await;
            assert_eq!(code, 0, "{words:?} {flag}: {said}");
        }
    }

    let count = async |verdict| requests(&server, &source, verdict).await.len();
    assert_eq!((count("accepted").await, count("duplicate").await), (2, 2));
    let (code, said) = trigger(&server, &["custom", "--url", &url]).await;
    assert_eq!(code, 2, "{said}");
}

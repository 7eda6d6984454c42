//! `posthaste verify --scheme` as it is typed.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use inbound::samples::{Fresh, Making, samples_of};
use signature::scheme::{Algorithm, KeyEncoding, Scheme, SchemeSigningKey, presets};

use crate::Exit;
use crate::tests::{Ended, typed_words};

const GITHUB: &str = "X-Hub-Signature-256: \
    sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const SECRET: &str = "It's a Secret to Everybody";

async fn github(header: &str, secret: &str, body: &[u8]) -> Ended {
    let words = [
        "verify", "--scheme", "github", "--secret", secret, "--header", header,
    ];
    typed_words(&words, body).await
}

/// The request that GitHub's documentation has.
#[tokio::test]
async fn a_provider_s_request_verifies() {
    let header = ["X-GitHub-Delivery: 72d3162e", "X-GitHub-Event: push"];
    let words = [
        "verify", "--scheme", "github", "--secret", SECRET, "--header", GITHUB,
    ];
    let words = [&words[..], &["--header", header[0], "--header", header[1]]].concat();

    let ended = typed_words(&words, b"Hello, World!").await;

    assert_eq!((ended.exit, ended.err.as_str()), (Exit::Ok, ""));
    assert_eq!(
        ended.out,
        "verified: github, id 72d3162e (not covered by the signature), event push\n"
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_and_the_secret_is_not() {
    let newline = github(GITHUB, SECRET, b"Hello, World!\n").await;
    let spaced = github(GITHUB, &format!(" {SECRET}"), b"Hello, World!").await;
    let missing = github("X-Other: 1", SECRET, b"").await;

    for (ended, refused, likely) in [
        (
            newline,
            "no signature matches",
            "likely: white space was put around the body",
        ),
        (
            spaced,
            "no signature matches",
            "likely: the secret has white space",
        ),
        (
            missing,
            "there is nothing in header `X-Hub-Signature-256`",
            "",
        ),
    ] {
        assert_eq!((ended.exit, ended.out.as_str()), (Exit::Failure, ""));
        assert!(ended.err.contains(refused), "{}", ended.err);
        assert!(ended.err.contains(likely), "{}", ended.err);
        assert!(!ended.err.contains("Everybody"), "{}", ended.err);
    }
}

/// The request that Slack's documentation has, and its second.
#[tokio::test]
async fn the_time_can_be_chosen() {
    let paddle = "Paddle-Signature: ts=1698796800;\
         h1=a300428748dce5c70e4da19bffd60769591ea969c99dea3105d0ec9612cf43f9";
    let words = [
        "verify",
        "--scheme",
        "paddle",
        "--secret",
        "VALID_SECRET",
        "-H",
        paddle,
    ];
    let at = |more: &[&'static str]| [&words[..], more].concat();
    let body = br#"{"data": ["1", "2"]}"#;

    let then = typed_words(&at(&["--at", "1698796800"]), body).await;
    let later = typed_words(&at(&["--at", "1698797300"]), body).await;
    let lenient = ["--at", "1698797300", "--tolerance", "1h"];
    let lenient = typed_words(&at(&lenient), body).await;

    assert_eq!(then.exit, Exit::Ok, "{}", then.err);
    assert!(
        then.out.contains("signed at 2023-11-01T00:00:00"),
        "{}",
        then.out
    );
    assert_eq!(later.exit, Exit::Failure);
    assert!(
        later.err.contains("its time is 500 s behind this clock"),
        "{}",
        later.err
    );
    assert_eq!(lenient.exit, Exit::Ok, "{}", lenient.err);
}

#[tokio::test]
async fn url_and_method_are_part_of_what_some_sign() {
    let header =
        "X-HubSpot-Signature: 9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900";
    let secret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
    let words = [
        "verify",
        "--scheme",
        "hubspot-v2",
        "--secret",
        secret,
        "-H",
        header,
    ];
    let typed = |more: &[&'static str]| [&words[..], more].concat();
    let url = ["--url", "https://www.example.com/webhook_uri"];
    let body = br#"{"example_field":"example_value"}"#;

    let good = typed_words(&typed(&url), body).await;
    let put = typed_words(&typed(&[&url[..], &["--method", "PUT"]].concat()), body).await;
    let no_url = typed_words(&typed(&[]), body).await;

    assert_eq!(good.exit, Exit::Ok, "{}", good.err);
    assert_eq!(put.exit, Exit::Failure);
    assert!(no_url.err.contains("public URL"), "{}", no_url.err);
}

#[tokio::test]
async fn a_scheme_of_ones_own_comes_from_a_file() {
    let name = format!("posthaste-scheme-{}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    let scheme = "signature = { from = [\"header:X-Signature\"], prefix = \"sha1=\" }\n\
                  signed = \"{body}\"\nalgorithm = \"hmac-sha1\"\nencoding = \"hex\"\n";
    std::fs::write(&path, scheme).unwrap();
    let file = path.to_str().unwrap();
    let header = "X-Signature: sha1=b17e04cbb22afa8ffbff8796fc1894ed27badd9e";
    let words = [
        "verify", "--scheme", "custom", "--secret", "secret", "-H", header,
    ];
    let typed = [&words[..], &["--scheme-file", file]].concat();

    let ended = typed_words(&typed, br#"{"a": "z"}"#).await;
    let without = typed_words(&words, b"").await;

    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        (ended.exit, ended.out.as_str()),
        (Exit::Ok, "verified: custom\n")
    );
    assert_eq!(without.exit, Exit::Usage);
    assert!(without.err.contains("--scheme-file"), "{}", without.err);
}

#[tokio::test]
async fn what_cannot_be_is_a_usage_error() {
    for (words, says) in [
        (["--scheme", "gitbub", "--secret", "x"], "github, "),
        (
            ["--scheme", "svix", "--secret", "hunter2!"],
            "--secret is not standard base64",
        ),
        (["--scheme", "github", "--secret", ""], "--secret is empty"),
    ] {
        let ended = typed_words(&[&["verify"], &words[..]].concat(), b"").await;

        assert_eq!(ended.exit, Exit::Usage, "{words:?}");
        assert!(ended.err.contains(says), "{}", ended.err);
        assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    }
}

#[tokio::test]
async fn a_certificate_that_is_wanted_is_named() {
    let body = br#"{"Type":"Notification","MessageId":"1","TopicArn":"arn:t","Message":"m",
        "Timestamp":"t","Signature":"AAAA",
        "SigningCertURL":"https://sns.eu-west-1.amazonaws.com/c.pem"}"#;
    let words = ["verify", "--scheme", "aws-sns", "--secret", "arn:t"];

    let ended = typed_words(&words, body).await;

    assert_eq!(ended.exit, Exit::Failure);
    assert!(
        ended
            .err
            .contains("https://sns.eu-west-1.amazonaws.com/c.pem"),
        "{}",
        ended.err
    );
}

/// What signs a provider's requests, and what they are verified with.
fn keys(scheme: &Scheme) -> (String, String) {
    let shared = |secret: &str| (secret.to_owned(), secret.to_owned());
    let der = match scheme.algorithm() {
        Algorithm::Ed25519 => vec![7; 32],
        Algorithm::EcdsaP256 => {
            let random = aws_lc_rs::rand::SystemRandom::new();
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
            made.unwrap().as_ref().to_vec()
        }
        _ => {
            return match scheme.key_form().encoding {
                KeyEncoding::Base64 => shared("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
                KeyEncoding::Hex => shared("00112233445566778899aabbccddeeff"),
                _ => shared("user:a secret of twenty-four b"),
            };
        }
    };
    let public = SchemeSigningKey::private(scheme, &der, "").unwrap();
    let private = match scheme.algorithm() {
        Algorithm::Ed25519 => "07".repeat(32),
        _ => STANDARD.encode(&der),
    };
    (private, public.public(scheme).unwrap())
}

#[tokio::test]
async fn the_request_of_every_provider_verifies_by_its_name_and_with_a_byte_less_it_does_not() {
    const URL: &str = "https://hooks.example/in/abc";
    let mut verified = 0;
    for preset in presets()
        .iter()
        .filter(|it| it.scheme.certificate().is_none())
    {
        let name = preset.name.as_str();
        let (private, public) = keys(&preset.scheme);
        let making = Making {
            preset,
            secret: &private,
            url: URL,
            fresh: Fresh {
                seed: [7; 16],
                at: crate::world::now(),
            },
            body: None,
            spoil: None,
        };
        let ready = samples_of(name).next().unwrap().make(&making).unwrap();
        let mut words = vec![
            "verify", "--scheme", name, "--secret", &public, "--url", URL,
        ];
        let headers = ready.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        words.extend(
            headers
                .iter()
                .flat_map(|header| ["--header", header.as_str()]),
        );

        let good = typed_words(&words, &ready.body).await;
        assert_eq!(good.exit, Exit::Ok, "{name}: {}", good.err);
        let told = format!("verified: {name}");
        assert!(good.out.starts_with(&told), "{name}: {}", good.out);
        verified += 1;
        if preset.scheme.signed().covers_body() {
            let less = &ready.body[..ready.body.len() - 1];
            let bad = typed_words(&words, less).await;
            assert_eq!(bad.exit, Exit::Failure, "{name}: {}", bad.out);
        }
    }
    assert!(verified > 75, "{verified}");
}

//! Every sample is its provider's, and no spoiled one is.

use std::collections::BTreeSet;

use signature::scheme::{Algorithm, Key, Request, Scheme, Verdict, Verified, preset, presets};

use super::*;

const NOW: i64 = 1_770_000_000;
const URL: &str = "https://hooks.example/in/abc";

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(NOW)
}

/// The key that signs, and what the source has.
fn keys(scheme: &Scheme) -> (String, String) {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

    let shared = |secret: &str| (secret.to_owned(), secret.to_owned());
    let private = match scheme.algorithm() {
        Algorithm::Ed25519 => "07".repeat(32),
        Algorithm::EcdsaP256 => {
            let random = aws_lc_rs::rand::SystemRandom::new();
            let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
            STANDARD.encode(der.unwrap())
        }
        _ => {
            return match scheme.key_form().encoding {
                KeyEncoding::Base64 => shared("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
                KeyEncoding::Hex => shared("00112233445566778899aabbccddeeff"),
                _ => shared("user:a secret of twenty-four b"),
            };
        }
    };
    let public = key::signing(scheme, &private).unwrap().public(scheme);
    (private, public.unwrap())
}

fn made(sample: &Sample, secret: &str, spoil: Option<Spoil>) -> Result<Ready, CannotMake> {
    sample.make(&Making {
        preset: preset(&sample.provider).unwrap(),
        secret,
        url: URL,
        fresh: Fresh {
            seed: *b"sixteen bytes ok",
            at: now(),
        },
        body: None,
        spoil,
    })
}

fn verdict(scheme: &Scheme, ready: &Ready, secret: &str) -> Verdict {
    let headers = ready.headers.iter();
    let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    let request = Request {
        method: ready.method,
        url: Some(URL),
        headers: &headers,
        body: &ready.body,
        fetched: None,
    };
    scheme.verify(&request, &[Key::parse(scheme, secret).unwrap()], now())
}

fn verified(sample: &Sample) -> Verified {
    let scheme = &preset(&sample.provider).unwrap().scheme;
    let (private, public) = keys(scheme);
    let ready = made(sample, &private, None).unwrap();
    match verdict(scheme, &ready, &public) {
        Verdict::Verified(verified) => verified,
        other => panic!("{} {}: {other:?}", sample.provider, sample.event),
    }
}

/// Those that somebody else than the provider can sign.
fn signable() -> impl Iterator<Item = &'static Sample> {
    samples().iter().filter(|sample| {
        let preset = preset(&sample.provider).unwrap();
        preset.scheme.certificate().is_none()
    })
}

#[test]
fn every_provider_has_a_sample_and_every_sample_a_provider() {
    let sampled: BTreeSet<_> = samples().iter().map(|s| s.provider.as_str()).collect();
    let known: BTreeSet<_> = presets().iter().map(|p| p.name.as_str()).collect();

    assert_eq!(sampled, known);
    let mut names = BTreeSet::new();
    for sample in samples() {
        let name = format!("{}.{}", sample.provider, sample.event);
        assert!(names.insert(name.to_lowercase()), "{name} comes twice");
        assert_eq!(
            super::sample(&name.to_uppercase().replacen(
                &sample.provider.to_uppercase(),
                &sample.provider,
                1,
            ))
            .map(|found| &found.event),
            Some(&sample.event),
            "{name}"
        );
    }
}

#[test]
fn every_sample_verifies_as_its_provider_s() {
    for sample in signable() {
        let verified = verified(sample);

        let scheme = &preset(&sample.provider).unwrap().scheme;
        let first = scheme.ids().first();
        if let Some(Location::Header(_)) = first {
            assert!(!verified.ids.is_empty(), "{}: no id", sample.provider);
        }
        let split = preset(&sample.provider).unwrap().split;
        let named = scheme.event().is_empty() || split || verified.event.is_some();
        let unnamed = ["slack", "cloudevents", "hubspot-v1"];
        let expected = named || unnamed.contains(&sample.provider.as_str());
        assert!(
            expected,
            "{} {}: no event type",
            sample.provider, sample.event
        );
    }
}

#[test]
fn every_spoiled_sample_is_refused() {
    let mut refused = 0;
    for sample in signable() {
        let scheme = &preset(&sample.provider).unwrap().scheme;
        let (private, public) = keys(scheme);
        for spoil in Spoil::ALL {
            let made = made(sample, &private, Some(spoil));
            if spoil.check(scheme).is_err() {
                assert!(matches!(made, Err(CannotMake::Unseen(_))), "{spoil:?}");
                continue;
            }
            let verdict = verdict(scheme, &made.unwrap(), &public);
            let is_refused = matches!(verdict, Verdict::Refused(_));
            let name = (&sample.provider, &sample.event);
            assert_eq!(
                is_refused,
                spoil.is_refused(scheme),
                "{name:?} {spoil:?}: {verdict:?}"
            );
            refused += usize::from(is_refused);
        }
    }
    assert!(refused > 250, "{refused}");
}

#[test]
fn what_a_certificate_signs_nobody_else_can() {
    for name in ["paypal", "aws-sns", "aws-sns-v1"] {
        let sample = sample(name).unwrap();
        assert_eq!(made(sample, "x", None), Err(CannotMake::Certificate));
    }
}

#[test]
fn bodies_are_what_their_content_types_say() {
    for sample in signable() {
        let scheme = &preset(&sample.provider).unwrap().scheme;
        let ready = made(sample, &keys(scheme).0, None).unwrap();
        let text = String::from_utf8(ready.body).unwrap();
        assert!(!text.contains("{{"), "{}: {text}", sample.provider);
        let name = (&sample.provider, &sample.event);
        if sample.content_type.contains("json") {
            let parsed = serde_json::from_str::<serde_json::Value>(&text);
            assert!(parsed.is_ok(), "{name:?}: {parsed:?}");
            assert!(!text.contains(": ") || text.contains('"'), "{name:?}");
        } else if sample.content_type.contains("form") {
            let fields = form_urlencoded::parse(text.as_bytes()).count();
            assert!(fields > 0 && !text.contains('{'), "{name:?}");
        }
    }
}

#[test]
fn each_request_is_another_and_the_same_chance_makes_the_same() {
    let sample = sample("stripe.invoice.paid").unwrap();
    let make = |seed| {
        let fresh = Fresh { seed, at: now() };
        let making = Making {
            preset: preset("stripe").unwrap(),
            secret: "whsec_test",
            url: URL,
            fresh,
            body: None,
            spoil: None,
        };
        sample.make(&making).unwrap()
    };

    assert_eq!(make([1; 16]), make([1; 16]));
    assert_ne!(make([1; 16]).body, make([2; 16]).body);
}

#[test]
fn a_body_of_one_s_own_is_signed_as_it_is() {
    let sample = sample("github").unwrap();
    let scheme = &preset("github").unwrap().scheme;
    let making = Making {
        preset: preset("github").unwrap(),
        secret: "s",
        url: URL,
        fresh: Fresh {
            seed: [0; 16],
            at: now(),
        },
        body: Some(b"{ \"mine\": true }"),
        spoil: None,
    };

    let ready = sample.make(&making).unwrap();

    assert_eq!(ready.body, b"{ \"mine\": true }");
    assert!(matches!(verdict(scheme, &ready, "s"), Verdict::Verified(_)));
}

#[test]
fn keys_are_read_in_each_of_their_spellings() {
    let scheme = &preset("discord").unwrap().scheme;
    let seed = [7; 32];
    let spellings = [
        "07".repeat(32),
        format!("whsk_{}", STANDARD.encode(seed)),
        STANDARD.encode(seed),
    ];
    let public = |text: &String| key::signing(scheme, text).unwrap().public(scheme);

    let publics: BTreeSet<_> = spellings.iter().map(public).collect();

    assert_eq!(publics.len(), 1);
    let bad = key::signing(scheme, "nonsense!").map(|_| ());
    assert_eq!(bad, Err(CannotMake::Secret(InvalidSecret::NotPrivateKey)));
}

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signature::scheme::{KeyEncoding, Location};

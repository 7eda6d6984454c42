//! What we sign as a provider does, we accept as the provider's; and nothing near it.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RsaKeyPair};
use proptest::prelude::*;

use super::*;

pub(super) const NOW: i64 = 1_700_000_000;
pub(super) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:topic";

/// Signs a request as a provider does, with a secret that both sides have.
pub(super) fn shared(name: &str, secret: &str, sent: &Sent) -> Sent {
    let scheme = scheme(name);
    let key = SchemeSigningKey::shared(scheme, secret).unwrap();
    signed(scheme, &key, sent, NOW)
}

pub(super) fn signed(scheme: &Scheme, key: &SchemeSigningKey, sent: &Sent, at: i64) -> Sent {
    let headers = sent.headers.iter();
    let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let unsigned = Unsigned {
        method: &sent.method,
        url: sent.url.as_deref(),
        headers: &headers,
        body: &sent.body,
        id: "msg_1",
        at: Timestamp::from_unix_seconds(at),
    };
    let signed = scheme.sign(key, &unsigned).unwrap();
    Sent {
        headers: signed.headers,
        body: signed.body,
        ..sent.clone()
    }
}

/// A request such as the provider sends, before it is signed.
fn sample(name: &str) -> Sent {
    let json = Sent::post(br#"{"id":"evt_1","type":"a.b","event":"a.b"}"#)
        .with("Content-Type", "application/json")
        .to("https://hooks.example/in/src");
    match name {
        "twilio" | "mandrill" => Sent::post("MessageSid=SM1&Body=a+b%21&A=1")
            .with("Content-Type", "application/x-www-form-urlencoded")
            .to("https://hooks.example/in/src?x=1"),
        "hygraph" => json.with("gcms-signature", "env=master"),
        "microsoft-graph" => Sent {
            body: br#"{"value":[{"id":"x"}]}"#.to_vec(),
            ..json
        },
        "adyen-payments" => Sent {
            body: br#"{"notificationItems":[{"NotificationRequestItem":{"pspReference":"1"}}]}"#
                .to_vec(),
            ..json
        },
        "mailgun" => Sent {
            body: br#"{"signature":{"token":"t1"},"event-data":{"id":"x"}}"#.to_vec(),
            ..json
        },
        "paypal" => json.with("PAYPAL-CERT-URL", "https://api.paypal.com/v1/certs/c-1"),
        "aws-sns" => Sent {
            body: format!(
                "{{\"Type\":\"Notification\",\"MessageId\":\"m1\",\"TopicArn\":\"{TOPIC}\",\
                 \"Message\":\"hello\",\"Timestamp\":\"2026-01-31T12:00:00.000Z\",\
                 \"SigningCertURL\":\"https://sns.eu-west-1.amazonaws.com/c.pem\"}}"
            )
            .into_bytes(),
            ..json
        },
        _ => json,
    }
}

/// A signed request, and the secret or public key to verify it with.
pub(super) struct Made {
    pub(super) sent: Sent,
    pub(super) secret: String,
}

pub(super) fn made(preset: &Preset) -> Made {
    let scheme = &preset.scheme;
    let sent = sample(&preset.name);
    let at = |key: &SchemeSigningKey, sent: &Sent| signed(scheme, key, sent, NOW);
    if scheme.algorithm().is_public_key() {
        let der = private_key(scheme.algorithm());
        let given = if preset.name == "aws-sns" {
            TOPIC
        } else {
            "WH-1"
        };
        let key = SchemeSigningKey::private(scheme, &der, given).unwrap();
        let mut made = at(&key, &sent);
        if let Some(rule) = scheme.certificate() {
            let view = |request: &Request<'_>| {
                let view = super::request::View::new(*request, scheme.signature());
                rule.from.find(&view).unwrap().unwrap().into_owned()
            };
            let url = made.as_request(view);
            made.fetched = Some((url, certificates::certificate(&der)));
            return Made {
                sent: made,
                secret: given.into(),
            };
        }
        let secret = key.public(scheme).unwrap();
        return Made { sent: made, secret };
    }
    let secret = match (scheme.key_form().encoding, preset.name.as_str()) {
        (KeyEncoding::Base64, _) => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        (KeyEncoding::Hex, _) => "00112233445566778899aabbccddeeff",
        (_, "basic") => "user:correct horse battery staple",
        _ => "a secret of twenty-four b",
    };
    let key = SchemeSigningKey::shared(scheme, secret).unwrap();
    Made {
        sent: at(&key, &sent),
        secret: secret.into(),
    }
}

pub(super) fn private_key(algorithm: Algorithm) -> Vec<u8> {
    match algorithm {
        Algorithm::Ed25519 => vec![7; 32],
        Algorithm::EcdsaP256 => {
            let random = SystemRandom::new();
            let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
            der.unwrap().as_ref().to_vec()
        }
        _ => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
            der.as_ref().to_vec()
        }
    }
}

/// SHA-1 with RSA is verified and never made; see `certificates` for requests that have it.
fn signable() -> impl Iterator<Item = &'static Preset> {
    let presets = presets().iter();
    presets.filter(|preset| preset.scheme.algorithm() != Algorithm::RsaSha1)
}

#[test]
fn what_we_sign_verifies_by_every_preset() {
    for preset in signable() {
        let Made { sent, secret } = made(preset);

        let verified = sent.verified(&preset.scheme, &["another secret", &secret][1..], NOW);

        let timed = preset.scheme.timestamp().is_some();
        assert_eq!(verified.signed_at.is_some(), timed, "{}", preset.name);
        let first = preset.scheme.ids().first();
        if let Some(Location::Header(_)) = first {
            assert_eq!(verified.ids[0].value, "msg_1", "{}", preset.name);
        }
    }
}

#[test]
fn either_of_two_live_secrets_verifies_and_is_named() {
    let sent = shared("github", "the new one", &Sent::post("{}"));

    let verified = sent.verified(scheme("github"), &["the old one", "the new one"], NOW);

    assert_eq!(verified.key, 1);
}

/// Changes that a test makes to a signed request; `None` where there is nothing to change.
fn mutations(scheme: &Scheme, sent: &Sent) -> Vec<(String, Sent)> {
    let mut all = Vec::new();
    let place = scheme.signature().from()[0].clone();
    match &place {
        Location::Header(name) => all.extend(header_mutations(name, sent)),
        Location::Headers(stem) => all.extend(header_mutations(&format!("{stem}1"), sent)),
        Location::Json(path) => all.extend(json_mutations(path, sent)),
        _ => {}
    }
    let mut add = |what: &str, f: &dyn Fn(&mut Sent)| {
        let mut changed = sent.clone();
        f(&mut changed);
        all.push((what.to_owned(), changed));
    };
    if scheme.signed().covers_body() {
        add("the first byte", &|sent| sent.body[0] ^= 1);
        add("the last byte", &|sent| *sent.body.last_mut().unwrap() ^= 1);
        add("a byte more", &|sent| sent.body.push(b'x'));
        add("a byte less", &|sent| {
            sent.body.truncate(sent.body.len() - 1);
        });
        add("no body", &|sent| sent.body.clear());
        add("a mark before", &|sent| {
            sent.body.splice(0..0, *b"\xef\xbb\xbf").for_each(drop);
        });
    }
    if scheme.signed().needs_url() {
        add("another URL", &|sent| sent.url.as_mut().unwrap().push('x'));
        add("no URL", &|sent| sent.url = None);
    }
    all
}

fn header_mutations(name: &str, sent: &Sent) -> Vec<(String, Sent)> {
    let value = sent.clone().header(name).unwrap().clone();
    // Of pairs such as `t=1,v1=…` the last is the signature.
    let start = value.rfind(['=', ' ']).filter(|at| at + 3 < value.len());
    let start = start.map_or(0, |at| at + 1);
    let mut values: Vec<_> = (0..14)
        .map(|step| start + (value.len() - start - 3) * step / 14)
        .map(|at| {
            let other = if &value[at..=at] == "0" { "1" } else { "0" };
            format!("{}{other}{}", &value[..at], &value[at + 1..])
        })
        .collect();
    values.extend([
        String::new(),
        value[..value.len() - 1].to_owned(),
        value[..start + (value.len() - start) / 2].to_owned(),
        format!("{value}0"),
        format!("{}!{}", &value[..start], &value[start..]),
        value[..start].to_owned(),
        value[start + 1..].to_owned(),
    ]);
    let changed = values.into_iter().map(|changed| {
        let mut sent = sent.clone();
        *sent.header(name).unwrap() = changed.clone();
        (format!("{name}: {changed}"), sent)
    });
    let mut all: Vec<_> = changed.collect();
    let mut without = sent.clone();
    without.headers.retain(|(found, _)| found != name);
    all.push((format!("no {name}"), without));
    all
}

fn json_mutations(path: &str, sent: &Sent) -> Vec<(String, Sent)> {
    let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    let pointer = format!("/{}", path.replace('.', "/"));
    let value = body.pointer(&pointer).unwrap().as_str().unwrap().to_owned();
    let end = value.trim_end_matches('=').len();
    let values = (0..20)
        .map(|step| (end - 3) * step / 20)
        .map(|at| {
            let other = if &value[at..=at] == "0" { "1" } else { "0" };
            format!("{}{other}{}", &value[..at], &value[at + 1..])
        })
        .chain([String::new(), value[1..].to_owned(), format!("{value}0")]);
    values
        .map(|changed| {
            let mut body = body.clone();
            *body.pointer_mut(&pointer).unwrap() = changed.clone().into();
            let mut sent = sent.clone();
            sent.body = serde_json::to_vec(&body).unwrap();
            (changed, sent)
        })
        .collect()
}

#[test]
fn twenty_changes_of_every_request_are_refused() {
    for preset in signable() {
        let Made { sent, secret } = made(preset);
        let mutations = mutations(&preset.scheme, &sent);
        assert!(
            mutations.len() >= 20,
            "{}: {}",
            preset.name,
            mutations.len()
        );
        for (what, changed) in mutations {
            let verdict = changed.verdict(&preset.scheme, &[&secret], NOW);
            let refused = matches!(verdict, Verdict::Refused(_));
            assert!(refused, "{}: {what}: {verdict:?}", preset.name);
        }
    }
}

#[test]
fn what_is_too_old_or_too_new_is_refused_where_there_is_a_tolerance() {
    let mut tested = 0;
    for preset in signable() {
        let rule = preset.scheme.timestamp();
        let Some(tolerance) = rule.and_then(|rule| rule.tolerance).map(i64::from) else {
            continue;
        };
        let Made { sent, secret } = made(preset);
        let verdict = |now| sent.verdict(&preset.scheme, &[&secret], now);
        let too_old = Refused::TooOld {
            seconds: tolerance + 1,
        };
        let too_new = Refused::TooNew {
            seconds: tolerance + 1,
        };

        for now in [NOW - tolerance, NOW + tolerance] {
            assert!(
                matches!(verdict(now), Verdict::Verified(_)),
                "{}",
                preset.name
            );
        }
        assert_eq!(verdict(NOW + tolerance + 1), Verdict::Refused(too_old));
        assert_eq!(verdict(NOW - tolerance - 1), Verdict::Refused(too_new));
        tested += 1;
    }
    assert!(tested > 20, "{tested}");
}

proptest! {
    #[test]
    fn no_request_whatever_makes_a_scheme_panic(
        index in any::<prop::sample::Index>(),
        value in "\\PC{0,80}",
        body in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let preset = index.get(presets());
        let Made { mut sent, secret } = made(if preset.scheme.algorithm().is_public_key() {
            super::preset("github").unwrap()
        } else {
            preset
        });
        for (_, old) in &mut sent.headers {
            old.clone_from(&value);
        }
        sent.body = body;
        let scheme = &preset.scheme;
        if let Ok(key) = Key::parse(scheme, &secret) {
            let now = Timestamp::from_unix_seconds(NOW);
            let verdict = sent.as_request(|request| scheme.verify(request, &[key], now));
            prop_assert!(!matches!(verdict, Verdict::Verified(_)), "{verdict:?}");
        }
    }

    #[test]
    fn a_changed_byte_of_body_or_signature_is_refused(
        index in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0..7_u8,
    ) {
        let shared: Vec<_> = signable()
            .filter(|preset| !preset.scheme.algorithm().is_public_key())
            .filter(|preset| preset.scheme.signed().covers_body())
            .collect();
        let preset = index.get(&shared);
        let Made { mut sent, secret } = made(preset);
        let at = at.index(sent.body.len());
        let old = sent.body.clone();
        sent.body[at] ^= 1 << bit;
        // A form has several spellings of the same fields.
        let is_form = ["twilio", "mandrill"].contains(&preset.name.as_str());
        let same = is_form
            && canonical::form(&old) == canonical::form(&sent.body);
        if !same {
            let verdict = sent.verdict(&preset.scheme, &[&secret], NOW);
            prop_assert!(matches!(verdict, Verdict::Refused(_)), "{}", preset.name);
        }
    }
}

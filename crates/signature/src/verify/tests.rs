//! What is accepted and what is refused, case by case, and under random damage.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::{Signer, SigningKey};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const EARLIER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const SECONDS: i64 = 1_649_367_553;
const NOW: Timestamp = Timestamp::from_unix_seconds(SECONDS);
const TOLERANCE: Duration = Duration::from_mins(5);
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const GOOD: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

fn verifier(keys: &[&str]) -> Verifier {
    Verifier::new(keys.iter().map(|text| VerifyingKey::parse(text).unwrap()))
}

fn sign(key: &str, id: &str, at: Timestamp, body: &[u8]) -> String {
    let mut out = String::new();
    SigningKey::parse(key).unwrap().sign(id, at, body, &mut out);
    out
}

/// A request that can be changed in one part.
#[derive(Clone, Debug)]
struct Request {
    id: String,
    timestamp: String,
    signatures: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    fn good() -> Self {
        Self {
            id: ID.into(),
            timestamp: SECONDS.to_string(),
            signatures: vec![GOOD.into()],
            body: BODY.into(),
        }
    }

    fn with_signature(line: &str) -> Self {
        Self {
            signatures: vec![line.into()],
            ..Self::good()
        }
    }

    fn with_body(body: &[u8]) -> Self {
        Self {
            body: body.into(),
            ..Self::good()
        }
    }

    fn verdict(&self, verifier: &Verifier, now: Timestamp) -> Result<(), Refused> {
        let signatures: Vec<_> = self.signatures.iter().map(String::as_str).collect();
        let received = Received {
            id: Some(&self.id),
            timestamp: Some(&self.timestamp),
            signatures: &signatures,
            body: &self.body,
        };
        verifier.verify(&received, now, TOLERANCE)
    }

    fn verdict_of(&self, key: &str) -> Result<(), Refused> {
        self.verdict(&verifier(&[key]), NOW)
    }
}

/// Runs a table of signature headers against the good request.
fn check_headers(table: &[(&str, &str, Result<(), Refused>)]) {
    for (why, template, expected) in table {
        let line = template.replace("GOOD", GOOD);
        let verdict = Request::with_signature(&line).verdict_of(SECRET);
        assert_eq!(verdict, *expected, "{why}: {line:?}");
    }
}

#[test]
fn the_vector_of_the_standards_own_libraries_is_accepted() {
    assert_eq!(Request::good().verdict_of(SECRET), Ok(()));
}

#[test]
fn one_good_signature_in_the_header_is_enough() {
    let zeros = format!("v1,{}=", "A".repeat(43));
    check_headers(&[
        ("alone", "GOOD", Ok(())),
        ("after a wrong one", &format!("{zeros} GOOD"), Ok(())),
        ("before a wrong one", &format!("GOOD {zeros}"), Ok(())),
        ("after a newer version", "v2,abc GOOD", Ok(())),
        ("before a newer version", "GOOD v2,abc", Ok(())),
        ("after an Ed25519 one", "v1a,abc GOOD", Ok(())),
        ("after a word", "garbage GOOD", Ok(())),
        ("after an empty version", ", GOOD", Ok(())),
        ("after an empty signature", "v1, GOOD", Ok(())),
        ("after a bare version", "v1 GOOD", Ok(())),
        ("two spaces", "v2,abc  GOOD", Ok(())),
        ("leading space", " GOOD", Ok(())),
        ("trailing space", "GOOD ", Ok(())),
        (
            "lines merged by a proxy, good first",
            "GOOD, v1,abc",
            Ok(()),
        ),
        ("lines merged by a proxy, good last", "v1,abc, GOOD", Ok(())),
    ]);
}

#[test]
fn a_header_without_a_well_formed_good_signature_is_refused() {
    use Refused::{SignatureMalformed, SignatureMissing, SignatureVersion};
    let base64 = &GOOD["v1,".len()..];
    let url = base64.replace('+', "-").replace('/', "_");
    let with = |text: &str| format!("v1,{text}");
    check_headers(&[
        ("empty", "", Err(SignatureMissing)),
        ("blank", "   ", Err(SignatureMissing)),
        ("bare version", "v1", Err(SignatureMalformed)),
        ("empty signature", "v1,", Err(SignatureMalformed)),
        ("eight characters", &GOOD[..8], Err(SignatureMalformed)),
        ("no version", base64, Err(SignatureMalformed)),
        (
            "upper-case version",
            &GOOD.replace('v', "V"),
            Err(SignatureVersion),
        ),
        (
            "Ed25519 version",
            &GOOD.replace("v1", "v1a"),
            Err(SignatureMalformed),
        ),
        (
            "version zero",
            &GOOD.replace("v1", "v0"),
            Err(SignatureVersion),
        ),
        (
            "newer version",
            &GOOD.replace("v1", "v2"),
            Err(SignatureVersion),
        ),
        ("a third part", "GOOD,x", Err(SignatureMalformed)),
        ("a comma at the end", "GOOD,", Err(SignatureMalformed)),
        (
            "two merged without a space",
            "GOOD,GOOD",
            Err(SignatureMalformed),
        ),
        (
            "an equals sign for the comma",
            &GOOD.replace(',', "="),
            Err(SignatureMalformed),
        ),
        (
            "junk before",
            &with(&format!("!{base64}")),
            Err(SignatureMalformed),
        ),
        (
            "junk inside",
            &with(&base64.replace('4', "!4")),
            Err(SignatureMalformed),
        ),
        (
            "junk in place",
            &with(&base64.replace('4', "!")),
            Err(SignatureMalformed),
        ),
        (
            "unpadded",
            GOOD.trim_end_matches('='),
            Err(SignatureMalformed),
        ),
        ("padded twice", &format!("{GOOD}="), Err(SignatureMalformed)),
        ("base64url", &with(&url), Err(SignatureMalformed)),
        (
            "bits beyond the end",
            &GOOD.replace("kw=", "kx="),
            Err(SignatureMalformed),
        ),
        (
            "a tab for the space",
            "v1,abc\tGOOD",
            Err(SignatureMalformed),
        ),
        (
            "not ASCII",
            &GOOD.replace('4', "ä"),
            Err(SignatureMalformed),
        ),
    ]);
}

#[test]
fn signatures_may_come_in_several_header_lines() {
    let mut request = Request::good();
    for lines in [[GOOD, "v1,abc"], ["v1,abc", GOOD], ["", GOOD]] {
        request.signatures = lines.map(String::from).into();
        assert_eq!(request.verdict_of(SECRET), Ok(()), "{lines:?}");
    }
}

#[test]
fn the_timestamp_has_one_spelling() {
    let signed = |timestamp: &str| {
        // As a sender would sign it that writes its timestamps so.
        let context = Content::received(ID, timestamp, BODY);
        let tag = context.hmac(&hmac_key(&Secret::parse(SECRET).unwrap()));
        Request {
            timestamp: timestamp.into(),
            ..Request::with_signature(&format!("v1,{}", STANDARD.encode(tag)))
        }
    };
    assert_eq!(signed("1649367553").verdict_of(SECRET), Ok(()));

    for timestamp in [
        "1649367553.5",
        "1649367553abc",
        "+1649367553",
        " 1649367553",
        "1649367553 ",
        "01649367553",
        "1649367553e0",
        "0x624f5801",
        "1649367553000",
        "16493675530000000000",
        "99999999999999999999999",
        "-1649367553",
        "NaN",
        "inf",
        "",
        "0",
        "\u{661}649367553",
        "2022-04-07T21:39:13Z",
    ] {
        let verdict = signed(timestamp).verdict_of(SECRET);
        assert_eq!(verdict, Err(Refused::TimestampMalformed), "{timestamp:?}");
    }
}

#[test]
fn a_timestamp_may_be_off_by_the_tolerance_and_not_by_a_second_more() {
    let verdict = |offset: i64| {
        let at = Timestamp::from_unix_seconds(SECONDS + offset);
        let request = Request {
            timestamp: at.as_unix_seconds().to_string(),
            ..Request::with_signature(&sign(SECRET, ID, at, BODY))
        };
        // Late in the second: what counts is whole seconds.
        let now = Timestamp::from_micros(NOW.as_micros() + 999_999);
        request.verdict(&verifier(&[SECRET]), now)
    };

    for offset in [-300, -299, 0, 299, 300] {
        assert_eq!(verdict(offset), Ok(()), "{offset}");
    }
    assert_eq!(verdict(-301), Err(Refused::TooOld { seconds: 301 }));
    assert_eq!(verdict(301), Err(Refused::TooNew { seconds: 301 }));
    assert_eq!(
        verdict(-SECONDS + 1),
        Err(Refused::TooOld {
            seconds: SECONDS - 1
        })
    );
}

#[test]
fn clocks_and_tolerances_at_their_ends_do_not_overflow() {
    let request = Request {
        timestamp: "999999999999".into(),
        ..Request::good()
    };
    let verifier = verifier(&[SECRET]);
    for now in [i64::MIN, 0, i64::MAX].map(Timestamp::from_micros) {
        let verdict = request.verdict(&verifier, now);
        assert!(matches!(
            verdict,
            Err(Refused::TooOld { .. } | Refused::TooNew { .. })
        ));
    }
    let received = Received {
        id: Some(ID),
        timestamp: Some("1649367553"),
        signatures: &[GOOD],
        body: BODY,
    };

    assert_eq!(
        verifier.verify(&received, Timestamp::from_micros(0), Duration::MAX),
        Ok(())
    );
}

#[test]
fn each_missing_header_is_named() {
    let good = Received {
        id: Some(ID),
        timestamp: Some("1649367553"),
        signatures: &[GOOD],
        body: BODY,
    };
    let verdict = |received| verifier(&[SECRET]).verify(&received, NOW, TOLERANCE);

    assert_eq!(verdict(good), Ok(()));
    assert_eq!(
        verdict(Received { id: None, ..good }),
        Err(Refused::IdMissing)
    );
    assert_eq!(
        verdict(Received {
            timestamp: None,
            ..good
        }),
        Err(Refused::TimestampMissing)
    );
    assert_eq!(
        verdict(Received {
            signatures: &[],
            ..good
        }),
        Err(Refused::SignatureMissing)
    );
}

/// Id, second and body meet at full stops, so an id with one makes two requests of one signature.
#[test]
fn bytes_cannot_move_between_id_timestamp_and_body() {
    let honest = Request {
        body: b"1649367553.{}".into(),
        ..Request::with_signature(&sign(SECRET, ID, NOW, b"1649367553.{}"))
    };
    let forged = Request {
        id: format!("{ID}.1649367553"),
        body: b"{}".into(),
        ..honest.clone()
    };

    assert_eq!(honest.verdict_of(SECRET), Ok(()));
    assert_eq!(
        forged.verdict_of(SECRET),
        Err(Refused::IdInvalid(InvalidWebhookId::FullStop))
    );
}

#[test]
fn an_empty_id_is_refused_even_if_signed() {
    let tag =
        Content::received("", "1649367553", BODY).hmac(&hmac_key(&Secret::parse(SECRET).unwrap()));
    let request = Request {
        id: String::new(),
        ..Request::with_signature(&format!("v1,{}", STANDARD.encode(tag)))
    };

    assert_eq!(
        request.verdict_of(SECRET),
        Err(Refused::IdInvalid(InvalidWebhookId::Empty))
    );
}

#[test]
fn a_body_that_changed_on_the_way_is_refused() {
    let text = std::str::from_utf8(BODY).unwrap();
    for (why, body) in [
        ("re-serialised", text.replace(',', ", ")),
        (
            "other order",
            r#"{"username":"test_user","email":"test@example.com"}"#.into(),
        ),
        ("escaped", text.replace('@', "\\u0040")),
        ("one byte more", format!("{text}\n")),
        ("one byte less", text[..text.len() - 1].into()),
        ("with a byte order mark", format!("\u{feff}{text}")),
        ("empty", String::new()),
    ] {
        let verdict = Request::with_body(body.as_bytes()).verdict_of(SECRET);
        assert_eq!(verdict, Err(Refused::SignatureMismatch), "{why}");
    }
}

#[test]
fn every_byte_of_any_body_is_signed_as_it_is() {
    for body in [
        &b""[..],
        b"hello",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe\x00binary",
        br#"{"a":1,"a":2}"#,
        b"[9007199254740993]",
        br#""\u0000\ud800""#,
        b"{}\r\n",
    ] {
        let request = Request {
            signatures: vec![sign(SECRET, ID, NOW, body)],
            ..Request::with_body(body)
        };
        assert_eq!(request.verdict_of(SECRET), Ok(()), "{body:?}");
    }
}

#[test]
fn another_secret_and_an_empty_one_are_refused() {
    let empty_key = hmac::Key::new(hmac::HMAC_SHA256, b"");
    let tag = Content::received(ID, "1649367553", BODY).hmac(&empty_key);
    let forged = Request::with_signature(&format!("v1,{}", STANDARD.encode(tag)));

    assert_eq!(
        Request::good().verdict_of(EARLIER),
        Err(Refused::SignatureMismatch)
    );
    assert_eq!(forged.verdict_of(SECRET), Err(Refused::SignatureMismatch));
}

#[test]
fn secrets_that_a_lenient_reader_takes_make_no_verifier() {
    let of = |len: usize| format!("whsec_{}", STANDARD.encode(vec![7; len]));
    for text in [
        "",
        "whsec_",
        "whsec",
        &of(1),
        &of(23),
        &of(65),
        of(32).trim_end_matches('='),
    ] {
        assert!(VerifyingKey::parse(text).is_err(), "{text}");
    }
    for text in [&of(24), &of(64), &SECRET["whsec_".len()..]] {
        assert!(VerifyingKey::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_verifier_without_keys_refuses_everything() {
    assert_eq!(
        Request::good().verdict(&verifier(&[]), NOW),
        Err(Refused::NoKey)
    );
}

#[test]
fn during_a_rotation_old_new_and_both_are_accepted_on_either_side() {
    let signer = Signer::new(
        SigningKey::parse(SECRET).unwrap(),
        [SigningKey::parse(EARLIER).unwrap()],
    );
    let mut both = String::new();
    signer.sign(ID, NOW, BODY, &mut both);

    assert_eq!(Request::with_signature(&both).verdict_of(SECRET), Ok(()));
    assert_eq!(Request::with_signature(&both).verdict_of(EARLIER), Ok(()));
    let trusting_both = verifier(&[SECRET, EARLIER]);
    for key in [SECRET, EARLIER] {
        let request = Request::with_signature(&sign(key, ID, NOW, BODY));
        assert_eq!(request.verdict(&trusting_both, NOW), Ok(()));
    }
}

#[test]
fn a_signature_of_one_kind_is_not_checked_with_a_key_of_the_other() {
    let private = PrivateKey::from_random([5; 32]);
    let public = private.public_key().to_text();
    let request = Request::with_signature(&sign(&private.to_text(), ID, NOW, BODY));

    assert_eq!(request.verdict_of(&public), Ok(()));
    assert_eq!(request.verdict_of(&private.to_text()), Ok(()));
    assert_eq!(request.verdict_of(SECRET), Err(Refused::SignatureVersion));
    assert_eq!(
        Request::good().verdict_of(&public),
        Err(Refused::SignatureVersion)
    );
    assert_eq!(request.verdict(&verifier(&[SECRET, &public]), NOW), Ok(()));
}

/// A public key is public: whoever knows it must not be able to sign with it as a shared secret.
#[test]
fn a_public_key_is_never_used_as_a_shared_secret() {
    let public = PrivateKey::from_random([5; 32]).public_key().to_text();
    let as_secret = public.replace("whpk_", "whsec_");
    let forged = Request::with_signature(&sign(&as_secret, ID, NOW, BODY));

    assert_eq!(forged.verdict_of(&public), Err(Refused::SignatureVersion));
}

#[test]
fn more_signatures_than_a_sender_needs_are_refused_before_any_is_checked() {
    let wrong = format!("v1,{}=", "A".repeat(43));
    let with = |wrongs: usize| {
        let mut entries = vec![wrong.as_str(); wrongs];
        entries.push(GOOD);
        Request::with_signature(&entries.join(" ")).verdict_of(SECRET)
    };

    assert_eq!(with(SIGNATURES_MAX - 1), Ok(()));
    assert_eq!(with(SIGNATURES_MAX), Err(Refused::TooManySignatures));
    let noise = "x ".repeat(10_000) + GOOD;
    assert_eq!(Request::with_signature(&noise).verdict_of(SECRET), Ok(()));
}

#[test]
fn a_diagnosis_is_a_sentence_for_a_person() {
    let old = Refused::TooOld { seconds: 412 };
    let dotted = Refused::IdInvalid(InvalidWebhookId::FullStop);

    assert!(
        old.to_string()
            .starts_with("the timestamp is 412 s in the past: ")
    );
    assert_eq!(dotted.to_string(), "the id has a full stop");
}

type Mutation = fn(&mut Request, Index);

/// Twenty ways to damage a request, each at a random place.
const MUTATIONS: [(&str, Mutation); 20] = [
    ("body: a bit flipped", |r, at| flip_bit(&mut r.body, at)),
    ("body: a byte inserted", |r, at| {
        r.body.insert(at.index(r.body.len() + 1), b' ');
    }),
    ("body: a byte removed", |r, at| {
        r.body.remove(at.index(r.body.len()));
    }),
    ("body: cut short", |r, at| {
        r.body.truncate(at.index(r.body.len()));
    }),
    ("body: doubled", |r, _| r.body.extend(r.body.clone())),
    ("body: a line end more", |r, _| r.body.push(b'\n')),
    ("body: a byte order mark", |r, _| {
        r.body.splice(0..0, *b"\xef\xbb\xbf");
    }),
    ("id: a character replaced", |r, at| {
        replace_char(&mut r.id, at);
    }),
    ("id: a character more", |r, at| {
        r.id.insert(at.index(r.id.len() + 1), '0');
    }),
    ("id: a character less", |r, at| {
        r.id.remove(at.index(r.id.len()));
    }),
    ("id: a full stop", |r, at| {
        r.id.insert(at.index(r.id.len() + 1), '.');
    }),
    ("timestamp: one second later", |r, _| {
        shift(&mut r.timestamp, 1);
    }),
    ("timestamp: one second earlier", |r, _| {
        shift(&mut r.timestamp, -1);
    }),
    ("timestamp: a leading zero", |r, _| {
        r.timestamp.insert(0, '0');
    }),
    ("timestamp: a fraction", |r, _| r.timestamp.push_str(".0")),
    ("signature: a character replaced", |r, at| {
        let (version, base64) = r.signatures[0].split_at("v1,".len());
        let mut base64 = base64.trim_end_matches('=').to_owned();
        replace_char(&mut base64, at);
        r.signatures[0] = format!("{version}{base64}=");
    }),
    ("signature: cut short", |r, at| {
        let len = at.index(r.signatures[0].len());
        r.signatures[0].truncate(len);
    }),
    ("signature: a character more", |r, at| {
        let at = at.index(r.signatures[0].len() + 1);
        r.signatures[0].insert(at, 'A');
    }),
    ("signature: another version", |r, _| {
        r.signatures[0].replace_range(..2, "v2");
    }),
    ("signature: none", |r, _| r.signatures.clear()),
];

fn flip_bit(bytes: &mut [u8], at: Index) {
    let bit = at.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// Replaces one ASCII letter or digit by another one.
fn replace_char(text: &mut String, at: Index) {
    let at = at.index(text.len());
    let other = if &text[at..=at] == "Q" { "R" } else { "Q" };
    text.replace_range(at..=at, other);
}

fn shift(timestamp: &mut String, by: i64) {
    let seconds: i64 = timestamp.parse().unwrap();
    *timestamp = (seconds + by).to_string();
}

prop_compose! {
    fn any_key()(
        bytes in proptest::collection::vec(any::<u8>(), Secret::LEN_MIN..=Secret::LEN_MAX),
    ) -> String {
        format!("whsec_{}", STANDARD.encode(bytes))
    }
}

prop_compose! {
    fn any_request()(
        key in any_key(),
        id in "[A-Za-z0-9_-]{1,64}",
        seconds in 2..999_999_999_998i64,
        body in proptest::collection::vec(any::<u8>(), 1..300),
    ) -> (String, Request, Timestamp) {
        let at = Timestamp::from_unix_seconds(seconds);
        let signatures = vec![sign(&key, &id, at, &body)];
        (key, Request { id, timestamp: seconds.to_string(), signatures, body }, at)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_was_signed_is_accepted_and_any_damage_to_it_is_refused(
        (key, request, at) in any_request(),
        place: Index,
    ) {
        let verifier = verifier(&[&key]);
        prop_assert_eq!(request.verdict(&verifier, at), Ok(()));

        for (name, mutate) in MUTATIONS {
            let mut damaged = request.clone();
            mutate(&mut damaged, place);
            prop_assert!(damaged.verdict(&verifier, at).is_err(), "{}: {:?}", name, damaged);
        }
    }

    #[test]
    fn what_an_ed25519_key_signed_is_accepted_and_a_flipped_bit_is_not(
        seed: [u8; 32],
        (_, mut request, at) in any_request(),
        place: Index,
    ) {
        let private = PrivateKey::from_random(seed);
        let verifier = verifier(&[&private.public_key().to_text()]);
        request.signatures = vec![sign(&private.to_text(), &request.id, at, &request.body)];
        prop_assert_eq!(request.verdict(&verifier, at), Ok(()));

        flip_bit(&mut request.body, place);
        prop_assert_eq!(request.verdict(&verifier, at), Err(Refused::SignatureMismatch));
    }

    #[test]
    fn no_header_makes_the_verifier_panic_or_accept(
        id in "\\PC{0,40}",
        timestamp in "(1649367[0-9]{3}|\\PC{0,24})",
        signatures in proptest::collection::vec(
            "([ ,=]|v1a?,|[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==|\\PC){0,8}",
            0..4,
        ),
        body in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let public = PrivateKey::from_random([5; 32]).public_key().to_text();
        let request = Request { id, timestamp, signatures, body };

        let verdict = request.verdict(&verifier(&[SECRET, &public]), NOW);

        prop_assert!(verdict.is_err());
    }
}

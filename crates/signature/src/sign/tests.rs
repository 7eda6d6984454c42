//! Signatures compared with those of other implementations, and the shape of the header.

use super::*;

const ID: &str = "msg_01jd0000000000000000000000";
const AT: Timestamp = Timestamp::from_unix_seconds(1_732_000_000);
const BODY: &[u8] = br#"{"type":"content.published"}"#;

/// A secret of the bytes 0, 1, 2 … and the signature over `BODY` that other software makes.
const OF_24_BYTES: [&str; 2] = [
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
    "v1,QiuZ3V/6bMQ1QmyBsTarFPjzxMfdXraTg/qe3/2FXwk=",
];
const OF_32_BYTES: [&str; 2] = [
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "v1,b/rTmAUmMtCGmzu3T7P0BCkHnjEev2kHKV5f3B3qziQ=",
];
const OF_64_BYTES: [&str; 2] = [
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4\
     OTo7PD0+Pw==",
    "v1,FCdlaUBVpxltaiSEifmoIwVnm/dIytdl/QMHAX0bzG8=",
];
/// The seed of RFC 8032's first vector.
const ED25519: [&str; 2] = [
    "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
    "v1a,LbbEQEHbVn+v+bVSkoTryKGlTJgWxWD4QJOb37C/ePIXbbPUHrc56IVid0LsIqa0p2PbZWWxx30xi3MqXVoD\
     Dg==",
];

fn key(text: &str) -> SigningKey {
    SigningKey::parse(text).unwrap()
}

fn sign(key: &SigningKey, id: &str, at: Timestamp, body: &[u8]) -> String {
    let mut out = String::new();
    key.sign(id, at, body, &mut out);
    out
}

#[test]
fn the_vector_of_the_standards_own_libraries_holds() {
    let signature = sign(
        &key("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        Timestamp::from_unix_seconds(1_649_367_553),
        br#"{"email":"test@example.com","username":"test_user"}"#,
    );

    assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
}

#[test]
fn keys_of_every_kind_and_length_sign_as_other_software_does() {
    for [text, expected] in [OF_24_BYTES, OF_32_BYTES, OF_64_BYTES, ED25519] {
        assert_eq!(sign(&key(text), ID, AT, BODY), expected);
    }
}

#[test]
fn empty_and_binary_bodies_sign_as_other_software_does() {
    let key = key(OF_24_BYTES[0]);

    assert_eq!(
        sign(&key, ID, AT, b""),
        "v1,VdBuO1h6o64aqDPrzjEEFWHMgmb7Jhk4TWVfFI4nym8="
    );
    assert_eq!(
        sign(&key, ID, AT, b"\xff\x00\xfe"),
        "v1,pmt58e1AX+wkpTTcC/+ER3r5uTwAl2c0IydFvIMVCP4="
    );
}

#[test]
fn the_whole_second_is_signed_whatever_follows_it() {
    let key = key(OF_24_BYTES[0]);
    let late = Timestamp::from_micros(AT.as_micros() + 999_999);

    assert_eq!(sign(&key, ID, late, BODY), OF_24_BYTES[1]);
}

#[test]
fn a_header_has_one_signature_for_each_key_the_current_one_first() {
    let signer = Signer::new(key(OF_32_BYTES[0]), [key(OF_24_BYTES[0]), key(ED25519[0])]);
    let mut out = String::new();

    signer.sign(ID, AT, BODY, &mut out);

    let expected = [OF_32_BYTES[1], OF_24_BYTES[1], ED25519[1]].join(" ");
    assert_eq!(out, expected);
    assert_eq!(signer.header_len(), expected.len());
}

#[test]
fn a_lone_key_makes_a_header_without_spaces() {
    let signer = Signer::new(key(OF_32_BYTES[0]), []);
    let mut out = String::new();

    signer.sign(ID, AT, BODY, &mut out);

    assert_eq!(out, OF_32_BYTES[1]);
    assert_eq!(signer.header_len(), out.len());
}

#[test]
fn a_header_is_appended_without_growing_a_buffer_of_its_length() {
    let signer = Signer::new(key(OF_32_BYTES[0]), [key(OF_24_BYTES[0])]);
    let mut out = String::with_capacity(signer.header_len());
    let (room, address) = (out.capacity(), out.as_ptr());

    signer.sign(ID, AT, BODY, &mut out);

    assert_eq!((out.capacity(), out.as_ptr()), (room, address));
}

#[test]
#[should_panic(expected = "check_webhook_id")]
fn an_id_with_a_full_stop_is_never_signed() {
    sign(&key(OF_24_BYTES[0]), "A.1700000000.evil", AT, BODY);
}

#[test]
fn debug_shows_no_key() {
    let signer = Signer::new(key(OF_24_BYTES[0]), [key(ED25519[0])]);

    assert_eq!(
        format!("{signer:?}"),
        "Signer { keys: [***, ***], header_len: 140 }"
    );
}

#[test]
fn seconds_are_written_in_decimal_at_the_ends_too() {
    for micros in [i64::MIN, -1, 0, 999_999, 1_000_000, i64::MAX] {
        let at = Timestamp::from_micros(micros);

        assert_eq!(
            Seconds::new(at).as_str(),
            at.as_unix_seconds().to_string(),
            "{micros}"
        );
    }
}

#[test]
fn a_public_key_cannot_sign() {
    let public = PrivateKey::from_random([1; 32]).public_key().to_text();

    assert_eq!(
        SigningKey::parse(&public).err(),
        Some(InvalidKey::OtherKind { expected: "whsec_" })
    );
}

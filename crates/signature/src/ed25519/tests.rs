//! The vectors of RFC 8032, section 7.1, and the keys and signatures that must not pass.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

/// Seed, public key, content and signature of the first three vectors of RFC 8032.
const RFC_8032: [[&str; 4]; 3] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555\
         fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da0\
         85ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac1\
         8ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
];

fn hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    let digits = |at: usize| &text[at..at + 2];
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits(at), 16).unwrap())
        .collect()
}

fn whsk(bytes: &[u8]) -> String {
    to_text(PrivateKey::PREFIX, bytes).to_string()
}

fn whpk(bytes: &[u8]) -> String {
    to_text(PublicKey::PREFIX, bytes).to_string()
}

fn signature(text: &str) -> [u8; SIGNATURE_LEN] {
    hex(text).try_into().unwrap()
}

#[test]
fn the_vectors_of_rfc_8032_hold() {
    for [seed, public, content, expected] in RFC_8032 {
        let key = PrivateKey::parse(&whsk(&hex(seed))).unwrap();

        assert_eq!(key.public_key().to_text(), whpk(&hex(public)));
        assert_eq!(key.sign(&hex(content)), signature(expected));
        assert!(
            key.public_key()
                .accepts(&hex(content), &signature(expected))
        );
    }
}

#[test]
fn a_private_key_reads_as_seed_or_as_both_halves_and_is_written_as_both() {
    let [seed, public, ..] = RFC_8032[0];
    let halves = whsk(&[hex(seed), hex(public)].concat());

    let from_seed = PrivateKey::parse(&whsk(&hex(seed))).unwrap();
    let from_both = PrivateKey::parse(&halves).unwrap();

    assert_eq!(from_seed, from_both);
    assert_eq!(from_seed.to_text().as_str(), halves);
    assert_eq!(
        halves,
        "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wd\
         RGg=="
    );
}

#[test]
fn halves_of_two_keys_are_refused() {
    let mixed = whsk(&[hex(RFC_8032[0][0]), hex(RFC_8032[1][1])].concat());

    assert_eq!(PrivateKey::parse(&mixed), Err(InvalidKey::HalvesDiffer));
}

#[test]
fn keys_of_other_lengths_and_kinds_are_refused() {
    for len in (0..=64).filter(|len| ![32, 64].contains(len)) {
        let error = InvalidKey::Ed25519Length { bytes: len };
        assert_eq!(PrivateKey::parse(&whsk(&vec![7; len])), Err(error));
        assert_eq!(PublicKey::parse(&whpk(&vec![7; len])), Err(error));
    }
    let public = whpk(&hex(RFC_8032[0][1]));

    assert_eq!(
        PrivateKey::parse(&public),
        Err(InvalidKey::OtherKind { expected: "whsk_" })
    );
    assert_eq!(
        PublicKey::parse(public.trim_start_matches("whpk_")),
        Err(InvalidKey::OtherKind { expected: "whpk_" })
    );
    assert_eq!(
        PublicKey::parse(public.trim_end_matches('=')),
        Err(InvalidKey::NotBase64)
    );
}

#[test]
fn debug_shows_the_public_key_only() {
    let key = PrivateKey::from_random([9; 32]);

    assert_eq!(format!("{key:?}"), "***");
    assert_eq!(
        format!("{:?}", key.public_key()),
        key.public_key().to_text()
    );
}

/// Shows for each key of the list that the danger is real: with it, the primitive accepts a
/// signature that was written down without a private key. Then that none of them can be parsed.
#[test]
fn keys_for_which_anybody_can_sign_are_refused() {
    // R is the neutral element and S is 0: it holds whenever the hash is a multiple of the order.
    let mut forgery = [0; SIGNATURE_LEN];
    forgery[0] = 1;
    for y in SMALL_ORDER_Y {
        for sign in [0, 0x80] {
            let mut bytes: Vec<u8> = y.iter().flat_map(|limb| limb.to_le_bytes()).collect();
            bytes[31] |= sign;
            let key = PublicKey(bytes.clone().try_into().unwrap());
            let fooled = (0..=u8::MAX).any(|content| key.accepts(&[content], &forgery));
            // With x = 0 there is no second sign: the library decodes it to the same point or none.
            let x_is_zero = y == SMALL_ORDER_Y[0] || y == SMALL_ORDER_Y[1];
            assert!(fooled || (x_is_zero && sign != 0), "{y:x?} is of no danger");

            assert_eq!(
                PublicKey::parse(&whpk(&bytes)),
                Err(InvalidKey::WeakPublicKey)
            );
        }
    }
}

#[test]
fn a_key_that_is_not_reduced_is_refused() {
    for above in 0..=18u64 {
        for sign in [0, 1 << 63] {
            let limbs = [FIELD[0] + above, FIELD[1], FIELD[2], FIELD[3] | sign];
            let bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();

            assert_eq!(
                PublicKey::parse(&whpk(&bytes)),
                Err(InvalidKey::WeakPublicKey)
            );
        }
    }
}

#[test]
fn a_signature_has_one_spelling() {
    // The order of the group, 2^252 + 27742317777372353535851937790883648493, lowest byte first.
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let key = PrivateKey::from_random([3; 32]);
    let good = key.sign(b"content");
    let mut shifted = good;
    let mut carry = 0;
    for (byte, add) in shifted[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }

    assert!(key.public_key().accepts(b"content", &good));
    assert!(!key.public_key().accepts(b"content", &shifted));
}

proptest! {
    #[test]
    fn every_private_key_reads_back_and_its_signatures_hold(
        seed: [u8; 32],
        content in proptest::collection::vec(any::<u8>(), 0..200),
        bit in 0..SIGNATURE_LEN * 8,
    ) {
        let key = PrivateKey::from_random(seed);
        let public = PublicKey::parse(&key.public_key().to_text()).unwrap();
        let signature = key.sign(&content);
        let mut changed = signature;
        changed[bit / 8] ^= 1 << (bit % 8);

        prop_assert_eq!(PrivateKey::parse(&key.to_text()), Ok(key));
        prop_assert!(public.accepts(&content, &signature));
        prop_assert!(!public.accepts(&content, &changed));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "wh(sk|pk)_[A-Za-z0-9+/]{0,90}={0,3}") {
        let _ = PrivateKey::parse(&text);
        let _ = PublicKey::parse(&text);
    }

    #[test]
    fn no_bytes_make_verification_panic(key: [u8; 32], bytes: [u8; 64]) {
        if let Ok(key) = PublicKey::parse(&format!("whpk_{}", STANDARD.encode(key))) {
            prop_assert!(!key.accepts(b"content", &bytes));
        }
    }
}

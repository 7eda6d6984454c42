//! What opens, what does not and why, and that nothing shows.

use proptest::prelude::*;

use super::*;

const NONCE: [u8; NONCE_LEN] = [100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111];
const OWNER: EndpointId = EndpointId::from_bits(0x0193_4f00_1122_7334_8556_7788_99aa_bbcc);
const SECRET: Binding = Binding::endpoint_secret(OWNER);
const HEADERS: Binding = Binding::endpoint_headers(OWNER);
const PLAINTEXT: &[u8] = b"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn key(seed: u8) -> MasterKey {
    MasterKey::from_random([seed; 32])
}

fn vault(seed: u8) -> Vault {
    Vault::new(key(seed), vec![])
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().as_chunks::<2>().0.iter();
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Made with other software. If this test fails, nothing that is stored can be read any more.
#[test]
fn the_format_is_what_it_always_was() {
    let text = "phk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let vault = Vault::new(MasterKey::parse(text).unwrap(), vec![]);
    let head = "01630dcd2966c433666465666768696a6b6c6d6e6f";
    let secret = "bb13e66d0e033829ffdc10a84b32789af3fff160fa18e67a51a9a8ca00d884428c0ca6de40bdcaa2\
                  d66487ede32a621e104b29a34579";
    let headers = "ef68ce3008a707a054b52183d1f49d3a83add2d10da94c84aea35778d2b1576cde9eaf5e05ac90\
                   90008f6a5818c311111624381f62cb";

    for (binding, expected) in [(SECRET, secret), (HEADERS, headers)] {
        let sealed = vault.seal(PLAINTEXT, &binding, NONCE);
        assert_eq!(sealed, unhex(&format!("{head}{expected}")));
    }
}

#[test]
fn what_moved_to_another_row_does_not_open() {
    let vault = vault(1);
    let sealed = vault.seal(PLAINTEXT, &SECRET, NONCE);

    assert_eq!(vault.open(&sealed, &SECRET).unwrap().as_slice(), PLAINTEXT);
    for bit in 0..128 {
        let other = EndpointId::from_bits(OWNER.bits() ^ (1 << bit));
        let opened = vault.open(&sealed, &Binding::endpoint_secret(other));
        assert_eq!(opened, Err(OpenError::Damaged), "bit {bit}");
    }
}

#[test]
fn what_moved_to_another_purpose_does_not_open() {
    let vault = vault(1);
    let secret = vault.seal(PLAINTEXT, &SECRET, NONCE);
    let headers = vault.seal(PLAINTEXT, &HEADERS, NONCE);

    assert_eq!(vault.open(&secret, &HEADERS), Err(OpenError::Damaged));
    assert_eq!(vault.open(&headers, &SECRET), Err(OpenError::Damaged));
    assert_eq!(
        vault.open(&headers, &HEADERS).unwrap().as_slice(),
        PLAINTEXT
    );
}

#[test]
fn an_earlier_key_still_opens_and_the_current_one_seals() {
    let before = vault(1).seal(PLAINTEXT, &SECRET, NONCE);
    let rotated = Vault::new(key(3), vec![key(2), key(1)]);
    let after = rotated.seal(PLAINTEXT, &SECRET, NONCE);

    assert_eq!(
        rotated.open(&before, &SECRET).unwrap().as_slice(),
        PLAINTEXT
    );
    assert_eq!(
        vault(3).open(&after, &SECRET).unwrap().as_slice(),
        PLAINTEXT
    );
    assert!(rotated.needs_resealing(&before));
    assert!(!rotated.needs_resealing(&after));
    assert!(rotated.needs_resealing(b""));
}

#[test]
fn a_portal_token_depends_on_its_id_and_the_current_key_alone() {
    let token = vault(1).portal_token(7);

    assert_eq!(Vault::new(key(1), vec![key(2)]).portal_token(7), token);
    assert_ne!(vault(1).portal_token(8), token);
    assert_ne!(vault(2).portal_token(7), token);
}

#[test]
fn a_missing_key_is_named() {
    let sealed = vault(1).seal(PLAINTEXT, &SECRET, NONCE);

    let error = vault(2).open(&sealed, &SECRET).unwrap_err();

    assert_eq!(error, OpenError::UnknownKey { id: key(1).id() });
    assert!(error.to_string().contains(&key(1).id().to_string()));
}

/// Two keys could share an id only by a chance of 1 in 2^64; it must not open with the wrong one.
#[test]
fn bytes_that_name_another_known_key_do_not_open() {
    let vault = Vault::new(key(1), vec![key(2)]);
    let mut sealed = vault.seal(PLAINTEXT, &SECRET, NONCE);
    sealed[1..=KeyId::LEN].copy_from_slice(&key(2).id().to_bytes());

    assert_eq!(vault.open(&sealed, &SECRET), Err(OpenError::Damaged));
}

#[test]
fn what_is_too_short_or_of_another_version_is_malformed() {
    let vault = vault(1);
    let mut sealed = vault.seal(b"", &SECRET, NONCE);
    assert_eq!(vault.open(&sealed, &SECRET).unwrap().as_slice(), b"");

    for len in 0..sealed.len() {
        let opened = vault.open(&sealed[..len], &SECRET);
        assert_eq!(opened, Err(OpenError::Malformed), "{len} bytes");
    }
    for version in [0, 2, 0xff] {
        sealed[0] = version;
        assert_eq!(vault.open(&sealed, &SECRET), Err(OpenError::Malformed));
    }
}

#[test]
fn debug_names_the_keys_and_shows_none() {
    let vault = Vault::new(key(1), vec![key(2)]);

    assert_eq!(
        format!("{vault:?}"),
        format!(
            "Vault {{ current: {}, earlier: [{}], .. }}",
            key(1).id(),
            key(2).id()
        )
    );
}

proptest! {
    #[test]
    fn everything_sealed_opens_again_and_shows_nothing(
        master: [u8; 32],
        nonce: [u8; NONCE_LEN],
        owner: u128,
        plaintext in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let vault = Vault::new(MasterKey::from_random(master), vec![]);
        let binding = Binding { purpose: Purpose::EndpointHeaders, owner };

        let sealed = vault.seal(&plaintext, &binding, nonce);

        let opened = vault.open(&sealed, &binding).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
        prop_assert_eq!(sealed.len(), HEAD_LEN + plaintext.len() + TAG_LEN);
        // By chance alone, eight bytes in a row meet once in 2^45 runs.
        let visible = plaintext
            .windows(8)
            .any(|part| sealed.windows(8).any(|window| window == part));
        prop_assert!(!visible);
        prop_assert!(!sealed.windows(8).any(|window| master.windows(8).any(|part| part == window)));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed(
        plaintext in proptest::collection::vec(any::<u8>(), 0..40),
        bit in 0u8..8,
    ) {
        let vault = vault(1);
        let sealed = vault.seal(&plaintext, &SECRET, NONCE);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            let error = vault.open(&changed, &SECRET).unwrap_err();
            match at {
                0 => prop_assert_eq!(error, OpenError::Malformed),
                1..=KeyId::LEN => {
                    let unknown = matches!(error, OpenError::UnknownKey { .. });
                    prop_assert!(unknown, "{}", error);
                }
                _ => prop_assert_eq!(error, OpenError::Damaged),
            }
        }
    }

    #[test]
    fn no_bytes_make_opening_panic_or_succeed(
        known_key: bool,
        mut bytes in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let vault = vault(1);
        if known_key && bytes.len() > KeyId::LEN {
            bytes[0] = VERSION;
            bytes[1..=KeyId::LEN].copy_from_slice(&key(1).id().to_bytes());
        }

        prop_assert!(vault.open(&bytes, &SECRET).is_err());
    }

    #[test]
    fn the_nonce_changes_every_byte_that_follows(other in 1u8..) {
        let vault = vault(1);
        let mut nonce = NONCE;
        nonce[11] ^= other;
        let first = vault.seal(PLAINTEXT, &SECRET, NONCE);
        let second = vault.seal(PLAINTEXT, &SECRET, nonce);

        prop_assert_ne!(&first[HEAD_LEN..][..16], &second[HEAD_LEN..][..16]);
    }
}

//! Private keys as people have them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signature::scheme::{InvalidSecret, Scheme, SchemeSigningKey};

use super::CannotMake;

/// Reads the key that signs: the secret itself, or of a scheme with a public key its private half,
/// as PKCS #8 in PEM or base64, as `whsk_…`, or as the 32 bytes of an Ed25519 seed in hex.
pub(super) fn signing(scheme: &Scheme, secret: &str) -> Result<SchemeSigningKey, CannotMake> {
    if scheme.certificate().is_some() {
        return Err(CannotMake::Certificate);
    }
    if !scheme.algorithm().is_public_key() {
        return Ok(SchemeSigningKey::shared(scheme, secret)?);
    }
    let der = private(secret).ok_or(InvalidSecret::NotPrivateKey)?;
    Ok(SchemeSigningKey::private(scheme, &der, "")?)
}

fn private(text: &str) -> Option<Vec<u8>> {
    const SEED_LEN: usize = 32;

    let text = text.trim();
    if let Some(hex) = hex(text).filter(|bytes| bytes.len() == SEED_LEN) {
        return Some(hex);
    }
    if let Some(key) = text.strip_prefix("whsk_") {
        // The seed comes first; the public half may follow.
        let key = STANDARD.decode(key).ok()?;
        return key.get(..SEED_LEN).map(<[u8]>::to_vec);
    }
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let base64: String = lines.flat_map(str::split_ascii_whitespace).collect();
    STANDARD.decode(base64).ok()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

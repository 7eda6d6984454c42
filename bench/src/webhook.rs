//! What a provider sends, signed as Standard Webhooks says.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, HeaderValue};

use crate::time::now_nanos;

/// Signs for one source.
#[derive(Clone, Debug)]
pub struct Signer(hmac::Key);

impl Signer {
    /// Makes a signer with the bytes of a secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Makes the headers of the webhook `id` with this body, sent now.
    pub fn headers(&self, id: &str, body: &[u8]) -> [(HeaderName, HeaderValue); 3] {
        let timestamp = (now_nanos() / 1_000_000_000).to_string();
        let mut context = hmac::Context::with_key(&self.0);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        let signature = format!("v1,{}", STANDARD.encode(context.sign()));
        let value = |text: &str| HeaderValue::from_str(text).expect("digits, letters and signs");
        [
            (HeaderName::from_static("webhook-id"), value(id)),
            (
                HeaderName::from_static("webhook-timestamp"),
                value(&timestamp),
            ),
            (
                HeaderName::from_static("webhook-signature"),
                value(&signature),
            ),
        ]
    }
}

/// Returns a secret in the form that the API takes.
pub fn secret_text(secret: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

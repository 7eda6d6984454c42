//! Questions that providers ask before they send anything: which ones, and what is computed.
//!
//! An answer that is made with the secret is given only where the question cannot be the content of
//! a request: otherwise whoever asks would have any body signed.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::encoding::encode_hex;

/// How a provider makes sure that a URL is ours, or tells its secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handshake {
    /// POST with `type: url_verification`: the body's `challenge` is sent back.
    UrlVerification,
    /// POST with `event: endpoint.url_validation`: see [`zoom_response`].
    UrlValidation,
    /// GET with `hub.mode`, `hub.challenge` and perhaps `hub.verify_token`: the challenge is sent
    /// back.
    HubChallenge,
    /// GET with `crc_token`: see [`crc_response`].
    CrcToken,
    /// POST with `type: 1`, answered with the same, or `type: 0`, answered with 204.
    DiscordPing,
    /// POST with `Type: SubscriptionConfirmation`: its `SubscribeURL` is fetched.
    SnsSubscription,
    /// POST whose message type is `webhook_callback_verification`: its `challenge` is sent back.
    TwitchVerification,
    /// POST with a `verification_token`, which becomes the secret.
    VerificationToken,
    /// POST with a header `X-Hook-Secret`, which is sent back and becomes the secret.
    HookSecret,
    /// GET with a parameter of this name, which is sent back as text.
    Echo(String),
    /// POST with a parameter of this name in the URL, which is sent back as text.
    EchoPosted(String),
    /// GET with a header of this name, which is sent back as `{"verification": …}`.
    VerificationHeader(String),
    /// Any request with `X-AdobeSign-ClientId`, which must be the secret and is sent back.
    ClientId,
    /// POST of a form that has this field and no other: 200.
    FormPing(String),
    /// OPTIONS with `WebHook-Request-Origin`, after the CloudEvents specification of web hooks.
    CloudEvents,
    /// HEAD or GET without anything: 200.
    Probe,
}

impl Handshake {
    /// Says in one sentence what is asked and answered.
    pub fn title(&self) -> String {
        let text = match self {
            Self::UrlVerification => "POST with `type: url_verification`: `challenge` is sent back",
            Self::UrlValidation => {
                "POST with `event: endpoint.url_validation`: the token is sent back with its HMAC"
            }
            Self::HubChallenge => "GET with `hub.challenge`, which is sent back",
            Self::CrcToken => "GET with `crc_token`: its HMAC is sent back",
            Self::DiscordPing => "POST with `type: 1` or `type: 0`: answered in kind",
            Self::SnsSubscription => "POST of a `SubscriptionConfirmation`: its URL is fetched",
            Self::TwitchVerification => {
                "POST of a `webhook_callback_verification`: `challenge` is sent back"
            }
            Self::VerificationToken => "POST with a `verification_token`, which is the secret",
            Self::HookSecret => "POST with `X-Hook-Secret`, which is sent back and is the secret",
            Self::Echo(name) => return format!("GET with `{name}`, which is sent back"),
            Self::EchoPosted(name) => {
                return format!("POST with `{name}` in the URL, which is sent back");
            }
            Self::VerificationHeader(name) => {
                return format!("GET with the header `{name}`, which is sent back");
            }
            Self::FormPing(name) => {
                return format!("POST of a form with nothing but `{name}`: 200");
            }
            Self::ClientId => "GET with `X-AdobeSign-ClientId`, which is sent back",
            Self::CloudEvents => "OPTIONS with `WebHook-Request-Origin`: permission is given",
            Self::Probe => "HEAD or GET without a body: 200",
        };
        text.to_owned()
    }
}

/// The longest text that an answer is computed from.
const CHALLENGE_LEN_MAX: usize = 128;

/// Says whether an answer may be computed from a text: `^[A-Za-z0-9_-]{1,128}$`.
///
/// Every content that a provider signs has a character that is not among these.
pub(super) fn is_safe(challenge: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=CHALLENGE_LEN_MAX).contains(&challenge.len()) && challenge.bytes().all(plain)
}

fn hmac(secret: &[u8], challenge: &str) -> Option<hmac::Tag> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let answered = !secret.is_empty() && is_safe(challenge);
    answered.then(|| hmac::sign(&key, challenge.as_bytes()))
}

/// The `response_token` to X's `crc_token`; `None` where it must not be answered.
pub fn crc_response(secret: &str, crc_token: &str) -> Option<String> {
    crc(secret.as_bytes(), crc_token)
}

pub(super) fn crc(secret: &[u8], crc_token: &str) -> Option<String> {
    let tag = hmac(secret, crc_token)?;
    Some(format!("sha256={}", STANDARD.encode(tag)))
}

/// The `encryptedToken` to Zoom's `plainToken`; `None` where it must not be answered.
pub fn zoom_response(secret: &str, plain_token: &str) -> Option<String> {
    zoom(secret.as_bytes(), plain_token)
}

pub(super) fn zoom(secret: &[u8], plain_token: &str) -> Option<String> {
    hmac(secret, plain_token).map(|tag| encode_hex(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_crc_token_gets_its_well_known_response() {
        assert_eq!(
            crc_response("Convoy", "uzwcfYtzr9").as_deref(),
            Some("sha256=HXvxTdsfShG6k2zC9NVANwFquJBdOugRYHax2vNiiOo=")
        );
    }

    #[test]
    fn nothing_that_could_be_a_request_is_signed() {
        let long = "a".repeat(129);
        for challenge in ["", "v0:1:{}", "{}", "a.b", "a b", "a\n", "é", long.as_str()] {
            assert_eq!(crc_response("secret", challenge), None, "{challenge:?}");
            assert_eq!(zoom_response("secret", challenge), None, "{challenge:?}");
        }
        assert_eq!(zoom_response("", "token"), None);
        assert!(zoom_response("secret", "qgg8vlvZRS6UYooatFL8Aw").is_some());
    }
}

//! Answers what providers ask before they send anything, or tell once.
//!
//! [`Greeting::answer`] looks at a request before it is verified as a webhook: most of these
//! questions are not signed. So an answer gives away nothing that the asker does not have:
//! - What is sent back as it came is plain text of at most [`ECHO_LEN_MAX`] bytes, and says that it
//!   is not to be taken for anything else.
//! - What is answered with an HMAC of the secret must match `^[A-Za-z0-9_-]{1,128}$`, which no
//!   content of a request does; otherwise anybody could have any request signed here.
//! - Where the provider signs its question, an unsigned one is refused.
//! - A secret is taken from a request only while the operator waits for one, and never replaces
//!   another.
//!
//! What it does not do: it opens no connection. A subscription that has to be confirmed by fetching
//! a URL is [`Asked::Confirm`], and only after its signature held.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use domain::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Scheme;
use super::challenge::{self, Handshake};
use super::key::Key;
use super::refused::Refused;
use super::request::Request;
use super::verify::{Needs, Verdict};

mod confirm;

/// The most bytes of a text that is sent back as it came.
pub const ECHO_LEN_MAX: usize = 256;
/// The longest body in which a question is looked for. The longest known, a subscription of Amazon
/// SNS, has two kilobytes.
pub const QUESTION_LEN_MAX: usize = 8 << 10;

/// What is known of a source when a request comes in that may be a question.
#[derive(Clone, Copy, Debug)]
pub struct Greeting<'a> {
    /// The questions that the source's provider asks.
    pub handshakes: &'a [Handshake],
    /// How the provider signs.
    pub scheme: &'a Scheme,
    /// The source's live keys, the current one first.
    pub keys: &'a [Key],
    /// The SHA-256 of what a subscriber of Meta's kind must know; `None` where none is set.
    pub verify_token: Option<&'a [u8; 32]>,
    /// Whether the operator waits for the provider to tell its secret.
    pub awaiting: bool,
    /// The query of this request, without its question mark.
    pub query: &'a str,
    /// How many requests a minute a CloudEvents sender may be granted; `None` for no limit.
    pub rate_max: Option<u32>,
    /// When the request came in.
    pub now: Timestamp,
}

/// What a request asks, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: it is to be verified as a webhook.
    Nothing,
    /// A question that this answers.
    Answer(Answer),
    /// A subscription that is confirmed by a GET of `url`, which has been checked to be the
    /// provider's; then `answer` goes out.
    Confirm {
        /// What to fetch.
        url: String,
        /// What to answer once it has been fetched.
        answer: Answer,
    },
    /// The provider's secret, which is to be stored; then `answer` goes out.
    Secret {
        /// The secret, which has been checked to be one of the scheme.
        secret: Planted,
        /// What to answer once it has been stored.
        answer: Answer,
    },
    /// The question is signed with a certificate that has to be fetched first.
    Needs(Needs),
    /// A question that must not be answered.
    Refused(HandshakeRefused),
}

/// A secret that a provider has told. Wiped from memory when dropped, never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Planted(Zeroizing<String>);

impl Planted {
    /// Returns the secret, for storing it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An answer, as the provider wants it. `Debug` shows its status only: Asana's holds its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, which is part of what the provider checks.
    pub status: u16,
    /// Its headers. Every one that has a body says that it is not to be sniffed.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeRefused {
    /// The text to send back is missing, too long, or not of the characters that it may have.
    #[error(
        "the challenge is not one that may be answered: {0} is missing, too long, or has \
         characters that no provider sends"
    )]
    Challenge(&'static str),
    /// The provider signs this question, and this one is not signed by it.
    #[error("the handshake is not signed by the provider: {0}")]
    Unsigned(Refused),
    /// The verify token is another than the source's.
    #[error("the verify token is not the one of the source")]
    VerifyToken,
    /// There is no verify token to compare with.
    #[error("the source has no verify token to compare with; set it to the provider's")]
    NoVerifyToken,
    /// Nobody waits for a secret, or there is one.
    #[error(
        "brings a secret while the source does not wait for one; put the source into the state \
         `awaiting_handshake` and have the provider send it again"
    )]
    NotAwaited,
    /// The secret is none of the scheme.
    #[error("brings a secret that the scheme cannot use")]
    Secret,
    /// The URL to confirm at is not the provider's.
    #[error("the URL to confirm the subscription at is not the provider's")]
    ConfirmUrl,
    /// There is no key to answer with.
    #[error("the source has no secret to answer with")]
    NoKey,
}

impl HandshakeRefused {
    /// The status that tells the asker so.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Challenge(_) | Self::Secret => 400,
            Self::Unsigned(_) | Self::NoKey => 401,
            Self::VerifyToken | Self::NoVerifyToken | Self::NotAwaited | Self::ConfirmUrl => 403,
        }
    }
}

type Result<T> = std::result::Result<T, HandshakeRefused>;

impl Greeting<'_> {
    /// Says what a request asks.
    pub fn answer(&self, request: &Request<'_>) -> Asked {
        for handshake in self.handshakes {
            let asked = match request.method {
                "POST" => self.posted(handshake, request),
                "GET" | "HEAD" => self.got(handshake, request),
                "OPTIONS" => self.permitted(handshake, request),
                _ => Ok(None),
            };
            match asked {
                Ok(None) => {}
                Ok(Some(asked)) => return asked,
                Err(refused) => return Asked::Refused(refused),
            }
        }
        Asked::Nothing
    }

    fn posted(&self, handshake: &Handshake, request: &Request<'_>) -> Result<Option<Asked>> {
        match handshake {
            Handshake::HookSecret => self.hook_secret(request),
            Handshake::EchoPosted(name) => self.echo(name),
            Handshake::FormPing(name) => Ok(form_ping(name, request)),
            Handshake::TwitchVerification => self.twitch(request),
            Handshake::UrlVerification => {
                let Some(body) = question(request, "type", "url_verification") else {
                    return Ok(None);
                };
                let challenge = echoed(body["challenge"].as_str(), "`challenge`")?;
                Ok(Some(Asked::Answer(Answer::text(challenge))))
            }
            Handshake::UrlValidation => self.zoom(request),
            Handshake::DiscordPing => self.discord(request),
            Handshake::SnsSubscription => self.confirm(request),
            Handshake::VerificationToken => self.verification_token(request),
            Handshake::HubChallenge
            | Handshake::CrcToken
            | Handshake::Echo(_)
            | Handshake::VerificationHeader(_)
            | Handshake::ClientId
            | Handshake::CloudEvents
            | Handshake::Probe => Ok(None),
        }
    }

    fn got(&self, handshake: &Handshake, request: &Request<'_>) -> Result<Option<Asked>> {
        match handshake {
            Handshake::HubChallenge => self.hub(),
            Handshake::CrcToken => self.crc(),
            Handshake::Echo(name) => self.echo(name),
            Handshake::VerificationHeader(name) => {
                let Some(value) = header(name, request)? else {
                    return Ok(None);
                };
                let value = echoed(Some(value), "the header")?;
                let body = json!({"verification": value});
                Ok(Some(Asked::Answer(Answer::json(&body))))
            }
            Handshake::ClientId => self.client_id(request),
            Handshake::Probe => Ok(Some(Asked::Answer(Answer::empty(200)))),
            _ => Ok(None),
        }
    }

    /// The answer is made with the secret that requests are signed with, so the asker must have
    /// signed the question with it.
    fn zoom(&self, request: &Request<'_>) -> Result<Option<Asked>> {
        let Some(body) = question(request, "event", "endpoint.url_validation") else {
            return Ok(None);
        };
        let token = body["payload"]["plainToken"].as_str();
        let token = token.filter(|token| challenge::is_safe(token));
        let token = token.ok_or(HandshakeRefused::Challenge("`payload.plainToken`"))?;
        let key = self.signed(request)?;
        let encrypted = challenge::zoom(&self.keys[key].bytes, token);
        let encrypted = encrypted.ok_or(HandshakeRefused::NoKey)?;
        let body = json!({"plainToken": token, "encryptedToken": encrypted});
        Ok(Some(Asked::Answer(Answer::json(&body))))
    }

    fn crc(&self) -> Result<Option<Asked>> {
        let Some(token) = self.parameter("crc_token") else {
            return Ok(None);
        };
        let token = token.ok().filter(|token| challenge::is_safe(token));
        let token = token.ok_or(HandshakeRefused::Challenge("`crc_token`"))?;
        let key = self.keys.first().ok_or(HandshakeRefused::NoKey)?;
        let response = challenge::crc(&key.bytes, &token).ok_or(HandshakeRefused::NoKey)?;
        let body = json!({"response_token": response});
        Ok(Some(Asked::Answer(Answer::json(&body))))
    }

    /// Meta and WebSub. Only a subscription is agreed to: whoever asks a hub to end one must be
    /// the operator, and then nobody has to be asked.
    fn hub(&self) -> Result<Option<Asked>> {
        let Some(challenge) = self.parameter("hub.challenge") else {
            return Ok(None);
        };
        let mode = self.parameter("hub.mode").and_then(std::result::Result::ok);
        if mode.as_deref() != Some("subscribe") {
            return Err(HandshakeRefused::Challenge("`hub.mode=subscribe`"));
        }
        let given = match self.parameter("hub.verify_token") {
            Some(given) => Some(given.map_err(|()| HandshakeRefused::VerifyToken)?),
            None => None,
        };
        match (self.verify_token, given) {
            (Some(expected), Some(given)) => {
                let given = digest::digest(&digest::SHA256, given.as_bytes());
                constant_time::verify_slices_are_equal(expected, given.as_ref())
                    .map_err(|_| HandshakeRefused::VerifyToken)?;
            }
            (Some(_), None) => return Err(HandshakeRefused::VerifyToken),
            (None, Some(_)) => return Err(HandshakeRefused::NoVerifyToken),
            // A WebSub hub: there is nothing to compare.
            (None, None) => {}
        }
        let challenge = echoed(challenge.ok().as_deref(), "`hub.challenge`").map(str::to_owned);
        Ok(Some(Asked::Answer(Answer::text(&challenge?))))
    }

    fn echo(&self, name: &str) -> Result<Option<Asked>> {
        let Some(text) = self.parameter(name) else {
            return Ok(None);
        };
        let text = text.ok();
        let text = echoed(text.as_deref(), "the parameter")?;
        Ok(Some(Asked::Answer(Answer::text(text))))
    }

    /// Discord sends pings with bad signatures on purpose, and wants 401 for them.
    fn discord(&self, request: &Request<'_>) -> Result<Option<Asked>> {
        let Some(body) = small_json(request) else {
            return Ok(None);
        };
        let kind = body["type"].as_u64();
        // What is of type 1 and has an event is a webhook; a ping of an interaction has none.
        let answer = match kind {
            Some(0) => Answer::empty(204).with("content-type", "application/json"),
            Some(1) if body.get("event").is_none() => Answer::json(&json!({"type": 1})),
            _ => return Ok(None),
        };
        self.signed(request)?;
        Ok(Some(Asked::Answer(answer)))
    }

    fn twitch(&self, request: &Request<'_>) -> Result<Option<Asked>> {
        let kind = header("Twitch-Eventsub-Message-Type", request)?;
        if kind != Some("webhook_callback_verification") {
            return Ok(None);
        }
        self.signed(request)?;
        let body = small_json(request).unwrap_or_default();
        let challenge = echoed(body["challenge"].as_str(), "`challenge`")?;
        Ok(Some(Asked::Answer(Answer::text(challenge))))
    }

    /// Asana sends its secret as a header, once.
    fn hook_secret(&self, request: &Request<'_>) -> Result<Option<Asked>> {
        let Some(secret) = header("X-Hook-Secret", request)? else {
            return Ok(None);
        };
        let answer = Answer::empty(200).with("x-hook-secret", secret);
        self.planted(secret, answer)
    }

    /// Notion sends its token in a body that has nothing else.
    fn verification_token(&self, request: &Request<'_>) -> Result<Option<Asked>> {
        let Some(body) = small_json(request) else {
            return Ok(None);
        };
        let members = body.as_object().filter(|members| members.len() == 1);
        let token = members.and_then(|members| members.get("verification_token"));
        match token.map(Value::as_str) {
            None => Ok(None),
            Some(None) => Err(HandshakeRefused::Secret),
            Some(Some(token)) => self.planted(token, Answer::empty(200)),
        }
    }

    fn planted(&self, secret: &str, answer: Answer) -> Result<Option<Asked>> {
        if !self.awaiting || !self.keys.is_empty() {
            return Err(HandshakeRefused::NotAwaited);
        }
        let secret = echoed(Some(secret), "the secret").map_err(|_| HandshakeRefused::Secret)?;
        Key::parse(self.scheme, secret).map_err(|_| HandshakeRefused::Secret)?;
        let secret = Planted(Zeroizing::new(secret.to_owned()));
        Ok(Some(Asked::Secret { secret, answer }))
    }

    fn client_id(&self, request: &Request<'_>) -> Result<Option<Asked>> {
        let Some(id) = header("X-AdobeSign-ClientId", request)? else {
            return Ok(None);
        };
        let known =
            |key: &Key| constant_time::verify_slices_are_equal(id.as_bytes(), &key.bytes).is_ok();
        if !self.keys.iter().any(known) {
            return Err(HandshakeRefused::VerifyToken);
        }
        let id = echoed(Some(id), "the header")?;
        let body = json!({"xAdobeSignClientId": id});
        let answer = Answer::json(&body).with("x-adobesign-clientid", id);
        Ok(Some(Asked::Answer(answer)))
    }

    /// CloudEvents' specification of web hooks: the sender asks whether it may send. The callback
    /// that it may name is never called: whoever asks would choose where we connect to.
    fn permitted(&self, handshake: &Handshake, request: &Request<'_>) -> Result<Option<Asked>> {
        if *handshake != Handshake::CloudEvents {
            return Ok(None);
        }
        let Some(origin) = header("WebHook-Request-Origin", request)? else {
            return Ok(None);
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/".contains(&byte);
        let origin = Some(origin).filter(|origin| origin.bytes().all(is_name));
        let origin = echoed(origin, "`WebHook-Request-Origin`")?;
        let mut answer = Answer::empty(200)
            .with("allow", "POST")
            .with("webhook-allowed-origin", origin);
        if let Some(wanted) = header("WebHook-Request-Rate", request)? {
            let wanted: Option<u32> = wanted.parse().ok().filter(|rate| *rate > 0);
            let rate = match (wanted, self.rate_max) {
                (Some(wanted), Some(most)) => wanted.min(most).to_string(),
                (Some(rate), None) | (None, Some(rate)) => rate.to_string(),
                (None, None) => "*".to_owned(),
            };
            answer = answer.with("webhook-allowed-rate", &rate);
        }
        Ok(Some(Asked::Answer(answer)))
    }

    /// Returns which key has signed a question that the provider signs.
    fn signed(&self, request: &Request<'_>) -> Result<usize> {
        match self.scheme.verify(request, self.keys, self.now) {
            Verdict::Verified(verified) => Ok(verified.key),
            Verdict::Refused(refused) => Err(HandshakeRefused::Unsigned(refused)),
            // None of the providers that ask so has certificates.
            Verdict::Needs(_) => Err(HandshakeRefused::NoKey),
        }
    }

    /// The only value of a parameter of the query; an error where it has several.
    fn parameter(&self, name: &str) -> Option<std::result::Result<String, ()>> {
        let pairs = form_urlencoded::parse(self.query.as_bytes());
        let mut values = pairs.filter(|(found, _)| found == name);
        let (_, value) = values.next()?;
        let value = value.into_owned();
        Some(values.next().map_or(Ok(value), |_| Err(())))
    }
}

impl Answer {
    /// Whose body says what it is, and is not to be taken for anything else.
    fn with_body(kind: &str, body: String) -> Self {
        Self {
            status: 200,
            headers: vec![
                ("content-type", kind.to_owned()),
                ("x-content-type-options", "nosniff".to_owned()),
            ],
            body,
        }
    }

    fn text(body: &str) -> Self {
        Self::with_body("text/plain; charset=utf-8", body.to_owned())
    }

    fn json(body: &Value) -> Self {
        Self::with_body("application/json", body.to_string())
    }

    fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A text that may be sent back: not empty, not too long, and without control characters.
fn echoed<'t>(text: Option<&'t str>, what: &'static str) -> Result<&'t str> {
    let fits = |text: &&str| (1..=ECHO_LEN_MAX).contains(&text.len());
    text.filter(fits)
        .filter(|text| !text.contains(char::is_control))
        .ok_or(HandshakeRefused::Challenge(what))
}

/// The only value of a header.
fn header<'r>(name: &str, request: &Request<'r>) -> Result<Option<&'r str>> {
    let found = request.only(name);
    found.map_err(|_| HandshakeRefused::Challenge("the header"))
}

/// The body as JSON, where it is short enough to be a question.
fn small_json(request: &Request<'_>) -> Option<Value> {
    if request.body.len() > QUESTION_LEN_MAX {
        return None;
    }
    serde_json::from_slice(request.body)
        .ok()
        .filter(Value::is_object)
}

/// The body as JSON, where a member of it says that it is this question.
///
/// The text is looked for before anything is parsed: a forgery is to cost us next to nothing.
fn question(request: &Request<'_>, member: &str, kind: &str) -> Option<Value> {
    let body = request.body;
    let named = body.len() <= QUESTION_LEN_MAX
        && body
            .windows(kind.len())
            .any(|window| window == kind.as_bytes());
    let body = named.then(|| small_json(request))??;
    Some(body).filter(|body| body[member].as_str() == Some(kind))
}

/// A form that has this field and no other; it says nothing that anybody would act on.
fn form_ping(name: &str, request: &Request<'_>) -> Option<Asked> {
    let is_short = request.body.len() <= ECHO_LEN_MAX && request.is_form() == Some(true);
    let mut fields = form_urlencoded::parse(request.body);
    let is_ping = is_short
        && fields.next().is_some_and(|(found, _)| found == name)
        && fields.next().is_none();
    is_ping.then(|| Asked::Answer(Answer::empty(200)))
}

#[cfg(test)]
mod tests;

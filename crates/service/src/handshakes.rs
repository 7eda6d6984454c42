//! Questions that providers ask a source before they send anything.
//!
//! This is the one place where a request is looked at before it is verified. What is answered is
//! kept as a handshake, what must not be answered as rejected; neither becomes a message. What may
//! be answered is decided by [`signature::scheme::Greeting`]; here are the bounds on how often, and
//! what has to be fetched or stored.

use std::sync::Arc;

use signature::scheme::{
    Answer, Asked, Fetched, Greeting, Handshake, HandshakeRefused, Needs, Planted,
};
use store::{SecretChange, SourceChange};

use crate::Service;
use crate::caller::Caller;
use crate::live_sources::LiveSource;
use crate::receive::{Incoming, Received, Refusal};

/// Questions that are answered: so many a second, and so many at once. Providers ask once, or
/// once an hour; whoever asks more often wants to learn something from the answers.
const RATE: u32 = 2;
const BURST: u32 = 30;

/// What a provider's question is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeAnswer {
    /// The status.
    pub status: u16,
    /// Headers beside those that every answer has.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// The body's content type.
    pub content_type: String,
    /// The short name of what was asked.
    pub reason: String,
}

impl Service {
    /// Answers a request that is a question; `None` when it is none.
    pub(crate) async fn handshake(
        &self,
        source: &Arc<LiveSource>,
        incoming: &Incoming,
    ) -> Option<Received> {
        let handshakes = source.handshakes();
        if handshakes.is_empty() {
            return None;
        }
        let (url, headers) = (source.url_of(incoming), incoming.pairs());
        let mut request = incoming.as_request(&url, &headers);
        let greeting = source.greeting(handshakes, incoming);
        let mut asked = greeting.answer(&request);
        if asked == Asked::Nothing {
            return None;
        }
        if let Some(refusal) = self.asks_too_often(source) {
            self.reject(source, incoming, refusal.reason(), None);
            return Some(Received::Refused(refusal));
        }
        let fetched;
        if let Asked::Needs(Needs::Certificate { url }) = &asked {
            let bytes = match self.certificate(url).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    return Some(Received::Refused(self.no_key(source, incoming, &error)));
                }
            };
            fetched = (url.clone(), bytes);
            request.fetched = Some(Fetched {
                url: &fetched.0,
                bytes: &fetched.1,
            });
            asked = greeting.answer(&request);
        }
        Some(self.answered(source, incoming, asked).await)
    }

    async fn answered(
        &self,
        source: &Arc<LiveSource>,
        incoming: &Incoming,
        asked: Asked,
    ) -> Received {
        let (answer, reason) = match asked {
            Asked::Answer(answer) => (answer, "challenge"),
            Asked::Confirm { url, answer } => match self.fetch(&url).await {
                Ok(_) => (answer, "subscription"),
                Err(error) => {
                    return Received::Refused(self.no_key(source, incoming, &error));
                }
            },
            Asked::Secret { secret, answer } => {
                if !self.planted(source, &secret).await {
                    return self.refused(source, incoming, &HandshakeRefused::NotAwaited);
                }
                (answer, "secret")
            }
            Asked::Refused(refused) => return self.refused(source, incoming, &refused),
            Asked::Nothing | Asked::Needs(_) => return self.unavailable(source, incoming),
        };
        let answer = HandshakeAnswer::new(answer, reason);
        self.note_handshake(source, incoming, &answer);
        Received::Handshake(answer)
    }

    fn unavailable(&self, source: &Arc<LiveSource>, incoming: &Incoming) -> Received {
        let refusal = Refusal::KeyUnavailable;
        self.reject(source, incoming, refusal.reason(), None);
        Received::Refused(refusal)
    }

    fn refused(
        &self,
        source: &Arc<LiveSource>,
        incoming: &Incoming,
        refused: &HandshakeRefused,
    ) -> Received {
        let why = refused.to_string();
        self.reject_because(source, incoming, "handshake_refused", why);
        Received::Refused(match refused.status() {
            400 => Refusal::Challenge,
            401 => Refusal::Unverified,
            _ => Refusal::Handshake,
        })
    }

    fn asks_too_often(&self, source: &LiveSource) -> Option<Refusal> {
        let mut bucket = source.activity.handshakes.lock().expect("no panic in it");
        let now = self.0.world.clock.monotonic();
        let taken = bucket.take(RATE, BURST, now);
        taken.err().map(Refusal::Rate)
    }

    /// Stores a secret that the provider has told, unless the source has changed since: of two
    /// that come at once only one is taken.
    async fn planted(&self, source: &LiveSource, secret: &Planted) -> bool {
        let row = &source.row;
        let now = self.now();
        let change = SourceChange {
            secrets: Some(SecretChange {
                added: vec![self.seal_source_secret(row.id, secret.reveal())],
                others_expire: now,
                secrets_max: self.limits().secrets_per_source as u64,
            }),
            awaits_handshake: Some(None),
            version: Some(row.version),
            action: "handshake_secret",
            now,
            ..SourceChange::default()
        };
        let caller = Caller::system(row.organization);
        let changed = self.update_source(caller, row, change).await;
        match changed {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(source.id = %row.id, %error, "A provider's secret was not taken");
                false
            }
        }
    }
}

impl LiveSource {
    fn handshakes(&self) -> &'static [Handshake] {
        self.plan.preset.map_or(&[], |preset| &preset.handshakes)
    }

    fn greeting<'a>(&'a self, handshakes: &'a [Handshake], incoming: &'a Incoming) -> Greeting<'a> {
        let until = self.row.awaits_handshake;
        Greeting {
            handshakes,
            scheme: &self.plan.scheme,
            keys: &self.keys,
            verify_token: self.plan.verify_token.as_ref(),
            awaiting: until.is_some_and(|until| incoming.at < until),
            query: incoming.query.as_deref().unwrap_or_default(),
            rate_max: self
                .settings
                .requests_per_second
                .map(|rate| rate.saturating_mul(60)),
            now: incoming.at,
        }
    }
}

impl HandshakeAnswer {
    fn new(answer: Answer, reason: &str) -> Self {
        let mut content_type = "text/plain".to_owned();
        let mut headers = Vec::new();
        for (name, value) in answer.headers {
            if name == "content-type" {
                content_type = value;
            } else {
                headers.push((name.to_owned(), value));
            }
        }
        Self {
            status: answer.status,
            headers,
            body: answer.body,
            content_type,
            reason: reason.to_owned(),
        }
    }
}

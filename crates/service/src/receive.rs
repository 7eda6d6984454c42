//! Receiving: a request is judged, stored with its messages, and then answered.
//!
//! Nothing is read from the store before the append, and nothing that is refused is written on
//! this path: refusals go to [`crate::rejections`].

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;
use domain::{EventType, HOPS_MAX, InboundId, MessageId, Timestamp};
use engine::{MessageDraft, PublishError, PublishRequest};
use serde_json::value::RawValue;
use signature::scheme::{self, Fetched, Id, Needs, Verdict, Verified};
use store::{
    ApplicationRef, Guard, Idempotency, InboundMarks, InboundVerdict, Mark, NewInbound, OnEventId,
    Payload, Receipt, Reception,
};

use crate::Service;
use crate::error::Error;
use crate::events::ReadEvent;
use crate::fetch::FetchError;
use crate::handshakes::HandshakeAnswer;
use crate::inbound_headers;
use crate::live_sources::LiveSource;
use crate::source_settings::{KeyRule, Piece, ReplayGuard, VerifyMode};

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its method, in capitals.
    pub method: String,
    /// What follows the token in its path: nothing, or `/` and more.
    pub suffix: String,
    /// Its query, without the question mark.
    pub query: Option<String>,
    /// Its headers in order; values as they came.
    pub headers: Vec<(String, Bytes)>,
    /// Where it came from, behind the proxies that are trusted.
    pub peer: IpAddr,
    /// Its body, before any decoding.
    pub body: Bytes,
    /// When it came.
    pub at: Timestamp,
}

/// What a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// It was taken in, or had been.
    Taken(Taken),
    /// It was a question.
    Handshake(HandshakeAnswer),
    /// It was refused.
    Refused(Refusal),
}

/// What a request that was taken in is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The request's own id.
    pub request: InboundId,
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The body's content type.
    pub content_type: String,
    /// It had come before.
    pub duplicate: bool,
    /// The message; that of the first request for a duplicate.
    pub message: Option<MessageId>,
}

/// Why a request was refused, as far as its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not the provider's, as far as can be told.
    Unverified,
    /// Something in it comes twice, or is longer than anything that is looked at.
    Malformed,
    /// It is the effect of too many deliveries, one after the other.
    Loop,
    /// Its address is not allowed.
    Address,
    /// The source takes nothing in for now.
    Paused,
    /// It came too soon; so many seconds later it may come again.
    Rate(u32),
    /// Its body is larger than this.
    TooLarge(usize),
    /// Its body is compressed, or of a type that is not taken.
    Type,
    /// Only POST is taken, and no question was understood.
    Method,
    /// Its id came before, with another body or another id's signature.
    Conflict,
    /// What it has to be verified with could not be fetched.
    KeyUnavailable,
    /// A question whose text may not be answered.
    Challenge,
    /// A question that this asker, or this source at this time, is not to have answered.
    Handshake,
    /// Events of CloudEvents that cannot be read.
    Events,
}

impl Refusal {
    /// Returns the short name by which the log tells it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Malformed => "malformed",
            Self::Loop => "loop_detected",
            Self::Address => "address_not_allowed",
            Self::Paused => "paused",
            Self::Rate(_) => "rate",
            Self::TooLarge(_) => "too_large",
            Self::Type => "type",
            Self::Method => "method",
            Self::Conflict => "conflict",
            Self::KeyUnavailable => "key_unavailable",
            Self::Challenge | Self::Handshake => "handshake_refused",
            Self::Events => "events_malformed",
        }
    }
}

/// How a request is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judging {
    /// The time that timestamps are compared with.
    pub(crate) at: Timestamp,
    /// Takes it as verified, whatever it is.
    pub(crate) skips_verification: bool,
    /// Takes it as new, whatever came before.
    pub(crate) skips_deduplication: bool,
    /// It is put in again by hand.
    pub(crate) replayed: bool,
    /// What comes of it comes of it once.
    pub(crate) once: Option<Idempotency>,
}

impl Service {
    /// Returns the time that a request is received at.
    pub fn received_at(&self) -> Timestamp {
        self.now()
    }

    /// Judges what can be judged before the body is read.
    pub fn admit_request(&self, source: &Arc<LiveSource>, head: &Incoming) -> Result<(), Refusal> {
        let refused = self.head_refusal(source, head);
        if let Some(refusal) = refused {
            self.reject(source, head, refusal.reason(), None);
            return Err(refusal);
        }
        Ok(())
    }

    fn head_refusal(&self, source: &LiveSource, head: &Incoming) -> Option<Refusal> {
        let allowed = &source.plan.allowed;
        if !allowed.is_empty() && !allowed.iter().any(|one| one.contains(head.peer)) {
            return Some(Refusal::Address);
        }
        if source.is_paused() {
            return Some(Refusal::Paused);
        }
        if head.hops() > HOPS_MAX {
            return Some(Refusal::Loop);
        }
        if let Some(rate) = source.settings.requests_per_second {
            let mut bucket = source.activity.rate.lock().expect("no panic in it");
            let now = self.0.world.clock.monotonic();
            if let Err(seconds) = bucket.take(rate, rate, now) {
                return Some(Refusal::Rate(seconds));
            }
        }
        let types = &source.settings.content_types;
        let encodings = head.values("content-encoding");
        let mut encodings = encodings.filter(|value| !value.eq_ignore_ascii_case(b"identity"));
        let is_listed = || {
            let essence = head.essence().unwrap_or_default();
            types.iter().any(|one| one.eq_ignore_ascii_case(&essence))
        };
        // What is no POST is a question at most, and has no body.
        let typed = !types.is_empty() && head.method == "POST";
        if encodings.next().is_some() || (typed && !is_listed()) {
            return Some(Refusal::Type);
        }
        None
    }

    /// Notes a request whose body is too large; it was not read.
    pub fn refuse_body(&self, source: &Arc<LiveSource>, head: &Incoming) -> Refusal {
        let refusal = Refusal::TooLarge(source.body_max());
        self.reject(source, head, refusal.reason(), None);
        refusal
    }

    /// Receives a request; it is durable once this returns that it was taken in.
    pub async fn receive(
        &self,
        source: Arc<LiveSource>,
        incoming: Incoming,
    ) -> Result<Received, Error> {
        let judging = Judging {
            at: incoming.at,
            skips_verification: false,
            skips_deduplication: false,
            replayed: false,
            once: None,
        };
        self.receive_as(source, incoming, judging).await
    }

    pub(crate) async fn receive_as(
        &self,
        mut source: Arc<LiveSource>,
        incoming: Incoming,
        judging: Judging,
    ) -> Result<Received, Error> {
        // A source is not changed between look-up and commit many times in a row.
        const TRIES: usize = 8;
        if !judging.replayed
            && let Some(answered) = self.handshake(&source, &incoming).await
        {
            return Ok(answered);
        }
        if incoming.method != "POST" && !judging.replayed {
            let refusal = Refusal::Method;
            self.reject(&source, &incoming, refusal.reason(), None);
            return Ok(Received::Refused(refusal));
        }
        for _ in 0..TRIES {
            let mut judged = match self.judge(&source, &incoming, &judging).await {
                Ok(judged) => judged,
                Err(refusal) => return Ok(Received::Refused(refusal)),
            };
            if source.plan.reads_events() {
                match self.events(&source, &incoming) {
                    Ok(items) => judged.events = Some(items),
                    Err(answer) => return Ok(answer),
                }
            }
            let request = self.reception(&source, &incoming, &judged, &judging);
            let id = request.reception.as_ref().map(|one| one.request.id);
            match self.engine().receive(request).await {
                Ok(receipt) => {
                    let id = id.expect("a reception has a request");
                    return Ok(self.answer_receipt(&source, id, &receipt));
                }
                Err(PublishError::SourceChanged) => {
                    self.0.sources.stale(source.row.key);
                    let row = self.store().source_by_key(source.row.key).await?;
                    let row = row.ok_or(Error::NotFound("source"))?;
                    source = Arc::new(self.live(row, self.now())?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Busy)
    }

    /// Says whether the request is the provider's, and what it says of itself.
    async fn judge(
        &self,
        source: &Arc<LiveSource>,
        incoming: &Incoming,
        judging: &Judging,
    ) -> Result<Judged, Refusal> {
        let url = source.url_of(incoming);
        let headers = incoming.pairs();
        let mut request = incoming.as_request(&url, &headers);
        let scheme = &source.plan.scheme;
        let unverified = |verified| Judged {
            verified,
            proven: false,
            events: None,
        };
        if judging.skips_verification || source.settings.verify == VerifyMode::None {
            return Ok(unverified(scheme.read(&request)));
        }
        let mut verdict = scheme.verify(&request, &source.keys, judging.at);
        let fetched;
        if let Verdict::Needs(Needs::Certificate { url }) = &verdict {
            fetched = match self.certificate(url).await {
                Ok(bytes) => (url.clone(), bytes),
                Err(error) => return Err(self.no_key(source, incoming, &error)),
            };
            request.fetched = Some(Fetched {
                url: &fetched.0,
                bytes: &fetched.1,
            });
            verdict = scheme.verify(&request, &source.keys, judging.at);
        }
        match verdict {
            Verdict::Verified(verified) => Ok(Judged {
                verified,
                proven: true,
                events: None,
            }),
            // What was fetched is what was asked for, so nothing is missing any more; were it so
            // all the same, the log would tell.
            Verdict::Needs(_) => {
                let refusal = Refusal::KeyUnavailable;
                self.reject(source, incoming, refusal.reason(), None);
                Err(refusal)
            }
            Verdict::Refused(_) if source.settings.verify == VerifyMode::Tag => {
                Ok(unverified(scheme.read(&request)))
            }
            Verdict::Refused(refused) => {
                let refusal = if refused.is_malformed() {
                    Refusal::Malformed
                } else {
                    Refusal::Unverified
                };
                self.reject(source, incoming, refused.reason(), Some(refused));
                Err(refusal)
            }
        }
    }

    /// Notes a request that nothing is known of, because what it is verified with is not there.
    pub(crate) fn no_key(
        &self,
        source: &Arc<LiveSource>,
        incoming: &Incoming,
        error: &FetchError,
    ) -> Refusal {
        tracing::warn!(source.id = %source.row.id, %error, "A provider could not be asked");
        let refusal = Refusal::KeyUnavailable;
        self.reject_because(source, incoming, refusal.reason(), error.told());
        refusal
    }

    /// Turns a judged request into what the engine stores.
    fn reception(
        &self,
        source: &LiveSource,
        incoming: &Incoming,
        judged: &Judged,
        judging: &Judging,
    ) -> PublishRequest {
        let items = source.items(incoming, judged, self.limits().inbound_messages);
        let now = self.now();
        let id = InboundId::from_bits(self.fresh_id(now));
        let single = items.len() == 1 && items[0].body.len() == incoming.body.len();
        let deduplicates = !judging.skips_deduplication;
        let guard = items.first().filter(|_| deduplicates && single);
        let mut request = self.logged(source, incoming, id, InboundVerdict::Accepted);
        request.provider_id = items.first().and_then(|item| item.shown_id.clone());
        request.marks = InboundMarks {
            unverified: !judged.proven && !judging.skips_verification,
            replayed: judging.replayed,
            ..InboundMarks::default()
        };
        let reception = Reception {
            source_version: source.row.version,
            marks: items
                .iter()
                .map(|item| item.mark.filter(|_| deduplicates))
                .collect(),
            guard: guard.and_then(|item| source.guard(incoming, judged, item)),
            window: source.plan.window,
            refuses_conflicts: source.plan.refuses_conflicts,
            shares_body: single,
            request,
        };
        let messages = items.into_iter().map(|item| MessageDraft {
            event_type: item.event_type,
            event_id: None,
            channels: Vec::new(),
            tags: Vec::new(),
            deliver_at: None,
            ordering_key: None,
            retention: None,
            payload: Payload {
                bytes: item.body,
                content_type: item.content_type,
            },
        });
        PublishRequest {
            organization: source.row.organization,
            application: ApplicationRef::Id(source.row.application_id),
            only: Some(source.row.application),
            endpoint: None,
            messages: messages.collect(),
            on_event_id: OnEventId::AnswerFirst,
            idempotency: judging.once.clone(),
            reception: Some(Box::new(reception)),
        }
    }

    /// Writes down a request as it came.
    pub(crate) fn logged(
        &self,
        source: &LiveSource,
        incoming: &Incoming,
        id: InboundId,
        verdict: InboundVerdict,
    ) -> NewInbound {
        let kept = inbound_headers::keep(source, incoming);
        NewInbound {
            id,
            source: source.row.key,
            application: source.row.application,
            verdict,
            reason: None,
            diagnosis: None,
            marks: InboundMarks::default(),
            method: incoming.method.clone(),
            path: kept.path,
            peer: incoming.peer.to_string(),
            headers: kept.headers.into(),
            credentials: kept
                .credentials
                .map(|text| self.seal(&text, &inbound_headers::binding(id))),
            body: incoming.body.clone(),
            body_len: incoming.body.len() as u64,
            provider_id: None,
        }
    }

    fn answer_receipt(&self, source: &LiveSource, id: InboundId, receipt: &Receipt) -> Received {
        let now = self.now();
        source.activity.count(receipt.verdict, now);
        let reason = receipt.reason.unwrap_or_default();
        self.count_request(receipt.verdict, reason);
        if receipt.marks.body_differs || receipt.marks.replay_suspected {
            tracing::warn!(
                source.id = %source.row.id, request.id = %id,
                body_differs = receipt.marks.body_differs,
                replay_suspected = receipt.marks.replay_suspected,
                "A request came again in another form"
            );
        }
        if receipt.verdict == InboundVerdict::Rejected {
            return Received::Refused(Refusal::Conflict);
        }
        let new = receipt.messages.iter().find(|one| !one.duplicate);
        let message = new.or(receipt.messages.first()).map(|one| one.id);
        let rule = &source.plan.response;
        let shown = message.map(|id| id.to_string()).unwrap_or_default();
        Received::Taken(Taken {
            request: id,
            status: rule.status,
            body: rule.body.replace("{id}", &shown),
            content_type: rule.content_type.clone(),
            duplicate: receipt.verdict == InboundVerdict::Duplicate,
            message,
        })
    }
}

/// A request that is taken in.
pub(crate) struct Judged {
    verified: Verified,
    /// It is the provider's.
    proven: bool,
    /// The events that it holds, if it holds CloudEvents.
    events: Option<Vec<ReadEvent>>,
}

/// What one message of a request is made of.
struct Item {
    event_type: EventType,
    body: Bytes,
    content_type: Option<Box<str>>,
    mark: Option<Mark>,
    /// The provider's own id.
    shown_id: Option<String>,
    /// The id could be another one without anybody noticing.
    unproven_id: bool,
}

impl LiveSource {
    /// The URL that a signature is made over: as the provider was told, with this request's query.
    pub(crate) fn url_of(&self, incoming: &Incoming) -> String {
        if incoming.suffix.is_empty() && incoming.query.is_none() {
            return self.url.clone();
        }
        let base = self.url.split('?').next().unwrap_or_default();
        let mut url = format!("{base}{}", incoming.suffix);
        if let Some(query) = &incoming.query {
            url.push('?');
            url.push_str(query);
        }
        url
    }

    fn items(&self, incoming: &Incoming, judged: &Judged, most: usize) -> Vec<Item> {
        if let Some(events) = judged.events.as_ref().filter(|events| events.len() <= most) {
            let events = events.iter().enumerate();
            return events
                .map(|(nth, event)| self.event_item(incoming, judged, event, nth))
                .collect();
        }
        let split = if self.plan.splits() {
            serde_json::from_slice::<Vec<&RawValue>>(&incoming.body).ok()
        } else {
            None
        };
        let split = split.filter(|items| !items.is_empty() && items.len() <= most);
        let Some(items) = split else {
            let content_type = incoming.content_type();
            return vec![self.item(incoming, judged, content_type, &judged.verified, 0)];
        };
        let items = items.into_iter().enumerate().map(|(nth, item)| {
            let own = incoming.part(Bytes::copy_from_slice(item.get().as_bytes()));
            let (url, headers) = (self.url_of(&own), own.pairs());
            let read = self.plan.scheme.read(&own.as_request(&url, &headers));
            self.item(&own, judged, None, &read, nth)
        });
        items.collect()
    }

    /// An event is what its id and its source name together; the same two come again only when it
    /// is sent again.
    fn event_item(
        &self,
        incoming: &Incoming,
        judged: &Judged,
        event: &ReadEvent,
        nth: usize,
    ) -> Item {
        let id = Id {
            value: format!("{}\n{}", event.source, event.id),
            signed: false,
        };
        let read = Verified {
            ids: vec![id],
            event: scheme::event_name(&event.kind),
            ..Verified::default()
        };
        let content_type = if event.is_structured {
            Some("application/cloudevents+json".into())
        } else {
            incoming.content_type()
        };
        let own = incoming.part(event.bytes.clone());
        let mut item = self.item(&own, judged, content_type, &read, nth);
        item.shown_id = Some(event.id.clone());
        item
    }

    fn item(
        &self,
        incoming: &Incoming,
        judged: &Judged,
        content_type: Option<Box<str>>,
        read: &Verified,
        nth: usize,
    ) -> Item {
        let id = self.id_of(incoming, read, nth);
        let mark = id.as_ref().map(|id| Mark {
            // What nothing proves must not stand in the way of what is the provider's.
            id: hash(&[
                if judged.proven { b"id" } else { b"unverified" },
                id.value.as_bytes(),
            ]),
            body: half_hash(&incoming.body),
        });
        Item {
            event_type: self.event_type(incoming, read),
            body: incoming.body.clone(),
            content_type,
            mark,
            unproven_id: id.as_ref().is_some_and(|id| !id.signed),
            shown_id: id.map(|id| id.value),
        }
    }

    /// The id that a request is deduplicated by: one that the signature covers goes before others.
    fn id_of(&self, incoming: &Incoming, read: &Verified, nth: usize) -> Option<Id> {
        let Some(rules) = &self.plan.keys else {
            let signed = read.ids.iter().find(|id| id.signed);
            return signed.or(read.ids.first()).cloned();
        };
        let (url, headers) = (self.url_of(incoming), incoming.pairs());
        let request = incoming.as_request(&url, &headers);
        rules.iter().find_map(|rule| match rule {
            KeyRule::Body => Some(Id {
                value: format!("{:032x}", u128::from_be_bytes(half_hash(&incoming.body))),
                signed: true,
            }),
            KeyRule::Places(places) => {
                let texts = self.plan.scheme.texts_at(&request, places);
                let mut texts: Vec<String> = texts.into_iter().collect::<Option<_>>()?;
                // What is outside of the body says which request it is, and not which item.
                if nth > 0 && !places.iter().any(scheme::Location::is_in_body) {
                    texts.push(nth.to_string());
                }
                Some(Id {
                    value: texts.join("\n"),
                    signed: places.iter().all(|place| self.plan.scheme.covers(place)),
                })
            }
        })
    }

    fn event_type(&self, incoming: &Incoming, read: &Verified) -> EventType {
        let rule = &self.plan.event;
        let (url, headers) = (self.url_of(incoming), incoming.pairs());
        let request = incoming.as_request(&url, &headers);
        let plain = match &rule.from {
            None => read.event.clone(),
            Some(places) => {
                let texts = self.plan.scheme.texts_at(&request, places);
                let texts: Vec<String> = texts.into_iter().flatten().collect();
                scheme::event_name(&texts.join("."))
            }
        };
        let made = match &rule.template {
            None => plain,
            Some(pieces) => {
                let text = |piece: &Piece| match piece {
                    Piece::Text(text) => Some(text.clone()),
                    Piece::Event => plain.clone(),
                    Piece::Place(place) => {
                        let places = std::slice::from_ref(place);
                        self.plan.scheme.texts_at(&request, places).pop().flatten()
                    }
                };
                let texts: Option<Vec<String>> = pieces.iter().map(text).collect();
                texts.and_then(|texts| scheme::event_name(&texts.concat()))
            }
        };
        made.and_then(|name| EventType::parse(&name).ok())
            .unwrap_or_else(|| rule.fallback.clone())
    }

    /// What a replay under another id is noticed by, where nothing else would.
    fn guard(&self, incoming: &Incoming, judged: &Judged, item: &Item) -> Option<Guard> {
        let scheme = &self.plan.scheme;
        let signs = scheme.algorithm() != scheme::Algorithm::Token;
        let wanted = judged.proven
            && item.unproven_id
            && signs
            && judged.verified.signed_at.is_none()
            && self.plan.guard != ReplayGuard::Off;
        wanted.then(|| Guard {
            seal: hash(&[
                b"seal",
                &incoming
                    .values(scheme_header(scheme))
                    .collect::<Vec<_>>()
                    .concat(),
                &incoming.body,
            ]),
            refuses: self.plan.guard == ReplayGuard::Refuse,
        })
    }
}

/// The header that the signature is in, if it is in one.
fn scheme_header(scheme: &scheme::Scheme) -> &str {
    let mut places = scheme.signature().locations().iter();
    places
        .find_map(|place| match place {
            scheme::Location::Header(name) => Some(name.as_str()),
            _ => None,
        })
        .unwrap_or_default()
}

impl Incoming {
    /// The same request, had it brought nothing but this part of its body.
    fn part(&self, body: Bytes) -> Self {
        Self {
            body,
            ..self.clone()
        }
    }

    /// Every value of a header.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.headers.iter();
        named
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    /// How many deliveries it is the effect of, one after the other, as far as it says.
    fn hops(&self) -> u64 {
        let given = self.values("webhook-hops");
        // What is not a number was not written by us, and says nothing.
        let hops = given.filter_map(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
        hops.max().unwrap_or(0)
    }

    pub(crate) fn pairs(&self) -> Vec<(&str, &[u8])> {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| (name.as_str(), &value[..]))
            .collect()
    }

    pub(crate) fn as_request<'a>(
        &'a self,
        url: &'a str,
        headers: &'a [(&'a str, &'a [u8])],
    ) -> scheme::Request<'a> {
        scheme::Request {
            method: &self.method,
            url: Some(url),
            headers,
            body: &self.body,
            fetched: None,
        }
    }

    /// The content type without its parameters.
    fn essence(&self) -> Option<String> {
        let value = self.values("content-type").next()?;
        let essence = value.split(|byte| *byte == b';').next()?.trim_ascii();
        Some(String::from_utf8_lossy(essence).to_ascii_lowercase())
    }

    /// The content type of the message; `None` is JSON.
    fn content_type(&self) -> Option<Box<str>> {
        const LEN_MAX: usize = 256;
        let value = self.values("content-type").next();
        let Some(value) = value else {
            let json = serde_json::from_slice::<&RawValue>(&self.body).is_ok();
            return (!json).then(|| "application/octet-stream".into());
        };
        let text = std::str::from_utf8(value).unwrap_or_default().trim_ascii();
        let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if text.is_empty() || text.len() > LEN_MAX || !visible || !text.contains('/') {
            return Some("application/octet-stream".into());
        }
        (!text.eq_ignore_ascii_case("application/json")).then(|| text.into())
    }
}

/// Returns half of the SHA-256 of the parts, each with its length in front.
fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

fn half_hash(bytes: &[u8]) -> [u8; 16] {
    let digest = digest(&SHA256, bytes);
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

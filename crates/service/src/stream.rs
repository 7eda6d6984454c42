//! Streams: an application's messages as they become durable.
//!
//! A stream reads from the store and nowhere else, one message at a time, as fast as its reader
//! takes them; the engine only wakes it. So a slow reader costs no memory and misses nothing, and
//! a wake-up that is lost costs the time until the next look.
//!
//! At least once: where a stream goes on after a message ([`StreamInput::after`]), those that were
//! published in the second before are sent again, because messages may be committed in another
//! order than their ids.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use domain::{ApplicationKey, EventType, EventTypeFilter, MessageId, MessageKey, Timestamp};
use engine::Listener;
use signature::{Secret, Signer, SigningKey};
use store::{
    ApplicationRef, Cursor, MessageFilter, MessageRef, MessageRow, Order, PageRequest, Payload,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;

/// How many messages are looked at at once, without their payloads.
const PAGE: u16 = 100;
/// How many of the messages sent last are remembered, so that none is sent twice when one with a
/// smaller id was committed late.
const REMEMBERED: usize = 1_024;
/// How far back a stream looks that goes on where another one ended.
const OVERLAP: Duration = Duration::from_secs(1);

/// Which messages, from where on, and how they are signed.
#[derive(Clone, Debug, Default)]
pub struct StreamInput {
    /// Only these event types or patterns of them, as endpoints have them. Empty is all.
    pub types: Vec<String>,
    /// The last message that was received; goes before `replay_last`.
    pub after: Option<MessageId>,
    /// How many of the newest messages come first.
    pub replay_last: u16,
    /// The secret to sign with; made when not given.
    pub secret: Option<String>,
}

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// The message.
    pub id: MessageId,
    /// What kind of event it tells.
    pub event_type: EventType,
    /// When it was published.
    pub at: Timestamp,
    /// Its bytes; `None` once erased.
    pub payload: Option<Payload>,
    /// When it was signed: now.
    pub signed_at: Timestamp,
    /// The value of `webhook-signature`; empty without a payload.
    pub signature: String,
}

/// An open stream. Dropping it ends it.
pub struct MessageStream {
    service: Service,
    caller: Caller,
    application: ApplicationRef,
    key: ApplicationKey,
    types: Vec<EventTypeFilter>,
    listener: Listener,
    /// Everything up to here was looked at.
    cursor: MessageKey,
    /// Found and not sent yet, without payloads.
    found: VecDeque<MessageRow>,
    sent: Remembered,
    signer: Signer,
    /// Counts against the limit.
    _permit: OwnedSemaphorePermit,
}

impl Service {
    /// How many of the newest messages a stream may begin with.
    pub const REPLAY_MAX: u16 = 1_000;
    /// Where callers put the secret to sign with: in a header, because URLs are written to logs.
    pub const STREAM_SECRET: &str = "posthaste-stream-secret";

    /// Opens a stream of an application's messages. Returns the secret too, if it was made here.
    pub async fn open_stream(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        input: StreamInput,
    ) -> Result<(MessageStream, Option<String>), Error> {
        let mut fields = Fields::default();
        fields.below(vec!["query".into()]);
        let types = input.types.iter();
        let types: Vec<EventTypeFilter> = types
            .filter_map(|text| fields.take(&["types"], EventTypeFilter::parse(text)))
            .collect();
        if input.replay_last > Self::REPLAY_MAX {
            let msg = format!("must be at most {}", Self::REPLAY_MAX);
            fields.fault(&["replay_last"], msg);
        }
        fields.below(vec!["header".into()]);
        let secret =
            self.secret_or_fresh(&mut fields, Self::STREAM_SECRET, input.secret.as_deref());
        fields.check()?;
        let secret = secret.expect("made, and there were no faults");
        let permit = self.stream_permit()?;

        let key = self.application(caller, application).await?.key;
        // Listening begins before the first look, so nothing falls in between.
        let listener = self.engine().listen(key);
        let cursor = match input.after {
            Some(after) => before(after),
            None => self.newest(key, input.replay_last).await?,
        };
        let stream = MessageStream {
            service: self.clone(),
            caller,
            application: application.clone(),
            key,
            types,
            listener,
            cursor,
            found: VecDeque::new(),
            sent: Remembered::default(),
            signer: Signer::new(signing_key(&secret), []),
            _permit: permit,
        };
        let made = input.secret.is_none();
        let shown = made.then(|| secret.to_text().as_str().to_owned());
        Ok((stream, shown))
    }

    fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let streams = Arc::clone(&self.0.streams);
        let max = self.limits().streams as u64;
        streams.try_acquire_owned().map_err(|_| Error::Limit {
            name: "streams",
            max,
        })
    }

    /// The key after which the newest `count` messages lie.
    async fn newest(&self, application: ApplicationKey, count: u16) -> Result<MessageKey, Error> {
        let mut left = usize::from(count) + 1;
        let mut cursor = None;
        loop {
            let page = PageRequest {
                limit: u16::try_from(left).map_or(PAGE, |left| left.min(PAGE)),
                order: Order::Descending,
                cursor: cursor.map(Cursor::After),
            };
            let filter = MessageFilter::default();
            let page = self.store().messages(application, &filter, page).await?;
            let Some(last) = page.items.last() else {
                return Ok(MessageKey(0)); // There are fewer: all of them lie after this.
            };
            left -= page.items.len();
            if left == 0 {
                return Ok(last.id.key());
            }
            cursor = Some(last.id.key());
        }
    }
}

/// Where a stream begins that goes on after a message.
fn before(after: MessageId) -> MessageKey {
    let overlap = i64::try_from(OVERLAP.as_micros()).expect("a second");
    let at = Timestamp::from_micros(after.at().as_micros().saturating_sub(overlap).max(0));
    MessageKey(MessageKey::first_at(at).0.saturating_sub(1))
}

fn signing_key(secret: &Secret) -> SigningKey {
    SigningKey::parse(&secret.to_text()).expect("a secret's own text is one")
}

impl MessageStream {
    /// Returns the next message, or `None` when there is none yet.
    ///
    /// Fails with `NotFound` once the application is gone.
    pub async fn next(&mut self) -> Result<Option<Streamed>, Error> {
        loop {
            while let Some(row) = self.found.pop_front() {
                if let Some(message) = self.read(row.id).await? {
                    self.sent.insert(row.id.key());
                    return Ok(Some(message));
                }
            }
            if !self.look().await? {
                return Ok(None);
            }
        }
    }

    /// Waits until there may be more.
    pub async fn woken(&self) {
        self.listener.woken().await;
    }

    /// Fails once the application is gone.
    pub async fn check(&self) -> Result<(), Error> {
        let application = self.service.application(self.caller, &self.application);
        match application.await?.key {
            key if key == self.key => Ok(()),
            // Another one has the uid by now.
            _ => Err(Error::NotFound("application")),
        }
    }

    /// Looks for more; says whether anything was looked at.
    async fn look(&mut self) -> Result<bool, Error> {
        if let Some(first) = self.listener.take() {
            // Committed late: it lies before what was looked at already.
            self.cursor = self.cursor.min(MessageKey(first.0.saturating_sub(1)));
        }
        let page = PageRequest {
            limit: PAGE,
            order: Order::Ascending,
            cursor: Some(Cursor::After(self.cursor)),
        };
        let filter = MessageFilter::default();
        let store = self.service.store();
        let page = store.messages(self.key, &filter, page).await?;
        let Some(last) = page.items.last() else {
            return Ok(false);
        };
        self.cursor = last.id.key();
        let wanted = |row: &MessageRow| {
            let is_new = !self.sent.contains(row.id.key());
            let matches = |pattern: &EventTypeFilter| pattern.matches(&row.event_type);
            is_new && (self.types.is_empty() || self.types.iter().any(matches))
        };
        self.found.extend(page.items.into_iter().filter(wanted));
        Ok(true)
    }

    /// Reads one message with its payload, and signs it; `None` when it is gone by now.
    async fn read(&self, id: MessageId) -> Result<Option<Streamed>, Error> {
        let message = MessageRef::Id(id);
        let row = self.service.store().message(self.key, &message).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let signed_at = self.service.now();
        let mut signature = String::new();
        if let Some(payload) = &row.payload {
            let name = row.id.to_string();
            self.signer
                .sign(&name, signed_at, &payload.bytes, &mut signature);
        }
        Ok(Some(Streamed {
            id: row.id,
            event_type: row.event_type,
            at: row.at,
            payload: row.payload,
            signed_at,
            signature,
        }))
    }
}

/// The keys sent last.
#[derive(Debug, Default)]
struct Remembered {
    keys: BTreeSet<MessageKey>,
}

impl Remembered {
    fn insert(&mut self, key: MessageKey) {
        self.keys.insert(key);
        if self.keys.len() > REMEMBERED {
            self.keys.pop_first();
        }
    }

    fn contains(&self, key: MessageKey) -> bool {
        self.keys.contains(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_last_is_remembered_and_no_more() {
        let mut sent = Remembered::default();
        for key in 0..=1_024 {
            sent.insert(MessageKey(key));
        }

        assert!(!sent.contains(MessageKey(0)));
        assert!(sent.contains(MessageKey(1)) && sent.contains(MessageKey(1_024)));
        assert_eq!(sent.keys.len(), REMEMBERED);
    }
}

//! Takes publishes, stores them in batches, and hands their deliveries to the lanes.
//!
//! Batches form by themselves: while one commit runs, the next batch collects. Nobody waits for
//! a timer, and a lone publish is stored at once. A caller hears success only after the commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{MessageId, MessageKey, Timestamp};
use store::{
    NewMessage, Origin, Payload, Publish, PublishOutcome, PublishedMessage, Receipt, Waits,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::destination::{Destination, Routes};
use crate::memory::Envelope;
use crate::publish::{MessageDraft, PublishAnswer, PublishError, PublishRequest, Published};
use crate::shared::{Notice, Shared};

/// A publish that waits for its commit.
pub(crate) struct Waiting {
    publish: Publish,
    /// What the lanes need of each message once it is durable.
    prepared: Vec<Prepared>,
    answer: oneshot::Sender<Result<PublishOutcome, store::Error>>,
    bytes: WaitingBytes,
}

/// Payload bytes that count as waiting until this is dropped, whether the caller stays or not.
struct WaitingBytes {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl WaitingBytes {
    /// Counts them, if there is room.
    fn take(all: &Arc<AtomicUsize>, own: usize, most: usize) -> Option<Self> {
        let before = all.fetch_add(own, Ordering::Relaxed);
        let taken = Self {
            all: Arc::clone(all),
            own,
        };
        (before == 0 || before + own <= most).then_some(taken)
    }
}

impl Drop for WaitingBytes {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// One message of a publish, for the lanes.
pub(crate) struct Prepared {
    id: MessageId,
    payload: Payload,
    /// The request that brought it.
    origin: Option<Arc<Origin>>,
    due: Timestamp,
    delayed: bool,
    ordered: bool,
    destinations: Vec<Arc<Destination>>,
}

/// Messages that are durable, on their way to the lanes.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) commit: u64,
    pub(crate) messages: Vec<CommittedMessage>,
}

#[derive(Debug)]
pub(crate) struct CommittedMessage {
    /// The payload, or `None` when memory is full: then the deliveries wait in the store.
    pub(crate) envelope: Option<Arc<Envelope>>,
    pub(crate) id: MessageId,
    pub(crate) due: Timestamp,
    /// It is due later; the lanes only learn when.
    pub(crate) delayed: bool,
    /// It has an ordering key; where it waits in line is left out of the destinations.
    pub(crate) ordered: bool,
    /// Its deliveries are made later, one message with this key after the other.
    pub(crate) waits: bool,
    pub(crate) destinations: Vec<Arc<Destination>>,
}

/// The door of intake: counts what waits, and refuses beyond the bounds.
pub(crate) struct Door {
    queue: mpsc::Sender<Waiting>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Door {
    pub(crate) fn new(shared: &Shared) -> (Self, mpsc::Receiver<Waiting>) {
        let (queue, receiver) = mpsc::channel(shared.config.intake_waiting_max);
        (
            Self {
                queue,
                waiting_bytes: Arc::default(),
            },
            receiver,
        )
    }

    #[cfg(test)]
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed)
    }

    /// Publishes; returns once the messages and their deliveries are durable.
    pub(crate) async fn publish(
        &self,
        shared: &Shared,
        request: PublishRequest,
    ) -> Result<PublishAnswer, PublishError> {
        match self.outcome(shared, &request).await? {
            PublishOutcome::Stored(messages) => Ok(answer(messages, false)),
            PublishOutcome::Replayed(messages) => Ok(answer(messages, true)),
            other => Err(refusal(&other)),
        }
    }

    /// Stores what a source received; returns once the request, its messages and their deliveries
    /// are durable.
    pub(crate) async fn receive(
        &self,
        shared: &Shared,
        request: PublishRequest,
    ) -> Result<Receipt, PublishError> {
        match self.outcome(shared, &request).await? {
            PublishOutcome::Received(receipt) => Ok(*receipt),
            // It was stored before, by a job that did not get to noting it.
            PublishOutcome::Replayed(messages) => Ok(Receipt {
                verdict: store::InboundVerdict::Accepted,
                reason: None,
                marks: store::InboundMarks::default(),
                messages,
            }),
            other => Err(refusal(&other)),
        }
    }

    /// Stores a publish by the routes of the moment of its commit.
    async fn outcome(
        &self,
        shared: &Shared,
        request: &PublishRequest,
    ) -> Result<PublishOutcome, PublishError> {
        // The routes change between look-up and commit now and then; not sixteen times in a row.
        const TRIES: u32 = 16;
        if shared.is_full() {
            return Err(PublishError::Full);
        }
        for _ in 0..TRIES {
            let routes = shared
                .routing
                .get(
                    request.organization,
                    &request.application,
                    &*shared.store,
                    &shared.vault,
                )
                .await
                .map_err(|error| refused(shared, error))?
                .filter(|routes| request.only.is_none_or(|key| key == routes.application.key))
                .ok_or(PublishError::NoApplication)?;
            match self.store(shared, request, &routes).await? {
                PublishOutcome::Stale | PublishOutcome::NoApplication => {
                    shared.routing.forget(routes.application.key);
                }
                outcome => return Ok(outcome),
            }
        }
        Err(PublishError::Busy)
    }

    async fn store(
        &self,
        shared: &Shared,
        request: &PublishRequest,
        routes: &Routes,
    ) -> Result<PublishOutcome, PublishError> {
        let (publish, prepared) = prepare(shared, request, routes);
        let bytes = request
            .messages
            .iter()
            .map(|draft| draft.payload.bytes.len())
            .sum::<usize>();
        let received = request.reception.as_ref();
        let bytes = received.map_or(bytes, |one| bytes.max(one.request.body.len()));
        let most = shared.config.intake_waiting_bytes;
        let bytes =
            WaitingBytes::take(&self.waiting_bytes, bytes, most).ok_or(PublishError::Busy)?;
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting {
            publish,
            prepared,
            answer,
            bytes,
        };
        self.queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PublishError::Busy,
            mpsc::error::TrySendError::Closed(_) => PublishError::ShuttingDown,
        })?;
        outcome
            .await
            .map_err(|_| PublishError::ShuttingDown)?
            .map_err(|error| refused(shared, error))
    }
}

fn refused(shared: &Shared, error: store::Error) -> PublishError {
    match error {
        store::Error::Full => {
            shared.set_full(true);
            PublishError::Full
        }
        store::Error::Busy => PublishError::Busy,
        other => PublishError::Failed(other.to_string()),
    }
}

/// Says why nothing was stored.
fn refusal(outcome: &PublishOutcome) -> PublishError {
    match *outcome {
        PublishOutcome::KeyReused => PublishError::KeyReused,
        PublishOutcome::EventIdTaken { index, first } => {
            PublishError::EventIdTaken { index, first }
        }
        PublishOutcome::SourceChanged => PublishError::SourceChanged,
        PublishOutcome::NoApplication => PublishError::NoApplication,
        PublishOutcome::Stale => PublishError::Busy,
        PublishOutcome::Stored(_) | PublishOutcome::Replayed(_) | PublishOutcome::Received(_) => {
            PublishError::Failed("an outcome of another kind".into())
        }
    }
}

/// The messages of a publish that were stored now, or had been.
fn stored(outcome: &PublishOutcome) -> Option<&[PublishedMessage]> {
    match outcome {
        PublishOutcome::Stored(stored) => Some(stored),
        PublishOutcome::Received(receipt) if receipt.reason.is_none() => Some(&receipt.messages),
        _ => None,
    }
}

fn answer(messages: Vec<PublishedMessage>, replayed: bool) -> PublishAnswer {
    let published = |message: PublishedMessage| Published {
        id: message.id,
        at: message.id.at(),
        duplicate: message.duplicate,
    };
    PublishAnswer {
        messages: messages.into_iter().map(published).collect(),
        replayed,
    }
}

fn prepare(shared: &Shared, request: &PublishRequest, routes: &Routes) -> (Publish, Vec<Prepared>) {
    let now = shared.now();
    let schedule_now = shared.schedule_now();
    let mut prepared = Vec::with_capacity(request.messages.len());
    let mut messages = Vec::with_capacity(request.messages.len());
    let origin = request
        .reception
        .as_ref()
        .map(|one| Arc::new(Origin::of(&one.request, !one.shares_body)));
    for draft in &request.messages {
        let destinations = match request.endpoint {
            None => routes.matching(&draft.event_type, &draft.channels),
            Some(endpoint) => routes.only(endpoint),
        };
        let message = new_message(shared, draft, &destinations, now, schedule_now);
        prepared.push(Prepared {
            ordered: draft.ordering_key.is_some(),
            id: message.id,
            payload: message.payload.clone(),
            origin: origin.clone(),
            due: message.due,
            delayed: message.deliver_at.is_some(),
            destinations,
        });
        messages.push(message);
    }
    let publish = Publish {
        application: routes.application.key,
        routing_version: routes.version,
        messages,
        on_event_id: request.on_event_id,
        idempotency: request.idempotency.clone(),
        reception: request.reception.clone(),
        now,
    };
    (publish, prepared)
}

fn new_message(
    shared: &Shared,
    draft: &MessageDraft,
    matching: &[Arc<Destination>],
    now: Timestamp,
    schedule_now: Timestamp,
) -> NewMessage {
    let retention = draft.retention.unwrap_or(shared.config.payload_retention);
    let id = MessageId::from_bits(shared.ids.next(now, &*shared.entropy));
    NewMessage {
        id,
        event_type: draft.event_type.clone(),
        event_id: draft.event_id.clone(),
        channels: draft.channels.clone(),
        tags: draft.tags.clone(),
        at: id.at(),
        deliver_at: draft.deliver_at,
        ordering_key: draft.ordering_key.clone(),
        expires: draft.deliver_at.unwrap_or(now).plus(retention),
        payload: draft.payload.clone(),
        destinations: matching.iter().map(|destination| destination.key).collect(),
        // A wait is a span: it is counted on the schedule clock from now on.
        due: schedule_now.plus(
            draft
                .deliver_at
                .map_or_else(Default::default, |at| at.since(now)),
        ),
    }
}

/// Batches that may be on their way to the store at once. With one, the store would idle between
/// its answer and the next batch; what reaches it while it commits becomes one transaction anyway.
const IN_STORE: usize = 4;

/// Stores batches until the door is closed and everything that waits is answered.
pub(crate) async fn run(shared: Arc<Shared>, mut queue: mpsc::Receiver<Waiting>) {
    let slots = Arc::new(Semaphore::new(IN_STORE));
    loop {
        let slot = Arc::clone(&slots)
            .acquire_owned()
            .await
            .expect("it is never closed");
        let mut batch = Vec::new();
        if queue
            .recv_many(&mut batch, shared.config.intake_batch_max)
            .await
            == 0
        {
            break;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            store_batch(&shared, batch).await;
            drop(slot);
        });
    }
    let all = u32::try_from(IN_STORE).expect("a few");
    let _ = slots.acquire_many(all).await;
}

async fn store_batch(shared: &Shared, batch: Vec<Waiting>) {
    let began = shared.monotonic();
    let mut publishes = Vec::with_capacity(batch.len());
    let mut waiting = Vec::with_capacity(batch.len());
    for Waiting {
        publish,
        prepared,
        answer,
        bytes,
    } in batch
    {
        waiting.push((publish.application, prepared, answer, bytes));
        publishes.push(publish);
    }
    match shared.store.append(publishes).await {
        Ok(appended) => {
            shared
                .metrics
                .commit
                .observe(shared.monotonic().saturating_sub(began).as_secs_f64());
            let mut messages = Vec::new();
            let mut in_line: HashMap<_, _> = appended
                .in_line
                .into_iter()
                .map(|one| (one.message, one.waits))
                .collect();
            let waiting = waiting.into_iter().zip(appended.outcomes);
            for ((application, prepared, answer, _bytes), outcome) in waiting {
                if let Some(stored) = stored(&outcome) {
                    if let Some(first) = prepared.iter().map(|message| message.id.key()).min() {
                        shared.listeners.committed(application, first);
                    }
                    committed(shared, prepared, stored, &mut in_line, &mut messages);
                }
                let _ = answer.send(Ok(outcome)); // The caller may have gone away.
            }
            if !messages.is_empty() {
                let committed = Committed {
                    commit: appended.commit,
                    messages,
                };
                let _ = shared.notices.send(Notice::Committed(committed)).await;
            }
        }
        Err(error) => {
            for (_, _, answer, _bytes) in waiting {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

fn committed(
    shared: &Shared,
    prepared: Vec<Prepared>,
    stored: &[PublishedMessage],
    in_line: &mut HashMap<MessageKey, Waits>,
    messages: &mut Vec<CommittedMessage>,
) {
    let new = stored.iter().filter(|stored| !stored.duplicate).count();
    for (mut message, stored) in prepared.into_iter().zip(stored) {
        if stored.duplicate {
            continue;
        }
        if new > 1 {
            message.origin = message.origin.map(|origin| Arc::new(origin.of_many()));
        }
        shared.metrics.accepted.inc();
        let waits = if message.ordered {
            in_line.remove(&message.id.key())
        } else {
            None
        };
        if let Some(Waits::At(held)) = &waits {
            let due = |one: &Arc<Destination>| !held.contains(&one.key);
            message.destinations.retain(due);
        }
        if message.destinations.is_empty() {
            continue;
        }
        let waits = waits == Some(Waits::Everywhere);
        let now = !message.delayed;
        messages.push(CommittedMessage {
            envelope: (now && !waits)
                .then(|| {
                    let origin = message.origin.as_ref();
                    shared.budget.admit(message.id, &message.payload, origin)
                })
                .flatten(),
            id: message.id,
            due: message.due,
            delayed: message.delayed,
            ordered: message.ordered,
            waits,
            destinations: message.destinations,
        });
    }
}

//! What an endpoint gets and got: its messages, and counts of how it fares.

use domain::{DeliveryState, EndpointKey, MessageKey};
use store::{
    ApplicationRef, Cursor, Endpoint, EndpointMessage, EndpointMessageFilter, EndpointRef,
    MessageDestination, MessageFilter, Order, Page, PageRequest, Span,
};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;

/// How a delivery stands, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Accepted by the destination.
    Success,
    /// Waiting for its first or next attempt.
    Pending,
    /// An attempt is under way.
    Sending,
    /// Dead-lettered.
    Fail,
    /// Given up for another reason than its attempts.
    Canceled,
}

impl DeliveryStatus {
    const fn state(self) -> DeliveryState {
        match self {
            Self::Success => DeliveryState::Success,
            Self::Pending | Self::Sending => DeliveryState::Pending,
            Self::Fail => DeliveryState::Fail,
            Self::Canceled => DeliveryState::Canceled,
        }
    }
}

/// Which messages of an endpoint a list wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointMessageQuery {
    /// What is asked of the messages.
    pub messages: MessageFilter,
    /// Only those whose delivery stands so.
    pub statuses: Option<Vec<DeliveryStatus>>,
}

/// A message that an endpoint gets or got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptedMessage {
    /// The message with its delivery.
    pub row: EndpointMessage,
    /// How the delivery stands.
    pub status: DeliveryStatus,
}

/// How an endpoint fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// What the store counts; `pending` without what is being sent.
    pub stored: store::EndpointStats,
    /// Deliveries whose attempt is under way.
    pub sending: u64,
}

impl Service {
    /// Says how a delivery stands: what the store has, and what the engine is just sending.
    pub(crate) fn status_of(
        &self,
        message: MessageKey,
        delivery: &MessageDestination,
    ) -> DeliveryStatus {
        match delivery.state {
            DeliveryState::Success => DeliveryStatus::Success,
            DeliveryState::Fail => DeliveryStatus::Fail,
            DeliveryState::Canceled => DeliveryStatus::Canceled,
            DeliveryState::Pending if self.engine().in_flight(message, delivery.endpoint) => {
                DeliveryStatus::Sending
            }
            DeliveryState::Pending => DeliveryStatus::Pending,
        }
    }

    /// Lists the messages that an endpoint gets or got, by time of publishing.
    pub async fn endpoint_messages(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        query: &EndpointMessageQuery,
        page: PageRequest<MessageKey>,
    ) -> Result<Page<AttemptedMessage, MessageKey>, Error> {
        let endpoint = self.endpoint(caller, application, endpoint).await?;
        if query.statuses.as_deref() == Some(&[DeliveryStatus::Sending]) {
            return self.messages_being_sent(&endpoint, query, &page).await;
        }
        let states = query.statuses.as_ref();
        let filter = EndpointMessageFilter {
            messages: query.messages.clone(),
            states: states.map(|statuses| statuses.iter().map(|s| s.state()).collect()),
        };
        let is_backwards = matches!(page.cursor, Some(Cursor::Before(_)));
        let mut found = self
            .store()
            .endpoint_messages(endpoint.application, endpoint.key, &filter, page)
            .await?;
        if found.resume.is_none() && !found.done {
            // The last one may be left out below, and the next page still begins after it.
            let mut items = found.items.iter();
            let last = if is_backwards {
                items.next()
            } else {
                items.next_back()
            };
            found.resume = last.map(|row| row.message.id.key());
        }
        let items = found.items.into_iter();
        Ok(Page {
            items: items.filter_map(|row| self.shown(row, query)).collect(),
            done: found.done,
            resume: found.resume,
        })
    }

    fn shown(
        &self,
        row: EndpointMessage,
        query: &EndpointMessageQuery,
    ) -> Option<AttemptedMessage> {
        let status = self.status_of(row.message.id.key(), &row.delivery);
        let statuses = query.statuses.as_ref();
        let wanted = statuses.is_none_or(|statuses| statuses.contains(&status));
        wanted.then_some(AttemptedMessage { row, status })
    }

    /// The engine knows which these are, and they are few: each is read by itself.
    async fn messages_being_sent(
        &self,
        endpoint: &Endpoint,
        query: &EndpointMessageQuery,
        page: &PageRequest<MessageKey>,
    ) -> Result<Page<AttemptedMessage, MessageKey>, Error> {
        let (keys, done) = cut(self.engine().in_flight_to(endpoint.key), page);
        let filter = EndpointMessageFilter {
            messages: query.messages.clone(),
            states: Some(vec![DeliveryState::Pending]),
        };
        let mut items = Vec::new();
        for key in keys {
            let only = PageRequest {
                limit: 1,
                order: Order::Ascending,
                cursor: Some(Cursor::After(MessageKey(key.0 - 1))),
            };
            let found = self
                .store()
                .endpoint_messages(endpoint.application, endpoint.key, &filter, only)
                .await?;
            let row = found.items.into_iter().next();
            let row = row.filter(|row| row.message.id.key() == key);
            items.extend(row.and_then(|row| self.shown(row, query)));
        }
        Ok(Page {
            items,
            done,
            resume: None,
        })
    }

    /// Counts how an endpoint fares.
    pub async fn endpoint_stats(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        span: Span,
    ) -> Result<EndpointStats, Error> {
        let endpoint = self.endpoint(caller, application, endpoint).await?;
        self.stats_of(endpoint.key, span).await
    }

    async fn stats_of(&self, endpoint: EndpointKey, span: Span) -> Result<EndpointStats, Error> {
        let in_flight = self.engine().in_flight_to(endpoint);
        let mut stored = self.store().endpoint_stats(endpoint, span).await?;
        let first = |at: Option<domain::Timestamp>| at.map(MessageKey::first_at);
        let is_in_span = |key: &&MessageKey| {
            first(span.since).is_none_or(|since| **key >= since)
                && first(span.until).is_none_or(|until| **key < until)
        };
        let sending = in_flight.iter().filter(is_in_span).count() as u64;
        // Some of them may have been recorded between the two looks.
        let sending = sending.min(stored.pending);
        stored.pending -= sending;
        Ok(EndpointStats { stored, sending })
    }
}

/// Cuts a page out of keys that lie in memory.
fn cut(mut keys: Vec<MessageKey>, page: &PageRequest<MessageKey>) -> (Vec<MessageKey>, bool) {
    let is_backwards = matches!(page.cursor, Some(Cursor::Before(_)));
    let is_ascending = (page.order == Order::Ascending) != is_backwards;
    keys.sort_unstable();
    if let Some(Cursor::After(at) | Cursor::Before(at)) = page.cursor {
        keys.retain(|key| if is_ascending { *key > at } else { *key < at });
    }
    if !is_ascending {
        keys.reverse();
    }
    let is_done = keys.len() <= usize::from(page.limit);
    keys.truncate(page.limit.into());
    if is_backwards {
        keys.reverse();
    }
    (keys, is_done)
}

//! Why a message went where it went: for each endpoint of its application, whether it matched.
//!
//! Settings are looked at as they are today; what they were when the message was published is
//! kept nowhere. So each answer says when the endpoint last changed: if that was later than the
//! message, it may have been otherwise then.

use domain::{EndpointId, EndpointKey};
use store::{
    ApplicationRef, AttemptFilter, AttemptRow, Cursor, Endpoint, MessageDestination, MessageRef,
    MessageRow, Order, Page, PageRequest,
};

use crate::Service;
use crate::attempts::shown;
use crate::caller::Caller;
use crate::endpoint_messages::DeliveryStatus;
use crate::error::Error;

/// Why an endpoint has or has not a delivery of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceVerdict {
    /// It has one.
    Matched,
    /// It was created after the message was published.
    CreatedLater,
    /// It is disabled, and gets nothing.
    Disabled,
    /// It does not want messages of this event type.
    EventType,
    /// It wants messages of other channels only.
    Channel,
    /// As it is today it would have matched; it was changed after the message was published.
    ChangedSince,
    /// As it is today it would match, and there is no trace of a delivery: its history is pruned,
    /// or a wide message is still being spread.
    NotYet,
}

impl TraceVerdict {
    /// Its name in answers.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::CreatedLater => "created_later",
            Self::Disabled => "disabled",
            Self::EventType => "event_type",
            Self::Channel => "channel",
            Self::ChangedSince => "changed_since",
            Self::NotYet => "not_yet",
        }
    }
}

/// What a message and one endpoint have to do with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The endpoint as it is today.
    pub endpoint: Endpoint,
    /// Whether it matched, or why not.
    pub verdict: TraceVerdict,
    /// It was changed after the message was published, so it may have been otherwise then.
    pub changed_since: bool,
    /// The delivery, with how it stands.
    pub delivery: Option<(MessageDestination, DeliveryStatus)>,
    /// The newest attempt, as the caller may see it.
    pub last_attempt: Option<AttemptRow>,
}

impl Service {
    /// Explains a message, endpoint by endpoint.
    pub async fn trace(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        message: &MessageRef,
        page: PageRequest<EndpointId>,
    ) -> Result<Page<Trace>, Error> {
        let application = self.application(caller, application).await?.key;
        let message = self.message_in(application, message).await?;
        let endpoints = self.store().endpoints(application, page).await?;
        let mut items = Vec::with_capacity(endpoints.items.len());
        for endpoint in endpoints.items {
            items.push(self.trace_one(caller, &message, endpoint).await?);
        }
        Ok(Page {
            items,
            done: endpoints.done,
            resume: None,
        })
    }

    async fn trace_one(
        &self,
        caller: Caller,
        message: &MessageRow,
        endpoint: Endpoint,
    ) -> Result<Trace, Error> {
        let only = PageRequest {
            limit: 1,
            order: Order::Ascending,
            cursor: Some(Cursor::After(EndpointKey(endpoint.key.0 - 1))),
        };
        let found = self.store().message_destinations(message.id, only).await?;
        let delivery = found.items.into_iter().next();
        let delivery = delivery.filter(|delivery| delivery.endpoint == endpoint.key);
        let delivery = delivery.map(|delivery| {
            let status = self.status_of(message.id.key(), &delivery);
            (delivery, status)
        });
        let last_attempt = match &delivery {
            None => None,
            Some(_) => self.last_attempt(message, endpoint.key).await?,
        };
        let verdict = match &delivery {
            Some(_) => TraceVerdict::Matched,
            None => why_not(message, &endpoint),
        };
        Ok(Trace {
            changed_since: endpoint.updated > message.id.at(),
            verdict,
            delivery,
            last_attempt: last_attempt.map(|row| shown(caller, row)),
            endpoint,
        })
    }

    async fn last_attempt(
        &self,
        message: &MessageRow,
        endpoint: EndpointKey,
    ) -> Result<Option<AttemptRow>, Error> {
        let filter = AttemptFilter {
            endpoint: Some(endpoint),
            ..AttemptFilter::default()
        };
        let newest = PageRequest {
            limit: 1,
            order: Order::Descending,
            cursor: None,
        };
        let found = self
            .store()
            .attempts_by_message(message.id, &filter, newest);
        Ok(found.await?.items.into_iter().next())
    }
}

fn why_not(message: &MessageRow, endpoint: &Endpoint) -> TraceVerdict {
    let at = message.id.at();
    if endpoint.created > at {
        TraceVerdict::CreatedLater
    } else if endpoint.disabled.is_some() {
        TraceVerdict::Disabled
    } else if !endpoint
        .subscription
        .matches_event_type(&message.event_type)
    {
        TraceVerdict::EventType
    } else if !endpoint.subscription.matches_channels(&message.channels) {
        TraceVerdict::Channel
    } else if endpoint.updated > at {
        TraceVerdict::ChangedSince
    } else {
        TraceVerdict::NotYet
    }
}

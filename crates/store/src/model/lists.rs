//! Reading messages, attempts and deliveries, one and by page.

use domain::{
    ApplicationKey, AttemptId, DeliveryState, EndpointKey, MessageId, MessageKey, Timestamp,
};

use super::{Delivery, State, Status, StoredMessage};
use crate::{
    AttemptCursor, AttemptFilter, AttemptRecord, AttemptRow, Cursor, EndpointMessage,
    EndpointMessageFilter, EndpointStats, MessageDestination, MessageFilter, MessageRef,
    MessageRow, Order, Page, PageRequest, ROWS_EXAMINED_MAX, Span,
};

/// Cuts a page out of all rows, given in ascending order; `wanted` is the filter.
pub(super) fn page_of<R, T, C: Ord + Clone>(
    mut rows: Vec<R>,
    page: &PageRequest<C>,
    cursor: impl Fn(&R) -> C,
    wanted: impl Fn(R) -> Option<T>,
) -> Page<T, C> {
    let backwards = matches!(page.cursor, Some(Cursor::Before(_)));
    let ascending = (page.order == Order::Ascending) != backwards;
    if let Some(Cursor::After(at) | Cursor::Before(at)) = &page.cursor {
        rows.retain(|row| {
            let here = cursor(row);
            if ascending { here > *at } else { here < *at }
        });
    }
    if !ascending {
        rows.reverse();
    }
    let limit = usize::from(page.limit);
    let mut found = Page {
        items: Vec::new(),
        done: true,
        resume: None,
    };
    let mut last = None;
    for (index, row) in rows.into_iter().enumerate() {
        if index == ROWS_EXAMINED_MAX {
            found.done = false;
            found.resume = last.filter(|_| found.items.len() < limit);
            break;
        }
        last = Some(cursor(&row));
        if let Some(item) = wanted(row) {
            if found.items.len() == limit {
                found.done = false;
                break;
            }
            found.items.push(item);
        }
    }
    if backwards {
        found.items.reverse();
    }
    found
}

/// [`page_of`] for lists without a filter.
pub(super) fn plain_page_of<T: Clone, C: Ord + Clone>(
    rows: Vec<(C, T)>,
    page: &PageRequest<C>,
) -> Page<T> {
    let found = page_of(rows, page, |(at, _)| at.clone(), |(_, row)| Some(row));
    Page {
        items: found.items,
        done: found.done,
        resume: None,
    }
}

fn within(at: Timestamp, before: Option<Timestamp>, after: Option<Timestamp>) -> bool {
    before.is_none_or(|before| at < before) && after.is_none_or(|after| at > after)
}

/// Shows a message as a list was asked to, unless it is filtered out; times are not looked at.
fn wanted_message(filter: &MessageFilter, row: &MessageRow) -> Option<MessageRow> {
    let channel = filter.channel.as_ref();
    let tag = filter.tag.as_ref();
    let types = filter.event_types.as_ref();
    let wanted = channel.is_none_or(|one| row.channels.contains(one))
        && tag.is_none_or(|one| row.tags.contains(one))
        && types.is_none_or(|types| types.contains(&row.event_type));
    wanted.then(|| MessageRow {
        payload: row.payload.clone().filter(|_| filter.with_content),
        ..row.clone()
    })
}

impl State {
    pub(super) fn find_message(
        &self,
        application: ApplicationKey,
        message: &MessageRef,
    ) -> Option<MessageRow> {
        let named = |stored: &&StoredMessage| {
            stored.application == application
                && match message {
                    MessageRef::Id(id) => stored.row.id == *id,
                    MessageRef::EventId(id) => stored.row.event_id.as_ref() == Some(id),
                }
        };
        let found = self.messages.values().find(named)?;
        Some(found.row.clone())
    }

    pub(super) fn list_messages(
        &self,
        application: ApplicationKey,
        filter: &MessageFilter,
        page: &PageRequest<MessageKey>,
    ) -> Page<MessageRow, MessageKey> {
        let of_application = |stored: &&StoredMessage| {
            // Rows outside of the times asked for are not even examined.
            stored.application == application && within(stored.row.at, filter.before, filter.after)
        };
        let rows = self.messages.values().filter(of_application).collect();
        let cursor = |stored: &&StoredMessage| stored.row.id.key();
        page_of(rows, page, cursor, |stored| {
            wanted_message(filter, &stored.row)
        })
    }

    pub(super) fn list_destinations(
        &self,
        message: MessageId,
        page: &PageRequest<EndpointKey>,
    ) -> Page<MessageDestination> {
        let key = message.key();
        let of_message = (key, EndpointKey(i64::MIN))..=(key, EndpointKey(i64::MAX));
        let rows = self
            .deliveries
            .range(of_message)
            .filter(|((_, to), _)| self.is_stored(message) && self.endpoints.contains_key(to))
            .map(|((_, to), delivery)| (*to, self.destination_row(key, *to, delivery)))
            .collect();
        plain_page_of(rows, page)
    }

    fn destination_row(
        &self,
        message: MessageKey,
        endpoint: EndpointKey,
        delivery: &Delivery,
    ) -> MessageDestination {
        let mut row = MessageDestination {
            endpoint,
            state: DeliveryState::Success,
            next_attempt: None,
            attempts: delivery.attempts,
            fail_reason: None,
            cancel_reason: None,
        };
        match delivery.status {
            Status::Success => row.attempts = self.tried(message, endpoint).0,
            Status::Pending => {
                row.state = DeliveryState::Pending;
                row.next_attempt = (!delivery.waiting).then_some(delivery.due);
            }
            Status::Fail(reason) => {
                row.state = DeliveryState::Fail;
                row.fail_reason = Some(reason);
            }
            Status::Canceled(reason) => {
                row.state = DeliveryState::Canceled;
                row.cancel_reason = Some(reason);
            }
        }
        row
    }

    pub(super) fn list_endpoint_messages(
        &self,
        application: ApplicationKey,
        endpoint: EndpointKey,
        filter: &EndpointMessageFilter,
        page: &PageRequest<MessageKey>,
    ) -> Page<EndpointMessage, MessageKey> {
        let of_application = |stored: &&StoredMessage| {
            let (before, after) = (filter.messages.before, filter.messages.after);
            stored.application == application && within(stored.row.at, before, after)
        };
        let rows = self.messages.values().filter(of_application).collect();
        let cursor = |stored: &&StoredMessage| stored.row.id.key();
        page_of(rows, page, cursor, |stored| {
            let key = stored.row.id.key();
            let delivery = self.deliveries.get(&(key, endpoint))?;
            let delivery = self.destination_row(key, endpoint, delivery);
            let states = filter.states.as_ref();
            let wanted = states.is_none_or(|states| states.contains(&delivery.state));
            let message = wanted_message(&filter.messages, &stored.row)?;
            wanted.then_some(EndpointMessage { message, delivery })
        })
    }

    pub(super) fn endpoint_stats(&self, endpoint: EndpointKey, span: Span) -> EndpointStats {
        let minute = |at: Timestamp| at.as_micros().div_euclid(60_000_000);
        let low = span.since.map_or(i64::MIN, minute);
        let high = span.until.map_or(i64::MAX, minute);
        let mut stats = EndpointStats::default();
        for (_, (success, fail)) in self.minutes.range((endpoint, low)..=(endpoint, high)) {
            stats.success += success;
            stats.fail += fail;
        }
        let first = |at: Option<Timestamp>| at.map(MessageKey::first_at);
        for ((message, to), delivery) in &self.deliveries {
            let is_in_span = first(span.since).is_none_or(|since| *message >= since)
                && first(span.until).is_none_or(|until| *message < until);
            if *to != endpoint || !is_in_span {
                continue;
            }
            match delivery.status {
                Status::Pending => stats.pending += 1,
                Status::Canceled(_) => stats.canceled += 1,
                Status::Success | Status::Fail(_) => {}
            }
        }
        stats
    }

    /// Makes the row that callers see; `None` when its message or endpoint is erased.
    fn attempt_row(&self, record: &AttemptRecord) -> Option<AttemptRow> {
        let message = self.messages.get(&record.message)?.row.id;
        let endpoint = self.endpoints.get(&record.endpoint)?.id;
        let url = self.urls.get(&record.url).map(|(_, url)| url.clone());
        Some(AttemptRow {
            id: AttemptId::derive(message, endpoint, record.number, record.at),
            message,
            endpoint_key: record.endpoint,
            endpoint,
            number: record.number,
            trigger: record.trigger,
            at: record.at,
            duration: record.duration,
            phases: record.phases,
            url: url.unwrap_or_default(),
            status: record.status,
            http_status: record.http_status,
            error: record.error,
            error_detail: record.error_detail.as_deref().map(str::to_owned),
            response: record.response.clone(),
        })
    }

    pub(super) fn list_attempts(
        &self,
        filter: &AttemptFilter,
        page: &PageRequest<AttemptCursor>,
        of: impl Fn(&AttemptRecord) -> bool,
    ) -> Page<AttemptRow, AttemptCursor> {
        let cursor = |record: &&AttemptRecord| AttemptCursor {
            at: record.at,
            message: record.message,
            endpoint: record.endpoint,
            number: record.number,
        };
        let mut rows: Vec<_> = self
            .attempts
            .values()
            .filter(|record| of(record) && within(record.at, filter.before, filter.after))
            .collect();
        rows.sort_by_key(cursor);
        page_of(rows, page, cursor, |record| {
            Some(self.attempt_row(record)?).filter(|row| self.is_wanted(filter, row))
        })
    }

    fn is_wanted(&self, filter: &AttemptFilter, row: &AttemptRow) -> bool {
        let message = &self.messages[&row.message.key()].row;
        let class = row.http_status.map_or(0, |status| status / 100 * 100);
        filter.status.is_none_or(|status| status == row.status)
            && filter.status_class.is_none_or(|wanted| wanted == class)
            && filter.endpoint.is_none_or(|key| key == row.endpoint_key)
            && filter
                .channel
                .as_ref()
                .is_none_or(|one| message.channels.contains(one))
            && filter
                .tag
                .as_ref()
                .is_none_or(|one| message.tags.contains(one))
            && filter
                .event_types
                .as_ref()
                .is_none_or(|types| types.contains(&message.event_type))
    }

    pub(super) fn find_attempt(
        &self,
        message: MessageId,
        attempt: AttemptId,
    ) -> Option<AttemptRow> {
        let rows = self.attempts.values();
        rows.filter(|record| self.is_stored(message) && record.message == message.key())
            .filter_map(|record| self.attempt_row(record))
            .find(|row| row.id == attempt)
    }
}

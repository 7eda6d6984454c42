//! Operational messages: what happens to endpoints, published to an operator's application.
//!
//! The store keeps each announcement with the change that it tells of. This loop publishes them
//! and then forgets them; after a crash in between it publishes them again, under the same event
//! ids, which makes them the messages that they were. Nothing is told about the operator's own
//! application, or a failing operator's endpoint would tell of itself for ever.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use domain::{ApplicationId, DisabledReason, EventId, EventType, OrganizationKey};
use serde_json::{Map, Value, json};
use store::{Announced, Announcement, ApplicationRef, NewApplication, OnEventId, Payload};
use tokio_util::sync::CancellationToken;

use crate::intake::Door;
use crate::publish::{MessageDraft, PublishError, PublishRequest};
use crate::shared::Shared;

/// How often it looks when nobody says that there is something.
const LOOK: Duration = Duration::from_secs(1);
/// Announcements published in one transaction.
const BATCH: u16 = 100;

/// Publishes until `stop` fires.
pub(crate) async fn run(shared: Arc<Shared>, door: Weak<Door>, stop: CancellationToken) {
    let Some(operator) = shared.config.operations.clone() else {
        return;
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = shared.announced.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        while !shared.is_full() && !stop.is_cancelled() {
            let Some(door) = door.upgrade() else { return };
            match round(&shared, &door, &operator).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(error, "Operational messages wait; trying again");
                    tokio::time::sleep(LOOK).await;
                    break;
                }
            }
        }
    }
}

/// Publishes what was announced first; returns whether there was anything.
async fn round(shared: &Shared, door: &Door, operator: &ApplicationRef) -> Result<bool, String> {
    let announced = shared.store.announcements(BATCH).await;
    let announced = announced.map_err(|error| error.to_string())?;
    // One publish goes to one organization; the others follow in the next rounds.
    let Some(organization) = announced.first().map(|first| first.organization) else {
        return Ok(false);
    };
    let same = |one: &&Announcement| one.organization == organization;
    let batch: Vec<_> = announced.iter().take_while(same).collect();
    let last = batch.last().map(|last| last.number).unwrap_or_default();
    let messages: Vec<_> = batch
        .into_iter()
        .filter(|one| !is_about(one, operator))
        .map(draft)
        .collect();
    if !messages.is_empty() {
        publish(shared, door, organization, operator, messages).await?;
    }
    let forget = shared.store.forget_announcements(last).await;
    forget.map_err(|error| error.to_string())?;
    Ok(true)
}

fn is_about(announcement: &Announcement, operator: &ApplicationRef) -> bool {
    match operator {
        ApplicationRef::Id(id) => announcement.application == *id,
        ApplicationRef::Uid(uid) => announcement.application_uid.as_ref() == Some(uid),
    }
}

async fn publish(
    shared: &Shared,
    door: &Door,
    organization: OrganizationKey,
    operator: &ApplicationRef,
    messages: Vec<MessageDraft>,
) -> Result<(), String> {
    let request = PublishRequest {
        organization,
        application: operator.clone(),
        messages,
        on_event_id: OnEventId::AnswerFirst,
        only: None,
        endpoint: None,
        idempotency: None,
        reception: None,
    };
    match door.publish(shared, request.clone()).await {
        Err(PublishError::NoApplication) => {
            create(shared, organization, operator).await?;
            door.publish(shared, request).await
        }
        answer => answer,
    }
    .map(drop)
    .map_err(|error| error.to_string())
}

/// Creates the operator's application at its first message. One that is named by an id must exist.
async fn create(
    shared: &Shared,
    organization: OrganizationKey,
    operator: &ApplicationRef,
) -> Result<(), String> {
    let ApplicationRef::Uid(uid) = operator else {
        return Err("operations.application names an id that does not exist".to_owned());
    };
    let now = shared.now();
    let new = NewApplication {
        organization,
        id: ApplicationId::from_bits(shared.ids.next(now, &*shared.entropy)),
        uid: Some(uid.clone()),
        name: "Operational messages".to_owned(),
        throttle_rate: None,
        metadata: std::collections::BTreeMap::new(),
        applications_max: u64::MAX,
        now,
        idempotency: None,
    };
    let created = shared.store.create_application(new).await;
    let created = created.map_err(|error| error.to_string())?.into_inner();
    shared.routing.forget(created.key);
    tracing::info!(application.id = %created.id, "Operational messages have an application now");
    Ok(())
}

fn draft(announcement: &Announcement) -> MessageDraft {
    let what = announcement.what.event_type();
    // The number is never used twice; the time tells it from one of a store that was restored.
    let event_id = format!("op_{}_{}", announcement.number, announcement.at.as_micros());
    let body = json!({"type": what, "data": data(announcement)}).to_string();
    MessageDraft {
        event_type: EventType::parse(what).expect("it is one of ours"),
        event_id: Some(EventId::parse(&event_id).expect("digits and underscores")),
        channels: Vec::new(),
        tags: Vec::new(),
        deliver_at: None,
        ordering_key: None,
        retention: None,
        payload: Payload {
            bytes: Bytes::from(body),
            content_type: None,
        },
    }
}

fn data(announcement: &Announcement) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("appId", json!(announcement.application.to_string()));
    put("endpointId", json!(announcement.endpoint.to_string()));
    if let Some(uid) = &announcement.application_uid {
        put("appUid", json!(uid.as_str()));
    }
    if let Some(uid) = &announcement.endpoint_uid {
        put("endpointUid", json!(uid.as_str()));
    }
    if announcement.what == Announced::Disabled {
        let reason = announcement.disabled;
        let since = announcement.failing_since.unwrap_or(announcement.at);
        let by_hand = reason == Some(DisabledReason::Requested);
        put("failSince", json!(since.to_string()));
        put(
            "trigger",
            json!(if by_hand { "manual" } else { "automatic" }),
        );
        put("reason", json!(reason.map(DisabledReason::slug)));
    }
    if let Some(message) = &announcement.message {
        put("msgId", json!(message.id.to_string()));
        if let Some(event_id) = &message.event_id {
            put("msgEventId", json!(event_id.as_str()));
        }
        if let Some(attempt) = &message.attempt {
            let last = json!({
                "id": attempt.id.to_string(),
                "responseStatusCode": attempt.http_status.unwrap_or(0),
                "timestamp": attempt.at.to_string(),
            });
            put("lastAttempt", last);
        }
    }
    data
}

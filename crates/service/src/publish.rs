//! Publishing: messages are checked here, and durable once the engine has answered.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use domain::{EventId, EventType, OrderingKey, Tag, Timestamp};
use engine::{MessageDraft, PublishRequest, Published};
use store::{ApplicationRef, Idempotency, OnEventId, Payload};

use crate::Service;
use crate::applications::ApplicationInput;
use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;

/// A publish as a caller describes it.
#[derive(Debug)]
pub struct PublishInput<'a> {
    /// Who publishes.
    pub caller: Caller,
    /// Which application.
    pub application: ApplicationRef,
    /// Creates the application if it does not exist; otherwise it is not looked at.
    pub create_application: Option<ApplicationInput>,
    /// The messages, at least one.
    pub messages: Vec<MessageInput<'a>>,
    /// Many messages, all or none: faults carry positions, and an event id that exists is
    /// answered with the first message instead of refused.
    pub is_batch: bool,
    /// The request's idempotency key.
    pub idempotency: Option<Idempotency>,
}

/// A message as a caller describes it.
#[derive(Debug)]
pub struct MessageInput<'a> {
    /// What kind of event it tells.
    pub event_type: Cow<'a, str>,
    /// The caller's own id.
    pub event_id: Option<Cow<'a, str>>,
    /// What endpoints may filter by.
    pub channels: Vec<Cow<'a, str>>,
    /// Labels for searching.
    pub tags: Vec<Cow<'a, str>>,
    /// Its bytes.
    pub payload: PayloadInput<'a>,
    /// When its first attempts are due, RFC 3339.
    pub deliver_at: Option<Cow<'a, str>>,
    /// What it must keep its order by: per endpoint, messages with one key arrive one by one.
    pub ordering_key: Option<Cow<'a, str>>,
    /// How many days its payload is kept.
    pub retention_days: Option<i64>,
    /// How many hours its payload is kept; goes before the days.
    pub retention_hours: Option<i64>,
    /// Which version of its event type's schema it is made after; the newest when not given.
    pub schema_version: Option<Cow<'a, str>>,
}

/// A payload as a caller gave it.
#[derive(Debug)]
pub enum PayloadInput<'a> {
    /// The exact text of one JSON value that was parsed as such.
    Json(&'a str),
    /// Any text, sent as it is.
    Raw {
        /// The text.
        text: Cow<'a, str>,
        /// Its content type; JSON when not given.
        content_type: Option<Cow<'a, str>>,
    },
}

impl Service {
    /// Publishes, and returns once the messages and their deliveries are durable.
    pub async fn publish(&self, input: PublishInput<'_>) -> Result<Vec<Published>, Error> {
        let mut fields = Fields::default();
        let now = self.now();
        let mut drafts = Vec::with_capacity(input.messages.len());
        for (index, message) in input.messages.iter().enumerate() {
            if input.is_batch {
                fields.below(vec!["messages".into(), index.to_string()]);
            }
            drafts.extend(self.draft(&mut fields, message, now, input.is_batch)?);
        }
        fields.check()?;
        let versions = input
            .messages
            .iter()
            .map(|message| message.schema_version.as_deref());
        let versions: Vec<_> = versions.map(|version| version.map(str::to_owned)).collect();
        let organization = input.caller.organization;
        self.enforce_schemas(organization, &drafts, &versions, input.is_batch)
            .await?;

        let (caller, count) = (input.caller, drafts.len());
        self.spend(&caller, count)?;
        let request = PublishRequest {
            endpoint: None,
            organization,
            only: input.caller.application,
            application: input.application,
            messages: drafts,
            on_event_id: if input.is_batch {
                OnEventId::AnswerFirst
            } else {
                OnEventId::Refuse
            },
            idempotency: input.idempotency,
            reception: None,
        };
        // Who may only publish names an application that exists.
        let may_create = input.caller.may_create_applications();
        let Some(application) = input.create_application.filter(|_| may_create) else {
            let published = self.engine().publish(request).await;
            let published = published.map(|answer| answer.messages);
            return published.map_err(|error| self.unspent(&caller, count, error.into()));
        };
        let published = self.publish_or_create(caller, request, application).await;
        published.map_err(|error| self.unspent(&caller, count, error))
    }

    /// Gives back what messages that were not stored have used up.
    fn unspent(&self, caller: &Caller, count: usize, error: Error) -> Error {
        self.refund(caller, count);
        error
    }

    /// Publishes, and creates the application when it turns out not to exist.
    async fn publish_or_create(
        &self,
        caller: Caller,
        request: PublishRequest,
        application: ApplicationInput,
    ) -> Result<Vec<Published>, Error> {
        match self.engine().publish(request.clone()).await {
            Err(engine::PublishError::NoApplication) => {}
            answer => return Ok(answer?.messages),
        }
        self.application_named(caller, &request.application, application)
            .await?;
        Ok(self.engine().publish(request).await?.messages)
    }

    /// Checks one message. `None` when a required field has a fault.
    fn draft(
        &self,
        fields: &mut Fields,
        input: &MessageInput<'_>,
        now: Timestamp,
        is_batch: bool,
    ) -> Result<Option<MessageDraft>, Error> {
        let limits = self.limits();
        let event_type = fields.take(&["eventType"], EventType::parse(&input.event_type));
        let event_id = input
            .event_id
            .as_ref()
            .and_then(|id| fields.take(&["eventId"], EventId::parse(id)));
        let payload = self.payload(fields, &input.payload, is_batch)?;
        let channels = fields.channels(&input.channels, limits);
        let tags = fields.names("tags", &input.tags, limits.tags, Tag::parse);
        let ordering_key = input
            .ordering_key
            .as_deref()
            .and_then(|text| fields.take(&["orderingKey"], OrderingKey::parse(text)));
        let deliver_at = input
            .deliver_at
            .as_ref()
            .and_then(|at| deliver_at(fields, at, now));
        let retention = retention(fields, input);
        Ok(event_type
            .zip(payload)
            .map(|(event_type, payload)| MessageDraft {
                event_type,
                event_id,
                channels,
                tags,
                deliver_at,
                ordering_key,
                retention,
                payload,
            }))
    }

    pub(crate) fn payload(
        &self,
        fields: &mut Fields,
        input: &PayloadInput<'_>,
        is_batch: bool,
    ) -> Result<Option<Payload>, Error> {
        let (field, text, content_type) = match input {
            PayloadInput::Json(text) => ("payload", *text, None),
            PayloadInput::Raw { text, content_type } => (
                "transformationsParams",
                text.as_ref(),
                content_type.as_ref(),
            ),
        };
        let (bytes, max) = (text.len(), self.limits().payload_bytes);
        if bytes > max {
            if !is_batch {
                return Err(Error::PayloadTooLarge { bytes, max });
            }
            let msg = format!("has {bytes} bytes; at most {max} are allowed");
            fields.fault(&[field], msg);
            return Ok(None);
        }
        if matches!(input, PayloadInput::Json(_)) {
            check_json(text)?;
        }
        let content_type = content_type.and_then(|given| {
            let place = ["transformationsParams", "headers", "content-type"];
            fields.take(&place, check_content_type(given))
        });
        Ok(Some(Payload {
            // A copy of its own: the request's buffer is larger, and would be kept by a slice.
            bytes: Bytes::copy_from_slice(text.as_bytes()),
            content_type,
        }))
    }
}

fn deliver_at(fields: &mut Fields, text: &str, now: Timestamp) -> Option<Timestamp> {
    const MIN: Duration = Duration::from_mins(1);
    const MAX: Duration = Duration::from_hours(24);
    let at = fields.take(&["deliverAt"], Timestamp::parse(text))?;
    if at < now.plus(MIN) || at > now.plus(MAX) {
        let msg = "must be between one minute and 24 hours from now";
        fields.fault(&["deliverAt"], msg);
        return None;
    }
    Some(at)
}

fn retention(fields: &mut Fields, input: &MessageInput<'_>) -> Option<Duration> {
    const HOUR: u64 = 3_600;
    let (field, value, range, unit) = match (input.retention_hours, input.retention_days) {
        (Some(hours), _) => ("payloadRetentionHours", hours, 1..=90 * 24, HOUR),
        (None, Some(days)) => ("payloadRetentionPeriod", days, 5..=90, 24 * HOUR),
        (None, None) => return None,
    };
    if !range.contains(&value) {
        let (min, max) = range.into_inner();
        fields.fault(&[field], format!("must be between {min} and {max}"));
        return None;
    }
    let value = u64::try_from(value).expect("the range begins above zero");
    Some(Duration::from_secs(value * unit))
}

/// Checks what a parser of JSON lets pass and receivers' parsers choke on.
fn check_json(text: &str) -> Result<(), Error> {
    if may_nest_deeply(text) && domain::json_nesting_exceeds(text.as_bytes()) {
        let max = domain::JSON_DEPTH_MAX;
        return Err(Error::BadJson(format!(
            "the payload is nested more than {max} levels deep"
        )));
    }
    if has_lone_surrogate(text.as_bytes()) {
        return Err(Error::BadJson(
            "the payload has an escape that is half of a character".into(),
        ));
    }
    Ok(())
}

/// Says no when there are too few brackets to nest deeply, which costs less than counting levels.
fn may_nest_deeply(text: &str) -> bool {
    memchr::memchr2_iter(b'[', b'{', text.as_bytes())
        .nth(domain::JSON_DEPTH_MAX)
        .is_some()
}

/// Says whether well-formed JSON has `\ud800` to `\udfff` other than in pairs of high and low.
fn has_lone_surrogate(json: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &json[at..]) {
        let escape = &json[at + found..];
        match escaped_unit(escape) {
            Some(0xd800..=0xdbff) => match escaped_unit(&escape[6..]) {
                Some(0xdc00..=0xdfff) => at += found + 12,
                _ => return true,
            },
            Some(0xdc00..=0xdfff) => return true,
            _ => at += found + 2,
        }
    }
    false
}

/// Reads `\uXXXX` at the beginning.
fn escaped_unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn check_content_type(given: &str) -> Result<Box<str>, &'static str> {
    const LEN_MAX: usize = 256;
    let is_visible = given.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if given.len() > LEN_MAX || !is_visible || given.trim_ascii() != given {
        return Err("is not the value of a header");
    }
    match given.split_once('/') {
        Some((kind, rest)) if !kind.is_empty() && !rest.is_empty() => Ok(given.into()),
        _ => Err("is not a content type, such as text/plain"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_are_found_and_pairs_are_not() {
        for lone in [
            r#""\ud800""#,
            r#""\uDFFF""#,
            r#""\ud800\ud800""#,
            r#""\ud800x""#,
            r#""\ud83d\n""#,
            r#""\\\udc00""#,
        ] {
            assert!(has_lone_surrogate(lone.as_bytes()), "{lone}");
        }
        for whole in [
            r#""\ud83d\ude00""#,
            r#""\\ud800""#,
            r#""é\n\"""#,
            r#"{"\u00e9": "\ud83d\ude00\\"}"#,
        ] {
            assert!(!has_lone_surrogate(whole.as_bytes()), "{whole}");
        }
    }

    #[test]
    fn a_content_type_is_one_line_with_a_slash() {
        assert_eq!(
            check_content_type("text/plain; charset=utf-8"),
            Ok("text/plain; charset=utf-8".into())
        );
        for bad in [
            "",
            "text",
            "/x",
            "x/",
            "text/plain\r\nX-Evil: 1",
            " text/plain",
            "té/xt",
        ] {
            assert!(check_content_type(bad).is_err(), "{bad:?}");
        }
    }
}

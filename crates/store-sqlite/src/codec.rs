//! How domain values are laid out in columns.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{
    ApplicationId, Channel, EndpointId, EndpointKey, EventType, EventTypeFilter, InboundId, JobId,
    MessageId, MessageKey, Phases, SourceId, Tag, Timestamp, Uid,
};
use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Error, Result, Row};

const TAIL_BITS: u32 = 53;

/// Returns the bits of an id that its key does not hold: the top six bits of the millisecond,
/// the version and the 53 random bits.
pub(crate) fn rest_of(id: MessageId) -> i64 {
    let bits = id.bits();
    let top = (bits >> 122) & 0x3f;
    let version = (bits >> 76) & 0xf;
    let tail = bits & ((1 << TAIL_BITS) - 1);
    let rest = (top << 57) | (version << TAIL_BITS) | tail;
    i64::try_from(rest).expect("63 bits fit")
}

/// Puts an id together again from its key and the other bits. The variant is that of every UUID.
pub(crate) fn message_id(key: i64, rest: i64) -> MessageId {
    let key = u128::from(key.unsigned_abs());
    let rest = u128::from(rest.unsigned_abs());
    let millis = ((rest >> 57) << 42) | (key >> 21);
    let version = (rest >> TAIL_BITS) & 0xf;
    let counter_high = (key >> 9) & 0xfff;
    let counter_low = key & 0x1ff;
    let tail = rest & ((1 << TAIL_BITS) - 1);
    MessageId::from_bits(
        (millis << 80)
            | (version << 76)
            | (counter_high << 64)
            | (0b10 << 62)
            | (counter_low << TAIL_BITS)
            | tail,
    )
}

/// Says whether the id survives [`rest_of`] and [`message_id`]: whether it is a UUID at all.
pub(crate) fn is_storable(id: MessageId) -> bool {
    message_id(id.key().0, rest_of(id)) == id
}

/// Names joined by commas, which none of them can contain; `None` for none at all.
pub(crate) fn join<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut joined = String::new();
    for name in names {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(name);
    }
    Some(joined).filter(|text| !text.is_empty())
}

/// Reads back what [`join`] wrote.
pub(crate) fn split<T>(joined: Option<&str>, parse: fn(&str) -> Option<T>) -> Result<Vec<T>> {
    let Some(joined) = joined else {
        return Ok(Vec::new());
    };
    joined
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| parse(name).ok_or_else(|| invalid("name")))
        .collect()
}

pub(crate) fn channel(name: &str) -> Option<Channel> {
    Channel::parse(name).ok()
}

pub(crate) fn tag(name: &str) -> Option<Tag> {
    Tag::parse(name).ok()
}

pub(crate) fn event_type(name: &str) -> Option<EventType> {
    EventType::parse(name).ok()
}

pub(crate) fn event_type_filter(text: &str) -> Option<EventTypeFilter> {
    EventTypeFilter::parse(text).ok()
}

pub(crate) fn uid(name: &str) -> Option<Uid> {
    Uid::parse(name).ok()
}

/// A stored value that we cannot have written.
pub(crate) fn invalid(what: &'static str) -> Error {
    Error::FromSqlConversionFailure(
        0,
        rusqlite::types::Type::Null,
        format!("a stored {what} cannot be read").into(),
    )
}

pub(crate) fn metadata_text(metadata: &BTreeMap<String, String>) -> String {
    serde_json::to_string(metadata).expect("a map of strings is JSON")
}

pub(crate) fn metadata(text: &str) -> Result<BTreeMap<String, String>> {
    serde_json::from_str(text).map_err(|_| invalid("metadata"))
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

/// Reads a column that holds an integer no larger than the type.
pub(crate) fn small<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Result<T> {
    let value: i64 = row.get(column)?;
    T::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

/// [`small`] of a column that may be NULL.
pub(crate) fn small_or_none<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    let value: Option<i64> = row.get(column)?;
    value
        .map(|value| T::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value)))
        .transpose()
}

pub(crate) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    Ok(Timestamp::from_micros(row.get(column)?))
}

pub(crate) fn time_or_none(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    let micros: Option<i64> = row.get(column)?;
    Ok(micros.map(Timestamp::from_micros))
}

fn id_bits(row: &Row<'_>, column: usize) -> Result<u128> {
    let bytes: [u8; 16] = row.get(column)?;
    Ok(u128::from_be_bytes(bytes))
}

pub(crate) fn application_id(row: &Row<'_>, column: usize) -> Result<ApplicationId> {
    id_bits(row, column).map(ApplicationId::from_bits)
}

pub(crate) fn source_id(row: &Row<'_>, column: usize) -> Result<SourceId> {
    id_bits(row, column).map(SourceId::from_bits)
}

/// Reads an id that is stored as a key and the rest, where neither is NULL.
pub(crate) fn message_id_or_none(row: &Row<'_>, column: usize) -> Result<Option<MessageId>> {
    let key: Option<i64> = row.get(column)?;
    let rest: Option<i64> = row.get(column + 1)?;
    Ok(key.zip(rest).map(|(key, rest)| message_id(key, rest)))
}

/// A request's id has the layout of a message's.
pub(crate) fn inbound_rest(id: InboundId) -> i64 {
    rest_of(MessageId::from_bits(id.bits()))
}

/// Puts a request's id together again.
pub(crate) fn inbound_id(key: i64, rest: i64) -> InboundId {
    InboundId::from_bits(message_id(key, rest).bits())
}

pub(crate) fn job_id(row: &Row<'_>, column: usize) -> Result<JobId> {
    id_bits(row, column).map(JobId::from_bits)
}

pub(crate) fn endpoint_id(row: &Row<'_>, column: usize) -> Result<EndpointId> {
    id_bits(row, column).map(EndpointId::from_bits)
}

/// Borrows a text column that may be NULL.
pub(crate) fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r str>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => value.as_str().map(Some).map_err(from_sql),
    }
}

/// Borrows a blob column that may be NULL.
pub(crate) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r [u8]>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => value.as_blob().map(Some).map_err(from_sql),
    }
}

fn from_sql(error: FromSqlError) -> Error {
    Error::FromSqlConversionFailure(0, rusqlite::types::Type::Null, Box::new(error))
}

/// Room for the longest form of [`put_phases`]: a mask and five numbers of ten bytes.
pub(crate) type PhaseBytes = [u8; 51];

/// Packs phases as a mask of those that happened and their microseconds as LEB128; returns the
/// length, which is 0 when none happened.
pub(crate) fn put_phases(phases: &Phases, bytes: &mut PhaseBytes) -> usize {
    let parts = [
        phases.dns,
        phases.connect,
        phases.tls,
        phases.first_byte,
        phases.body,
    ];
    let mut length = 1;
    bytes[0] = 0;
    for (index, part) in parts.into_iter().enumerate() {
        let Some(part) = part else { continue };
        bytes[0] |= 1 << index;
        length += put_number(micros(part).unsigned_abs(), &mut bytes[length..]);
    }
    if bytes[0] == 0 { 0 } else { length }
}

/// Reads back what [`put_phases`] wrote.
pub(crate) fn phases(bytes: Option<&[u8]>) -> Result<Phases> {
    let mut found = Phases::default();
    let Some((mask, mut rest)) = bytes.and_then(<[u8]>::split_first) else {
        return Ok(found);
    };
    let parts = [
        &mut found.dns,
        &mut found.connect,
        &mut found.tls,
        &mut found.first_byte,
        &mut found.body,
    ];
    for (index, part) in parts.into_iter().enumerate() {
        if mask & (1 << index) != 0 {
            let micros = take_number(&mut rest).ok_or_else(|| invalid("phase"))?;
            *part = Some(Duration::from_micros(micros));
        }
    }
    Ok(found)
}

fn put_number(mut value: u64, bytes: &mut [u8]) -> usize {
    let mut length = 0;
    loop {
        let seven = u8::try_from(value & 0x7f).expect("seven bits fit");
        value >>= 7;
        bytes[length] = if value == 0 { seven } else { seven | 0x80 };
        length += 1;
        if value == 0 {
            return length;
        }
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Packs the destinations of a wide message.
pub(crate) fn put_destinations(destinations: &[EndpointKey]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(destinations.len() * 3);
    let mut number = [0; 10];
    for destination in destinations {
        let length = put_number(destination.0.unsigned_abs(), &mut number);
        bytes.extend_from_slice(&number[..length]);
    }
    bytes
}

/// Reads back what [`put_destinations`] wrote.
pub(crate) fn destinations(mut bytes: &[u8]) -> Result<Vec<EndpointKey>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let number = take_number(&mut bytes).ok_or_else(|| invalid("destination"))?;
        found.push(EndpointKey(
            i64::try_from(number).map_err(|_| invalid("destination"))?,
        ));
    }
    Ok(found)
}

/// Packs the deliveries of a message that have no rows: when they are due, and pairs of endpoint
/// and generation.
pub(crate) fn put_fresh(due: i64, endpoints: &[(i64, i64)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + endpoints.len() * 3);
    bytes.extend_from_slice(&due.to_be_bytes());
    let mut number = [0; 10];
    for (endpoint, generation) in endpoints {
        for part in [endpoint, generation] {
            let length = put_number(part.unsigned_abs(), &mut number);
            bytes.extend_from_slice(&number[..length]);
        }
    }
    bytes
}

/// Reads back what [`put_fresh`] wrote.
pub(crate) fn fresh(bytes: &[u8]) -> Result<(i64, Vec<(i64, i64)>)> {
    let (due, mut rest) = bytes
        .split_first_chunk()
        .ok_or_else(|| invalid("deliveries of a message"))?;
    let mut endpoints = Vec::new();
    let part = |rest: &mut &[u8]| {
        take_number(rest)
            .and_then(|number| i64::try_from(number).ok())
            .ok_or_else(|| invalid("deliveries of a message"))
    };
    while !rest.is_empty() {
        endpoints.push((part(&mut rest)?, part(&mut rest)?));
    }
    Ok((i64::from_be_bytes(*due), endpoints))
}

/// Returns the hour in which a message with this key was published, counted from 1970.
pub(crate) fn hour_of_key(key: MessageKey) -> i64 {
    (key.0 >> 21) / 3_600_000
}

/// Returns the hour of a time, counted from 1970.
pub(crate) fn hour_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(3_600_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::IdSequence;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_message_id_is_put_together_again_from_its_key_and_the_rest(
            millis in 0i64..1 << 48,
            random in any::<u128>(),
        ) {
            let now = Timestamp::from_micros(millis * 1_000);
            let id = MessageId::from_bits(IdSequence::default().next(now, random));

            prop_assert_eq!(message_id(id.key().0, rest_of(id)), id);
        }

        #[test]
        fn phases_are_read_as_they_were_written(parts in any::<[Option<u32>; 5]>()) {
            let part = |index: usize| parts[index].map(|p| Duration::from_micros(p.into()));
            let written = Phases {
                dns: part(0),
                connect: part(1),
                tls: part(2),
                first_byte: part(3),
                body: part(4),
            };

            let mut bytes = [0; 51];
            let length = put_phases(&written, &mut bytes);

            prop_assert_eq!(phases(Some(&bytes[..length])).expect("readable"), written);
        }

        #[test]
        fn destinations_are_read_as_they_were_written(keys in any::<Vec<u32>>()) {
            let written: Vec<_> = keys.into_iter().map(|key| EndpointKey(key.into())).collect();

            let read = destinations(&put_destinations(&written)).expect("readable");

            prop_assert_eq!(read, written);
        }

        #[test]
        fn deliveries_without_rows_are_read_as_they_were_written(
            due in any::<i64>(),
            pairs in any::<Vec<(u32, u32)>>(),
        ) {
            let written: Vec<(i64, i64)> = pairs
                .into_iter()
                .map(|(endpoint, generation)| (endpoint.into(), generation.into()))
                .collect();

            let read = fresh(&put_fresh(due, &written)).expect("readable");

            prop_assert_eq!(read, (due, written));
        }
    }

    #[test]
    fn an_id_that_is_no_uuid_is_not_storable() {
        assert!(!is_storable(MessageId::from_bits(1)));
    }
}

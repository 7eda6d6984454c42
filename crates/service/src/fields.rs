//! Turns what callers gave into domain types, and collects every fault with its place.

use std::collections::BTreeMap;
use std::fmt::Display;

use domain::{Channel, EventTypeFilter, Limits, Uid};

use crate::error::{Error, FieldError};

/// The faults found so far, all below one place.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    prefix: Vec<String>,
    faults: Vec<FieldError>,
}

impl Fields {
    /// Goes on below another place, keeping the faults.
    pub(crate) fn below(&mut self, prefix: Vec<String>) {
        self.prefix = prefix;
    }

    /// Records a fault.
    pub(crate) fn fault(&mut self, loc: &[&str], msg: impl Display) {
        let mut place = self.prefix.clone();
        place.extend(loc.iter().map(|&part| part.to_owned()));
        self.faults.push(FieldError::value(place, msg));
    }

    /// Takes what was parsed, or records why it could not be.
    pub(crate) fn take<T, E: Display>(&mut self, loc: &[&str], parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.fault(loc, error)).ok()
    }

    /// Fails when there are faults.
    pub(crate) fn check(self) -> Result<(), Error> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.faults))
        }
    }

    /// Checks a text for people: its length, and that it has no control characters.
    pub(crate) fn text(&mut self, field: &str, text: &str, min: usize, max: usize) {
        let length = text.chars().count();
        if length < min {
            self.fault(&[field], "must not be empty");
        } else if length > max {
            let msg = format!("has {length} characters; at most {max} are allowed");
            self.fault(&[field], msg);
        } else if let Some(found) = text.chars().find(|c| is_bad_in_text(*c)) {
            self.fault(&[field], format!("has the control character {found:?}"));
        }
    }

    pub(crate) fn uid(&mut self, uid: Option<&str>, looks_like: fn(&str) -> bool) -> Option<Uid> {
        self.take(&["uid"], Uid::parse_unlike(uid?, looks_like))
    }

    pub(crate) fn throttle_rate(&mut self, rate: Option<u16>) {
        if rate == Some(0) {
            self.fault(&["throttleRate"], "must be at least 1");
        }
    }

    pub(crate) fn metadata(&mut self, metadata: &BTreeMap<String, String>, limits: &Limits) {
        if metadata.len() > limits.metadata_entries {
            let (len, max) = (metadata.len(), limits.metadata_entries);
            self.fault(
                &["metadata"],
                format!("has {len} entries; at most {max} are allowed"),
            );
            return;
        }
        let bytes: usize = metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
        if bytes > limits.metadata_bytes {
            let max = limits.metadata_bytes;
            let msg = format!("has {bytes} bytes; at most {max} are allowed");
            self.fault(&["metadata"], msg);
        }
        for (key, value) in metadata {
            if [key, value].iter().any(|text| text.contains('\0')) {
                self.fault(&["metadata", &key.escape_debug().to_string()], "has a NUL");
            }
        }
    }

    /// Parses a list of distinct channels; an empty one is none at all.
    pub(crate) fn channels(&mut self, given: &[impl AsRef<str>], limits: &Limits) -> Vec<Channel> {
        self.names("channels", given, limits.channels, Channel::parse)
    }

    /// Parses a list of distinct event types and patterns of them.
    pub(crate) fn event_types(
        &mut self,
        given: &[String],
        limits: &Limits,
    ) -> Vec<EventTypeFilter> {
        let max = limits.event_types_per_endpoint;
        self.names("eventTypes", given, max, EventTypeFilter::parse)
    }

    /// Parses a list of distinct names, in the order given.
    pub(crate) fn names<T: PartialEq, E: Display>(
        &mut self,
        field: &str,
        given: &[impl AsRef<str>],
        max: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        if given.len() > max {
            let msg = format!("has {} items; at most {max} are allowed", given.len());
            self.fault(&[field], msg);
            return Vec::new();
        }
        let mut names = Vec::with_capacity(given.len());
        for (index, text) in given.iter().enumerate() {
            match parse(text.as_ref()) {
                Ok(name) if names.contains(&name) => {}
                Ok(name) => names.push(name),
                Err(error) => self.fault(&[field, &index.to_string()], error),
            }
        }
        names
    }
}

/// Line ends and tabs are part of a text; other control characters have no good use in one, and
/// PostgreSQL cannot store a NUL.
fn is_bad_in_text(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

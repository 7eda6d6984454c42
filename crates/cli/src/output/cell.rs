//! Columns: which fields of a thing a table shows, and how.

use domain::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Look;
use super::yaml::{Shape, shape};
use crate::exit::Failure;
use crate::text::shown;

/// The longest cell. What is longer is cut in tables, and only there.
const CELL_MAX: usize = 60;
const WIDE_MAX: usize = 200;

/// What a cell means; colour repeats it and never carries it alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
    Waiting,
    Faint,
}

impl Tone {
    /// The number of the terminal's colour, or none.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Waiting => "33",
            Self::Faint => "2",
        }
    }

    /// What the states of things mean.
    fn of_state(state: &str) -> Self {
        match state {
            "success" | "enabled" | "active" | "finished" | "running" | "valid" => Self::Good,
            "fail" | "failed" | "revoked" | "expired" => Self::Bad,
            "pending" | "sending" | "paused" | "canceled" => Self::Waiting,
            _ if state.starts_with("disabled") => Self::Bad,
            _ => Self::Plain,
        }
    }
}

/// What stands in one column of one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Cell {
    /// A state, coloured by what it means.
    pub(crate) fn state(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            tone: Tone::of_state(&text),
            text,
        }
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Plain,
        }
    }
}

/// One column: how it is called and what it takes from a thing.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(super) title: &'static str,
    /// Shown by `-o wide` only.
    pub(super) wide: bool,
    pub(super) show: fn(&Value, &Look) -> Cell,
}

/// A column with this title.
pub(crate) const fn cell(title: &'static str, show: fn(&Value, &Look) -> Cell) -> Column {
    Column {
        title,
        wide: false,
        show,
    }
}

impl Column {
    /// Shows it only where there is room.
    pub(crate) const fn wide(mut self) -> Self {
        self.wide = true;
        self
    }
}

/// A kind of thing: its columns, and what it is called.
pub(crate) struct Kind {
    pub(crate) plural: &'static str,
    /// The field that names a thing in commands.
    pub(crate) id: &'static str,
    pub(crate) columns: &'static [Column],
}

impl Kind {
    /// What names a thing in commands.
    pub(super) fn id_of(&self, thing: &RawValue) -> Result<String, Failure> {
        Ok(plain(&fields(thing)?[self.id]))
    }
}

/// The fields of a thing. One that no number of ours can hold, such as 1e400, is a text.
pub(crate) fn fields(thing: &RawValue) -> Result<Value, Failure> {
    let Shape::Map(fields) = shape(thing)? else {
        return Ok(Value::Null);
    };
    let fields = fields.into_iter().map(|(name, value)| {
        let parsed = serde_json::from_str(value.get());
        (name, parsed.unwrap_or_else(|_| value.get().into()))
    });
    Ok(Value::Object(fields.collect()))
}

/// A value in words, without quotation marks.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The text of a field, cut to what a column has room for; a hyphen where there is none.
pub(crate) fn text(value: &Value, look: &Look) -> Cell {
    let max = if look.is_wide() { WIDE_MAX } else { CELL_MAX };
    let text = shown(&plain(value), max);
    if text.is_empty() {
        return Cell {
            text: "-".to_owned(),
            tone: Tone::Faint,
        };
    }
    Cell::plain(text)
}

/// The texts of an array, separated by commas; `none` where there is no array.
pub(crate) fn names(value: &Value, none: &str, look: &Look) -> Cell {
    let Some(values) = value.as_array() else {
        return Cell {
            text: none.to_owned(),
            tone: Tone::Faint,
        };
    };
    let joined: Vec<String> = values.iter().map(plain).collect();
    text(&Value::String(joined.join(",")), look)
}

/// A time: how long ago for a person, the second in UTC for anything else.
pub(crate) fn time(value: &Value, look: &Look) -> Cell {
    let at = value.as_str().and_then(|text| Timestamp::parse(text).ok());
    match at {
        Some(at) if look.relative => Cell::plain(ago(at, look.now)),
        Some(at) if look.is_wide() => Cell::plain(at.to_string()),
        Some(at) => Cell::plain(second(at)),
        None => text(value, look),
    }
}

/// A time without its fraction of a second.
fn second(at: Timestamp) -> String {
    let text = at.to_string();
    let (second, _) = text.split_once('.').unwrap_or((&text, ""));
    format!("{}Z", second.trim_end_matches('Z'))
}

/// How far a time lies from now, in its largest unit.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_micros() - at.as_micros()) / 1_000_000;
    let far = seconds.unsigned_abs();
    let (number, unit) = match far {
        0..60 => (far, "s"),
        60..3_600 => (far / 60, "m"),
        3_600..86_400 => (far / 3_600, "h"),
        _ => (far / 86_400, "d"),
    };
    if seconds < 0 {
        format!("in {number}{unit}")
    } else {
        format!("{number}{unit} ago")
    }
}

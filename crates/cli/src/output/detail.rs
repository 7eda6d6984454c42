//! One thing, field by field.

use std::io::Write;

use domain::Timestamp;
use serde_json::value::RawValue;

use super::Look;
use super::cell::ago;
use super::yaml::{Shape, shape};
use crate::exit::Failure;
use crate::text::shown;

/// The longest value that is shown whole; `-o json` shows longer ones.
const VALUE_MAX: usize = 2_000;

/// Writes every field that the server sent, in its order.
pub(super) fn write(look: &Look, thing: &RawValue, out: &mut dyn Write) -> Result<(), Failure> {
    let Shape::Map(fields) = shape(thing)? else {
        writeln!(out, "{}", shown(thing.get(), VALUE_MAX))?;
        return Ok(());
    };
    let width = fields.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or_default();
    for (name, value) in fields {
        let name = shown(&name, VALUE_MAX);
        writeln!(out, "{name:width$}  {}", in_words(&value, look))?;
    }
    Ok(())
}

fn in_words(value: &RawValue, look: &Look) -> String {
    let Ok(text) = serde_json::from_str::<String>(value.get()) else {
        // Numbers and whatever is nested stay as they came.
        let texts = serde_json::from_str::<Vec<String>>(value.get());
        let words = texts.map_or_else(|_| value.get().to_owned(), |texts| texts.join(", "));
        return shown(&words, VALUE_MAX);
    };
    match Timestamp::parse(&text) {
        Ok(at) if look.relative => format!("{text} ({})", ago(at, look.now)),
        _ => shown(&text, VALUE_MAX),
    }
}

//! YAML, as far as JSON can be said in it.
//!
//! Written from the JSON's own text: fields stay in the server's order and numbers keep all of
//! their digits.

use std::fmt;
use std::io::{self, Write};

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::exit::Failure;
use crate::text::is_acting;

/// How deep YAML nests. What lies deeper is written as JSON, which is YAML too.
pub(super) const DEPTH_MAX: usize = 32;
/// Texts that YAML would take for something else when they stand without quotation marks.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// A JSON value, one level deep.
pub(super) enum Shape {
    Map(Vec<(String, Box<RawValue>)>),
    List(Vec<Box<RawValue>>),
    Text(String),
    /// A number, a truth value or null, as it was written.
    Other(String),
}

/// Reads one level of a JSON value.
pub(super) fn shape(value: &RawValue) -> Result<Shape, Failure> {
    let text = value.get();
    let shape = match text.as_bytes().first() {
        Some(b'{') => serde_json::Deserializer::from_str(text)
            .deserialize_map(Pairs)
            .map(Shape::Map),
        Some(b'[') => serde_json::from_str(text).map(Shape::List),
        Some(b'"') => serde_json::from_str(text).map(Shape::Text),
        _ => Ok(Shape::Other(text.to_owned())),
    };
    shape.map_err(|error| Failure::new(crate::Exit::Failure, format!("bad JSON: {error}")))
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(String, Box<RawValue>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

/// Writes a value as a YAML document without its `---`.
pub(super) fn write(value: &RawValue, out: &mut dyn Write) -> Result<(), Failure> {
    match shape(value)? {
        Shape::Map(pairs) if !pairs.is_empty() => map(pairs, 0, Start::Here, out),
        Shape::List(items) if !items.is_empty() => list(items, 0, out),
        other => {
            scalar(other, out)?;
            Ok(writeln!(out)?)
        }
    }
}

/// Where the first line of a map begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// At its indentation.
    Here,
    /// Behind the hyphen of a list's item.
    AfterHyphen,
}

fn map(
    pairs: Vec<(String, Box<RawValue>)>,
    depth: usize,
    start: Start,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        if index > 0 || start == Start::Here {
            indent(depth, out)?;
        }
        write!(out, "{}:", quoted(&name))?;
        below(&value, depth + 1, out)?;
    }
    Ok(())
}

fn list(items: Vec<Box<RawValue>>, depth: usize, out: &mut dyn Write) -> Result<(), Failure> {
    for item in items {
        indent(depth, out)?;
        write!(out, "-")?;
        match shape(&item)? {
            Shape::Map(pairs) if !pairs.is_empty() && depth < DEPTH_MAX => {
                write!(out, " ")?;
                map(pairs, depth + 1, Start::AfterHyphen, out)?;
            }
            _ => below(&item, depth + 1, out)?,
        }
    }
    Ok(())
}

/// Writes a value behind its name or hyphen, on the same line or on those below.
fn below(value: &RawValue, depth: usize, out: &mut dyn Write) -> Result<(), Failure> {
    if depth > DEPTH_MAX {
        return Ok(writeln!(out, " {}", value.get())?);
    }
    match shape(value)? {
        Shape::Map(pairs) if !pairs.is_empty() => {
            writeln!(out)?;
            map(pairs, depth, Start::Here, out)
        }
        Shape::List(items) if !items.is_empty() => {
            writeln!(out)?;
            list(items, depth, out)
        }
        other => {
            write!(out, " ")?;
            scalar(other, out)?;
            Ok(writeln!(out)?)
        }
    }
}

fn scalar(shape: Shape, out: &mut dyn Write) -> io::Result<()> {
    match shape {
        Shape::Map(_) => write!(out, "{{}}"),
        Shape::List(_) => write!(out, "[]"),
        Shape::Text(text) => write!(out, "{}", quoted(&text)),
        Shape::Other(text) => write!(out, "{text}"),
    }
}

fn indent(depth: usize, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{:width$}", "", width = depth * 2)
}

/// A text as YAML reads it back: bare where nothing in it can be taken for anything else.
fn quoted(text: &str) -> String {
    let first = text.bytes().next();
    let is_bare = first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b'/')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_bare {
        return text.to_owned();
    }
    let json = serde_json::to_string(text).expect("a text is JSON");
    // JSON leaves some as they are, and a terminal would act on them.
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_acting(c) {
            let code = u32::from(c);
            fmt::Write::write_fmt(&mut out, format_args!("\\u{code:04x}"))
                .expect("a String takes everything");
        } else {
            out.push(c);
        }
    }
    out
}

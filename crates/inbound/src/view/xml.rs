//! XML as data. Nothing outside of the document is looked up, and no entity of its own is known.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::Value;

use super::Fields;

/// How deep elements may lie in one another.
pub const DEPTH_MAX: usize = 64;
/// The most elements.
pub const ELEMENTS_MAX: usize = 10_000;
/// The most attributes of one element.
pub const ATTRIBUTES_MAX: usize = 100;

/// An element that is not closed yet.
struct Open {
    name: String,
    fields: Fields,
    text: String,
}

impl Open {
    fn into_named_value(mut self) -> (String, Value) {
        let text = self.text.trim();
        if self.fields.0.is_empty() {
            return (self.name, Value::from(text));
        }
        if !text.is_empty() {
            self.fields.add("#text", Value::from(text));
        }
        (self.name, self.fields.into_value())
    }
}

/// Reads a document; nothing where it is not well formed, or beyond what is looked at.
pub(super) fn parse(bytes: &[u8]) -> Option<Value> {
    let text = str::from_utf8(bytes).ok()?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let (mut open, mut root, mut elements) = (Vec::<Open>::new(), None, 0);
    loop {
        let event = reader.read_event().ok()?;
        match &event {
            Event::Start(start) | Event::Empty(start) => {
                elements += 1;
                let second_root = open.is_empty() && root.is_some();
                if second_root || elements > ELEMENTS_MAX || open.len() == DEPTH_MAX {
                    return None;
                }
                open.push(opened(start)?);
            }
            Event::Text(text) => add(&mut open, text)?,
            Event::CData(data) => open.last_mut()?.text.push_str(data),
            Event::GeneralRef(reference) => open.last_mut()?.text.push(character(reference)?),
            Event::DocType(_) => return None,
            Event::Eof => break,
            Event::End(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
        if matches!(event, Event::End(_) | Event::Empty(_)) {
            let (name, value) = open.pop()?.into_named_value();
            match open.last_mut() {
                Some(parent) => parent.fields.add(&name, value),
                None => root = Some((name, value)),
            }
        }
    }
    let (name, value) = root.filter(|_| open.is_empty())?;
    let mut document = Fields::default();
    document.add(&name, value);
    Some(document.into_value())
}

/// Text belongs to an element; between the root and the ends there is white space only.
fn add(open: &mut [Open], text: &str) -> Option<()> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return None,
    }
    Some(())
}

fn opened(start: &BytesStart<'_>) -> Option<Open> {
    let mut fields = Fields::default();
    let mut attributes = start.attributes();
    // The check for repeated names compares each with each; here they become an array.
    for (index, attribute) in attributes.with_checks(false).enumerate() {
        let attribute = attribute.ok().filter(|_| index < ATTRIBUTES_MAX)?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
        fields.add(&format!("@{}", attribute.key.as_ref()), Value::from(value));
    }
    Some(Open {
        name: start.name().as_ref().to_owned(),
        fields,
        text: String::new(),
    })
}

/// The five that XML knows by itself, and characters by number.
fn character(reference: &BytesRef<'_>) -> Option<char> {
    match &**reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => reference.resolve_char_ref().ok().flatten(),
    }
}

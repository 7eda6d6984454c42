//! Multipart bodies (RFC 7578, and what senders make of it).

use memchr::memmem;
use serde_json::{Value, json};

use super::{Fields, binary};

/// The most parts.
pub const PARTS_MAX: usize = 100;
/// The most bytes of a file that are shown, as base64.
pub const PART_SHOWN_MAX: usize = 16 << 10;
/// The longest boundary (RFC 2046, section 5.1.1), and the longest head of a part.
const BOUNDARY_LEN_MAX: usize = 70;
const HEAD_LEN_MAX: usize = 4 << 10;

/// The boundary that a content type names.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let boundary = parameter(content_type, "boundary")?;
    let fits = (1..=BOUNDARY_LEN_MAX).contains(&boundary.len());
    Some(boundary).filter(|_| fits)
}

/// Reads the fields of a body; nothing where it is not of this form or has too many parts.
pub(super) fn parse(boundary: &str, body: &[u8]) -> Option<Value> {
    let marker = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&marker);
    // The first boundary stands at the very start, or after a preamble.
    let first = &marker.as_bytes()[2..];
    let mut rest = match body.strip_prefix(first) {
        Some(rest) => rest,
        None => &body[finder.find(body)? + marker.len()..],
    };
    let mut fields = Fields::default();
    for _ in 0..=PARTS_MAX {
        if rest.starts_with(b"--") {
            return Some(fields.into_value());
        }
        // White space may stand behind a boundary.
        let line = memmem::find(rest, b"\r\n")?;
        if !rest[..line].iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return None;
        }
        rest = &rest[line..];
        let end = finder.find(rest)?;
        let (name, value) = part(rest.get(2..end).unwrap_or_default())?;
        fields.add(&name, value);
        rest = &rest[end + marker.len()..];
    }
    None
}

/// A part: its headers, an empty line, its content.
fn part(bytes: &[u8]) -> Option<(String, Value)> {
    let split = memmem::find(bytes, b"\r\n\r\n");
    let (head, content) = match split {
        Some(at) => (&bytes[..at], &bytes[at + 4..]),
        // A part without headers begins with the empty line.
        None => (&b""[..], bytes.strip_prefix(b"\r\n")?),
    };
    if head.len() > HEAD_LEN_MAX {
        return None;
    }
    let head = String::from_utf8_lossy(head);
    let header = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition").unwrap_or_default();
    let name = parameter(disposition, "name").unwrap_or_default();
    let content_type = header("content-type");
    let filename = parameter(disposition, "filename");
    let text = str::from_utf8(content).ok().filter(|_| filename.is_none());
    if let Some(text) = text {
        return Some((name, Value::from(text)));
    }
    let mut file = binary(content, PART_SHOWN_MAX);
    file["filename"] = json!(filename);
    file["contentType"] = json!(content_type);
    Some((name, file))
}

/// A parameter of a header: `; name=value` or `; name="value"` with `\"` inside.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = if let Some(quoted) = after.strip_prefix('"') {
            unquoted(quoted)?
        } else {
            let end = after.find(';').unwrap_or(after.len());
            (after[..end].trim().to_owned(), &after[end..])
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next.split_once(';')?.1;
    }
}

/// Reads to the closing quote.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (index, c) in text.char_indices() {
        match c {
            '"' if !escaped => return Some((value, &text[index + 1..])),
            '\\' if !escaped => escaped = true,
            c => {
                // Browsers write a backslash of a file name as it is.
                if escaped && c != '"' && c != '\\' {
                    value.push('\\');
                }
                value.push(c);
                escaped = false;
            }
        }
    }
    None
}

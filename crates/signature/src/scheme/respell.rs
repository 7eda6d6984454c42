//! What a body may have been before something on the way changed it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Another spelling of a body, with what must have happened to it.
pub(super) struct Spelling {
    pub(super) body: Vec<u8>,
    pub(super) what: &'static str,
}

/// Returns other spellings of a body, without those that are no different.
pub(super) fn spellings(body: &[u8]) -> Vec<Spelling> {
    let mut found = BTreeMap::new();
    let mut add = |what: &'static str, body: Vec<u8>| {
        found.entry(body).or_insert(what);
    };
    add("", body.to_vec());
    white_space(body, &mut add);
    characters(body, &mut add);
    if serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        json(body, &mut add);
    }
    add(
        "the body was empty when it was signed, or was lost on its way",
        Vec::new(),
    );
    let different = found.into_iter().filter(|(_, what)| !what.is_empty());
    different
        .map(|(body, what)| Spelling { body, what })
        .collect()
}

const BOM: &[u8] = b"\xef\xbb\xbf";

fn white_space(body: &[u8], add: &mut impl FnMut(&'static str, Vec<u8>)) {
    const TAKEN: &str = "the white space at the end of the body was taken off on its way";
    match body.strip_prefix(BOM) {
        Some(rest) => add("a byte order mark was put before the body", rest.to_vec()),
        None => add(
            "a byte order mark was taken off the body",
            [BOM, body].concat(),
        ),
    }
    add(TAKEN, [body, b"\n"].concat());
    add(TAKEN, [body, b"\r\n"].concat());
    add(
        "white space was put around the body on its way",
        body.trim_ascii().to_vec(),
    );
    let unix: Vec<u8> = lines(body).collect::<Vec<_>>().join(&b"\n"[..]);
    let dos: Vec<u8> = lines(body).collect::<Vec<_>>().join(&b"\r\n"[..]);
    add("line endings of the body were changed (LF to CRLF)", unix);
    add("line endings of the body were changed (CRLF to LF)", dos);
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = body.split(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn characters(body: &[u8], add: &mut impl FnMut(&'static str, Vec<u8>)) {
    let Ok(text) = str::from_utf8(body) else {
        return;
    };
    let latin: Option<Vec<u8>> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect();
    if let Some(latin) = latin {
        add("the body was re-encoded (from Latin-1 to UTF-8)", latin);
    }
    if let Ok(decoded) = STANDARD.decode(text.trim()) {
        add("the body was encoded as base64 on its way", decoded);
    }
    add(
        "the body was encoded as base64 when it was signed",
        STANDARD.encode(body).into_bytes(),
    );
}

const RESERIALISED: &str = "the body was re-serialised on its way: verify the bytes as they came";

/// JSON in the layouts that libraries write.
fn json(body: &[u8], add: &mut impl FnMut(&'static str, Vec<u8>)) {
    for text in [Text::AsItIs, Text::Ascii, Text::Plain] {
        for layout in [
            Layout::Compact,
            Layout::Spaced,
            Layout::Indented(2),
            Layout::Indented(4),
        ] {
            add(RESERIALISED, laid_out(body, layout, text));
        }
    }
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        // Members come out sorted by name.
        add(RESERIALISED, serde_json::to_vec(&value).unwrap_or_default());
    }
}

#[derive(Clone, Copy)]
enum Layout {
    /// `{"a":1,"b":2}`
    Compact,
    /// `{"a": 1, "b": 2}`
    Spaced,
    /// A member a line.
    Indented(usize),
}

#[derive(Clone, Copy)]
enum Text {
    AsItIs,
    /// Everything beyond ASCII as `\u…`.
    Ascii,
    /// Nothing escaped that need not be.
    Plain,
}

/// Writes well-formed JSON in another layout; the order of members and the numbers stay.
fn laid_out(body: &[u8], layout: Layout, text: Text) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut depth = 0_usize;
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'"' => {
                let (string, after) = string(rest);
                respell(string, text, &mut out);
                rest = after;
            }
            b'{' | b'[' => {
                out.push(*byte);
                if !matches!(rest.trim_ascii_start().first(), Some(b'}' | b']')) {
                    depth += 1;
                    layout.line(depth, &mut out);
                }
            }
            b'}' | b']' => {
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    depth = depth.saturating_sub(1);
                    layout.line(depth, &mut out);
                }
                out.push(*byte);
            }
            b',' => {
                out.push(b',');
                match layout {
                    Layout::Spaced => out.push(b' '),
                    layout => layout.line(depth, &mut out),
                }
            }
            b':' if matches!(layout, Layout::Compact) => out.push(b':'),
            b':' => out.extend_from_slice(b": "),
            byte => out.push(*byte),
        }
    }
    out
}

impl Layout {
    fn line(self, depth: usize, out: &mut Vec<u8>) {
        if let Self::Indented(width) = self {
            out.push(b'\n');
            out.resize(out.len() + width * depth, b' ');
        }
    }
}

/// Splits off a string, whose opening quote is gone, with what follows its closing quote.
fn string(rest: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    while end < rest.len() && rest[end] != b'"' {
        end += if rest[end] == b'\\' { 2 } else { 1 };
    }
    let end = end.min(rest.len());
    (&rest[..end], rest.get(end + 1..).unwrap_or_default())
}

fn respell(inside: &[u8], text: Text, out: &mut Vec<u8>) {
    let quoted = [b"\"", inside, b"\""].concat();
    let parsed = serde_json::from_slice::<String>(&quoted).ok();
    match (text, parsed) {
        (Text::AsItIs, _) | (_, None) => out.extend_from_slice(&quoted),
        (Text::Plain, Some(plain)) => {
            out.extend_from_slice(&serde_json::to_vec(&plain).unwrap_or_default());
        }
        (Text::Ascii, Some(plain)) => {
            let written = serde_json::to_string(&plain).unwrap_or_default();
            for unit in written.encode_utf16() {
                match u8::try_from(unit).ok().filter(u8::is_ascii) {
                    Some(byte) => out.push(byte),
                    None => out.extend_from_slice(format!("\\u{unit:04x}").as_bytes()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &str, layout: Layout, text: Text) -> String {
        String::from_utf8(laid_out(body.as_bytes(), layout, text)).unwrap()
    }

    #[test]
    fn json_is_laid_out_as_libraries_do() {
        let body = r#" {"a" : [1, 2.0,{}],"b":"x\/é\"","c":[]} "#;

        assert_eq!(
            written(body, Layout::Compact, Text::AsItIs),
            r#"{"a":[1,2.0,{}],"b":"x\/é\"","c":[]}"#
        );
        assert_eq!(
            written(body, Layout::Spaced, Text::Ascii),
            r#"{"a": [1, 2.0, {}], "b": "x/\u00e9\"", "c": []}"#
        );
        assert_eq!(
            written(r#"{"a":[1,{}]}"#, Layout::Indented(2), Text::Plain),
            "{\n  \"a\": [\n    1,\n    {}\n  ]\n}"
        );
    }

    #[test]
    fn what_is_not_json_is_not_laid_out_and_nothing_panics() {
        for body in [b"".as_slice(), b"\"", b"\"\\", b"{\"a", b"\xff", b"]"] {
            let _ = laid_out(body, Layout::Indented(2), Text::Plain);
            assert!(spellings(body).iter().all(|spelling| spelling.body != body));
        }
    }
}

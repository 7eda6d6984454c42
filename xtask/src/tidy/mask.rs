//! Blanks out what is not code.
//!
//! Rules that look for words and braces must not find them in strings and comments. This is no
//! parser: it knows where literals and comments start and end, and that is enough for text which
//! rustfmt has laid out and rustc has accepted.

/// The same text, line by line and column by column, with a space in place of every character of
/// a comment and of a string's or character's content.
pub(crate) fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match (chars[at], next) {
        ('/', Some('/')) => find(chars, at, |c| c == '\n'),
        ('/', Some('*')) => block_comment_end(chars, at),
        ('"', _) => quoted_end(chars, at + 1, '"'),
        ('\'', _) => character_end(chars, at),
        ('r', Some('"' | '#')) if !follows_word(chars, at) => raw_end(chars, at),
        // `br"…"` and `cr"…"`; of `b"…"` and `b'…'` the letter may stay.
        ('b' | 'c', Some('r')) if !follows_word(chars, at) => {
            let end = raw_end(chars, at + 1);
            if end == at + 1 { at } else { end }
        }
        _ => at,
    }
}

fn follows_word(chars: &[char], at: usize) -> bool {
    at > 0 && is_word(chars[at - 1])
}

/// Whether a character can be part of a name.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    chars[from..]
        .iter()
        .position(|c| wanted(*c))
        .map_or(chars.len(), |found| from + found)
}

/// Block comments nest.
fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A quote starts a character (`'x'`, `'\n'`) or a lifetime (`'a`), which has no end.
fn character_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => quoted_end(chars, at + 1, '\''),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// `r"…"`, `r#"…"#` and so on; `r#name` is a name.
fn raw_end(chars: &[char], at: usize) -> usize {
    let quote = find(chars, at + 1, |c| c != '#');
    if chars.get(quote) != Some(&'"') {
        return at;
    }
    let hashes = quote - at - 1;
    let mut end = quote + 1;
    while end < chars.len() {
        let closes = chars[end] == '"'
            && chars.len() - end > hashes
            && chars[end + 1..=end + hashes].iter().all(|c| *c == '#');
        if closes {
            return end + 1 + hashes;
        }
        end += 1;
    }
    chars.len()
}

//! Sizes and leftovers: lines, functions, files, and words that never merge.

use super::mask::{is_word, mask};
use super::{Violation, is_kind};

const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 800;

/// Says that a line, or with `-file` a whole file, has a reason to be wide: a URL or a snapshot
/// that cannot be broken. What follows the colon is the reason and must be there.
const WIDE_LINE: &str = concat!("tidy", "-wide:");
const WIDE_FILE: &str = concat!("tidy", "-wide-file:");

/// Written apart so that this file may be checked like any other.
const UNFINISHED: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];

/// Checks one file.
pub(crate) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut found = unfinished(path, text);
    if is_kind(path, "rs") {
        found.extend(wide_lines(path, text));
        if !is_test(path) {
            let code = mask(text);
            found.extend(long_functions(path, &code));
            found.extend(long_file(path, &code));
        }
    }
    found
}

/// Checks names alone.
pub(crate) fn leftovers(paths: &[String]) -> Vec<Violation> {
    paths
        .iter()
        .filter(|path| path.ends_with(concat!(".snap", ".new")))
        .map(|path| Violation::new(path, 0, "is a snapshot that nobody has accepted"))
        .collect()
}

/// Whether a file holds nothing but tests, whose sizes are their own business.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests")
}

fn unfinished(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (number, line) in numbered(text) {
        for word in UNFINISHED {
            if has_word(line, word) {
                found.push(Violation::new(path, number, format!("says {word}")));
            }
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn wide_lines(path: &str, text: &str) -> Vec<Violation> {
    if text.lines().any(|line| has_reason(line, WIDE_FILE)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut before = "";
    for (number, line) in numbered(text) {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !has_reason(before, WIDE_LINE) {
            let what = format!("is {columns} columns wide, more than {COLUMNS_MAX}");
            found.push(Violation::new(path, number, what));
        }
        before = line;
    }
    found
}

fn has_reason(line: &str, marker: &str) -> bool {
    line.split_once(marker)
        .is_some_and(|(_, reason)| !reason.trim().is_empty())
}

fn long_file(path: &str, code: &str) -> Option<Violation> {
    let tests = inline_tests(code);
    let lines = code.lines().count() - tests;
    (lines >= FILE_LINES_MAX)
        .then(|| Violation::new(path, 0, format!("has {lines} lines apart from its tests")))
}

/// How many lines the test module inside of a file takes.
fn inline_tests(code: &str) -> usize {
    let Some(start) = code.find("#[cfg(test)]\nmod tests {") else {
        return 0;
    };
    let open = start
        + code[start..]
            .find('{')
            .expect("it is part of what was found");
    lines_between(code, start, closing(code, open))
}

fn long_functions(path: &str, code: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, name) in functions(code) {
        let Some(open) = body(code, at) else { continue };
        let lines = lines_between(code, at, closing(code, open));
        if lines > FUNCTION_LINES_MAX {
            let number = code[..at].matches('\n').count() + 1;
            let what = format!("`{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}");
            found.push(Violation::new(path, number, what));
        }
    }
    found
}

/// Where each `fn name` starts. A type such as `fn(u8)` has no name and is none.
fn functions(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.match_indices("fn ").filter_map(|(at, _)| {
        if code[..at].chars().next_back().is_some_and(is_word) {
            return None;
        }
        let rest = &code[at + 3..];
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        (length > 0).then(|| (at, &rest[..length]))
    })
}

/// Where the body of the function at `at` opens; a declaration in a trait has none.
fn body(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' if depth == 0 => return Some(at + offset),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Where the brace that opens at `open` closes.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset;
        }
    }
    code.len()
}

/// Lines from the one that holds `start` to the one that holds `end`, both included.
fn lines_between(code: &str, start: usize, end: usize) -> usize {
    code[start..end].matches('\n').count() + 1
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

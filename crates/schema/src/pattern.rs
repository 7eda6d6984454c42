//! Patterns: written for ECMA-262, run by an engine whose time is linear.

use regex::{Regex, RegexBuilder};

/// Bytes that one compiled pattern may take.
const SIZE_MAX: usize = 128 * 1024;

/// Compiles a pattern; the error finishes "this value …".
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translated(pattern))
        .size_limit(SIZE_MAX)
        .dfa_size_limit(SIZE_MAX)
        .nest_limit(50)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is a pattern that takes too much memory".to_owned(),
            _ => "is not a pattern that can be run in linear time (no look-around, no \
                  back-references)"
                .to_owned(),
        })
}

/// Writes classes out where the two dialects differ: in ECMA-262 `\d` and `\w` are ASCII, and
/// a bracket inside brackets is only itself.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(chars.next(), in_class, &mut out),
            '[' if in_class => out.push_str("\\["),
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            _ => {
                in_class = match c {
                    '[' => true,
                    ']' => false,
                    _ => in_class,
                };
                out.push(c);
            }
        }
    }
    out
}

fn escape(escaped: Option<char>, in_class: bool, out: &mut String) {
    let class = match escaped {
        Some('d') => "0-9",
        Some('w') => "A-Za-z0-9_",
        Some('D') => "^0-9",
        Some('W') => "^A-Za-z0-9_",
        other => {
            out.push('\\');
            out.extend(other);
            return;
        }
    };
    if in_class && !class.starts_with('^') {
        out.push_str(class);
    } else {
        out.push('[');
        out.push_str(class);
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_mean_what_they_mean_in_the_dialect_of_schemas() {
        for (pattern, text, expected) in [
            (r"^\d+$", "42", true),
            (r"^\d+$", "\u{0b6a}", false),
            (r"^[\w.-]+$", "a_b.c-9", true),
            (r"^[\w.-]+$", "é", false),
            (r"^\W$", "é", true),
            (r"^[^\W]$", "a", true),
            (r"^[[a]+$", "[a", true),
            (r"^[a&&b]+$", "&", true),
            (r"^\p{Letter}+$", "éa", true),
            (r"^a\/b$", "a/b", true),
            ("b", "abc", true),
        ] {
            let compiled = compile(pattern).unwrap();
            assert_eq!(compiled.is_match(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn what_cannot_be_run_within_bounds_is_refused() {
        for pattern in [
            "(?=a)",
            r"(a)\1",
            "[",
            r"\p{L}{1000}{1000}",
            &"(".repeat(60),
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        assert!(
            compile(r"^(\p{L}{1,1000}){1000}$")
                .unwrap_err()
                .contains("memory")
        );
    }
}

//! A bound on the nesting of JSON that is passed on without being parsed into a tree.

/// How deep arrays and objects may be nested in a payload: what common JSON parsers accept.
pub const JSON_DEPTH_MAX: usize = 128;

/// Says whether well-formed JSON nests deeper than [`JSON_DEPTH_MAX`].
///
/// One pass without recursion; brackets inside strings do not count.
pub fn json_nesting_exceeds(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for &byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_strings_only() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));

        assert!(!json_nesting_exceeds(nested(128).as_bytes()));
        assert!(json_nesting_exceeds(nested(129).as_bytes()));
        assert!(!json_nesting_exceeds(
            format!(r#"["\"{}"]"#, "[".repeat(500)).as_bytes()
        ));
        assert!(!json_nesting_exceeds("[[]]".repeat(500).as_bytes()));
    }
}

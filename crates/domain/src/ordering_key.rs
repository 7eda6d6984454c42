//! The key by which messages keep their order.

use std::fmt;

/// What messages that must arrive one after the other have in common, such as an order's number.
///
/// Any text without control characters: it is compared, never sent and never part of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderingKey(Box<str>); // Invariant: passed `parse`.

/// Why a key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrderingKey {
    /// There is no text.
    #[error("must not be empty")]
    Empty,
    /// The text is too long.
    #[error("has {len} characters; at most 128 are allowed")]
    TooLong {
        /// Characters found.
        len: usize,
    },
    /// A control character.
    #[error("has the control character {found:?}")]
    Control {
        /// The first one.
        found: char,
    },
}

impl OrderingKey {
    /// The longest allowed, in characters.
    pub const LEN_MAX: usize = 128;

    /// Checks length and characters.
    pub fn parse(text: &str) -> Result<Self, InvalidOrderingKey> {
        if text.is_empty() {
            return Err(InvalidOrderingKey::Empty);
        }
        let len = text.chars().count();
        if len > Self::LEN_MAX {
            return Err(InvalidOrderingKey::TooLong { len });
        }
        match text.chars().find(|c| c.is_control()) {
            Some(found) => Err(InvalidOrderingKey::Control { found }),
            None => Ok(Self(text.into())),
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_of_up_to_128_characters_is_a_key() {
        for text in ["42", "order/7: é", &"ü".repeat(128)] {
            assert_eq!(OrderingKey::parse(text).expect("allowed").as_str(), text);
        }
    }

    #[test]
    fn empty_long_and_control_characters_are_refused() {
        use InvalidOrderingKey::{Control, Empty, TooLong};

        assert_eq!(OrderingKey::parse(""), Err(Empty));
        let long = OrderingKey::parse(&"a".repeat(129));
        assert_eq!(long, Err(TooLong { len: 129 }));
        assert_eq!(OrderingKey::parse("a\0"), Err(Control { found: '\0' }));
    }
}

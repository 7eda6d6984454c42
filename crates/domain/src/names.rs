//! Names that callers choose: event types, channels, tags, uids and event ids.

use std::fmt;

/// Why a name was refused, in words that finish the sentence "this name …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// There is no text.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than this kind of name may be.
    #[error("has {len} characters; at most {max} are allowed")]
    TooLong {
        /// Characters found.
        len: usize,
        /// Characters allowed.
        max: usize,
    },
    /// A character is not one of the allowed ones.
    #[error("has {found:?}, which is not a letter, a digit or one of - _ .")]
    BadCharacter {
        /// The first character that is not allowed.
        found: char,
    },
    /// The name could be taken for an id of ours.
    #[error("looks like an id of posthaste; choose another")]
    LooksLikeAnId,
}

fn check(text: &str, max: usize) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.len() > max {
        return Err(InvalidName::TooLong {
            len: text.chars().count(),
            max,
        });
    }
    match text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
    {
        Some(found) => Err(InvalidName::BadCharacter { found }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>); // Invariant: passed `parse`.

        impl $name {
            /// The longest allowed, in characters (all are ASCII, so in bytes too).
            pub const LEN_MAX: usize = $max;

            /// Checks length and characters: ASCII letters, digits, `-`, `_` and `.`.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                check(text, Self::LEN_MAX)?;
                Ok(Self(text.into()))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of a kind of event, such as `content.published`.
    EventType, 256
);
name!(
    /// A free-form identifier that endpoints can filter messages by.
    Channel, 128
);
name!(
    /// A label on a message, for searching; it takes no part in routing.
    Tag, 128
);
name!(
    /// The caller's own name for an application or endpoint, usable in place of its id.
    Uid, 256
);
name!(
    /// The caller's own unique id of a message within its application. Never sent to receivers.
    EventId, 256
);

impl EventType {
    /// Returns what is between the full stops, at least one part; parts can be empty.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl Uid {
    /// Parses a uid of a kind whose ids are recognised by `looks_like_id`.
    ///
    /// A uid shaped like an id of its kind would be ambiguous in a path.
    pub fn parse_unlike(text: &str, looks_like_id: fn(&str) -> bool) -> Result<Self, InvalidName> {
        if looks_like_id(text) {
            return Err(InvalidName::LooksLikeAnId);
        }
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_allowed_characters_is_kept_as_given() {
        let name = EventType::parse("Content.published-v2_x").expect("allowed");

        assert_eq!(name.as_str(), "Content.published-v2_x");
    }

    #[test]
    fn empty_long_and_foreign_names_say_what_is_wrong() {
        let refused = |text: &str| EventType::parse(text).expect_err("refused").to_string();

        assert_eq!(refused(""), "must not be empty");
        assert_eq!(
            refused(&"a".repeat(257)),
            "has 257 characters; at most 256 are allowed"
        );
        assert_eq!(
            refused("no spaces"),
            "has ' ', which is not a letter, a digit or one of - _ ."
        );
        assert_eq!(
            refused("a\r\nb"),
            "has '\\r', which is not a letter, a digit or one of - _ ."
        );
    }

    #[test]
    fn a_uid_that_looks_like_an_id_is_refused() {
        let id = crate::ApplicationId::from_bits(1).to_string();

        let result = Uid::parse_unlike(&id, crate::ApplicationId::looks_like);

        assert_eq!(result, Err(InvalidName::LooksLikeAnId));
    }
}

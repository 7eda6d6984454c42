//! What an endpoint can ask for: an event type by name, or all that a pattern stands for.
//!
//! A pattern is segments separated by full stops. `*` stands for exactly one segment, and `**`,
//! which may only come last, for one or more. Everything else stands for itself. There is
//! nothing within a segment to try in two ways, so matching goes once over the name.

use std::fmt;

use crate::EventType;
use crate::names::InvalidName;

const ONE: &str = "*";
const REST: &str = "**";

/// One entry of an endpoint's filter by event type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventTypeFilter {
    /// The event type of exactly this name.
    Literal(EventType),
    /// Every event type that the pattern matches.
    Pattern(EventTypePattern),
}

impl EventTypeFilter {
    /// Parses a name, or a pattern when the text has a `*`.
    pub fn parse(text: &str) -> Result<Self, InvalidEventTypeFilter> {
        if text.contains('*') {
            EventTypePattern::parse(text).map(Self::Pattern)
        } else {
            Ok(Self::Literal(EventType::parse(text)?))
        }
    }

    /// Returns the text, as it was parsed.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Literal(name) => name.as_str(),
            Self::Pattern(pattern) => &pattern.0,
        }
    }

    /// Says whether this asks for an event type, in time linear in the length of both.
    pub fn matches(&self, event_type: &EventType) -> bool {
        match self {
            Self::Literal(name) => name == event_type,
            Self::Pattern(pattern) => pattern.matches(event_type),
        }
    }
}

impl From<EventType> for EventTypeFilter {
    fn from(name: EventType) -> Self {
        Self::Literal(name)
    }
}

impl fmt::Display for EventTypeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text such as `content.*` or `content.**` that stands for many event types.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventTypePattern(Box<str>); // Invariant: passed `parse`.

/// One part of a pattern, between two full stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternSegment<'a> {
    /// Stands for itself.
    Literal(&'a str),
    /// `*`: any one segment.
    One,
    /// `**`: one segment or more, to the end.
    Rest,
}

impl EventTypePattern {
    /// The longest allowed, in characters: as long as an event type.
    pub const LEN_MAX: usize = EventType::LEN_MAX;

    /// The most segments. Whoever looks a name up among many patterns can meet a wildcard and a
    /// literal at each segment, and so 2^10 ways at the worst, however many patterns there are.
    pub const SEGMENTS_MAX: usize = 10;

    fn parse(text: &str) -> Result<Self, InvalidEventTypeFilter> {
        if text.len() > Self::LEN_MAX {
            return Err(InvalidEventTypeFilter::Name(InvalidName::TooLong {
                len: text.chars().count(),
                max: Self::LEN_MAX,
            }));
        }
        let is_allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
        if let Some(found) = text.chars().find(|c| !is_allowed(c)) {
            return Err(InvalidEventTypeFilter::BadCharacter { found });
        }
        let segments: Vec<&str> = text.split('.').collect();
        if segments.len() > Self::SEGMENTS_MAX {
            return Err(InvalidEventTypeFilter::TooManySegments {
                found: segments.len(),
            });
        }
        for (index, &segment) in segments.iter().enumerate() {
            match segment {
                ONE => {}
                REST if index + 1 == segments.len() => {}
                REST => return Err(InvalidEventTypeFilter::RestNotLast),
                partial if partial.contains('*') => {
                    return Err(InvalidEventTypeFilter::PartialSegment {
                        found: partial.to_owned(),
                    });
                }
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// Returns the segments, at least one and at most [`Self::SEGMENTS_MAX`].
    pub fn segments(&self) -> impl Iterator<Item = PatternSegment<'_>> {
        self.0.split('.').map(|segment| match segment {
            ONE => PatternSegment::One,
            REST => PatternSegment::Rest,
            literal => PatternSegment::Literal(literal),
        })
    }

    fn matches(&self, event_type: &EventType) -> bool {
        let mut names = event_type.segments();
        for wanted in self.segments() {
            let Some(name) = names.next() else {
                return false;
            };
            match wanted {
                PatternSegment::Literal(literal) if literal != name => return false,
                PatternSegment::Literal(_) | PatternSegment::One => {}
                PatternSegment::Rest => return true,
            }
        }
        names.next().is_none()
    }
}

/// Why an entry of a filter was refused, in words that finish the sentence "this entry …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEventTypeFilter {
    /// It is no event type, or too long for one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A character is not one of the allowed ones.
    #[error("has {found:?}, which is not a letter, a digit or one of - _ . *")]
    BadCharacter {
        /// The first character that is not allowed.
        found: char,
    },
    /// There are too many segments to match quickly.
    #[error(
        "has {found} segments; at most {} are allowed in a pattern",
        EventTypePattern::SEGMENTS_MAX
    )]
    TooManySegments {
        /// Segments found.
        found: usize,
    },
    /// `**` with something after it.
    #[error("has `**` before its last segment; it can only come last, as in `content.**`")]
    RestNotLast,
    /// A segment with a `*` and something else.
    #[error("has the segment `{found}`; `*` must be a whole segment, as in `content.*`")]
    PartialSegment {
        /// The segment, at most as long as the pattern may be.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(filter: &str, name: &str) -> bool {
        let filter = EventTypeFilter::parse(filter).expect("a filter");
        filter.matches(&EventType::parse(name).expect("a name"))
    }

    #[test]
    fn a_star_is_one_segment_and_two_at_the_end_are_one_or_more() {
        for (filter, yes, no) in [
            ("a.b", &["a.b"][..], &["a", "a.b.c", "a.c", "A.b"][..]),
            ("*", &["a", "content"], &["a.b"]),
            ("**", &["a", "a.b", "a.b.c", "."], &[]),
            (
                "content.*",
                &["content.published", "content."],
                &["content", "content.a.b", "contents.a", "x.content.a"],
            ),
            (
                "content.**",
                &["content.a", "content.a.b.c"],
                &["content", "contents.a"],
            ),
            (
                "*.published",
                &["content.published", ".published"],
                &["published", "a.b.published", "a.published.b"],
            ),
            ("a.*.c", &["a.b.c", "a..c"], &["a.c", "a.b.b.c", "a.b.d"]),
            ("a.*.**", &["a.b.c", "a.b.c.d"], &["a.b", "b.b.c"]),
        ] {
            for name in yes {
                assert!(matches(filter, name), "{filter} {name}");
            }
            for name in no {
                assert!(!matches(filter, name), "{filter} {name}");
            }
        }
    }

    #[test]
    fn what_is_not_a_filter_says_how_to_write_one() {
        let long = format!("*.{}", "a".repeat(255));
        for (text, message) in [
            ("", "must not be empty"),
            (
                "a b",
                "has ' ', which is not a letter, a digit or one of - _ .",
            ),
            (
                "*,a",
                "has ',', which is not a letter, a digit or one of - _ . *",
            ),
            (
                "a.**.b",
                "has `**` before its last segment; it can only come last, as in `content.**`",
            ),
            (
                "**.**",
                "has `**` before its last segment; it can only come last, as in `content.**`",
            ),
            (
                "a.b*",
                "has the segment `b*`; `*` must be a whole segment, as in `content.*`",
            ),
            (
                "***",
                "has the segment `***`; `*` must be a whole segment, as in `content.*`",
            ),
            (&long, "has 257 characters; at most 256 are allowed"),
            (
                "*.*.*.*.*.*.*.*.*.*.*",
                "has 11 segments; at most 10 are allowed in a pattern",
            ),
        ] {
            let refused = EventTypeFilter::parse(text).expect_err("refused");
            assert_eq!(refused.to_string(), message, "{text}");
        }
        assert!(EventTypeFilter::parse("*.*.*.*.*.*.*.*.*.**").is_ok());
        let deep = "a.".repeat(127);
        assert!(
            EventTypeFilter::parse(&deep).is_ok(),
            "a name is no pattern"
        );
    }

    /// Ten thousand wildcards in one text, and in the longest that is allowed.
    #[test]
    fn an_adversarial_pattern_is_refused_or_goes_once_over_the_name() {
        let mut stars = "*.".repeat(10_000);
        stars.push('a');
        assert!(matches!(
            EventTypeFilter::parse(&stars),
            Err(InvalidEventTypeFilter::Name(InvalidName::TooLong { .. }))
        ));
        let name = EventType::parse(&"a.".repeat(128)).expect("a name of 129 segments");
        let longest = format!("{}b", "*.".repeat(EventTypePattern::SEGMENTS_MAX - 1));
        let pattern = EventTypePattern::parse(&longest).expect("a pattern");
        assert!(!pattern.matches(&name));
        assert_eq!(pattern.segments().count(), EventTypePattern::SEGMENTS_MAX);
    }

    /// As the definition reads, without a thought for time.
    fn naive(wanted: &[&str], names: &[&str]) -> bool {
        match (wanted, names) {
            ([], []) => true,
            (["**"], names) => !names.is_empty(),
            ([first, wanted @ ..], [name, names @ ..]) => {
                (*first == "*" || first == name) && naive(wanted, names)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_definition_says(
            wanted in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "*"]), 1..5),
            ends_in_rest: bool,
            name in prop::collection::vec(prop::sample::select(vec!["a", "b", ""]), 1..7),
        ) {
            let mut wanted = wanted;
            if ends_in_rest {
                wanted.push("**");
            }
            let (text, name_text) = (wanted.join("."), name.join("."));
            prop_assume!(!text.is_empty() && !name_text.is_empty());

            prop_assert_eq!(matches(&text, &name_text), naive(&wanted, &name));
        }

        #[test]
        fn any_text_is_refused_or_kept_as_it_is(text in "[ab.*\u{e4} ]{0,24}") {
            if let Ok(filter) = EventTypeFilter::parse(&text) {
                prop_assert_eq!(filter.as_str(), &text);
                prop_assert_eq!(filter.to_string(), text);
            }
        }
    }
}

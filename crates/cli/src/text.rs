//! Values as people write them on a command line.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use domain::Timestamp;

/// A text that never shows: a key or a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Hidden {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a duration such as 500ms, 30s, 5m, 2h or 1d")]
pub(crate) struct InvalidDuration;

/// Parses a whole number and its unit, `50ms`, `30s`, `5m`, `2h` or `1d`.
pub(crate) fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or(InvalidDuration)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(InvalidDuration),
    };
    let total = number.checked_mul(milliseconds).ok_or(InvalidDuration)?;
    Ok(Duration::from_millis(total))
}

/// The text is not a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a time such as 2026-01-31T12:00:00Z, not seconds since 1970, and not a wait such as 10m"
)]
pub(crate) struct InvalidMoment;

/// A point in time, or how long it is until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    At(Timestamp),
    After(Duration),
}

impl Moment {
    pub(crate) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::After(wait) => now.plus(wait),
        }
    }
}

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        if let Ok(seconds) = text.parse() {
            return Ok(Self::At(Timestamp::from_unix_seconds(seconds)));
        }
        let time = Timestamp::parse(text).map(Self::At);
        time.or_else(|_| duration(text).map(Self::After))
            .map_err(|_| InvalidMoment)
    }
}

/// A point in time, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Past(Moment);

impl Past {
    pub(crate) fn before(self, now: Timestamp) -> Timestamp {
        match self.0 {
            Moment::At(time) => time,
            Moment::After(wait) => {
                let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
                Timestamp::from_micros(now.as_micros().saturating_sub(wait).max(0))
            }
        }
    }
}

impl FromStr for Past {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        text.parse().map(Self)
    }
}

/// Says whether a character acts on a terminal instead of standing on it: it moves the cursor,
/// colours, or has what follows read from right to left, by which a text looks like another.
pub(crate) fn is_acting(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c);
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || turns || ends_line
}

/// A text that may be shown on a terminal: what would act on it is replaced, and what is longer
/// than `max` characters is cut.
pub(crate) fn shown(text: &str, max: usize) -> String {
    let mut shown: String = text
        .chars()
        .map(|c| if is_acting(c) { ' ' } else { c })
        .take(max)
        .collect();
    if text.chars().nth(max).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(duration("1d"), Ok(Duration::from_hours(24)));
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 s",
            "5w",
            "99999999999999999999s",
            "1h30m",
        ] {
            assert_eq!(duration(text), Err(InvalidDuration), "{text:?}");
        }
    }

    #[test]
    fn a_moment_is_a_time_a_second_or_a_wait() {
        let now = Timestamp::from_unix_seconds(1_000);
        let from = |text: &str| text.parse::<Moment>().map(|moment| moment.from(now));

        assert_eq!(
            from("1970-01-01T00:00:05Z"),
            Ok(Timestamp::from_unix_seconds(5))
        );
        assert_eq!(
            from("1649367553"),
            Ok(Timestamp::from_unix_seconds(1_649_367_553))
        );
        assert_eq!(from("10m"), Ok(Timestamp::from_unix_seconds(1_600)));
        assert_eq!(from("tomorrow"), Err(InvalidMoment));
    }

    #[test]
    fn a_past_moment_lies_behind() {
        let now = Timestamp::from_unix_seconds(1_000);
        let before = |text: &str| text.parse::<Past>().map(|past| past.before(now));

        assert_eq!(before("10m"), Ok(Timestamp::from_unix_seconds(400)));
        assert_eq!(before("5d"), Ok(Timestamp::from_unix_seconds(0)));
        assert_eq!(before("77"), Ok(Timestamp::from_unix_seconds(77)));
    }

    #[test]
    fn what_is_shown_moves_no_cursor_and_is_cut() {
        assert_eq!(shown("a\u{1b}[31m\nb", 20), "a [31m b");
        assert_eq!(
            shown("a\0\r\u{9b}2Jb\u{202e}c\u{2066}d\u{2028}", 20),
            "a   2Jb c d "
        );
        assert_eq!(
            shown("naïve ☕ 日本 👩\u{200d}🚀", 20),
            "naïve ☕ 日本 👩\u{200d}🚀"
        );
        assert_eq!(shown("abcdef", 3), "abc…");
        assert_eq!(shown("abc", 3), "abc");
    }

    #[test]
    fn a_hidden_text_does_not_show() {
        let hidden: Hidden = "whsec_x".parse().unwrap();

        assert_eq!(format!("{hidden:?}"), "***");
        assert_eq!(hidden.reveal(), "whsec_x");
    }
}

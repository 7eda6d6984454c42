//! The time of signing: how it is written, and how far off it may be.

use std::fmt::Write as _;

use domain::Timestamp;
use serde::Deserialize;

use super::location::Location;
use super::refused::Refused;

/// Where the time of signing is, how it is written, and how far off it may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampRule {
    /// Where it is; the first place that has one counts.
    pub from: Vec<Location>,
    /// How it is written.
    pub unit: TimestampUnit,
    /// How old a signature may be, and how far ahead of this clock, in seconds; `None` for any age.
    pub tolerance: Option<u32>,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimestampUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// `2026-01-31T12:00:00Z`.
    Rfc3339,
    /// `Sat, 31 Jan 2026 12:00:00 GMT`.
    Rfc1123,
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl TimestampUnit {
    /// Returns what a time of this kind is, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Seconds => "a plain number of seconds since 1970",
            Self::Milliseconds => "a plain number of milliseconds since 1970",
            Self::Rfc3339 => "an RFC 3339 time such as 2026-01-31T12:00:00Z",
            Self::Rfc1123 => "an RFC 1123 time such as Sat, 31 Jan 2026 12:00:00 GMT",
        }
    }

    /// Reads a time that is written exactly so.
    ///
    /// Other readers take `+5`, `05`, `5.5` or `5e0`, each of which is signed as another content.
    pub(super) fn parse(self, text: &str) -> Option<Timestamp> {
        match self {
            Self::Seconds => plain_number(text, 12).map(Timestamp::from_unix_seconds),
            Self::Milliseconds => {
                plain_number(text, 15).map(|ms| Timestamp::from_micros(ms.saturating_mul(1_000)))
            }
            Self::Rfc3339 => strict_rfc3339(text),
            Self::Rfc1123 => rfc1123(text),
        }
    }

    /// Writes a time.
    pub(super) fn write(self, at: Timestamp) -> String {
        match self {
            Self::Seconds => at.as_unix_seconds().to_string(),
            Self::Milliseconds => at.as_unix_millis().to_string(),
            Self::Rfc3339 => format!("{}Z", &at.to_string()[..19]),
            Self::Rfc1123 => write_rfc1123(at),
        }
    }
}

impl TimestampRule {
    pub(super) fn read(&self, text: &str) -> Result<Timestamp, Refused> {
        let time = self.unit.parse(text);
        time.ok_or(Refused::TimestampMalformed {
            expected: self.unit.title(),
        })
    }

    pub(super) fn check(&self, signed_at: Timestamp, now: Timestamp) -> Result<(), Refused> {
        let Some(tolerance) = self.tolerance else {
            return Ok(());
        };
        // Neither side comes near the ends of `i64`: fifteen digits, and microseconds in 64 bits.
        let behind = now.as_unix_seconds() - signed_at.as_unix_seconds();
        if behind > i64::from(tolerance) {
            Err(Refused::TooOld { seconds: behind })
        } else if -behind > i64::from(tolerance) {
            Err(Refused::TooNew { seconds: -behind })
        } else {
            Ok(())
        }
    }
}

/// Reads `^[1-9][0-9]*$` of at most `digits` digits.
fn plain_number(text: &str, digits: usize) -> Option<i64> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = all_digits && text.len() <= digits && !text.starts_with('0');
    text.parse().ok().filter(|_| well_formed)
}

/// Holds a text against a pattern in which `9` is a digit and everything else itself.
fn has_shape(text: &str, shape: &str) -> bool {
    let matches = |(byte, wanted): (u8, u8)| match wanted {
        b'9' => byte.is_ascii_digit(),
        _ => byte == wanted,
    };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(matches)
}

fn strict_rfc3339(text: &str) -> Option<Timestamp> {
    let (time, zone) = text.split_at_checked(19)?;
    let fraction = zone.strip_prefix('.').map_or(0, |rest| {
        1 + rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    let zone = &zone[fraction..];
    let offset = has_shape(zone, "+99:99") || has_shape(zone, "-99:99");
    let well_formed = has_shape(time, "9999-99-99T99:99:99")
        && fraction != 1
        && fraction <= 10
        && (zone == "Z" || offset);
    Timestamp::parse(text).ok().filter(|_| well_formed)
}

fn rfc1123(text: &str) -> Option<Timestamp> {
    let (weekday, date) = text.split_once(", ")?;
    let known = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&weekday);
    let month_name = date.get(3..6)?;
    let month = MONTHS.iter().position(|month| *month == month_name)? + 1;
    let shape = format!("99 {month_name} 9999 99:99:99 GMT");
    if !known || !has_shape(date, &shape) {
        return None;
    }
    let (day, year, time) = (&date[..2], &date[7..11], &date[12..20]);
    strict_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

fn write_rfc1123(at: Timestamp) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let text = at.to_string();
    let days = at.as_unix_seconds().div_euclid(86_400).rem_euclid(7);
    let weekday = WEEKDAYS[usize::try_from(days).expect("a remainder of seven is small")];
    let month: usize = text[5..7].parse().expect("a time has a month");
    let mut out = String::with_capacity(29);
    let (year, day, time) = (&text[..4], &text[8..10], &text[11..19]);
    let month = MONTHS[month - 1];
    write!(out, "{weekday}, {day} {month} {year} {time} GMT").expect("a text takes what comes");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        let parse = |text| TimestampUnit::Seconds.parse(text);

        assert_eq!(parse("1"), Some(Timestamp::from_unix_seconds(1)));
        assert!(parse("999999999999").is_some());
        for text in [
            "",
            "0",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1.5",
            "1e0",
            "1abc",
            "NaN",
            "٣",
            "1000000000000",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert!(
            TimestampUnit::Milliseconds
                .parse("999999999999999")
                .is_some()
        );
        assert_eq!(TimestampUnit::Milliseconds.parse("1000000000000000"), None);
    }

    #[test]
    fn dates_are_read_strictly() {
        let at = Timestamp::from_unix_seconds(784_111_777);
        let iso = |text| TimestampUnit::Rfc3339.parse(text);
        let http = |text| TimestampUnit::Rfc1123.parse(text);

        assert_eq!(iso("1994-11-06T08:49:37Z"), Some(at));
        assert_eq!(iso("1994-11-06T09:49:37.000+01:00"), Some(at));
        for text in [
            "1994-11-06 08:49:37Z",
            "1994-11-06T08:49:37",
            "1994-11-06T08:49Z",
            "1994-11-06T08:49:37.Z",
            "1994-13-06T08:49:37Z",
            "1994-11-06T08:49:37z",
            "1994-11-06T08:49:37Z ",
            "+001994-11-06T08:49:37Z",
        ] {
            assert_eq!(iso(text), None, "{text:?}");
        }
        assert_eq!(http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(at));
        for text in [
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "06 Nov 1994 08:49:37 GMT",
            "Sun, ",
        ] {
            assert_eq!(http(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        use TimestampUnit::{Milliseconds, Rfc1123, Rfc3339, Seconds};

        let at = Timestamp::from_unix_seconds(784_111_777);

        assert_eq!(Rfc1123.write(at), "Sun, 06 Nov 1994 08:49:37 GMT");
        for unit in [Seconds, Milliseconds, Rfc3339, Rfc1123] {
            assert_eq!(unit.parse(&unit.write(at)), Some(at), "{unit:?}");
        }
    }
}

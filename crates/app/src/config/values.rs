//! Values as people write them in settings: `5s`, `64MiB`, `a,b`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time, written with units: `500ms`, `20s`, `5m`, `2h`, `90d`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let unreadable = || format!("{text:?} is not a length of time such as 20s, 5m or 1h30m");
        let mut rest = text.trim();
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return Err(unreadable());
        }
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .ok_or_else(unreadable)?;
            let number: u64 = rest[..digits].parse().map_err(|_| unreadable())?;
            rest = &rest[digits..];
            let unit = rest
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(rest.len());
            let millis = match &rest[..unit] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(unreadable()),
            };
            rest = &rest[unit..];
            let part = number.checked_mul(millis).ok_or_else(unreadable)?;
            total = total
                .checked_add(Duration::from_millis(part))
                .ok_or_else(unreadable)?;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ] {
            if millis >= length {
                write!(f, "{}{unit}", millis / length)?;
                millis %= length;
            }
        }
        Ok(())
    }
}

/// A number of bytes: `1024`, `16KiB`, `64MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Size(pub(crate) usize);

impl Size {
    fn parse(text: &str) -> Result<Self, String> {
        let unreadable = || format!("{text:?} is not a size such as 1024, 16KiB or 64MiB");
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let number: usize = text[..digits].parse().map_err(|_| unreadable())?;
        let unit = match text[digits..].trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(unreadable()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(unreadable)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, length) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= length && self.0.is_multiple_of(length) {
                return write!(f, "{}{unit}", self.0 / length);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

macro_rules! text_value {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = match NumberOrText::deserialize(deserializer)? {
                    NumberOrText::Number(number) => number.to_string(),
                    NumberOrText::Text(text) => text,
                };
                Self::parse(&text).map_err(D::Error::custom)
            }
        }
    };
}

text_value!(Span);
text_value!(Size);

/// Several values: an array in the file, joined by commas in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = match toml::Value::deserialize(deserializer)? {
            toml::Value::Array(parts) => parts,
            toml::Value::String(text) if text.trim().is_empty() => Vec::new(),
            toml::Value::String(text) => text
                .split(',')
                .map(|part| toml::Value::String(part.trim().to_owned()))
                .collect(),
            other => vec![other],
        };
        let parsed = parts
            .into_iter()
            .map(T::deserialize)
            .collect::<Result<_, _>>();
        parsed.map(Self).map_err(D::Error::custom)
    }
}

/// A secret: shown as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// A proxy's URL: shown without its user name and password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct ProxyUrl(pub(crate) String);

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By the last `@`, so that a password which should have been escaped is not shown either.
        match self.0.rsplit_once('@') {
            Some((_, address)) => write!(f, "http://***@{address}"),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_and_show_with_units() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("90d", 7_776_000_000),
        ] {
            let span = Span::parse(text).expect("readable");
            assert_eq!(span.0.as_millis(), millis, "{text}");
            assert_eq!(span.to_string(), text);
        }
        for text in ["", "5", "s", "5 s", "-5s", "5x", "99999999999999999999s"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_and_show_with_units() {
        for (text, bytes) in [("1000", 1_000), ("16KiB", 16_384), ("64MiB", 67_108_864)] {
            let size = Size::parse(text).expect("readable");
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string(), text);
        }
        for text in ["", "MiB", "5MB", "-1", "99999999999GiB"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }
}

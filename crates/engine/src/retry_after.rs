//! Reads the `Retry-After` header (RFC 9110, section 10.2.3).

use std::time::Duration;

use domain::Timestamp;

/// Returns the wait that `text` asks for: a number of seconds, or an HTTP date from `now` on.
///
/// A date in the past is no wait. Anything else is `None`; no text makes this fail or overflow.
pub(crate) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long wait, which the caller bounds.
        let seconds = text.parse::<u64>().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds.min(u64::from(u32::MAX))));
    }
    Some(http_date(text)?.since(now))
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, the one form of HTTP date that senders may make.
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let rest = text.strip_suffix(" GMT")?.split_once(", ")?.1;
    let mut parts = rest.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    if parts.next().is_some() || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06T08:49:37Z.
    const NOW: Timestamp = Timestamp::from_unix_seconds(784_111_777);

    #[test]
    fn seconds_and_dates_become_waits() {
        let wait = |text| retry_after(text, NOW).map(|wait| wait.as_secs());

        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait(" 0 "), Some(0));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:00:00 GMT"),
            Some(0),
            "in the past"
        );
        assert_eq!(
            wait("99999999999999999999999999"),
            Some(u64::from(u32::MAX))
        );
    }

    #[test]
    fn garbage_is_no_wait() {
        for text in [
            "",
            "-1",
            "1e308",
            "soon",
            "+5",
            "Sun, 06 Nov 1994 08:50:37",
            "a, b c d e GMT",
        ] {
            assert_eq!(retry_after(text, NOW), None, "{text}");
        }
    }

    /// Whatever a receiver says, adding the wait to a time does not overflow.
    #[test]
    fn no_text_breaks_it() {
        posthaste_fuzz::run("retry-after", |input| {
            let text = String::from_utf8_lossy(input);
            if let Some(wait) = retry_after(&text, NOW) {
                assert!(NOW.plus(wait) >= NOW, "{text}");
            }
        });
    }
}

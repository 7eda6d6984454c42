//! How answers tell where a key stands with its limits.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use service::{Allowance, Standing};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Rides on a request; whoever counts it puts here where its key stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(pub(crate) Arc<OnceLock<Standing>>);

impl Slot {
    pub(crate) fn put(&self, standing: Standing) {
        // A request is counted once.
        let _ = self.0.set(standing);
    }
}

/// Writes the headers of the IETF's draft on rate limits, and `Retry-After` for a refusal.
pub(crate) fn show(standing: &Standing, headers: &mut HeaderMap) {
    let (mut limit, mut policy) = (String::new(), String::new());
    let named = [
        ("requests", standing.requests),
        ("messages", standing.messages),
    ];
    for (name, allowance) in named {
        let Some(one) = allowance else { continue };
        let Allowance {
            quota,
            window,
            remaining,
            reset,
        } = one;
        let comma = if limit.is_empty() { "" } else { ", " };
        write!(limit, "{comma}\"{name}\";r={remaining};t={reset}").expect("a string takes it");
        write!(policy, "{comma}\"{name}\";q={quota};w={window}").expect("a string takes it");
    }
    for (name, value) in [(LIMIT, limit), (POLICY, policy)] {
        let value = HeaderValue::try_from(value).expect("names and numbers are visible ASCII");
        headers.insert(name, value);
    }
    if standing.retry_after > 0 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(standing.retry_after));
    }
}

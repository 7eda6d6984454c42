//! Passing on what a source received: the headers beside a message, or the request as it came.
//!
//! A message that a source received is a message like all others, signed by us. What its provider
//! said in headers goes with it under [`PREFIX`], so that it can neither be taken for ours nor get
//! in the way of how the delivery is framed. An endpoint that asks for the request gets it as it
//! came instead, for a receiver that was written for the provider; our signature then has names
//! that no provider uses.
//!
//! What never leaves is decided in one place, [`domain::may_pass_on`].

use std::sync::Arc;

use domain::{HeaderFilter, TargetUrl, is_plain_suffix, may_pass_on};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use store::Origin;

/// What the names of a provider's headers begin with beside a message.
const PREFIX: &str = "posthaste-from-";
/// Names the request that brought the message, as it is in the log.
pub(crate) const REQUEST: HeaderName = HeaderName::from_static("posthaste-request");
/// Our names for the standard's headers beside a request that is passed on as it came: its own
/// headers may well be the standard's.
pub(crate) const ID: HeaderName = HeaderName::from_static("posthaste-id");
pub(crate) const TIMESTAMP: HeaderName = HeaderName::from_static("posthaste-timestamp");
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("posthaste-signature");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOPS: &str = "webhook-hops";

/// What the log shows in the place of a credential.
const HIDDEN: &[u8] = b"***";
/// What stands before the suffix of a path in the log.
const INBOUND: &str = "/in/***";

/// The standard's own headers, and their older names: a delivery has them already.
const SIGNATURES: [&str; 2] = ["webhook-", "svix-"];

/// What is passed on at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardLimits {
    /// Headers of one request.
    pub headers: usize,
    /// Bytes of their names and values.
    pub header_bytes: usize,
}

impl Default for ForwardLimits {
    fn default() -> Self {
        Self {
            headers: 64,
            header_bytes: 8 * 1024,
        }
    }
}

/// Returns how many deliveries a message is the effect of, the next one included.
pub(crate) fn hops(origin: Option<&Origin>) -> u64 {
    let Some(origin) = origin else {
        return 1;
    };
    let given = origin.headers().filter(|(name, _)| *name == HOPS);
    let hops = given.filter_map(|(_, value)| str::from_utf8(value).ok()?.trim().parse().ok());
    hops.max().unwrap_or(0_u64).saturating_add(1)
}

/// Adds what the provider said in headers, under a name that says so.
pub(crate) fn add_beside(
    headers: &mut HeaderMap,
    origin: &Origin,
    filter: Option<&HeaderFilter>,
    limits: ForwardLimits,
) {
    let skipped = |name: &str| {
        name == CONTENT_TYPE.as_str()
            || name == CONTENT_LENGTH.as_str()
            || SIGNATURES.iter().any(|one| name.starts_with(one))
    };
    for (name, value) in passed_on(origin, filter, limits, skipped) {
        let name = HeaderName::from_bytes(format!("{PREFIX}{name}").as_bytes());
        if let Ok(name) = name {
            headers.append(name, value);
        }
    }
}

/// Returns the headers of a request that is passed on as it came.
pub(crate) fn as_it_came(
    origin: &Origin,
    filter: Option<&HeaderFilter>,
    limits: ForwardLimits,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in passed_on(origin, filter, limits, |_| false) {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.append(name, value);
        }
    }
    // What proxies had written is gone: whom we saw is what we can vouch for.
    if let Ok(peer) = HeaderValue::from_str(&origin.peer) {
        headers.insert(FORWARDED_FOR, peer);
    }
    headers
}

/// Where a header is that the request itself says nothing of.
pub(crate) fn fill_in(headers: &mut HeaderMap, content_type: &HeaderValue, user_agent: &str) {
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, content_type.clone());
    }
    if !headers.contains_key(USER_AGENT)
        && let Ok(own) = HeaderValue::from_str(user_agent)
    {
        headers.insert(USER_AGENT, own);
    }
}

/// The headers that may be passed on and are wanted, as many as the limits allow.
fn passed_on(
    origin: &Origin,
    filter: Option<&HeaderFilter>,
    limits: ForwardLimits,
    skipped: impl Fn(&str) -> bool,
) -> Vec<(String, HeaderValue)> {
    let all: Vec<_> = origin.headers().collect();
    let is_connection = |name: &str| name.eq_ignore_ascii_case("connection");
    let connection: Vec<&[u8]> = all
        .iter()
        .filter(|(name, _)| is_connection(name))
        .map(|(_, value)| *value)
        .collect();
    let mut bytes = 0;
    let mut passed = Vec::new();
    for (name, value) in all {
        let name = name.to_ascii_lowercase();
        let wanted = filter.is_none_or(|filter| filter.allows(&name));
        if !wanted || value == HIDDEN || skipped(&name) || !may_pass_on(&name, &connection) {
            continue;
        }
        let size = bytes + name.len() + value.len();
        if passed.len() == limits.headers || size > limits.header_bytes {
            continue; // A short one behind a long one may still fit.
        }
        if let Ok(value) = HeaderValue::from_bytes(value) {
            bytes = size;
            passed.push((name, value));
        }
    }
    passed
}

/// Returns the method that a request is passed on with.
pub(crate) fn method(origin: &Origin) -> Method {
    const PASSED_ON: [Method; 7] = [
        Method::POST,
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let found = PASSED_ON
        .into_iter()
        .find(|one| one.as_str() == origin.method);
    found.unwrap_or(Method::POST)
}

/// Returns the endpoint's URL with what followed the inbound URL in the request.
pub(crate) fn target(
    own: &Arc<TargetUrl>,
    origin: &Origin,
) -> Result<Arc<TargetUrl>, &'static str> {
    let (path, query) = match origin.path.split_once('?') {
        None => (origin.path.as_str(), None),
        Some((path, query)) => (path, Some(query)),
    };
    let suffix = path.strip_prefix(INBOUND).unwrap_or_default();
    if !is_plain_suffix(suffix) {
        return Err("the request's path leads elsewhere");
    }
    let query = query.map(without_credentials).filter(|it| !it.is_empty());
    if suffix.is_empty() && query.is_none() {
        return Ok(Arc::clone(own));
    }
    let (base, own_query) = match own.as_str().split_once('?') {
        None => (own.as_str(), None),
        Some((base, query)) => (base, Some(query)),
    };
    let queries: Vec<&str> = own_query.into_iter().chain(query.as_deref()).collect();
    let base = if suffix.is_empty() {
        base
    } else {
        base.strip_suffix('/').unwrap_or(base)
    };
    let mut joined = format!("{base}{suffix}");
    if !queries.is_empty() {
        joined.push('?');
        joined.push_str(&queries.join("&"));
    }
    let target =
        TargetUrl::parse(&joined).map_err(|_| "the request's path or query is too long")?;
    if !target.same_origin(own) {
        return Err("the request's path leads elsewhere");
    }
    Ok(Arc::new(target))
}

/// Leaves out of a query what the log shows as a credential.
fn without_credentials(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| {
        let value = pair.split_once('=').map_or(*pair, |(_, value)| value);
        value.as_bytes() != HIDDEN
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests;

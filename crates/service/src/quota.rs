//! How much a key may do in a time: requests per second with a burst, and messages per day.
//!
//! Each key has a bucket of its own in memory, so that one that asks too much costs the others
//! nothing. A restart begins with full buckets.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use domain::{ApiKeyId, Timestamp};
use store::KeyQuota;

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;

/// What holds for keys that say nothing else; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Requests per second; each message of a batch counts as one.
    pub requests_per_second: u32,
    /// So many at once after a pause; 0 is as many as per second.
    pub burst: u32,
    /// Messages per day, UTC.
    pub messages_per_day: u32,
}

impl Quota {
    /// Fills in what a key does not say.
    pub(crate) fn of(self, key: KeyQuota) -> Self {
        Self {
            requests_per_second: key.requests_per_second.unwrap_or(self.requests_per_second),
            burst: key.burst.unwrap_or(self.burst),
            messages_per_day: key.messages_per_day.unwrap_or(self.messages_per_day),
        }
    }

    fn size(self) -> u32 {
        if self.burst == 0 {
            self.requests_per_second
        } else {
            self.burst
        }
    }
}

/// Where a key stands with one of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How much there is at most.
    pub quota: u32,
    /// In how many seconds it comes back.
    pub window: u32,
    /// How much is left.
    pub remaining: u32,
    /// In how many seconds all of it is there again.
    pub reset: u32,
}

/// Where a key stands with the limits that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requests.
    pub requests: Option<Allowance>,
    /// Messages of the day.
    pub messages: Option<Allowance>,
    /// In how many seconds to try again, when something was refused.
    pub retry_after: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Buckets(Mutex<HashMap<ApiKeyId, Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Requests left, below zero after a batch that was larger than what was left.
    tokens: f64,
    /// When they were counted.
    at: Duration,
    day: i64,
    messages: u32,
}

const DAY: u32 = 24 * 3_600;

impl Bucket {
    fn new(quota: Quota, at: Duration, day: i64) -> Self {
        Self {
            tokens: f64::from(quota.size()),
            at,
            day,
            messages: 0,
        }
    }

    fn refill(&mut self, quota: Quota, now: Duration, day: i64) {
        let rate = f64::from(quota.requests_per_second);
        let grown = self.tokens + now.saturating_sub(self.at).as_secs_f64() * rate;
        self.tokens = grown.min(f64::from(quota.size()));
        self.at = now;
        if self.day != day {
            self.day = day;
            self.messages = 0;
        }
    }

    fn standing(&self, quota: Quota, second_of_day: u32) -> Standing {
        let rate = f64::from(quota.requests_per_second);
        let size = f64::from(quota.size());
        let requests = (quota.requests_per_second > 0).then(|| Allowance {
            quota: quota.size(),
            window: seconds(size / rate).max(1),
            remaining: whole(self.tokens),
            reset: seconds((size - self.tokens) / rate),
        });
        let messages = (quota.messages_per_day > 0).then(|| Allowance {
            quota: quota.messages_per_day,
            window: DAY,
            remaining: quota.messages_per_day.saturating_sub(self.messages),
            reset: DAY - second_of_day,
        });
        Standing {
            requests,
            messages,
            retry_after: 0,
        }
    }
}

/// Rounds up to whole seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a u32 holds"
)]
fn seconds(value: f64) -> u32 {
    value.ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// Rounds down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a u32 holds"
)]
fn whole(value: f64) -> u32 {
    value.floor().clamp(0.0, f64::from(u32::MAX)) as u32
}

fn day_of(now: Timestamp) -> (i64, u32) {
    let seconds = now.as_micros().div_euclid(1_000_000);
    let of_day = seconds.rem_euclid(i64::from(DAY));
    let of_day = u32::try_from(of_day).expect("less than a day");
    (seconds.div_euclid(i64::from(DAY)), of_day)
}

impl Service {
    /// Counts a request of the caller; `None` when no limit applies to it.
    pub fn admit(&self, caller: &Caller) -> Result<Option<Standing>, Error> {
        self.with_bucket(caller, |bucket, quota, second| {
            let may = quota.requests_per_second == 0 || bucket.tokens >= 1.0;
            if may {
                bucket.tokens -= 1.0;
            }
            let mut standing = bucket.standing(quota, second);
            if may {
                return Ok(standing);
            }
            let missing = (1.0 - bucket.tokens) / f64::from(quota.requests_per_second);
            standing.retry_after = seconds(missing).max(1);
            Err(Error::RateLimited(standing))
        })
    }

    /// Counts messages that the caller is about to publish: all or none.
    ///
    /// Those of a batch beyond the first count as requests too. A batch is let through while
    /// anything is left, and what it takes too much delays what follows.
    pub(crate) fn spend(&self, caller: &Caller, messages: usize) -> Result<(), Error> {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        let spent = self.with_bucket(caller, |bucket, quota, second| {
            let after = bucket.messages.saturating_add(messages);
            if quota.messages_per_day > 0 && after > quota.messages_per_day {
                let mut standing = bucket.standing(quota, second);
                standing.retry_after = DAY - second;
                return Err(Error::RateLimited(standing));
            }
            bucket.messages = after;
            if quota.requests_per_second > 0 {
                bucket.tokens -= f64::from(messages.saturating_sub(1));
            }
            Ok(bucket.standing(quota, second))
        });
        spent.map(drop)
    }

    /// Gives back what [`Self::spend`] took for messages that were not stored.
    pub(crate) fn refund(&self, caller: &Caller, messages: usize) {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        let _ = self.with_bucket(caller, |bucket, quota, second| {
            bucket.messages = bucket.messages.saturating_sub(messages);
            Ok(bucket.standing(quota, second))
        });
    }

    fn with_bucket(
        &self,
        caller: &Caller,
        change: impl FnOnce(&mut Bucket, Quota, u32) -> Result<Standing, Error>,
    ) -> Result<Option<Standing>, Error> {
        const KEYS_MAX: usize = 100_000;
        let quota = caller.quota;
        let (Some(key), true) = (caller.key, quota != Quota::default()) else {
            return Ok(None);
        };
        if quota.requests_per_second == 0 && quota.messages_per_day == 0 {
            return Ok(None);
        }
        let now = self.0.world.clock.monotonic();
        let (day, second) = day_of(self.now());
        let mut buckets = self.0.buckets.0.lock().expect("no panic while it is held");
        if buckets.len() >= KEYS_MAX && !buckets.contains_key(&key) {
            // Only keys that exist are here; those of long ago are forgotten with the others.
            buckets.clear();
        }
        let bucket = buckets
            .entry(key)
            .or_insert_with(|| Bucket::new(quota, now, day));
        bucket.refill(quota, now, day);
        change(bucket, quota, second).map(Some)
    }
}

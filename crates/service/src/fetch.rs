//! Getting something small from a provider: a certificate that signs, a confirmation.
//!
//! What asks for it comes from outside and is not trusted yet, so there is a bound on everything:
//! how many are under way, how long one takes, how large it is, how many are kept.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::{Phases, TargetUrl};
use env::{Clock, Egress, OutboundRequest, ResponseLimits};
use http::{HeaderMap, Method};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::Service;

/// How long one takes at most.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many are under way at once; who comes then is turned away, and its provider tries again.
const UNDER_WAY_MAX: usize = 8;
/// How many bytes one has at most.
const LEN_MAX: usize = 64 << 10;
/// How many certificates are kept; providers have a handful.
const KEPT_MAX: usize = 64;
/// For how long a certificate is kept.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// For how long a failure is kept, so that a flood of requests is not a flood of look-ups.
const FAILED_FOR: Duration = Duration::from_secs(10);

/// Why there is nothing. For operators: it can name addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// As many as there may be are under way.
    #[error("too many requests to providers are under way")]
    Busy,
    /// It was asked for, and something else came, or nothing.
    #[error("could not get {url}: {why}")]
    Failed {
        /// What was asked for.
        url: String,
        /// What came instead.
        why: String,
    },
}

/// Gets things from providers, through the one vetted way out.
pub(crate) struct Fetcher {
    egress: Arc<dyn Egress>,
    clock: Arc<dyn Clock>,
    room: Semaphore,
    kept: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    until: Duration,
    found: Result<Bytes, FetchError>,
}

impl Fetcher {
    pub(crate) fn new(egress: Arc<dyn Egress>, clock: Arc<dyn Clock>) -> Self {
        Self {
            egress,
            clock,
            room: Semaphore::new(UNDER_WAY_MAX),
            kept: Mutex::default(),
        }
    }

    /// Returns a certificate, kept from last time when that is not long ago.
    ///
    /// The URL has been checked to be the provider's.
    async fn certificate(&self, url: &str) -> Result<Bytes, FetchError> {
        if let Some(found) = self.kept(url) {
            return found;
        }
        let found = self.get(url).await;
        match &found {
            Ok(_) => self.keep(url, found.clone(), KEPT_FOR),
            Err(FetchError::Failed { .. }) => self.keep(url, found.clone(), FAILED_FOR),
            Err(FetchError::Busy) => {}
        }
        found
    }

    fn kept(&self, url: &str) -> Option<Result<Bytes, FetchError>> {
        let kept = self.kept.lock().expect("no panic while it is held");
        let kept = kept.get(url)?;
        (kept.until > self.clock.monotonic()).then(|| kept.found.clone())
    }

    fn keep(&self, url: &str, found: Result<Bytes, FetchError>, keep_for: Duration) {
        let now = self.clock.monotonic();
        let mut kept = self.kept.lock().expect("no panic while it is held");
        kept.retain(|_, kept| kept.until > now);
        if kept.len() >= KEPT_MAX {
            // A certificate that works does not make room for one that could not be had.
            let soonest = kept.iter().min_by_key(|(_, kept)| kept.until);
            if let Some(soonest) = soonest.map(|(url, _)| url.clone()) {
                kept.remove(&soonest);
            }
        }
        let until = now + keep_for;
        kept.insert(url.to_owned(), Kept { until, found });
    }

    /// Gets what is there now.
    async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let _room = self.room.try_acquire().map_err(|_| FetchError::Busy)?;
        self.ask(url).await.map_err(|why| FetchError::Failed {
            url: url.to_owned(),
            why,
        })
    }

    async fn ask(&self, url: &str) -> Result<Bytes, String> {
        let deadline = Instant::now() + TIMEOUT;
        let target = TargetUrl::parse(url).map_err(|error| error.to_string())?;
        let target = Arc::new(target);
        let mut phases = Phases::default();
        let connecting = self.egress.connect(&target, deadline, &mut phases);
        let mut connection = connecting.await.map_err(|error| error.detail)?;
        let request = OutboundRequest {
            method: Method::GET,
            target,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        // One more than there may be, so that more is seen to be more.
        let limits = ResponseLimits {
            read: LEN_MAX + 1,
            kept: LEN_MAX + 1,
            kept_private: LEN_MAX + 1,
        };
        let answer = connection.send(request, limits, deadline, &mut phases);
        let answer = answer.await.map_err(|error| error.detail)?;
        match answer.status {
            200 if answer.body.len() > LEN_MAX => Err(format!("it is larger than {LEN_MAX} bytes")),
            200 => Ok(answer.body),
            status => Err(format!("the answer was {status}")),
        }
    }
}

impl Service {
    /// Returns the certificate at a URL that has been checked to be a provider's: fetched, or
    /// kept from last time when that is not long ago.
    pub async fn certificate(&self, url: &str) -> Result<Bytes, FetchError> {
        self.0.fetcher.certificate(url).await
    }

    /// Returns what is now at a URL that has been checked to be a provider's.
    pub async fn fetch(&self, url: &str) -> Result<Bytes, FetchError> {
        self.0.fetcher.get(url).await
    }

    /// Returns where a request came from, which the operator's proxies may say; `None` when one of
    /// them says something that is no address.
    pub fn client_address<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Option<IpAddr> {
        self.0.world.proxies.client(peer, forwarded_for)
    }
}

#[cfg(test)]
mod tests;

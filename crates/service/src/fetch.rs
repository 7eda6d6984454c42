//! Getting something small from a provider: a certificate that signs, a confirmation.
//!
//! What asks for it comes from outside and is not trusted yet, so there is a bound on everything:
//! how many are under way, how long one takes, how large it is, how many are kept.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::{ErrorClass, Phases, TargetUrl};
use env::{Clock, Egress, EgressError, OutboundRequest, ResponseLimits};
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
        /// The same, without addresses.
        told: String,
    },
}

impl FetchError {
    /// What everybody who may read the log of requests is told: no address is in it.
    pub fn told(&self) -> String {
        match self {
            Self::Busy => self.to_string(),
            Self::Failed { url, told, .. } => format!("could not get {url}: {told}"),
        }
    }
}

/// Why there is nothing, for operators and for everybody.
struct Why {
    why: String,
    told: String,
}

impl From<String> for Why {
    fn from(why: String) -> Self {
        let told = why.clone();
        Self { why, told }
    }
}

impl From<EgressError> for Why {
    fn from(error: EgressError) -> Self {
        Self {
            why: error.detail,
            told: told(error.class).to_owned(),
        }
    }
}

/// A failure to reach a provider, without addresses.
const fn told(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::DestinationNotAllowed => "it is at an address that is refused",
        ErrorClass::DnsNotFound => "its host's name does not exist",
        ErrorClass::DnsFailed => "its host's name could not be resolved",
        ErrorClass::ConnectionRefused => "its host refused the connection",
        ErrorClass::ConnectTimeout => "its host could not be connected to in time",
        ErrorClass::ConnectFailed => "its host could not be connected to",
        ErrorClass::TlsCertificate => "its host has no certificate that can be trusted",
        ErrorClass::TlsFailed => "TLS with its host failed",
        ErrorClass::ConnectionReset => "the connection ended early",
        ErrorClass::Timeout => "no answer came in time",
        ErrorClass::InvalidResponse | ErrorClass::ResponseTooLarge => "the answer is not HTTP",
        ErrorClass::Internal | ErrorClass::PayloadDamaged => "something went wrong on our side",
    }
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
        let asked = self.ask(url).await;
        asked.map_err(|Why { why, told }| FetchError::Failed {
            url: url.to_owned(),
            why,
            told,
        })
    }

    async fn ask(&self, url: &str) -> Result<Bytes, Why> {
        let deadline = Instant::now() + TIMEOUT;
        let target = TargetUrl::parse(url).map_err(|error| Why::from(error.to_string()))?;
        let target = Arc::new(target);
        let mut phases = Phases::default();
        let connecting = self.egress.connect(&target, deadline, &mut phases);
        let mut connection = connecting.await?;
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
        let answer = answer.await?;
        match answer.status {
            200 if answer.body.len() > LEN_MAX => {
                Err(format!("it is larger than {LEN_MAX} bytes").into())
            }
            200 => Ok(answer.body),
            status @ 300..400 => {
                Err(format!("the answer was {status}, and nobody is sent elsewhere").into())
            }
            status => Err(format!("the answer was {status}").into()),
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

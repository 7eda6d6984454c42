//! The network: receivers with moods, and what goes wrong on the way to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{ErrorClass, Phases, TargetUrl};
use env::testing::SeededEntropy;
use env::{
    Connection, Egress, EgressError, Entropy as _, OutboundRequest, OutboundResponse,
    ResponseLimits,
};
use tokio::time::Instant;

use crate::life::Life;
use crate::witness::{Arrival, Witness};

/// How a receiver is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers 200 within milliseconds.
    Well,
    /// Answers 200 after up to this many milliseconds.
    Slow(u64),
    /// Answers with this status.
    Status(u16),
    /// Answers with this status and asks for some seconds.
    RetryAfter(u16, u8),
    /// Takes the request and never answers.
    Hangs,
    /// Takes the delivery, and the connection breaks before its answer.
    LosesAnswers,
    /// Cannot be connected to, for this reason.
    Unreachable(ErrorClass),
    /// Any of the others, anew for each request.
    Fickle,
}

/// All receivers; shared by all lives.
pub(crate) struct Receivers {
    moods: Mutex<BTreeMap<String, Mood>>,
    entropy: SeededEntropy,
}

impl Receivers {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            moods: Mutex::default(),
            entropy: SeededEntropy::new(seed ^ 0x006e_6574),
        }
    }

    pub(crate) fn set(&self, url: &str, mood: Mood) {
        let mut moods = self.moods.lock().expect("no panic while it is held");
        moods.insert(url.to_owned(), mood);
    }

    fn mood(&self, url: &str) -> Mood {
        let moods = self.moods.lock().expect("no panic while it is held");
        match moods.get(url).copied().unwrap_or(Mood::Well) {
            Mood::Fickle => Self::drawn(self.entropy.next_u64()),
            mood => mood,
        }
    }

    /// Draws a mood.
    pub(crate) fn drawn(number: u64) -> Mood {
        let small = u8::try_from(number / 16 % 5).expect("below five");
        match number % 12 {
            0 => Mood::Status(500),
            1 => Mood::Status(503),
            2 => Mood::RetryAfter(429, small),
            3 => Mood::Hangs,
            4 => Mood::LosesAnswers,
            5 => Mood::Unreachable(ErrorClass::ConnectionRefused),
            6 => Mood::Unreachable(ErrorClass::DnsFailed),
            7 => Mood::Unreachable(ErrorClass::TlsFailed),
            8 | 9 => Mood::Slow(3_000),
            _ => Mood::Well,
        }
    }
}

/// One process's way out.
pub(crate) struct Network {
    pub(crate) life: Arc<Life>,
    pub(crate) receivers: Arc<Receivers>,
    pub(crate) witness: Arc<Witness>,
}

#[async_trait]
impl Egress for Network {
    async fn connect(
        &self,
        target: &Arc<TargetUrl>,
        deadline: Instant,
        _: &mut Phases,
    ) -> Result<Box<dyn Connection>, EgressError> {
        self.alive().await;
        if let Mood::Unreachable(class) = self.receivers.mood(target.as_str()) {
            let wait = Duration::from_millis(self.receivers.entropy.next_u64() % 2_000);
            tokio::time::sleep_until(deadline.min(Instant::now() + wait)).await;
            self.alive().await;
            self.witness.unreachable(&self.life, target.as_str());
            return Err(failed(class, false));
        }
        Ok(Box::new(Line {
            network: Self {
                life: Arc::clone(&self.life),
                receivers: Arc::clone(&self.receivers),
                witness: Arc::clone(&self.witness),
            },
            usable: true,
        }))
    }
}

impl Network {
    /// Returns, but never to a dead process.
    async fn alive(&self) {
        if self.life.is_dead() {
            std::future::pending::<()>().await;
        }
    }
}

struct Line {
    network: Network,
    usable: bool,
}

#[async_trait]
impl Connection for Line {
    fn is_usable(&mut self, _: Instant) -> bool {
        self.usable
    }

    async fn send(
        &mut self,
        request: OutboundRequest,
        _: ResponseLimits,
        deadline: Instant,
        _: &mut Phases,
    ) -> Result<OutboundResponse, EgressError> {
        let network = &self.network;
        network.alive().await;
        let header = |name: &str| {
            let value = request.headers.get(name).map(|value| value.to_str());
            value.and_then(Result::ok).unwrap_or_default().to_owned()
        };
        let arrival = Arrival {
            url: request.target.as_str().to_owned(),
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: request.body.clone(),
        };
        let under_way = network.witness.arrived(&network.life, &arrival);
        let result = answer(network, &arrival, deadline).await;
        network.alive().await;
        drop(under_way);
        self.usable = result.is_ok();
        result
    }

    fn peer(&self) -> Option<std::net::SocketAddr> {
        None
    }
}

async fn answer(
    network: &Network,
    arrival: &Arrival,
    deadline: Instant,
) -> Result<OutboundResponse, EgressError> {
    let drawn = network.receivers.entropy.next_u64();
    let pause = |most: u64| Duration::from_millis(1 + drawn % most);
    let (wait, status, retry_after) = match network.receivers.mood(&arrival.url) {
        Mood::Slow(most) => (pause(most), 200, None),
        Mood::Status(status) => (pause(20), status, None),
        Mood::RetryAfter(status, seconds) => (pause(20), status, Some(seconds.to_string())),
        Mood::Hangs => {
            tokio::time::sleep_until(deadline).await;
            return Err(failed(ErrorClass::Timeout, true));
        }
        Mood::LosesAnswers => {
            tokio::time::sleep(pause(20)).await;
            network.witness.took(arrival);
            return Err(failed(ErrorClass::ConnectionReset, true));
        }
        // The connection was there already; what was meant for it is left to the next one.
        Mood::Well | Mood::Unreachable(_) | Mood::Fickle => (pause(5), 200, None),
    };
    tokio::time::sleep_until(deadline.min(Instant::now() + wait)).await;
    if Instant::now() >= deadline {
        return Err(failed(ErrorClass::Timeout, true));
    }
    if status == 200 {
        network.witness.took(arrival);
    }
    Ok(OutboundResponse {
        status,
        retry_after,
        date: None,
        body: Bytes::from_static(b"answer"),
    })
}

fn failed(class: ErrorClass, wrote: bool) -> EgressError {
    EgressError {
        class,
        detail: class.slug().to_owned(),
        wrote,
    }
}

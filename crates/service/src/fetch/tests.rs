use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::ErrorClass;
use env::testing::TokioClock;
use env::{Connection, EgressError, OutboundResponse};
use tokio::sync::Notify;

use super::*;

const URL: &str = "https://provider.example/key.pem";

/// A provider that answers every request alike, and counts them.
struct Provider {
    status: u16,
    body: Bytes,
    asked: AtomicUsize,
    /// Answers only after this is notified, when there is one.
    gate: Option<Notify>,
}

impl Provider {
    fn new(status: u16, body: impl Into<Bytes>) -> Arc<Self> {
        Arc::new(Self {
            status,
            body: body.into(),
            asked: AtomicUsize::new(0),
            gate: None,
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

struct World(Arc<Provider>);

#[async_trait]
impl Egress for World {
    async fn connect(
        &self,
        _: &Arc<TargetUrl>,
        _: Instant,
        _: &mut Phases,
    ) -> Result<Box<dyn Connection>, EgressError> {
        Ok(Box::new(Line(Arc::clone(&self.0))))
    }
}

struct Line(Arc<Provider>);

#[async_trait]
impl Connection for Line {
    fn is_usable(&mut self, _: Instant) -> bool {
        true
    }

    async fn send(
        &mut self,
        request: OutboundRequest,
        limits: ResponseLimits,
        deadline: Instant,
        _: &mut Phases,
    ) -> Result<OutboundResponse, EgressError> {
        assert_eq!(request.method, Method::GET);
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(gate) = &self.0.gate {
            let opened = tokio::time::timeout_at(deadline, gate.notified()).await;
            opened.map_err(|_| EgressError {
                class: ErrorClass::Timeout,
                detail: "no answer in time".to_owned(),
                wrote: true,
            })?;
        }
        Ok(OutboundResponse {
            status: self.0.status,
            retry_after: None,
            date: None,
            body: self.0.body.slice(..self.0.body.len().min(limits.kept)),
        })
    }

    fn peer(&self) -> Option<std::net::SocketAddr> {
        None
    }
}

fn fetcher(provider: &Arc<Provider>) -> Fetcher {
    let world = Arc::new(World(Arc::clone(provider)));
    Fetcher::new(world, Arc::new(TokioClock::new()))
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_asked_for_once_a_day() {
    let provider = Provider::new(200, "certificate");
    let fetcher = fetcher(&provider);

    for _ in 0..3 {
        assert_eq!(fetcher.certificate(URL).await.unwrap(), "certificate");
    }
    assert_eq!(provider.asked(), 1);

    tokio::time::advance(KEPT_FOR).await;
    fetcher.certificate(URL).await.unwrap();
    assert_eq!(provider.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_tried_again_at_once() {
    let provider = Provider::new(500, "");
    let fetcher = fetcher(&provider);

    for _ in 0..3 {
        let error = fetcher.certificate(URL).await.unwrap_err().to_string();
        assert_eq!(error, format!("could not get {URL}: the answer was 500"));
    }
    assert_eq!(provider.asked(), 1);

    tokio::time::advance(FAILED_FOR).await;
    fetcher.certificate(URL).await.unwrap_err();
    assert_eq!(provider.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_refused() {
    let at_most = Provider::new(200, vec![b'a'; LEN_MAX]);
    assert_eq!(fetcher(&at_most).get(URL).await.unwrap().len(), LEN_MAX);

    let larger = Provider::new(200, vec![b'a'; LEN_MAX + 1]);
    let error = fetcher(&larger).get(URL).await.unwrap_err().to_string();
    assert!(error.ends_with("it is larger than 65536 bytes"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_answer_costs_five_seconds() {
    let provider = Arc::new(Provider {
        gate: Some(Notify::new()),
        ..Arc::into_inner(Provider::new(200, "late")).unwrap()
    });
    let started = Instant::now();

    let error = fetcher(&provider).get(URL).await.unwrap_err();

    assert!(matches!(error, FetchError::Failed { .. }), "{error}");
    assert_eq!(started.elapsed(), TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_too_many_are_under_way_is_turned_away_and_that_is_not_remembered() {
    let provider = Arc::new(Provider {
        gate: Some(Notify::new()),
        ..Arc::into_inner(Provider::new(200, "certificate")).unwrap()
    });
    let fetcher = Arc::new(fetcher(&provider));
    let mut under_way = tokio::task::JoinSet::new();
    for number in 0..UNDER_WAY_MAX {
        let fetcher = Arc::clone(&fetcher);
        let url = format!("https://provider.example/{number}");
        under_way.spawn(async move { fetcher.certificate(&url).await.unwrap() });
    }
    while provider.asked() < UNDER_WAY_MAX {
        tokio::task::yield_now().await;
    }

    assert_eq!(fetcher.certificate(URL).await, Err(FetchError::Busy));

    let gate = provider.gate.as_ref().unwrap();
    gate.notify_waiters();
    under_way.join_all().await;
    gate.notify_one();
    assert_eq!(fetcher.certificate(URL).await.unwrap(), "certificate");
}

#[tokio::test(start_paused = true)]
async fn no_number_of_urls_fills_the_memory_or_drives_out_what_works() {
    let good = Provider::new(200, "certificate");
    let fetcher = fetcher(&good);
    fetcher.certificate(URL).await.unwrap();
    let failed = FetchError::Failed {
        url: URL.to_owned(),
        why: "the answer was 404".to_owned(),
        told: String::new(),
    };
    for number in 0..3 * KEPT_MAX {
        fetcher.keep(&number.to_string(), Err(failed.clone()), FAILED_FOR);
    }

    assert_eq!(fetcher.kept.lock().unwrap().len(), KEPT_MAX);
    fetcher.certificate(URL).await.unwrap();
    assert_eq!(good.asked(), 1);
}

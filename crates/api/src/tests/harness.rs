//! The whole API over a store in memory, with receivers that always answer alike.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use domain::{AddressPolicy, ErrorClass, Limits, OwnAddress, Phases, TargetUrl};
use engine::{Engine, EngineConfig};
use env::testing::{SeededEntropy, TokioClock};
use env::{
    Connection, Egress, EgressError, Ids, OutboundRequest, OutboundResponse, ResponseLimits,
};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use service::Service;
use store_sqlite::{Options, SqliteStore};
use tokio::time::Instant;
use tower::ServiceExt;
use vault::{MasterKey, Vault};

/// What a test has to know the key by.
pub(super) const ADMIN_KEY: &str = "ph_test_0123456789abcdefghijklmnopqrstuv";

/// The API, an admin key for it, and the world around it.
pub(super) struct TestApi {
    pub(super) router: Router,
    pub(super) service: Service,
    pub(super) network: Network,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: bytes::Bytes,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }

    /// Returns the body of an answer that must have this status.
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        if self.bytes.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// Asserts the shape that every error has, and returns its `detail`.
    #[track_caller]
    pub(super) fn expect_problem(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert!(self.headers.contains_key("x-request-id"));
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("/docs/errors/{code}"));
        assert_eq!(body["detail"].is_array(), status == 422, "{body}");
        body["detail"].clone()
    }

    /// Asserts that exactly these fields were refused.
    #[track_caller]
    pub(super) fn expect_faults(self, places: &[&str]) {
        let detail = self.expect_problem(422, "validation");
        let found: Vec<String> = detail
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| {
                assert!(fault["msg"].is_string() && fault["type"].is_string());
                let loc = fault["loc"].as_array().unwrap();
                let parts: Vec<_> = loc.iter().map(|part| part.as_str().unwrap()).collect();
                parts.join(".")
            })
            .collect();
        assert_eq!(found, places, "{detail}");
    }
}

impl TestApi {
    pub(super) async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(super) async fn with_limits(limits: Limits) -> Self {
        let store = Arc::new(SqliteStore::open(Options::memory()).unwrap());
        let vault = Vault::new(MasterKey::from_random([7; 32]), Vec::new());
        Self::over(store, vault, 1, limits).await
    }

    /// Starts over what a store has, with a vault of its own and ids from a seed of its own.
    pub(super) async fn over(
        store: Arc<SqliteStore>,
        vault: Vault,
        seed: u64,
        limits: Limits,
    ) -> Self {
        let network = Network::default();
        let vault = Arc::new(vault);
        let clock = Arc::new(TokioClock::new());
        let entropy = Arc::new(SeededEntropy::new(seed));
        let ids = Arc::new(Ids::default());
        let world = engine::Dependencies {
            store: store.clone(),
            egress: Arc::new(network.clone()),
            vault: vault.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            ids: ids.clone(),
            in_hand: None,
        };
        let (engine, loops) = Engine::open(EngineConfig::default(), world).await.unwrap();
        let (intake, delivery) = loops.split();
        tokio::spawn(intake);
        tokio::spawn(delivery);
        let service = Service::new(service::Dependencies {
            store,
            engine,
            vault,
            clock,
            entropy,
            ids,
            limits,
            egress: Arc::new(network.clone()),
            proxies: domain::TrustedProxies::default(),
            addresses: AddressPolicy {
                own: Some(OwnAddress {
                    listen: ([192, 0, 2, 1], 8_411).into(),
                    public: TargetUrl::parse("https://posthaste.example").ok(),
                }),
                ..AddressPolicy::default()
            },
            portal: service::PortalSettings::default(),
            quota: service::Quota::default(),
        });
        let given = Some(ADMIN_KEY.to_owned());
        assert_eq!(service.bootstrap_admin_key(given).await, Ok(None));
        let jobs = service.clone();
        tokio::spawn(async move { jobs.run_request_jobs(std::future::pending()).await });
        let metrics = || "posthaste_up 1\n".to_owned();
        Self {
            router: crate::router(service.clone(), Arc::new(metrics), |_| axum::Router::new()),
            service,
            network,
        }
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // A stream has no end to wait for.
        let streams = parts.headers.get("content-type");
        let bytes = if streams.is_some_and(|kind| kind == "text/event-stream") {
            bytes::Bytes::new()
        } else {
            body.collect().await.unwrap().to_bytes()
        };
        Reply {
            status: parts.status,
            headers: parts.headers,
            bytes,
        }
    }

    /// Sends a request with the admin key, and a JSON body if there is one.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {ADMIN_KEY}"))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[], Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Reply {
        self.call(Method::POST, path, &[], body.to_owned()).await
    }

    /// Posts with an idempotency key.
    pub(super) async fn post_keyed(&self, path: &str, key: &str, body: &str) -> Reply {
        let headers = [("idempotency-key", key)];
        self.call(Method::POST, path, &headers, body.to_owned())
            .await
    }

    pub(super) async fn put(&self, path: &str, body: &str) -> Reply {
        self.call(Method::PUT, path, &[], body.to_owned()).await
    }

    pub(super) async fn patch(&self, path: &str, body: &str) -> Reply {
        self.call(Method::PATCH, path, &[], body.to_owned()).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, &[], Body::empty()).await
    }

    /// Creates an application named `acme`.
    pub(super) async fn acme(&self) {
        let body = r#"{"name": "Acme", "uid": "acme"}"#;
        self.post("/api/v1/app", body).await.expect(201);
    }

    /// Creates an application named `acme` with an endpoint named `hook`.
    pub(super) async fn acme_with_hook(&self) {
        self.acme().await;
        let body = r#"{"url": "https://example.com/hook", "uid": "hook"}"#;
        self.post("/api/v1/app/acme/endpoint", body)
            .await
            .expect(201);
    }

    /// Publishes a message to `acme` and returns its id.
    pub(super) async fn publish(&self, body: &str) -> String {
        let message = self.post("/api/v1/app/acme/msg", body).await.expect(202);
        message["id"].as_str().unwrap().to_owned()
    }

    /// Lets paused time pass until every delivery that is due is recorded.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Receivers that answer every request alike.
#[derive(Clone, Debug, Default)]
pub(super) struct Network(Arc<Mutex<NetworkState>>);

#[derive(Debug, Default)]
struct NetworkState {
    is_down: bool,
    is_hanging: bool,
    /// What is answered at a URL, instead of the thanks that all others answer.
    answers: BTreeMap<String, (u16, bytes::Bytes)>,
    seen: Vec<OutboundRequest>,
}

impl Network {
    /// Makes every connection fail, or work again.
    pub(super) fn set_down(&self, is_down: bool) {
        self.0.lock().unwrap().is_down = is_down;
    }

    /// Makes every request wait for ever, or be answered again.
    pub(super) fn set_hanging(&self, is_hanging: bool) {
        let mut state = self.0.lock().unwrap();
        state.is_hanging = is_hanging;
        state.is_down = false;
    }

    /// Says what is answered at a URL.
    pub(super) fn serve(&self, url: &str, status: u16, body: impl Into<bytes::Bytes>) {
        let mut state = self.0.lock().unwrap();
        state.answers.insert(url.to_owned(), (status, body.into()));
    }

    /// Returns what was sent so far.
    pub(super) fn seen(&self) -> Vec<OutboundRequest> {
        self.0.lock().unwrap().seen.clone()
    }
}

#[async_trait]
impl Egress for Network {
    async fn connect(
        &self,
        _: &Arc<TargetUrl>,
        _: Instant,
        _: &mut Phases,
    ) -> Result<Box<dyn Connection>, EgressError> {
        if self.0.lock().unwrap().is_down {
            return Err(EgressError {
                class: ErrorClass::ConnectionRefused,
                detail: "203.0.113.1:443 refused the connection".to_owned(),
                wrote: false,
            });
        }
        Ok(Box::new(Line(self.clone())))
    }
}

struct Line(Network);

#[async_trait]
impl Connection for Line {
    fn is_usable(&mut self, _: Instant) -> bool {
        !self.0.0.lock().unwrap().is_down
    }

    async fn send(
        &mut self,
        request: OutboundRequest,
        limits: ResponseLimits,
        deadline: Instant,
        _: &mut Phases,
    ) -> Result<OutboundResponse, EgressError> {
        let (is_hanging, answer) = {
            let mut state = self.0.0.lock().unwrap();
            let answer = state.answers.get(request.target.as_str()).cloned();
            state.seen.push(request);
            (state.is_hanging, answer)
        };
        if is_hanging {
            tokio::time::sleep_until(deadline).await;
            return Err(EgressError {
                class: ErrorClass::Timeout,
                detail: "no answer in time".to_owned(),
                wrote: true,
            });
        }
        let (status, body) = answer.unwrap_or((200, "thanks".into()));
        Ok(OutboundResponse {
            status,
            retry_after: None,
            date: None,
            body: body.slice(..body.len().min(limits.kept)),
        })
    }

    fn peer(&self) -> Option<std::net::SocketAddr> {
        None
    }
}

//! The relay's back: per endpoint a queue and a few connections that sign and send.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use posthaste_bench::time::now_nanos;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

/// Connections per endpoint; more were no faster.
const CONNECTIONS: usize = 8;
/// Deliveries in the queues and in flight, over all endpoints.
const ROOM: usize = 1_024;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A message on its way to every endpoint.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) id: HeaderValue,
    pub(super) payload: Bytes,
}

/// Where an endpoint is.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) path: Uri,
}

/// What the front hands to the back.
pub(super) enum Item {
    Message(Message),
    Target(Target),
}

/// The hand-over, possibly from thread to thread.
///
/// The back takes all that has gathered at once, so a busy back is woken once per batch.
pub(super) struct Inbox {
    items: Mutex<Vec<Item>>,
    filled: Notify,
    room: Semaphore,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            items: Mutex::default(),
            filled: Notify::new(),
            room: Semaphore::new(ROOM),
        }
    }
}

impl Inbox {
    /// Waits until that many deliveries fit in.
    pub(super) async fn room_for(&self, deliveries: u32) {
        let permits = self.room.acquire_many(deliveries).await;
        permits.expect("the semaphore is never closed").forget();
    }

    pub(super) fn put(&self, item: Item) {
        self.items
            .lock()
            .expect("no thread panics while it holds this")
            .push(item);
        self.filled.notify_one();
    }

    async fn take(&self) -> Vec<Item> {
        self.filled.notified().await;
        std::mem::take(
            &mut *self
                .items
                .lock()
                .expect("no thread panics while it holds this"),
        )
    }
}

#[derive(Default)]
pub(super) struct Lanes(Vec<Rc<Lane>>);

struct Lane {
    target: Target,
    key: hmac::Key,
    queue: RefCell<VecDeque<Message>>,
    filled: Notify,
}

impl Lanes {
    pub(super) async fn run(mut self, inbox: Arc<Inbox>) {
        loop {
            for item in inbox.take().await {
                match item {
                    Item::Target(target) => self.0.push(Lane::open(target, &inbox)),
                    Item::Message(message) => {
                        for lane in &self.0 {
                            lane.queue.borrow_mut().push_back(message.clone());
                            lane.filled.notify_one();
                        }
                    }
                }
            }
        }
    }
}

impl Lane {
    fn open(target: Target, inbox: &Arc<Inbox>) -> Rc<Self> {
        let lane = Rc::new(Self {
            target,
            key: hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]),
            queue: RefCell::default(),
            filled: Notify::new(),
        });
        for _ in 0..CONNECTIONS {
            tokio::task::spawn_local(Rc::clone(&lane).work(Arc::clone(inbox)));
        }
        lane
    }

    async fn work(self: Rc<Self>, inbox: Arc<Inbox>) {
        let mut connection = None;
        loop {
            let next = self.queue.borrow_mut().pop_front();
            let Some(message) = next else {
                self.filled.notified().await;
                continue;
            };
            // A message that cannot be sent is lost: that is what "bare" means.
            if self.send(&mut connection, message).await.is_err() {
                connection = None;
            }
            inbox.room.add_permits(1);
        }
    }

    async fn send(
        &self,
        connection: &mut Option<SendRequest<Full<Bytes>>>,
        message: Message,
    ) -> anyhow::Result<()> {
        let request = self.request(message)?;
        let sender = match connection {
            Some(sender) => sender,
            None => connection.insert(self.connect().await?),
        };
        sender.ready().await?;
        sender
            .send_request(request)
            .await?
            .into_body()
            .collect()
            .await?;
        Ok(())
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.target.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(sender)
    }

    fn request(&self, message: Message) -> anyhow::Result<Request<Full<Bytes>>> {
        let timestamp = (now_nanos() / 1_000_000_000).to_string();
        let mut context = hmac::Context::with_key(&self.key);
        context.update(message.id.as_bytes());
        context.update(b".");
        context.update(timestamp.as_bytes());
        context.update(b".");
        context.update(&message.payload);
        let mut signature = String::with_capacity(48);
        write!(signature, "v1,{}", STANDARD.encode(context.sign()))?;

        let mut request = Request::new(Full::new(message.payload));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.path.clone();
        let headers = request.headers_mut();
        headers.insert(
            HOST,
            HeaderValue::from_str(&self.target.address.to_string())?,
        );
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(WEBHOOK_ID, message.id);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from_str(&timestamp)?);
        headers.insert(WEBHOOK_SIGNATURE, HeaderValue::from_str(&signature)?);
        Ok(request)
    }
}

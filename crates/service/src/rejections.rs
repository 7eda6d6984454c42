//! What is kept of requests that cause nothing: refused ones, and questions.
//!
//! It happens beside the path of requests. Of each source so many a second are kept, and the rest
//! only counted, so that a flood of forgeries costs what refusing them costs. Why a signature does
//! not hold is found out last, by one task that rests nine times as long as it works: trying a
//! hundred spellings is worth nothing if it slows down a request that is good.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use domain::InboundId;
use signature::scheme::{BODY_LEN_DIAGNOSED, Other, Refused, Suspect, diagnose};
use store::{InboundVerdict, NewInbound};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::Service;
use crate::handshakes::HandshakeAnswer;
use crate::live_sources::LiveSource;
use crate::receive::Incoming;
use crate::sources::counts;

/// What waits to be kept.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    queue: Mutex<Queue>,
    wake: Notify,
    settled: Notify,
    /// Taken from the queue and not done with.
    pending: AtomicUsize,
    started: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Rejected>,
    bytes: usize,
}

#[derive(Debug)]
struct Rejected {
    request: NewInbound,
    case: Option<Case>,
    bytes: usize,
}

/// A refusal that can be diagnosed.
#[derive(Debug)]
struct Case {
    source: Arc<LiveSource>,
    incoming: Incoming,
    refused: Refused,
}

/// Requests that may wait to be kept, and their bytes; beyond, they are only counted.
const WAITING_MAX: usize = 1_024;
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Kept in one transaction at most.
const BATCH: usize = 64;

impl Rejections {
    fn push(&self, rejected: Rejected) -> bool {
        let mut queue = self.queue.lock().expect("no panic while it is held");
        let bytes = queue.bytes + rejected.bytes;
        if queue.waiting.len() >= WAITING_MAX || bytes > WAITING_BYTES_MAX {
            return false;
        }
        queue.bytes = bytes;
        queue.waiting.push_back(rejected);
        self.pending.fetch_add(1, Ordering::AcqRel);
        true
    }

    fn take(&self) -> Vec<Rejected> {
        let mut queue = self.queue.lock().expect("no panic while it is held");
        let count = queue.waiting.len().min(BATCH);
        let taken: Vec<_> = queue.waiting.drain(..count).collect();
        queue.bytes -= taken.iter().map(|one| one.bytes).sum::<usize>();
        taken
    }

    fn done(&self, count: usize) {
        self.pending.fetch_sub(count, Ordering::AcqRel);
        self.settled.notify_waiters();
    }
}

/// Where the provider tells its secret in a handshake, the body is not kept: it may be the secret.
fn hide_told_secret(source: &LiveSource, request: &mut NewInbound) {
    if source.plan.is_keyed_by_handshake() {
        request.body = bytes::Bytes::new();
        request.marks.truncated = request.body_len > 0;
    }
}

impl Service {
    /// Counts a request that was refused, and keeps it if there is room for one more.
    pub(crate) fn reject(
        &self,
        source: &Arc<LiveSource>,
        incoming: &Incoming,
        reason: &str,
        refused: Option<Refused>,
    ) {
        let verdict = InboundVerdict::Rejected;
        let Some(mut request) = self.to_keep(source, incoming, verdict, reason) else {
            return;
        };
        let text = refused.as_ref().map(ToString::to_string);
        request.diagnosis = text.or_else(|| explained(reason).map(str::to_owned));
        let most = self.limits().rejected_bytes;
        if request.body.len() > most {
            request.body.truncate(most);
            // A slice would hold on to all of it.
            request.body = request.body.to_vec().into();
            request.marks.truncated = true;
        }
        let small = incoming.body.len() <= BODY_LEN_DIAGNOSED;
        let case = refused.filter(|_| small).map(|refused| Case {
            source: Arc::clone(source),
            incoming: incoming.clone(),
            refused,
        });
        let of_case = case.as_ref().map_or(0, |case| case.incoming.body.len());
        self.keep(
            source,
            Rejected {
                bytes: request.body.len() + request.headers.len() + of_case,
                request,
                case,
            },
        );
    }

    /// Waits before a refusal is answered, while more come than are kept.
    ///
    /// Whoever forges as fast as answers come is slowed down to what costs nobody anything, and a
    /// provider whose secret is wrong loses a moment.
    pub async fn delay_refusal(&self, source: &LiveSource) {
        let delay = self.limits().refusal_delay;
        // A timer takes until its next tick even for nothing.
        if !delay.is_zero() && source.activity.is_flooded.load(Ordering::Relaxed) {
            tokio::time::sleep(delay).await;
        }
    }

    /// Counts a request that was refused for a reason that is known, and keeps it if there is room.
    pub(crate) fn reject_because(
        &self,
        source: &Arc<LiveSource>,
        incoming: &Incoming,
        reason: &str,
        why: String,
    ) {
        let verdict = InboundVerdict::Rejected;
        if let Some(mut request) = self.to_keep(source, incoming, verdict, reason) {
            request.diagnosis = Some(why);
            hide_told_secret(source, &mut request);
            self.keep_small(source, request);
        }
    }

    /// Keeps a request with as much of its body as is kept of refused ones.
    fn keep_small(&self, source: &LiveSource, mut request: NewInbound) {
        let most = self.limits().rejected_bytes;
        if request.body.len() > most {
            request.body.truncate(most);
            // A slice would hold on to all of it.
            request.body = request.body.to_vec().into();
            request.marks.truncated = true;
        }
        let bytes = request.body.len() + request.headers.len();
        let case = None;
        self.keep(
            source,
            Rejected {
                request,
                case,
                bytes,
            },
        );
    }

    /// Counts a question that was answered, and keeps it if there is room for one more.
    pub(crate) fn note_handshake(
        &self,
        source: &Arc<LiveSource>,
        incoming: &Incoming,
        answer: &HandshakeAnswer,
    ) {
        let verdict = InboundVerdict::Handshake;
        if let Some(mut request) = self.to_keep(source, incoming, verdict, &answer.reason) {
            hide_told_secret(source, &mut request);
            self.keep_small(source, request);
        }
    }

    /// Counts a request, and writes it down if it is to be kept.
    fn to_keep(
        &self,
        source: &LiveSource,
        incoming: &Incoming,
        verdict: InboundVerdict,
        reason: &str,
    ) -> Option<NewInbound> {
        let now = self.now();
        source.activity.count(verdict, now);
        self.count_request(verdict, reason);
        let limits = self.limits();
        let (rate, burst) = (limits.rejected_per_second, limits.rejected_burst);
        let mut bucket = source.activity.rejections.lock().expect("no panic in it");
        let taken = bucket.take(rate, burst, self.0.world.clock.monotonic());
        drop(bucket);
        let flooded = &source.activity.is_flooded;
        flooded.store(taken.is_err(), Ordering::Relaxed);
        if taken.is_err() {
            source.activity.count_not_kept();
            return None;
        }
        let id = InboundId::from_bits(self.fresh_id(now));
        let mut request = self.logged(source, incoming, id, verdict);
        request.reason = Some(reason.to_owned());
        Some(request)
    }

    fn keep(&self, source: &LiveSource, rejected: Rejected) {
        let rejections = &self.0.rejections;
        if !rejections.push(rejected) {
            source.activity.count_not_kept();
            return;
        }
        rejections.wake.notify_one();
        if !rejections.started.swap(true, Ordering::AcqRel) {
            tokio::spawn(self.clone().keep_rejections());
        }
    }

    /// Returns once everything that was refused until now is kept and diagnosed.
    pub async fn rejections_settled(&self) {
        let rejections = &self.0.rejections;
        loop {
            let settled = rejections.settled.notified();
            if rejections.pending.load(Ordering::Acquire) == 0 {
                return;
            }
            settled.await;
        }
    }

    async fn keep_rejections(self) {
        loop {
            let taken = self.0.rejections.take();
            if taken.is_empty() {
                self.0.rejections.wake.notified().await;
                continue;
            }
            let count = taken.len();
            let (requests, cases): (Vec<_>, Vec<_>) = taken
                .into_iter()
                .map(|one| (one.request.clone(), (one.request.id, one.case)))
                .unzip();
            if let Err(error) = self.store().note_requests(requests).await {
                tracing::warn!(%error, "Refused requests could not be kept");
            } else {
                for (id, case) in cases {
                    if let Some(case) = case {
                        self.diagnose(id, case).await;
                    }
                }
            }
            self.0.rejections.done(count);
        }
    }

    async fn diagnose(&self, request: InboundId, case: Case) {
        let began = self.0.world.clock.monotonic();
        let suspects = self.suspects(&case.source).await;
        let found = tokio::task::spawn_blocking(move || case.cause(&suspects)).await;
        let Ok(text) = found else {
            tracing::error!(%request, "A diagnosis panicked");
            return;
        };
        if let Some(text) = text
            && let Err(error) = self.store().diagnose_request(request, &text).await
        {
            tracing::warn!(%error, "A diagnosis could not be kept");
        }
        let worked = self.0.world.clock.monotonic().saturating_sub(began);
        tokio::time::sleep(worked * 9).await;
    }

    /// The secrets that a request may have been signed with, those of neighbours included.
    async fn suspects(&self, source: &LiveSource) -> Suspects {
        let now = self.now();
        let mut suspects = Suspects::default();
        for secret in &source.row.secrets {
            let Ok(text) = self.source_secret(&source.row, secret) else {
                continue;
            };
            if counts(secret, now) {
                suspects.secrets.push(text);
            } else {
                suspects.others.push(("a previous secret".to_owned(), text));
            }
        }
        for other in self.neighbours(&source.row).await {
            let label = if other.application == source.row.application {
                format!("the secret of the source {}", other.id)
            } else {
                // Whoever reads the diagnosis may know this application only.
                "the secret of a source of another application".to_owned()
            };
            for secret in &other.secrets {
                if let Ok(text) = self.source_secret(&other, secret) {
                    suspects.others.push((label.clone(), text));
                }
            }
        }
        suspects
    }

    /// Sources that the request may have been meant for: those of the application, and then the
    /// latest of the organization.
    async fn neighbours(&self, source: &store::Source) -> Vec<store::Source> {
        const OWN: u16 = 16;
        const OTHERS: usize = 32;
        let page = store::PageRequest {
            limit: OWN,
            order: store::Order::Descending,
            cursor: None,
        };
        let own = self.store().sources(source.application, page).await;
        let mut found = own.map(|page| page.items).unwrap_or_default();
        found.retain(|other| other.key != source.key);
        for key in self.0.sources.latest(OTHERS) {
            if let Ok(Some(other)) = self.store().source_by_key(key).await
                && other.organization == source.organization
                && other.application != source.application
            {
                found.push(other);
            }
        }
        found
    }
}

#[derive(Default)]
struct Suspects {
    secrets: Vec<Zeroizing<String>>,
    others: Vec<(String, Zeroizing<String>)>,
}

impl Case {
    fn cause(&self, suspects: &Suspects) -> Option<String> {
        let secrets: Vec<&str> = suspects.secrets.iter().map(|one| one.as_str()).collect();
        let others = suspects
            .others
            .iter()
            .map(|(label, secret)| Other { label, secret });
        let others: Vec<_> = others.collect();
        let (url, headers) = (self.source.url_of(&self.incoming), self.incoming.pairs());
        let cause = diagnose(
            &self.source.plan.scheme,
            &self.incoming.as_request(&url, &headers),
            &Suspect {
                secrets: &secrets,
                others: &others,
            },
            &self.refused,
            self.incoming.at,
        )?;
        Some(format!("{}: {}", self.refused, cause.text))
    }
}

/// What to say of a reason that has no more to it.
fn explained(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "address_not_allowed" => {
            "the request's address is not among `allowedIps`; behind a proxy, \
             `server.trusted_proxies` must name the proxy"
        }
        "loop_detected" => {
            "`webhook-hops` says that deliveries of ours lead back here, round after round"
        }
        "paused" => "the source is paused",
        "rate" => "more requests came than `requestsPerSecond` allows",
        "too_large" => "the body is larger than `maxBodyBytes`, and was not read",
        "type" => "the body is compressed, or of a type that is not among `contentTypes`",
        "method" => "only POST is taken in, and this was no question of the provider's",
        "key_unavailable" => "the certificate to verify with could not be fetched",
        _ => return None,
    })
}

//! Idempotency keys: how a repeated request is recognised.

use std::future::Future;

use aws_lc_rs::digest::{Context, SHA256};
use store::{Idempotency, IdempotencyKind};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;

/// A request that carries an idempotency key.
#[derive(Clone, Copy, Debug)]
pub struct IdempotentRequest<'a> {
    /// The key, as the caller chose it.
    pub key: &'a [u8],
    /// The method.
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The body's bytes.
    pub body: &'a [u8],
}

impl Service {
    /// Turns a request's key into what the store compares.
    ///
    /// Only hashes are kept: a key is the caller's own text and may say anything.
    pub fn idempotency(
        &self,
        caller: Caller,
        request: &IdempotentRequest<'_>,
    ) -> Result<Idempotency, Error> {
        let bytes = request.key.len();
        let max = self.limits().idempotency_key_bytes;
        if bytes == 0 || bytes > max {
            let msg = format!("has {bytes} bytes; 1 to {max} are allowed");
            return Err(Error::field(&["header", "idempotency-key"], msg));
        }
        // Client libraries make such a key for each call, to repeat it within seconds.
        let kind = if request.key.starts_with(b"auto_") {
            IdempotencyKind::Automatic
        } else {
            IdempotencyKind::Chosen
        };
        // Those who see one application only have keys of their own: neither may find out which
        // ones the other has used.
        let organization = caller.organization.0.to_be_bytes();
        let application = caller.application.map_or(0, |key| key.0).to_be_bytes();
        let [method, path] = [request.method.as_bytes(), request.path.as_bytes()];
        Ok(Idempotency {
            kind,
            key: hash(&[&organization, &application, request.key]),
            fingerprint: hash(&[method, path, request.body]),
        })
    }
}

/// Requests of [`Service::once`] that are at work, by a few bits of their keys.
#[derive(Debug)]
pub(crate) struct AtWork(Vec<tokio::sync::Mutex<()>>);

impl Default for AtWork {
    fn default() -> Self {
        Self(
            (0..=u8::MAX)
                .map(|_| tokio::sync::Mutex::default())
                .collect(),
        )
    }
}

impl Service {
    /// Does what a request asks for, unless its key says that this was done; then answers with how
    /// things are `today`.
    ///
    /// For what changes a thing that exists (pause, expire, cancel): the effect and the note of it
    /// are two commits. Whoever crashes in between finds the same done again by a retry, seconds
    /// later. Two requests with one key wait for each other.
    pub async fn once<T>(
        &self,
        idempotency: Option<Idempotency>,
        effect: impl Future<Output = Result<T, Error>>,
        today: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(idempotency) = idempotency else {
            return effect.await;
        };
        let place = usize::from(idempotency.key[0]);
        let _alone = self.0.at_work.0[place].lock().await;
        let now = self.now();
        if self.store().was_done(&idempotency, now).await? {
            return today.await;
        }
        let done = effect.await?;
        self.store().note_done(idempotency, now).await?;
        Ok(done)
    }
}

/// Returns half of the SHA-256 of the parts, each with its length in front.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

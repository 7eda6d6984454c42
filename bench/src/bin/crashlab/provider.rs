//! The provider whose webhooks come in at a source, signed as Standard Webhooks says.
//!
//! A webhook is sent until it is answered, like a publish with a key: its id is the key. Beyond
//! that, providers repeat what they had an answer to, sooner or later: every eighth message is
//! followed by one of the webhooks of before, drawn from the seed, often from before a kill. It
//! must be answered like the first time, and be known as a repeat.

use std::cell::RefCell;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use posthaste_bench::client::Reply;
use posthaste_bench::webhook::Signer;
use serde_json::Value;

use crate::message::{Messages, signer};
use crate::seed::Numbers;

/// A request to make.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// A webhook that was taken in, as the answer said.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) sequence: u64,
    id: String,
}

/// What is sent to the source.
#[derive(Debug)]
pub(crate) struct Provider {
    path: String,
    signer: Signer,
    messages: Messages,
    taken: RefCell<Vec<Taken>>,
}

impl Provider {
    pub(crate) fn new(path: String, messages: Messages) -> Self {
        Self {
            signer: signer(),
            path,
            messages,
            taken: RefCell::new(Vec::new()),
        }
    }

    /// Makes the webhook of a message, signed now.
    pub(crate) fn call(&self, sequence: u64) -> Call {
        let body = self.messages.payload(sequence);
        let id = self.messages.name(sequence);
        Call {
            path: self.path.clone(),
            headers: self.signer.headers(&id, &body).into(),
            body: body.into(),
        }
    }

    /// Remembers a webhook that was taken in.
    pub(crate) fn accepted(&self, sequence: u64, id: &str) {
        if Messages::is_received(sequence) {
            let id = id.to_owned();
            self.taken.borrow_mut().push(Taken { sequence, id });
        }
    }

    /// Returns the webhook that is to be sent again after this message.
    pub(crate) fn repeats_after(&self, sequence: u64) -> Option<Taken> {
        let taken = self.taken.borrow();
        if sequence % 8 != 3 || taken.is_empty() {
            return None;
        }
        let mut numbers = Numbers::new(self.messages.seed ^ sequence);
        Some(taken[numbers.below(taken.len())].clone())
    }
}

impl Taken {
    /// Says what is wrong with the answer to the repeat.
    pub(crate) fn objection(&self, reply: &Reply) -> Option<String> {
        let known = reply.headers.get("posthaste-duplicate");
        let known = known.is_some_and(|value| value == "true");
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if reply.status == StatusCode::OK && known && body["id"] == self.id.as_str() {
            return None;
        }
        let Self { sequence, id } = self;
        let (status, answer) = (reply.status, String::from_utf8_lossy(&reply.body));
        Some(format!(
            "the webhook {sequence} ({id}), sent again, was answered {status} {answer}, \
             known as a repeat: {known}"
        ))
    }
}

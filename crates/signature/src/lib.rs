//! Signs what posthaste sends and verifies what it receives, after Standard Webhooks 1.0.0.
//!
//! What is signed is `id.timestamp.body`: the message's id, the second of the attempt and the bytes
//! of the body as they travel. A `webhook-signature` header is a list of signatures separated by
//! one space, each with its version: `v1,` is HMAC-SHA256 with a [`Secret`], `v1a,` is Ed25519 with
//! a [`PrivateKey`]. During a rotation a message carries one signature for each live key.
//!
//! - [`Signer`] holds an endpoint's keys ready for use and writes the header.
//! - [`Verifier`] decides about a request; [`Refused`] says in plain words why not.
//! - [`scheme`] verifies what other senders sign in ways of their own.
//!
//! What this crate relies on: the caller gives the body's raw bytes, before any decoding, and the
//! headers as they came. What it does not do: it reads no clock, draws no random bytes, knows no
//! HTTP types, and keeps no record of ids already seen.
#![warn(missing_docs)]

mod ed25519;
mod id;
pub mod scheme;
mod secret;
mod sign;
mod verify;

pub use ed25519::{PrivateKey, PublicKey};
pub use id::{InvalidWebhookId, WEBHOOK_ID_LEN_MAX, check_webhook_id};
pub use secret::{InvalidKey, Secret};
pub use sign::{Signer, SigningKey};
pub use verify::{Received, Refused, SIGNATURES_MAX, Verifier, VerifyingKey};

//! What other systems send, taken apart: bodies as data, CloudEvents, and samples of every kind.
//!
//! - [`cloud_events`] reads the events of a request, however they are packed.
//! - [`samples`] are requests as providers send them, signed, and spoiled on demand.
//! - [`view`] shows a request as data: its body as JSON, form, multipart, XML, text or bytes.
//!
//! What this crate relies on: a request has been verified over its raw bytes before anything here
//! reads them. What it does not do: it changes no byte that is stored or sent on, reads no clock,
//! opens no connection, and gives up nothing because of a body that it cannot read.
#![warn(missing_docs)]

pub mod cloud_events;
pub mod samples;
pub mod view;

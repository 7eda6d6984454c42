//! The API as its clients meet it: a router over a store in memory, and raw sockets.

mod access;
mod applications;
mod attempts;
mod audit;
mod description;
mod endpoint_messages;
mod endpoints;
mod errors;
mod event_types;
mod fuzz;
mod harness;
mod health;
mod idempotency;
mod keys;
mod limits;
mod messages;
mod portal;
mod publish;
mod raw;
mod schemas;
mod signatures;
mod sockets;
mod stream;
mod tenancy;
mod tls;
mod trace;

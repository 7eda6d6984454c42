//! The API as its clients meet it: a router over a store in memory, and raw sockets.

mod raw;
mod sockets;

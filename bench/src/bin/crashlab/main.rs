//! Kills the server under load and counts what was lost.
fn main() {}

//! Commands about things: a noun, a verb, and what the API does with them.

pub(crate) mod app;
pub(crate) mod endpoint;
#[cfg(test)]
mod tests;

//! Checks JSON values against JSON Schemas, draft 2020-12, within bounds.
//!
//! A [`Schema`] is compiled once and checks many values. What it was compiled from comes from
//! tenants, and so does what it checks; so nothing here can take long or fetch anything:
//!
//! - A reference leads to a place of the same document, or the schema is refused.
//! - Patterns run in linear time, each with a bound on its compiled size, and are counted.
//! - A check has a budget of steps: schemas exist whose evaluation takes exponential time
//!   (two branches that both descend into the same child are enough), whoever evaluates them.
//! - Depth is bounded, so neither a deep value nor a reference to itself overflows the stack.
//!
//! What it does not do: `format` and the `content…` keywords are notes for people, as that draft
//! has them by default. Other drafts are told apart by [`is_other_draft`] and not compiled.
#![warn(missing_docs)]

mod check;
mod compile;
mod keywords;
mod number;
mod pattern;
mod resources;

pub use check::{MISMATCHES_MAX, Mismatch};
pub use compile::{Bounds, Invalid, Schema, is_other_draft};

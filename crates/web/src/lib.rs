//! Pages, rendered here and served by this process: nothing is fetched from anywhere else.
//!
//! So far the documentation. A page works without scripts, says in its `Content-Security-Policy`
//! that nothing but its own style and script may load, and shows foreign text as text.
#![warn(missing_docs)]

mod docs;
mod layout;

pub use docs::routes as docs;

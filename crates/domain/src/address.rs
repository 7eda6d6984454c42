//! Which addresses may be called.
/// Policy.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {}
/// Why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not allowed")]
pub struct Refusal;

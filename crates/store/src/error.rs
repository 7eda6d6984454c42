//! What a store can answer instead of success.

/// Everything a caller would handle differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The thing named does not exist.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Something with this unique value exists.
    #[error("this {0} already exists")]
    Conflict(&'static str),
    /// An idempotency key came back with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A named limit would be passed.
    #[error("the limit {name} of {max} is reached")]
    Limit {
        /// The limit's name, as in the settings.
        name: &'static str,
        /// Its value.
        max: u64,
    },
    /// It would leave things in a state that nobody can get out of.
    #[error("{0}")]
    Refused(&'static str),
    /// The caller is no longer the owner of the shard.
    #[error("another owner has taken the shard")]
    Fenced,
    /// The store has too much to do; trying again later may work.
    #[error("the store is too busy")]
    Busy,
    /// The disk is full; it heals when there is room again.
    #[error("the disk is full")]
    Full,
    /// Anything else; the cause is for the log only.
    #[error("{0}")]
    Failed(String),
}

//! Integer keys of stored rows: small, fast to compare, and never shown outside.

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);
    };
}

key!(
    /// An organization's row.
    OrganizationKey
);
key!(
    /// An application's row.
    ApplicationKey
);
key!(
    /// An endpoint's row: the destination of its deliveries.
    EndpointKey
);
key!(
    /// A message's row: the first 63 bits of its id, so it orders by time of publishing.
    MessageKey
);
key!(
    /// A job's row.
    JobKey
);
key!(
    /// A source's row.
    SourceKey
);
key!(
    /// An inbound request's row: the first 63 bits of its id, so it orders by time.
    InboundKey
);
key!(
    /// One URL that an endpoint has had; attempts point at the one that they used.
    UrlKey
);

impl MessageKey {
    /// Returns the smallest key that a message published at `at` can have.
    pub fn first_at(at: crate::Timestamp) -> Self {
        let millis = at.as_unix_millis() & ((1 << 42) - 1);
        Self(i64::try_from(millis << 21).expect("63 bits fit"))
    }
}

impl InboundKey {
    /// Returns the smallest key that a request received at `at` can have.
    pub fn first_at(at: crate::Timestamp) -> Self {
        Self(MessageKey::first_at(at).0)
    }
}

/// Counts the owners that a shard has had; what an earlier owner records is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub i64);

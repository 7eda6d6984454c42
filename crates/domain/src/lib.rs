//! The nouns of posthaste and the decisions about them, as pure values and functions.
//!
//! Nothing here waits, reads a clock, draws a random number or opens a file: time and chance are
//! arguments. Whatever comes from outside is parsed here once into a type that cannot be wrong,
//! and is not checked again further in.
#![warn(missing_docs)]

mod address;
mod attempt;
mod delivery;
mod event_type_filter;
mod forwarded;
mod forwarding;
mod ids;
mod json;
mod keys;
mod limits;
mod names;
mod ordering_key;
mod own_address;
mod retry;
mod shard;
mod subscription;
mod target_url;
mod timestamp;
mod tuning;

pub use address::{AddressKind, AddressPolicy, Cidr, InvalidCidr, Refusal};
pub use attempt::{AttemptNumber, AttemptStatus, ErrorClass, Phases, Trigger};
pub use delivery::{CancelReason, DeliveryState, DisabledReason, FailReason};
pub use event_type_filter::{
    EventTypeFilter, EventTypePattern, InvalidEventTypeFilter, PatternSegment,
};
pub use forwarded::TrustedProxies;
pub use forwarding::{
    DeliverAs, HOPS_MAX, HeaderFilter, InvalidHeaderFilter, is_plain_suffix, may_pass_on,
};
pub use ids::{
    ApiKeyId, ApplicationId, AttemptId, EndpointId, IdSequence, InboundId, InvalidId, JobId,
    MessageId, OrganizationId, SourceId,
};
pub use json::{JSON_DEPTH_MAX, json_nesting_exceeds};
pub use keys::{
    ApplicationKey, EndpointKey, Epoch, InboundKey, JobKey, MessageKey, OrganizationKey, SourceKey,
    UrlKey,
};
pub use limits::Limits;
pub use names::{Channel, EventId, EventType, InvalidName, Tag, Uid};
pub use ordering_key::{InvalidOrderingKey, OrderingKey};
pub use own_address::OwnAddress;
pub use retry::{InvalidSchedule, Next, Outcome, RetryPolicy, RetrySchedule};
pub use shard::{SHARD_COUNT, ShardId};
pub use subscription::Subscription;
pub use target_url::{InvalidTargetUrl, TargetHost, TargetUrl, UrlScheme};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use tuning::Tuning;

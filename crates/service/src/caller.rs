//! Who asks, and for whose things.

use std::fmt;

use domain::{ApiKeyId, ApplicationKey, OrganizationKey};
use store::{Capabilities, Scope};

use crate::quota::Quota;

/// Who asks, once the key is known: what every command and query begins with.
///
/// Nothing of another organization is ever found for it, and when it is held to one application,
/// nothing outside of that: such things do not exist for it, rather than being forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key, by its public id; `None` is posthaste itself.
    pub key: Option<ApiKeyId>,
    /// Whose key it is.
    pub organization: OrganizationKey,
    /// The one application it is held to.
    pub application: Option<ApplicationKey>,
    /// What it may do. Routes say which scopes they are open to.
    pub scope: Scope,
    /// What a portal token allows; nothing for other keys, whose scope says it all.
    pub capabilities: Capabilities,
    /// How much it may do in a time.
    pub quota: Quota,
    /// The request, for the log and the audit trail.
    pub request: Option<RequestId>,
}

impl Caller {
    /// Makes the caller that posthaste itself is when it acts within an organization.
    pub fn system(organization: OrganizationKey) -> Self {
        Self {
            key: None,
            organization,
            application: None,
            scope: Scope::Admin,
            capabilities: Capabilities::NONE,
            quota: Quota::default(),
            request: None,
        }
    }

    /// Says whether an application of its organization exists for it.
    pub fn may_see(&self, application: ApplicationKey) -> bool {
        self.application.is_none_or(|only| only == application)
    }

    /// Says whether it is shown addresses and exact errors of connections.
    ///
    /// To a customer they would be a way to look around in the operator's network.
    pub const fn sees_exact_errors(&self) -> bool {
        self.application.is_none()
    }

    pub(crate) fn may_create_applications(&self) -> bool {
        self.application.is_none() && self.scope == Scope::Admin
    }
}

/// Names a request in its answer, in the log and in the audit trail: `5f2d09c1-00002a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// Tells processes apart.
    pub process: u32,
    /// Counts the requests of one process.
    pub count: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:06x}", self.process, self.count)
    }
}

//! What each route asks of whoever calls it: one table, which [`Access`] reads.
//!
//! A route without an entry refuses everybody, and fails the test that walks the API's
//! description: forgetting a route shows before anybody can call it.
//!
//! [`Access`]: crate::extract::Access

use std::collections::HashMap;
use std::sync::LazyLock;

use http::Method;
use service::{Caller, Capability, Scope};

/// What a call does, as scopes tell calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Reads what is no secret: the scopes `admin` and `read`.
    Read,
    /// Publishes messages: the scopes `admin` and `publish`.
    Publish,
    /// Changes something, or reads what only an admin may know: the scope `admin`.
    Write,
    /// Concerns the portal token itself: no other key has a session.
    Session,
}

/// Whose things a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The whole organization: refused to keys of one application.
    Organization,
    /// What lies below `{app_id}`, or what everybody in the organization shares.
    Application,
}

/// What a route asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    pub(crate) level: Level,
    pub(crate) need: Need,
    /// Any of these opens it to a customer in the portal.
    pub(crate) portal: &'static [Capability],
}

impl Permission {
    /// Says whether the caller may make the call, whatever it names.
    pub(crate) fn allows(self, caller: &Caller) -> bool {
        if self.level == Level::Organization && caller.application.is_some() {
            return false;
        }
        match caller.scope {
            Scope::Admin => self.need != Need::Session,
            Scope::Read => self.need == Need::Read,
            Scope::Publish => self.need == Need::Publish,
            Scope::Portal => self.portal.iter().any(|one| caller.capabilities.has(*one)),
        }
    }
}

/// Returns what the route with this method and path asks; `None` when nobody said.
pub(crate) fn of(method: &Method, path: &str) -> Option<Permission> {
    static INDEX: LazyLock<HashMap<&'static str, Vec<(Method, Permission)>>> =
        LazyLock::new(|| {
            let mut index: HashMap<_, Vec<_>> = HashMap::new();
            for (method, path, permission) in ROUTES {
                let entries = index.entry(*path).or_default();
                entries.push((method.clone(), *permission));
            }
            index
        });
    // Frameworks answer HEAD by the handler of GET.
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let entries = INDEX.get(path)?;
    let entry = entries.iter().find(|(other, _)| other == method)?;
    Some(entry.1)
}

/// For the organization's keys only.
const fn organization(need: Need) -> Permission {
    Permission {
        level: Level::Organization,
        need,
        portal: &[],
    }
}

/// For keys of the application too.
const fn application(need: Need) -> Permission {
    Permission {
        level: Level::Application,
        need,
        portal: &[],
    }
}

/// For keys of the application, and for its customer in the portal with one of the capabilities.
const fn portal(need: Need, portal: &'static [Capability]) -> Permission {
    Permission {
        level: Level::Application,
        need,
        portal,
    }
}

const VIEW: &[Capability] = &[Capability::ViewBase];
const MANAGE: &[Capability] = &[Capability::ManageEndpoint];
const SECRET: &[Capability] = &[
    Capability::ViewEndpointSecret,
    Capability::ManageEndpointSecret,
    Capability::ManageEndpoint,
];
const ROTATE: &[Capability] = &[Capability::ManageEndpointSecret, Capability::ManageEndpoint];
const SEND: &[Capability] = &[Capability::CreateAttempts];

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

use Need::{Publish, Read, Session, Write};

/// Every route that asks for a key, in the order of paths.
#[rustfmt::skip]
pub(crate) const ROUTES: &[(Method, &str, Permission)] = &[
    (GET,    "/api/v1/app", organization(Read)),
    (POST,   "/api/v1/app", organization(Write)),
    (GET,    "/api/v1/app/{app_id}", portal(Read, VIEW)),
    (PUT,    "/api/v1/app/{app_id}", organization(Write)),
    (PATCH,  "/api/v1/app/{app_id}", organization(Write)),
    (DELETE, "/api/v1/app/{app_id}", organization(Write)),
    (GET,    "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}", portal(Read, VIEW)),
    (GET,    "/api/v1/app/{app_id}/attempt/msg/{msg_id}", portal(Read, VIEW)),
    (GET,    "/api/v1/app/{app_id}/endpoint", portal(Read, VIEW)),
    (POST,   "/api/v1/app/{app_id}/endpoint", portal(Write, MANAGE)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}", portal(Read, VIEW)),
    (PUT,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}", portal(Write, MANAGE)),
    (PATCH,  "/api/v1/app/{app_id}/endpoint/{endpoint_id}", portal(Write, MANAGE)),
    (DELETE, "/api/v1/app/{app_id}/endpoint/{endpoint_id}", portal(Write, MANAGE)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", portal(Read, MANAGE)),
    (PUT,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", portal(Write, MANAGE)),
    (PATCH,  "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", portal(Write, MANAGE)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg", portal(Read, VIEW)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/pause", portal(Write, MANAGE)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/attempt-stats", portal(Read, VIEW)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats", portal(Read, VIEW)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/unpause", portal(Write, MANAGE)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret", portal(Write, SECRET)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate", portal(Write, ROTATE)),
    (GET,    "/api/v1/app/{app_id}/msg", portal(Read, VIEW)),
    (POST,   "/api/v1/app/{app_id}/msg", application(Publish)),
    (POST,   "/api/v1/app/{app_id}/msg/batch", application(Publish)),
    (GET,    "/api/v1/app/{app_id}/msg/export", application(Read)),
    (GET,    "/api/v1/app/{app_id}/msg/{msg_id}", portal(Read, VIEW)),
    (GET,    "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}", portal(Read, VIEW)),
    (GET,    "/api/v1/app/{app_id}/msg/{msg_id}/endpoint", portal(Read, VIEW)),
    (POST,   "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
             portal(Write, SEND)),
    (GET,    "/api/v1/app/{app_id}/msg/{msg_id}/raw", portal(Read, VIEW)),
    (GET,    "/api/v1/app/{app_id}/msg/{msg_id}/trace", portal(Read, VIEW)),
    (GET,    "/api/v1/app/{app_id}/request", application(Read)),
    (GET,    "/api/v1/app/{app_id}/request/{request_id}", application(Read)),
    (GET,    "/api/v1/app/{app_id}/request/{request_id}/raw", application(Read)),
    (POST,   "/api/v1/app/{app_id}/request/{request_id}/replay", application(Write)),
    (GET,    "/api/v1/app/{app_id}/request/{request_id}/view", application(Read)),
    (POST,   "/api/v1/app/{app_id}/request/replay", application(Write)),
    (GET,    "/api/v1/app/{app_id}/source", application(Read)),
    (POST,   "/api/v1/app/{app_id}/source", application(Write)),
    (GET,    "/api/v1/app/{app_id}/source/{source_id}", application(Read)),
    (PUT,    "/api/v1/app/{app_id}/source/{source_id}", application(Write)),
    (PATCH,  "/api/v1/app/{app_id}/source/{source_id}", application(Write)),
    (DELETE, "/api/v1/app/{app_id}/source/{source_id}", application(Write)),
    (POST,   "/api/v1/app/{app_id}/source/{source_id}/pause", application(Write)),
    (POST,   "/api/v1/app/{app_id}/source/{source_id}/resume", application(Write)),
    (POST,   "/api/v1/app/{app_id}/source/{source_id}/secret/compare", application(Write)),
    (POST,   "/api/v1/app/{app_id}/source/{source_id}/secret/rotate", application(Write)),
    (POST,   "/api/v1/app/{app_id}/source/{source_id}/token/rotate", application(Write)),
    (GET,    "/api/v1/app/{app_id}/stream", application(Read)),
    (GET,    "/api/v1/audit", organization(Write)),
    (GET,    "/api/v1/audit/verify", organization(Write)),
    (POST,   "/api/v1/auth/app-portal-access/{app_id}", application(Write)),
    (POST,   "/api/v1/auth/app/{app_id}/expire-all", application(Write)),
    (POST,   "/api/v1/auth/dashboard-access/{app_id}", application(Write)),
    (POST,   "/api/v1/auth/logout", portal(Session, VIEW)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay", portal(Write, SEND)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/recover", portal(Write, SEND)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing", portal(Write, SEND)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example", portal(Write, SEND)),
    (POST,   "/api/v1/app/{app_id}/msg/bulk-expunge", application(Write)),
    (POST,   "/api/v1/app/{app_id}/msg/expunge-all-contents", application(Write)),
    (POST,   "/api/v1/app/{app_id}/msg/precheck/active", application(Publish)),
    (DELETE, "/api/v1/app/{app_id}/msg/{msg_id}/content", application(Write)),
    (DELETE, "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content", application(Write)),
    (GET,    "/api/v1/app/{app_id}/replay", portal(Read, VIEW)),
    (POST,   "/api/v1/app/{app_id}/replay", portal(Write, SEND)),
    (GET,    "/api/v1/app/{app_id}/replay/{job_id}", portal(Read, VIEW)),
    (POST,   "/api/v1/app/{app_id}/replay/{job_id}/cancel", portal(Write, SEND)),
    (POST,   "/api/v1/app/{app_id}/replay/{job_id}/pause", portal(Write, SEND)),
    (POST,   "/api/v1/app/{app_id}/replay/{job_id}/resume", portal(Write, SEND)),
    (GET,    "/api/v1/background-task", portal(Read, VIEW)),
    (GET,    "/api/v1/background-task/{task_id}", portal(Read, VIEW)),
    (GET,    "/api/v1/event-type", portal(Read, VIEW)),
    (POST,   "/api/v1/event-type", organization(Write)),
    (POST,   "/api/v1/event-type/import/openapi", organization(Write)),
    (GET,    "/api/v1/event-type/{event_type_name}", portal(Read, VIEW)),
    (PUT,    "/api/v1/event-type/{event_type_name}", organization(Write)),
    (PATCH,  "/api/v1/event-type/{event_type_name}", organization(Write)),
    (DELETE, "/api/v1/event-type/{event_type_name}", organization(Write)),
    (GET,    "/api/v1/key", organization(Write)),
    (POST,   "/api/v1/key", organization(Write)),
    (GET,    "/api/v1/key/{key_id}", organization(Write)),
    (PATCH,  "/api/v1/key/{key_id}", organization(Write)),
    (DELETE, "/api/v1/key/{key_id}", organization(Write)),
    (POST,   "/api/v1/key/{key_id}/expire", organization(Write)),
    (GET,    "/api/v1/provider", application(Read)),
    (GET,    "/api/v1/provider/{provider_name}", application(Read)),
];

//! What each route asks of whoever calls it: one table, which [`Access`] reads.
//!
//! A route without an entry refuses everybody, and fails the test that walks the API's
//! description: forgetting a route shows before anybody can call it.
//!
//! [`Access`]: crate::extract::Access

use std::collections::HashMap;
use std::sync::LazyLock;

use http::Method;
use service::{Caller, Scope};

/// What a call does, as scopes tell calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Reads what is no secret: the scopes `admin` and `read`.
    Read,
    /// Publishes messages: the scopes `admin` and `publish`.
    Publish,
    /// Changes something, or reads a secret: the scope `admin`.
    Write,
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
    /// Whether it is one of the calls that a customer needs in the portal.
    pub(crate) portal: bool,
}

impl Permission {
    /// Says whether the caller may make the call, whatever it names.
    pub(crate) fn allows(self, caller: &Caller) -> bool {
        if self.level == Level::Organization && caller.application.is_some() {
            return false;
        }
        match caller.scope {
            Scope::Admin => true,
            Scope::Read => self.need == Need::Read,
            Scope::Publish => self.need == Need::Publish,
            Scope::Portal => self.portal && caller.application.is_some(),
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
        portal: false,
    }
}

/// For keys of the application too.
const fn application(need: Need) -> Permission {
    Permission {
        level: Level::Application,
        need,
        portal: false,
    }
}

/// For keys of the application and its customer in the portal too.
const fn portal(need: Need) -> Permission {
    Permission {
        level: Level::Application,
        need,
        portal: true,
    }
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

use Need::{Publish, Read, Write};

/// Every route that asks for a key, in the order of paths.
#[rustfmt::skip]
pub(crate) const ROUTES: &[(Method, &str, Permission)] = &[
    (GET,    "/api/v1/app", organization(Read)),
    (POST,   "/api/v1/app", organization(Write)),
    (GET,    "/api/v1/app/{app_id}", portal(Read)),
    (PUT,    "/api/v1/app/{app_id}", organization(Write)),
    (PATCH,  "/api/v1/app/{app_id}", organization(Write)),
    (DELETE, "/api/v1/app/{app_id}", organization(Write)),
    (GET,    "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}", portal(Read)),
    (GET,    "/api/v1/app/{app_id}/attempt/msg/{msg_id}", portal(Read)),
    (GET,    "/api/v1/app/{app_id}/endpoint", portal(Read)),
    (POST,   "/api/v1/app/{app_id}/endpoint", portal(Write)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}", portal(Read)),
    (PUT,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}", portal(Write)),
    (PATCH,  "/api/v1/app/{app_id}/endpoint/{endpoint_id}", portal(Write)),
    (DELETE, "/api/v1/app/{app_id}/endpoint/{endpoint_id}", portal(Write)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", portal(Read)),
    (PUT,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", portal(Write)),
    (PATCH,  "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", portal(Write)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg", portal(Read)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/pause", portal(Write)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats", portal(Read)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/unpause", portal(Write)),
    (GET,    "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret", portal(Write)),
    (POST,   "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate", portal(Write)),
    (GET,    "/api/v1/app/{app_id}/msg", portal(Read)),
    (POST,   "/api/v1/app/{app_id}/msg", application(Publish)),
    (POST,   "/api/v1/app/{app_id}/msg/batch", application(Publish)),
    (GET,    "/api/v1/app/{app_id}/msg/{msg_id}", portal(Read)),
    (GET,    "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}", portal(Read)),
    (GET,    "/api/v1/app/{app_id}/msg/{msg_id}/endpoint", portal(Read)),
    (POST,   "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend", portal(Write)),
    (GET,    "/api/v1/app/{app_id}/msg/{msg_id}/raw", portal(Read)),
    (GET,    "/api/v1/event-type", portal(Read)),
    (POST,   "/api/v1/event-type", organization(Write)),
    (GET,    "/api/v1/event-type/{event_type_name}", portal(Read)),
    (PUT,    "/api/v1/event-type/{event_type_name}", organization(Write)),
    (PATCH,  "/api/v1/event-type/{event_type_name}", organization(Write)),
    (DELETE, "/api/v1/event-type/{event_type_name}", organization(Write)),
];

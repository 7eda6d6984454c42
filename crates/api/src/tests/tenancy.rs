//! Who may call what (F3), and that nobody reaches what belongs to others (F4, F5): both walk all
//! routes, so a new one is covered or fails here until it is.

use std::collections::BTreeMap;

use http::Method;
use service::Scope;

use super::harness::{ADMIN_KEY, Reply, TestApi};
use super::keys::{call_as, get_as, make};
use crate::permissions::{Level, Need, Permission, ROUTES};

/// Names that stand in paths, by the parameter that they stand for.
pub(super) type Names = BTreeMap<&'static str, String>;

/// An organization with one of everything, and others who have nothing to do with it.
pub(super) struct World {
    pub(super) api: TestApi,
    /// What the first organization has in its application.
    pub(super) owned: Names,
    /// The same by the names that callers chose, where there are any.
    chosen: Names,
    /// Admin keys of another organization and of another application, each with one of
    /// everything of its own.
    strangers: [(&'static str, String, Names); 2],
}

/// Bodies that pass, for routes that need one.
fn body_of(method: &Method, path: &str) -> &'static str {
    match (method.as_str(), path) {
        ("POST" | "PUT", "/api/v1/app" | "/api/v1/app/{app_id}") => r#"{"name": "x"}"#,
        (
            "POST" | "PUT",
            "/api/v1/app/{app_id}/endpoint" | "/api/v1/app/{app_id}/endpoint/{endpoint_id}",
        ) => r#"{"url": "https://example.com/"}"#,
        ("PUT" | "PATCH", "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers") => {
            r#"{"headers": {}}"#
        }
        ("POST", "/api/v1/app/{app_id}/msg") => r#"{"eventType": "a", "payload": {}}"#,
        ("POST", "/api/v1/app/{app_id}/msg/bulk-expunge") => r#"{"ids": ["event"]}"#,
        ("POST", "/api/v1/app/{app_id}/msg/batch") => {
            r#"{"messages": [{"eventType": "a", "payload": {}}]}"#
        }
        ("POST", "/api/v1/event-type/import/openapi") => {
            r#"{"spec": {"webhooks": {"imported": {"post": {}}}}}"#
        }
        ("POST", "/api/v1/event-type") => r#"{"name": "made", "description": ""}"#,
        ("PUT", "/api/v1/event-type/{event_type_name}") => r#"{"description": "x"}"#,
        ("POST", "/api/v1/key") => r#"{"name": "x", "scope": "read"}"#,
        (
            "POST" | "PUT",
            "/api/v1/app/{app_id}/source" | "/api/v1/app/{app_id}/source/{source_id}",
        ) => r#"{"name": "x", "provider": "github", "secrets": ["y"]}"#,
        ("POST", "/api/v1/app/{app_id}/source/{source_id}/secret/rotate") => {
            r#"{"secret": "another"}"#
        }
        ("POST", "/api/v1/app/{app_id}/source/{source_id}/secret/compare") => {
            r#"{"secrets": ["y"]}"#
        }
        _ if path.ends_with("/send-example") || path.ends_with("/precheck/active") => {
            r#"{"eventType": "a"}"#
        }
        _ if path.ends_with("/recover")
            || path.ends_with("/replay-missing")
            || path.ends_with("/bulk-replay") =>
        {
            r#"{"since": "2020-01-01T00:00:00Z"}"#
        }
        _ => "{}",
    }
}

/// Puts names into a path. A parameter that nobody knows fails: the matrix must learn it.
fn fill(path: &str, names: &Names) -> String {
    let mut filled = String::new();
    for (index, part) in path.split(['{', '}']).enumerate() {
        if index % 2 == 0 {
            filled.push_str(part);
        } else {
            let name = names.get(part);
            filled.push_str(name.unwrap_or_else(|| panic!("what is {{{part}}} of {path}?")));
        }
    }
    filled
}

fn params(path: &str) -> usize {
    path.matches('{').count()
}

/// Makes one of everything in an application named by `uid`, with a key of its organization.
async fn one_of_everything(api: &TestApi, token: &str, uid: &str) -> Names {
    let post = async |path: &str, body: &str| {
        let reply = call_as(api, token, Method::POST, path, body).await;
        assert!(reply.status.is_success(), "{path}: {:?}", reply.bytes);
        reply.json()
    };
    let text = |value: &serde_json::Value| value["id"].as_str().unwrap().to_owned();
    let body = format!(r#"{{"name": "{uid}", "uid": "{uid}"}}"#);
    let app = text(&post("/api/v1/app", &body).await);
    let base = format!("/api/v1/app/{app}");
    let endpoint = r#"{"url": "https://example.com/hook", "uid": "hook"}"#;
    let endpoint = text(&post(&format!("{base}/endpoint"), endpoint).await);
    let message = r#"{"eventType": "seen", "payload": {}, "eventId": "event"}"#;
    let message = text(&post(&format!("{base}/msg"), message).await);
    api.settle().await;
    let attempts = get_as(api, token, &format!("{base}/attempt/msg/{message}")).await;
    let attempt = text(&attempts.expect(200)["data"][0]);
    let body = r#"{"name": "x", "scope": "read"}"#;
    let key = text(&post("/api/v1/key", body).await);
    let event_type = format!("type.of.{uid}");
    let body = format!(r#"{{"name": "{event_type}", "description": "d"}}"#);
    post("/api/v1/event-type", &body).await;
    let job = text(&post(&format!("/api/v1/app/{app}/replay"), "{}").await);
    let source = r#"{"name": "x", "uid": "inbound", "provider": "github", "verify": "none",
        "eventType": {"fallback": "came"}}"#;
    let source = post(&format!("{base}/source"), source).await;
    api.deliver(&super::inbound::path(&source), &[], "{}").await;
    let requests = get_as(api, token, &format!("{base}/request")).await;
    let request = text(&requests.expect(200)["data"][0]);
    [
        ("job_id", job.clone()),
        ("task_id", job),
        ("app_id", app),
        ("endpoint_id", endpoint),
        ("msg_id", message),
        ("attempt_id", attempt),
        ("key_id", key),
        ("event_type_name", event_type),
        ("source_id", text(&source)),
        ("request_id", request),
        ("provider_name", "github".to_owned()),
    ]
    .into_iter()
    .collect()
}

/// Names of the right shape that nothing has.
fn nobody() -> Names {
    let zeros = "0".repeat(26);
    [
        ("app_id", format!("app_{zeros}")),
        ("endpoint_id", format!("ep_{zeros}")),
        ("msg_id", format!("msg_{zeros}")),
        ("attempt_id", format!("atmpt_{zeros}")),
        ("key_id", format!("key_{zeros}")),
        ("job_id", format!("job_{zeros}")),
        ("task_id", format!("job_{zeros}")),
        ("event_type_name", "type.of.nobody".to_owned()),
        ("source_id", format!("src_{zeros}")),
        ("request_id", format!("req_{zeros}")),
        ("provider_name", "nobody".to_owned()),
    ]
    .into_iter()
    .collect()
}

impl World {
    pub(super) async fn new() -> Self {
        let api = TestApi::new().await;
        let owned = one_of_everything(&api, ADMIN_KEY, "acme").await;
        let mut chosen = owned.clone();
        for (param, name) in [
            ("app_id", "acme"),
            ("endpoint_id", "hook"),
            ("msg_id", "event"),
            ("source_id", "inbound"),
        ] {
            chosen.insert(param, name.to_owned());
        }
        let (_, other) = api.service.create_organization().await.unwrap();
        let theirs = one_of_everything(&api, &other, "theirs").await;
        let beside = one_of_everything(&api, ADMIN_KEY, "beside").await;
        let body = r#"{"name": "x", "scope": "admin", "application": "beside"}"#;
        let (_, of_application) = make(&api, body).await;
        Self {
            api,
            owned,
            chosen,
            strangers: [
                ("another organization", other, theirs),
                ("another application", of_application, beside),
            ],
        }
    }

    /// Where a POST goes for what is owned, and a body that passes.
    pub(super) fn post_of(&self, path: &str) -> (String, String) {
        let body = body_of(&Method::POST, path);
        (fill(path, &self.owned), body.to_owned())
    }

    pub(super) async fn call(
        &self,
        token: &str,
        method: &Method,
        path: &str,
        names: &Names,
    ) -> Reply {
        let body = match *method {
            Method::GET | Method::DELETE => "",
            _ => body_of(method, path),
        };
        call_as(&self.api, token, method.clone(), &fill(path, names), body).await
    }
}

/// Routes that make what the path names when it does not exist in the caller's own organization.
fn makes_its_own(method: &Method, path: &str) -> bool {
    let upsert = path == "/api/v1/app/{app_id}" || path.starts_with("/api/v1/event-type/");
    *method == Method::PUT && upsert
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_others_does_not_exist() {
    let nobody = nobody();
    for (method, path, permission) in ROUTES {
        // Providers are the same for everybody.
        let same = path.starts_with("/api/v1/provider");
        if params(path) == 0 || same || makes_its_own(method, path) {
            continue;
        }
        let world = World::new().await;
        let shared = path.starts_with("/api/v1/event-type/");
        for (who, token, own) in &world.strangers {
            let within = *who == "another application";
            if within && shared {
                continue; // Event types are the organization's.
            }
            // Names of theirs as a whole, and below an application of one's own.
            let mut below = world.owned.clone();
            below.insert("app_id", own["app_id"].clone());
            let mut below_nobody = nobody.clone();
            below_nobody.insert("app_id", own["app_id"].clone());
            let mut pairs = vec![(&world.owned, &nobody), (&world.chosen, &nobody)];
            if path.contains("{app_id}") && params(path) > 1 {
                pairs.push((&below, &below_nobody));
            }
            for (theirs, missing) in pairs {
                let seen = world.call(token, method, path, theirs).await;
                let unseen = world.call(token, method, path, missing).await;

                assert_eq!(seen.bytes, unseen.bytes, "{who}: {method} {path}");
                let forbidden = within && permission.level == Level::Organization;
                let expected = if forbidden { 403 } else { 404 };
                assert_eq!(
                    seen.status, expected,
                    "{who}: {method} {path} {:?}",
                    seen.bytes
                );
            }
        }
        if permission.need != Need::Session {
            let owner = world.call(ADMIN_KEY, method, path, &world.owned).await;
            assert_ne!(owner.status, 404, "the owner: {method} {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lists_and_upserts_stay_within_the_organization() {
    let world = World::new().await;
    let before = world.api.get("/api/v1/app/acme").await.bytes;
    let types = world.api.get("/api/v1/event-type").await.bytes;
    let (_, other, _) = &world.strangers[0];

    for (method, path, permission) in ROUTES {
        if params(path) > 0 && !makes_its_own(method, path) || permission.need == Need::Session {
            continue;
        }
        let reply = world.call(other, method, path, &world.chosen).await;
        assert!(
            reply.status.is_success(),
            "{method} {path} {:?}",
            reply.bytes
        );
        let text = String::from_utf8(reply.bytes.to_vec()).unwrap();
        for (param, id) in &world.owned {
            let named = *param == "event_type_name" && path.contains(param);
            let named = named || *param == "provider_name";
            assert!(named || !text.contains(id), "{method} {path} shows {id}");
        }
    }

    assert_eq!(world.api.get("/api/v1/app/acme").await.bytes, before);
    assert_eq!(world.api.get("/api/v1/event-type").await.bytes, types);
}

#[tokio::test(start_paused = true)]
async fn each_scope_opens_the_routes_that_the_table_says() {
    let world = World::new().await;
    let mut callers = Vec::new();
    for scope in ["admin", "read", "publish"] {
        let body = format!(r#"{{"name": "x", "scope": "{scope}"}}"#);
        callers.push((
            Scope::from_slug(scope).unwrap(),
            false,
            make(&world.api, &body).await.1,
        ));
        let body = format!(r#"{{"name": "x", "scope": "{scope}", "application": "acme"}}"#);
        callers.push((
            Scope::from_slug(scope).unwrap(),
            true,
            make(&world.api, &body).await.1,
        ));
    }
    let mut names = nobody();
    names.insert("app_id", "acme".to_owned());

    let mut opened = BTreeMap::new();
    for (method, path, permission) in ROUTES {
        if permission.need == Need::Session || makes_its_own(method, path) {
            continue;
        }
        if *method == Method::DELETE && params(path) == 1 && path.contains("{app_id}") {
            continue; // It would take the application away from those who come after.
        }
        // One of these routes ends such tokens, so that each needs a fresh one.
        let access = "/api/v1/auth/app-portal-access/acme";
        let portal = world.api.post(access, "{}").await.expect(200);
        let portal = portal["token"].as_str().unwrap().to_owned();
        let portal = (Scope::Portal, true, portal);
        for (scope, of_application, token) in [&portal].into_iter().chain(&callers) {
            let expected = expected(*permission, *scope, *of_application);
            let reply = world.call(token, method, path, &names).await;
            let is_open = reply.status != 403;
            assert_eq!(
                is_open, expected,
                "{scope:?} {of_application} {method} {path}"
            );
            *opened.entry((scope.slug(), *of_application)).or_insert(0) += u32::from(is_open);
        }
    }
    // The table is read by the same code that it is checked against: so here it is once more, by
    // what must hold whatever the table says.
    assert_eq!(opened[&("publish", true)], opened[&("publish", false)]);
    assert_eq!(
        opened[&("publish", true)],
        3,
        "publishing, one by one and in batches, and asking who would get it"
    );
    assert!(opened[&("read", true)] < opened[&("admin", true)]);
    assert!(opened[&("admin", true)] < opened[&("admin", false)]);
}

/// What a scope means, said once more than in the code under test.
fn expected(permission: Permission, scope: Scope, of_application: bool) -> bool {
    let level = permission.level == Level::Application || !of_application;
    level
        && match scope {
            Scope::Admin => true,
            Scope::Read => permission.need == Need::Read,
            Scope::Publish => permission.need == Need::Publish,
            Scope::Portal => !permission.portal.is_empty(),
        }
}

/// F5: a position in a list says where to go on, and opens nothing.
#[tokio::test(start_paused = true)]
async fn a_position_of_others_shows_ones_own_things_alone() {
    let world = World::new().await;
    let (_, other, own) = &world.strangers[0];
    for path in [
        "/api/v1/app",
        "/api/v1/app/{app_id}/endpoint",
        "/api/v1/app/{app_id}/msg",
        "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}",
        "/api/v1/app/{app_id}/attempt/msg/{msg_id}",
        "/api/v1/key",
    ] {
        let list = world.api.get(&fill(path, &world.owned)).await.expect(200);
        for field in ["iterator", "prevIterator"] {
            let position = list[field].as_str().unwrap();
            let path = format!("{}?iterator={position}", fill(path, own));
            let reply = get_as(&world.api, other, &path)
                .await
                .expect(200)
                .to_string();
            for id in world.owned.values() {
                assert!(!reply.contains(id), "{path}: {reply}");
            }
        }
    }
}

/// F6: an endpoint gets what its own application publishes.
#[tokio::test(start_paused = true)]
async fn nothing_is_delivered_across_tenants() {
    let world = World::new().await;
    let before = world.api.network.seen().len();

    world
        .api
        .publish(r#"{"eventType": "a", "payload": {}}"#)
        .await;
    world.api.settle().await;

    // Three applications have an endpoint that takes everything.
    assert_eq!(world.api.network.seen().len() - before, 1);
}

/// A key that only publishes names an application that exists; it makes none.
#[tokio::test(start_paused = true)]
async fn a_publisher_creates_no_application() {
    let api = TestApi::new().await;
    api.acme().await;
    let (_, token) = make(&api, r#"{"name": "x", "scope": "publish"}"#).await;
    let body = r#"{"eventType": "a", "payload": {}, "application": {"name": "New"}}"#;

    let publish = |path: &'static str| call_as(&api, &token, Method::POST, path, body);
    publish("/api/v1/app/acme/msg").await.expect(202);
    let refused = publish("/api/v1/app/new/msg").await;

    refused.expect_problem(404, "not_found");
}

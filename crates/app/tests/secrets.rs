//! Secrets are in the data as ciphertext only, and in nothing else at all.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::Method;
use serde_json::json;
use testkit::{ADMIN_KEY, Api, Launch, Receiver, TestServer, finish};

const CHOSEN: &str = "whsec_dGhlLWtleS1vZi1hLXRlc3QtdGhhdC1pcy1uby1zZWNyZXQ=";
const ROTATED: &str = "whsec_YW5vdGhlci1rZXktb2YtYS10ZXN0LWFzLWxvbmctYXMtaXQ=";
/// 16 bytes, which are too few: the answer says so and must not repeat them.
const SHORT: &str = "whsec_c2l4dGVlbi1ieXRlLWtleQ==";
const HEADER: &str = "value-of-a-custom-header-2f6b1c9e";
const STRANGER: &str = "ph_a-token-that-opens-nothing-77aa01";
const PATIENCE: Duration = Duration::from_secs(20);

/// A secret, and the ways in which it might be written.
struct Needle {
    name: String,
    forms: BTreeSet<Vec<u8>>,
}

impl Needle {
    fn new(name: &str, text: &str) -> Self {
        // What stands before a low line may be random as well, and what is left be short.
        let bare = text.split_once('_').map(|(_, bare)| bare);
        let bare = bare.filter(|bare| bare.len() >= 24).unwrap_or(text);
        let mut forms = BTreeSet::from([percent_encoded(bare)]);
        let decoded = STANDARD
            .decode(bare)
            .or_else(|_| URL_SAFE_NO_PAD.decode(bare));
        let secrets = [Some(bare.as_bytes().to_vec()), decoded.ok()];
        for secret in secrets.into_iter().flatten() {
            let hex = secret.iter().map(|byte| format!("{byte:02x}"));
            let hex = hex.collect::<Vec<_>>().concat();
            forms.extend([
                hex.to_uppercase().into_bytes(),
                hex.into_bytes(),
                STANDARD_NO_PAD.encode(&secret).into_bytes(),
                URL_SAFE_NO_PAD.encode(&secret).into_bytes(),
                secret,
            ]);
        }
        assert!(forms.iter().all(|form| form.len() >= 16), "found by chance");
        let name = name.to_owned();
        Self { name, forms }
    }

    fn is_in(&self, hay: &[u8]) -> bool {
        let is_at = |form: &Vec<u8>| hay.windows(form.len()).any(|window| window == form);
        self.forms.iter().any(is_at)
    }
}

fn percent_encoded(text: &str) -> Vec<u8> {
    let encoded = text.bytes().map(|byte| match byte {
        b'=' | b'+' | b'/' => format!("%{byte:02X}"),
        _ => char::from(byte).to_string(),
    });
    encoded.collect::<String>().into_bytes()
}

/// Everything that was written or said, each with where.
#[derive(Default)]
struct Hay(Vec<(String, Vec<u8>)>);

impl Hay {
    fn add(&mut self, place: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), bytes.into()));
    }

    /// Adds each file of a data directory but the key, which is meant to be there.
    fn add_data(&mut self, when: &str, data: &Path) {
        for entry in fs::read_dir(data).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name != "master.key" {
                self.add(&format!("{name}, {when}"), fs::read(entry.path()).unwrap());
            }
        }
    }

    fn add_logs(&mut self, when: &str, server: &TestServer) {
        self.add(&format!("standard output, {when}"), server.stdout());
        self.add(&format!("log, {when}"), server.stderr());
    }

    fn places_of(&self, needle: &Needle) -> Vec<&str> {
        let with = self.0.iter().filter(|(_, bytes)| needle.is_in(bytes));
        with.map(|(place, _)| place.as_str()).collect()
    }
}

/// Everything that a caller may get wrong about a secret; none of the answers repeats it.
async fn add_refusals(hay: &mut Hay, api: &Api, receiver: &Receiver) {
    let url = receiver.url("/a");
    let endpoints = "/api/v1/app/shop/endpoint";
    let rotate = "/api/v1/app/shop/endpoint/a/secret/rotate";
    let bodies = [
        (endpoints, json!({"url": url, "secret": SHORT}).to_string()),
        (
            endpoints,
            json!({"url": url, "secret": {"key": CHOSEN}}).to_string(),
        ),
        (
            endpoints,
            json!({"url": url, "secret": [CHOSEN]}).to_string(),
        ),
        (
            endpoints,
            json!({"url": url, "secret": format!("{CHOSEN}!")}).to_string(),
        ),
        (
            endpoints,
            json!({"url": url, "headers": HEADER}).to_string(),
        ),
        (
            endpoints,
            json!({"url": url, "headers": [HEADER]}).to_string(),
        ),
        (
            endpoints,
            json!({"url": url, "headers": {"x-a": [HEADER]}}).to_string(),
        ),
        (
            endpoints,
            json!({"url": url, "headers": {"x a": HEADER}}).to_string(),
        ),
        (
            endpoints,
            json!({"url": url, "headers": {"x-a": format!("{HEADER}\r\n")}}).to_string(),
        ),
        (
            endpoints,
            format!(r#"{{"url":"{url}","secret":"{CHOSEN}",}}"#),
        ),
        (
            endpoints,
            format!(r#"{{"url":"{url}","uid":"a","secret":"{CHOSEN}"}}"#),
        ),
        (rotate, json!({"key": SHORT}).to_string()),
        (rotate, json!({"key": {"key": CHOSEN}}).to_string()),
        (rotate, json!(CHOSEN).to_string()),
    ];
    for (path, body) in bodies {
        let answer = api.post(path, body.clone()).await;
        assert!(
            (400..500).contains(&answer.status),
            "{body}: {}",
            answer.status
        );
        hay.add(&format!("the answer to {body}"), answer.text());
    }
    let stranger = Api {
        token: STRANGER.to_owned(),
        ..api.clone()
    };
    let answer = stranger.get("/api/v1/app").await;
    assert_eq!(answer.status, 401);
    hay.add("the answer to a stranger", answer.text());
    // A query may hold anything; a log line has the path only.
    let answer = api.get(&format!("/api/v1/app?key={HEADER}")).await;
    assert_eq!(answer.status, 200);
    hay.add("the answer to a header in the query", answer.text());
}

/// What the API shows besides the two answers that are there to show a secret.
async fn add_answers(hay: &mut Hay, api: &Api, message: &str) {
    for path in [
        "/api/v1/app".to_owned(),
        "/api/v1/app/shop/endpoint".to_owned(),
        "/api/v1/app/shop/endpoint/a".to_owned(),
        "/api/v1/app/shop/msg?with_content=true".to_owned(),
        "/api/v1/app/shop/attempt/endpoint/a?with_msg=true".to_owned(),
        format!("/api/v1/app/shop/attempt/msg/{message}"),
        format!("/api/v1/app/shop/msg/{message}/endpoint"),
        "/metrics".to_owned(),
        "/api/v1/openapi.json".to_owned(),
    ] {
        let answer = api.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        hay.add(&path, answer.text());
    }
}

async fn a_day_of_work(hay: &mut Hay, api: &Api, receiver: &Receiver) -> String {
    api.create_application("shop").await;
    let a = json!({
        "url": receiver.url("/a"), "uid": "a", "secret": CHOSEN,
        "headers": {"x-token": HEADER},
    });
    api.create_endpoint("shop", &a).await;
    for path in ["/b", "/status/500", "/reset"] {
        api.create_endpoint("shop", &json!({"url": receiver.url(path)}))
            .await;
    }
    let message = api
        .publish("shop", r#"{"canary":"in-every-database"}"#)
        .await;
    let rotate = "/api/v1/app/shop/endpoint/a/secret/rotate";
    let rotated = api.post(rotate, json!({"key": ROTATED}).to_string()).await;
    rotated.expect(200);
    for number in 0..50 {
        api.publish("shop", &number.to_string()).await;
    }
    let resend = format!("/api/v1/app/shop/msg/{message}/endpoint/a/resend");
    let resent = api.call(Method::POST, &resend, [].as_slice().into()).await;
    assert_eq!(resent.unwrap().status, 202);
    add_refusals(hay, api, receiver).await;
    receiver.wait_for("/a", 52, PATIENCE).await;
    receiver.wait_for("/status/500", 51, PATIENCE).await;
    add_answers(hay, api, &message).await;
    message
}

/// Makes an API key and a portal's token, uses both, and ends one of them: what to look for.
async fn make_tokens(hay: &mut Hay, api: &Api) -> Vec<Needle> {
    let key = json!({"name": "a reader", "scope": "read"}).to_string();
    let key = api.post("/api/v1/key", key).await.expect(201);
    let portal = api.post("/api/v1/auth/app-portal-access/shop", "{}").await;
    let portal = portal.expect(200);
    let mut needles = Vec::new();
    for (name, made) in [("an API key", &key), ("a portal's token", &portal)] {
        let token = made["token"].as_str().unwrap();
        let bearer = Api {
            token: token.to_owned(),
            ..api.clone()
        };
        for path in ["/api/v1/app/shop", "/api/v1/app/shop/endpoint/a/secret"] {
            let answer = bearer.get(path).await;
            let place = format!("{name} at {path}");
            // Only the second may be what it asks for, and it is not the token.
            hay.add(&place, answer.text().replace(ROTATED, "the secret"));
        }
        let half = token.split_at(token.len() / 2).1;
        needles.push(Needle::new(name, token));
        needles.push(Needle::new(&format!("half of {name}"), half));
    }
    hay.add("the list of keys", api.get("/api/v1/key").await.text());
    let path = format!("/api/v1/key/{}", key["id"].as_str().unwrap());
    assert_eq!(api.delete(&path).await.status, 204);
    needles
}

#[tokio::test]
async fn secrets_are_nowhere_but_in_the_key_file_and_as_ciphertext() {
    let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
    let launch = launch
        .retries("0s,1s")
        .set("LOG__LEVEL", "trace")
        .flag("--log-format=json");
    let receiver = Receiver::start().await;
    let mut server = launch.clone().start().await;
    let mut hay = Hay::default();

    a_day_of_work(&mut hay, &server.api, &receiver).await;
    let tokens = make_tokens(&mut hay, &server.api).await;
    let generated = server
        .api
        .get("/api/v1/app/shop/endpoint")
        .await
        .expect(200);
    let generated = generated["data"][0]["id"].as_str().unwrap().to_owned();
    let secret = format!("/api/v1/app/shop/endpoint/{generated}/secret");
    let secret = server.api.get(&secret).await.expect(200)["key"].clone();
    hay.add_data("while it runs", server.data());
    let backup = server.scratch().join("backup.db");
    let data = server.data().display().to_string();
    let arguments = ["db", "backup", backup.to_str().unwrap(), "--data", &data];
    let output = finish(launch.command(&arguments)).await;
    assert!(output.status.success(), "{output:?}");
    hay.add("backup", fs::read(&backup).unwrap());
    hay.add_logs("at first", &server);
    server.kill();
    hay.add_data("after a kill", server.data());
    server.start_again().await;
    let (status, _) = server.terminate(PATIENCE).await;
    assert!(status.success());
    hay.add_logs("after a restart", &server);
    hay.add_data("at the end", server.data());
    for request in receiver.received() {
        let path = request.uri.path().to_owned();
        let mut headers = request.headers.clone();
        if path == "/a" {
            headers.remove("x-token").expect("it was asked for");
        }
        let head = format!("{headers:?}");
        hay.add(
            &format!("a request at {path}"),
            [head.as_bytes(), &request.body].concat(),
        );
    }

    let key = fs::read_to_string(server.data().join("master.key")).unwrap();
    let needles = [
        Needle::new("the first secret", CHOSEN),
        Needle::new("the rotated secret", ROTATED),
        Needle::new("a generated secret", secret.as_str().unwrap()),
        Needle::new("a secret that is too short", SHORT),
        Needle::new("a custom header", HEADER),
        Needle::new("the admin key", ADMIN_KEY),
        Needle::new("a stranger's token", STRANGER),
        Needle::new("the master key", key.trim()),
    ];
    let found = needles.iter().chain(&tokens).flat_map(|needle| {
        let places = hay.places_of(needle).into_iter();
        places.map(|place| format!("{} is in {place}", needle.name))
    });
    assert_eq!(found.collect::<Vec<_>>(), [""; 0]);
    // The search itself: what is no secret is found where it must be.
    let canary = hay
        .places_of(&Needle::new("canary", "in-every-database"))
        .join("; ");
    for place in ["posthaste.db, at the end", "backup", "a request at /a"] {
        assert!(canary.contains(place), "not in {place}, but in {canary}");
    }
}

#[tokio::test]
async fn every_endpoint_has_a_secret_of_its_own() {
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste")).start().await;
    server.api.create_application("shop").await;
    let endpoint = json!({"url": "http://127.0.0.1:1/"});

    let mut secrets = BTreeSet::new();
    for _ in 0..20 {
        let made = server.api.create_endpoint("shop", &endpoint).await;
        secrets.insert(made.secret);
    }

    assert_eq!(secrets.len(), 20);
    for secret in &secrets {
        let bytes = STANDARD.decode(secret.strip_prefix("whsec_").unwrap());
        assert_eq!(bytes.unwrap().len(), 32);
    }
}

#[tokio::test]
async fn only_its_owner_may_read_the_key_and_the_data() {
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste")).start().await;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    assert_eq!(mode(&server.data().join("master.key")), 0o600);
    assert_eq!(mode(server.data()), 0o700);
}

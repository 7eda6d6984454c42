//! The commands about things, against the built server.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{ADMIN_KEY, Launch, Receiver, TestServer, eventually, finish};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server, and the program that speaks to it.
struct World {
    launch: Launch,
    server: TestServer,
}

/// What a command left.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

impl World {
    async fn start() -> Self {
        let launch = Launch::new(env!("CARGO_BIN_EXE_posthaste"));
        let server = launch.clone().retries("0s").start().await;
        Self { launch, server }
    }

    /// Types a line; words are separated by blanks.
    async fn type_line(&self, line: &str) -> Ended {
        let words: Vec<&str> = line.split(' ').collect();
        self.type_words(&words, "").await
    }

    async fn type_words(&self, words: &[&str], input: &str) -> Ended {
        let mut command = self.launch.command(words);
        command
            .env("POSTHASTE_URL", self.server.api.url())
            .env("POSTHASTE_TOKEN", ADMIN_KEY)
            .env("POSTHASTE_APP", "shop");
        if !input.is_empty() {
            let path = self.server.scratch().join("input");
            let mut file = std::fs::File::create(&path).unwrap();
            file.write_all(input.as_bytes()).unwrap();
            command.stdin(Stdio::from(std::fs::File::open(&path).unwrap()));
        }
        Ended::of(&finish(command).await)
    }
}

#[tokio::test]
async fn an_application_is_made_shown_changed_and_removed() {
    let world = World::start().await;

    let made = world
        .type_line("app add Shop --uid shop -o json")
        .await
        .json();
    let again = world
        .type_line("app add Other --uid shop --if-missing -o id")
        .await;
    let taken = world.type_line("app add Other --uid shop").await;
    let edited = world
        .type_line("app edit shop --name Store --rate 7 -o json")
        .await;
    let listed = world.type_line("apps ls -o json").await.json();
    let removed = world.type_line("app rm shop --yes").await;
    let gone = world.type_line("app get shop -o json").await;

    assert_eq!(again.ok().trim(), made["id"].as_str().unwrap());
    assert_eq!(taken.code, 5, "{}", taken.err);
    let edited = edited.json();
    assert_eq!(
        (&edited["name"], &edited["throttleRate"]),
        (&json!("Store"), &json!(7))
    );
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(removed.ok(), "");
    assert_eq!(gone.code, 3);
    let problem: Value = serde_json::from_str(&gone.out).unwrap();
    assert_eq!(problem["code"], "not_found");
    assert!(gone.err.contains("[request "), "{}", gone.err);
}

#[tokio::test]
async fn an_endpoint_is_made_held_let_go_and_gets_another_secret() {
    let world = World::start().await;
    world.type_line("app add Shop --uid shop").await.ok();

    let add = "endpoint add http://127.0.0.1:9/x --uid search -t a.b,c.d -H x-team=web -o json";
    let made = world.type_line(add).await.json();
    let paused = world
        .type_line("endpoint pause search -o json")
        .await
        .json();
    let disabled = world
        .type_line("endpoint disable search -o json")
        .await
        .json();
    let enabled = world
        .type_line("endpoint enable search -o json")
        .await
        .json();
    let before = world.type_line("endpoint secret show search").await.ok();
    let after = world
        .type_line("endpoint secret rotate search --yes")
        .await
        .ok();
    let shown = world.type_line("endpoint secret show search").await.ok();
    world
        .type_line("endpoint headers set search x-more=1")
        .await
        .ok();
    let headers = world
        .type_line("endpoint headers show search -o json")
        .await
        .json();
    world
        .type_line("endpoint edit search --types none")
        .await
        .ok();
    let table = world.type_line("endpoint ls").await.ok();

    assert_eq!(made["eventTypes"], json!(["a.b", "c.d"]));
    assert_eq!(paused["paused"], true);
    assert_eq!(disabled["disabled"], true);
    assert_eq!(
        (&enabled["paused"], &enabled["disabled"]),
        (&json!(false), &json!(false))
    );
    assert!(before.starts_with("whsec_") && after.starts_with("whsec_"));
    assert!(before != after && shown == after);
    assert_eq!(headers["headers"], json!({"x-team": "web", "x-more": "1"}));
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("ID "), "{table}");
    assert!(
        lines[1].contains("enabled  http://127.0.0.1:9/x  all"),
        "{table}"
    );
    assert_eq!(world.type_line("endpoint rm search -y").await.code, 0);
    assert_eq!(world.type_line("endpoint get search").await.code, 3);
}

#[tokio::test]
async fn event_types_leave_and_come_back() {
    let world = World::start().await;
    let schema = r#"{"type": "object"}"#;

    let words = ["event-type", "add", "a.b", "-d", "An A", "--schema", "-"];
    world.type_words(&words, schema).await.ok();
    world.type_line("event-type add c.d").await.ok();
    world.type_line("event-type rm c.d --yes").await.ok();
    let live = world.type_line("event-types ls -o id").await.ok();
    let exported = world.type_line("event-type export").await.ok();
    world
        .type_line("event-type rm a.b --expunge --yes")
        .await
        .ok();
    let imported = world
        .type_words(&["event-type", "import", "-"], &exported)
        .await;
    let back = world.type_line("event-type get a.b -o json").await.json();

    assert_eq!(live, "a.b\n");
    assert_eq!(imported.err, "2 of 2 event types were imported\n");
    assert_eq!(back["schemas"], json!({"1": {"type": "object"}}));
    assert_eq!(back["description"], "An A");
}

#[tokio::test]
async fn a_bulk_of_which_some_is_refused_ends_with_eight() {
    let world = World::start().await;
    let lines =
        "{\"name\": \"good\", \"description\": \"\"}\n{\"name\": \"b a d\", \"description\": \"\"}";

    let ended = world
        .type_words(&["event-type", "import", "-"], lines)
        .await;

    assert_eq!(ended.code, 8, "{}", ended.err);
    assert!(ended.err.contains("b a d: "), "{}", ended.err);
    assert!(
        ended.err.contains("1 of 2 event types were imported"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn messages_and_attempts_are_listed_shown_and_repeated() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.type_line("app add Shop --uid shop").await.ok();
    let url = receiver.url("/status/500");
    world
        .type_line(&format!("endpoint add {url} --uid search"))
        .await
        .ok();
    let words = [
        "send",
        "a.b",
        "-d",
        "{\"n\":\n 1e400}",
        "--id",
        "e1",
        "-o",
        "id",
        "--wait",
    ];
    let sent = world.type_words(&words, "").await;
    let id = sent.out.trim().to_owned();

    let listed = world
        .type_line("message ls -t a.b --since 1h -o ndjson")
        .await
        .ok();
    let none = world.type_line("message ls -t other -o id").await.ok();
    let raw = world.type_line("message get e1 --raw").await.ok();
    let deliveries = world
        .type_line(&format!("message deliveries {id} -o json"))
        .await
        .json();
    let attempts = world
        .type_line(&format!("attempt ls -m {id} --status fail -o json"))
        .await;
    let resent = world
        .type_line(&format!("message resend {id} --failed"))
        .await;
    let twice = async || {
        let line = "attempt ls -e search -o id";
        world.type_line(line).await.ok().lines().count() == 2
    };
    eventually("it was tried again", PATIENCE, twice).await;

    assert_eq!(sent.code, 7, "{}", sent.err);
    assert_eq!(
        listed.lines().count(),
        1,
        "a line each, whatever the payload: {listed}"
    );
    assert!(listed.contains("1e400") && listed.contains(&id), "{listed}");
    assert_eq!(none, "");
    assert_eq!(raw, "{\"n\":\n 1e400}");
    assert_eq!(deliveries[0]["statusText"], "fail");
    let attempts = attempts.json();
    assert_eq!(attempts[0]["responseStatusCode"], 500);
    assert_eq!(resent.code, 0, "{}", resent.err);
    let attempt = attempts[0]["id"].as_str().unwrap();
    let one = world
        .type_line(&format!("attempt get {attempt} -m {id}"))
        .await
        .ok();
    assert!(one.contains("responseStatusCode  500"), "{one}");
    let curl = world
        .type_line(&format!("attempt curl {attempt} -m {id}"))
        .await
        .ok();
    assert!(curl.contains("-H 'webhook-signature: v1,"), "{curl}");
    assert!(curl.contains(&format!("-H 'webhook-id: {id}'")), "{curl}");
}

#[tokio::test]
async fn an_export_carries_payloads_of_every_shape() {
    let world = World::start().await;
    world.type_line("app add Shop --uid shop").await.ok();
    for payload in ["{\"a\":\n1}", "[1,\n2]", "{}"] {
        world
            .type_words(&["send", "a.b", "-d", payload], "")
            .await
            .ok();
    }

    let exported = world.type_line("message export").await;

    let lines: Vec<Value> = exported
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let payloads: Vec<&Value> = lines.iter().map(|line| &line["payload"]).collect();
    assert_eq!(payloads, [&json!({"a": 1}), &json!([1, 2]), &json!({})]);
    assert_eq!(exported.err, "3 messages\n");
}

#[tokio::test]
async fn what_failed_is_counted_sent_again_and_waited_for() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.type_line("app add Shop --uid shop").await.ok();
    let url = receiver.url("/status/500");
    let add = format!("endpoint add {url} --uid search");
    world.type_line(&add).await.ok();
    let sent = world.type_line("send a.b --id e1 --wait").await;

    let counted = world
        .type_line("replay create --since 1h --dry-run -o json")
        .await
        .json();
    let made = world
        .type_line("replay create -e search --since 1h --type a.b --status failed --rate 9 --wait")
        .await;
    let recovered = world
        .type_line("endpoint recover search --since 1h --until 0s --wait -o json")
        .await;
    let missing = world
        .type_line("endpoint replay-missing search --since 1h --wait -o json")
        .await;
    let listed = world.type_line("replay ls -o json").await.json();

    assert_eq!(sent.code, 7, "{}", sent.err);
    assert_eq!(counted["matched"], 1);
    assert_eq!(made.err, "finished: 1 deliveries\n");
    assert!(made.out.contains("finished"), "{}", made.out);
    assert_eq!(recovered.json()["kind"], "recover");
    let missing = missing.json();
    assert_eq!(missing["progress"]["done"], 0, "it was delivered, or tried");
    assert_eq!(listed.as_array().unwrap().len(), 3);
    let id = missing["id"].as_str().unwrap();
    let got = world.type_line(&format!("replay get {id} -o json")).await;
    assert_eq!(got.json()["status"], "finished");
}

#[tokio::test]
async fn a_replay_is_held_let_go_and_ended() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.type_line("app add Shop --uid shop").await.ok();
    for n in 0..3 {
        world.type_line(&format!("send a.b --id e{n}")).await.ok();
    }
    let url = receiver.url("/status/500");
    let add = format!("endpoint add {url} --uid search");
    world.type_line(&add).await.ok();

    // At one message in a second it is far from its end when the next line is typed.
    let begin = "replay create -e search --status missing --rate 1 -o id";
    let id = world.type_line(begin).await.ok();
    let id = id.trim();
    let shown = world
        .type_line(&format!("replay pause {id} --dry-run"))
        .await
        .ok();
    let paused = world.type_line(&format!("replay pause {id} -o json")).await;
    let resumed = world
        .type_line(&format!("replay resume {id} -o json"))
        .await;
    let canceled = world
        .type_line(&format!("replay cancel {id} -o json"))
        .await;
    let waited = world.type_line(&format!("replay get {id} --wait")).await;

    assert!(shown.ends_with(&format!("/replay/{id}/pause\n")), "{shown}");
    assert_eq!(paused.json()["status"], "paused");
    assert_eq!(resumed.json()["status"], "running");
    assert_eq!(canceled.json()["status"], "canceled");
    assert_eq!(waited.code, 8, "it did a part: {}", waited.err);
}

#[tokio::test]
async fn an_example_reaches_one_endpoint_and_content_is_erased() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    world.type_line("app add Shop --uid shop").await.ok();
    let url = receiver.url("/status/204");
    let add = format!("endpoint add {url} --uid search");
    world.type_line(&add).await.ok();
    let words = ["event-type", "add", "a.b", "--schema", "-"];
    let schema = r#"{"type": "object", "examples": [{"n": 7}]}"#;
    world.type_words(&words, schema).await.ok();

    let tested = world
        .type_line("endpoint test search --type a.b -o json")
        .await
        .json();
    let id = tested["id"].as_str().unwrap();
    let unasked = world.type_line(&format!("message erase {id}")).await;
    let erased = world.type_line(&format!("message redact {id} --yes")).await;
    let raw = world.type_line(&format!("message get {id} --raw")).await;
    let all = world.type_line("message erase --all --yes -o json").await;

    assert_eq!(tested["payload"], json!({"n": 7}));
    assert_eq!(unasked.code, 2, "{}", unasked.err);
    assert_eq!(erased.err, format!("Erased the payload of {id}\n"));
    assert_eq!(raw.code, 3, "{}", raw.out);
    assert_eq!(all.json()["task"], "application.purge_content");
}

#[tokio::test]
async fn a_key_is_made_used_and_revoked() {
    let world = World::start().await;

    let token = world
        .type_line("key create reader --scope read --expires 30d")
        .await
        .ok();
    let token = token.trim();
    let reads = world.type_line(&format!("app ls --token {token}")).await;
    let writes = world.type_line(&format!("app add X --token {token}")).await;
    let keys = world.type_line("keys ls -o json").await.json();
    let made = keys
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["name"] == "reader");
    let id = made.unwrap()["id"].as_str().unwrap();
    let revoked = world.type_line(&format!("key revoke {id} --yes")).await;
    let after = world.type_line(&format!("app ls --token {token}")).await;

    assert_eq!((reads.code, writes.code), (0, 4), "{}", writes.err);
    assert!(!keys.to_string().contains(token), "a list shows no token");
    assert_eq!((revoked.code, after.code), (0, 4));
}

#[tokio::test]
async fn the_audit_trail_is_listed_and_verified() {
    let world = World::start().await;
    world.type_line("app add Shop --uid shop").await.ok();
    world.type_line("app edit shop --name Store").await.ok();

    let line = "audit ls --since 1h --action application.update -o json";
    let listed = world.type_line(line).await.json();
    let verdict = world.type_line("audit verify -o json").await.json();

    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(verdict["valid"], true);
}

#[tokio::test]
async fn a_login_is_used_by_what_follows() {
    let world = World::start().await;
    let home = world.server.scratch().join("home");
    let url = world.server.api.url();
    let key = world.server.scratch().join("key");
    std::fs::write(&key, ADMIN_KEY).unwrap();
    let run = async |words: &[&str]| {
        let mut command = world.launch.command(words);
        command
            .env("XDG_CONFIG_HOME", &home)
            .current_dir(world.server.scratch());
        Ended::of(&finish(command).await)
    };

    let key = key.to_str().unwrap();
    let login = run(&["login", "--url", &url, "--token-file", key, "--app", "shop"]).await;
    let made = run(&["app", "add", "Shop", "--uid", "shop"]).await;
    let sent = run(&["send", "a.b", "-o", "id"]).await;
    let who = run(&["whoami", "-o", "json"]).await.json();
    run(&["logout"]).await.ok();

    assert_eq!(login.code, 0, "{}", login.err);
    assert!(!login.err.contains(ADMIN_KEY));
    assert_eq!((made.code, sent.code), (0, 0), "{}{}", made.err, sent.err);
    assert_eq!(
        (&who["key"], &who["app"]),
        (&json!("accepted"), &json!("shop"))
    );
    assert_eq!(run(&["app", "ls"]).await.code, 4);
}

#[tokio::test]
async fn each_end_has_its_number() {
    let world = World::start().await;
    let nobody = "app ls --url http://127.0.0.1:9";
    let wrong = "app ls --token ph_wrong";

    assert_eq!(world.type_line("app ls").await.code, 0);
    assert_eq!(world.type_line("event-type add --").await.code, 2);
    assert_eq!(world.type_line("app edit shop").await.code, 2);
    assert_eq!(world.type_line("app get nowhere").await.code, 3);
    assert_eq!(world.type_line(wrong).await.code, 4);
    assert_eq!(world.type_line("event-type add b+a+d").await.code, 1);
    assert_eq!(world.type_line(nobody).await.code, 6);
}

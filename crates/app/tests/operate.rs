//! What an operator does with the program: settings, start, end, backup, the demonstration.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Launch, Receiver, TestServer, eventually, finish};

const PATIENCE: Duration = Duration::from_secs(20);

fn launch() -> Launch {
    Launch::new(env!("CARGO_BIN_EXE_posthaste"))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn config_show_says_where_each_setting_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("posthaste.toml");
    let text = "[delivery]\ntimeout = '9s'\nconcurrency_max = 9\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let key = "phk_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U";

    let launch = launch()
        .set("DELIVERY__TIMEOUT", "8s")
        .set("SECRETS__MASTER_KEY", key);
    let flags = [
        "config",
        "show",
        "--config",
        file,
        "--listen",
        "127.0.0.1:9",
    ];
    let output = finish(launch.command(&flags)).await;

    let shown = out(&output);
    assert!(output.status.success(), "{}", err(&output));
    let line = |name: &str| {
        let line = shown
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("{name} is missing in {shown}"));
        line.split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("server.listen"), "\"127.0.0.1:9\" --listen");
    assert_eq!(
        line("delivery.timeout"),
        "\"8s\" $POSTHASTE__DELIVERY__TIMEOUT"
    );
    assert_eq!(line("delivery.concurrency_max"), format!("9 {file}"));
    assert_eq!(line("log.level"), "\"info\" default");
    assert_eq!(
        line("secrets.master_key"),
        "\"***\" $POSTHASTE__SECRETS__MASTER_KEY"
    );
    assert!(!shown.contains(key));
}

#[tokio::test]
async fn all_faults_of_the_settings_are_listed_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let launch = launch()
        .set("DELIVERY__TIMEOUT", "soon")
        .set("DELIVERY__CONCURRENCY_MAX", "0")
        .set("NOWHERE__AT_ALL", "1")
        .set("STORE__DATA", data.to_str().unwrap());

    for arguments in [["serve"].as_slice(), &["config", "show"]] {
        let output = finish(launch.command(arguments)).await;

        let said = err(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for fault in [
            "delivery.timeout",
            "delivery.concurrency_max",
            "nowhere.at_all",
        ] {
            assert!(said.contains(fault), "{fault} is missing in {said}");
        }
    }
    assert!(!data.exists());
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let first = launch().start().await;
    let data = first.data().to_str().unwrap();

    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data];
    let second = finish(launch().command(&arguments)).await;

    assert_eq!(second.status.code(), Some(1));
    let said = err(&second);
    assert!(
        said.contains("another posthaste has") && said.contains(data),
        "{said}"
    );
    assert!(first.is_ready().await);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();

    let output = finish(launch().command(&["serve", "--listen", &address, "--data", data])).await;

    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains(&address), "{}", err(&output));
}

#[tokio::test]
async fn a_hung_attempt_does_not_hold_up_the_end_and_is_made_again_afterwards() {
    let launch = launch().set("SERVER__SHUTDOWN_TIMEOUT", "1s");
    let (mut server, receiver) = (launch.start().await, Receiver::start().await);
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/hang")});
    server.api.create_endpoint("shop", &endpoint).await;
    let id = server.api.publish("shop", r#"{"a":1}"#).await;
    receiver.wait_for("/hang", 1, PATIENCE).await;

    let (status, took) = server.terminate(PATIENCE).await;
    server.start_again().await;
    let attempts = receiver.wait_for("/hang", 2, PATIENCE).await;

    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(3), "took {took:?}");
    assert!(
        took > Duration::from_millis(900),
        "left at once, after {took:?}"
    );
    let ids = attempts.iter().map(|attempt| attempt.header("webhook-id"));
    assert!(ids.eq([Some(id.as_str()); 2]));
}

#[tokio::test]
async fn an_end_waits_for_an_attempt_that_is_answered_in_time() {
    let (mut server, receiver) = (launch().start().await, Receiver::start().await);
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/latency/700ms")});
    let endpoint = server.api.create_endpoint("shop", &endpoint).await;
    let id = server.api.publish("shop", "{}").await;
    receiver.wait_for("/latency/700ms", 1, PATIENCE).await;

    let (status, _) = server.terminate(PATIENCE).await;
    server.start_again().await;

    assert_eq!(status.code(), Some(0));
    let path = format!("/api/v1/app/shop/attempt/endpoint/{}", endpoint.id);
    let attempts = server.api.get(&path).await.expect(200);
    let attempts = attempts["data"].as_array().unwrap();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(
        (&attempts[0]["msgId"], &attempts[0]["status"]),
        (&json!(id), &json!(0))
    );
    assert_eq!(receiver.tally().received, 1, "it was made again");
}

/// What waits is nowhere in memory then, and the sweep that finds it comes by in an hour.
#[tokio::test]
async fn an_endpoint_that_was_paused_before_a_restart_goes_on_at_once() {
    let launch = launch().set("ENGINE__SWEEP_INTERVAL", "1h");
    let (mut server, receiver) = (launch.start().await, Receiver::start().await);
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/")});
    let endpoint = server.api.create_endpoint("shop", &endpoint).await.id;
    let path = format!("/api/v1/app/shop/endpoint/{endpoint}");
    server
        .api
        .post(&format!("{path}/pause"), "")
        .await
        .expect(200);
    server.api.publish("shop", "{}").await;
    server.terminate(PATIENCE).await;
    server.start_again().await;
    assert!(receiver.received().is_empty());

    server
        .api
        .post(&format!("{path}/unpause"), "")
        .await
        .expect(200);

    receiver.wait_for("/", 1, PATIENCE).await;
}

fn printed_key(server: &TestServer) -> Option<String> {
    let stdout = server.stdout();
    let line = stdout
        .lines()
        .find_map(|line| line.strip_prefix("Admin key"))?;
    Some(line.split_whitespace().last().unwrap().to_owned())
}

#[tokio::test]
async fn a_generated_admin_key_is_printed_once_at_the_first_start() {
    let mut server = launch().admin_key(None).start().await;

    let key = printed_key(&server).expect("the first start prints it");
    server.api.token.clone_from(&key);
    server.api.create_application("shop").await;
    let first = [server.stdout(), server.stderr()].concat();
    let (status, _) = server.terminate(PATIENCE).await;
    server.start_again().await;

    assert!(status.success());
    assert_eq!(first.matches(&key).count(), 1, "{first}");
    let second = [server.stdout(), server.stderr()].concat();
    assert!(
        !second.contains(&key) && !second.contains("Admin key"),
        "{second}"
    );
    server.api.get("/api/v1/app/shop").await.expect(200);
}

async fn succeed(launch: &Launch, arguments: &[&str]) -> String {
    let output = finish(launch.command(arguments)).await;
    assert!(output.status.success(), "{arguments:?}: {}", err(&output));
    out(&output)
}

/// Publishes until told to stop; the ids in the order of their 202.
async fn publish_until(server: &TestServer, stop: &tokio::sync::Notify) -> Vec<String> {
    let mut accepted = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = stop.notified() => return accepted,
            id = server.api.publish("shop", r#"{"a":1}"#) => accepted.push(id),
        }
    }
}

#[tokio::test]
async fn a_backup_made_while_publishing_holds_all_that_was_accepted_before() {
    let (server, receiver) = (launch().start().await, Receiver::start().await);
    server.api.create_application("shop").await;
    let endpoint = json!({"url": receiver.url("/all"), "uid": "all"});
    let endpoint = server.api.create_endpoint("shop", &endpoint).await;
    let backup = server.scratch().join("backup.db");
    let (file, restored) = (backup.to_str().unwrap(), server.scratch().join("restored"));
    let mut before = Vec::new();
    for _ in 0..200 {
        before.push(server.api.publish("shop", r#"{"a":1}"#).await);
    }

    let stop = tokio::sync::Notify::new();
    let data = server.data().to_str().unwrap();
    let ((), meanwhile) = tokio::join!(
        async {
            succeed(&launch(), &["db", "backup", file, "--data", data]).await;
            stop.notify_one();
        },
        publish_until(&server, &stop)
    );
    let to = restored.to_str().unwrap();
    succeed(&launch(), &["db", "restore", file, "--data", to]).await;
    let copy = launch().data(&restored).start().await;

    assert!(!meanwhile.is_empty(), "nothing was published meanwhile");
    for id in &before {
        let path = format!("/api/v1/app/shop/msg/{id}");
        copy.api.get(&path).await.expect(200);
    }
    let path = "/api/v1/app/shop/endpoint/all/secret";
    let key = copy.api.get(path).await.expect(200);
    assert_eq!(
        key["key"],
        json!(endpoint.secret),
        "the key went with the data"
    );
    let seen = receiver.tally().distinct;
    copy.api.publish("shop", "{}").await;
    eventually("the copy delivers", PATIENCE, async || {
        receiver.tally().distinct > seen
    })
    .await;
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_a_restore_needs_an_empty_directory() {
    let server = launch().start().await;
    let backup = server.scratch().join("backup.db");
    let (file, data) = (backup.to_str().unwrap(), server.data().to_str().unwrap());
    succeed(&launch(), &["db", "backup", file, "--data", data]).await;
    let first = std::fs::read(&backup).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().to_str().unwrap();
    succeed(&launch(), &["db", "restore", file, "--data", other]).await;

    for arguments in [
        ["db", "backup", file, "--data", data],
        ["db", "restore", file, "--data", data],
        ["db", "restore", file, "--data", other],
    ] {
        let output = finish(launch().command(&arguments)).await;

        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(err(&output).starts_with("error: "), "{}", err(&output));
    }
    assert_eq!(std::fs::read(&backup).unwrap(), first);
}

#[tokio::test]
async fn the_demonstration_runs_to_its_end_and_loses_nothing() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);

    let shown = succeed(&launch(), &["dev", "--once", "--listen", &address]).await;

    for told in [
        "kill -9",
        "200, a repeat",
        "401, refused\n     no signature matches",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let last = shown.lines().last().unwrap_or_default();
    assert!(last.contains(" 0 refused, 0 lost."), "{shown}");
}

#[tokio::test]
async fn the_committed_description_of_the_api_is_the_programs() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");

    let printed = succeed(&launch(), &["openapi"]).await;

    let described: Value = serde_json::from_str(&printed).unwrap();
    assert!(described["paths"].as_object().unwrap().len() > 10);
    let committed = std::fs::read_to_string(committed).unwrap();
    assert!(printed == committed, "run `cargo xtask openapi`");
}

#[tokio::test]
async fn the_page_that_an_error_points_at_is_served() {
    let server = Launch::new(env!("CARGO_BIN_EXE_posthaste")).start().await;

    let error = server.api.get("/nowhere").await.expect(404);
    let page = server.api.get(error["type"].as_str().unwrap()).await;

    assert_eq!(page.status, 200);
    assert!(page.text().starts_with("# unknown_route (404)"));
    let unknown = server.api.get("/docs/errors/nothing").await.expect(404);
    assert_eq!(unknown["code"], "not_found");
}

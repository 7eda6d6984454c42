use serde_json::{Value, json};

use crate::client::testing::{Scripted, answer};
use crate::tests::{typed_around, typed_words};
use crate::{Exit, Surroundings};

async fn apply(server: &Scripted, file: &str, more: &[&str]) -> crate::tests::Ended {
    let mut words = vec!["apply", "-f", "-", "--url", &server.url, "--token", "key_1"];
    words.extend(more);
    let around = Surroundings {
        variable: Some(|name| (name == "HOOK").then(|| "the secret".to_owned())),
        ..Surroundings::default()
    };
    typed_around(&words, file.as_bytes(), around).await
}

const FILE: &str = r#"
[application.shop]
name = "Shop"

[application.shop.source.gh]
name = "GitHub"
provider = "github"
secrets = [{ env = "HOOK" }]
allowed_ips = ["192.0.2.0/24"]

[application.shop.source.gh.deduplication]
window_seconds = 60
"#;

const SAME: &str = r#"{"uid": "gh", "name": "GitHub", "provider": "github", "state": "live",
 "verify": "enforce", "allowedIps": ["192.0.2.0/24"], "deduplication": {"windowSeconds": 60},
 "contentTypes": [], "eventType": {}, "metadata": {}, "hasVerifyToken": false}"#;

#[tokio::test]
async fn what_is_not_there_is_made() {
    let script = vec![answer(404, "{}"), answer(201, "{}"), answer(201, "{}")];
    let server = Scripted::start(script).await;

    let ended = apply(&server, FILE, &[]).await;

    assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
    assert_eq!(ended.out, "+ application shop\n+ source shop/gh\n");
    let asked = server.asked();
    assert_eq!(asked[2].line, "POST /api/v1/app/shop/source HTTP/1.1");
    let body: Value = serde_json::from_str(&asked[2].body).unwrap();
    assert_eq!(
        body,
        json!({
            "uid": "gh", "name": "GitHub", "provider": "github", "secrets": ["the secret"],
            "allowedIps": ["192.0.2.0/24"], "deduplication": {"windowSeconds": 60},
        })
    );
}

#[tokio::test]
async fn what_is_as_the_file_says_is_left_alone() {
    let script = vec![
        answer(200, r#"{"name": "Shop"}"#),
        answer(200, SAME),
        answer(200, r#"{"secrets": true, "verifyToken": true}"#),
    ];
    let server = Scripted::start(script).await;

    let ended = apply(&server, FILE, &[]).await;

    assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
    assert_eq!(ended.out, "= application shop\n= source shop/gh\n");
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn what_differs_is_changed_and_a_dry_run_only_tells() {
    for dry_run in [false, true] {
        let script = vec![
            answer(200, r#"{"name": "Shop"}"#),
            answer(
                200,
                r#"{"uid": "gh", "name": "Old", "provider": "github", "state": "paused",
                "verify": "tag", "allowedIps": ["192.0.2.0/24"],
                "deduplication": {"windowSeconds": 60}}"#,
            ),
            answer(200, r#"{"secrets": false, "verifyToken": true}"#),
            answer(200, "{}"),
            answer(200, "{}"),
        ];
        let server = Scripted::start(script).await;

        let more: &[&str] = if dry_run { &["--dry-run"] } else { &[] };
        let ended = apply(&server, FILE, more).await;

        assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
        assert!(ended.out.contains("~ source shop/gh\n"), "{}", ended.out);
        assert!(
            ended.out.contains(r#"name: "Old" -> "GitHub""#),
            "{}",
            ended.out
        );
        assert!(!ended.out.contains("the secret"), "{}", ended.out);
        let asked = server.asked();
        assert_eq!(asked.len(), if dry_run { 3 } else { 5 });
        if !dry_run {
            let body: Value = serde_json::from_str(&asked[3].body).unwrap();
            let expected = json!({"name": "GitHub", "verify": null, "secrets": ["the secret"]});
            assert_eq!(body, expected);
            assert_eq!(
                asked[4].line,
                "POST /api/v1/app/shop/source/gh/resume HTTP/1.1"
            );
        }
    }
}

#[tokio::test]
async fn what_the_file_does_not_name_is_deleted_on_demand_alone() {
    let script = || {
        vec![
            answer(200, r#"{"name": "Shop"}"#),
            answer(200, SAME),
            answer(200, r#"{"secrets": true, "verifyToken": true}"#),
            answer(
                200,
                r#"{"data": [{"id": "src_1", "uid": "gh"}, {"id": "src_2"}],
                "iterator": null, "done": true}"#,
            ),
            answer(200, "{}"),
        ]
    };
    let server = Scripted::start(script()).await;
    let unasked = apply(&server, FILE, &["--prune"]).await;
    assert_eq!(unasked.exit, Exit::Usage, "{}", unasked.err);
    assert_eq!(server.asked().len(), 4);

    let server = Scripted::start(script()).await;
    let ended = apply(&server, FILE, &["--prune", "--yes"]).await;

    assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
    assert!(ended.out.contains("- source shop/src_2\n"), "{}", ended.out);
    let last = &server.asked()[4];
    assert_eq!(last.line, "DELETE /api/v1/app/shop/source/src_2 HTTP/1.1");
}

#[tokio::test]
async fn every_fault_of_a_file_is_named_and_nothing_is_done() {
    let file = r#"
[server]
[application.shop]
nam = "x"
[application.shop.source.gh]
provider = "github"
secrets = ["plain", { env = "NOT_THERE" }, { file = "not/there" }]
publik_url = "x"
[application.shop.source.gh.response]
code = 3
"#;
    let server = Scripted::start(Vec::new()).await;

    let ended = apply(&server, file, &[]).await;

    assert_eq!(ended.exit, Exit::Usage);
    for fault in [
        "server: is unknown",
        "application.shop.nam: is unknown",
        "application.shop.source.gh.name: is missing",
        "application.shop.source.gh.secrets.0: is neither { file",
        "application.shop.source.gh.secrets.1: $NOT_THERE is not set",
        "application.shop.source.gh.secrets.2: cannot read not/there",
        "application.shop.source.gh.publik_url: is not a field",
        "application.shop.source.gh.response.code: is not a field of it",
    ] {
        assert!(ended.err.contains(fault), "{fault} in {}", ended.err);
    }
    assert!(!ended.err.contains("plain"), "{}", ended.err);
    let broken = typed_words(&["apply", "-f", "-"], b"[").await;
    assert_eq!(broken.exit, Exit::Usage);
}

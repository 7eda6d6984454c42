//! What an inbound URL must hold against: forgeries, repeats, conflicts and strangers (rows D of
//! the security tests), and what its settings say.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use super::harness::TestApi;
use super::inbound::{REQUESTS, SECRET, SOURCES, path, signature};

const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn standard(api: &TestApi, more: Value) -> String {
    let mut body = json!({"name": "x", "provider": "standard-webhooks", "secrets": [WHSEC]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    path(&api.source(body).await)
}

/// What a sender of Standard Webhooks would send, so many seconds off.
fn signed(api: &TestApi, id: &str, body: &str, off: i64) -> [(&'static str, String); 3] {
    let now = api.service.received_at().as_micros();
    let at = domain::Timestamp::from_micros(now + off * 1_000_000);
    let key = signature::SigningKey::parse(WHSEC).unwrap();
    let mut signature = String::new();
    key.sign(id, at, body.as_bytes(), &mut signature);
    [
        ("webhook-id", id.to_owned()),
        (
            "webhook-timestamp",
            (at.as_micros() / 1_000_000).to_string(),
        ),
        ("webhook-signature", signature),
    ]
}

async fn send(api: &TestApi, path: &str, headers: &[(&str, String)], body: &str) -> u16 {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    api.deliver(path, &headers, body.to_owned())
        .await
        .status
        .as_u16()
}

async fn messages(api: &TestApi) -> usize {
    let list = api.get("/api/v1/app/acme/msg").await.expect(200);
    list["data"].as_array().unwrap().len()
}

/// D1, D4, D9: what is no signature refuses; one good signature among others is enough.
#[tokio::test(start_paused = true)]
async fn only_a_well_formed_signature_that_is_right_is_taken() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = standard(&api, json!({})).await;
    let good = signed(&api, "msg_1", "{}", 0);
    let right = good[2].1.clone();
    let wrong = format!("v1,{}", "A".repeat(43) + "=");

    for bad in [
        String::new(),
        "v1".to_owned(),
        "v1,".to_owned(),
        right[..11].to_owned(),
        right.replacen("v1", "V1", 1),
        right.replacen("v1,", "v1,!", 1),
        right.trim_end_matches('=').to_owned(),
        wrong.clone(),
    ] {
        let mut headers = good.clone();
        headers[2].1.clone_from(&bad);
        assert_eq!(send(&api, &path, &headers, "{}").await, 401, "{bad}");
    }
    assert_eq!(send(&api, &path, &good[..2], "{}").await, 401);
    assert_eq!(messages(&api).await, 0);
    for fine in [format!("{wrong} {right}"), format!("garbage  {right}")] {
        let mut headers = good.clone();
        headers[2].1 = fine;
        assert_eq!(send(&api, &path, &headers, "{}").await, 200);
    }
}

/// D5, D6: a timestamp is digits, and no further from the clock than the tolerance.
#[tokio::test(start_paused = true)]
async fn a_timestamp_has_one_spelling_and_an_age() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = standard(&api, json!({})).await;

    for (off, expected) in [(-301, 401), (-299, 200), (299, 200), (301, 401)] {
        let headers = signed(&api, &format!("msg_{off}"), "{}", off);
        assert_eq!(send(&api, &path, &headers, "{}").await, expected, "{off}");
    }
    let good = signed(&api, "msg_x", "{}", 0);
    for spell in [
        "{}.5",
        "{}abc",
        "+{}",
        "0{}",
        "{}e0",
        "-{}",
        "NaN",
        "99999999999999999999",
    ] {
        let mut headers = good.clone();
        headers[1].1 = spell.replace("{}", &good[1].1);
        assert_eq!(send(&api, &path, &headers, "{}").await, 401, "{spell}");
    }
}

/// D7, D10, D15: what comes twice, a changed body, another source's secret.
#[tokio::test(start_paused = true)]
async fn what_is_ambiguous_changed_or_anothers_is_refused() {
    let api = TestApi::new().await;
    api.acme().await;
    let path_a = standard(&api, json!({})).await;
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let path_b = standard(&api, json!({"secrets": [other]})).await;
    let good = signed(&api, "msg_1", r#"{"a": 1}"#, 0);

    for twice in [0, 1] {
        let mut headers = good.to_vec();
        headers.push(good[twice].clone());
        assert_eq!(send(&api, &path_a, &headers, r#"{"a": 1}"#).await, 400);
    }
    for body in [
        r#"{"a":1}"#,
        "{\"a\": 1} ",
        "\u{feff}{\"a\": 1}",
        "{\"a\": 1}\n",
    ] {
        assert_eq!(send(&api, &path_a, &good, body).await, 401, "{body:?}");
    }
    assert_eq!(send(&api, &path_b, &good, r#"{"a": 1}"#).await, 401);
    assert_eq!(messages(&api).await, 0);
    assert_eq!(send(&api, &path_a, &good, r#"{"a": 1}"#).await, 200);
}

#[tokio::test]
async fn a_diagnosis_knows_the_secrets_of_other_sources() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = path(&api.github().await);
    api.post("/api/v1/app", r#"{"name": "Other", "uid": "other"}"#)
        .await
        .expect(201);
    let source =
        |secret: &str| json!({"name": "x", "provider": "github", "secrets": [secret]}).to_string();
    let (mine, theirs) = ("a second secret of acme's", "a secret of the other's");
    let neighbour = api.post(SOURCES, &source(mine)).await.expect(201);
    let others = "/api/v1/app/other/source";
    api.post(others, &source(theirs)).await.expect(201);

    for secret in [mine, theirs] {
        let signature = signature(secret, "{}");
        let headers = [("x-hub-signature-256", signature.as_str())];
        api.deliver(&path, &headers, "{}").await.expect(401);
    }

    let requests = api.requests("verdict=rejected").await;
    let why = |index: usize| requests[index]["diagnosis"].as_str().unwrap();
    assert!(
        why(0).contains("a source of another application"),
        "{}",
        why(0)
    );
    let neighbour = neighbour["id"].as_str().unwrap();
    assert!(why(1).contains(neighbour), "{}", why(1));
}

/// D12: a thousand at once are one effect.
#[tokio::test(start_paused = true)]
async fn a_thousand_repeats_at_once_are_one_message() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = path(&api.github().await);

    let all = (0..1_000).map(|_| api.push(&path, "one", "{}"));
    let replies = join_all(all).await;

    let ids: std::collections::BTreeSet<_> =
        replies.iter().map(|reply| reply.bytes.clone()).collect();
    assert_eq!(ids.len(), 1);
    let marked =
        |reply: &&super::harness::Reply| !reply.headers.contains_key("posthaste-duplicate");
    assert_eq!(replies.iter().filter(marked).count(), 1);
    assert_eq!(messages(&api).await, 1);
}

/// D13: the same id with another body.
#[tokio::test(start_paused = true)]
async fn an_id_with_another_body_is_a_duplicate_that_says_so_or_a_conflict() {
    let api = TestApi::new().await;
    api.acme().await;
    let github = path(&api.github().await);
    let strict = standard(&api, json!({})).await;

    let first = api.push(&github, "one", r#"{"n": 1}"#).await.expect(200);
    let other = api.push(&github, "one", r#"{"n": 2}"#).await.expect(200);
    let headers = signed(&api, "msg_1", "1", 0);
    assert_eq!(send(&api, &strict, &headers, "1").await, 200);
    let headers = signed(&api, "msg_1", "2", 0);
    let refused = send(&api, &strict, &headers, "2").await;

    assert_eq!(first, other);
    let duplicates = api.requests("verdict=duplicate").await;
    assert_eq!(duplicates[0]["bodyDiffers"], true);
    assert_eq!(refused, 409);
    assert_eq!(api.requests("reason=id_reused").await.len(), 1);
    assert_eq!(messages(&api).await, 2);
}

/// D12: a replay under a fresh id that the signature does not cover.
#[tokio::test(start_paused = true)]
async fn a_replay_under_another_id_is_flagged_or_refused() {
    let api = TestApi::new().await;
    api.acme().await;
    let flagging = path(&api.github().await);
    let body = json!({"name": "x", "provider": "github", "secrets": [SECRET],
        "deduplication": {"replayGuard": "refuse"}});
    let refusing = path(&api.source(body).await);

    for id in ["one", "two"] {
        api.push(&flagging, id, "{}").await.expect(200);
    }
    api.push(&refusing, "one", "{}").await.expect(200);
    api.push(&refusing, "two", "{}")
        .await
        .expect_problem(409, "conflict");

    let flagged = api.requests("provider_id=two&verdict=accepted").await;
    assert_eq!(flagged[0]["replaySuspected"], true);
    assert_eq!(api.requests("reason=replayed").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn both_secrets_count_while_one_is_rotated() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = path(&api.github().await);
    let body = json!({"secret": "new", "gracePeriodSeconds": 60}).to_string();
    api.post(&format!("{SOURCES}/gh/secret/rotate"), &body)
        .await
        .expect(200);
    let with = async |secret: &str| {
        let signature = signature(secret, "{}");
        let headers = [("x-hub-signature-256", signature.as_str())];
        api.deliver(&path, &headers, "{}").await.status.as_u16()
    };

    assert_eq!((with(SECRET).await, with("new").await), (200, 200));
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!((with(SECRET).await, with("new").await), (401, 200));
    let refused = &api.requests("verdict=rejected").await[0];
    assert!(
        refused["diagnosis"]
            .as_str()
            .unwrap()
            .contains("previous secret"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn both_urls_work_while_one_is_rotated() {
    let api = TestApi::new().await;
    api.acme().await;
    let old = path(&api.github().await);
    let body = json!({"gracePeriodSeconds": 60}).to_string();
    let rotated = api
        .post(&format!("{SOURCES}/gh/token/rotate"), &body)
        .await
        .expect(200);
    let new = path(&rotated);

    assert_ne!(old, new);
    for path in [&old, &new] {
        api.push(path, path, "{}").await.expect(200);
    }
    tokio::time::advance(Duration::from_mins(1)).await;
    api.push(&old, "x", "{}")
        .await
        .expect_problem(404, "not_found");
    api.push(&new, "x", "{}").await.expect(200);
    api.delete(&format!("{SOURCES}/gh")).await.expect(204);
    api.push(&new, "y", "{}")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(start_paused = true)]
async fn what_the_settings_exclude_is_refused() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = json!({"name": "x", "provider": "github", "verify": "none", "maxBodyBytes": 4,
        "contentTypes": ["text/plain"], "requestsPerSecond": 3});
    let limited = path(&api.source(body).await);
    let body = json!({"name": "x", "provider": "github", "verify": "none",
        "allowedIps": ["192.0.2.0/24"]});
    let closed = path(&api.source(body).await);
    let text = [("content-type", "text/plain; charset=utf-8")];

    api.deliver(&closed, &text, "{}")
        .await
        .expect_problem(403, "address_not_allowed");
    let other = [("content-type", "application/json")];
    api.deliver(&limited, &other, "1234")
        .await
        .expect_problem(415, "unsupported_media_type");
    api.deliver(&limited, &text, "12345")
        .await
        .expect_problem(413, "payload_too_large");
    api.deliver(&limited, &text, "1234").await.expect(200);
    let fast = api.deliver(&limited, &text, "1234").await;
    assert_eq!(fast.headers["retry-after"], "1");
    fast.expect_problem(429, "rate_limited");
    tokio::time::advance(Duration::from_secs(1)).await;
    let packed = [("content-type", "text/plain"), ("content-encoding", "gzip")];
    api.deliver(&limited, &packed, "1")
        .await
        .expect_problem(415, "unsupported_media_type");
    let reasons: Vec<_> = api.requests("order=ascending&verdict=rejected").await;
    let reasons: Vec<_> = reasons
        .iter()
        .map(|one| one["reason"].as_str().unwrap())
        .collect();
    assert_eq!(
        reasons,
        ["address_not_allowed", "type", "too_large", "rate", "type"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_event_type_and_the_answer_are_as_the_source_says() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = json!({"name": "x", "provider": "github", "verify": "none",
        "eventType": {"template": "cms.{header:x-kind}.{json:action}", "fallback": "cms.unknown"},
        "response": {"status": 202, "body": "ok {id}", "contentType": "text/plain"}});
    let path = path(&api.source(body).await);

    let reply = api
        .deliver(&path, &[("x-kind", "post")], r#"{"action": "live"}"#)
        .await;
    api.deliver(&path, &[], "no json").await;

    assert_eq!(reply.status, 202);
    assert!(reply.bytes.starts_with(b"ok msg_"), "{:?}", reply.bytes);
    let list = api.get("/api/v1/app/acme/msg").await.expect(200);
    let types: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["eventType"])
        .collect();
    assert_eq!(types, ["cms.unknown", "cms.post.live"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_unverified_does_not_stand_in_the_way_of_what_is_the_providers() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = json!({"name": "x", "provider": "github", "secrets": [SECRET], "verify": "tag"});
    let path = path(&api.source(body).await);
    let forged = [
        ("x-github-delivery", "one"),
        ("x-hub-signature-256", "sha256=00"),
    ];

    api.deliver(&path, &forged, "{}").await.expect(200);
    let genuine = api.push(&path, "one", "{}").await;

    assert!(!genuine.headers.contains_key("posthaste-duplicate"));
    let requests = api.requests("order=ascending").await;
    assert_eq!(
        (&requests[0]["unverified"], &requests[1]["unverified"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_are_shown_nowhere() {
    let api = TestApi::new().await;
    api.acme().await;
    let body = json!({"name": "x", "provider": "token", "secrets": ["hunter2-hunter2"]});
    let source = api.source(body).await;
    let name = "x-webhook-token";
    let headers = [
        (name, "hunter2-hunter2"),
        ("authorization", "Basic hunter2-hunter2"),
    ];
    api.deliver(&path(&source), &headers, "{}").await;

    let id = api.requests("").await[0]["id"].as_str().unwrap().to_owned();
    for shown in [
        REQUESTS.to_owned(),
        format!("{REQUESTS}/{id}"),
        SOURCES.to_owned(),
    ] {
        let reply = api
            .call(Method::GET, &shown, &[], "")
            .await
            .expect(200)
            .to_string();
        assert!(!reply.contains("hunter2"), "{reply}");
    }
    let audit = api.get("/api/v1/audit").await.expect(200).to_string();
    let token = path(&source).replace("/in/", "");
    assert!(!audit.contains("hunter2") && !audit.contains(&token));
    assert!(
        !api.get(REQUESTS)
            .await
            .expect(200)
            .to_string()
            .contains(&token)
    );
}

#[tokio::test(start_paused = true)]
async fn a_patch_changes_what_it_names_and_keeps_the_secrets() {
    let api = TestApi::new().await;
    api.acme().await;
    let source = api.github().await;

    let body = json!({"name": "new", "deduplication": {"windowSeconds": 60}}).to_string();
    let changed = api.patch(&format!("{SOURCES}/gh"), &body).await.expect(200);

    assert_eq!(changed["name"], "new");
    assert_eq!(changed["deduplication"]["windowSeconds"], 60);
    assert_eq!(changed["provider"], "github");
    assert_eq!(changed["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(changed["url"], source["url"]);
    api.push(&path(&source), "x", "{}").await.expect(200);
    let bad =
        json!({"provider": "nobody", "allowedIps": ["x"], "publicUrl": "ftp://x"}).to_string();
    let refused = api.patch(&format!("{SOURCES}/gh"), &bad).await;
    refused.expect_problem(422, "validation");
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_put_in_again_through_verification_or_past_it() {
    let api = TestApi::new().await;
    api.acme().await;
    let path = path(&api.github().await);
    let forged = signature("new", "{}");
    let headers = [
        ("x-hub-signature-256", forged.as_str()),
        ("x-github-delivery", "one"),
    ];
    api.deliver(&path, &headers, "{}")
        .await
        .expect_problem(401, "verification_failed");
    let id = api.requests("").await[0]["id"].as_str().unwrap().to_owned();
    let replay = async |body: Value| {
        let path = format!("{REQUESTS}/{id}/replay");
        api.post(&path, &body.to_string()).await.expect(200)
    };

    let refused = replay(json!({})).await;
    let body = json!({"secret": "new"}).to_string();
    api.post(&format!("{SOURCES}/gh/secret/rotate"), &body)
        .await
        .expect(200);
    let taken = replay(json!({})).await;
    let again = replay(json!({})).await;
    let past = replay(json!({"verify": false, "deduplicate": false})).await;

    assert_eq!(refused["verdict"], "rejected");
    assert_eq!(taken["verdict"], "accepted");
    assert_eq!(again["verdict"], "duplicate");
    assert_eq!(again["messageId"], taken["messageId"]);
    assert_eq!(past["verdict"], "accepted");
    assert_ne!(past["messageId"], taken["messageId"]);
    assert_eq!(api.requests("verdict=accepted").await[0]["replayed"], true);
}

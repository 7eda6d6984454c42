//! What is sent, what is printed, and how the command ends.

use signature::scheme::{Key, Request, SchemeSigningKey, Verdict, preset};

use crate::Exit;
use crate::client::testing::{Asked, Script, Scripted, answer};
use crate::tests::{Ended, typed_words};

const SECRET: &str = "a secret of twenty-four b";

async fn trigger(server: &Scripted, line: &str) -> Ended {
    let url = format!("{}/in/tok_1", server.url);
    let mut words = vec!["trigger"];
    words.extend(line.split(' '));
    words.extend(["--url", &url, "--secret", SECRET]);
    typed_words(&words, b"").await
}

async fn serving(script: Vec<Script>) -> Scripted {
    Scripted::start(script).await
}

fn verdict(asked: &Asked, provider: &str, key: &str) -> Verdict {
    let scheme = &preset(provider).unwrap().scheme;
    let lines = asked.head.lines().skip(1);
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
    let request = Request {
        method: "POST",
        url: None,
        headers: &headers,
        body: asked.body.as_bytes(),
        fetched: None,
    };
    let key = Key::parse(scheme, key).unwrap();
    scheme.verify(&request, &[key], crate::world::now())
}

#[tokio::test]
async fn a_sample_is_sent_signed_and_its_answer_shown() {
    let server = serving(vec![answer(200, r#"{"id":"msg_1"}"#)]).await;

    let ended = trigger(&server, "stripe.invoice.paid").await;

    assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
    let asked = &server.asked()[0];
    assert!(asked.line.starts_with("POST /in/tok_1 "), "{}", asked.line);
    assert!(asked.body.contains(r#""type":"invoice.paid""#));
    assert!(matches!(
        verdict(asked, "stripe", SECRET),
        Verdict::Verified(_)
    ));
    let authority = server.url.trim_start_matches("http://");
    let first = format!("POST {authority}/in/…  stripe invoice.paid\n");
    assert!(ended.out.starts_with(&first), "{}", ended.out);
    assert!(ended.out.contains(r#"{"id":"msg_1"}"#), "{}", ended.out);
    assert!(!ended.out.contains("tok_1") && !ended.out.contains(SECRET));
}

#[tokio::test]
async fn a_spoiled_request_ends_well_when_it_is_refused_and_badly_when_it_is_not() {
    for (flag, words) in [
        ("--bad-signature", "SignatureMismatch"),
        ("--tampered", "SignatureMismatch"),
        ("--malformed", "SignatureMalformed"),
        ("--stale", "TooOld"),
    ] {
        let server = serving(vec![answer(401, "{}"), answer(200, "{}")]).await;
        let line = format!("slack {flag}");

        let refused = trigger(&server, &line).await;
        let taken = trigger(&server, &line).await;

        assert_eq!(
            (refused.exit, taken.exit),
            (Exit::Ok, Exit::Failure),
            "{flag}"
        );
        assert_eq!(taken.err, "the spoiled request was taken as good\n");
        let verdict = format!("{:?}", verdict(&server.asked()[0], "slack", SECRET));
        assert!(verdict.contains(words), "{flag}: {verdict}");
    }
}

#[tokio::test]
async fn a_good_request_that_is_refused_ends_as_its_status_says() {
    for (status, exit) in [
        (401, Exit::Auth),
        (404, Exit::NotFound),
        (503, Exit::Unavailable),
        (400, Exit::Failure),
    ] {
        let server = serving(vec![answer(status, "{}")]).await;

        assert_eq!(trigger(&server, "github").await.exit, exit, "{status}");
    }
}

#[tokio::test]
async fn a_duplicate_is_the_same_request_byte_for_byte() {
    let server = serving(vec![answer(200, "{}"), answer(200, "{}")]).await;

    let ended = trigger(&server, "github --duplicate").await;

    assert_eq!(ended.exit, Exit::Ok);
    let asked = server.asked();
    assert_eq!(
        (&asked[0].head, &asked[0].body),
        (&asked[1].head, &asked[1].body)
    );
    assert_eq!(ended.err, "the second was not marked as a repeat\n");
}

#[tokio::test]
async fn a_flood_is_many_requests_each_another_and_told_in_sum() {
    let script = (0..20).map(|n| answer(if n == 7 { 500 } else { 200 }, "{}"));
    let server = serving(script.collect()).await;

    let ended = trigger(&server, "github --flood 20").await;

    assert_eq!(ended.exit, Exit::Partial, "{}", ended.err);
    assert_eq!(ended.out, "200  19\n500  1\n");
    let asked = server.asked();
    let mut ids: Vec<_> = asked
        .iter()
        .map(|asked| asked.header("x-github-delivery").unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn what_would_not_be_noticed_is_said_before_anything_is_sent() {
    let server = serving(vec![]).await;

    for (line, words) in [
        ("github --stale", "github: the provider sends no time"),
        (
            "strapi --tampered",
            "strapi: the provider does not sign the body",
        ),
        ("paypal", "a certificate whose key only the provider has"),
        ("discord", "the secret is no private key"),
        ("nobody", "there is no sample of nobody"),
        (
            "github.nothing",
            "github has no sample github.nothing; it has push, ping",
        ),
    ] {
        let ended = trigger(&server, line).await;
        assert_eq!(ended.exit, Exit::Usage, "{line}");
        assert!(ended.err.contains(words), "{line}: {}", ended.err);
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn samples_are_listed_and_a_dry_run_prints_the_request() {
    let listed = typed_words(&["trigger", "--list", "ghost"], b"").await;
    assert_eq!(
        listed.out,
        "ghost.post.published\nghost.post.published.edited\nghost.member.added\n"
    );

    let words = [
        "trigger",
        "github",
        "--url",
        "3000",
        "--secret-file",
        "-",
        "--dry-run",
    ];
    let dry = typed_words(&words, b"the secret\n").await;
    assert_eq!(dry.exit, Exit::Ok, "{}", dry.err);
    assert!(dry.out.starts_with("POST 127.0.0.1:3000/\n"), "{}", dry.out);
    assert!(
        dry.out.contains("X-Hub-Signature-256: sha256="),
        "{}",
        dry.out
    );
}

#[tokio::test]
async fn a_private_key_signs_what_its_public_half_verifies() {
    let server = serving(vec![answer(204, "")]).await;
    let url = format!("{}/in/t", server.url);
    let seed = "07".repeat(32);
    let words = [
        "trigger", "discord", "--url", &url, "--secret", &seed, "-o", "json",
    ];

    let ended = typed_words(&words, b"").await;

    assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
    let line: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(line["answer"]["status"], 204);
    assert_eq!(line["provider"], "discord");
    let scheme = &preset("discord").unwrap().scheme;
    let pair = SchemeSigningKey::private(scheme, &[7; 32], "").unwrap();
    let verdict = verdict(&server.asked()[0], "discord", &pair.public(scheme).unwrap());
    assert!(matches!(verdict, Verdict::Verified(_)), "{verdict:?}");
}

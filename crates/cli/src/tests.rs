//! Commands as they are typed: what they print, and how they end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{CommandFactory as _, Parser as _};

use super::*;
use crate::client::testing::Scripted;

#[derive(clap::Parser)]
#[command(name = "posthaste")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// What is left of a command.
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Types a command whose words have no spaces, with the server and its key added.
pub(crate) async fn typed(server: &Scripted, line: &str) -> Ended {
    let mut words: Vec<&str> = line.split(' ').collect();
    words.extend(["--url", &server.url, "--token", "key_1"]);
    typed_words(&words, b"").await
}

/// Types a command word by word, with something on its standard input.
pub(crate) async fn typed_words(words: &[&str], input: &[u8]) -> Ended {
    typed_around(words, input, Surroundings::default()).await
}

/// Types a command word by word, in surroundings of its own.
pub(crate) async fn typed_around(words: &[&str], mut input: &[u8], around: Surroundings) -> Ended {
    let words = std::iter::once("posthaste").chain(words.iter().copied());
    let command = CommandLine::try_parse_from(words).unwrap().command;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        input: &mut input,
        out: &mut out,
        err: &mut err,
        around,
    };

    let exit = run(command, &mut streams).await;

    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        exit,
        out: text(out),
        err: text(err),
    }
}

#[test]
fn the_commands_are_well_formed() {
    CommandLine::command().debug_assert();
}

#[test]
fn every_command_and_option_explains_itself() {
    let mut commands = CommandLine::command();
    commands.build();
    let commands = commands.get_subcommands();
    for command in commands.filter(|command| command.get_name() != "help") {
        let name = command.get_name();
        assert!(
            command.get_long_about().is_some(),
            "{name} says more when asked"
        );
        explains_itself(command, name);
    }
}

fn explains_itself(command: &clap::Command, name: &str) {
    assert!(command.get_about().is_some(), "{name} says what it does");
    for argument in command.get_arguments() {
        assert!(
            argument.get_help().is_some(),
            "{name} explains {}",
            argument.get_id()
        );
    }
    let verbs = command.get_subcommands();
    for verb in verbs.filter(|verb| verb.get_name() != "help") {
        explains_itself(verb, &format!("{name} {}", verb.get_name()));
    }
}

#[test]
fn keys_do_not_show_in_the_help_of_whoever_has_them_set() {
    let mut commands = CommandLine::command();
    let send = commands.find_subcommand_mut("send").unwrap();
    for name in ["token", "admin_key"] {
        let argument = send
            .get_arguments()
            .find(|argument| argument.get_id() == name)
            .unwrap();
        assert!(argument.is_hide_env_values_set(), "{name}");
    }
}

#[test]
fn exit_codes_are_what_the_documentation_says() {
    let codes = [
        (Exit::Ok, 0),
        (Exit::Failure, 1),
        (Exit::Usage, 2),
        (Exit::NotFound, 3),
        (Exit::Auth, 4),
        (Exit::Conflict, 5),
        (Exit::Unavailable, 6),
        (Exit::DeliveryFailed, 7),
        (Exit::Partial, 8),
        (Exit::Interrupted, 130),
    ];
    for (exit, code) in codes {
        assert_eq!(exit.code(), code, "{exit:?}");
    }
}

#[test]
fn a_status_decides_how_a_command_ends() {
    for (status, exit) in [
        (202, Exit::Ok),
        (400, Exit::Failure),
        (401, Exit::Auth),
        (403, Exit::Auth),
        (404, Exit::NotFound),
        (409, Exit::Conflict),
        (422, Exit::Failure),
        (429, Exit::Unavailable),
        (500, Exit::Failure),
        (503, Exit::Unavailable),
        (507, Exit::Unavailable),
    ] {
        let status = http::StatusCode::from_u16(status).unwrap();
        assert_eq!(Exit::of_status(status), exit, "{status}");
    }
}

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;

/// The vector that is in the official libraries' own tests.
#[tokio::test]
async fn signing_gives_the_well_known_headers() {
    let words = [
        "sign",
        "--secret",
        SECRET,
        "--timestamp",
        "1649367553",
        "--id",
    ];
    let words = [words.as_slice(), &["msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"]].concat();

    let signed = typed_words(&words, BODY).await;

    assert_eq!(signed.exit, Exit::Ok);
    assert_eq!(
        signed.out,
        "webhook-id: msg_27UH4WbU6Z5A5EzD8u03UvzRbpk\n\
         webhook-timestamp: 1649367553\n\
         webhook-signature: v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=\n"
    );
}

/// Verifies what `sign` printed, with these options and this body.
async fn verified(signed: &Ended, options: &[&str], body: &[u8]) -> Ended {
    let headers = signed.out.lines().flat_map(|line| ["--header", line]);
    let words: Vec<&str> = ["verify"].into_iter().chain(headers).collect();
    typed_words(&[&words, options].concat(), body).await
}

#[tokio::test]
async fn what_was_signed_verifies_and_what_was_changed_does_not() {
    let signed = typed_words(&["sign", "--secret", SECRET, "--id", "msg_1"], BODY).await;

    let good = verified(&signed, &["--secret", SECRET], BODY).await;
    let changed = verified(&signed, &["--secret", SECRET], b"{}").await;

    assert_eq!(good.exit, Exit::Ok);
    assert!(
        good.out.starts_with("verified: msg_1, signed at 2"),
        "{}",
        good.out
    );
    assert_eq!(changed.exit, Exit::Failure);
    assert!(
        changed.err.starts_with("refused: no signature matches"),
        "{}",
        changed.err
    );
    assert_eq!(changed.out, "");
}

#[tokio::test]
async fn an_old_signature_verifies_only_with_enough_tolerance() {
    let words = [
        "sign",
        "--secret",
        SECRET,
        "--id",
        "msg_1",
        "--timestamp",
        "1649367553",
    ];
    let signed = typed_words(&words, BODY).await;

    let late = verified(&signed, &["--secret", SECRET], BODY).await;
    let allowed = verified(
        &signed,
        &["--secret", SECRET, "--tolerance", "36500d"],
        BODY,
    )
    .await;

    assert_eq!(late.exit, Exit::Failure);
    assert!(late.err.contains("s in the past"), "{}", late.err);
    assert_eq!(allowed.exit, Exit::Ok);
}

#[tokio::test]
async fn headers_are_read_from_a_file_as_a_capture_has_them() {
    let signed = typed_words(&["sign", "--secret", SECRET, "--id", "msg_1"], BODY).await;
    let name = format!("posthaste-headers-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let capture = signed.out.replace("webhook-", "Webhook-");
    std::fs::write(
        &path,
        format!("POST /hooks HTTP/1.1\r\nHost: x\r\n{capture}"),
    )
    .unwrap();
    let file = path.to_str().unwrap();

    let words = ["verify", "--secret", SECRET, "--headers", file];
    let verified = typed_words(&words, BODY).await;

    std::fs::remove_file(&path).unwrap();
    assert_eq!((verified.exit, verified.err.as_str()), (Exit::Ok, ""));
}

#[tokio::test]
async fn a_made_key_signs_what_its_public_half_verifies() {
    let made = typed_words(&["keygen", "--ed25519"], b"").await;
    let (private, public) = made.out.trim_end().split_once('\n').unwrap();

    let signed = typed_words(&["sign", "--secret", private, "--id", "msg_1"], BODY).await;
    let good = verified(&signed, &["--secret", public], BODY).await;

    assert!(
        private.starts_with("whsk_") && public.starts_with("whpk_"),
        "{}",
        made.out
    );
    assert!(
        signed.out.contains("webhook-signature: v1a,"),
        "{}",
        signed.out
    );
    assert_eq!(good.exit, Exit::Ok);
}

#[tokio::test]
async fn made_secrets_are_of_full_length_and_differ() {
    let first = typed_words(&["keygen"], b"").await.out;
    let second = typed_words(&["keygen"], b"").await.out;

    let bytes = STANDARD
        .decode(first.trim_end().strip_prefix("whsec_").unwrap())
        .unwrap();
    assert_eq!(bytes.len(), 32);
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_bad_key_is_a_usage_error_that_does_not_repeat_it() {
    for words in [
        ["verify", "--secret", "hunter2"].as_slice(),
        &["sign", "--id", "msg_1", "--secret", "hunter2"],
        &["sink", "--listen", "127.0.0.1:0", "--secret", "hunter2"],
    ] {
        let ended = typed_words(words, b"").await;

        assert_eq!(ended.exit, Exit::Usage, "{words:?}");
        assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_signed_is_a_usage_error() {
    let words = ["sign", "--secret", SECRET, "--id", "msg.1"];

    assert_eq!(typed_words(&words, BODY).await.exit, Exit::Usage);
}

//! What is in force, and what is kept.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::client::testing::{Scripted, answer};
use crate::tests::{Ended, typed_around};
use crate::{Exit, world};

const EMPTY: &str = r#"{"data":[],"iterator":null,"done":true}"#;

/// A directory of a test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("posthaste-{:032x}", u128::from_be_bytes(world::random()));
        Self(std::env::temp_dir().join(name))
    }

    fn around(&self) -> Surroundings {
        Surroundings {
            user_directory: Some(self.0.join("user")),
            project_directory: Some(self.0.join("project")),
            ..Surroundings::default()
        }
    }

    fn put(&self, place: &str, text: &str) -> PathBuf {
        let path = self.0.join(place).join("config.toml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        chmod(&path, 0o600);
        path
    }

    fn target(&self, args: &ServerArgs) -> Result<Target, Failure> {
        Target::of(args, &self.around())
    }

    async fn typed(&self, line: &str, input: &str) -> Ended {
        let words: Vec<&str> = line.split(' ').collect();
        typed_around(&words, input.as_bytes(), self.around()).await
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // It was perhaps never made.
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn given(url: Option<&str>, token: Option<&str>) -> ServerArgs {
    ServerArgs {
        url: url.map(str::to_owned),
        token: token.map(Hidden::new),
        ..ServerArgs::default()
    }
}

const MINE: &str =
    "current = 'prod'\n[profile.prod]\nurl = 'http://mine/'\ntoken = 'k1'\napp = 'a1'\n";

#[test]
fn what_is_given_goes_before_what_is_kept() {
    let folder = Folder::new();
    folder.put("user", MINE);
    folder.put("project", "[profile.prod]\napp = 'a2'\n");

    let kept = folder.target(&given(None, None)).unwrap();
    let other = folder
        .target(&given(Some("http://other"), Some("k2")))
        .unwrap();

    assert_eq!(
        (kept.url.as_str(), kept.app.as_deref()),
        ("http://mine/", Some("a2"))
    );
    assert_eq!(kept.token, Some(Hidden::new("k1")));
    assert_eq!(
        (other.url.as_str(), other.token),
        ("http://other", Some(Hidden::new("k2")))
    );
}

#[test]
fn the_key_of_the_server_stands_in_for_a_token() {
    let args = ServerArgs {
        admin_key: Some(Hidden::new("k3")),
        ..ServerArgs::default()
    };

    let target = Folder::new().target(&args).unwrap();

    assert_eq!(
        (target.url.as_str(), target.token),
        (URL, Some(Hidden::new("k3")))
    );
}

#[test]
fn a_key_goes_to_no_other_server_than_it_was_kept_for() {
    let folder = Folder::new();
    folder.put("user", MINE);
    assert_eq!(
        folder
            .target(&given(Some("http://other"), None))
            .unwrap()
            .token,
        None
    );

    folder.put("project", "[profile.prod]\nurl = 'http://theirs'\n");
    assert_eq!(folder.target(&given(None, None)).unwrap().token, None);
    let refused = folder.target(&given(None, Some("k2"))).unwrap_err();
    assert_eq!(refused.exit, Exit::Usage);
    let meant = folder
        .target(&given(Some("http://theirs"), Some("k2")))
        .unwrap();
    assert_eq!(meant.token, Some(Hidden::new("k2")));
}

#[test]
fn a_file_that_others_can_read_is_refused_if_it_has_a_key() {
    let folder = Folder::new();
    let path = folder.put("user", MINE);
    chmod(&path, 0o644);

    let refused = folder.target(&given(None, None)).unwrap_err();
    assert!(
        refused.message().contains("others can read"),
        "{}",
        refused.message()
    );
    assert!(!refused.message().contains("k1"));

    let path = folder.put("user", "[profile.default]\nurl = 'http://mine'\n");
    chmod(&path, 0o644);
    assert_eq!(
        folder.target(&given(None, None)).unwrap().url,
        "http://mine"
    );
}

#[test]
fn a_faulty_file_is_told_without_what_stands_in_it() {
    let folder = Folder::new();
    folder.put("user", "[profile.prod]\ntoken = 'hunter2\n");

    let refused = folder.target(&given(None, None)).unwrap_err();

    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.message().contains("line"), "{}", refused.message());
    assert!(
        !refused.message().contains("hunter2"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn who_logs_in_is_known_until_logging_out() {
    let folder = Folder::new();
    let pages = (0..3).map(|_| answer(200, EMPTY)).collect();
    let server = Scripted::start(pages).await;

    let login = format!("login --url {} --app shop", server.url);
    let login = folder.typed(&login, "ph_hunter2\n").await;
    let listed = folder.typed("app ls -q", "").await;
    let who = folder.typed("whoami -o json", "").await;
    let profiles = folder.typed("profile ls -o json", "").await;
    let out = folder.typed("logout", "").await;
    let again = folder.typed("logout", "").await;

    assert_eq!(login.exit, Exit::Ok, "{}", login.err);
    let mode = std::fs::metadata(folder.0.join("user/config.toml"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(listed.exit, Exit::Ok, "{}", listed.err);
    assert_eq!(
        server.asked()[1].header("authorization"),
        Some("Bearer ph_hunter2")
    );
    assert!(who.out.contains(r#""key":"accepted""#), "{}", who.out);
    assert!(profiles.out.contains(r#""app":"shop""#), "{}", profiles.out);
    assert_eq!((out.exit, again.exit), (Exit::Ok, Exit::NotFound));
    for ended in [login, who, profiles, out] {
        assert!(!ended.out.contains("hunter2") && !ended.err.contains("hunter2"));
    }
}

#[tokio::test]
async fn a_key_that_is_refused_is_not_kept() {
    let folder = Folder::new();
    let server = Scripted::start(vec![answer(401, "{}")]).await;

    let ended = folder
        .typed(&format!("login --url {}", server.url), "ph_x")
        .await;

    assert_eq!(ended.exit, Exit::Auth);
    assert!(!folder.0.join("user/config.toml").exists());
}

#[tokio::test]
async fn profiles_are_set_and_chosen() {
    let folder = Folder::new();
    folder.put("user", MINE);

    let set = folder.typed("profile set test --url http://test", "").await;
    let chosen = folder.typed("profile use test", "").await;
    let none = folder.typed("profile use nowhere", "").await;
    folder
        .typed("profile set prod --url http://elsewhere", "")
        .await;

    assert_eq!(
        (set.exit, chosen.exit, none.exit),
        (Exit::Ok, Exit::Ok, Exit::NotFound)
    );
    assert_eq!(
        folder.target(&given(None, None)).unwrap().url,
        "http://test"
    );
    let prod = ServerArgs {
        profile: Some("prod".to_owned()),
        ..ServerArgs::default()
    };
    assert_eq!(
        folder.target(&prod).unwrap().token,
        None,
        "it was another server's"
    );
}

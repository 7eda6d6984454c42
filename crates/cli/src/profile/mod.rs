//! Profiles: which server, with which key, about which application.
//!
//! Later wins: the person's `config.toml`, the project's `.posthaste/config.toml`, variables,
//! flags. A token goes to the URL that it was saved with and nowhere else: a project's file, which
//! may have come with somebody else's code, can name another server, and gets no key for that.

mod command;
mod file;
#[cfg(test)]
mod tests;

pub use command::{LoginArgs, LogoutArgs, ProfileCommand, WhoamiArgs};
pub(crate) use command::{login, logout, profile, whoami};
pub(crate) use file::{File, Profile};

use crate::Surroundings;
use crate::client::ServerArgs;
use crate::exit::Failure;
use crate::text::Hidden;

const URL: &str = "http://127.0.0.1:8411";
/// The profile where none is named.
const NAME: &str = "default";

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) profile: String,
    pub(crate) url: String,
    pub(crate) token: Option<Hidden>,
    pub(crate) app: Option<String>,
}

impl Target {
    /// Settles which server is meant.
    pub(crate) fn of(args: &ServerArgs, around: &Surroundings) -> Result<Self, Failure> {
        let user = File::read(around.user_directory.as_deref())?;
        let project = File::read(around.project_directory.as_deref())?;
        let name = args.profile.clone();
        let name = name.or(project.current.clone()).or(user.current.clone());
        let named = name.is_some();
        let name = name.unwrap_or_else(|| NAME.to_owned());
        let (theirs, own) = (project.profile.get(&name), user.profile.get(&name));
        if named && theirs.is_none() && own.is_none() {
            return Err(Failure::usage(format!("there is no profile {name:?}"))
                .with_hint("`posthaste profile ls` lists them, `posthaste login` makes one"));
        }
        let url_of = |profile: Option<&Profile>| profile.and_then(|profile| profile.url.clone());
        let given = args.token.clone().or(args.admin_key.clone());
        let (their_url, own_url) = (url_of(theirs), url_of(own));
        let is_theirs = args.url.is_none() && their_url.is_some() && their_url != own_url;
        let url = args.url.clone().or(their_url).or(own_url);
        let url = url.unwrap_or_else(|| URL.to_owned());
        if is_theirs && given.is_some() {
            return Err(Failure::usage(format!(
                "this project's .posthaste/config.toml names the server {url}, which your key \
                 was not meant for"
            ))
            .with_hint("give --url to say that it is"));
        }
        let kept = [theirs, own].into_iter().flatten();
        let mut kept = kept.filter(|profile| {
            let saved_with = profile.url.as_deref();
            saved_with.is_some_and(|saved| same(saved, &url))
        });
        let kept = kept.find_map(|profile| profile.token.clone());
        let mut app = [theirs, own].into_iter().flatten();
        let app = app.find_map(|profile| profile.app.clone());
        Ok(Self {
            profile: name,
            token: given.or(kept.map(Hidden::new)),
            url,
            app,
        })
    }
}

/// Says whether two URLs are written alike, but for a slash at the end.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

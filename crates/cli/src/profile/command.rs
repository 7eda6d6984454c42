//! `posthaste login`, `logout`, `whoami` and `profile`.

use http::StatusCode;
use serde_json::json;
use serde_json::value::RawValue;

use super::{File, NAME, Profile, Target, URL};
use crate::client::{Call, Client, ServerArgs};
use crate::exit::Failure;
use crate::output::{Kind, Many, OutputArgs, cell, one, text};
use crate::text::Hidden;
use crate::{Exit, Outcome, Streams, world};

const KIND: Kind = Kind {
    plural: "profiles",
    id: "profile",
    columns: &[
        cell("PROFILE", |one, look| text(&one["profile"], look)),
        cell("URL", |one, look| text(&one["url"], look)),
        cell("APP", |one, look| text(&one["app"], look)),
        cell("KEY", |one, look| text(&one["key"], look)),
        cell("CURRENT", |one, look| text(&one["current"], look)),
    ],
};

/// Keep a server and its key under a name
///
/// The key is asked for, or read from standard input or a file; it is tried, and kept in a file
/// that only you can read. It is sent to this server and to no other.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  posthaste login --url https://hooks.example.com\n  \
    posthaste login --profile prod --url https://hooks.example.com --token-file key.txt"
)]
pub struct LoginArgs {
    /// A file with the key, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// The application that commands are about where none is named
    #[arg(short, long)]
    app: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Forget the key of a profile
///
/// The key itself goes on working: `posthaste key revoke` ends it.
#[derive(Debug, clap::Args)]
pub struct LogoutArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Show which server and application commands are about
///
/// Asks the server whether it knows the key; 4 if it does not.
#[derive(Debug, clap::Args)]
pub struct WhoamiArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Profiles: servers and keys under names
///
/// `posthaste login` makes one; --profile or POSTHASTE_PROFILE choose one.
#[derive(Debug, clap::Subcommand)]
pub enum ProfileCommand {
    /// List profiles
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Use a profile where none is named
    Use {
        /// The profile's name
        name: String,
    },
    /// Change what a profile says, or make one without a key
    Set {
        /// The profile's name
        name: String,
        /// Where the server is; forgets the key, which belongs to the earlier one
        #[arg(long)]
        url: Option<String>,
        /// The application that commands are about where none is named
        #[arg(short, long)]
        app: Option<String>,
    },
}

/// The person's own file, and where it is.
fn own(streams: &Streams<'_>) -> Result<(File, std::path::PathBuf), Failure> {
    let directory = streams.around.user_directory.clone();
    let directory = directory.ok_or_else(|| {
        Failure::usage("there is no place for settings").with_hint("set HOME or XDG_CONFIG_HOME")
    })?;
    Ok((File::read(Some(&directory))?, directory))
}

pub(crate) async fn login(args: LoginArgs, streams: &mut Streams<'_>) -> Outcome {
    let (mut file, directory) = own(streams)?;
    let name = args.server.profile.clone();
    let name = name
        .or(file.current.clone())
        .unwrap_or_else(|| NAME.to_owned());
    let known = file
        .profile
        .get(&name)
        .and_then(|profile| profile.url.clone());
    let url = args
        .server
        .url
        .clone()
        .or(known)
        .unwrap_or_else(|| URL.to_owned());
    let token = token(&args, streams)?;
    let target = Target {
        profile: name.clone(),
        url: url.clone(),
        token: Some(token.clone()),
        app: None,
    };
    check(&target).await?;
    let profile = file.profile.entry(name.clone()).or_default();
    profile.url = Some(url.clone());
    profile.token = Some(token.reveal().to_owned());
    profile.app = args.app.or(profile.app.take());
    file.current.get_or_insert_with(|| name.clone());
    let path = file.write(&directory)?;
    writeln!(
        streams.err,
        "{url} knows the key; kept as {name} in {}",
        path.display()
    )?;
    Ok(Exit::Ok)
}

/// The key: from a file, a variable, or whoever sits at the terminal.
fn token(args: &LoginArgs, streams: &mut Streams<'_>) -> Result<Hidden, Failure> {
    let text = match (&args.token_file, &args.server.token) {
        (Some(file), _) => world::read(file, streams)?,
        (None, Some(token)) => token.reveal().as_bytes().to_vec(),
        (None, None) if streams.around.in_is_terminal => {
            write!(streams.err, "API key (not shown): ")?;
            streams.err.flush()?;
            let line = world::read_hidden(streams)?;
            writeln!(streams.err)?;
            line.into_bytes()
        }
        (None, None) => world::read_input(streams)?,
    };
    let text = String::from_utf8(text).unwrap_or_default();
    match text.trim() {
        "" => Err(Failure::usage("there is no key")),
        token => Ok(Hidden::new(token)),
    }
}

/// Asks the server whether it knows the key. What the key may do is another matter.
async fn check(target: &Target) -> Result<(), Failure> {
    let client = Client::new(target)?;
    let answer = client.call(Call::get("/api/v1/app?limit=1")).await?;
    if answer.status == StatusCode::FORBIDDEN {
        return Ok(());
    }
    answer.success().map(|_| ())
}

pub(crate) fn logout(args: &LogoutArgs, streams: &mut Streams<'_>) -> Outcome {
    let (mut file, directory) = own(streams)?;
    let name = args.server.profile.clone();
    let name = name
        .or(file.current.clone())
        .unwrap_or_else(|| NAME.to_owned());
    let token = file
        .profile
        .get_mut(&name)
        .and_then(|profile| profile.token.take());
    if token.is_none() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("no key is kept as {name}"),
        ));
    }
    file.write(&directory)?;
    writeln!(streams.err, "the key of {name} is forgotten")?;
    Ok(Exit::Ok)
}

pub(crate) async fn whoami(args: &WhoamiArgs, streams: &mut Streams<'_>) -> Outcome {
    let target = Target::of(&args.server, &streams.around)?;
    let checked = check(&target).await;
    let key = match (&target.token, &checked) {
        (None, _) => "none",
        (Some(_), Ok(())) => "accepted",
        (Some(_), Err(_)) => "not accepted",
    };
    let shown =
        json!({"profile": target.profile, "url": target.url, "app": target.app, "key": key});
    let look = args.output.look(streams);
    one(&look, &KIND, &raw(&shown), streams.out)?;
    checked.map(|()| Exit::Ok)
}

pub(crate) fn profile(command: ProfileCommand, streams: &mut Streams<'_>) -> Outcome {
    let (mut file, directory) = own(streams)?;
    match command {
        ProfileCommand::Ls { output } => return ls(&file, &output, streams),
        ProfileCommand::Use { name } => {
            if !file.profile.contains_key(&name) {
                let message = format!("there is no profile {name:?}");
                return Err(Failure::new(Exit::NotFound, message));
            }
            file.current = Some(name);
        }
        ProfileCommand::Set { name, url, app } => {
            let profile = file.profile.entry(name).or_default();
            if url.is_some() && url != profile.url {
                *profile = Profile {
                    url,
                    token: None,
                    app: profile.app.take(),
                };
            }
            profile.app = app.or(profile.app.take());
        }
    }
    file.write(&directory)?;
    Ok(Exit::Ok)
}

fn ls(file: &File, output: &OutputArgs, streams: &mut Streams<'_>) -> Outcome {
    let rows = file.profile.iter().map(|(name, profile)| {
        let key = if profile.token.is_some() {
            "kept"
        } else {
            "none"
        };
        let current = file.current.as_ref() == Some(name);
        raw(&json!({
            "profile": name,
            "url": profile.url,
            "app": profile.app,
            "key": key,
            "current": current,
        }))
    });
    let rows: Vec<_> = rows.collect();
    let mut many = Many::new(output.look(streams), &KIND);
    many.page(&rows, streams.out)?;
    many.finish(streams)?;
    Ok(Exit::Ok)
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("a value is JSON")
}

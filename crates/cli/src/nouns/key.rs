//! `posthaste key`: API keys.

use http::Method;
use serde_json::Value;

use crate::client::encoded;
use crate::output::{Format, Kind, cell, text, time};
use crate::session::{Common, ConfirmArgs, ListArgs, MakeArgs, Session, set};
use crate::text::Moment;
use crate::{Exit, Outcome, Streams};

const KIND: Kind = Kind {
    plural: "keys",
    id: "id",
    columns: &[
        cell("ID", |key, look| text(&key["id"], look)),
        cell("NAME", |key, look| text(&key["name"], look)),
        cell("SCOPE", |key, look| text(&key["scope"], look)),
        cell("PREFIX", |key, look| text(&key["prefix"], look)),
        cell("APPLICATION", |key, look| text(&key["application"], look)),
        cell("LAST USED", |key, look| time(&key["lastUsedAt"], look)),
        cell("EXPIRES", |key, look| time(&key["expiresAt"], look)),
        cell("CREATED", |key, look| time(&key["createdAt"], look)).wide(),
    ],
};
/// A key just made: what is wanted of it is its token.
const MADE: Kind = Kind {
    plural: "keys",
    id: "token",
    columns: &[],
};
const PATH: &str = "/api/v1/key";

/// API keys: who may do what
///
/// A key belongs to the organization, or is held to one application. Its token is shown once, when
/// it is made.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// List keys, without their tokens
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show a key, without its token
    Get(GetArgs),
    /// Make a key and print its token
    #[command(visible_alias = "add")]
    Create(CreateArgs),
    /// Revoke a key, at once
    #[command(visible_alias = "rm")]
    Revoke(RevokeArgs),
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scope {
    /// Everything
    Admin,
    /// Reading whatever is no secret
    Read,
    /// Publishing and nothing else
    Publish,
}

impl Scope {
    const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Read => "read",
            Self::Publish => "publish",
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct LsArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The key's id
    key: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  posthaste key create shop-publisher --scope publish -a shop\n  \
                        posthaste key create ci --scope read --expires 30d -o json"
)]
pub struct CreateArgs {
    /// A name for people
    name: String,
    /// What the key may do
    #[arg(long, value_enum)]
    scope: Scope,
    /// The one application that the key is held to, by its id or uid
    #[arg(short, long)]
    app: Option<String>,
    /// When it ends: a time, or a wait such as 30d
    #[arg(long, value_name = "TIME")]
    expires: Option<Moment>,
    #[command(flatten)]
    make: MakeArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste key revoke key_01jd… --yes")]
pub struct RevokeArgs {
    /// The key's id
    key: String,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    common: Common,
}

with_common!(KeyCommand: Ls, Get, Create, Revoke);

pub(crate) async fn run(command: KeyCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    let path = |key: &str| format!("{PATH}/{}", encoded(key));
    match command {
        KeyCommand::Ls(args) => session.list(&KIND, PATH, &args.list).await,
        KeyCommand::Get(args) => session.show(&KIND, &path(&args.key)).await,
        KeyCommand::Create(args) => create(args, &mut session).await,
        KeyCommand::Revoke(args) => {
            let (what, path) = (format!("the key {}", args.key), path(&args.key));
            session.remove(&what, &path, &args.confirm).await
        }
    }
}

async fn create(args: CreateArgs, session: &mut Session<'_, '_>) -> Outcome {
    let mut body = serde_json::Map::new();
    set(&mut body, "name", Some(args.name));
    set(&mut body, "scope", Some(args.scope.word()));
    set(&mut body, "application", args.app);
    let expires = args.expires.map(|at| at.from(session.look.now).to_string());
    set(&mut body, "expiresAt", expires);
    let body = Some(Value::Object(body));
    let made = session.change(Method::POST, PATH, body, &args.make).await?;
    let Some(made) = made else {
        return Ok(Exit::Ok);
    };
    // For people the token alone, so that it can be copied or piped; it is shown this once.
    let mut look = session.look;
    if look.format == Format::Table {
        look.format = Format::Id;
    }
    crate::output::one(&look, &MADE, &made, session.streams.out)?;
    Ok(Exit::Ok)
}

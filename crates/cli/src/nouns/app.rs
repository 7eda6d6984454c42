//! `posthaste app`: applications.

use http::Method;
use serde_json::Value;

use crate::client::encoded;
use crate::exit::Failure;
use crate::output::{Kind, cell, text, time};
use crate::session::{
    ChangeArgs, Common, ConfirmArgs, ListArgs, MakeArgs, Session, Setting, key_value,
    number_or_none, pairs, set, text_or_none,
};
use crate::{Outcome, Streams};

const KIND: Kind = Kind {
    plural: "applications",
    id: "id",
    columns: &[
        cell("ID", |app, look| text(&app["id"], look)),
        cell("UID", |app, look| text(&app["uid"], look)),
        cell("NAME", |app, look| text(&app["name"], look)),
        cell("RATE", |app, look| text(&app["throttleRate"], look)).wide(),
        cell("CREATED", |app, look| time(&app["createdAt"], look)),
        cell("UPDATED", |app, look| time(&app["updatedAt"], look)).wide(),
    ],
};
const PATH: &str = "/api/v1/app";

/// Applications: whom endpoints belong to
///
/// An application is one customer of yours, or one pipeline: messages are published to it, and
/// its endpoints get them.
#[derive(Debug, clap::Subcommand)]
pub enum AppCommand {
    /// List applications
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show an application
    Get(GetArgs),
    /// Create an application
    #[command(visible_alias = "create")]
    Add(AddArgs),
    /// Change an application; what is not named stays
    Edit(EditArgs),
    /// Delete an application with its endpoints and messages
    #[command(visible_alias = "delete")]
    Rm(RmArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  posthaste app ls\n  posthaste app ls --all -o ndjson")]
pub struct LsArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste app get shop -o json")]
pub struct GetArgs {
    /// The application, by its id or uid
    app: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  posthaste app add Shop --uid shop\n  \
                        posthaste app add Shop --uid shop --if-missing -o id")]
pub struct AddArgs {
    /// A name for people
    name: String,
    /// Your own name for it, which works in place of its id
    #[arg(long)]
    uid: Option<String>,
    /// Messages per second over all its endpoints
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Something to remember about it
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    /// Show the application with this uid if there is one
    #[arg(long, requires = "uid")]
    if_missing: bool,
    /// More fields, as a JSON object; `-` is standard input
    #[arg(short, long)]
    file: Option<String>,
    #[command(flatten)]
    make: MakeArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste app edit shop --name Store --rate none")]
pub struct EditArgs {
    /// The application, by its id or uid
    app: String,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Your own name for it, or `none`
    #[arg(long, value_parser = text_or_none)]
    uid: Option<Setting<String>>,
    /// Messages per second over all its endpoints, or `none`
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    rate: Option<Setting<u32>>,
    /// Something to remember about it; replaces all that was remembered
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    /// More fields, as a JSON object; `-` is standard input
    #[arg(short, long)]
    file: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste app rm shop --yes")]
pub struct RmArgs {
    /// The application, by its id or uid
    app: String,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    common: Common,
}

impl AppCommand {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Ls(args) => &args.common,
            Self::Get(args) => &args.common,
            Self::Add(args) => &args.common,
            Self::Edit(args) => &args.common,
            Self::Rm(args) => &args.common,
        }
    }
}

pub(crate) async fn run(command: AppCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    match command {
        AppCommand::Ls(args) => session.list(&KIND, PATH, &args.list).await,
        AppCommand::Get(args) => session.show(&KIND, &path(&args.app)).await,
        AppCommand::Add(args) => add(args, &mut session).await,
        AppCommand::Edit(args) => edit(args, &mut session).await,
        AppCommand::Rm(args) => {
            let what = format!("the application {} and all that it has", args.app);
            session.remove(&what, &path(&args.app), &args.confirm).await
        }
    }
}

fn path(app: &str) -> String {
    format!("{PATH}/{}", encoded(app))
}

async fn add(args: AddArgs, session: &mut Session<'_, '_>) -> Outcome {
    let mut body = session.object(args.file.as_deref())?;
    set(&mut body, "name", Some(args.name));
    set(&mut body, "uid", args.uid);
    set(&mut body, "throttleRate", args.rate);
    set(&mut body, "metadata", pairs(&args.metadata));
    let query = if args.if_missing {
        "?get_if_exists=true"
    } else {
        ""
    };
    let path = format!("{PATH}{query}");
    let call = (Method::POST, path.as_str(), Some(Value::Object(body)));
    session.change_and_show(&KIND, call, &args.make).await
}

async fn edit(args: EditArgs, session: &mut Session<'_, '_>) -> Outcome {
    let mut body = session.object(args.file.as_deref())?;
    set(&mut body, "name", args.name);
    set(&mut body, "uid", args.uid);
    set(&mut body, "throttleRate", args.rate);
    set(&mut body, "metadata", pairs(&args.metadata));
    if body.is_empty() {
        return Err(Failure::usage("nothing to change was named"));
    }
    let path = path(&args.app);
    let call = (Method::PATCH, path.as_str(), Some(Value::Object(body)));
    session
        .change_and_show(&KIND, call, &args.change.into())
        .await
}

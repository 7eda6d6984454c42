//! `posthaste app`: applications.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value};

use crate::client::encoded;
use crate::exit::Failure;
use crate::output::{Kind, cell, text, time};
use crate::session::{
    ChangeArgs, Common, ConfirmArgs, ListArgs, MakeArgs, Session, Setting, key_value,
    number_or_none, pairs, set, text_or_none,
};
use crate::text::duration;
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
/// The link is all of it: who has it has the token too.
const LINK: Kind = Kind {
    plural: "links",
    id: "url",
    columns: &[cell("URL", |link, look| text(&link["url"], look))],
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
    /// Print a link for a customer's browser, which ends by itself
    PortalLink(PortalLinkArgs),
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

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  posthaste app portal-link shop --read-only\n  \
                        posthaste app portal-link shop --expiry 15m --session ada -o json"
)]
pub struct PortalLinkArgs {
    /// The application, by its id or uid
    app: String,
    /// Only looking
    #[arg(long, conflicts_with = "allow")]
    read_only: bool,
    /// What it allows, such as ManageEndpoint; everything when not given
    #[arg(long, value_name = "CAPABILITY")]
    allow: Vec<String>,
    /// Event types behind this flag are shown; as often as needed
    #[arg(long, value_name = "FLAG")]
    feature_flag: Vec<String>,
    /// How long it lives, such as 15m: a minute to seven days; an hour when not given
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expiry: Option<Duration>,
    /// A name for those that are to end together
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    #[command(flatten)]
    make: MakeArgs,
    #[command(flatten)]
    common: Common,
}

with_common!(AppCommand: Ls, Get, Add, Edit, Rm, PortalLink);

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
        AppCommand::PortalLink(args) => portal_link(args, &mut session).await,
    }
}

async fn portal_link(args: PortalLinkArgs, session: &mut Session<'_, '_>) -> Outcome {
    let mut body = Map::new();
    let some = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
    set(&mut body, "readOnly", args.read_only.then_some(true));
    set(&mut body, "capabilities", some(args.allow));
    set(&mut body, "featureFlags", some(args.feature_flag));
    set(
        &mut body,
        "expiry",
        args.expiry.map(|expiry| expiry.as_secs()),
    );
    set(&mut body, "sessionId", args.session);
    let path = format!("/api/v1/auth/app-portal-access/{}", encoded(&args.app));
    let call = (Method::POST, path.as_str(), Some(Value::Object(body)));
    session.change_and_show(&LINK, call, &args.make).await
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

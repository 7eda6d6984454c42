//! `posthaste event-type`: the catalogue of what is published.

mod bulk;

use http::Method;
use serde_json::{Value, json};

use crate::client::encoded;
use crate::exit::Failure;
use crate::output::{Cell, Kind, cell, text, time};
use crate::session::{ChangeArgs, Common, ConfirmArgs, ListArgs, MakeArgs, Session, set};
use crate::{Outcome, Streams, world};

const KIND: Kind = Kind {
    plural: "event types",
    id: "name",
    columns: &[
        cell("NAME", |kind, look| text(&kind["name"], look)),
        cell("STATE", |kind, _| Cell::state(state(kind))),
        cell("GROUP", |kind, look| text(&kind["groupName"], look)).wide(),
        cell("FLAG", |kind, look| text(&kind["featureFlag"], look)).wide(),
        cell("CREATED", |kind, look| time(&kind["createdAt"], look)),
        cell("DESCRIPTION", |kind, look| text(&kind["description"], look)),
    ],
};
const PATH: &str = "/api/v1/event-type";

fn state(kind: &Value) -> &'static str {
    match (&kind["archived"], &kind["deprecated"]) {
        (Value::Bool(true), _) => "archived",
        (_, Value::Bool(true)) => "deprecated",
        _ => "active",
    }
}

/// Event types: the catalogue of what is published
///
/// An event type has a name such as content.published, a description, and where wanted a JSON
/// Schema for its payloads.
#[derive(Debug, clap::Subcommand)]
pub enum EventTypeCommand {
    /// List event types
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show an event type with its schemas
    Get(GetArgs),
    /// Create an event type, or bring back an archived one
    #[command(visible_alias = "create")]
    Add(AddArgs),
    /// Change an event type; what is not named stays
    Edit(EditArgs),
    /// Archive an event type; nothing that was published is touched
    #[command(visible_alias = "delete")]
    Rm(RmArgs),
    /// Create or replace event types from a file that `export` wrote
    Import(ImportArgs),
    /// Print all event types with their schemas, as `import` reads them
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste event-type ls --archived")]
pub struct LsArgs {
    /// Archived ones too
    #[arg(long)]
    archived: bool,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The event type's name
    name: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste event-type add content.published \
                        --description 'An article went live' --schema article.schema.json")]
pub struct AddArgs {
    /// Its name, as in content.published
    name: String,
    /// What it means
    #[arg(short, long, default_value = "")]
    description: String,
    /// A file with a JSON Schema for its payloads, or `-`
    #[arg(long, value_name = "FILE")]
    schema: Option<String>,
    /// Which version the schema is
    #[arg(long, value_name = "VERSION", default_value = "1")]
    schema_version: String,
    /// In the portal, only those who have this feature flag see it; as often as needed
    #[arg(long, value_name = "FLAG")]
    feature_flag: Vec<String>,
    /// What to list it under
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Say that it will go away
    #[arg(long)]
    deprecated: bool,
    /// More fields, as a JSON object; `-` is standard input
    #[arg(short, long)]
    file: Option<String>,
    #[command(flatten)]
    make: MakeArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste event-type edit content.published --deprecated true")]
pub struct EditArgs {
    /// The event type's name
    name: String,
    /// What it means
    #[arg(short, long)]
    description: Option<String>,
    /// A file with a JSON Schema for its payloads, or `-`; replaces all versions
    #[arg(long, value_name = "FILE")]
    schema: Option<String>,
    /// Which version the schema is
    #[arg(long, value_name = "VERSION", default_value = "1")]
    schema_version: String,
    /// What to list it under
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Whether it will go away
    #[arg(long, value_name = "BOOL")]
    deprecated: Option<bool>,
    /// Whether it is archived
    #[arg(long, value_name = "BOOL")]
    archived: Option<bool>,
    /// More fields, as a JSON object; `-` is standard input
    #[arg(short, long)]
    file: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste event-type rm content.published --yes")]
pub struct RmArgs {
    /// The event type's name
    name: String,
    /// Erase it instead of archiving it
    #[arg(long)]
    expunge: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  posthaste event-type import types.json\n  \
                        posthaste event-type export | posthaste event-type import - --dry-run")]
pub struct ImportArgs {
    /// A file with a JSON array of event types, or one a line; `-` is standard input
    file: String,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste event-type export > types.json")]
pub struct ExportArgs {
    #[command(flatten)]
    common: Common,
}

with_common!(EventTypeCommand: Ls, Get, Add, Edit, Rm, Import, Export);

pub(crate) async fn run(command: EventTypeCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    match command {
        EventTypeCommand::Ls(args) => {
            let archived = args.archived;
            let path = format!("{PATH}?include_archived={archived}");
            session.list(&KIND, &path, &args.list).await
        }
        EventTypeCommand::Get(args) => session.show(&KIND, &path(&args.name)).await,
        EventTypeCommand::Add(args) => add(args, &mut session).await,
        EventTypeCommand::Edit(args) => edit(args, &mut session).await,
        EventTypeCommand::Rm(args) => {
            let what = format!("the event type {}", args.name);
            let path = format!("{}?expunge={}", path(&args.name), args.expunge);
            session.remove(&what, &path, &args.confirm).await
        }
        EventTypeCommand::Import(args) => bulk::import(args, &mut session).await,
        EventTypeCommand::Export(_) => bulk::export(&mut session).await,
    }
}

fn path(name: &str) -> String {
    format!("{PATH}/{}", encoded(name))
}

/// Reads a schema and puts it under its version, as the API wants it.
fn schemas(
    file: Option<&str>,
    version: &str,
    session: &mut Session<'_, '_>,
) -> Result<Option<Value>, Failure> {
    let Some(file) = file else {
        return Ok(None);
    };
    let bytes = world::read(file, session.streams)?;
    let schema: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("the schema in {file} is not JSON: {error}")))?;
    Ok(Some(json!({ version: schema })))
}

async fn add(args: AddArgs, session: &mut Session<'_, '_>) -> Outcome {
    let schemas = schemas(args.schema.as_deref(), &args.schema_version, session)?;
    let mut body = session.object(args.file.as_deref())?;
    set(&mut body, "name", Some(args.name));
    if !args.description.is_empty() || !body.contains_key("description") {
        set(&mut body, "description", Some(args.description));
    }
    set(&mut body, "schemas", schemas);
    let flags = Some(args.feature_flag).filter(|flags| !flags.is_empty());
    set(&mut body, "featureFlags", flags);
    set(&mut body, "groupName", args.group);
    set(&mut body, "deprecated", args.deprecated.then_some(true));
    let call = (Method::POST, PATH, Some(Value::Object(body)));
    session.change_and_show(&KIND, call, &args.make).await
}

async fn edit(args: EditArgs, session: &mut Session<'_, '_>) -> Outcome {
    let schemas = schemas(args.schema.as_deref(), &args.schema_version, session)?;
    let mut body = session.object(args.file.as_deref())?;
    set(&mut body, "description", args.description);
    set(&mut body, "schemas", schemas);
    set(&mut body, "groupName", args.group);
    set(&mut body, "deprecated", args.deprecated);
    set(&mut body, "archived", args.archived);
    if body.is_empty() {
        return Err(Failure::usage("nothing to change was named"));
    }
    let path = path(&args.name);
    let call = (Method::PATCH, path.as_str(), Some(Value::Object(body)));
    session
        .change_and_show(&KIND, call, &args.change.into())
        .await
}

//! `posthaste request`: what came in at sources.

use http::Method;
use serde_json::{Value, json};

use crate::client::{Call, encoded};
use crate::exit::Failure;
use crate::output::{Cell, Kind, cell, text, time};
use crate::session::{AppArg, Common, ListArgs, MakeArgs, Session, list_query};
use crate::text::Past;
use crate::{Exit, Outcome, Streams};

const KIND: Kind = Kind {
    plural: "requests",
    id: "id",
    columns: &[
        cell("ID", |request, look| text(&request["id"], look)),
        cell("VERDICT", |request, _| Cell::state(verdict(request))),
        cell("SOURCE", |request, look| text(&request["sourceId"], look)),
        cell("PROVIDER ID", |request, look| {
            text(&request["providerId"], look)
        })
        .wide(),
        cell("MESSAGE", |request, look| text(&request["messageId"], look)),
        cell("BYTES", |request, look| text(&request["bodyBytes"], look)).wide(),
        cell("PEER", |request, look| text(&request["peer"], look)).wide(),
        cell("RECEIVED", |request, look| {
            time(&request["receivedAt"], look)
        }),
        cell("DIAGNOSIS", |request, look| {
            text(&request["diagnosis"], look)
        }),
    ],
};

/// What became of a request that was put in again.
const REPLAYED: Kind = Kind {
    plural: "requests",
    id: "requestId",
    columns: &[
        cell("ID", |replay, look| text(&replay["requestId"], look)),
        cell("VERDICT", |replay, _| Cell::state(verdict(replay))),
        cell("MESSAGE", |replay, look| text(&replay["messageId"], look)),
    ],
};

/// What became of a request, and why.
fn verdict(request: &Value) -> String {
    let verdict = request["verdict"].as_str().unwrap_or_default();
    match request["reason"].as_str() {
        Some(reason) => format!("{verdict}: {reason}"),
        None => verdict.to_owned(),
    }
}

/// Requests: what came in at sources
///
/// Every request to a source is kept with its verdict: accepted, duplicate, handshake, or rejected
/// with the reason and what is probably wrong. Of rejected ones that come too fast some are only
/// counted.
#[derive(Debug, clap::Subcommand)]
pub enum RequestCommand {
    /// List requests, the newest first
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show a request with its headers and body
    Get(GetArgs),
    /// Put a request in again: through verification, or past it
    Replay(ReplayArgs),
    /// Write a request's body to a file or to standard output, byte for byte
    Save(SaveArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  posthaste request ls -a shop --verdict rejected
  posthaste request ls -a shop --source src_… --since 1h -o json")]
pub struct LsArgs {
    #[command(flatten)]
    app: AppArg,
    /// Only of this source, by its id or uid
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only with this verdict
    #[arg(long, value_parser = ["accepted", "duplicate", "handshake", "rejected"])]
    verdict: Option<String>,
    /// Only refused for this reason
    #[arg(long)]
    reason: Option<String>,
    /// Only those of this message
    #[arg(long, value_name = "MESSAGE")]
    message: Option<String>,
    /// Only with this id of the provider's
    #[arg(long, value_name = "ID")]
    provider_id: Option<String>,
    /// Only since: a time, or a while ago such as 1h
    #[arg(long, visible_alias = "after", value_name = "TIME")]
    since: Option<Past>,
    /// Only before: a time, or a while ago such as 10m
    #[arg(long, visible_alias = "before", value_name = "TIME")]
    until: Option<Past>,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste request get req_… -a shop")]
pub struct GetArgs {
    /// The request's id
    request: String,
    #[command(flatten)]
    app: AppArg,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  posthaste request replay req_… -a shop
  posthaste request replay req_… -a shop --unverified --again")]
pub struct ReplayArgs {
    /// The request's id
    request: String,
    #[command(flatten)]
    app: AppArg,
    /// Take it as the provider's, whatever its signature says
    #[arg(long)]
    unverified: bool,
    /// Make a message of it even if it came before
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    make: MakeArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  posthaste request save req_… body.json -a shop\n  \
                  posthaste trigger github --url 3000 --secret-file secret.txt --file body.json"
)]
pub struct SaveArgs {
    /// The request's id
    request: String,
    /// The file to write; `-` is standard output
    #[arg(default_value = "-")]
    file: String,
    #[command(flatten)]
    app: AppArg,
    #[command(flatten)]
    common: Common,
}

impl RequestCommand {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Ls(args) => &args.common,
            Self::Get(args) => &args.common,
            Self::Replay(args) => &args.common,
            Self::Save(args) => &args.common,
        }
    }
}

pub(crate) async fn run(command: RequestCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    match command {
        RequestCommand::Ls(args) => ls(args, &mut session).await,
        RequestCommand::Get(args) => {
            let path = path(&session, &args.app, &args.request)?;
            session.show(&KIND, &path).await
        }
        RequestCommand::Replay(args) => replay(args, &mut session).await,
        RequestCommand::Save(args) => save(args, &mut session).await,
    }
}

fn path(session: &Session<'_, '_>, app: &AppArg, request: &str) -> Result<String, Failure> {
    let app = session.app_path(app)?;
    Ok(format!("{app}/request/{}", encoded(request)))
}

async fn ls(args: LsArgs, session: &mut Session<'_, '_>) -> Outcome {
    let now = session.look.now;
    let moment = |past: Option<Past>| past.map(|past| past.before(now).to_string());
    let query = list_query(&[
        ("source_id", args.source),
        ("verdict", args.verdict),
        ("reason", args.reason),
        ("message_id", args.message),
        ("provider_id", args.provider_id),
        ("after", moment(args.since)),
        ("before", moment(args.until)),
    ]);
    let query = query.replacen('&', "?", 1);
    let path = format!("{}/request{query}", session.app_path(&args.app)?);
    session.list(&KIND, &path, &args.list).await
}

async fn replay(args: ReplayArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = format!("{}/replay", path(session, &args.app, &args.request)?);
    let body = json!({"verify": !args.unverified, "deduplicate": !args.again});
    let call = (Method::POST, path.as_str(), Some(body));
    session.change_and_show(&REPLAYED, call, &args.make).await
}

async fn save(args: SaveArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = format!("{}/raw", path(session, &args.app, &args.request)?);
    let call = Call::new(Method::GET, path);
    let bytes = session.client.call(call).await?.success()?;
    if args.file == "-" {
        session.streams.out.write_all(&bytes)?;
        return Ok(Exit::Ok);
    }
    let cannot = |error| {
        Failure::new(
            Exit::Failure,
            format!("cannot write {}: {error}", args.file),
        )
    };
    std::fs::write(&args.file, &bytes).map_err(cannot)?;
    session.note(&format!("{} bytes written to {}", bytes.len(), args.file))?;
    Ok(Exit::Ok)
}

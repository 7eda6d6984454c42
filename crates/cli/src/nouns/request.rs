//! `posthaste request`: what came in at sources.

mod export;

use http::Method;
use serde_json::{Map, Value, json};

use crate::client::{Call, encoded};
use crate::exit::Failure;
use crate::nouns::replay::{self, moment};
use crate::output::{Cell, Kind, cell, text, time};
use crate::session::{AppArg, ChangeArgs, Common, ListArgs, MakeArgs, Session, list_query, set};
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
    /// Put many requests in again, as a job of the server
    ReplayMany(ReplayManyArgs),
    /// Print requests with their headers and bodies, one JSON object a line
    Export(ExportArgs),
    /// Print a curl command that sends a request again, without the credentials that it had
    Curl(CurlArgs),
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
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

/// Which requests are wanted.
#[derive(Debug, clap::Args)]
struct Filter {
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
    /// Only from this address or network
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<String>,
    /// Only with this text in the path behind the URL, or in the query
    #[arg(long, value_name = "TEXT")]
    path: Option<String>,
    /// Only with this header, and this text in its value
    #[arg(long, value_name = "NAME[: TEXT]")]
    header: Option<String>,
    /// Only with this text in the body
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Only that became a message of this type
    #[arg(short, long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only since: a time, or a while ago such as 1h
    #[arg(long, visible_alias = "after", value_name = "TIME")]
    since: Option<Past>,
    /// Only before: a time, or a while ago such as 10m
    #[arg(long, visible_alias = "before", value_name = "TIME")]
    until: Option<Past>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    posthaste request export -a shop --verdict rejected --since 1d > requests.ndjson")]
pub struct ExportArgs {
    #[command(flatten)]
    app: AppArg,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  posthaste request curl req_… -a shop
  posthaste request curl req_… -a shop --to http://localhost:3000/hooks | sh")]
pub struct CurlArgs {
    /// The request's id
    request: String,
    #[command(flatten)]
    app: AppArg,
    /// Another URL than the source's
    #[arg(long, value_name = "URL")]
    to: Option<String>,
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
#[command(after_help = "Examples:
  posthaste request replay-many -a shop --reason signature_mismatch --since 2h --dry-run
  posthaste request replay-many -a shop --source gh --verdict rejected --unverified --wait")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command"
)]
pub struct ReplayManyArgs {
    #[command(flatten)]
    app: AppArg,
    /// Only of this source, by its id or uid
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only with these verdicts, separated by commas; rejected when left out
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = ["accepted", "duplicate", "rejected"],
        value_name = "VERDICT,…"
    )]
    verdict: Option<Vec<String>>,
    /// Only refused for this reason
    #[arg(long)]
    reason: Option<String>,
    /// Only since: a time, or a while ago such as 1h
    #[arg(long, visible_alias = "after", value_name = "TIME")]
    since: Option<Past>,
    /// Only before: a time, or a while ago such as 10m; now when left out
    #[arg(long, visible_alias = "before", value_name = "TIME")]
    until: Option<Past>,
    /// Take them as the provider's, whatever their signatures say
    #[arg(long)]
    unverified: bool,
    /// Make messages of them even if they came before
    #[arg(long)]
    again: bool,
    /// At most so many requests per second
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Only count what would be put in again
    #[arg(long)]
    dry_run: bool,
    /// Wait until it ends, and show how far it is meanwhile
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// The same key makes repeated calls begin one replay, for a day at least
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
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
            Self::ReplayMany(args) => &args.common,
            Self::Export(args) => &args.common,
            Self::Curl(args) => &args.common,
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
        RequestCommand::Replay(args) => replay_one(args, &mut session).await,
        RequestCommand::ReplayMany(args) => replay_many(args, &mut session).await,
        RequestCommand::Export(args) => export::run(args, &mut session).await,
        RequestCommand::Curl(args) => export::curl(args, &mut session).await,
        RequestCommand::Save(args) => save(args, &mut session).await,
    }
}

fn path(session: &Session<'_, '_>, app: &AppArg, request: &str) -> Result<String, Failure> {
    let app = session.app_path(app)?;
    Ok(format!("{app}/request/{}", encoded(request)))
}

async fn ls(args: LsArgs, session: &mut Session<'_, '_>) -> Outcome {
    let query = args.filter.query(session.look.now);
    let path = format!("{}/request{query}", session.app_path(&args.app)?);
    session.list(&KIND, &path, &args.list).await
}

impl Filter {
    fn query(self, now: domain::Timestamp) -> String {
        let query = list_query(&[
            ("source_id", self.source),
            ("verdict", self.verdict),
            ("reason", self.reason),
            ("message_id", self.message),
            ("provider_id", self.provider_id),
            ("peer", self.peer),
            ("path", self.path),
            ("header", self.header),
            ("body", self.body),
            ("event_type", self.kind),
            ("after", moment(self.since, now)),
            ("before", moment(self.until, now)),
        ]);
        query.replacen('&', "?", 1)
    }
}

async fn replay_one(args: ReplayArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = format!("{}/replay", path(session, &args.app, &args.request)?);
    let body = json!({"verify": !args.unverified, "deduplicate": !args.again});
    let call = (Method::POST, path.as_str(), Some(body));
    session.change_and_show(&REPLAYED, call, &args.make).await
}

async fn replay_many(args: ReplayManyArgs, session: &mut Session<'_, '_>) -> Outcome {
    let app = session.app_path(&args.app)?;
    let now = session.look.now;
    let mut body = Map::new();
    set(&mut body, "source", args.source);
    set(&mut body, "verdicts", args.verdict);
    set(&mut body, "reason", args.reason);
    set(&mut body, "since", moment(args.since, now));
    set(&mut body, "until", moment(args.until, now));
    set(&mut body, "verify", args.unverified.then_some(false));
    set(&mut body, "deduplicate", args.again.then_some(false));
    set(&mut body, "rate", args.rate);
    set(&mut body, "dryRun", args.dry_run.then_some(true));
    let how = MakeArgs {
        idempotency_key: args.idempotency_key,
        change: ChangeArgs::default(),
    };
    let path = format!("{app}/request/replay");
    let begun = session
        .change(Method::POST, &path, Some(body.into()), &how)
        .await?;
    let kind = if args.dry_run {
        &replay::PREVIEW
    } else {
        &replay::KIND
    };
    replay::begun_or_ended(kind, begun, (&app, args.wait), session).await
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

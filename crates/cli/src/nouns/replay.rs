//! `posthaste replay`: sending again what was published before.

use std::time::Duration;

use http::Method;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::client::{encoded, parse};
use crate::exit::Failure;
use crate::output::{Cell, Kind, cell, text, time};
use crate::progress::Progress;
use crate::session::{AppArg, ChangeArgs, Common, ListArgs, MakeArgs, Session, set};
use crate::text::Past;
use crate::{Exit, Outcome, Streams};

/// How often a job is asked how far it is.
const POLL: Duration = Duration::from_millis(500);

pub(super) const KIND: Kind = Kind {
    plural: "replays",
    id: "id",
    columns: &[
        cell("ID", |job, look| text(&job["id"], look)),
        cell("KIND", |job, look| text(&job["kind"], look)),
        cell("STATUS", |job, _| {
            Cell::state(job["status"].as_str().unwrap_or("-"))
        }),
        cell("DONE", |job, look| text(&job["progress"]["done"], look)),
        cell("EXAMINED", |job, look| {
            text(&job["progress"]["examined"], look)
        }),
        cell("ENDPOINT", |job, look| text(&job["endpointId"], look)).wide(),
        cell("CREATED", |job, look| time(&job["createdAt"], look)),
    ],
};

/// What a replay would send.
pub(super) const PREVIEW: Kind = Kind {
    plural: "counts",
    id: "matched",
    columns: &[],
};

/// Replays: sending again what was published before
///
/// A replay is a job of the server: it goes on without this program, and after a restart.
#[derive(Debug, clap::Subcommand)]
pub enum ReplayCommand {
    /// List replays and other jobs, newest first
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show a replay and how far it is
    Get(GetArgs),
    /// Begin a replay, or count what it would send
    #[command(visible_alias = "add")]
    Create(CreateArgs),
    /// Hold a replay
    Pause(OneArgs),
    /// Let a replay go on
    Resume(OneArgs),
    /// End a replay before its time
    Cancel(OneArgs),
}

#[derive(Debug, clap::Args)]
pub struct LsArgs {
    #[command(flatten)]
    app: AppArg,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The replay, by its id
    replay: String,
    #[command(flatten)]
    app: AppArg,
    /// Wait until it ends, and show how far it is meanwhile
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub struct OneArgs {
    /// The replay, by its id
    replay: String,
    #[command(flatten)]
    app: AppArg,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    posthaste replay create -a shop --since 2h --dry-run\n  \
    posthaste replay create -a shop -e search --since 1d --status missing,failed --wait")]
pub struct CreateArgs {
    #[command(flatten)]
    app: AppArg,
    /// An endpoint, by its id or uid; all that are not disabled when left out
    #[arg(short, long = "endpoint", value_name = "ENDPOINT")]
    endpoints: Vec<String>,
    /// Messages published since: a time, or a while ago such as 2h
    #[arg(long, visible_alias = "after", value_name = "TIME")]
    since: Option<Past>,
    /// Messages published before: a time, or a while ago such as 10m; now when left out
    #[arg(long, visible_alias = "before", value_name = "TIME")]
    until: Option<Past>,
    /// Only of these event types, separated by commas
    #[arg(
        short,
        long,
        visible_alias = "type",
        value_delimiter = ',',
        value_name = "TYPE,…"
    )]
    types: Option<Vec<String>>,
    /// Only with this channel
    #[arg(long)]
    channel: Option<String>,
    /// Only with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only whose delivery stands so: success, failed, canceled, missing, all, separated by
    /// commas; failed and canceled when left out
    #[arg(long, value_delimiter = ',', value_name = "STATUS,…")]
    status: Option<Vec<String>>,
    /// At most so many messages per second
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Only count what would be sent
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

impl ReplayCommand {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Ls(args) => &args.common,
            Self::Get(args) => &args.common,
            Self::Create(args) => &args.common,
            Self::Pause(args) | Self::Resume(args) | Self::Cancel(args) => &args.common,
        }
    }
}

pub(crate) async fn run(command: ReplayCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    let session = &mut session;
    match command {
        ReplayCommand::Ls(args) => {
            let path = format!("{}/replay", session.app_path(&args.app)?);
            session.list(&KIND, &path, &args.list).await
        }
        ReplayCommand::Get(args) => {
            let app = session.app_path(&args.app)?;
            if args.wait {
                return wait(session, &app, &args.replay).await;
            }
            session.show(&KIND, &path(&app, &args.replay)).await
        }
        ReplayCommand::Create(args) => create(args, session).await,
        ReplayCommand::Pause(args) => change(&args, "pause", session).await,
        ReplayCommand::Resume(args) => change(&args, "resume", session).await,
        ReplayCommand::Cancel(args) => change(&args, "cancel", session).await,
    }
}

fn path(app: &str, job: &str) -> String {
    format!("{app}/replay/{}", encoded(job))
}

async fn change(args: &OneArgs, verb: &str, session: &mut Session<'_, '_>) -> Outcome {
    let app = session.app_path(&args.app)?;
    let path = format!("{}/{verb}", path(&app, &args.replay));
    let call = (Method::POST, path.as_str(), None);
    let how = args.change.clone().into();
    session.change_and_show(&KIND, call, &how).await
}

async fn create(args: CreateArgs, session: &mut Session<'_, '_>) -> Outcome {
    let app = session.app_path(&args.app)?;
    let now = session.look.now;
    let mut body = Map::new();
    let endpoints = (!args.endpoints.is_empty()).then_some(args.endpoints);
    set(&mut body, "endpoints", endpoints);
    set(&mut body, "since", moment(args.since, now));
    set(&mut body, "until", moment(args.until, now));
    set(&mut body, "eventTypes", args.types);
    set(&mut body, "channel", args.channel);
    set(&mut body, "tag", args.tag);
    set(&mut body, "statuses", args.status);
    set(&mut body, "rate", args.rate);
    set(&mut body, "dryRun", args.dry_run.then_some(true));
    let how = MakeArgs {
        idempotency_key: args.idempotency_key,
        change: ChangeArgs::default(),
    };
    let begun = session
        .change(
            Method::POST,
            &format!("{app}/replay"),
            Some(body.into()),
            &how,
        )
        .await?;
    let kind = if args.dry_run { &PREVIEW } else { &KIND };
    begun_or_ended(kind, begun, (&app, args.wait), session).await
}

pub(super) fn moment(at: Option<Past>, now: domain::Timestamp) -> Option<String> {
    at.map(|at| at.before(now).to_string())
}

/// Shows a job that was begun; when it is to be waited for, once it has ended.
pub(super) async fn begun_or_ended(
    kind: &Kind,
    begun: Option<Box<RawValue>>,
    (app, waits): (&str, bool),
    session: &mut Session<'_, '_>,
) -> Outcome {
    let Some(begun) = begun else {
        return Ok(Exit::Ok);
    };
    if !waits {
        return session.print(kind, &begun);
    }
    let job: Value = parse(begun.get().as_bytes())?;
    let id = job["id"]
        .as_str()
        .ok_or_else(|| Failure::new(Exit::Failure, "the server named no job"))?;
    wait(session, app, id).await
}

/// Follows a job to its end. One that was canceled did a part of what it was to do.
async fn wait(session: &mut Session<'_, '_>, app: &str, job: &str) -> Outcome {
    let path = path(app, job);
    let mut progress = Progress::new(session.streams, &session.look, "deliveries", None);
    let mut counted = 0;
    let ended = loop {
        let answer = session.get(&path).await?;
        let job: Value = parse(answer.get().as_bytes())?;
        let done = job["progress"]["done"].as_u64().unwrap_or_default();
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        progress.add(done.saturating_sub(counted), session.streams.err);
        counted = counted.max(done);
        if !matches!(job["status"].as_str(), Some("running" | "paused")) {
            progress.clear(session.streams.err);
            break (answer, job);
        }
        tokio::time::sleep(POLL).await;
    };
    let (answer, job) = ended;
    let status = job["status"].as_str().unwrap_or("ended");
    session.print(&KIND, &answer)?;
    session.note(&format!("{status}: {counted} deliveries"))?;
    Ok(if status == "finished" {
        Exit::Ok
    } else {
        Exit::Partial
    })
}

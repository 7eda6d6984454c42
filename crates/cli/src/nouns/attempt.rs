//! `posthaste attempt`: how messages fared at their endpoints.

mod curl;

use serde_json::Value;

use crate::client::encoded;
use crate::exit::Failure;
use crate::output::{Cell, Kind, cell, text, time};
use crate::session::{AppArg, Common, ListArgs, Session, list_query};
use crate::text::Past;
use crate::{Outcome, Streams};

const KIND: Kind = Kind {
    plural: "attempts",
    id: "id",
    columns: &[
        cell("ID", |attempt, look| text(&attempt["id"], look)),
        cell("TIME", |attempt, look| time(&attempt["timestamp"], look)),
        cell("STATUS", |attempt, _| {
            Cell::state(attempt["statusText"].as_str().unwrap_or("-"))
        }),
        cell("HTTP", |attempt, look| text(answered(attempt), look)),
        cell("MS", |attempt, look| {
            text(&attempt["responseDurationMs"], look)
        }),
        cell("TRY", |attempt, look| text(&attempt["number"], look)),
        cell("MESSAGE", |attempt, look| text(&attempt["msgId"], look)),
        cell("ENDPOINT", |attempt, look| {
            text(&attempt["endpointId"], look)
        }),
        cell("BY", |attempt, _| Cell::state(trigger(attempt))).wide(),
        cell("ERROR", |attempt, look| {
            text(&attempt["error"]["class"], look)
        })
        .wide(),
        cell("URL", |attempt, look| text(&attempt["url"], look)).wide(),
    ],
};

/// The HTTP status; nothing where no answer came.
fn answered(attempt: &Value) -> &Value {
    match &attempt["responseStatusCode"] {
        status if status.as_u64() == Some(0) => &Value::Null,
        status => status,
    }
}

fn trigger(attempt: &Value) -> &'static str {
    match attempt["triggerType"].as_u64() {
        Some(0) => "schedule",
        Some(1) => "hand",
        _ => "-",
    }
}

/// Attempts: how messages fared at their endpoints
///
/// One attempt is one try of one delivery, with what the receiver answered.
#[derive(Debug, clap::Subcommand)]
pub enum AttemptCommand {
    /// List the attempts of a message or to an endpoint, newest first
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show an attempt with the answer
    Get(GetArgs),
    /// Print a curl command that makes the attempt again, freshly signed
    Curl(CurlArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Status {
    /// Answered with success
    Success,
    /// Not answered, or not with success
    Fail,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  posthaste attempt ls -a shop -m msg_01jd…\n  \
                        posthaste attempt ls -a shop -e search --status fail --since 1h"
)]
pub struct LsArgs {
    #[command(flatten)]
    app: AppArg,
    /// The message, by its id or event id
    #[arg(short, long, required_unless_present = "endpoint")]
    message: Option<String>,
    /// The endpoint, by its id or uid
    #[arg(short, long)]
    endpoint: Option<String>,
    /// Only those that ended so
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Only of messages of these event types, separated by commas
    #[arg(short, long, value_name = "TYPE,…")]
    types: Option<String>,
    /// Only begun since: a time, or a while ago such as 10m
    #[arg(long, visible_alias = "after", value_name = "TIME")]
    since: Option<Past>,
    /// Only begun before: a time, or a while ago such as 10m
    #[arg(long, visible_alias = "until", value_name = "TIME")]
    before: Option<Past>,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste attempt get atmpt_01jd… -m msg_01jd… -a shop")]
pub struct GetArgs {
    /// The attempt's id
    attempt: String,
    /// The message that it was of, by its id or event id
    #[arg(short, long)]
    message: String,
    #[command(flatten)]
    app: AppArg,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    posthaste attempt curl atmpt_01jd… -m msg_01jd… -a shop --to http://localhost:3000/hooks | sh")]
pub struct CurlArgs {
    /// The attempt's id
    attempt: String,
    /// The message that it was of, by its id or event id
    #[arg(short, long)]
    message: String,
    #[command(flatten)]
    app: AppArg,
    /// Another URL than the attempt's
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Do not sign: no secret is read
    #[arg(long)]
    unsigned: bool,
    #[command(flatten)]
    common: Common,
}

with_common!(AttemptCommand: Ls, Get, Curl);

pub(crate) async fn run(command: AttemptCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    match command {
        AttemptCommand::Ls(args) => ls(args, &mut session).await,
        AttemptCommand::Get(args) => {
            let path = path(&session, &args.app, &args.message, &args.attempt)?;
            session.show(&KIND, &path).await
        }
        AttemptCommand::Curl(args) => curl::run(args, &mut session).await,
    }
}

fn path(
    session: &Session<'_, '_>,
    app: &AppArg,
    message: &str,
    attempt: &str,
) -> Result<String, Failure> {
    let message = super::message::path(session, app, message)?;
    Ok(format!("{message}/attempt/{}", encoded(attempt)))
}

async fn ls(args: LsArgs, session: &mut Session<'_, '_>) -> Outcome {
    let app = session.app_path(&args.app)?;
    let time = |at: Option<Past>| at.map(|at| at.before(session.look.now).to_string());
    let status = args.status.map(|status| match status {
        Status::Success => "0".to_owned(),
        Status::Fail => "2".to_owned(),
    });
    let mut query = vec![
        ("status", status),
        ("event_types", args.types),
        ("after", time(args.since)),
        ("before", time(args.before)),
    ];
    let path = match (args.message, args.endpoint) {
        (Some(message), endpoint) => {
            query.push(("endpoint_id", endpoint));
            format!("attempt/msg/{}", encoded(&message))
        }
        (None, Some(endpoint)) => format!("attempt/endpoint/{}", encoded(&endpoint)),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    let path = format!("{app}/{path}?with_content=true{}", list_query(&query));
    session.list(&KIND, &path, &args.list).await
}

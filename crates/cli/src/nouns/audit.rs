//! `posthaste audit`: who changed what.

use serde_json::Value;

use crate::client::parse;
use crate::exit::Failure;
use crate::output::{Kind, cell, text, time};
use crate::session::{Common, ListArgs, Session, list_query};
use crate::text::Past;
use crate::{Exit, Outcome, Streams};

const KIND: Kind = Kind {
    plural: "entries",
    id: "number",
    columns: &[
        cell("NUMBER", |entry, look| text(&entry["number"], look)),
        cell("TIME", |entry, look| time(&entry["timestamp"], look)),
        cell("ACTION", |entry, look| text(&entry["action"], look)),
        cell("TARGET", |entry, look| text(&entry["target"], look)),
        cell("KEY", |entry, look| text(&entry["key"], look)),
        cell("REQUEST", |entry, look| text(&entry["requestId"], look)).wide(),
        cell("CHANGES", |entry, look| text(&entry["changes"], look)).wide(),
    ],
};
const VERDICT: Kind = Kind {
    plural: "verdicts",
    id: "valid",
    columns: &[],
};
const PATH: &str = "/api/v1/audit";

/// The audit trail: who changed what
///
/// Entries are chained by hashes: one that is altered or removed shows.
#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// List administrative changes, newest first
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Check that no entry was altered or removed; 1 if one was
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste audit ls --since 1d --action endpoint.update")]
pub struct LsArgs {
    /// Only by this key
    #[arg(long)]
    key: Option<String>,
    /// Only this action, as in endpoint.update
    #[arg(long)]
    action: Option<String>,
    /// Only about the thing with this id or name
    #[arg(long)]
    target: Option<String>,
    /// Only since: a time, or a while ago such as 1d
    #[arg(long, visible_alias = "after", value_name = "TIME")]
    since: Option<Past>,
    /// Only before: a time, or a while ago such as 1d
    #[arg(long, visible_alias = "until", value_name = "TIME")]
    before: Option<Past>,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    common: Common,
}

with_common!(AuditCommand: Ls, Verify);

pub(crate) async fn run(command: AuditCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    let args = match command {
        AuditCommand::Ls(args) => args,
        AuditCommand::Verify(_) => return verify(&mut session).await,
    };
    let now = session.look.now;
    let time = |at: Option<Past>| at.map(|at| at.before(now).to_string());
    let query = list_query(&[
        ("key", args.key),
        ("action", args.action),
        ("target", args.target),
        ("after", time(args.since)),
        ("before", time(args.before)),
    ]);
    let path = format!("{PATH}{}", query.replacen('&', "?", 1));
    session.list(&KIND, &path, &args.list).await
}

async fn verify(session: &mut Session<'_, '_>) -> Outcome {
    let verdict = session.get(&format!("{PATH}/verify")).await?;
    session.print(&VERDICT, &verdict)?;
    let verdict: Value = parse(verdict.get().as_bytes())?;
    if verdict["valid"] == Value::Bool(true) {
        return Ok(Exit::Ok);
    }
    let first = &verdict["firstBroken"];
    let message = format!("the audit trail is not whole: entry {first} is the first");
    Err(Failure::new(Exit::Failure, message))
}

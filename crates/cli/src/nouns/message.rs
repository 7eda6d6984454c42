//! `posthaste message`: what was published.

mod bulk;
mod lines;

use serde_json::Value;

use crate::client::{Call, encoded};
use crate::exit::Failure;
use crate::output::{Cell, Format, Kind, cell, names, text, time};
use crate::session::{AppArg, ChangeArgs, Common, ConfirmArgs, ListArgs, Session, list_query};
use crate::text::Past;
use crate::{Exit, Outcome, Streams};

pub(super) const KIND: Kind = Kind {
    plural: "messages",
    id: "id",
    columns: &[
        cell("ID", |message, look| text(&message["id"], look)),
        cell("TYPE", |message, look| text(&message["eventType"], look)),
        cell("TIME", |message, look| time(&message["timestamp"], look)),
        cell("EVENT ID", |message, look| text(&message["eventId"], look)),
        cell("CHANNELS", |message, look| {
            names(&message["channels"], "-", look)
        })
        .wide(),
        cell("TAGS", |message, look| names(&message["tags"], "-", look)).wide(),
        cell("DELIVER AT", |message, look| {
            time(&message["deliverAt"], look)
        })
        .wide(),
    ],
};

/// Where a message goes.
const DELIVERY: Kind = Kind {
    plural: "deliveries",
    id: "id",
    columns: &[
        cell("ENDPOINT", |delivery, look| text(&delivery["id"], look)),
        cell("STATE", |delivery, _| {
            Cell::state(delivery["statusText"].as_str().unwrap_or("-"))
        }),
        cell("NEXT ATTEMPT", |delivery, look| {
            time(&delivery["nextAttempt"], look)
        }),
        cell("URL", |delivery, look| text(&delivery["url"], look)),
    ],
};

/// Messages: what was published
///
/// `posthaste send` publishes one.
#[derive(Debug, clap::Subcommand)]
pub enum MessageCommand {
    /// List messages, newest first
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show a message with its payload
    Get(GetArgs),
    /// List where a message goes and how far it has come
    Deliveries(DeliveriesArgs),
    /// Deliver a message again, now
    Resend(ResendArgs),
    /// Erase the payload of a message, or of all messages; it cannot be taken back
    #[command(visible_alias = "redact")]
    Erase(EraseArgs),
    /// Print messages with their payloads, one a line, oldest first
    Export(ExportArgs),
}

/// Which messages.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Filter {
    /// Only of these event types, separated by commas
    #[arg(short, long, value_name = "TYPE,…")]
    types: Option<String>,
    /// Only with this channel
    #[arg(long)]
    channel: Option<String>,
    /// Only with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only published since: a time, or a while ago such as 10m
    #[arg(long, visible_alias = "after", value_name = "TIME")]
    since: Option<Past>,
    /// Only published before: a time, or a while ago such as 10m
    #[arg(long, visible_alias = "until", value_name = "TIME")]
    before: Option<Past>,
}

impl Filter {
    pub(super) fn query(&self, session: &Session<'_, '_>) -> String {
        let time = |at: Option<Past>| at.map(|at| at.before(session.look.now).to_string());
        list_query(&[
            ("event_types", self.types.clone()),
            ("channel", self.channel.clone()),
            ("tag", self.tag.clone()),
            ("after", time(self.since)),
            ("before", time(self.before)),
        ])
    }
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  posthaste message ls -a shop --since 10m\n  \
                        posthaste message ls -a shop -t content.published -o ndjson --all"
)]
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

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste message get msg_01jd… -a shop --raw > payload.json")]
pub struct GetArgs {
    /// The message, by its id or event id
    message: String,
    #[command(flatten)]
    app: AppArg,
    /// Print the payload alone, byte for byte
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste message deliveries msg_01jd… -a shop")]
pub struct DeliveriesArgs {
    /// The message, by its id or event id
    message: String,
    #[command(flatten)]
    app: AppArg,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  posthaste message resend msg_01jd… -a shop -e search\n  \
                        posthaste message resend msg_01jd… -a shop --failed"
)]
pub struct ResendArgs {
    /// The message, by its id or event id
    message: String,
    #[command(flatten)]
    app: AppArg,
    /// An endpoint to send it to, by its id or uid
    #[arg(
        short,
        long = "endpoint",
        value_name = "ENDPOINT",
        required_unless_present = "failed"
    )]
    endpoints: Vec<String>,
    /// Every endpoint where it failed or was canceled
    #[arg(long, conflicts_with = "endpoints")]
    failed: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  posthaste message erase msg_01jd… -a shop\n  \
                        posthaste message erase --all -a shop --yes"
)]
pub struct EraseArgs {
    /// The message, by its id or event id
    #[arg(required_unless_present = "all")]
    message: Option<String>,
    #[command(flatten)]
    app: AppArg,
    /// Every message of the application, as a job
    #[arg(long, conflicts_with = "message")]
    all: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste message export -a shop --since 1d > messages.ndjson")]
pub struct ExportArgs {
    #[command(flatten)]
    app: AppArg,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    common: Common,
}

with_common!(MessageCommand: Ls, Get, Deliveries, Resend, Erase, Export);

pub(crate) async fn run(command: MessageCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    let session = &mut session;
    match command {
        MessageCommand::Ls(args) => {
            let app = session.app_path(&args.app)?;
            // Columns show no payload; a million of them would cross the network for nothing.
            let columns = matches!(
                session.look.format,
                Format::Table | Format::Wide | Format::Id
            );
            let query = args.filter.query(session);
            let path = format!("{app}/msg?with_content={}{query}", !columns);
            session.list(&KIND, &path, &args.list).await
        }
        MessageCommand::Get(args) => get(args, session).await,
        MessageCommand::Deliveries(args) => {
            let path = path(session, &args.app, &args.message)?;
            let path = format!("{path}/endpoint?expanded_statuses=true");
            session.list(&DELIVERY, &path, &args.list).await
        }
        MessageCommand::Resend(args) => bulk::resend(args, session).await,
        MessageCommand::Erase(args) => bulk::erase(args, session).await,
        MessageCommand::Export(args) => bulk::export(&args, session).await,
    }
}

pub(super) fn path(
    session: &Session<'_, '_>,
    app: &AppArg,
    message: &str,
) -> Result<String, Failure> {
    Ok(format!(
        "{}/msg/{}",
        session.app_path(app)?,
        encoded(message)
    ))
}

async fn get(args: GetArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = path(session, &args.app, &args.message)?;
    if !args.raw {
        return session.show(&KIND, &path).await;
    }
    let call = Call::get(format!("{path}/raw"));
    let payload = session.client.call(call).await?.success()?;
    session.streams.out.write_all(&payload)?;
    // A pipe wants the bytes; a person wants the next prompt on a line of its own.
    if session.streams.around.out_is_terminal && !payload.ends_with(b"\n") {
        writeln!(session.streams.out)?;
    }
    Ok(Exit::Ok)
}

/// The state of a delivery in words.
fn state(delivery: &Value) -> &str {
    delivery["statusText"].as_str().unwrap_or_default()
}

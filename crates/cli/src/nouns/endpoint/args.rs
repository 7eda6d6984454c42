//! What the commands about endpoints are told.

use std::time::Duration;

use crate::session::{
    AppArg, ChangeArgs, Common, ConfirmArgs, ListArgs, MakeArgs, Setting, key_value,
    number_or_none, text_or_none, texts_or_none,
};
use crate::text::{Past, duration};

/// Endpoints: where the messages of an application go
///
/// An endpoint is a URL with a secret of its own, and with the event types and channels that it
/// wants to hear of.
#[derive(Debug, clap::Subcommand)]
pub enum EndpointCommand {
    /// List the endpoints of an application
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show an endpoint
    Get(GetArgs),
    /// Create an endpoint
    #[command(visible_alias = "create")]
    Add(AddArgs),
    /// Change an endpoint; what is not named stays
    Edit(EditArgs),
    /// Delete an endpoint; what it has not got yet is canceled
    #[command(visible_alias = "delete")]
    Rm(RmArgs),
    /// Let deliveries go: enables it, and ends a pause
    Enable(OneArgs),
    /// Make no more deliveries; those that wait are canceled
    Disable(OneArgs),
    /// Hold deliveries until it goes on; nothing is canceled
    Pause(OneArgs),
    /// Let deliveries go on after a pause
    #[command(visible_alias = "resume")]
    Unpause(OneArgs),
    /// Send it the example of an event type
    Test(TestArgs),
    /// Send again what failed or was canceled
    Recover(RecoverArgs),
    /// Send what it never got, although it subscribes to it now
    ReplayMissing(AgainArgs),
    /// Count how its deliveries fared
    Stats(StatsArgs),
    /// The signing secret
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Headers that are sent with each message
    #[command(subcommand)]
    Headers(HeadersCommand),
}

/// The signing secret of an endpoint
#[derive(Debug, clap::Subcommand)]
pub enum SecretCommand {
    /// Print the secret
    Show(GetArgs),
    /// Replace the secret; the earlier one goes on signing for a while
    Rotate(RotateArgs),
}

/// Headers that are sent with each message
#[derive(Debug, clap::Subcommand)]
pub enum HeadersCommand {
    /// Show the headers; sensitive values stay hidden
    Show(GetArgs),
    /// Set headers; others stay
    Set(SetHeadersArgs),
    /// Remove headers
    #[command(visible_alias = "rm")]
    Unset(UnsetHeadersArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste endpoint ls -a shop -o wide")]
pub struct LsArgs {
    #[command(flatten)]
    pub(super) app: AppArg,
    #[command(flatten)]
    pub(super) list: ListArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The endpoint, by its id or uid
    pub(super) endpoint: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste endpoint stats search -a shop --since 1h")]
pub struct StatsArgs {
    /// The endpoint, by its id or uid
    pub(super) endpoint: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// Only since: a time, or a while ago such as 1h
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<Past>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste endpoint test search -a shop --type order.paid")]
pub struct TestArgs {
    /// The endpoint, by its id or uid
    pub(super) endpoint: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// The event type whose example is sent
    #[arg(short, long = "type", value_name = "TYPE")]
    pub(super) kind: String,
    /// Which of its examples, counted from 0
    #[arg(long, value_name = "N")]
    pub(super) index: Option<u32>,
    /// What to send in place of an example, as JSON
    #[arg(short, long, value_name = "JSON", conflicts_with = "index")]
    pub(super) data: Option<String>,
    #[command(flatten)]
    pub(super) make: MakeArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
pub struct AgainArgs {
    /// The endpoint, by its id or uid
    pub(super) endpoint: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// Messages published since: a time, or a while ago such as 2h
    #[arg(long, visible_alias = "after", value_name = "TIME")]
    pub(super) since: Past,
    /// Wait until it ends, and show how far it is meanwhile
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) wait: bool,
    #[command(flatten)]
    pub(super) make: MakeArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste endpoint recover search -a shop --since 2h --wait")]
pub struct RecoverArgs {
    #[command(flatten)]
    pub(super) again: AgainArgs,
    /// Messages published before: a time, or a while ago such as 10m; now when left out
    #[arg(long, visible_alias = "before", value_name = "TIME")]
    pub(super) until: Option<Past>,
}

#[derive(Debug, clap::Args)]
pub struct OneArgs {
    /// The endpoint, by its id or uid
    pub(super) endpoint: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What an endpoint gets of what a source received.
#[derive(Debug, clap::Args)]
pub(super) struct ForwardingArgs {
    /// Gets what sources received as `message`, signed by us, or as the `request` that came
    #[arg(long, value_name = "FORM", value_parser = ["message", "request"])]
    pub(super) deliver_as: Option<String>,
    /// The only headers of received requests that it gets, separated by commas, or `none` for all
    /// that may be passed on; a name may end in `*`
    #[arg(long, value_parser = texts_or_none, value_name = "NAME,…")]
    pub(super) forward_headers: Option<Setting<Vec<String>>>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    posthaste endpoint add https://example.com/hooks -a shop --uid search\n  \
    posthaste endpoint add https://example.com/hooks -a shop --types content.published")]
pub struct AddArgs {
    /// Where to
    #[arg(value_name = "URL")]
    pub(super) to: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// Your own name for it, which works in place of its id
    #[arg(long)]
    pub(super) uid: Option<String>,
    /// What it is for
    #[arg(long)]
    pub(super) description: Option<String>,
    /// Only messages of these event types, separated by commas; `a.*` and `a.**` are patterns
    #[arg(short, long, value_delimiter = ',', value_name = "TYPE,…")]
    pub(super) types: Option<Vec<String>>,
    /// Only messages with one of these channels, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "CHANNEL,…")]
    pub(super) channels: Option<Vec<String>>,
    /// Messages per second
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<u32>,
    #[command(flatten)]
    pub(super) forwarding: ForwardingArgs,
    /// A header to send with each message
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = key_value)]
    pub(super) headers: Vec<(String, String)>,
    /// Something to remember about it
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) metadata: Vec<(String, String)>,
    /// A file with the signing secret (`whsec_…`), or `-`; made when left out
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<String>,
    /// Create it disabled
    #[arg(long)]
    pub(super) disabled: bool,
    /// More fields, as a JSON object; `-` is standard input
    #[arg(short, long)]
    pub(super) file: Option<String>,
    #[command(flatten)]
    pub(super) make: MakeArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    posthaste endpoint edit search -a shop --types content.published,content.updated")]
pub struct EditArgs {
    /// The endpoint, by its id or uid
    pub(super) endpoint: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// Where to
    #[arg(long, value_name = "URL")]
    pub(super) to: Option<String>,
    /// Your own name for it, or `none`
    #[arg(long, value_parser = text_or_none)]
    pub(super) uid: Option<Setting<String>>,
    /// What it is for
    #[arg(long)]
    pub(super) description: Option<String>,
    /// Only messages of these event types, separated by commas, or `none` for all
    #[arg(short, long, value_parser = texts_or_none, value_name = "TYPE,…")]
    pub(super) types: Option<Setting<Vec<String>>>,
    /// Only messages with one of these channels, separated by commas, or `none` for all
    #[arg(long, value_parser = texts_or_none, value_name = "CHANNEL,…")]
    pub(super) channels: Option<Setting<Vec<String>>>,
    /// Messages per second, or `none`
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    pub(super) rate: Option<Setting<u32>>,
    #[command(flatten)]
    pub(super) forwarding: ForwardingArgs,
    /// Something to remember about it; replaces all that was remembered
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) metadata: Vec<(String, String)>,
    /// More fields, as a JSON object; `-` is standard input
    #[arg(short, long)]
    pub(super) file: Option<String>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste endpoint rm search -a shop --yes")]
pub struct RmArgs {
    /// The endpoint, by its id or uid
    pub(super) endpoint: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    #[command(flatten)]
    pub(super) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    posthaste endpoint secret rotate search -a shop --grace 2h --yes")]
pub struct RotateArgs {
    /// The endpoint, by its id or uid
    pub(super) endpoint: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// How long the earlier secret goes on signing [default: 1d]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) grace: Option<Duration>,
    /// A file with the new secret (`whsec_…`), or `-`; made when left out
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<String>,
    #[command(flatten)]
    pub(super) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste endpoint headers set search x-team=web -a shop")]
pub struct SetHeadersArgs {
    #[command(flatten)]
    pub(super) one: OneArgs,
    /// A header and its value
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = key_value)]
    pub(super) headers: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste endpoint headers unset search x-team -a shop")]
pub struct UnsetHeadersArgs {
    #[command(flatten)]
    pub(super) one: OneArgs,
    /// The names of headers
    #[arg(required = true, value_name = "NAME")]
    pub(super) names: Vec<String>,
}

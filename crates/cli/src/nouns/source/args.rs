//! What the commands about sources are told.

use std::time::Duration;

use crate::session::{
    AppArg, ChangeArgs, Common, ConfirmArgs, ListArgs, MakeArgs, Setting, key_value,
    number_or_none, text_or_none, texts_or_none,
};
use crate::text::duration;

/// Sources: where providers send to
///
/// A source is a URL that a provider sends its webhooks to. What verifies there becomes a message
/// of the source's application, and goes to its endpoints.
#[derive(Debug, clap::Subcommand)]
pub enum SourceCommand {
    /// List the sources of an application
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show a source
    Get(GetArgs),
    /// Create a source
    #[command(visible_alias = "create")]
    Add(AddArgs),
    /// Change a source; what is not named stays
    #[command(visible_alias = "update")]
    Edit(EditArgs),
    /// Delete a source; its URL stops working
    #[command(visible_alias = "delete")]
    Rm(RmArgs),
    /// Take nothing in until it goes on; providers are told so
    Pause(OneArgs),
    /// Take requests in again after a pause
    Resume(OneArgs),
    /// The secrets that requests are verified with
    #[command(subcommand)]
    Secret(SecretCommand),
    /// The URL that the provider sends to
    #[command(subcommand)]
    Url(UrlCommand),
}

/// The secrets that requests are verified with
#[derive(Debug, clap::Subcommand)]
pub enum SecretCommand {
    /// Put in a new secret; the others go on for a while
    Rotate(RotateSecretArgs),
}

/// The URL that the provider sends to
#[derive(Debug, clap::Subcommand)]
pub enum UrlCommand {
    /// Print the URL alone
    Show(GetArgs),
    /// Replace the URL; the earlier one goes on for a while
    Rotate(RotateUrlArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste source ls -a shop -o wide")]
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
    /// The source, by its id or uid
    pub(super) source: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  posthaste source add Repository -a shop --provider github --secret-file secret.txt
  posthaste source add Sensor -a shop --provider custom --scheme-file scheme.json \\
    --secret-file secret.txt")]
pub struct AddArgs {
    /// A name for people
    pub(super) name: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// Who sends, as `posthaste provider ls` names them; or custom
    #[arg(short, long)]
    pub(super) provider: Option<String>,
    /// A file with the secret, as the provider writes it, or `-`; several may be live
    #[arg(long = "secret-file", value_name = "FILE")]
    pub(super) secret_files: Vec<String>,
    /// A file with a scheme of your own, as JSON, where the provider is custom
    #[arg(long, value_name = "FILE")]
    pub(super) scheme_file: Option<String>,
    /// Your own name for it, which works in place of its id
    #[arg(long)]
    pub(super) uid: Option<String>,
    /// The URL that the provider has been told, where a proxy makes it another; some sign it
    #[arg(long, value_name = "URL")]
    pub(super) public_url: Option<String>,
    /// What becomes of requests that do not verify: enforce (refused), tag (marked) or none
    #[arg(long, value_parser = ["enforce", "tag", "none"])]
    pub(super) verify: Option<String>,
    /// How far a timestamp may be from the clock; 0s checks none [default: the provider's]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) tolerance: Option<Duration>,
    /// Requests per second
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<u32>,
    /// Addresses and networks that requests may come from, separated by commas
    #[arg(long, value_name = "IP,…", value_delimiter = ',')]
    pub(super) allowed_ips: Option<Vec<String>>,
    /// Something to remember about it
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) metadata: Vec<(String, String)>,
    /// More fields, as a JSON object; `-` is standard input
    #[arg(short, long)]
    pub(super) file: Option<String>,
    #[command(flatten)]
    pub(super) make: MakeArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  posthaste source edit src_… -a shop --tolerance 600 --rate none"
)]
pub struct EditArgs {
    /// The source, by its id or uid
    pub(super) source: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// A name for people
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Your own name for it, or `none`
    #[arg(long, value_parser = text_or_none)]
    pub(super) uid: Option<Setting<String>>,
    /// The URL that the provider has been told, or `none` where it is the source's own
    #[arg(long, value_name = "URL", value_parser = text_or_none)]
    pub(super) public_url: Option<Setting<String>>,
    /// What becomes of requests that do not verify: enforce (refused), tag (marked) or none
    #[arg(long, value_parser = ["enforce", "tag", "none"])]
    pub(super) verify: Option<String>,
    /// How many seconds a timestamp may be from the clock, or `none` for the provider's
    #[arg(long, value_name = "SECONDS", value_parser = number_or_none)]
    pub(super) tolerance: Option<Setting<u32>>,
    /// Requests per second, or `none`
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    pub(super) rate: Option<Setting<u32>>,
    /// Addresses and networks that requests may come from, or `none` for all
    #[arg(long, value_name = "IP,…", value_parser = texts_or_none)]
    pub(super) allowed_ips: Option<Setting<Vec<String>>>,
    /// Something to remember about it
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
#[command(after_help = "Example:\n  posthaste source rm src_… -a shop --yes")]
pub struct RmArgs {
    /// The source, by its id or uid
    pub(super) source: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    #[command(flatten)]
    pub(super) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
pub struct OneArgs {
    /// The source, by its id or uid
    pub(super) source: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  posthaste source secret rotate src_… -a shop --secret-file new.txt"
)]
pub struct RotateSecretArgs {
    /// The source, by its id or uid
    pub(super) source: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// A file with the new secret, as the provider writes it, or `-`
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: String,
    /// How long the others still count, at most 7d [default: 1d]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) grace: Option<Duration>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste source url rotate src_… -a shop --grace 1h --yes")]
pub struct RotateUrlArgs {
    /// The source, by its id or uid
    pub(super) source: String,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// How long the present URL still works, at most 7d [default: 1d]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) grace: Option<Duration>,
    #[command(flatten)]
    pub(super) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

//! `posthaste provider`: who is known by name.

use crate::client::encoded;
use crate::output::{Kind, cell, text};
use crate::session::{Common, ListArgs, Session};
use crate::{Outcome, Streams};

const KIND: Kind = Kind {
    plural: "providers",
    id: "name",
    columns: &[
        cell("NAME", |provider, look| text(&provider["name"], look)),
        cell("PROVIDER", |provider, look| text(&provider["title"], look)),
        cell("SIGNED WITH", |provider, look| {
            text(&provider["algorithm"], look)
        }),
        cell("RESTS ON", |provider, look| {
            text(&provider["confirmation"], look)
        })
        .wide(),
        cell("SECRET", |provider, look| text(&provider["secret"], look)).wide(),
    ],
};
const PATH: &str = "/api/v1/provider";

/// Providers: whose webhooks a source can verify
///
/// A source names one of them, or has a scheme of its own.
#[derive(Debug, clap::Subcommand)]
pub enum ProviderCommand {
    /// List the providers that the server knows
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show how to set a provider up, and what is verified
    Get(GetArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste provider ls --all")]
pub struct LsArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste provider get contentful")]
pub struct GetArgs {
    /// The provider's name
    provider: String,
    #[command(flatten)]
    common: Common,
}

with_common!(ProviderCommand: Ls, Get);

pub(crate) async fn run(command: ProviderCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    match command {
        ProviderCommand::Ls(args) => session.list(&KIND, PATH, &args.list).await,
        ProviderCommand::Get(args) => {
            let path = format!("{PATH}/{}", encoded(&args.provider));
            session.show(&KIND, &path).await
        }
    }
}

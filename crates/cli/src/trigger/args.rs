//! What can be said to `posthaste trigger`.

use inbound::samples::Spoil;

use crate::client::ServerArgs;
use crate::exit::Failure;
use crate::session::AppArg;
use crate::text::Hidden;
use crate::{Streams, world};

/// Send what a provider would send
///
/// Makes a realistic request of a provider, signs it with the secret of your source as the
/// provider does, and sends it: to a source of posthaste, or to any other URL. Ids and times are
/// new each time. A good request must be taken, and the command ends with 0 if it is; a request
/// that was spoiled on purpose must be refused, and the command ends with 0 if it is.
///
/// Of a provider that signs with a private key, such as discord or sendgrid, the secret is a
/// private key of your own (PKCS #8 in PEM or base64, whsk_…, or 64 hex digits), whose public half
/// the source has.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  posthaste trigger github --url \"$SOURCE_URL\" --secret \"$SECRET\"
  posthaste trigger --source shop/github --secret-file secret.txt --tampered
  posthaste trigger custom --scheme-file scheme.json --url \"$SOURCE_URL\" --secret-file secret.txt
  posthaste trigger stripe.invoice.paid --url \"$SOURCE_URL\" --secret-file secret.txt --duplicate
  posthaste trigger contentful.Entry.publish --url \"$SOURCE_URL\" --secret \"$SECRET\" --tampered
  posthaste trigger --list github")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct TriggerArgs {
    /// The provider, and after a full stop what happened; --list names both
    #[arg(value_name = "PROVIDER[.EVENT]")]
    pub(super) sample: Option<String>,
    /// The source, by its id or uid: the server says which provider's it is and where it is
    #[arg(long, value_name = "[APP/]SOURCE")]
    pub(super) source: Option<String>,
    #[command(flatten)]
    pub(super) app: AppArg,
    /// A file with a scheme of your own, for the provider custom
    #[arg(long, value_name = "FILE", conflicts_with = "source")]
    pub(super) scheme_file: Option<String>,
    /// Where to send it: the URL of the source, or a port of this machine
    #[arg(long, visible_alias = "to", value_name = "URL")]
    pub(super) url: Option<String>,
    /// The secret that the source has of the provider
    #[arg(
        long,
        env = "POSTHASTE_SOURCE_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub(super) secret: Option<Hidden>,
    /// A file with the secret; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    pub(super) secret_file: Option<String>,
    /// The URL as the provider has it, where that is another; some providers sign it
    #[arg(long, value_name = "URL")]
    pub(super) public_url: Option<String>,
    /// A file with another body to send, byte for byte
    #[arg(short, long)]
    pub(super) file: Option<String>,
    /// Sign with another secret
    #[arg(long, group = "spoiled")]
    pub(super) bad_signature: bool,
    /// Sign it too long ago
    #[arg(long, group = "spoiled")]
    pub(super) stale: bool,
    /// Put something that is no signature where the signature is
    #[arg(long, group = "spoiled")]
    pub(super) malformed: bool,
    /// Change the body after it was signed
    #[arg(long, group = "spoiled")]
    pub(super) tampered: bool,
    /// Send the same request twice
    #[arg(long, conflicts_with = "flood")]
    pub(super) duplicate: bool,
    /// Send so many requests, each another, as fast as they are taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) flood: Option<u32>,
    /// Print the request and do not send it
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Name the samples that there are, of one provider or of all
    #[arg(long)]
    pub(super) list: bool,
    /// Print the request as well
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Do not ask who an https:// URL belongs to
    #[arg(long)]
    pub(super) insecure: bool,
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) server: ServerOfSource,
}

/// Which server has the source. `--url` is where to send.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerOfSource {
    /// Where the server is that --source is of [default: the profile's]
    #[arg(long = "server", env = "POSTHASTE_URL", value_name = "URL")]
    server_url: Option<String>,
    /// A profile, as `posthaste profile ls` lists them
    #[arg(long, env = "POSTHASTE_PROFILE", value_name = "NAME")]
    profile: Option<String>,
    /// The API key to use
    #[arg(long, env = "POSTHASTE_TOKEN", hide_env_values = true)]
    token: Option<Hidden>,
    /// The key that a server was started with; used where there is no token
    #[arg(long, env = "POSTHASTE_ADMIN_KEY", hide = true, hide_env_values = true)]
    admin_key: Option<Hidden>,
}

impl ServerOfSource {
    pub(super) fn as_args(&self) -> ServerArgs {
        ServerArgs {
            url: self.server_url.clone(),
            profile: self.profile.clone(),
            token: self.token.clone(),
            admin_key: self.admin_key.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// Lines for people
    #[default]
    Table,
    /// A line of JSON for each request and its answer
    Json,
}

impl TriggerArgs {
    pub(crate) fn wants_json(&self) -> bool {
        self.output == Output::Json
    }

    /// What is to be wrong with the request.
    pub(super) fn spoil(&self) -> Option<Spoil> {
        [
            (self.bad_signature, Spoil::BadSignature),
            (self.stale, Spoil::Stale),
            (self.malformed, Spoil::Malformed),
            (self.tampered, Spoil::Tampered),
        ]
        .into_iter()
        .find_map(|(wanted, spoil)| wanted.then_some(spoil))
    }

    pub(super) fn secret(&self, streams: &mut Streams<'_>) -> Result<Hidden, Failure> {
        if let Some(secret) = &self.secret {
            return Ok(secret.clone());
        }
        let Some(file) = &self.secret_file else {
            return Err(Failure::usage(
                "which secret? give --secret or --secret-file",
            ));
        };
        if file == "-" && self.file.as_deref() == Some("-") {
            return Err(Failure::usage(
                "--secret-file and --file cannot both be `-`",
            ));
        }
        let bytes = world::read(file, streams)?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::usage("the secret is no text"))?;
        Ok(Hidden::new(text.trim()))
    }
}

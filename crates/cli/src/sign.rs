//! `posthaste sign`: the three headers of a body.

use signature::{Signer, SigningKey, check_webhook_id};

use crate::exit::Failure;
use crate::text::{Hidden, Moment};
use crate::{Exit, Outcome, Streams, world};

/// Sign a body after Standard Webhooks
///
/// Reads the body from standard input and prints the three headers to send it with.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  posthaste sign --secret \"$SECRET\" --id msg_1 < body.json")]
pub struct SignArgs {
    /// The secret (`whsec_…`) or private key (`whsk_…`); several make several signatures
    #[arg(long, required = true, value_name = "KEY")]
    secret: Vec<Hidden>,
    /// The message's id, which receivers take for a repeat when they have seen it
    #[arg(long)]
    id: String,
    /// When it was sent: a time, seconds since 1970, or now
    #[arg(long, value_name = "TIME")]
    timestamp: Option<Moment>,
}

pub(crate) fn run(args: &SignArgs, streams: &mut Streams<'_>) -> Outcome {
    check_webhook_id(&args.id).map_err(|error| Failure::usage(format!("--id {error}")))?;
    let mut keys = Vec::new();
    for secret in &args.secret {
        let key = SigningKey::parse(secret.reveal());
        keys.push(key.map_err(|error| Failure::usage(format!("--secret {error}")))?);
    }
    let mut keys = keys.into_iter();
    let current = keys.next().expect("clap asks for one at least");
    let now = world::now();
    let at = args.timestamp.map_or(now, |moment| moment.from(now));
    let body = world::read_input(streams)?;

    let mut signatures = String::new();
    Signer::new(current, keys).sign(&args.id, at, &body, &mut signatures);

    writeln!(streams.out, "webhook-id: {}", args.id)?;
    writeln!(streams.out, "webhook-timestamp: {}", at.as_unix_seconds())?;
    writeln!(streams.out, "webhook-signature: {signatures}")?;
    Ok(Exit::Ok)
}

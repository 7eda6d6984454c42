//! `posthaste keygen`: a new key.

use signature::{PrivateKey, Secret};

use crate::{Exit, Outcome, Streams, world};

/// Make a signing key
///
/// Prints a new secret for HMAC-SHA256 signatures, or with --ed25519 a new pair: the private key
/// on the first line, and on the second the public key, which receivers verify with.
#[derive(Debug, clap::Args)]
pub struct KeygenArgs {
    /// Make an Ed25519 pair for `v1a` signatures instead
    #[arg(long)]
    ed25519: bool,
}

pub(crate) fn run(args: &KeygenArgs, streams: &mut Streams<'_>) -> Outcome {
    if args.ed25519 {
        let key = PrivateKey::from_random(world::random());
        writeln!(streams.out, "{}", key.to_text().as_str())?;
        writeln!(streams.out, "{}", key.public_key().to_text())?;
    } else {
        let secret = Secret::from_random(world::random());
        writeln!(streams.out, "{}", secret.to_text().as_str())?;
    }
    Ok(Exit::Ok)
}

//! `posthaste verify`: was this request signed with that key?

use std::time::Duration;

use domain::Timestamp;
use signature::{Received, Verifier, VerifyingKey};

use crate::exit::Failure;
use crate::text::{Hidden, duration};
use crate::{Exit, Outcome, Streams, world};

mod scheme;

/// Verify a signed request
///
/// Reads the body from standard input, byte for byte as it was received, and the headers from
/// --header and --headers. Says whether one of the keys has signed it, and if not, why. Without
/// --scheme the request is one of Standard Webhooks; with it, of the provider that it names
/// (github, stripe, slack, shopify, contentful and many more: docs/reference/providers.md).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  posthaste verify --secret \"$SECRET\" --headers headers.txt < body
  posthaste verify --scheme github --secret \"$SECRET\" \\
    --header 'X-Hub-Signature-256: sha256=…' < body
  posthaste verify --scheme twilio --secret \"$TOKEN\" --url https://shop.example/sms \\
    --headers headers.txt < body")]
pub struct VerifyArgs {
    /// A secret (`whsec_…`) or public key (`whpk_…`) to trust; any of several will do. With
    /// --scheme whatever the provider calls its secret
    #[arg(long, required = true, value_name = "KEY")]
    secret: Vec<Hidden>,
    /// A header of the request
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A file of headers, one a line; other lines are passed over
    #[arg(long = "headers", value_name = "FILE")]
    headers_file: Option<String>,
    /// How old a signature may be, and how far ahead of this clock; 5m, or what the scheme has
    #[arg(long, value_parser = duration)]
    tolerance: Option<Duration>,
    /// When it was received, in seconds since 1970; now where it is not given
    #[arg(long, value_name = "UNIX_SECONDS")]
    at: Option<i64>,
    /// The provider that sent it, or `custom`
    #[arg(long, value_name = "PROVIDER")]
    scheme: Option<String>,
    /// The file of a scheme of your own, in TOML or JSON, for `--scheme custom`
    #[arg(long, value_name = "FILE", requires = "scheme")]
    scheme_file: Option<String>,
    /// The URL as the provider has it, with the query of the request; some providers sign it
    #[arg(long, requires = "scheme")]
    url: Option<String>,
    /// The method of the request; some providers sign it
    #[arg(long, default_value = "POST", requires = "scheme")]
    method: String,
    /// The certificate of a provider that signs with one, as it was fetched
    #[arg(long, value_name = "FILE", requires = "scheme")]
    certificate: Option<String>,
}

/// How old a signature of Standard Webhooks may be.
const TOLERANCE: Duration = Duration::from_mins(5);

pub(crate) fn run(args: &VerifyArgs, streams: &mut Streams<'_>) -> Outcome {
    if let Some(name) = &args.scheme {
        return scheme::run(name, args, streams);
    }
    let verifier = verifier(&args.secret)?;
    let headers = Headers::of(args, streams)?;
    let body = world::read_input(streams)?;
    let signatures = headers.all("webhook-signature");
    let received = Received {
        id: headers.one("webhook-id"),
        timestamp: headers.one("webhook-timestamp"),
        signatures: &signatures,
        body: &body,
    };

    match verifier.verify(&received, args.now(), args.tolerance.unwrap_or(TOLERANCE)) {
        Ok(()) => {
            let id = received.id.unwrap_or_default();
            let seconds = received.timestamp.and_then(|text| text.parse().ok());
            let at = Timestamp::from_unix_seconds(seconds.unwrap_or_default());
            writeln!(streams.out, "verified: {id}, signed at {at}")?;
            Ok(Exit::Ok)
        }
        Err(refused) => {
            writeln!(streams.err, "refused: {refused}")?;
            Ok(Exit::Failure)
        }
    }
}

impl VerifyArgs {
    fn now(&self) -> Timestamp {
        self.at
            .map_or_else(world::now, Timestamp::from_unix_seconds)
    }
}

/// A verifier that trusts each of these keys.
pub(crate) fn verifier(secrets: &[Hidden]) -> Result<Verifier, Failure> {
    let keys = secrets
        .iter()
        .map(|secret| VerifyingKey::parse(secret.reveal()));
    let keys: Result<Vec<_>, _> = keys.collect();
    let keys = keys.map_err(|error| Failure::usage(format!("--secret {error}")))?;
    Ok(Verifier::new(keys))
}

/// The request's headers, names in lower case.
struct Headers(Vec<(String, String)>);

impl Headers {
    fn of(args: &VerifyArgs, streams: &mut Streams<'_>) -> Result<Self, Failure> {
        let mut headers = Vec::new();
        for header in &args.headers {
            let parsed = header_of(header);
            headers.push(parsed.ok_or_else(|| Failure::usage("--header is not `name: value`"))?);
        }
        if let Some(name) = &args.headers_file {
            if name == "-" {
                return Err(Failure::usage("--headers -: standard input is the body"));
            }
            let text = world::read(name, streams)?;
            headers.extend(String::from_utf8_lossy(&text).lines().filter_map(header_of));
        }
        Ok(Self(headers))
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

fn header_of(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests;

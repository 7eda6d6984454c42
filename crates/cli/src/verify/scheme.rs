//! `posthaste verify --scheme`: was this request sent by that provider?

use signature::scheme::{
    Fetched, Key, Needs, Refused, Request, Scheme, Suspect, Verdict, Verified, diagnose, preset,
    presets,
};

use super::{Headers, VerifyArgs};
use crate::exit::Failure;
use crate::text::shown;
use crate::{Exit, Outcome, Streams, world};

/// The name for a scheme of one's own.
const CUSTOM: &str = "custom";

/// The most characters that are shown of an id.
const SHOWN: usize = 256;

pub(super) fn run(name: &str, args: &VerifyArgs, streams: &mut Streams<'_>) -> Outcome {
    let mut scheme = scheme(name, args, streams)?;
    if let Some(tolerance) = args.tolerance {
        let seconds = u32::try_from(tolerance.as_secs()).unwrap_or(u32::MAX);
        scheme = scheme.with_tolerance(Some(seconds));
    }
    let keys = keys(&scheme, args)?;
    let headers = Headers::of(args, streams)?;
    let certificate = certificate(args, streams)?;
    let body = world::read_input(streams)?;
    let headers: Vec<_> = headers
        .0
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let mut request = Request {
        method: &args.method,
        url: args.url.as_deref(),
        headers: &headers,
        body: &body,
        fetched: None,
    };

    let mut verdict = scheme.verify(&request, &keys, args.now());
    let url = verdict.needs().map(str::to_owned);
    if let (Some(url), Some(bytes)) = (&url, &certificate) {
        request.fetched = Some(Fetched { url, bytes });
        verdict = scheme.verify(&request, &keys, args.now());
    }
    match verdict {
        Verdict::Verified(verified) => say(name, &verified, streams),
        Verdict::Needs(Needs::Certificate { url }) => {
            writeln!(
                streams.err,
                "undecided: the signature is that of a certificate; fetch it and give it as \
                 --certificate FILE: {url}"
            )?;
            Ok(Exit::Failure)
        }
        Verdict::Refused(refused) => explain(&scheme, &request, &refused, args, streams),
    }
}

fn scheme(name: &str, args: &VerifyArgs, streams: &mut Streams<'_>) -> Result<Scheme, Failure> {
    match (&args.scheme_file, preset(name)) {
        (Some(file), None) if name == CUSTOM => {
            if file == "-" {
                return Err(Failure::usage(
                    "--scheme-file -: standard input is the body",
                ));
            }
            let text = world::read(file, streams)?;
            let scheme = Scheme::parse(&String::from_utf8_lossy(&text));
            scheme.map_err(|error| Failure::usage(format!("--scheme-file {file}: {error}")))
        }
        (None, None) if name == CUSTOM => Err(Failure::usage(
            "--scheme custom wants the file of the scheme as --scheme-file",
        )),
        (None, Some(preset)) => Ok(preset.scheme.clone()),
        (Some(_), Some(_)) => Err(Failure::usage(
            "--scheme-file goes with --scheme custom only",
        )),
        (_, None) => {
            let names: Vec<_> = presets()
                .iter()
                .map(|preset| preset.name.as_str())
                .collect();
            let name = shown(name, SHOWN);
            let names = names.join(", ");
            Err(Failure::usage(format!(
                "--scheme {name}: there is no such provider; there are {names}, and {CUSTOM}"
            )))
        }
    }
}

fn keys(scheme: &Scheme, args: &VerifyArgs) -> Result<Vec<Key>, Failure> {
    let keys = args
        .secret
        .iter()
        .map(|secret| Key::parse(scheme, secret.reveal()));
    let keys: Result<_, _> = keys.collect();
    keys.map_err(|error| Failure::usage(format!("--secret {error}")))
}

fn certificate(args: &VerifyArgs, streams: &mut Streams<'_>) -> Result<Option<Vec<u8>>, Failure> {
    match args.certificate.as_deref() {
        Some("-") => Err(Failure::usage(
            "--certificate -: standard input is the body",
        )),
        Some(file) => world::read(file, streams).map(Some),
        None => Ok(None),
    }
}

fn say(name: &str, verified: &Verified, streams: &mut Streams<'_>) -> Outcome {
    write!(streams.out, "verified: {name}")?;
    if let Some(id) = verified.ids.first() {
        let unsigned = if id.signed {
            ""
        } else {
            " (not covered by the signature)"
        };
        write!(streams.out, ", id {}{unsigned}", shown(&id.value, SHOWN))?;
    }
    if let Some(event) = &verified.event {
        write!(streams.out, ", event {event}")?;
    }
    if let Some(at) = verified.signed_at {
        write!(streams.out, ", signed at {at}")?;
    }
    writeln!(streams.out)?;
    Ok(Exit::Ok)
}

fn explain(
    scheme: &Scheme,
    request: &Request<'_>,
    refused: &Refused,
    args: &VerifyArgs,
    streams: &mut Streams<'_>,
) -> Outcome {
    let secrets: Vec<_> = args.secret.iter().map(crate::Hidden::reveal).collect();
    let suspect = Suspect {
        secrets: &secrets,
        others: &[],
    };
    writeln!(streams.err, "refused: {refused}")?;
    if let Some(cause) = diagnose(scheme, request, &suspect, refused, args.now()) {
        writeln!(streams.err, "likely: {}", shown(&cause.text, 1_000))?;
    }
    Ok(Exit::Failure)
}

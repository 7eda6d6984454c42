//! `posthaste sink`: a receiver to watch.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc;

use super::behaviour::{Behaviour, Manner};
use super::line;
use super::server::{Sink, SinkOptions};
use crate::exit::Failure;
use crate::text::{Hidden, duration};
use crate::{Exit, Outcome, Streams, verify, world};

/// How many lines may wait to be written. What a slow terminal cannot take is counted, not kept.
const LINES_MAX: usize = 8_192;

/// Receive webhooks and show them
///
/// Answers every request and prints a line for each, until Ctrl-C; then it prints the counts. With
/// --secret it verifies signatures. A path can ask for another behaviour of its own, so that one
/// sink plays many endpoints.
#[derive(Debug, clap::Args)]
#[command(after_help = "Paths that behave, anywhere in the URL:\n  \
    /status/503     answers with that status\n  \
    /latency/50ms   answers later\n  \
    /fail/3         fails the first three times for each webhook-id and path\n  \
    /hang           never answers\n  \
    /drip           answers byte by byte, a second apart\n  \
    /reset          resets the connection")]
pub struct SinkArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8412")]
    listen: SocketAddr,
    /// A secret (`whsec_…`) or public key (`whpk_…`) to verify with; any of several will do
    #[arg(long, value_name = "KEY")]
    secret: Vec<Hidden>,
    /// The status of answers
    #[arg(long, default_value = "200", value_parser = status)]
    status: StatusCode,
    /// The wait before an answer
    #[arg(long, default_value = "0ms", value_parser = duration)]
    latency: Duration,
    /// The share of requests that is answered 500, by chance
    #[arg(long, default_value = "0%", value_parser = percent, value_name = "PERCENT")]
    fail: f64,
    /// How many first requests for each webhook-id are answered 500
    #[arg(long, default_value_t = 0, value_name = "N")]
    fail_first: u32,
    /// Read requests and never answer
    #[arg(long, conflicts_with_all = ["drip", "reset"])]
    hang: bool,
    /// Answer byte by byte, a second apart
    #[arg(long, conflicts_with = "reset")]
    drip: bool,
    /// Reset the connection after each request
    #[arg(long)]
    reset: bool,
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A readable line for each request
    #[default]
    Lines,
    /// A line of JSON for each request, with all headers and the body in base64
    Ndjson,
}

fn status(text: &str) -> Result<StatusCode, &'static str> {
    let status = text
        .parse()
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok());
    status
        .filter(|status| status.as_u16() >= 200)
        .ok_or("is not a status from 200 to 999")
}

/// Reads `5%`, `0.5%` or `5`.
fn percent(text: &str) -> Result<f64, &'static str> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number
        .filter(|n| (0.0..=100.0).contains(n))
        .ok_or("is not a share from 0% to 100%")
}

impl SinkArgs {
    fn options(&self) -> Result<SinkOptions, Failure> {
        let verifier = (!self.secret.is_empty()).then(|| verify::verifier(&self.secret));
        let manner = match self {
            Self { hang: true, .. } => Manner::Hang,
            Self { drip: true, .. } => Manner::Drip,
            Self { reset: true, .. } => Manner::Reset,
            _ => Manner::Answer,
        };
        Ok(SinkOptions {
            listen: self.listen,
            verifier: verifier.transpose()?,
            behaviour: Behaviour {
                status: self.status,
                latency: self.latency,
                fail_percent: self.fail,
                fail_first: self.fail_first,
                manner,
            },
            seed: u64::from_be_bytes(world::random()),
            ..SinkOptions::default()
        })
    }
}

pub(crate) async fn run(args: SinkArgs, streams: &mut Streams<'_>) -> Outcome {
    let interrupted = async {
        // Where there are no signals there is no Ctrl-C: whoever started this ends it otherwise.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    run_until(args, streams, |_| {}, interrupted).await
}

/// Runs until `stop`. `ready` learns where the sink listens.
pub(super) async fn run_until(
    args: SinkArgs,
    streams: &mut Streams<'_>,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Outcome {
    let (sender, mut lines) = mpsc::channel(LINES_MAX);
    let show = match args.output {
        Output::Lines => line::readable,
        Output::Ndjson => line::json,
    };
    let options = args.options()?;
    let on_request = move |received: &_| {
        // Full means that nobody reads fast enough; the tally still counts it.
        sender.try_send(show(received)).ok();
    };
    let sink = Sink::start(options, on_request).await.map_err(|error| {
        Failure::new(
            Exit::Failure,
            format!("cannot listen on {}: {error}", args.listen),
        )
    })?;
    writeln!(streams.err, "listening on {}; Ctrl-C ends it", sink.url())?;
    ready(sink.addr());

    tokio::pin!(stop);
    let mut shown = 0;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(line) = lines.recv() => shown += write(&line, &mut lines, streams)?,
        }
    }
    let tally = sink.shutdown().await;
    if let Ok(line) = lines.try_recv() {
        shown += write(&line, &mut lines, streams)?;
    }
    writeln!(streams.err, "{tally}")?;
    let hidden = tally.received.saturating_sub(shown);
    if hidden > 0 {
        writeln!(streams.err, "{hidden} of them came too fast to be shown")?;
    }
    Ok(Exit::Ok)
}

/// Writes a line and those that wait behind it, and flushes once. How many there were.
fn write(
    first: &str,
    lines: &mut mpsc::Receiver<String>,
    streams: &mut Streams<'_>,
) -> Result<u64, Failure> {
    let mut count = 1;
    writeln!(streams.out, "{first}")?;
    while let Ok(line) = lines.try_recv() {
        writeln!(streams.out, "{line}")?;
        count += 1;
    }
    streams.out.flush()?;
    Ok(count)
}

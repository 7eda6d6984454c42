//! `posthaste listen`: an application's messages, or what a source of it received, forwarded to a
//! URL of this machine.
//!
//! Reads the server's stream and delivers one message after the other. When the stream breaks it
//! goes on after the last message, so nothing is missed; what comes twice by that is delivered
//! once. Of a source, the stream says that something came, and the log of requests what it was.

mod events;
mod forward;
mod parcel;
mod source;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use signature::Secret;
use tokio::time::{sleep, timeout};

use crate::client::{Client, ServerArgs, encoded, parse};
use crate::exit::Failure;
use crate::session::{AppArg, app_path};
use crate::stop::Stop;
use crate::text::Hidden;
use crate::{Exit, Outcome, Streams, profile, world};
use events::{Event, Events};
use forward::{Message, Target};
use parcel::{Parcel, Recorder, Recording};
use source::Source;

/// The server gives a sign of life every 15 seconds; three missed ones mean that it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The waits before another try, at first and at last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// How many messages are remembered, so that what comes again is not delivered again.
const REMEMBERED: usize = 4_096;

/// Forward an application's messages to a URL of this machine
///
/// Needs no public address: this connects to the server, and every message that is published from
/// now on is delivered to URL, signed, in the order in which it was published. One line each;
/// Ctrl-C ends it.
///
/// With --source it is what that source receives: each request that is taken in, with its method,
/// headers and body as the provider sent them. With --replay it is what --record wrote to a file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  posthaste listen 3000 -a shop\n  \
    posthaste listen http://localhost:3000/hooks -a shop --types 'content.**' --replay-last 5\n  \
    posthaste listen 3000 --source shop/stripe --record stripe.ndjson\n  \
    posthaste listen 3000 --replay stripe.ndjson")]
pub struct ListenArgs {
    /// Where to deliver to: a URL, or a port of this machine
    #[arg(value_name = "URL|PORT")]
    to: String,
    #[command(flatten)]
    app: AppArg,
    /// Only these event types, separated by commas; `content.**` is all that begin so
    #[arg(short, long, value_name = "TYPE,…")]
    types: Option<String>,
    /// Forward what this source receives, as it came; by its id or uid
    #[arg(long, value_name = "[APP/]SOURCE")]
    source: Option<String>,
    /// Write what is delivered to the end of this file, a line of JSON each
    #[arg(long, value_name = "FILE")]
    record: Option<String>,
    /// Deliver what --record wrote to this file, and end; needs no server
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["source", "record", "types", "replay_last", "secret_file"]
    )]
    replay: Option<String>,
    /// Begin with so many of the newest messages or requests, at most 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1_000))]
    replay_last: Option<u16>,
    /// A file with the secret to sign with (`whsec_…`), or `-`; made when left out
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    /// Print the secret to standard output first
    #[arg(long)]
    print_secret: bool,
    /// Do not ask who an https:// URL belongs to
    #[arg(long)]
    insecure: bool,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A readable line for each message
    #[default]
    Lines,
    /// A line of JSON for each message
    Ndjson,
}

pub(crate) async fn run(args: ListenArgs, streams: &mut Streams<'_>) -> Outcome {
    let target = Target::parse(&args.to, args.insecure)?;
    let record = args.record.as_deref().map(Recorder::open).transpose()?;
    let mut bench = Bench {
        target,
        record,
        output: args.output,
        delivered: 0,
        failed: 0,
    };
    let result = match &args.replay {
        Some(file) => replay(file, args.count, &mut bench, streams).await,
        None => listen(args, &mut bench, streams).await,
    };
    if bench.delivered > 0 || result.is_ok() {
        let (delivered, failed) = (bench.delivered, bench.failed);
        writeln!(
            streams.err,
            "{delivered} delivered, {failed} of them failed"
        )?;
    }
    result
}

/// Delivers what a file was recorded with.
async fn replay(
    file: &str,
    count: Option<u64>,
    bench: &mut Bench,
    streams: &mut Streams<'_>,
) -> Outcome {
    let mut recording = Recording::open(file)?;
    let stop = streams.around.stop.clone();
    while count.is_none_or(|count| bench.delivered < count) {
        let Some(parcel) = recording.next()? else {
            break;
        };
        tokio::select! {
            biased;
            () = stop.wanted() => break,
            done = bench.deliver(&parcel, streams) => done?,
        }
    }
    Ok(Exit::Ok)
}

async fn listen(args: ListenArgs, bench: &mut Bench, streams: &mut Streams<'_>) -> Outcome {
    let server = profile::Target::of(&args.server, &streams.around)?;
    let client = Client::new(&server)?;
    let app = args.app.app.as_deref().or(server.app.as_deref());
    let source = match &args.source {
        Some(name) => Some(Source::find(name, app, &client).await?),
        None => None,
    };
    let secret = secret(&args, streams)?;
    if args.print_secret {
        writeln!(streams.out, "{}", secret.reveal())?;
        streams.out.flush()?;
    } else if args.secret_file.is_none() && source.is_none() {
        writeln!(streams.err, "signing secret: {}", secret.reveal())?;
    }
    let app = match &source {
        Some(source) => source.app.clone(),
        None => app_path(app)?,
    };
    let mut listening = Listening {
        path: format!("{app}/stream"),
        client,
        source,
        secret,
        last: None,
        seen: Seen::default(),
        args,
        bench,
    };
    listening.go_on(streams).await
}

/// Where things are delivered to, and how it went.
struct Bench {
    target: Target,
    record: Option<Recorder>,
    output: Output,
    delivered: u64,
    failed: u64,
}

impl Bench {
    async fn deliver(&mut self, parcel: &Parcel, streams: &mut Streams<'_>) -> Result<(), Failure> {
        if let Some(record) = &mut self.record {
            record.write(parcel)?;
        }
        let delivered = self.target.deliver(parcel, world::now()).await;
        self.delivered += 1;
        self.failed += u64::from(!delivered.is_success());
        let line = match self.output {
            Output::Lines => delivered.readable(parcel),
            Output::Ndjson => delivered.json(parcel),
        };
        writeln!(streams.out, "{line}")?;
        streams.out.flush()?;
        Ok(())
    }
}

/// The given secret, or a fresh one.
fn secret(args: &ListenArgs, streams: &mut Streams<'_>) -> Result<Hidden, Failure> {
    let Some(file) = &args.secret_file else {
        let secret = Secret::from_random(world::random::<32>());
        return Ok(Hidden::new(secret.to_text().as_str()));
    };
    let bytes = world::read(file, streams)?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let secret = Secret::parse(text.trim());
    let secret = secret.map_err(|error| Failure::usage(format!("--secret-file {error}")))?;
    Ok(Hidden::new(secret.to_text().as_str()))
}

/// A listener at work.
struct Listening<'a> {
    args: ListenArgs,
    client: Client,
    bench: &'a mut Bench,
    /// Whose requests are delivered, instead of messages.
    source: Option<Source>,
    secret: Hidden,
    path: String,
    /// The message that was received last.
    last: Option<String>,
    /// Messages, and requests, which can be of several messages.
    seen: Seen,
}

/// Why a stream ended.
enum Ended {
    /// The person wants no more, or has all that was asked for.
    Done,
    /// It can be opened again.
    Broken(String),
}

impl Listening<'_> {
    /// Listens, again and again when the stream breaks.
    async fn go_on(&mut self, streams: &mut Streams<'_>) -> Outcome {
        let stop = streams.around.stop.clone();
        let (mut wait, mut has_worked) = (BACKOFF.0, false);
        loop {
            let opened = tokio::select! {
                biased;
                () = stop.wanted() => return Ok(Exit::Ok),
                opened = self.open() => opened,
            };
            let why = match opened {
                Ok(events) => {
                    if !has_worked {
                        writeln!(streams.err, "listening; Ctrl-C ends it")?;
                    }
                    has_worked = true;
                    wait = BACKOFF.0;
                    if self.source.is_some() {
                        self.begin_with_newest(streams).await?;
                    }
                    match self.follow(events, &stop, streams).await? {
                        Ended::Done => return Ok(Exit::Ok),
                        Ended::Broken(why) => why,
                    }
                }
                // What never worked is told at once; what did work may come back.
                Err(failure) if !has_worked => return Err(failure),
                Err(failure) if matches!(failure.exit, Exit::Auth | Exit::NotFound) => {
                    return Err(failure);
                }
                Err(failure) => failure.message().to_owned(),
            };
            let shown = crate::text::shown(&why, 200);
            let ms = wait.as_millis();
            writeln!(streams.err, "{shown}; connecting again in {ms} ms")?;
            tokio::select! {
                biased;
                () = stop.wanted() => return Ok(Exit::Ok),
                () = sleep(wait) => {}
            }
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    async fn open(&self) -> Result<Events, Failure> {
        let mut query = Vec::new();
        if let Some(types) = &self.args.types {
            query.push(format!("types={}", encoded(types)));
        }
        let counts = self.source.is_none() && self.last.is_none();
        if let Some(count) = self.args.replay_last.filter(|_| counts) {
            query.push(format!("replay_last={count}"));
        }
        let start = if query.is_empty() { "" } else { "?" };
        let path = format!("{}{start}{}", self.path, query.join("&"));
        let mut headers = vec![("posthaste-stream-secret", self.secret.reveal())];
        headers.extend(self.last.as_deref().map(|last| ("last-event-id", last)));
        let response = self.client.open(&path, &headers).await?;
        Ok(Events::new(response.into_body()))
    }

    /// Delivers what a stream carries, until it ends.
    async fn follow(
        &mut self,
        mut events: Events,
        stop: &Stop,
        streams: &mut Streams<'_>,
    ) -> Result<Ended, Failure> {
        loop {
            if self.has_all() {
                return Ok(Ended::Done);
            }
            let event = tokio::select! {
                biased;
                () = stop.wanted() => return Ok(Ended::Done),
                event = timeout(SILENCE_MAX, events.next()) => event,
            };
            let event = match event {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Ok(Ended::Broken("the stream ended".to_owned())),
                Ok(Err(failure)) => return Ok(Ended::Broken(failure.message().to_owned())),
                Err(_) => return Ok(Ended::Broken("the server fell silent".to_owned())),
            };
            match event.name.as_str() {
                "message" => match self.message(&event, streams).await {
                    // The server went away between the stream and the log.
                    Err(failure) if failure.exit == Exit::Unavailable => {
                        return Ok(Ended::Broken(failure.message().to_owned()));
                    }
                    done => done?,
                },
                "behind" => writeln!(
                    streams.err,
                    "behind: {}",
                    crate::text::shown(&event.data, 60)
                )?,
                "end" => {
                    let data = crate::text::shown(&event.data, 100);
                    return Ok(Ended::Broken(format!(
                        "the server ended the stream: {data}"
                    )));
                }
                _ => {}
            }
        }
    }

    fn has_all(&self) -> bool {
        let wanted = self.args.count;
        wanted.is_some_and(|count| self.bench.delivered >= count)
    }

    async fn message(&mut self, event: &Event, streams: &mut Streams<'_>) -> Result<(), Failure> {
        let message: Message = parse(event.data.as_bytes())?;
        let id = message.id.clone();
        if self.seen.contains(&id) {
            return Ok(());
        }
        let parcel = match &self.source {
            None => Some(message.into_parcel(world::now())),
            Some(source) => {
                let found = source.of_message(&self.client, &id).await?;
                found.map(|parcel| Parcel {
                    event_type: Some(message.event_type),
                    ..parcel
                })
            }
        };
        self.seen.insert(&id);
        self.last = Some(id.clone());
        match parcel {
            Some(parcel) if parcel.id == id || self.seen.insert(&parcel.id) => {
                self.bench.deliver(&parcel, streams).await
            }
            _ => Ok(()),
        }
    }

    /// Delivers the newest requests of the source. What comes meanwhile is in the stream, which
    /// is open already.
    async fn begin_with_newest(&mut self, streams: &mut Streams<'_>) -> Result<(), Failure> {
        let count = self.args.replay_last.take().map_or(0, usize::from);
        let Some(source) = self.source.as_ref().filter(|_| count > 0) else {
            return Ok(());
        };
        for parcel in source.newest(&self.client, count).await? {
            if !self.has_all() && self.seen.insert(&parcel.id) {
                self.bench.deliver(&parcel, streams).await?;
            }
        }
        Ok(())
    }
}

/// The messages that were delivered last.
#[derive(Debug, Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Says whether it is new.
    fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{Scripted, answer};
    use crate::sink::{Sink, SinkOptions};
    use crate::tests::typed;

    #[test]
    fn what_was_delivered_is_remembered_for_a_while() {
        let mut seen = Seen::default();

        assert!(seen.insert("a"));
        assert!(!seen.insert("a"));
        for number in 0..REMEMBERED {
            seen.insert(&number.to_string());
        }
        assert!(seen.insert("a"), "it was forgotten");
        assert_eq!(seen.ids.len(), REMEMBERED);
    }

    #[tokio::test]
    async fn a_broken_stream_goes_on_after_the_last_message_and_repeats_none() {
        let first = "event: open\ndata: {}\n\nid: m1\nevent: message\n\
             data: {\"id\":\"m1\",\"eventType\":\"a.b\",\"body\":\"1\",\"headers\":{}}\n\n";
        let second = "id: m1\nevent: message\n\
             data: {\"id\":\"m1\",\"eventType\":\"a.b\",\"body\":\"1\",\"headers\":{}}\n\n\
             id: m2\nevent: message\n\
             data: {\"id\":\"m2\",\"eventType\":\"a.b\",\"body\":\"2\",\"headers\":{}}\n\n";
        let server = Scripted::start(vec![answer(200, first), answer(200, second)]).await;
        let sink = Sink::start(SinkOptions::default(), |_| {}).await.unwrap();
        let line = format!("listen {}/x -a shop --count 2 -o ndjson", sink.url());

        let ended = typed(&server, &line).await;

        let asked = server.asked();
        assert_eq!(ended.exit, Exit::Ok, "{}", ended.err);
        assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
        assert_eq!(asked[0].header("last-event-id"), None);
        assert_eq!(asked[1].header("last-event-id"), Some("m1"));
        let secret = asked[0].header("posthaste-stream-secret");
        assert!(secret.is_some() && secret == asked[1].header("posthaste-stream-secret"));
        assert_eq!(sink.tally().received, 2);
    }

    #[test]
    fn a_target_is_a_url_or_a_port() {
        for good in [
            "3000",
            ":3000",
            "http://localhost:3000/hooks?x=1",
            "https://[::1]/",
        ] {
            assert!(Target::parse(good, false).is_ok(), "{good}");
        }
        for bad in ["", "70000", "localhost:3000", "ftp://x/", "http://user@x/"] {
            assert!(Target::parse(bad, false).is_err(), "{bad}");
        }
    }
}

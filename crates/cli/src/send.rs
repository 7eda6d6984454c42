//! `posthaste send`: publishes a message, and waits for its deliveries if asked to.

use std::fmt::Write as _;
use std::time::Duration;

use domain::Timestamp;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::client::{Answer, Call, Client, ServerArgs, encoded, parse};
use crate::exit::Failure;
use crate::profile::Target;
use crate::session::{AppArg, app_path};
use crate::text::{Moment, duration, shown};
use crate::{Exit, Outcome, Streams, world};

/// How often `--wait` asks, at first and at last.
const POLL_FIRST: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(2);

/// Publish a message
///
/// Prints the message once the server has made it durable together with its deliveries. With
/// --wait it goes on until every delivery has ended, and fails with 7 if one of them failed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  posthaste send content.published -a shop -d '{\"id\": 1}'\n  \
                        posthaste send content.published -a shop -f article.json --wait"
)]
pub struct SendArgs {
    /// The event type, as in content.published
    #[arg(value_name = "TYPE")]
    event_type: String,
    #[command(flatten)]
    app: AppArg,
    /// The payload, any JSON; sent on byte for byte [default: {}]
    #[arg(short, long, value_name = "JSON", conflicts_with = "file")]
    data: Option<String>,
    /// A file with the payload; `-` is standard input
    #[arg(short, long)]
    file: Option<String>,
    /// Your own id of the event; a second message with the same one is refused
    #[arg(long = "id", value_name = "EVENT_ID")]
    event_id: Option<String>,
    /// When to deliver: a time, or a wait such as 10m
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// A channel; only endpoints that listen to one of them, or to all, get the message
    #[arg(long = "channel", value_name = "CHANNEL")]
    channels: Vec<String>,
    /// The same key makes repeated calls publish one message, for a day at least
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until every delivery has ended, so long at most
    #[arg(long, value_name = "DURATION", value_parser = duration, num_args = 0..=1,
        require_equals = true, default_missing_value = "60s")]
    wait: Option<Duration>,
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Columns for people
    #[default]
    Table,
    /// The server's answer
    Json,
    /// The message's id alone
    Id,
}

impl SendArgs {
    pub(crate) fn wants_json(&self) -> bool {
        self.output == Output::Json
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageIn<'a> {
    event_type: &'a str,
    payload: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [String],
}

#[derive(Deserialize)]
struct Message {
    id: String,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Destination>,
    #[serde(default)]
    iterator: Option<String>,
    done: bool,
}

/// Where a message goes, and how far it has come.
#[derive(Deserialize)]
struct Destination {
    id: String,
    url: String,
    status: u8,
}

impl Destination {
    /// What the API's numbers mean.
    fn state(&self) -> &'static str {
        match self.status {
            0 => "success",
            1 => "pending",
            2 => "fail",
            3 => "sending",
            4 => "canceled",
            _ => "unknown",
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.state(), "success" | "fail" | "canceled")
    }
}

pub(crate) async fn run(mut args: SendArgs, streams: &mut Streams<'_>) -> Outcome {
    let target = Target::of(&args.server, &streams.around)?;
    args.app.app = args.app.app.or(target.app.clone());
    let client = Client::new(&target)?;
    run_with(&client, args, streams).await
}

async fn run_with(client: &Client, args: SendArgs, streams: &mut Streams<'_>) -> Outcome {
    let body = body(&args, streams)?;
    // Asked for the payload, an older server would send it back; nobody here wants it.
    let app = app_path(args.app.app.as_deref())?;
    let path = format!("{app}/msg?with_content=false");
    let call = Call::new(Method::POST, path)
        .with_json(body)
        .with_idempotency_key(args.idempotency_key.clone());
    let answer = client.call(call).await?.success()?;
    let message: Message = parse(&answer)?;
    match args.output {
        Output::Id => writeln!(streams.out, "{}", message.id)?,
        Output::Table => writeln!(streams.out, "{}  {}", message.id, args.event_type)?,
        // With --wait the deliveries belong to the same JSON value.
        Output::Json if args.wait.is_some() => {}
        Output::Json => {
            streams.out.write_all(&answer)?;
            writeln!(streams.out)?;
        }
    }
    let Some(patience) = args.wait else {
        return Ok(Exit::Ok);
    };
    // Shown before the wait, or a person sees nothing for a minute.
    streams.out.flush()?;
    let waited = Waiting {
        client,
        app: &app,
        message: &message.id,
    }
    .run(patience)
    .await?;
    report(&args, &answer, &waited, streams)
}

fn body(args: &SendArgs, streams: &mut Streams<'_>) -> Result<Vec<u8>, Failure> {
    let text = match (&args.data, &args.file) {
        (Some(data), _) => data.clone(),
        (None, Some(file)) => String::from_utf8(world::read(file, streams)?)
            .map_err(|_| Failure::usage("the payload is not UTF-8"))?,
        (None, None) => "{}".to_owned(),
    };
    // Checked here and passed on as it is: the payload's bytes are what receivers verify.
    let payload = serde_json::from_str::<Box<RawValue>>(&text)
        .map_err(|error| Failure::usage(format!("the payload is not JSON: {error}")))?;
    let message = MessageIn {
        event_type: &args.event_type,
        payload: &payload,
        event_id: args.event_id.as_deref(),
        deliver_at: args
            .at
            .map(|at| at.from(world::now()))
            .as_ref()
            .map(Timestamp::to_string),
        channels: &args.channels,
    };
    Ok(serde_json::to_vec(&message).expect("it consists of texts and checked JSON"))
}

/// What was seen when the wait ended.
struct Waited {
    destinations: Vec<Destination>,
    json: Vec<Box<RawValue>>,
    is_over: bool,
}

/// Asks for a message's destinations until each of them has ended.
struct Waiting<'a> {
    client: &'a Client,
    app: &'a str,
    message: &'a str,
}

impl Waiting<'_> {
    async fn run(&self, patience: Duration) -> Result<Waited, Failure> {
        let deadline = Instant::now() + patience;
        let mut pause = POLL_FIRST;
        loop {
            let waited = self.look().await?;
            if waited.is_over || Instant::now() + pause > deadline {
                return Ok(waited);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    async fn look(&self) -> Result<Waited, Failure> {
        let mut waited = Waited {
            destinations: Vec::new(),
            json: Vec::new(),
            is_over: true,
        };
        let mut iterator = String::new();
        loop {
            let (app, message) = (self.app, encoded(self.message));
            let query = format!("limit=250&expanded_statuses=true{iterator}");
            let path = format!("{app}/msg/{message}/endpoint?{query}");
            let answer = self.client.call(Call::get(path)).await?;
            let page = waited.add(answer)?;
            match page.iterator {
                Some(next) if !page.done => iterator = format!("&iterator={}", encoded(&next)),
                _ => return Ok(waited),
            }
        }
    }
}

impl Waited {
    /// Takes in a page. What is left of it says where the next one starts.
    fn add(&mut self, answer: Answer) -> Result<Page, Failure> {
        #[derive(Deserialize)]
        struct Raw {
            data: Vec<Box<RawValue>>,
        }
        let body = answer.success()?;
        let mut page: Page = parse(&body)?;
        self.json.append(&mut parse::<Raw>(&body)?.data);
        self.is_over &= page.data.iter().all(Destination::has_ended);
        self.destinations.append(&mut page.data);
        Ok(page)
    }

    fn count(&self, state: &str) -> usize {
        self.destinations
            .iter()
            .filter(|destination| destination.state() == state)
            .count()
    }
}

fn report(args: &SendArgs, message: &[u8], waited: &Waited, streams: &mut Streams<'_>) -> Outcome {
    match args.output {
        Output::Id => {}
        Output::Table => write!(streams.out, "{}", table(&waited.destinations))?,
        Output::Json => {
            #[derive(Serialize)]
            struct Both<'a> {
                message: &'a RawValue,
                destinations: &'a [Box<RawValue>],
            }
            let message: &RawValue = serde_json::from_slice(message).map_err(|error| {
                Failure::new(
                    Exit::Failure,
                    format!("the server's answer is no JSON: {error}"),
                )
            })?;
            let both = Both {
                message,
                destinations: &waited.json,
            };
            let text = serde_json::to_string(&both).expect("it consists of checked JSON");
            writeln!(streams.out, "{text}")?;
        }
    }
    if waited.destinations.is_empty() {
        writeln!(streams.err, "no endpoint asked for this message")?;
    }
    let failed = waited.count("fail") + waited.count("canceled");
    if failed > 0 {
        let all = waited.destinations.len();
        return Err(Failure::new(
            Exit::DeliveryFailed,
            format!("{failed} of {all} deliveries failed"),
        ));
    }
    if !waited.is_over {
        let all = waited.destinations.len();
        let open = all - waited.count("success");
        return Err(
            Failure::unavailable(format!("{open} of {all} deliveries have not ended yet"))
                .with_hint("they go on without this command; --wait=10m waits longer"),
        );
    }
    Ok(Exit::Ok)
}

fn table(destinations: &[Destination]) -> String {
    let mut out = String::new();
    for destination in destinations {
        let (id, state) = (shown(&destination.id, 64), destination.state());
        writeln!(out, "{id}  {state:<8}  {}", shown(&destination.url, 200))
            .expect("a String takes everything");
    }
    out
}

#[cfg(test)]
mod tests;

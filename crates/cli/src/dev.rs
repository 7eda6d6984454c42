//! `posthaste dev`: the whole of it on screen in a few seconds.
//!
//! Starts a server of its own (the same binary, as a child), a receiver that verifies what
//! arrives, publishes what a content pipeline would, and sends what a provider sends. In between
//! the server is killed, to show that nothing is lost. Afterwards all of it stays up to be played
//! with.

mod pipeline;
mod provider;
mod server;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signature::{Secret, Verifier, VerifyingKey};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::client::{Call, Client};
use crate::exit::{Exit, Failure};
use crate::profile::Target;
use crate::sink::{Received, RunningSink, Sink, SinkOptions, Verdict};
use crate::{Hidden, Streams, Surroundings, world};
use server::Child;

/// See it work: a server, a receiver and a content pipeline
///
/// Publishes an article's life, shows each delivery as it arrives and is verified, receives a
/// provider's webhook, its repeat and a forgery, kills the server in between, and then leaves
/// everything running until Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct DevArgs {
    /// Address and port of the server
    #[arg(long, default_value = "127.0.0.1:8411", value_name = "ADDRESS")]
    listen: String,
    /// Keep the data here instead of in a new temporary directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Stop after the demonstration
    #[arg(long)]
    once: bool,
}

/// Where the deliveries of the demonstration go: the path at the receiver, what it subscribes to,
/// and what it does.
const RECEIVERS: [(&str, &[&str], &str); 3] = [
    ("/search", &[], "wants every event"),
    (
        "/newsletter",
        &["content.published"],
        "wants content.published only",
    ),
    (
        "/fail/2/analytics",
        &["content.published"],
        "fails twice, then recovers",
    ),
];
const APPLICATION: &str = "demo";
/// Messages published right before the server is killed.
const BURST: usize = 20;
/// How long a part of the demonstration may take before it is called a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// The running demonstration.
struct Stage {
    client: Client,
    sink: RunningSink,
    arrivals: UnboundedReceiver<Received>,
    /// Deliveries that were answered with success, by receiver and message.
    delivered: HashSet<(String, String)>,
    attempts: HashMap<(String, String), u32>,
    verified: u64,
    refused: u64,
    published: usize,
}

pub(crate) async fn run(args: DevArgs, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let token = random_token();
    let secrets: Vec<Secret> = RECEIVERS.iter().map(|_| random_secret()).collect();
    let mut child = Child::new(args.listen.clone(), args.data.clone(), token.clone())?;
    child.start().await?;
    let mut stage = Stage::open(&args.listen, &token, &secrets).await?;
    introduce(&stage, &child, streams)?;
    stage.subscribe(&secrets).await?;

    say(streams, "\n1. An article goes through the pipeline")?;
    for (event_type, payload) in pipeline::article() {
        let id = stage.publish(event_type, &payload).await?;
        say(streams, &format!("   published {event_type}  {id}"))?;
        let wanted = receivers_of(event_type).filter(|path| !path.starts_with("/fail"));
        let wanted: Vec<_> = wanted.map(|path| (path.to_owned(), id.clone())).collect();
        stage.wait_for(&wanted, streams).await?;
    }

    say(streams, "\n2. A content system sends webhooks of its own")?;
    provider::show(&mut stage, streams).await?;

    say(
        streams,
        &format!("\n3. {BURST} more are accepted, and the server is killed at once"),
    )?;
    let burst = stage.burst().await?;
    child.kill()?;
    say(
        streams,
        &format!("   {BURST} answers of 202, then kill -9; now it starts again"),
    )?;
    let ready = child.start().await?;
    say(streams, &format!("   ready after {} ms", ready.as_millis()))?;
    let quiet = &mut Streams {
        input: streams.input,
        out: &mut std::io::sink(),
        err: streams.err,
        around: Surroundings::default(),
    };
    stage.wait_for(&burst, quiet).await?;
    say(
        streams,
        &format!("   ✓ all {BURST} arrived at /search: nothing was lost"),
    )?;

    say(
        streams,
        "\n4. The receiver that failed at first has recovered",
    )?;
    stage.show_recovery(streams).await?;
    conclude(&stage, &child, &token, args.once, streams)?;
    if !args.once {
        stage.watch(streams).await?;
    }
    child.stop();
    Ok(Exit::Ok)
}

fn say(streams: &mut Streams<'_>, line: &str) -> Result<(), Failure> {
    writeln!(streams.out, "{line}")?;
    Ok(())
}

fn random_token() -> String {
    format!("ph_{}", URL_SAFE_NO_PAD.encode(world::random::<32>()))
}

fn random_secret() -> Secret {
    Secret::from_random(world::random::<32>())
}

fn receivers_of(event_type: &str) -> impl Iterator<Item = &'static str> {
    RECEIVERS
        .iter()
        .filter(move |(_, types, _)| types.is_empty() || types.contains(&event_type))
        .map(|(path, _, _)| *path)
}

fn introduce(stage: &Stage, child: &Child, streams: &mut Streams<'_>) -> Result<(), Failure> {
    say(streams, "posthaste, a demonstration")?;
    say(
        streams,
        &format!(
            "   server     {}  (data in {})",
            child.url(),
            child.data().display()
        ),
    )?;
    for (path, _, manner) in RECEIVERS {
        say(
            streams,
            &format!("   endpoint   {}{path}  {manner}", stage.sink.url()),
        )?;
    }
    Ok(())
}

fn conclude(
    stage: &Stage,
    child: &Child,
    token: &str,
    once: bool,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let Stage {
        published,
        delivered,
        verified,
        refused,
        ..
    } = stage;
    let lines = format!(
        "\n{published} messages published, {} deliveries accepted, {verified} signatures verified, \
         {refused} refused, 0 lost.",
        delivered.len(),
    );
    say(streams, &lines)?;
    if *refused > 0 {
        return Err(Failure::new(Exit::Failure, "a signature was refused"));
    }
    if once {
        return Ok(());
    }
    let url = child.url();
    for line in [
        "\nEverything stays up until Ctrl-C. Go on in another terminal:".to_owned(),
        format!("   export POSTHASTE_URL={url} POSTHASTE_TOKEN={token}"),
        format!(
            "   posthaste send content.published -a {APPLICATION} -d '{{\"title\": \"Hello\"}}'"
        ),
        format!(
            "   curl -H \"authorization: Bearer $POSTHASTE_TOKEN\" \\\n        \
             {url}/api/v1/app/{APPLICATION}/msg"
        ),
        "What arrives at the receiver shows here:".to_owned(),
    ] {
        say(streams, &line)?;
    }
    Ok(())
}

impl Stage {
    async fn open(listen: &str, token: &str, secrets: &[Secret]) -> Result<Self, Failure> {
        let (sender, arrivals) = unbounded_channel();
        let options = SinkOptions {
            verifier: Some(Verifier::new(secrets.iter().map(VerifyingKey::from))),
            ..SinkOptions::default()
        };
        let sink = Sink::start(options, move |received| {
            let _ = sender.send(received.clone()); // At the end nobody listens any more.
        })
        .await
        .map_err(|error| Failure::new(Exit::Failure, format!("no receiver: {error}")))?;
        let client = Client::new(&Target {
            profile: String::new(),
            url: format!("http://{listen}"),
            token: Some(Hidden::new(token)),
            app: None,
        })?;
        Ok(Self {
            client,
            sink,
            arrivals,
            delivered: HashSet::new(),
            attempts: HashMap::new(),
            verified: 0,
            refused: 0,
            published: 0,
        })
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let call = Call::new(http::Method::POST, path).with_json(body.to_string());
        crate::client::parse(&self.client.call(call).await?.success()?)
    }

    /// Makes the application and its endpoints.
    async fn subscribe(&self, secrets: &[Secret]) -> Result<(), Failure> {
        let application = json!({"name": "Content pipeline", "uid": APPLICATION});
        self.post("/api/v1/app?get_if_exists=true", &application)
            .await?;
        for ((path, types, _), secret) in RECEIVERS.iter().zip(secrets) {
            let mut endpoint = json!({
                "url": format!("{}{path}", self.sink.url()),
                "secret": secret.to_text().as_str(),
            });
            if !types.is_empty() {
                endpoint["eventTypes"] = json!(types);
            }
            self.post(&format!("/api/v1/app/{APPLICATION}/endpoint"), &endpoint)
                .await?;
        }
        Ok(())
    }

    async fn publish(&mut self, event_type: &str, payload: &Value) -> Result<String, Failure> {
        let message = json!({"eventType": event_type, "payload": payload});
        let answer = self
            .post(&format!("/api/v1/app/{APPLICATION}/msg"), &message)
            .await?;
        self.published += 1;
        Ok(answer["id"].as_str().unwrap_or_default().to_owned())
    }

    /// Publishes a batch, and returns the deliveries to wait for.
    async fn burst(&mut self) -> Result<Vec<(String, String)>, Failure> {
        let messages: Vec<_> = (1..=BURST)
            .map(|number| {
                json!({"eventType": "content.updated", "payload": pipeline::revision(number)})
            })
            .collect();
        let path = format!("/api/v1/app/{APPLICATION}/msg/batch");
        let answer = self.post(&path, &json!({"messages": messages})).await?;
        self.published += BURST;
        let ids = answer["data"].as_array().into_iter().flatten();
        let ids = ids.filter_map(|message| message["id"].as_str());
        Ok(ids
            .map(|id| ("/search".to_owned(), id.to_owned()))
            .collect())
    }

    /// Shows what arrives until all of `wanted` was accepted.
    async fn wait_for(
        &mut self,
        wanted: &[(String, String)],
        streams: &mut Streams<'_>,
    ) -> Result<(), Failure> {
        let all = async {
            while !wanted
                .iter()
                .all(|delivery| self.delivered.contains(delivery))
            {
                self.next(streams).await?;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, all).await.map_err(|_| {
            Failure::new(
                Exit::DeliveryFailed,
                "a delivery did not arrive within 30 s",
            )
        })?
    }

    /// Takes the next arrival and shows it.
    async fn next(&mut self, streams: &mut Streams<'_>) -> Result<(), Failure> {
        let Some(received) = self.arrivals.recv().await else {
            return Ok(());
        };
        let path = received.uri.path().to_owned();
        let id = received
            .header("webhook-id")
            .unwrap_or("(no id)")
            .to_owned();
        let attempt = self.attempts.entry((path.clone(), id.clone())).or_default();
        *attempt += 1;
        let verdict = match received.verdict {
            Verdict::Verified => {
                self.verified += 1;
                "✓ verified".to_owned()
            }
            Verdict::Unchecked => "not checked".to_owned(),
            Verdict::Refused(why) => {
                self.refused += 1;
                format!("✗ {why}")
            }
        };
        let status = received
            .status
            .map_or_else(|| "-".to_owned(), |s| s.as_u16().to_string());
        say(
            streams,
            &format!("     {path:<18} {id}  {verdict}  try {attempt}, answered {status}"),
        )?;
        if received.status.is_some_and(|status| status.is_success()) {
            self.delivered.insert((path, id));
        }
        Ok(())
    }

    /// Waits until the receiver that fails at first has accepted everything.
    async fn show_recovery(&mut self, streams: &mut Streams<'_>) -> Result<(), Failure> {
        let failing = RECEIVERS[2].0;
        let tried: Vec<_> = self
            .attempts
            .keys()
            .filter(|(path, _)| path == failing)
            .cloned()
            .collect();
        self.wait_for(&tried, streams).await?;
        let by_id: BTreeMap<_, _> = self
            .attempts
            .iter()
            .filter(|((path, _), _)| path == failing)
            .collect();
        for ((path, id), attempts) in by_id {
            say(
                streams,
                &format!("   ✓ {path}  {id}  accepted at try {attempts}"),
            )?;
        }
        Ok(())
    }

    /// Shows what arrives until Ctrl-C.
    async fn watch(&mut self, streams: &mut Streams<'_>) -> Result<(), Failure> {
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            tokio::select! {
                biased;
                _ = &mut interrupt => return Ok(()),
                shown = self.next(streams) => shown?,
            }
        }
    }
}

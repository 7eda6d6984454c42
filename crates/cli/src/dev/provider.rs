//! A provider of the demonstration: a content system that sends webhooks of its own to a source.

use inbound::samples::{Fresh, Making, Ready, Sample, Spoil, sample};
use serde_json::{Value, json};
use signature::scheme::preset;

use super::{APPLICATION, PATIENCE, Stage, random_token, say};
use crate::client::{Call, parse};
use crate::exit::{Exit, Failure};
use crate::trigger::Target;
use crate::{Streams, world};

/// What comes in, as the provider calls it.
const EVENT: &str = "contentful.Entry.publish";
/// How often it is asked whether the log has the refusal.
const ASK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

/// A source, and the provider that sends to it.
struct Provider {
    source: String,
    url: String,
    secret: String,
    target: Target,
    sample: &'static Sample,
}

/// Shows what becomes of a webhook, of its repeat and of a forgery.
pub(super) async fn show(stage: &mut Stage, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let provider = Provider::open(stage).await?;
    let place = provider.target.shown();
    let scheme = &provider.sample.provider;
    let line = format!("   source     http://{place}  verifies as {scheme} signs");
    say(streams, &line)?;

    let genuine = provider.make(None)?;
    let id = provider.send("a webhook", &genuine, streams).await?;
    let id = id.ok_or_else(|| Failure::new(Exit::Failure, "the webhook was not taken in"))?;
    stage.published += 1;
    stage
        .wait_for(&[("/search".to_owned(), id)], streams)
        .await?;
    provider.send("the same again", &genuine, streams).await?;
    let forged = provider.make(Some(Spoil::Tampered))?;
    provider.send("a forgery", &forged, streams).await?;
    let why = provider.diagnosis(stage).await?;
    say(streams, &format!("     {why}"))
}

impl Provider {
    async fn open(stage: &Stage) -> Result<Self, Failure> {
        let sample = sample(EVENT).expect("a test runs the demonstration");
        let secret: String = random_token()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let source = json!({
            "name": "Content system", "provider": sample.provider, "secrets": [secret],
        });
        let path = format!("/api/v1/app/{APPLICATION}/source");
        let made = stage.post(&path, &source).await?;
        let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
        let url = text("url");
        Ok(Self {
            source: text("id"),
            target: Target::parse(&url, false)?,
            url,
            secret,
            sample,
        })
    }

    fn make(&self, spoil: Option<Spoil>) -> Result<Ready, Failure> {
        let making = Making {
            preset: preset(&self.sample.provider).expect("every sample has a preset"),
            secret: &self.secret,
            url: &self.url,
            fresh: Fresh {
                seed: world::random(),
                at: world::now(),
            },
            body: None,
            spoil,
        };
        let made = self.sample.make(&making);
        made.map_err(|error| Failure::new(Exit::Failure, error.to_string()))
    }

    /// Sends a request, says what it was answered, and returns the id of its message.
    async fn send(
        &self,
        what: &str,
        request: &Ready,
        streams: &mut Streams<'_>,
    ) -> Result<Option<String>, Failure> {
        let answer = self.target.send(request).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let id = body["id"].as_str().map(str::to_owned);
        let outcome = if answer.header("posthaste-duplicate").is_some() {
            "a repeat: no second message".to_owned()
        } else if let Some(id) = &id {
            format!("stored as {id}")
        } else {
            "refused".to_owned()
        };
        let status = answer.status.as_u16();
        say(
            streams,
            &format!("   {what:<16} answered {status}, {outcome}"),
        )?;
        Ok(id)
    }

    /// Why the refused request was refused; the log has it soon after the answer.
    async fn diagnosis(&self, stage: &Stage) -> Result<String, Failure> {
        let source = &self.source;
        let path = format!("/api/v1/app/{APPLICATION}/request?verdict=rejected&source_id={source}");
        let found = async {
            loop {
                let answer = stage.client.call(Call::get(&path)).await?;
                let list: Value = parse(&answer.success()?)?;
                if let Some(text) = list["data"][0]["diagnosis"].as_str() {
                    return Ok(text.to_owned());
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        let late = |_| Failure::new(Exit::Failure, "the refusal is not in the log");
        tokio::time::timeout(PATIENCE, found).await.map_err(late)?
    }
}

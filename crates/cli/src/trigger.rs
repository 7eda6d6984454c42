//! `posthaste trigger`: what a provider would send, signed as it signs, to try a source with.

mod answer;
mod args;
mod flood;
mod subject;

use std::borrow::Cow;

use inbound::samples::{Fresh, Making, Ready, Sample, samples};
use signature::scheme::Preset;

pub use args::TriggerArgs;

use crate::exit::Failure;
use crate::text::shown;
use crate::{Exit, Outcome, Streams, world};
use answer::Answer;
pub(crate) use answer::Target;
use subject::Subject;

/// The most bytes of an answer's body that are printed.
const SHOWN: usize = 1_000;

pub(crate) async fn run(args: TriggerArgs, streams: &mut Streams<'_>) -> Outcome {
    if args.list {
        return list(&args, streams);
    }
    let trigger = Trigger::new(args, streams).await?;
    if trigger.args.dry_run {
        return trigger.print_request(streams);
    }
    match trigger.args.flood {
        Some(count) => trigger.flood(count, streams).await,
        None if trigger.args.duplicate => trigger.twice(streams).await,
        None => trigger.once(streams).await,
    }
}

/// Prints the names of samples: of one provider, or of all.
fn list(args: &TriggerArgs, streams: &mut Streams<'_>) -> Outcome {
    let wanted = args.sample.as_deref();
    let listed = samples()
        .iter()
        .filter(|sample| wanted.is_none_or(|name| sample.provider == name));
    for sample in listed {
        writeln!(streams.out, "{}.{}", sample.provider, sample.event)?;
    }
    Ok(Exit::Ok)
}

/// What is sent, and where to.
struct Trigger {
    args: TriggerArgs,
    sample: Cow<'static, Sample>,
    preset: Cow<'static, Preset>,
    secret: crate::Hidden,
    body: Option<Vec<u8>>,
    target: Target,
    /// The URL that the provider would have signed.
    signed_url: String,
}

impl Trigger {
    async fn new(args: TriggerArgs, streams: &mut Streams<'_>) -> Result<Self, Failure> {
        let subject = Subject::of(&args, streams).await?;
        let secret = args.secret(streams)?;
        let body = match &args.file {
            Some(file) => Some(world::read(file, streams)?),
            None => None,
        };
        let target = Target::parse(&subject.url, args.insecure)?;
        Ok(Self {
            args,
            sample: subject.sample,
            preset: subject.preset,
            secret,
            body,
            target,
            signed_url: subject.signed_url,
        })
    }

    /// One more request: with ids of its own, made now.
    fn make(&self) -> Result<Ready, Failure> {
        let preset = &*self.preset;
        let making = Making {
            preset,
            secret: self.secret.reveal(),
            url: &self.signed_url,
            fresh: Fresh {
                seed: world::random(),
                at: world::now(),
            },
            body: self.body.as_deref(),
            spoil: self.args.spoil(),
        };
        let made = self.sample.make(&making);
        made.map_err(|error| Failure::usage(format!("{}: {error}", preset.name)))
    }

    async fn once(&self, streams: &mut Streams<'_>) -> Outcome {
        let ready = self.make()?;
        let answer = self.target.send(&ready).await?;
        self.tell(&ready, &answer, streams)?;
        self.judge(&answer, streams)
    }

    /// The same request, byte for byte, a second time: it must have no second effect.
    async fn twice(&self, streams: &mut Streams<'_>) -> Outcome {
        let ready = self.make()?;
        let first = self.target.send(&ready).await?;
        self.tell(&ready, &first, streams)?;
        let second = self.target.send(&ready).await?;
        self.tell(&ready, &second, streams)?;
        let known = second.header("posthaste-duplicate") == Some("true");
        let told = if known {
            "the second was known to be a repeat"
        } else {
            "the second was not marked as a repeat"
        };
        writeln!(streams.err, "{told}")?;
        match self.judge(&first, streams)? {
            Exit::Ok => self.judge(&second, streams),
            failed => Ok(failed),
        }
    }

    /// A good request must be taken, a spoiled one refused.
    fn judge(&self, answer: &Answer, streams: &mut Streams<'_>) -> Outcome {
        let status = answer.status;
        if self.args.spoil().is_none() {
            return Ok(Exit::of_status(status));
        }
        if status.is_client_error() {
            return Ok(Exit::Ok);
        }
        if status.is_success() {
            writeln!(streams.err, "the spoiled request was taken as good")?;
            return Ok(Exit::Failure);
        }
        Ok(Exit::of_status(status))
    }

    fn tell(
        &self,
        ready: &Ready,
        answer: &Answer,
        streams: &mut Streams<'_>,
    ) -> Result<(), Failure> {
        if self.args.wants_json() {
            let line = self.as_json(ready, Some(answer));
            writeln!(streams.out, "{line}")?;
            return Ok(());
        }
        let Sample {
            provider, event, ..
        } = &*self.sample;
        let place = self.target.shown();
        writeln!(streams.out, "{} {place}  {provider} {event}", ready.method)?;
        if self.args.verbose {
            write_request(ready, streams)?;
        }
        let reason = answer.status.canonical_reason().unwrap_or_default();
        let (status, took) = (answer.status.as_u16(), answer.took.as_millis());
        let body = String::from_utf8_lossy(&answer.body);
        let body = shown(body.trim(), SHOWN);
        writeln!(streams.out, "{status} {reason}  {took} ms  {body}")?;
        Ok(())
    }

    fn print_request(&self, streams: &mut Streams<'_>) -> Outcome {
        let ready = self.make()?;
        if self.args.wants_json() {
            writeln!(streams.out, "{}", self.as_json(&ready, None))?;
            return Ok(Exit::Ok);
        }
        writeln!(streams.out, "{} {}", ready.method, self.target.shown())?;
        write_request(&ready, streams)?;
        Ok(Exit::Ok)
    }

    fn as_json(&self, ready: &Ready, answer: Option<&Answer>) -> serde_json::Value {
        let mut all = serde_json::json!({
            "provider": self.sample.provider,
            "event": self.sample.event,
            "request": {
                "method": ready.method,
                "url": self.target.shown(),
                "headers": ready.headers,
                "body": String::from_utf8_lossy(&ready.body),
            },
        });
        if let Some(answer) = answer {
            all["answer"] = serde_json::json!({
                "status": answer.status.as_u16(),
                "headers": answer.headers,
                "body": String::from_utf8_lossy(&answer.body),
                "ms": u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX),
            });
        }
        all
    }
}

fn write_request(ready: &Ready, streams: &mut Streams<'_>) -> Result<(), Failure> {
    for (name, value) in &ready.headers {
        writeln!(streams.out, "{name}: {value}")?;
    }
    writeln!(streams.out)?;
    streams.out.write_all(&ready.body)?;
    writeln!(streams.out)?;
    Ok(())
}

#[cfg(test)]
mod tests;

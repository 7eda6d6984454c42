//! Whose requests are made, and where they go: as named, or as the server says of a source.

use std::borrow::Cow;

use inbound::samples::{Sample, sample, samples_of};
use serde::Deserialize;
use serde_json::Value;
use signature::scheme::{Confirmation, Preset, Scheme, preset};

use super::TriggerArgs;
use crate::client::{Call, Client, encoded, parse};
use crate::exit::Failure;
use crate::session::app_path;
use crate::text::shown;
use crate::{Streams, profile, world};

/// The name for a scheme of one's own.
const CUSTOM: &str = "custom";

/// Whose request, and where to.
pub(super) struct Subject {
    pub(super) sample: Cow<'static, Sample>,
    pub(super) preset: Cow<'static, Preset>,
    pub(super) url: String,
    /// The URL that the provider would have signed.
    pub(super) signed_url: String,
}

/// A source as the API tells of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    provider: String,
    url: String,
    #[serde(default)]
    public_url: Option<String>,
    #[serde(default)]
    scheme: Option<Value>,
    #[serde(default)]
    tolerance_seconds: Option<u32>,
}

impl Subject {
    pub(super) async fn of(args: &TriggerArgs, streams: &mut Streams<'_>) -> Result<Self, Failure> {
        match &args.source {
            Some(name) => Self::of_source(name, args, streams).await,
            None => Self::named(args, streams),
        }
    }

    fn named(args: &TriggerArgs, streams: &mut Streams<'_>) -> Result<Self, Failure> {
        let name = args.sample.as_deref().ok_or_else(|| {
            Failure::usage("which provider? `posthaste trigger --list` names them")
        })?;
        let url = args.url.clone();
        let url = url.ok_or_else(|| {
            Failure::usage("where to? give the source's URL as --url, or the source as --source")
        })?;
        let (sample, preset) = match &args.scheme_file {
            Some(file) if name == CUSTOM => {
                let text = world::read(file, streams)?;
                custom(
                    &format!("--scheme-file {file}"),
                    &String::from_utf8_lossy(&text),
                )?
            }
            Some(_) => {
                return Err(Failure::usage(
                    "--scheme-file goes with the provider custom only",
                ));
            }
            None if name == CUSTOM => {
                return Err(Failure::usage(
                    "custom wants the file of the scheme as --scheme-file, or --source",
                ));
            }
            None => known(name)?,
        };
        Ok(Self {
            sample,
            preset,
            signed_url: args.public_url.clone().unwrap_or_else(|| url.clone()),
            url,
        })
    }

    async fn of_source(
        name: &str,
        args: &TriggerArgs,
        streams: &Streams<'_>,
    ) -> Result<Self, Failure> {
        let server = profile::Target::of(&args.server.as_args(), &streams.around)?;
        let client = Client::new(&server)?;
        let (app, named) = match name.split_once('/') {
            Some((app, source)) => (Some(app), source),
            None => (args.app.app.as_deref().or(server.app.as_deref()), name),
        };
        let path = format!("{}/source/{}", app_path(app)?, encoded(named));
        let source: Source = parse(&client.call(Call::get(path)).await?.success()?)?;
        let wanted = args.sample.as_deref().unwrap_or(&source.provider);
        let provider = wanted.split('.').next().unwrap_or_default();
        if provider != source.provider {
            let (wanted, provider) = (shown(wanted, 100), &source.provider);
            let name = shown(name, 100);
            return Err(Failure::usage(format!(
                "{wanted}: the source {name} is of the provider {provider}"
            )));
        }
        let (sample, mut preset) = match &source.scheme {
            Some(scheme) => custom("the source's scheme", &scheme.to_string())?,
            None => known(wanted)?,
        };
        if let Some(tolerance) = source.tolerance_seconds {
            let own = preset.to_mut();
            own.scheme = own.scheme.clone().with_tolerance(Some(tolerance));
        }
        let url = args.url.clone().unwrap_or_else(|| source.url.clone());
        let signed_url = args.public_url.clone().or(source.public_url);
        Ok(Self {
            sample,
            preset,
            url,
            signed_url: signed_url.unwrap_or(source.url),
        })
    }
}

type Known = (Cow<'static, Sample>, Cow<'static, Preset>);

fn known(name: &str) -> Result<Known, Failure> {
    let sample = sample(name).ok_or_else(|| no_such(name))?;
    let preset = preset(&sample.provider).expect("every sample has a preset");
    Ok((Cow::Borrowed(sample), Cow::Borrowed(preset)))
}

/// A scheme of one's own, and something to sign by it.
fn custom(what: &str, text: &str) -> Result<Known, Failure> {
    let scheme = Scheme::parse(text);
    let scheme = scheme.map_err(|error| Failure::usage(format!("{what}: {error}")))?;
    let preset = Preset {
        name: CUSTOM.to_owned(),
        title: "A scheme of your own".to_owned(),
        confirmation: Confirmation::Standard,
        secret: String::new(),
        setup: String::new(),
        notes: String::new(),
        split: false,
        handshakes: Vec::new(),
        scheme,
    };
    Ok((Cow::Owned(Sample::custom(CUSTOM)), Cow::Owned(preset)))
}

fn no_such(name: &str) -> Failure {
    let provider = name.split('.').next().unwrap_or_default();
    let known: Vec<_> = samples_of(provider).map(|sample| &*sample.event).collect();
    let name = shown(name, 100);
    if known.is_empty() {
        return Failure::usage(format!("there is no sample of {name}"))
            .with_hint("`posthaste trigger --list` names those that there are");
    }
    let known = known.join(", ");
    Failure::usage(format!("{provider} has no sample {name}; it has {known}"))
}

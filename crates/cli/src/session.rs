//! What the commands about things have in common: calls, lists, changes and questions.

use std::io::{BufRead as _, BufReader};

use http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::client::{Call, Client, ServerArgs, encoded, parse};
use crate::exit::Failure;
use crate::output::{Kind, Look, Many, OutputArgs, one};
use crate::profile::Target;
use crate::{Exit, Hidden, Outcome, Streams, world};

/// The most that one page of a list has.
const PAGE_MAX: usize = 250;

/// Options of every command about things.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Which application a command is about.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AppArg {
    /// The application, by its id or uid
    #[arg(short, long, env = "POSTHASTE_APP", value_name = "APP")]
    pub(crate) app: Option<String>,
}

/// How much of a list.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Everything there is
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}

/// How a change is made.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Print the call and do not make it
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// How something is made that a repeat would make twice.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct MakeArgs {
    /// The same key makes repeated calls have the effect of one, for a day at least
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// How a change is made that cannot be taken back.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ConfirmArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Never ask: fail where a question would be
    #[arg(long, conflicts_with = "yes")]
    pub(crate) no_input: bool,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// The path of an application.
pub(crate) fn app_path(app: Option<&str>) -> Result<String, Failure> {
    let app = app.filter(|app| !app.is_empty()).ok_or_else(|| {
        Failure::usage("which application? give --app or set POSTHASTE_APP")
            .with_hint("`posthaste app ls` lists them")
    })?;
    Ok(format!("/api/v1/app/{}", encoded(app)))
}

/// A page as the API answers it.
#[derive(Deserialize)]
pub(crate) struct Page {
    pub(crate) data: Vec<Box<RawValue>>,
    #[serde(default)]
    pub(crate) iterator: Option<String>,
    pub(crate) done: bool,
}

/// A server, a reader, and how to speak to both.
pub(crate) struct Session<'s, 'io> {
    pub(crate) client: Client,
    pub(crate) look: Look,
    /// The application that is meant where none is named.
    default_app: Option<String>,
    pub(crate) streams: &'s mut Streams<'io>,
}

impl<'s, 'io> Session<'s, 'io> {
    pub(crate) fn new(common: &Common, streams: &'s mut Streams<'io>) -> Result<Self, Failure> {
        let target = Target::of(&common.server, &streams.around)?;
        Ok(Self {
            client: Client::new(&target)?,
            look: common.output.look(streams),
            default_app: target.app,
            streams,
        })
    }

    /// The path of an application.
    pub(crate) fn app_path(&self, app: &AppArg) -> Result<String, Failure> {
        app_path(app.app.as_deref().or(self.default_app.as_deref()))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Box<RawValue>, Failure> {
        let answer = self.client.call(Call::get(path)).await?.success()?;
        parse(&answer)
    }

    /// Reads one thing and shows it.
    pub(crate) async fn show(&mut self, kind: &Kind, path: &str) -> Outcome {
        let thing = self.get(path).await?;
        self.print(kind, &thing)
    }

    pub(crate) fn print(&mut self, kind: &Kind, thing: &RawValue) -> Outcome {
        one(&self.look, kind, thing, self.streams.out)?;
        Ok(Exit::Ok)
    }

    /// Follows a list page by page and shows each as it comes. `path` may have a query.
    pub(crate) async fn list(&mut self, kind: &Kind, path: &str, args: &ListArgs) -> Outcome {
        let mut many = Many::new(self.look, kind);
        let mut left = if args.all { usize::MAX } else { args.limit };
        let mut more = false;
        let mut iterator = None;
        while left > 0 {
            let stop = self.streams.around.stop.clone();
            let page = tokio::select! {
                biased;
                // What was shown is shown, and stays whole: an array has its end.
                () = stop.wanted() => {
                    many.hush();
                    many.finish(self.streams)?;
                    return Err(Failure::interrupted());
                }
                page = self.page(path, left.min(PAGE_MAX), iterator.take()) => page?,
            };
            let taken = page.data.len().min(left);
            many.page(&page.data[..taken], self.streams.out)?;
            left -= taken;
            more = !page.done;
            iterator = page.iterator.filter(|_| more);
            if iterator.is_none() {
                more = false;
                break;
            }
        }
        let shown = many.finish(self.streams)?;
        if more && !self.look.quiet {
            let kind = kind.plural;
            writeln!(
                self.streams.err,
                "{shown} {kind} shown; --all lists the rest too"
            )?;
        }
        Ok(Exit::Ok)
    }

    /// Reads one page of a list.
    pub(crate) async fn page(
        &self,
        path: &str,
        limit: usize,
        iterator: Option<String>,
    ) -> Result<Page, Failure> {
        let start = if path.contains('?') { '&' } else { '?' };
        let next = iterator.map(|iterator| format!("&iterator={}", encoded(&iterator)));
        let next = next.unwrap_or_default();
        let call = Call::get(format!("{path}{start}limit={limit}{next}"));
        parse(&self.client.call(call).await?.success()?)
    }

    /// Makes a change; `None` when it was only to be shown.
    pub(crate) async fn change(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
        how: &MakeArgs,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        if how.change.dry_run {
            self.would(&method, path, body.as_ref())?;
            return Ok(None);
        }
        let call = Call::new(method, path).with_idempotency_key(how.idempotency_key.clone());
        let call = match body {
            Some(body) => call.with_json(body.to_string()),
            None => call,
        };
        let answer = self.client.call(call).await?.success()?;
        if answer.is_empty() {
            return Ok(None);
        }
        parse(&answer).map(Some)
    }

    /// Makes a change and shows the thing as it is then.
    pub(crate) async fn change_and_show(
        &mut self,
        kind: &Kind,
        call: (Method, &str, Option<Value>),
        how: &MakeArgs,
    ) -> Outcome {
        let (method, path, body) = call;
        match self.change(method, path, body, how).await? {
            Some(thing) => self.print(kind, &thing),
            None => Ok(Exit::Ok),
        }
    }

    /// Asks, and then makes a change that cannot be taken back. Says `done` at its end.
    pub(crate) async fn confirmed(
        &mut self,
        what: &str,
        call: (Method, &str, Option<Value>),
        how: &ConfirmArgs,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        if !how.change.dry_run {
            self.confirm(what, how)?;
        }
        let make = MakeArgs {
            idempotency_key: None,
            change: how.change.clone(),
        };
        let (method, path, body) = call;
        self.change(method, path, body, &make).await
    }

    /// Removes a thing, after a question.
    pub(crate) async fn remove(&mut self, what: &str, path: &str, how: &ConfirmArgs) -> Outcome {
        let question = format!("Delete {what}");
        self.confirmed(&question, (Method::DELETE, path, None), how)
            .await?;
        if !how.change.dry_run {
            self.note(&format!("Deleted {what}"))?;
        }
        Ok(Exit::Ok)
    }

    /// A sentence about how it went.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), Failure> {
        if !self.look.quiet {
            writeln!(self.streams.err, "{}", crate::text::shown(text, 400))?;
        }
        Ok(())
    }

    /// Asks before something that cannot be taken back.
    pub(crate) fn confirm(&mut self, what: &str, how: &ConfirmArgs) -> Result<(), Failure> {
        if how.yes {
            return Ok(());
        }
        let what = crate::text::shown(what, 200);
        if how.no_input || !self.streams.around.in_is_terminal {
            return Err(Failure::usage(format!(
                "{what}? add --yes to do it unasked"
            )));
        }
        write!(self.streams.err, "{what}? [y/N] ")?;
        self.streams.err.flush()?;
        let mut line = String::new();
        BufReader::new(&mut *self.streams.input).read_line(&mut line)?;
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::new(Exit::Failure, "not done, as you said")),
        }
    }

    fn would(&mut self, method: &Method, path: &str, body: Option<&Value>) -> Result<(), Failure> {
        writeln!(self.streams.out, "{method} {path}")?;
        if let Some(body) = body {
            writeln!(self.streams.out, "{body:#}")?;
        }
        Ok(())
    }

    /// Reads a secret from a file, because what stands on a command line is there for all to see.
    pub(crate) fn secret(&mut self, file: &str) -> Result<Hidden, Failure> {
        let bytes = world::read(file, self.streams)?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::usage("the secret is no text"))?;
        Ok(Hidden::new(text.trim()))
    }

    /// Reads a JSON object from a file, or starts with an empty one.
    pub(crate) fn object(&mut self, file: Option<&str>) -> Result<Map<String, Value>, Failure> {
        let Some(file) = file else {
            return Ok(Map::new());
        };
        let bytes = world::read(file, self.streams)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::usage(format!("{file} is not a JSON object: {error}")))
    }
}

/// Filters as a query behind another parameter; those that were not given are left out.
pub(crate) fn list_query(filters: &[(&str, Option<String>)]) -> String {
    let given = filters
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| (name, value)));
    let given: Vec<_> = given
        .map(|(name, value)| format!("&{name}={}", encoded(value)))
        .collect();
    given.concat()
}

/// Adds what was given on the command line to a body.
pub(crate) fn set(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

/// Reads `KEY=VALUE`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("is not KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Makes an object of pairs; `None` where there are none.
pub(crate) fn pairs(pairs: &[(String, String)]) -> Option<Value> {
    let object = pairs.iter().cloned();
    let object: Map<String, Value> = object.map(|(key, value)| (key, value.into())).collect();
    (!object.is_empty()).then_some(Value::Object(object))
}

/// A value, or `none` to remove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Setting<T> {
    None,
    Some(T),
}

impl<T: Into<Value>> From<Setting<T>> for Value {
    fn from(setting: Setting<T>) -> Self {
        match setting {
            Setting::None => Self::Null,
            Setting::Some(value) => value.into(),
        }
    }
}

const EMPTY: &str = "is empty; `none` removes what was there";

/// Reads a text, or `none`.
pub(crate) fn text_or_none(text: &str) -> Result<Setting<String>, &'static str> {
    match text {
        "" => Err(EMPTY),
        "none" => Ok(Setting::None),
        text => Ok(Setting::Some(text.to_owned())),
    }
}

/// Reads a number, or `none`.
pub(crate) fn number_or_none(text: &str) -> Result<Setting<u32>, &'static str> {
    match text {
        "none" => Ok(Setting::None),
        text => text
            .parse()
            .map(Setting::Some)
            .map_err(|_| "is neither a number nor `none`"),
    }
}

/// Reads texts separated by commas, or `none`.
pub(crate) fn texts_or_none(text: &str) -> Result<Setting<Vec<String>>, &'static str> {
    match text {
        "" => Err(EMPTY),
        "none" => Ok(Setting::None),
        text => Ok(Setting::Some(text.split(',').map(str::to_owned).collect())),
    }
}

impl From<ChangeArgs> for MakeArgs {
    fn from(change: ChangeArgs) -> Self {
        Self {
            idempotency_key: None,
            change,
        }
    }
}

//! `posthaste endpoint`: where the messages of an application go.

mod again;
mod args;

use http::Method;
use serde_json::{Map, Value, json};

pub use args::EndpointCommand;
use args::{AddArgs, EditArgs, HeadersCommand, OneArgs, RotateArgs, SecretCommand};

use crate::client::{encoded, parse};
use crate::exit::Failure;
use crate::nouns::replay::moment;
use crate::output::{Cell, Kind, cell, names, text, time};
use crate::session::{AppArg, Common, Session, list_query, pairs, set};
use crate::{Exit, Outcome, Streams};

const KIND: Kind = Kind {
    plural: "endpoints",
    id: "id",
    columns: &[
        cell("ID", |endpoint, look| text(&endpoint["id"], look)),
        cell("UID", |endpoint, look| text(&endpoint["uid"], look)).wide(),
        cell("STATE", |endpoint, _| Cell::state(state(endpoint))),
        cell("URL", |endpoint, look| text(&endpoint["url"], look)),
        cell("TYPES", |endpoint, look| {
            names(&endpoint["eventTypes"], "all", look)
        }),
        cell("CHANNELS", |endpoint, look| {
            names(&endpoint["channels"], "all", look)
        })
        .wide(),
        cell("RATE", |endpoint, look| {
            text(&endpoint["throttleRate"], look)
        })
        .wide(),
        cell("CREATED", |endpoint, look| {
            time(&endpoint["createdAt"], look)
        }),
        cell("DESCRIPTION", |endpoint, look| {
            text(&endpoint["description"], look)
        })
        .wide(),
    ],
};

/// What a key is shown as. Its one field is what was asked for.
const KEY: Kind = Kind {
    plural: "secrets",
    id: "key",
    columns: &[],
};

/// Counts of an endpoint; they have no name of their own.
const STATS: Kind = Kind {
    plural: "counts",
    id: "success",
    columns: &[],
};

/// Headers of an endpoint.
const HEADERS: Kind = Kind {
    plural: "headers",
    id: "headers",
    columns: &[],
};

/// What an endpoint does with messages at present.
fn state(endpoint: &Value) -> String {
    if endpoint["disabled"] == Value::Bool(true) {
        let reason = endpoint["disabledReason"].as_str();
        return reason.map_or("disabled".to_owned(), |why| format!("disabled: {why}"));
    }
    let paused = endpoint["paused"] == Value::Bool(true);
    if paused { "paused" } else { "enabled" }.to_owned()
}

pub(crate) async fn run(command: EndpointCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    let session = &mut session;
    match command {
        EndpointCommand::Ls(args) => {
            let path = format!("{}/endpoint", session.app_path(&args.app)?);
            session.list(&KIND, &path, &args.list).await
        }
        EndpointCommand::Get(args) => {
            let path = path(session, &args.app, &args.endpoint)?;
            session.show(&KIND, &path).await
        }
        EndpointCommand::Stats(args) => {
            let path = path(session, &args.app, &args.endpoint)?;
            let now = session.look.now;
            let since = args.since.map(|since| since.before(now).to_string());
            let query = list_query(&[("since", since)]).replacen('&', "?", 1);
            session.show(&STATS, &format!("{path}/stats{query}")).await
        }
        EndpointCommand::Add(args) => add(args, session).await,
        EndpointCommand::Edit(args) => edit(args, session).await,
        EndpointCommand::Rm(args) => {
            let path = path(session, &args.app, &args.endpoint)?;
            let what = format!("the endpoint {}", args.endpoint);
            session.remove(&what, &path, &args.confirm).await
        }
        EndpointCommand::Enable(args) => enable(args, session).await,
        EndpointCommand::Disable(args) => patch(&args, json!({"disabled": true}), session).await,
        EndpointCommand::Pause(args) => post(&args, "pause", session).await,
        EndpointCommand::Unpause(args) => post(&args, "unpause", session).await,
        EndpointCommand::Test(args) => again::test(args, session).await,
        EndpointCommand::Recover(args) => {
            let until = moment(args.until, session.look.now);
            again::again(args.again, "recover", until, session).await
        }
        EndpointCommand::ReplayMissing(args) => {
            again::again(args, "replay-missing", None, session).await
        }
        EndpointCommand::Secret(SecretCommand::Show(args)) => {
            let path = path(session, &args.app, &args.endpoint)?;
            let secret = session.get(&format!("{path}/secret")).await?;
            print_key(session, &secret)
        }
        EndpointCommand::Secret(SecretCommand::Rotate(args)) => rotate(args, session).await,
        EndpointCommand::Headers(command) => headers(command, session).await,
    }
}

fn path(session: &Session<'_, '_>, app: &AppArg, endpoint: &str) -> Result<String, Failure> {
    let app = session.app_path(app)?;
    Ok(format!("{app}/endpoint/{}", encoded(endpoint)))
}

async fn add(args: AddArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = format!("{}/endpoint", session.app_path(&args.app)?);
    let mut body = session.object(args.file.as_deref())?;
    set(&mut body, "url", Some(args.to));
    set(&mut body, "uid", args.uid);
    set(&mut body, "description", args.description);
    set(&mut body, "disabled", args.disabled.then_some(true));
    set(&mut body, "eventTypes", args.types);
    set(&mut body, "channels", args.channels);
    set(&mut body, "throttleRate", args.rate);
    set(&mut body, "deliverAs", args.forwarding.deliver_as);
    set(&mut body, "forwardHeaders", args.forwarding.forward_headers);
    set(&mut body, "metadata", pairs(&args.metadata));
    set(&mut body, "headers", pairs(&args.headers));
    if let Some(file) = &args.secret_file {
        let secret = session.secret(file)?;
        set(&mut body, "secret", Some(secret.reveal()));
    }
    if args.make.change.dry_run && body.contains_key("secret") {
        body.insert("secret".to_owned(), "***".into());
    }
    let call = (Method::POST, path.as_str(), Some(Value::Object(body)));
    session.change_and_show(&KIND, call, &args.make).await
}

async fn edit(args: EditArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = path(session, &args.app, &args.endpoint)?;
    let mut body = session.object(args.file.as_deref())?;
    set(&mut body, "url", args.to);
    set(&mut body, "uid", args.uid);
    set(&mut body, "description", args.description);
    set(&mut body, "eventTypes", args.types);
    set(&mut body, "channels", args.channels);
    set(&mut body, "throttleRate", args.rate);
    set(&mut body, "deliverAs", args.forwarding.deliver_as);
    set(&mut body, "forwardHeaders", args.forwarding.forward_headers);
    set(&mut body, "metadata", pairs(&args.metadata));
    if body.is_empty() {
        return Err(Failure::usage("nothing to change was named"));
    }
    let call = (Method::PATCH, path.as_str(), Some(Value::Object(body)));
    session
        .change_and_show(&KIND, call, &args.change.into())
        .await
}

async fn patch(args: &OneArgs, body: Value, session: &mut Session<'_, '_>) -> Outcome {
    let path = path(session, &args.app, &args.endpoint)?;
    let call = (Method::PATCH, path.as_str(), Some(body));
    session
        .change_and_show(&KIND, call, &args.change.clone().into())
        .await
}

async fn post(args: &OneArgs, verb: &str, session: &mut Session<'_, '_>) -> Outcome {
    let path = format!("{}/{verb}", path(session, &args.app, &args.endpoint)?);
    let call = (Method::POST, path.as_str(), None);
    session
        .change_and_show(&KIND, call, &args.change.clone().into())
        .await
}

/// Makes deliveries go, whatever held them: it is enabled and not paused afterwards.
async fn enable(args: OneArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = path(session, &args.app, &args.endpoint)?;
    let endpoint: Value = parse(session.get(&path).await?.get().as_bytes())?;
    if endpoint["paused"] == Value::Bool(true) && endpoint["disabled"] == Value::Bool(false) {
        return post(&args, "unpause", session).await;
    }
    if endpoint["paused"] == Value::Bool(true) {
        let unpause = format!("{path}/unpause");
        let how = args.change.clone().into();
        session.change(Method::POST, &unpause, None, &how).await?;
    }
    patch(&args, json!({"disabled": false}), session).await
}

async fn rotate(args: RotateArgs, session: &mut Session<'_, '_>) -> Outcome {
    let one = path(session, &args.app, &args.endpoint)?;
    let mut body = Map::new();
    if let Some(file) = &args.secret_file {
        let secret = session.secret(file)?;
        set(&mut body, "key", Some(secret.reveal()));
    }
    let grace = args.grace.map(|grace| grace.as_secs());
    set(&mut body, "gracePeriodSeconds", grace);
    if args.confirm.change.dry_run && body.contains_key("key") {
        body.insert("key".to_owned(), "***".into());
    }
    let path = format!("{one}/secret/rotate");
    let what = format!("Replace the secret of {}", args.endpoint);
    let call = (Method::POST, path.as_str(), Some(Value::Object(body)));
    match session.confirmed(&what, call, &args.confirm).await? {
        Some(key) => print_key(session, &key),
        None => Ok(Exit::Ok),
    }
}

/// For people the key alone, so that it can be copied or piped.
fn print_key(session: &mut Session<'_, '_>, secret: &serde_json::value::RawValue) -> Outcome {
    let mut look = session.look;
    if matches!(look.format, crate::output::Format::Table) {
        look.format = crate::output::Format::Id;
    }
    crate::output::one(&look, &KEY, secret, session.streams.out)?;
    Ok(Exit::Ok)
}

async fn headers(command: HeadersCommand, session: &mut Session<'_, '_>) -> Outcome {
    let (args, set, unset) = match command {
        HeadersCommand::Show(args) => {
            let path = path(session, &args.app, &args.endpoint)?;
            return session.show(&HEADERS, &format!("{path}/headers")).await;
        }
        HeadersCommand::Set(args) => (args.one, args.headers, Vec::new()),
        HeadersCommand::Unset(args) => (args.one, Vec::new(), args.names),
    };
    let path = format!("{}/headers", path(session, &args.app, &args.endpoint)?);
    let mut headers = Map::new();
    for (name, value) in set {
        headers.insert(name, value.into());
    }
    for name in unset {
        headers.insert(name, Value::Null);
    }
    let body = json!({"headers": headers});
    session
        .change(Method::PATCH, &path, Some(body), &args.change.into())
        .await?;
    Ok(Exit::Ok)
}

impl EndpointCommand {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Ls(args) => &args.common,
            Self::Get(args)
            | Self::Secret(SecretCommand::Show(args))
            | Self::Headers(HeadersCommand::Show(args)) => &args.common,
            Self::Stats(args) => &args.common,
            Self::Test(args) => &args.common,
            Self::ReplayMissing(args) => &args.common,
            Self::Recover(args) => &args.again.common,
            Self::Add(args) => &args.common,
            Self::Edit(args) => &args.common,
            Self::Rm(args) => &args.common,
            Self::Enable(args) | Self::Disable(args) | Self::Pause(args) | Self::Unpause(args) => {
                &args.common
            }
            Self::Secret(SecretCommand::Rotate(args)) => &args.common,
            Self::Headers(HeadersCommand::Set(args)) => &args.one.common,
            Self::Headers(HeadersCommand::Unset(args)) => &args.one.common,
        }
    }
}

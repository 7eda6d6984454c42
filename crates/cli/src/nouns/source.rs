//! `posthaste source`: where providers send to.

mod args;

use http::Method;
use serde_json::{Map, Value, json};

pub use args::SourceCommand;
use args::{
    AddArgs, EditArgs, OneArgs, RotateSecretArgs, RotateUrlArgs, SecretCommand, UrlCommand,
};

use crate::client::{encoded, parse};
use crate::exit::Failure;
use crate::output::{Cell, Kind, cell, text, time};
use crate::session::{AppArg, Common, Session, pairs, set};
use crate::{Exit, Outcome, Streams};

const KIND: Kind = Kind {
    plural: "sources",
    id: "id",
    columns: &[
        cell("ID", |source, look| text(&source["id"], look)),
        cell("UID", |source, look| text(&source["uid"], look)).wide(),
        cell("STATE", |source, _| {
            Cell::state(source["state"].as_str().unwrap_or_default().to_owned())
        }),
        cell("PROVIDER", |source, look| text(&source["provider"], look)),
        cell("NAME", |source, look| text(&source["name"], look)),
        cell("VERIFY", |source, look| text(&source["verify"], look)).wide(),
        cell("URL", |source, look| text(&source["url"], look)),
        cell("LAST", |source, look| {
            time(&source["activity"]["lastReceivedAt"], look)
        }),
        cell("ACCEPTED", |source, look| {
            text(&source["activity"]["accepted"], look)
        })
        .wide(),
        cell("REJECTED", |source, look| {
            text(&source["activity"]["rejected"], look)
        })
        .wide(),
        cell("CREATED", |source, look| time(&source["createdAt"], look)).wide(),
    ],
};

pub(crate) async fn run(command: SourceCommand, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(command.common(), streams)?;
    let session = &mut session;
    match command {
        SourceCommand::Ls(args) => {
            let path = format!("{}/source", session.app_path(&args.app)?);
            session.list(&KIND, &path, &args.list).await
        }
        SourceCommand::Get(args) => {
            let path = path(session, &args.app, &args.source)?;
            session.show(&KIND, &path).await
        }
        SourceCommand::Add(args) => add(args, session).await,
        SourceCommand::Edit(args) => edit(args, session).await,
        SourceCommand::Rm(args) => {
            let path = path(session, &args.app, &args.source)?;
            let what = format!("the source {}; its URL stops working", args.source);
            session.remove(&what, &path, &args.confirm).await
        }
        SourceCommand::Pause(args) => post(&args, "pause", session).await,
        SourceCommand::Resume(args) => post(&args, "resume", session).await,
        SourceCommand::Secret(SecretCommand::Rotate(args)) => rotate_secret(args, session).await,
        SourceCommand::Url(UrlCommand::Show(args)) => {
            let path = path(session, &args.app, &args.source)?;
            let source: Value = parse(session.get(&path).await?.get().as_bytes())?;
            let url = source["url"].as_str().unwrap_or_default();
            writeln!(session.streams.out, "{url}")?;
            Ok(Exit::Ok)
        }
        SourceCommand::Url(UrlCommand::Rotate(args)) => rotate_url(args, session).await,
    }
}

fn path(session: &Session<'_, '_>, app: &AppArg, source: &str) -> Result<String, Failure> {
    let app = session.app_path(app)?;
    Ok(format!("{app}/source/{}", encoded(source)))
}

async fn add(args: AddArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = format!("{}/source", session.app_path(&args.app)?);
    let mut body = session.object(args.file.as_deref())?;
    set(&mut body, "name", Some(args.name));
    set(&mut body, "uid", args.uid);
    set(&mut body, "provider", args.provider);
    set(&mut body, "publicUrl", args.public_url);
    set(&mut body, "verify", args.verify);
    set(
        &mut body,
        "toleranceSeconds",
        args.tolerance.map(|tolerance| tolerance.as_secs()),
    );
    set(&mut body, "requestsPerSecond", args.rate);
    set(&mut body, "allowedIps", args.allowed_ips);
    set(&mut body, "metadata", pairs(&args.metadata));
    if let Some(file) = &args.scheme_file {
        let scheme = session.object(Some(file))?;
        set(&mut body, "scheme", Some(Value::Object(scheme)));
    }
    let mut secrets = Vec::new();
    for file in &args.secret_files {
        secrets.push(Value::from(session.secret(file)?.reveal()));
    }
    if !secrets.is_empty() {
        set(&mut body, "secrets", Some(secrets));
    }
    if args.make.change.dry_run && body.contains_key("secrets") {
        body.insert("secrets".to_owned(), json!(["***"]));
    }
    let call = (Method::POST, path.as_str(), Some(Value::Object(body)));
    session.change_and_show(&KIND, call, &args.make).await
}

async fn edit(args: EditArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = path(session, &args.app, &args.source)?;
    let mut body = session.object(args.file.as_deref())?;
    set(&mut body, "name", args.name);
    set(&mut body, "uid", args.uid);
    set(&mut body, "publicUrl", args.public_url);
    set(&mut body, "verify", args.verify);
    set(&mut body, "toleranceSeconds", args.tolerance);
    set(&mut body, "requestsPerSecond", args.rate);
    set(&mut body, "allowedIps", args.allowed_ips);
    set(&mut body, "metadata", pairs(&args.metadata));
    if body.is_empty() {
        return Err(Failure::usage("nothing to change was named"));
    }
    let call = (Method::PATCH, path.as_str(), Some(Value::Object(body)));
    session
        .change_and_show(&KIND, call, &args.change.into())
        .await
}

async fn post(args: &OneArgs, verb: &str, session: &mut Session<'_, '_>) -> Outcome {
    let path = format!("{}/{verb}", path(session, &args.app, &args.source)?);
    let call = (Method::POST, path.as_str(), None);
    session
        .change_and_show(&KIND, call, &args.change.clone().into())
        .await
}

async fn rotate_secret(args: RotateSecretArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = path(session, &args.app, &args.source)?;
    let mut body = Map::new();
    let secret = session.secret(&args.secret_file)?;
    let shown = if args.change.dry_run {
        "***"
    } else {
        secret.reveal()
    };
    set(&mut body, "secret", Some(shown));
    let grace = args.grace.map(|grace| grace.as_secs());
    set(&mut body, "gracePeriodSeconds", grace);
    let path = format!("{path}/secret/rotate");
    let call = (Method::POST, path.as_str(), Some(Value::Object(body)));
    session
        .change_and_show(&KIND, call, &args.change.into())
        .await
}

async fn rotate_url(args: RotateUrlArgs, session: &mut Session<'_, '_>) -> Outcome {
    let one = path(session, &args.app, &args.source)?;
    let grace = args.grace.map(|grace| grace.as_secs());
    let mut body = Map::new();
    set(&mut body, "gracePeriodSeconds", grace);
    let path = format!("{one}/token/rotate");
    let what = format!("Replace the URL of {}", args.source);
    let call = (Method::POST, path.as_str(), Some(Value::Object(body)));
    match session.confirmed(&what, call, &args.confirm).await? {
        Some(source) => session.print(&KIND, &source),
        None => Ok(Exit::Ok),
    }
}

impl SourceCommand {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Ls(args) => &args.common,
            Self::Get(args) | Self::Url(UrlCommand::Show(args)) => &args.common,
            Self::Add(args) => &args.common,
            Self::Edit(args) => &args.common,
            Self::Rm(args) => &args.common,
            Self::Pause(args) | Self::Resume(args) => &args.common,
            Self::Secret(SecretCommand::Rotate(args)) => &args.common,
            Self::Url(UrlCommand::Rotate(args)) => &args.common,
        }
    }
}

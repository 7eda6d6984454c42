//! `posthaste apply`: applications and their sources as a file says.
//!
//! The file is compared with what the server has, and only what differs is changed: applying it
//! twice is applying it once. What the file leaves out of a source is as if it had never been set;
//! what it does not name at all is left alone, unless `--prune` is given.

use http::Method;
use serde_json::{Map, Value, json};

use crate::client::{Call, encoded, parse};
use crate::exit::Failure;
use crate::session::{Common, ConfirmArgs, MakeArgs, Session};
use crate::text::Hidden;
use crate::{Exit, Outcome, Streams, world};

mod difference;
mod file;

use difference::{Change, differences};
use file::{Application, Source};

/// Make applications and sources as a file says
///
/// The file is TOML. Only what differs is changed, so applying it twice is applying it once.
/// Secrets stand in it by reference, as `{ file = "github.txt" }` or `{ env = "GITHUB_SECRET" }`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  posthaste apply -f sources.toml --dry-run
  posthaste apply -f sources.toml --prune --yes")]
pub struct ApplyArgs {
    /// The file; `-` is standard input
    #[arg(short, long)]
    file: String,
    /// Delete the sources of these applications that the file does not name
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    common: Common,
}

impl ApplyArgs {
    pub(crate) const fn common(&self) -> &Common {
        &self.common
    }
}

/// What is done about one thing, to be told.
struct Step {
    /// `+` made, `~` changed, `-` deleted, `=` as it was.
    sign: char,
    what: String,
    changes: Vec<Change>,
}

pub(crate) async fn run(args: ApplyArgs, streams: &mut Streams<'_>) -> Outcome {
    let mut session = Session::new(&args.common, streams)?;
    let bytes = world::read(&args.file, session.streams)?;
    let variable = session.streams.around.variable;
    let wanted = file::read(&args.file, &bytes, |name| {
        variable.and_then(|variable| variable(name))
    })?;
    let mut plan = Vec::new();
    for application in &wanted {
        plan_application(application, args.prune, &session, &mut plan).await?;
    }
    let deleted = plan.iter().filter(|one| one.step.sign == '-').count();
    if deleted > 0 && !args.confirm.change.dry_run {
        session.confirm(&format!("Delete {deleted} sources"), &args.confirm)?;
    }
    let (mut changed, mut same) = (0_usize, 0_usize);
    for planned in plan {
        if planned.step.sign == '=' {
            same += 1;
        } else {
            changed += 1;
        }
        if !args.confirm.change.dry_run {
            for (method, path, body) in planned.calls {
                let how = MakeArgs::from(args.confirm.change.clone());
                session.change(method, &path, body, &how).await?;
            }
        }
        tell(&planned.step, &args.common, &mut session)?;
    }
    let verb = if args.confirm.change.dry_run {
        "would be changed"
    } else {
        "changed"
    };
    session.note(&format!("{changed} {verb}, {same} as they were"))?;
    Ok(Exit::Ok)
}

fn tell(step: &Step, common: &Common, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    if common.output.wants_json() {
        let action = match step.sign {
            '+' => "create",
            '~' => "change",
            '-' => "delete",
            _ => "none",
        };
        let changes = step.changes.iter();
        let changes: Map<String, Value> = changes
            .map(|one| {
                let sides = json!({"before": one.before, "after": one.after});
                (one.field.clone(), sides)
            })
            .collect();
        let line = json!({"action": action, "name": step.what, "changes": changes});
        writeln!(session.streams.out, "{line}")?;
        return Ok(());
    }
    if step.sign == '=' && session.look.quiet {
        return Ok(());
    }
    writeln!(session.streams.out, "{} {}", step.sign, step.what)?;
    for change in &step.changes {
        let line = format!("{}: {} -> {}", change.field, change.before, change.after);
        writeln!(
            session.streams.out,
            "    {}",
            crate::text::shown(&line, 400)
        )?;
    }
    Ok(())
}

type CallOf = (Method, String, Option<Value>);

/// What is to be done, and told.
struct Planned {
    step: Step,
    calls: Vec<CallOf>,
}

async fn found(session: &Session<'_, '_>, path: &str) -> Result<Option<Value>, Failure> {
    let answer = session.client.call(Call::get(path)).await?;
    if answer.status == http::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    parse(&answer.success()?).map(Some)
}

async fn plan_application(
    wanted: &Application,
    prune: bool,
    session: &Session<'_, '_>,
    plan: &mut Vec<Planned>,
) -> Result<(), Failure> {
    let uid = &wanted.uid;
    let path = format!("/api/v1/app/{}", encoded(uid));
    let present = found(session, &path).await?;
    let name = wanted.name.as_deref();
    let (sign, changes, calls) = match &present {
        None => {
            let body = json!({"uid": uid, "name": name.unwrap_or(uid)});
            let call = (Method::POST, "/api/v1/app".to_owned(), Some(body));
            ('+', Vec::new(), vec![call])
        }
        Some(present) if name.is_some_and(|name| present["name"] != name) => {
            let change = Change::new("name", &present["name"], &json!(name));
            let body = json!({"name": name});
            (
                '~',
                vec![change],
                vec![(Method::PATCH, path.clone(), Some(body))],
            )
        }
        Some(_) => ('=', Vec::new(), Vec::new()),
    };
    let what = format!("application {uid}");
    let step = Step {
        sign,
        what,
        changes,
    };
    plan.push(Planned { step, calls });
    for source in &wanted.sources {
        let planned = plan_source(&path, uid, source, present.is_some(), session).await?;
        plan.push(planned);
    }
    if prune && present.is_some() {
        plan_deletions(&path, wanted, session, plan).await?;
    }
    Ok(())
}

async fn plan_source(
    application: &str,
    of: &str,
    wanted: &Source,
    exists: bool,
    session: &Session<'_, '_>,
) -> Result<Planned, Failure> {
    let what = format!("source {of}/{}", wanted.uid);
    let path = format!("{application}/source/{}", encoded(&wanted.uid));
    let present = if exists {
        found(session, &path).await?
    } else {
        None
    };
    let pause = |verb: &str| (Method::POST, format!("{path}/{verb}"), None);
    let Some(present) = present else {
        let mut calls = vec![(
            Method::POST,
            format!("{application}/source"),
            Some(wanted.whole()),
        )];
        calls.extend(wanted.paused.then(|| pause("pause")));
        let (sign, changes) = ('+', Vec::new());
        let step = Step {
            sign,
            what,
            changes,
        };
        return Ok(Planned { step, calls });
    };
    let mut changes = differences(&wanted.fields, &present);
    let mut patch: Map<String, Value> = changes
        .iter()
        .map(|change| (change.field.clone(), change.patch.clone()))
        .collect();
    compare_secrets(&path, wanted, session, &mut changes, &mut patch).await?;
    let mut calls = Vec::new();
    if !patch.is_empty() {
        calls.push((Method::PATCH, path.clone(), Some(Value::Object(patch))));
    }
    let is_paused = present["state"] == "paused";
    if is_paused != wanted.paused {
        changes.push(Change::new(
            "paused",
            &is_paused.into(),
            &wanted.paused.into(),
        ));
        calls.push(pause(if wanted.paused { "pause" } else { "resume" }));
    }
    let sign = if changes.is_empty() { '=' } else { '~' };
    let step = Step {
        sign,
        what,
        changes,
    };
    Ok(Planned { step, calls })
}

/// Asks the server whether it has these secrets; it never shows them.
async fn compare_secrets(
    path: &str,
    wanted: &Source,
    session: &Session<'_, '_>,
    changes: &mut Vec<Change>,
    patch: &mut Map<String, Value>,
) -> Result<(), Failure> {
    let secrets: Vec<&str> = wanted.secrets.iter().map(Hidden::reveal).collect();
    let token = wanted.verify_token.as_ref().map(Hidden::reveal);
    let body = json!({"secrets": secrets, "verifyToken": token});
    let call = Call::new(Method::POST, format!("{path}/secret/compare"));
    let call = call.with_json(body.to_string());
    let same: Value = parse(&session.client.call(call).await?.success()?)?;
    let hidden = json!("***");
    if same["secrets"] != true && wanted.names_secrets {
        changes.push(Change::new("secrets", &hidden, &hidden));
        patch.insert("secrets".to_owned(), json!(secrets));
    }
    if same["verifyToken"] != true {
        changes.push(Change::new("verifyToken", &hidden, &hidden));
        patch.insert("verifyToken".to_owned(), json!(token));
        if token.is_none() {
            patch.insert("verifyTokenHash".to_owned(), Value::Null);
        }
    }
    Ok(())
}

/// Sources that the server has and the file does not name, by their uid.
async fn plan_deletions(
    application: &str,
    wanted: &Application,
    session: &Session<'_, '_>,
    plan: &mut Vec<Planned>,
) -> Result<(), Failure> {
    let list = format!("{application}/source");
    let mut iterator = None;
    loop {
        let page = session.page(&list, 250, iterator.take()).await?;
        for source in &page.data {
            let source: Value = parse(source.get().as_bytes())?;
            let uid = source["uid"].as_str();
            if wanted
                .sources
                .iter()
                .any(|one| Some(one.uid.as_str()) == uid)
            {
                continue;
            }
            let id = source["id"].as_str().unwrap_or_default();
            let what = format!("source {}/{}", wanted.uid, uid.unwrap_or(id));
            let (sign, changes) = ('-', Vec::new());
            plan.push(Planned {
                step: Step {
                    sign,
                    what,
                    changes,
                },
                calls: vec![(Method::DELETE, format!("{list}/{}", encoded(id)), None)],
            });
        }
        iterator = page.iterator.filter(|_| !page.done);
        if iterator.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;

//! All event types at once, out and in.

use http::Method;
use serde_json::{Map, Value};

use super::{ImportArgs, KIND, PATH, path};
use crate::exit::Failure;
use crate::output::Format;
use crate::progress::Progress;
use crate::session::{ListArgs, Session};
use crate::{Exit, Outcome, world};

/// What the server adds and does not take back.
const NOT_OURS: [&str; 3] = ["name", "createdAt", "updatedAt"];

pub(super) async fn export(session: &mut Session<'_, '_>) -> Outcome {
    if session.look.format == Format::Table {
        session.look.format = Format::Json;
    }
    let path = format!("{PATH}?include_archived=true&with_content=true");
    let all = ListArgs {
        limit: usize::MAX,
        all: true,
    };
    session.list(&KIND, &path, &all).await
}

pub(super) async fn import(args: ImportArgs, session: &mut Session<'_, '_>) -> Outcome {
    let bytes = world::read(&args.file, session.streams)?;
    let kinds = parsed(&bytes)?;
    let mut progress = Progress::new(
        session.streams,
        &session.look,
        "event types",
        Some(kinds.len()),
    );
    let (all, how) = (kinds.len(), args.change.into());
    let (mut done, mut failures) = (0, Vec::new());
    for (name, body) in kinds {
        if session.streams.around.stop.is_wanted() {
            break;
        }
        let body = Some(Value::Object(body));
        match session.change(Method::PUT, &path(&name), body, &how).await {
            Ok(_) => done += 1,
            // The others would fail for the same reason.
            Err(failure) if matches!(failure.exit, Exit::Auth | Exit::Unavailable) => {
                progress.clear(session.streams.err);
                session.note(&format!("{done} of {all} event types were imported"))?;
                return Err(failure);
            }
            Err(failure) => failures.push(format!("{name}: {}", failure.message())),
        }
        progress.add(1, session.streams.err);
    }
    progress.clear(session.streams.err);
    for failure in &failures {
        session.note(failure)?;
    }
    session.note(&format!("{done} of {all} event types were imported"))?;
    let exit = match (failures.len(), done) {
        (0, done) if done < all => Exit::Interrupted,
        (0, _) => Exit::Ok,
        (_, 0) => Exit::Failure,
        _ => Exit::Partial,
    };
    Ok(exit)
}

type EventType = (String, Map<String, Value>);

/// Reads a JSON array, a page as the API answers it, or one object a line.
fn parsed(bytes: &[u8]) -> Result<Vec<EventType>, Failure> {
    let bad = |why: &str| Failure::usage(format!("this is no list of event types: {why}"));
    let values = match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Array(values)) => values,
        Ok(Value::Object(mut page)) if page.get("data").is_some_and(Value::is_array) => {
            match page.remove("data") {
                Some(Value::Array(values)) => values,
                _ => Vec::new(),
            }
        }
        Ok(one @ Value::Object(_)) => vec![one],
        Ok(_) => return Err(bad("neither an array nor an object")),
        Err(_) => serde_json::Deserializer::from_slice(bytes)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| bad(&error.to_string()))?,
    };
    let kinds = values.into_iter().enumerate().map(|(index, value)| {
        let Value::Object(mut body) = value else {
            return Err(bad(&format!("item {index} is not an object")));
        };
        let name = body.get("name").and_then(Value::as_str).map(str::to_owned);
        let name = name.ok_or_else(|| bad(&format!("item {index} has no name")))?;
        for field in NOT_OURS {
            body.remove(field);
        }
        Ok((name, body))
    });
    kinds.collect()
}

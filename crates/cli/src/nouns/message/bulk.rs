//! Messages in numbers: all of them out, or one of them to many.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::Value;
use serde_json::value::RawValue;

use super::lines::Lines;
use super::{EraseArgs, ExportArgs, ResendArgs, path, state};
use crate::client::{Call, encoded, parse};
use crate::exit::Failure;
use crate::output::{Kind, fields, one_line};
use crate::progress::Progress;
use crate::session::{MakeArgs, Session};
use crate::{Exit, Outcome};

/// Makes a new attempt at each endpoint; one that is refused does not keep the others from it.
pub(super) async fn resend(args: ResendArgs, session: &mut Session<'_, '_>) -> Outcome {
    let message = path(session, &args.app, &args.message)?;
    let endpoints = if args.failed {
        failed(session, &message).await?
    } else {
        args.endpoints
    };
    let how = MakeArgs::from(args.change);
    let all = endpoints.len();
    let mut failures = Vec::new();
    for endpoint in endpoints {
        let path = format!("{message}/endpoint/{}/resend", encoded(&endpoint));
        match session.change(Method::POST, &path, None, &how).await {
            Ok(_) => session.note(&format!("{} goes to {endpoint} again", args.message))?,
            Err(failure) => failures.push((endpoint, failure)),
        }
    }
    if all == 0 {
        session.note("it failed nowhere")?;
    }
    if failures.len() < all {
        for (endpoint, failure) in &failures {
            session.note(&format!("{endpoint}: {}", failure.message()))?;
        }
        let partial = !failures.is_empty();
        return Ok(if partial { Exit::Partial } else { Exit::Ok });
    }
    // Nothing went well: what the first one says is what is wrong.
    match failures.into_iter().next() {
        Some((_, failure)) => Err(failure),
        None => Ok(Exit::Ok),
    }
}

/// The endpoints where a message failed or was canceled.
async fn failed(session: &mut Session<'_, '_>, message: &str) -> Result<Vec<String>, Failure> {
    let mut failed = Vec::new();
    let mut iterator = None;
    loop {
        let path = format!("{message}/endpoint?expanded_statuses=true");
        let page = session.page(&path, 250, iterator.take()).await?;
        for delivery in &page.data {
            let delivery: Value = parse(delivery.get().as_bytes())?;
            if matches!(state(&delivery), "fail" | "canceled") {
                failed.extend(delivery["id"].as_str().map(str::to_owned));
            }
        }
        iterator = page.iterator.filter(|_| !page.done);
        if iterator.is_none() {
            return Ok(failed);
        }
    }
}

/// A job that was begun.
const TASK: Kind = Kind {
    plural: "tasks",
    id: "id",
    columns: &[],
};

/// Erases one payload at once, or those of all messages as a job.
pub(super) async fn erase(args: EraseArgs, session: &mut Session<'_, '_>) -> Outcome {
    let Some(message) = args.message else {
        let app = session.app_path(&args.app)?;
        let path = format!("{app}/msg/expunge-all-contents");
        let call = (Method::POST, path.as_str(), None);
        let what = "Erase the payloads of all messages";
        return match session.confirmed(what, call, &args.confirm).await? {
            Some(task) => session.print(&TASK, &task),
            None => Ok(Exit::Ok),
        };
    };
    let path = format!("{}/content", path(session, &args.app, &message)?);
    let what = format!("Erase the payload of {message}");
    let call = (Method::DELETE, path.as_str(), None);
    session.confirmed(&what, call, &args.confirm).await?;
    if !args.confirm.change.dry_run {
        session.note(&format!("Erased the payload of {message}"))?;
    }
    Ok(Exit::Ok)
}

/// Prints every message of a filter, one a line, as the server reads them.
pub(super) async fn export(args: &ExportArgs, session: &mut Session<'_, '_>) -> Outcome {
    let app = session.app_path(&args.app)?;
    let query = args.filter.query(session);
    let path = format!("{app}/msg/export?with_content=true{query}");
    let mut lines = Lines::new(session.client.open(&path, &[]).await?.into_body());
    let mut progress = Progress::new(session.streams, &session.look, "messages", None);
    let stop = session.streams.around.stop.clone();
    let mut count = 0;
    let ended = loop {
        let line = tokio::select! {
            biased;
            () = stop.wanted() => break Ok(Exit::Interrupted),
            line = lines.next() => line,
        };
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(Exit::Ok),
            Err(failure) => break Err(failure),
        };
        let message: Box<RawValue> = parse(&line)?;
        let line = whole(session, &app, &message).await?;
        writeln!(session.streams.out, "{line}")?;
        count += 1;
        progress.add(1, session.streams.err);
    };
    progress.clear(session.streams.err);
    session.streams.out.flush()?;
    session.note(&format!("{count} messages"))?;
    ended
}

/// A message on one line with its payload, whatever that is.
///
/// An export has `{}` for a payload of another content type than JSON, and for one that was erased.
/// Those are asked for one by one, and become `payload` where they are JSON, else `payloadBase64`.
async fn whole(
    session: &Session<'_, '_>,
    app: &str,
    message: &RawValue,
) -> Result<String, Failure> {
    let line = one_line(message.get());
    let value = fields(message)?;
    let is_empty = value["payload"]
        .as_object()
        .is_some_and(serde_json::Map::is_empty);
    let (true, Some(id)) = (is_empty, value["id"].as_str()) else {
        return Ok(line);
    };
    let call = Call::get(format!("{app}/msg/{}/raw", encoded(id)));
    let answer = session.client.call(call).await?;
    if answer.status == http::StatusCode::NOT_FOUND {
        return Ok(line); // It was erased; its empty payload is all there is.
    }
    let bytes = answer.success()?;
    let text = std::str::from_utf8(&bytes).ok();
    let json = text.filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
    let payload = match json {
        Some(json) => format!(r#""payload":{}"#, one_line(json)),
        None => format!(r#""payloadBase64":"{}""#, STANDARD.encode(&bytes)),
    };
    Ok(line.replacen(r#""payload":{}"#, &payload, 1))
}

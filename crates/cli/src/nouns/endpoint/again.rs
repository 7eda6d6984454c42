//! Sending to an endpoint by hand: an example, what failed, what it never got.

use http::Method;
use serde_json::{Map, Value};

use super::args::{AgainArgs, TestArgs};
use super::path;
use crate::exit::Failure;
use crate::nouns::{message, replay};
use crate::output::Kind;
use crate::session::{MakeArgs, Session, set};
use crate::{Exit, Outcome};

/// A job that was begun.
const TASK: Kind = Kind {
    plural: "tasks",
    id: "id",
    columns: &[],
};

/// Sends the example of an event type.
pub(super) async fn test(args: TestArgs, session: &mut Session<'_, '_>) -> Outcome {
    let path = format!("{}/send-example", path(session, &args.app, &args.endpoint)?);
    let mut body = Map::new();
    set(&mut body, "eventType", Some(args.kind));
    set(&mut body, "exampleIndex", args.index);
    let data = args.data.map(|data| {
        serde_json::from_str::<Value>(&data)
            .map_err(|error| Failure::usage(format!("--data is not JSON: {error}")))
    });
    set(&mut body, "payload", data.transpose()?);
    let call = (Method::POST, path.as_str(), Some(Value::Object(body)));
    session
        .change_and_show(&message::KIND, call, &args.make)
        .await
}

/// Begins a job that sends again, by the name that the API has for it.
pub(super) async fn again(
    args: AgainArgs,
    verb: &str,
    until: Option<String>,
    session: &mut Session<'_, '_>,
) -> Outcome {
    let app = session.app_path(&args.app)?;
    let path = format!("{}/{verb}", path(session, &args.app, &args.endpoint)?);
    let mut body = Map::new();
    let since = args.since.before(session.look.now).to_string();
    set(&mut body, "since", Some(since));
    set(&mut body, "until", until);
    let how: &MakeArgs = &args.make;
    let body = Some(Value::Object(body));
    let begun = session.change(Method::POST, &path, body, how).await?;
    if begun.is_none() {
        return Ok(Exit::Ok);
    }
    replay::begun_or_ended(&TASK, begun, (&app, args.wait), session).await
}

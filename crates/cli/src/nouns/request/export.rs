//! Requests as fixtures: all of a filter as lines, or one as a command for a shell.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{CurlArgs, ExportArgs, path};
use crate::client::{Call, encoded, parse};
use crate::exit::Failure;
use crate::progress::Progress;
use crate::session::Session;
use crate::{Exit, Outcome};

/// Prints every request of a filter, one a line and with its body, until there are no more.
pub(super) async fn run(args: ExportArgs, session: &mut Session<'_, '_>) -> Outcome {
    let app = session.app_path(&args.app)?;
    let query = args.filter.query(session.look.now);
    let list = format!("{app}/request{query}");
    let mut progress = Progress::new(session.streams, &session.look, "requests", None);
    let (mut iterator, mut count) = (None, 0);
    let exit = loop {
        let stop = session.streams.around.stop.clone();
        let page = tokio::select! {
            biased;
            () = stop.wanted() => break Exit::Interrupted,
            page = session.page(&list, 250, iterator.take()) => page?,
        };
        for request in &page.data {
            let request: Value = parse(request.get().as_bytes())?;
            let id = request["id"].as_str().unwrap_or_default();
            if let Some(whole) = whole(session, &format!("{app}/request/{}", encoded(id))).await? {
                writeln!(session.streams.out, "{whole}")?;
                count += 1;
            }
        }
        progress.add(page.data.len(), session.streams.err);
        iterator = page.iterator.filter(|_| !page.done);
        if iterator.is_none() {
            break Exit::Ok;
        }
    };
    progress.clear(session.streams.err);
    session.streams.out.flush()?;
    session.note(&format!("{count} requests"))?;
    Ok(exit)
}

/// A request with its body: `body` where it is text, else `bodyBase64`. `None` when retention has
/// taken it meanwhile; without a body when that is gone.
async fn whole(session: &Session<'_, '_>, path: &str) -> Result<Option<Value>, Failure> {
    let answer = session.client.call(Call::get(path)).await?;
    if answer.status == http::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let mut request: Value = parse(&answer.success()?)?;
    if request["body"].is_string() {
        return Ok(Some(request));
    }
    let raw = session
        .client
        .call(Call::get(format!("{path}/raw")))
        .await?;
    if raw.status.is_success() {
        request["bodyBase64"] = STANDARD.encode(raw.success()?).into();
    }
    Ok(Some(request))
}

/// What curl says by itself, or what belonged to the connection of then.
const LEFT_OUT: [&str; 6] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "transfer-encoding",
];

/// Prints a command that sends the request again.
pub(super) async fn curl(args: CurlArgs, session: &mut Session<'_, '_>) -> Outcome {
    let one = path(session, &args.app, &args.request)?;
    let gone = || Failure::new(Exit::NotFound, "there is no such request");
    let request = whole(session, &one).await?.ok_or_else(gone)?;
    if request["bodyTruncated"] == true {
        session.note("only the beginning of its body was kept")?;
    }
    let url = match args.to {
        Some(url) => url,
        None => source_url(&request, &args.app, session).await?,
    };
    let shown = request["path"].as_str().unwrap_or_default();
    let more = shown.strip_prefix("/in/***").unwrap_or_default();
    let url = format!("{url}{more}");
    let text = request["body"].as_str().filter(|text| !text.contains('\0'));
    let out = &mut session.streams.out;
    if let (None, Some(encoded)) = (text, request["bodyBase64"].as_str()) {
        writeln!(out, "printf %s '{encoded}' | base64 -d |")?;
    }
    let method = request["method"].as_str().unwrap_or("POST");
    write!(out, "curl -sS -i -X {} {}", quoted(method), quoted(&url))?;
    let headers = request["headers"].as_array();
    for header in headers.into_iter().flatten() {
        let text = |name: &str| header[name].as_str().unwrap_or_default();
        let (name, value) = (text("name"), text("value"));
        // Credentials are not shown, so whoever runs it has to add them.
        if value != "***" && !LEFT_OUT.contains(&name) {
            let header = quoted(&format!("{name}: {value}"));
            write!(out, " \\\n  -H {header}")?;
        }
    }
    match text {
        Some(text) => writeln!(out, " \\\n  --data-raw {}", quoted(text))?,
        None => writeln!(out, " \\\n  --data-binary @-")?,
    }
    Ok(Exit::Ok)
}

/// Where the provider sends to.
async fn source_url(
    request: &Value,
    app: &crate::session::AppArg,
    session: &Session<'_, '_>,
) -> Result<String, Failure> {
    let source = encoded(request["sourceId"].as_str().unwrap_or_default());
    let path = format!("{}/source/{source}", session.app_path(app)?);
    let source: Value = parse(session.get(&path).await?.get().as_bytes())?;
    Ok(source["url"].as_str().unwrap_or_default().to_owned())
}

/// A text that every POSIX shell reads back as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

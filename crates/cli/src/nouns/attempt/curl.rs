//! An attempt as a command for a shell.

use domain::Timestamp;
use serde_json::Value;
use signature::{Signer, SigningKey};

use super::{CurlArgs, path};
use crate::client::{Call, encoded, parse};
use crate::exit::Failure;
use crate::session::Session;
use crate::{Exit, Outcome};

pub(super) async fn run(args: CurlArgs, session: &mut Session<'_, '_>) -> Outcome {
    let one = path(session, &args.app, &args.message, &args.attempt)?;
    let attempt: Value = parse(session.get(&one).await?.get().as_bytes())?;
    let field = |name: &str| attempt[name].as_str().unwrap_or_default().to_owned();
    let message = super::super::message::path(session, &args.app, &field("msgId"))?;
    let raw = session.client.call(Call::get(format!("{message}/raw")));
    let payload = raw.await?.success()?;
    let payload = std::str::from_utf8(&payload)
        .ok()
        .filter(|text| !text.contains('\0'));
    let payload = payload.ok_or_else(|| {
        Failure::new(
            Exit::Failure,
            "the payload is no text, which a shell cannot quote",
        )
    })?;
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    if !args.unsigned {
        let app = session.app_path(&args.app)?;
        let endpoint = encoded(&field("endpointId"));
        let path = format!("{app}/endpoint/{endpoint}/secret");
        let secret: Value = parse(session.get(&path).await?.get().as_bytes())?;
        let secret = secret["key"].as_str().unwrap_or_default();
        let now = session.look.now;
        headers.extend(signed(secret, &field("msgId"), now, payload.as_bytes())?);
    }
    let url = args.to.unwrap_or_else(|| field("url"));
    write!(session.streams.out, "curl -sS -i -X POST {}", quoted(&url))?;
    for (name, value) in headers {
        let header = quoted(&format!("{name}: {value}"));
        write!(session.streams.out, " \\\n  -H {header}")?;
    }
    writeln!(
        session.streams.out,
        " \\\n  --data-binary {}",
        quoted(payload)
    )?;
    Ok(Exit::Ok)
}

/// The headers of a message as it would be sent now.
fn signed(
    secret: &str,
    id: &str,
    now: Timestamp,
    body: &[u8],
) -> Result<Vec<(String, String)>, Failure> {
    let key = SigningKey::parse(secret).map_err(|_| {
        Failure::new(
            Exit::Failure,
            "the server's secret is of a kind that this does not know",
        )
    })?;
    let mut signatures = String::new();
    Signer::new(key, []).sign(id, now, body, &mut signatures);
    Ok(vec![
        ("webhook-id".to_owned(), id.to_owned()),
        (
            "webhook-timestamp".to_owned(),
            now.as_unix_seconds().to_string(),
        ),
        ("webhook-signature".to_owned(), signatures),
    ])
}

/// A text that every POSIX shell reads back as it is. One that begins with `@` would be a file's
/// name to curl; a payload is JSON and a URL is a URL, and neither does.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

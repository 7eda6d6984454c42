//! `posthaste api`: any call of the API.

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value};

use crate::client::{Call, Client, ServerArgs, encoded};
use crate::exit::Failure;
use crate::profile::Target;
use crate::{Exit, Outcome, Streams, world};

/// Call the API
///
/// Prints the body of the answer, also when it is no success; the exit code tells which. A POST
/// carries an idempotency key, so it is safe when it had to be tried again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  posthaste api GET /api/v1/app\n  \
                        posthaste api GET /api/v1/app -f limit=10\n  \
                        posthaste api POST /api/v1/app -f name=Shop -f uid=shop")]
pub struct ApiArgs {
    /// GET, POST, PUT, PATCH or DELETE
    #[arg(value_parser = method)]
    method: Method,
    /// The path, as in /api/v1/app
    path: String,
    /// A field of the JSON body, or of the query of a GET; a value that is JSON is taken as such
    #[arg(
        short = 'f',
        long = "field",
        value_name = "KEY=VALUE",
        conflicts_with = "data"
    )]
    fields: Vec<String>,
    /// The JSON body; `@file` reads it from a file, `-` from standard input
    #[arg(short, long, value_name = "JSON")]
    data: Option<String>,
    /// The same key makes repeated calls have the effect of one, for a day at least
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

fn method(text: &str) -> Result<Method, String> {
    let text = text.to_ascii_uppercase();
    match text.as_str() {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" => {
            Ok(text.parse().expect("it is one of the known methods"))
        }
        _ => Err("is none of GET, HEAD, POST, PUT, PATCH and DELETE".to_owned()),
    }
}

pub(crate) async fn run(args: ApiArgs, streams: &mut Streams<'_>) -> Outcome {
    let client = Client::new(&Target::of(&args.server, &streams.around)?)?;
    let call = call(args, streams)?;
    let answer = client.call(call).await?;
    if !answer.status.is_success() {
        return Err(Failure::answered(
            answer.status,
            answer.request_id,
            &answer.body,
        ));
    }
    streams.out.write_all(&answer.body)?;
    if !answer.body.is_empty() && !answer.body.ends_with(b"\n") {
        writeln!(streams.out)?;
    }
    Ok(Exit::Ok)
}

fn call(args: ApiArgs, streams: &mut Streams<'_>) -> Result<Call, Failure> {
    if !args.path.starts_with('/') {
        return Err(Failure::usage(
            "the path starts with a slash, as in /api/v1/app",
        ));
    }
    let fields: Result<Vec<_>, Failure> =
        args.fields.iter().map(|field| key_value(field)).collect();
    let fields = fields?;
    let reads = args.method == Method::GET || args.method == Method::HEAD;
    if reads && args.data.is_some() {
        return Err(Failure::usage(
            "a GET has no body: use --field for its query",
        ));
    }
    if reads {
        let query = fields
            .iter()
            .map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
        let query = query.collect::<Vec<_>>().join("&");
        let start = match (query.is_empty(), args.path.contains('?')) {
            (true, _) => "",
            (false, true) => "&",
            (false, false) => "?",
        };
        return Ok(Call::new(
            args.method,
            format!("{}{start}{query}", args.path),
        ));
    }
    let body = match args.data {
        Some(data) if data == "-" || data.starts_with('@') => Some(world::read(&data, streams)?),
        Some(data) => Some(data.into_bytes()),
        None if fields.is_empty() => None,
        None => Some(Value::Object(object(fields)).to_string().into_bytes()),
    };
    let call = Call::new(args.method, args.path).with_idempotency_key(args.idempotency_key);
    Ok(match body {
        Some(body) => call.with_json(Bytes::from(body)),
        None => call,
    })
}

fn key_value(field: &str) -> Result<(String, String), Failure> {
    let (key, value) = field
        .split_once('=')
        .ok_or_else(|| Failure::usage(format!("--field {field:?} is not KEY=VALUE")))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn object(fields: Vec<(String, String)>) -> Map<String, Value> {
    let values = fields.into_iter().map(|(key, value)| {
        let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
        (key, value)
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{Scripted, answer};
    use crate::tests::typed;

    #[tokio::test]
    async fn fields_become_the_query_of_a_get_and_the_body_of_a_post() {
        let server =
            Scripted::start(vec![answer(200, "{}"), answer(201, r#"{"id":"app_1"}"#)]).await;

        let listed = typed(&server, "api get /api/v1/app -f limit=10 -f q=a&b").await;
        let made = typed(
            &server,
            "api POST /api/v1/app -f name=Shop -f throttleRate=5",
        )
        .await;

        let asked = server.asked();
        assert_eq!(listed.exit, Exit::Ok);
        assert_eq!(asked[0].line, "GET /api/v1/app?limit=10&q=a%26b HTTP/1.1");
        assert_eq!(asked[1].body, r#"{"name":"Shop","throttleRate":5}"#);
        assert_eq!(made.out, "{\"id\":\"app_1\"}\n");
    }

    #[tokio::test]
    async fn a_refusal_is_printed_as_it_came_and_decides_the_exit_code() {
        let problem =
            r#"{"code":"not_found","detail":"There is no such application.","status":404}"#;
        let server = Scripted::start(vec![answer(404, problem)]).await;

        let result = typed(&server, "api GET /api/v1/app/nowhere").await;

        assert_eq!(result.exit, Exit::NotFound);
        assert_eq!(result.out.trim_end(), problem);
        assert_eq!(
            result.err,
            "error: There is no such application (404, not_found) [request req_1]\n"
        );
    }

    #[tokio::test]
    async fn what_makes_no_call_is_a_usage_error() {
        let server = Scripted::start(Vec::new()).await;

        for line in ["api GET app", "api GET /app -d {}", "api POST /app -f name"] {
            assert_eq!(typed(&server, line).await.exit, Exit::Usage, "{line}");
        }
    }
}

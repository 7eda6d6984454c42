//! What a source received, looked up in the server's log of requests.

use domain::{is_plain_suffix, may_pass_on};
use http::Method;
use serde::Deserialize;

use super::parcel::{Body, Parcel};
use crate::client::{Call, Client, encoded, parse};
use crate::exit::Failure;
use crate::session::{Page, app_path};
use crate::text::shown;
use crate::{Exit, world};

/// What stands for a value in the log that is a credential.
const HIDDEN: &str = "***";
/// How a path begins in the log.
const INBOUND: &str = "/in/***";
/// The most requests on one page.
const PAGE: usize = 250;

/// A source of an application.
pub(super) struct Source {
    /// The application's path.
    pub(super) app: String,
    id: String,
}

/// A request as the log has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged {
    id: String,
    method: String,
    path: String,
    peer: String,
    headers: Vec<Header>,
    #[serde(default)]
    body_truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Found {
    id: String,
}

impl Source {
    /// Finds the source that `[APP/]SOURCE` names; `app` is the application where none is named.
    pub(super) async fn find(
        name: &str,
        app: Option<&str>,
        client: &Client,
    ) -> Result<Self, Failure> {
        let (app, source) = match name.split_once('/') {
            Some((app, source)) => (Some(app), source),
            None => (app, name),
        };
        let app = app_path(app)?;
        let call = Call::get(format!("{app}/source/{}", encoded(source)));
        let found: Found = parse(&client.call(call).await?.success()?)?;
        Ok(Self { app, id: found.id })
    }

    /// The request that a message was made of, unless another source received it, or nobody.
    pub(super) async fn of_message(
        &self,
        client: &Client,
        message: &str,
    ) -> Result<Option<Parcel>, Failure> {
        let filter = format!("verdict=accepted&message_id={}&limit=1", encoded(message));
        let page = self.page(client, &filter).await?;
        match page.data.first() {
            None => Ok(None),
            Some(logged) => self.parcel(client, logged.get()).await.map(Some),
        }
    }

    /// The newest requests that were taken in, the oldest of them first.
    pub(super) async fn newest(
        &self,
        client: &Client,
        count: usize,
    ) -> Result<Vec<Parcel>, Failure> {
        let (mut found, mut iterator) = (Vec::new(), None::<String>);
        while found.len() < count {
            let limit = (count - found.len()).min(PAGE);
            let from = iterator.map(|text| format!("&iterator={}", encoded(&text)));
            let from = from.unwrap_or_default();
            let filter = format!("verdict=accepted&order=descending&limit={limit}{from}");
            let page = self.page(client, &filter).await?;
            found.extend(page.data);
            iterator = page.iterator;
            if page.done || iterator.is_none() {
                break;
            }
        }
        let mut parcels = Vec::with_capacity(found.len());
        for logged in found.iter().rev() {
            parcels.push(self.parcel(client, logged.get()).await?);
        }
        Ok(parcels)
    }

    async fn page(&self, client: &Client, filter: &str) -> Result<Page, Failure> {
        let path = format!("{}/request?source_id={}&{filter}", self.app, self.id);
        parse(&client.call(Call::get(path)).await?.success()?)
    }

    async fn parcel(&self, client: &Client, logged: &str) -> Result<Parcel, Failure> {
        let logged: Logged = parse(logged.as_bytes())?;
        let path = format!("{}/request/{}/raw", self.app, encoded(&logged.id));
        let body = match client.call(Call::new(Method::GET, path)).await?.success() {
            Ok(bytes) if !logged.body_truncated => Body::of(&bytes),
            Err(failure) if failure.exit != Exit::NotFound => return Err(failure),
            _ => Body::erased(),
        };
        logged.parcel(body)
    }
}

impl Logged {
    /// What of it is passed on: neither what belonged to its connection nor credentials.
    fn parcel(self, body: Body) -> Result<Parcel, Failure> {
        let path = added(&self.path).ok_or_else(|| {
            let path = shown(&self.path, 100);
            Failure::new(
                Exit::Failure,
                format!("{}: {path} leads elsewhere", self.id),
            )
        })?;
        let all = self.headers;
        let is_connection = |header: &&Header| header.name.eq_ignore_ascii_case("connection");
        let named = all.iter().filter(is_connection);
        let connection: Vec<Vec<u8>> = named.map(|one| one.value.clone().into()).collect();
        let connection: Vec<&[u8]> = connection.iter().map(Vec::as_slice).collect();
        let mut headers = Vec::with_capacity(all.len() + 2);
        for Header { name, value } in all {
            let name = name.to_ascii_lowercase();
            if value != HIDDEN && may_pass_on(&name, &connection) {
                headers.push((name, value));
            }
        }
        headers.push(("x-forwarded-for".to_owned(), self.peer));
        headers.push(("posthaste-request".to_owned(), self.id.clone()));
        Ok(Parcel {
            id: self.id,
            at: world::now().to_string(),
            event_type: None,
            method: self.method,
            path,
            headers,
            body,
        })
    }
}

/// What followed the inbound URL, without credentials; `None` where it leads elsewhere.
fn added(path: &str) -> Option<String> {
    let (path, query) = match path.split_once('?') {
        None => (path, None),
        Some((path, query)) => (path, Some(query)),
    };
    let suffix = path.strip_prefix(INBOUND).unwrap_or_default();
    if !is_plain_suffix(suffix) {
        return None;
    }
    let pairs = query.unwrap_or_default().split('&').filter(|pair| {
        let value = pair.split_once('=').map_or(*pair, |(_, value)| value);
        !pair.is_empty() && value != HIDDEN
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    if query.is_empty() {
        return Some(suffix.to_owned());
    }
    Some(format!("{suffix}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_what_belongs_to_a_connection_stay_behind() {
        let logged: Logged = serde_json::from_value(serde_json::json!({
            "id": "req_1", "method": "POST", "peer": "192.0.2.7",
            "path": "/in/***/a?x=1&token=***",
            "headers": [
                {"name": "X-GitHub-Event", "value": "push"},
                {"name": "Authorization", "value": "***"},
                {"name": "X-Gitlab-Token", "value": "***"},
                {"name": "Cookie", "value": "a=b"},
                {"name": "Connection", "value": "close, X-Internal"},
                {"name": "X-Internal", "value": "1"},
                {"name": "X-Forwarded-For", "value": "10.0.0.1"},
                {"name": "Posthaste-Request", "value": "forged"},
                {"name": "Content-Length", "value": "2"},
            ],
        }))
        .unwrap();

        let parcel = logged.parcel(Body::of(b"{}")).unwrap();

        let pairs = [
            ("x-github-event", "push"),
            ("x-forwarded-for", "192.0.2.7"),
            ("posthaste-request", "req_1"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parcel.headers, pairs);
        assert_eq!(
            (parcel.path.as_str(), parcel.method.as_str()),
            ("/a?x=1", "POST")
        );
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_not_followed() {
        assert_eq!(added("/in/***").as_deref(), Some(""));
        assert_eq!(added("/in/***?***").as_deref(), Some(""));
        for path in [
            "/in/***/../admin",
            "/in/***/%2e%2e",
            "/in/***//b",
            "/in/***x",
        ] {
            assert_eq!(added(path), None, "{path}");
        }
    }
}

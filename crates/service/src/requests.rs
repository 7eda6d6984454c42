//! The log of requests that sources received.

use std::time::Duration;

use domain::{InboundId, InboundKey, MessageId, Timestamp};
use store::{
    ApplicationRef, InboundFilter, InboundRow, InboundSearch, InboundVerdict, Page, PageRequest,
    PruneRequests, SourceRef,
};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;
use crate::inbound_headers;

/// Which requests a list wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestQuery {
    /// Only with this verdict.
    pub verdict: Option<InboundVerdict>,
    /// Only refused for this reason.
    pub reason: Option<String>,
    /// Only of this source.
    pub source: Option<SourceRef>,
    /// Only those of this message.
    pub message: Option<MessageId>,
    /// Only with this id of the provider's.
    pub provider_id: Option<String>,
    /// Only received before.
    pub before: Option<Timestamp>,
    /// Only received after.
    pub after: Option<Timestamp>,
    /// Only with this in it.
    pub search: InboundSearch,
}

/// A request as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// What is stored.
    pub row: InboundRow,
    /// Its headers; credentials are `***`.
    pub headers: Vec<(String, String)>,
}

impl Service {
    /// Lists the requests of an application by time.
    pub async fn requests(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        query: RequestQuery,
        page: PageRequest<InboundKey>,
    ) -> Result<Page<RequestView, InboundKey>, Error> {
        let application = self.application(caller, application).await?;
        let source = match query.source {
            None => None,
            Some(SourceRef::Id(id)) => Some(id),
            Some(named) => {
                let found = self.store().source(application.key, &named).await?;
                Some(found.ok_or(Error::NotFound("source"))?.id)
            }
        };
        let filter = InboundFilter {
            verdict: query.verdict,
            verdicts: Vec::new(),
            reason: query.reason,
            source,
            message: query.message,
            provider_id: query.provider_id,
            before: query.before,
            after: query.after,
            search: query.search,
        };
        let found = self
            .store()
            .requests(application.key, &filter, page)
            .await?;
        Ok(found.map(view))
    }

    /// Erases a batch of requests that are older than the settings keep, and of what repeats are
    /// noticed by once its time is over; says whether to come again.
    pub async fn prune_requests(&self, kept: Duration) -> Result<bool, Error> {
        const ROWS: u16 = 500;
        let now = self.now();
        let prune = PruneRequests {
            before: now.minus(kept),
            now,
            rows: ROWS,
        };
        Ok(self.store().prune_requests(prune).await?.more)
    }

    /// Reads one request, with its body.
    pub async fn request(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        request: InboundId,
    ) -> Result<RequestView, Error> {
        let application = self.application(caller, application).await?;
        let found = self.store().request(application.key, request).await?;
        found.map(view).ok_or(Error::NotFound("request"))
    }
}

impl RequestView {
    /// Returns the request as data: `method`, `path`, `query`, `headers`, and its body as JSON, a
    /// form, multipart, XML, text or bytes; `None` once the body is erased.
    ///
    /// What is a credential is `***` here as everywhere.
    pub fn as_data(&self) -> Option<serde_json::Value> {
        let body = self.row.body.as_ref()?;
        let headers: Vec<_> = store::header_lines(&self.row.headers).collect();
        let request = signature::scheme::Request {
            method: &self.row.method,
            url: None,
            headers: &headers,
            body,
            fetched: None,
        };
        Some(inbound::view::view(&request, &self.row.path))
    }
}

fn view(row: InboundRow) -> RequestView {
    let headers = inbound_headers::read(&row.headers);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    RequestView {
        headers: headers
            .into_iter()
            .map(|(name, value)| (name, text(&value)))
            .collect(),
        row,
    }
}

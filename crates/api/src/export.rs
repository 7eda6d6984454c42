//! `/api/v1/app/{app_id}/msg/export`: all messages of an application, a line of JSON each.
//!
//! Read page by page as fast as the reader takes them, so an export of any length needs a few
//! pages of memory. When the store fails in between, the answer breaks off instead of ending: a
//! reader can tell a whole export from a part.

use std::collections::VecDeque;
use std::io;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use aide::openapi::{MediaType, ReferenceOr, StatusCode};
use aide::transform::TransformOperation;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::MessageKey;
use http::header;
use serde_json::value::RawValue;
use service::{
    ApplicationRef, Cursor, MessageQuery, MessageRow, Order, PageRequest, Payload, Service,
};

use crate::error::ApiError;
use crate::extract::{Access, AppPath, Path, Query};
use crate::messages::{ListQuery, MessageOut};
use crate::openapi::Docs;

const DOCS: Docs = Docs("Message");
/// Messages read at once: with payloads of the largest size, this bounds what is in memory.
const PAGE: u16 = 16;

pub(crate) fn routes() -> ApiRouter<Service> {
    ApiRouter::new().api_route("/api/v1/app/{app_id}/msg/export", get_with(export, docs))
}

fn docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let describe = DOCS.op("v1.message.export", "Export messages, oldest first");
    let mut op = describe(op).description(
        "A line of JSON for each message, as lists show them; `payload` is any JSON. Payloads of \
         another content type are `{}` here, and at `…/msg/{msg_id}/raw`.",
    );
    let lines = aide::openapi::Response {
        description: "A message a line".to_owned(),
        content: [("application/x-ndjson".to_owned(), MediaType::default())].into(),
        ..Default::default()
    };
    let responses = op.inner_mut().responses.get_or_insert_default();
    responses
        .responses
        .insert(StatusCode::Code(200), ReferenceOr::Item(lines));
    op
}

/// What an export goes on with.
struct Export {
    service: Service,
    access: Access,
    application: ApplicationRef,
    query: MessageQuery,
    read: VecDeque<MessageRow>,
    /// Where the next page starts; `None` once there is none.
    next: Option<PageRequest<MessageKey>>,
}

impl Export {
    /// Reads the next page; it may be empty when nothing on it passed the filters.
    async fn read(&mut self, request: PageRequest<MessageKey>) -> Result<(), service::Error> {
        let (caller, application) = (self.access.caller, &self.application);
        let page = self
            .service
            .messages(caller, application, &self.query, request.clone())
            .await?;
        let last = page.resume.or(page.items.last().map(|row| row.id.key()));
        self.next = last.filter(|_| !page.done).map(|last| PageRequest {
            cursor: Some(Cursor::After(last)),
            ..request
        });
        self.read = page.items.into();
        Ok(())
    }

    /// The next line; `None` at the end.
    async fn line(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(row) = self.read.pop_front() {
                return Ok(Some(line(row, self.query.with_content)?));
            }
            let Some(request) = self.next.take() else {
                return Ok(None);
            };
            self.read(request).await.map_err(io::Error::other)?;
        }
    }
}

/// Shows a message on one line. Line ends inside a payload can only stand between its values, so
/// a space does as well.
fn line(row: MessageRow, with_content: bool) -> io::Result<Bytes> {
    let json = row.payload.as_ref().filter(|_| with_content).and_then(json);
    let mut message = MessageOut::of_row(row, false);
    if let Some(json) = json {
        message.payload = json;
    }
    let mut line = serde_json::to_vec(&message)?;
    line.push(b'\n');
    Ok(line.into())
}

fn json(payload: &Payload) -> Option<Box<RawValue>> {
    if payload.content_type.is_some() {
        return None;
    }
    let text = std::str::from_utf8(&payload.bytes).ok()?;
    RawValue::from_string(text.replace(['\n', '\r'], " ")).ok()
}

async fn export(
    State(service): State<Service>,
    access: Access,
    Path(path): Path<AppPath>,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let first = PageRequest {
        limit: PAGE,
        order: Order::Ascending,
        cursor: None,
    };
    let mut export = Export {
        service,
        access,
        application: path.application()?,
        query: query.into(),
        read: VecDeque::new(),
        next: None,
    };
    // Before the answer begins: an unknown application is a 404 like everywhere.
    export.read(first).await?;
    let lines = futures_util::stream::try_unfold(export, |mut export| async move {
        Ok::<_, io::Error>(export.line().await?.map(|line| (line, export)))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

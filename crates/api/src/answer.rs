//! What handlers answer on success, with the status in the type so that the description has it.

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, Response as ResponseDocs, SchemaObject};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::ApiError;

/// A JSON body with a status.
#[derive(Clone, Debug)]
pub(crate) struct Answer<const STATUS: u16, T>(pub(crate) T);

/// 200 with a body.
pub(crate) type Found<T> = Answer<200, T>;
/// 201 with a body.
pub(crate) type Created<T> = Answer<201, T>;
/// 202 with a body.
pub(crate) type Accepted<T> = Answer<202, T>;

/// 204.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoContent;

/// 201 for what was made now, 200 for what was there.
#[derive(Clone, Debug)]
pub(crate) struct Upserted<T>(pub(crate) service::Upserted<T>);

impl<T> Upserted<T> {
    /// Turns what the service answers into what goes out.
    pub(crate) fn from<U>(upserted: service::Upserted<U>, into: impl FnOnce(U) -> T) -> Self {
        Self(match upserted {
            service::Upserted::Created(thing) => service::Upserted::Created(into(thing)),
            service::Upserted::Existing(thing) => service::Upserted::Existing(into(thing)),
        })
    }
}

/// Writes JSON from whatever can be serialized, which may borrow.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = (status, bytes).into_response();
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
        Err(error) => ApiError::Internal(error.to_string().into()).into_response(),
    }
}

impl<const STATUS: u16, T: Serialize> IntoResponse for Answer<STATUS, T> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(STATUS).expect("only valid statuses are named");
        json(status, &self.0)
    }
}

impl<T: Serialize> IntoResponse for Upserted<T> {
    fn into_response(self) -> Response {
        match self.0 {
            service::Upserted::Created(body) => json(StatusCode::CREATED, &body),
            service::Upserted::Existing(body) => json(StatusCode::OK, &body),
        }
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Describes an answer with a JSON body.
pub(crate) fn docs<T: JsonSchema>(ctx: &mut GenContext, description: &str) -> ResponseDocs {
    let media = MediaType {
        schema: Some(SchemaObject {
            json_schema: ctx.schema.subschema_for::<T>(),
            example: None,
            external_docs: None,
        }),
        ..MediaType::default()
    };
    ResponseDocs {
        description: description.to_owned(),
        content: [("application/json".to_owned(), media)].into(),
        ..ResponseDocs::default()
    }
}

impl<const STATUS: u16, T: JsonSchema> OperationOutput for Answer<STATUS, T> {
    type Inner = T;

    fn inferred_responses(
        ctx: &mut GenContext,
        _: &mut Operation,
    ) -> Vec<(Option<u16>, ResponseDocs)> {
        let description = match STATUS {
            201 => "Created",
            202 => "Accepted",
            _ => "Success",
        };
        vec![(Some(STATUS), docs::<T>(ctx, description))]
    }
}

impl<T: JsonSchema> OperationOutput for Upserted<T> {
    type Inner = T;

    fn inferred_responses(
        ctx: &mut GenContext,
        _: &mut Operation,
    ) -> Vec<(Option<u16>, ResponseDocs)> {
        vec![
            (Some(200), docs::<T>(ctx, "It was there")),
            (Some(201), docs::<T>(ctx, "Created")),
        ]
    }
}

impl OperationOutput for NoContent {
    type Inner = ();

    fn inferred_responses(
        _: &mut GenContext,
        _: &mut Operation,
    ) -> Vec<(Option<u16>, ResponseDocs)> {
        let docs = ResponseDocs {
            description: "Done".to_owned(),
            ..ResponseDocs::default()
        };
        vec![(Some(204), docs)]
    }
}

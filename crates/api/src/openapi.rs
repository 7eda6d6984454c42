//! The description of the API, inferred from the handlers' types.

use aide::generate::in_context;
use aide::openapi::{
    Info, MediaType, OpenApi, Parameter, ParameterData, ParameterSchemaOrContent, ReferenceOr,
    SchemaObject, SecurityScheme,
};
use aide::transform::TransformOperation;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, http};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use service::Service;

use crate::error_docs;
use crate::extract::IDEMPOTENCY_KEY;

/// Names and groups operations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Docs(pub(crate) &'static str);

impl Docs {
    /// Describes an operation.
    pub(crate) fn op(
        self,
        id: &'static str,
        summary: &'static str,
    ) -> impl FnOnce(TransformOperation<'_>) -> TransformOperation<'_> {
        move |op| op.id(id).summary(summary).tag(self.0)
    }

    /// Describes an operation that answers with bytes of whatever type.
    pub(crate) fn bytes(
        self,
        id: &'static str,
        summary: &'static str,
    ) -> impl FnOnce(TransformOperation<'_>) -> TransformOperation<'_> {
        move |op| {
            let mut op = self.op(id, summary)(op);
            let responses = op.inner_mut().responses.get_or_insert_default();
            let bytes = aide::openapi::Response {
                description: "The bytes, of the type that they came with".to_owned(),
                content: [("*/*".to_owned(), MediaType::default())].into(),
                ..Default::default()
            };
            let success = aide::openapi::StatusCode::Code(200);
            responses
                .responses
                .insert(success, ReferenceOr::Item(bytes));
            op
        }
    }

    /// Describes a POST, which takes an idempotency key.
    pub(crate) fn post(
        self,
        id: &'static str,
        summary: &'static str,
    ) -> impl FnOnce(TransformOperation<'_>) -> TransformOperation<'_> {
        move |op| {
            let mut op = self.op(id, summary)(op);
            let parameters = &mut op.inner_mut().parameters;
            parameters.push(ReferenceOr::Item(idempotency_key()));
            op
        }
    }

    /// Describes a POST whose body may as well be empty.
    pub(crate) fn post_or_empty(
        self,
        id: &'static str,
        summary: &'static str,
    ) -> impl FnOnce(TransformOperation<'_>) -> TransformOperation<'_> {
        move |op| {
            let mut op = self.post(id, summary)(op);
            if let Some(ReferenceOr::Item(body)) = &mut op.inner_mut().request_body {
                body.required = false;
            }
            op
        }
    }
}

fn idempotency_key() -> Parameter {
    let description = "The caller's name for this request: repeated, it has one effect";
    let schema = SchemaObject {
        json_schema: schemars::json_schema!({"type": "string", "minLength": 1}),
        example: None,
        external_docs: None,
    };
    Parameter::Header {
        parameter_data: ParameterData {
            name: IDEMPOTENCY_KEY.as_str().to_owned(),
            description: Some(description.to_owned()),
            required: false,
            deprecated: None,
            format: ParameterSchemaOrContent::Schema(schema),
            example: None,
            examples: [].into(),
            explode: None,
            extensions: [].into(),
        },
        style: aide::openapi::HeaderStyle::Simple,
    }
}

/// Makes the routes of the API, together with their description.
pub(crate) fn described() -> (Router<Service>, OpenApi) {
    // OpenAPI 3.1 speaks this draft; the generator's own default is an older one.
    in_context(|context| {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "#/components/schemas/".into();
        });
        context.schema = SchemaGenerator::new(settings);
    });
    let mut api = OpenApi {
        info: Info {
            title: "posthaste".to_owned(),
            summary: Some("Webhooks in both directions".to_owned()),
            version: "1".to_owned(),
            ..Info::default()
        },
        ..OpenApi::default()
    };
    let router = crate::routes().finish_api_with(&mut api, |mut api| {
        in_context(|context| error_docs::describe(context, api.inner_mut()));
        let bearer = SecurityScheme::Http {
            scheme: "bearer".to_owned(),
            bearer_format: None,
            description: Some("An API key".to_owned()),
            extensions: [].into(),
        };
        api.security_scheme("HTTPBearer", bearer)
    });
    (router, api)
}

/// Returns the description of the API, OpenAPI 3.1, as it is committed and served.
///
/// The same text for the same types: keys are sorted.
pub fn openapi_json() -> String {
    text(&described().1)
}

pub(crate) fn text(api: &OpenApi) -> String {
    let mut value = serde_json::to_value(api).expect("a description is JSON");
    prune(&mut value);
    mark_times(&mut value);
    let mut text = serde_json::to_string_pretty(&sorted(value)).expect("a value is JSON");
    text.push('\n');
    text
}

/// Takes out the types that nothing refers to: those whose fields became parameters.
fn prune(api: &mut Value) {
    loop {
        let text = api.to_string();
        let is_used = |name: &str| text.contains(&format!("\"#/components/schemas/{name}\""));
        let Some(schemas) = api["components"]["schemas"].as_object_mut() else {
            return;
        };
        let before = schemas.len();
        schemas.retain(|name, _| is_used(name));
        if schemas.len() == before {
            return;
        }
    }
}

/// The fields of bodies that are points in time, written as RFC 3339 has it.
const TIMES: [&str; 15] = [
    "createdAt",
    "deliverAt",
    "disabledAt",
    "endpointUpdatedAt",
    "expiresAt",
    "failingSince",
    "lastAcceptedAt",
    "lastReceivedAt",
    "lastUsedAt",
    "receivedAt",
    "nextAttempt",
    "since",
    "timestamp",
    "until",
    "updatedAt",
];

/// Tells clients that are generated from the description which texts are times.
///
/// By name, because bodies hold the text that they send and not the time that it was made of.
fn mark_times(api: &mut Value) {
    let schemas = api["components"]["schemas"].as_object_mut();
    for schema in schemas.into_iter().flat_map(serde_json::Map::values_mut) {
        let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, field) in fields.into_iter().flatten() {
            if TIMES.contains(&name.as_str()) {
                field["format"] = "date-time".into();
            }
        }
    }
}

/// Sorts keys, whichever kind of map the JSON library was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().collect();
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            let pairs = pairs.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(pairs.collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Serves the description.
pub(crate) fn routes(text: String) -> Router {
    let text = bytes::Bytes::from(text);
    Router::new().route(
        "/api/v1/openapi.json",
        get(move || std::future::ready(served(text.clone()))),
    )
}

fn served(text: bytes::Bytes) -> Response {
    let json = [(http::header::CONTENT_TYPE, "application/json")];
    (json, text).into_response()
}

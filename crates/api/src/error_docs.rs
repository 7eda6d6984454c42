//! The errors of every operation, in the description of the API.
//!
//! No handler names its errors: which statuses an operation can answer with follows from what it
//! takes. A new [`Code`] is thereby described everywhere at once.

use std::collections::BTreeMap;

use aide::generate::GenContext;
use aide::openapi::{
    Components, MediaType, OpenApi, Operation, Parameter, PathItem, ReferenceOr,
    Response as ResponseDocs, SchemaObject, StatusCode as DocsStatus,
};
use http::StatusCode;
use schemars::{JsonSchema, Schema};

use crate::problem::Code;

/// An error as the API answers it.
#[derive(JsonSchema)]
#[schemars(rename = "Problem")]
#[expect(dead_code, reason = "read by the schema generator only")]
struct ProblemSchema {
    /// The page about this error, `/docs/errors/<code>`.
    r#type: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Names the error for good: what a program decides by.
    code: String,
    /// What happened, for people.
    detail: String,
}

/// Fields that are not as they must be, as the API answers them.
#[derive(JsonSchema)]
#[schemars(rename = "ValidationProblem")]
#[expect(dead_code, reason = "read by the schema generator only")]
struct ValidationSchema {
    /// The page about this error, `/docs/errors/validation`.
    r#type: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Names the error for good: what a program decides by.
    code: String,
    /// What is wrong with each field.
    detail: Vec<FaultSchema>,
}

/// One field that is not as it must be.
#[derive(JsonSchema)]
#[schemars(rename = "ValidationErrorItem")]
#[expect(dead_code, reason = "read by the schema generator only")]
struct FaultSchema {
    /// Where: `body`, `query` or `header`, and the way to the field.
    loc: Vec<String>,
    /// What is wrong, in words that finish the sentence "this value …".
    msg: String,
    /// The kind of fault.
    r#type: String,
}

/// Describes the errors of every operation.
pub(crate) fn describe(ctx: &mut GenContext, api: &mut OpenApi) {
    let mut statuses: BTreeMap<u16, (String, ResponseDocs)> = BTreeMap::new();
    for code in Code::ALL {
        let status = code.status();
        let (_, docs) = statuses
            .entry(status.as_u16())
            .or_insert_with(|| (name(status), response(schema(ctx, status))));
        if !docs.description.is_empty() {
            docs.description.push('\n');
        }
        let line = format!("- `{}`: {}", code.slug(), code.detail());
        docs.description.push_str(&line);
    }
    let paths = api.paths.iter_mut().flat_map(|all| all.paths.values_mut());
    for path in paths {
        if let ReferenceOr::Item(path) = path {
            for (is_read, operation) in operations(path) {
                declare(operation, is_read, &statuses);
            }
        }
    }
    let components = api.components.get_or_insert_with(Components::default);
    for (name, docs) in statuses.into_values() {
        components.responses.insert(name, ReferenceOr::Item(docs));
    }
}

/// Each operation of a path, and whether it only reads.
fn operations(path: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let PathItem {
        get,
        head,
        put,
        post,
        delete,
        patch,
        ..
    } = path;
    let writing = [put, post, delete, patch].map(|operation| (false, operation));
    [(true, get), (true, head)]
        .into_iter()
        .chain(writing)
        .filter_map(|(is_read, operation)| Some((is_read, operation.as_mut()?)))
}

fn declare(
    operation: &mut Operation,
    is_read: bool,
    statuses: &BTreeMap<u16, (String, ResponseDocs)>,
) {
    let applying: Vec<_> = statuses
        .iter()
        .filter(|(status, _)| applies(**status, operation, is_read))
        .collect();
    let responses = operation.responses.get_or_insert_default();
    for (&status, (name, _)) in applying {
        let reference = ReferenceOr::Reference {
            reference: format!("#/components/responses/{name}"),
            summary: None,
            description: None,
        };
        let declared = responses.responses.entry(DocsStatus::Code(status));
        declared.or_insert(reference);
    }
}

/// Says whether an operation can answer with this status, by what it takes.
fn applies(status: u16, operation: &Operation, is_read: bool) -> bool {
    let takes = |is_kind: fn(&Parameter) -> bool| {
        let items = operation.parameters.iter();
        items.filter_map(ReferenceOr::as_item).any(is_kind)
    };
    match status {
        // What is described has its method.
        405 => false,
        401 | 403 | 429 => !operation.security.is_empty(),
        // The repeat of a request whose effect was deleted since names nothing any more.
        404 => takes(|parameter| !matches!(parameter, Parameter::Query { .. })),
        409 | 413 | 507 => !is_read,
        508 => {
            let id = operation.operation_id.as_deref().unwrap_or_default();
            id == "v1.message.create" || id == "v1.message.create-batch"
        }
        415 => operation.request_body.is_some(),
        422 => {
            // A path that cannot be read names nothing: it is 404.
            operation.request_body.is_some()
                || takes(|parameter| !matches!(parameter, Parameter::Path { .. }))
        }
        _ => true,
    }
}

fn schema(ctx: &mut GenContext, status: StatusCode) -> Schema {
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        ctx.schema.subschema_for::<ValidationSchema>()
    } else {
        ctx.schema.subschema_for::<ProblemSchema>()
    }
}

/// The status in words, without the spaces between them.
fn name(status: StatusCode) -> String {
    let words = status.canonical_reason().unwrap_or("Error").split(' ');
    words.collect()
}

fn response(json_schema: Schema) -> ResponseDocs {
    let media = MediaType {
        schema: Some(SchemaObject {
            json_schema,
            example: None,
            external_docs: None,
        }),
        ..MediaType::default()
    };
    ResponseDocs {
        content: [("application/problem+json".to_owned(), media)].into(),
        ..ResponseDocs::default()
    }
}

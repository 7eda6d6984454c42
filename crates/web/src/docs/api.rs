//! The reference of the API, made from its description.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::markdown::slug;

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

/// One call.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    about: &'a Value,
}

/// Renders the whole reference. A description that is none renders as an empty page.
pub(super) fn reference(description: &str) -> Markup {
    let api: Value = serde_json::from_str(description).unwrap_or_default();
    let groups = groups(&api);
    let empty = Map::new();
    let schemas = api["components"]["schemas"].as_object().unwrap_or(&empty);
    html! {
        h1 { "API reference" }
        p {
            "Everything lies below " code { "/api/v1" }
            ", takes and answers JSON, and wants a key: "
            code { "authorization: Bearer $POSTHASTE_TOKEN" } ". Errors have "
            a href="/docs/reference/errors" { "one shape" } ". The same as a file: "
            a href="/api/v1/openapi.json" { "OpenAPI 3.1" } "."
        }
        p.search hidden {
            label for="search" { "Find a call" }
            input type="search" id="search" placeholder="Path, name or word" autocomplete="off";
        }
        @for (group, operations) in &groups {
            section {
                h2 id=(slug(group)) { (group) }
                @for operation in operations { (operation.render(&api)) }
            }
        }
        section {
            h2 id="schemas" { "Schemas" }
            @for (name, schema) in schemas { (render_schema(name, schema)) }
        }
    }
}

fn groups(api: &Value) -> BTreeMap<&str, Vec<Operation<'_>>> {
    let mut groups: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
    let paths = api["paths"].as_object().into_iter().flatten();
    for (path, methods) in paths {
        for method in METHODS {
            let about = &methods[method];
            if about.is_object() {
                let group = about["tags"][0].as_str().unwrap_or("Other");
                groups.entry(group).or_default().push(Operation {
                    method,
                    path,
                    about,
                });
            }
        }
    }
    groups
}

impl Operation<'_> {
    fn render(&self, api: &Value) -> Markup {
        let id = self.about["operationId"].as_str().unwrap_or(self.path);
        html! {
            details.operation id=(id) {
                summary {
                    span.method.{"is-" (self.method)} { (self.method.to_uppercase()) }
                    code { (self.path) }
                    span.what { (text(&self.about["summary"])) }
                }
                @if let Some(more) = self.about["description"].as_str() { p { (more) } }
                (self.parameters())
                (self.body())
                (self.answers())
                h4 { "Example" }
                pre { code { (self.example(api)) } }
            }
        }
    }

    fn parameters(&self) -> Markup {
        let parameters = self.about["parameters"].as_array();
        html! {
            @if let Some(parameters) = parameters.filter(|parameters| !parameters.is_empty()) {
                h4 { "Parameters" }
                div.table { table {
                    thead { tr { th { "Name" } th { "In" } th { "Type" } th { "Means" } } }
                    tbody {
                        @for parameter in parameters {
                            tr {
                                td {
                                    code { (text(&parameter["name"])) }
                                    (required(&parameter["required"]))
                                }
                                td { (text(&parameter["in"])) }
                                td { (kind(&parameter["schema"])) }
                                td { (text(&parameter["description"])) }
                            }
                        }
                    }
                } }
            }
        }
    }

    fn body(&self) -> Markup {
        let content = self.about["requestBody"]["content"].as_object();
        html! {
            @if let Some(content) = content {
                h4 { "Body" }
                @for (media_type, body) in content {
                    p { code { (media_type) } ": " (kind(&body["schema"])) }
                }
            }
        }
    }

    fn answers(&self) -> Markup {
        let empty = Map::new();
        let answers = self.about["responses"].as_object().unwrap_or(&empty);
        let (good, bad): (Vec<_>, Vec<_>) = answers
            .iter()
            .partition(|(status, _)| status.starts_with('2'));
        html! {
            h4 { "Answers" }
            ul.answers {
                @for (status, answer) in good {
                    li {
                        code { (status) } " " (text(&answer["description"]))
                        @for (_, body) in answer["content"].as_object().into_iter().flatten() {
                            ": " (kind(&body["schema"]))
                        }
                    }
                }
                @if !bad.is_empty() {
                    li {
                        "Errors: "
                        @for (status, _) in bad { code { (status) } " " }
                    }
                }
            }
        }
    }

    /// A call with `curl`, with the fields that must be there.
    fn example(&self, api: &Value) -> String {
        let mut example = format!("curl -sS \"$POSTHASTE_URL{}\"", shell_path(self.path));
        let body = &self.about["requestBody"]["content"]["application/json"]["schema"];
        if !matches!(self.method, "get" | "post") || (self.method == "post" && body.is_null()) {
            example.push_str(" -X ");
            example.push_str(&self.method.to_uppercase());
        }
        if self.about["security"].is_array() {
            example += " \\\n  -H \"authorization: Bearer $POSTHASTE_TOKEN\"";
        }
        if !body.is_null() {
            let value = sample(api, body, 0);
            example += " \\\n  -H 'content-type: application/json'";
            let quoted = value.to_string().replace('\'', "'\\''");
            example = format!("{example} \\\n  -d '{quoted}'");
        }
        example
    }
}

/// `/app/{app_id}` as `/app/$APP`: what the reader fills in is a variable of the shell.
fn shell_path(path: &str) -> String {
    let parts = path.split('/').map(|part| {
        let name = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        name.map_or_else(
            || part.to_owned(),
            |name| format!("${}", name.trim_end_matches("_id").to_uppercase()),
        )
    });
    parts.collect::<Vec<_>>().join("/")
}

fn render_schema(name: &str, schema: &Value) -> Markup {
    let empty = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&empty);
    let must = schema["required"].as_array();
    let is_required = |field: &str| must.is_some_and(|must| must.iter().any(|name| name == field));
    html! {
        details.operation id={"schema-" (name)} {
            summary { code { (name) } span.what { (text(&schema["description"])) } }
            @if fields.is_empty() { p { (kind(schema)) } }
            @else { div.table { table {
                thead { tr { th { "Field" } th { "Type" } th { "Means" } } }
                tbody {
                    @for (field, about) in fields {
                        tr {
                            td { code { (field) } (required(&Value::Bool(is_required(field)))) }
                            td { (kind(about)) }
                            td { (text(&about["description"])) }
                        }
                    }
                }
            } } }
        }
    }
}

fn required(value: &Value) -> Markup {
    html! { @if value == true { " " span.required { "required" } } }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn reference_name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

/// The type of a value in few words, with a link where it has a name.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = reference_name(schema) {
        return html! { a href={"#schema-" (name)} { (name) } };
    }
    let several = ["anyOf", "oneOf", "allOf"]
        .iter()
        .find_map(|kind| schema[*kind].as_array());
    if let Some(several) = several {
        let kinds: Vec<_> = several
            .iter()
            .filter(|kind| kind["type"] != "null")
            .map(kind)
            .collect();
        return html! { @for (index, kind) in kinds.iter().enumerate() {
            @if index > 0 { " or " } (kind)
        } };
    }
    if let Some(values) = schema["enum"].as_array() {
        return html! { @for (index, value) in values.iter().enumerate() {
            @if index > 0 { ", " } code { (value.to_string()) }
        } };
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any"],
    };
    let name = types
        .into_iter()
        .find(|name| *name != "null")
        .unwrap_or("null");
    if name == "array" {
        return html! { "list of " (kind(&schema["items"])) };
    }
    let format = schema["format"]
        .as_str()
        .filter(|format| format.starts_with("date"));
    html! { (name) @if let Some(format) = format { " (" (format) ")" } }
}

/// A value that fits a schema, as small as it may be.
fn sample(api: &Value, schema: &Value, depth: usize) -> Value {
    /// Deeper than any body of ours, so that a type that holds itself ends.
    const DEPTH_MAX: usize = 6;
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(name) = reference_name(schema) {
        return sample(api, &api["components"]["schemas"][name], depth + 1);
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[several].get(0) {
            return sample(api, first, depth + 1);
        }
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => json!("…"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([sample(api, &schema["items"], depth + 1)]),
        _ => {
            let required = schema["required"].as_array().into_iter().flatten();
            let fields = required.filter_map(Value::as_str).map(|name| {
                let value = sample(api, &schema["properties"][name], depth + 1);
                (name.to_owned(), value)
            });
            Value::Object(fields.collect())
        }
    }
}

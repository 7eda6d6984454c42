//! What a check says, and what it refuses to spend.

use posthaste_schema::{Bounds, Invalid, MISMATCHES_MAX, Mismatch, Schema};
use serde_json::{Value, json};

fn schema(document: &Value) -> Schema {
    Schema::compile(document, Bounds::default()).expect("a schema")
}

fn refused(document: &Value) -> Invalid {
    Schema::compile(document, Bounds::default()).expect_err("no schema")
}

fn mismatches(document: &Value, value: &Value) -> Vec<Mismatch> {
    schema(document).check(value).expect_err("no match")
}

#[test]
fn a_mismatch_names_its_path_and_what_is_asked() {
    let order = json!({
        "type": "object",
        "required": ["id", "items"],
        "properties": {
            "id": {"type": "string", "pattern": "^o_[0-9]+$"},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        },
        "$defs": {"item": {"properties": {"id": {"type": "integer", "minimum": 1}}}},
    });

    let found = mismatches(
        &order,
        &json!({"id": "x", "items": [{"id": 0}, {"id": "1"}]}),
    );

    let found: Vec<_> = found
        .iter()
        .map(|m| (m.path.join("/"), m.msg.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("id".to_owned(), "must match the pattern ^o_[0-9]+$"),
            ("items/0/id".to_owned(), "must be at least 1"),
            ("items/1/id".to_owned(), "must be integer"),
        ]
    );
    let found = mismatches(&order, &json!({"id": "o_1"}));
    assert_eq!(found[0].msg, "has no items, which is required");
    assert!(found[0].path.is_empty());
}

#[test]
fn a_fault_of_a_schema_names_its_place() {
    for (document, place, why) in [
        (
            json!({"properties": {"a/b": {"type": "strin"}}}),
            "properties a/b type",
            "must be a type",
        ),
        (
            json!({"$defs": {}, "items": {"minItems": -1}}),
            "items minItems",
            "whole number",
        ),
        (json!({"items": 5}), "items", "must be a schema"),
        (json!({"anyOf": []}), "anyOf", "at least one"),
        (json!({"pattern": "(?=a)"}), "pattern", "linear"),
        (json!({"$ref": "#/$defs/none"}), "$ref", "leads to nothing"),
        (json!({"$ref": "#none"}), "$ref", "anchor"),
        (
            json!({"$ref": "https://example.com/s"}),
            "$ref",
            "another document",
        ),
        (
            json!({"$ref": "file:///etc/passwd"}),
            "$ref",
            "another document",
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
            "$schema",
            "draft",
        ),
        (json!({"multipleOf": 0}), "multipleOf", "above 0"),
        (json!({"required": "id"}), "required", "array of strings"),
        (json!(5), "", "must be a schema"),
    ] {
        let error = refused(&document);
        assert_eq!(error.place.join(" "), place, "{document}");
        assert!(error.why.contains(why), "{document}: {error}");
    }
}

/// Both branches descend into the same child: 2^40 evaluations without a budget.
#[test]
fn an_exponential_schema_costs_its_budget_and_not_more() {
    let twice = json!({"allOf": [
        {"properties": {"x": {"$ref": "#"}}},
        {"properties": {"x": {"$ref": "#"}}},
    ]});
    let deep = (0..40).fold(json!(1), |value, _| json!({"x": value}));

    let found = mismatches(&twice, &deep);

    assert_eq!(found[0].msg, "takes more steps to check than are allowed");
    let shallow = (0..5).fold(json!(1), |value, _| json!({"x": value}));
    schema(&twice).check(&shallow).unwrap();
}

#[test]
fn the_budget_of_steps_is_exact() {
    let list = json!({"items": {"type": "integer"}});
    let steps = |steps| Bounds {
        steps,
        ..Bounds::default()
    };

    // One for the list, one for each item.
    let enough = Schema::compile(&list, steps(4)).unwrap();
    let short = Schema::compile(&list, steps(3)).unwrap();

    assert!(enough.check(&json!([1, 2, 3])).is_ok());
    assert!(short.check(&json!([1, 2, 3])).is_err());
}

#[test]
fn a_schema_that_refers_to_itself_for_ever_ends() {
    for document in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({
            "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
            "$ref": "#/$defs/a",
        }),
        json!({"$dynamicAnchor": "a", "$dynamicRef": "#a"}),
    ] {
        let found = mismatches(&document, &json!({}));
        assert!(
            found[0].msg.contains("refers to itself"),
            "{document}: {found:?}"
        );
    }
}

#[test]
fn patterns_and_places_are_counted() {
    let patterns = |count: usize| {
        let map = (0..count).map(|i| (i.to_string(), json!({"pattern": "a"})));
        json!({"properties": map.collect::<serde_json::Map<_, _>>()})
    };
    let max = Bounds::default().patterns;

    schema(&patterns(max));
    assert!(refused(&patterns(max + 1)).why.contains("pattern more"));

    let nodes = |count: usize| json!({"allOf": vec![json!(true); count]});
    let max = Bounds::default().nodes - 1; // And the top.
    schema(&nodes(max));
    assert!(refused(&nodes(max + 1)).why.contains("schemas in it"));
}

#[test]
fn mismatches_are_reported_up_to_a_number() {
    let found = mismatches(&json!({"items": {"type": "null"}}), &json!(vec![1; 100]));

    assert_eq!(found.len(), MISMATCHES_MAX);
}

/// What the branches of `anyOf` and `not` miss is nobody's fault.
#[test]
fn only_what_the_caller_can_mend_is_reported() {
    let document = json!({
        "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "integer"}]}},
        "not": {"required": ["b"]},
    });

    schema(&document).check(&json!({"a": 5})).unwrap();
    let found = mismatches(&document, &json!({"a": "x", "b": 1}));

    assert_eq!(found.len(), 2);
    assert_eq!(found[0].msg, "matches what it must not");
    assert_eq!(found[1].path, ["a"]);
    assert_eq!(found[1].msg, "matches none of the 2 schemas of anyOf");
}

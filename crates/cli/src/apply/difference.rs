//! What a file says of a source, compared with what the server says of it.

use serde_json::{Map, Value, json};

use super::file::FIELDS;

/// A field that is to be another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) field: String,
    pub(super) before: Value,
    pub(super) after: Value,
    /// What is to be sent, by RFC 7396.
    pub(super) patch: Value,
}

impl Change {
    pub(super) fn new(field: &str, before: &Value, after: &Value) -> Self {
        Self {
            field: field.to_owned(),
            before: before.clone(),
            after: after.clone(),
            patch: after.clone(),
        }
    }
}

/// What the server says where nothing was set.
fn unset(field: &str) -> Value {
    match field {
        "verify" => json!("enforce"),
        _ => Value::Null,
    }
}

/// What is filled in where an object says nothing.
fn filled(field: &str, mut value: Value) -> Value {
    if field == "response"
        && let Some(response) = value.as_object_mut()
    {
        for (name, default) in [
            ("status", json!(200)),
            ("body", json!("")),
            ("contentType", json!("application/json")),
        ] {
            response.entry(name).or_insert(default);
        }
    }
    value
}

/// Nothing, however it is written.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
        _ => false,
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys());
            let of =
                |from: &Map<String, Value>, name: &str| from.get(name).cloned().unwrap_or_default();
            names
                .into_iter()
                .all(|name| is_same(&of(one, name), &of(other, name)))
        }
        _ => one == other || (is_nothing(one) && is_nothing(other)),
    }
}

/// What makes the one of the other, by RFC 7396.
fn patch(present: &Value, wanted: &Value) -> Value {
    let (Some(present), Some(wanted)) = (present.as_object(), wanted.as_object()) else {
        return wanted.clone();
    };
    let gone = present.keys().filter(|name| !wanted.contains_key(*name));
    let gone = gone.map(|name| (name.clone(), Value::Null));
    let rest = wanted.iter().map(|(name, value)| {
        let before = present.get(name).unwrap_or(&Value::Null);
        (name.clone(), patch(before, value))
    });
    Value::Object(gone.chain(rest).collect())
}

/// Returns every field that differs. What is not wanted is to be as if it had never been set.
pub(super) fn differences(wanted: &Map<String, Value>, present: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    for (_, field) in FIELDS {
        let before = &present[*field];
        let named = wanted.get(*field).cloned();
        let after = filled(field, named.clone().unwrap_or_else(|| unset(field)));
        if is_same(before, &after) {
            continue;
        }
        changes.push(Change {
            // What was set and is not wanted is taken away.
            patch: named.map_or(Value::Null, |_| patch(before, &after)),
            ..Change::new(field, before, &after)
        });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_is_as_wanted_is_no_difference() {
        let present = json!({
            "name": "x", "provider": "github", "verify": "enforce", "contentTypes": [],
            "deduplication": {}, "eventType": {"template": "github.{event}"}, "metadata": {},
            "response": {"status": 204, "body": "", "contentType": "application/json"},
            "activity": {"accepted": 3},
        });
        let wanted = wanted(&json!({
            "name": "x", "provider": "github", "eventType": {"template": "github.{event}"},
            "response": {"status": 204},
        }));

        assert_eq!(differences(&wanted, &present), []);
    }

    #[test]
    fn what_is_not_wanted_is_taken_away_and_what_is_in_an_object_too() {
        let present = json!({
            "name": "x", "provider": "github", "verify": "tag", "toleranceSeconds": 5,
            "deduplication": {"windowSeconds": 60, "conflict": "refuse"},
        });
        let wanted = wanted(&json!({
            "name": "y", "provider": "github", "deduplication": {"windowSeconds": 90},
        }));

        let found: Vec<_> = differences(&wanted, &present)
            .into_iter()
            .map(|change| (change.field, change.patch))
            .collect();

        assert_eq!(
            found,
            [
                ("name".to_owned(), json!("y")),
                ("verify".to_owned(), Value::Null),
                ("toleranceSeconds".to_owned(), Value::Null),
                (
                    "deduplication".to_owned(),
                    json!({"windowSeconds": 90, "conflict": null})
                ),
            ]
        );
    }
}

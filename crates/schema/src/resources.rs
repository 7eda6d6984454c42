//! Which places of a schema document can be named, and what their names are.
//!
//! A place is a JSON pointer from the top of the document. `$id` gives a place, and all below it,
//! another base; anchors name places within one base.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use url::Url;

use crate::compile::Invalid;

/// The base of a document that has no `$id`.
const NO_BASE: &str = "schema:///";

/// Bases of one document, at the most: each place looks for its own among them.
const BASES_MAX: usize = 64;

/// Keywords whose value is one schema.
const ONE: [&str; 11] = [
    "additionalProperties",
    "items",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value has schemas by name.
const MAPS: [&str; 5] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];

/// The places that a document gives names to.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// Where a base begins; never without the top.
    bases: BTreeMap<String, Url>,
    by_uri: HashMap<String, String>,
    anchors: HashMap<(String, String), String>,
    /// The place and name of every dynamic anchor.
    pub(crate) dynamic: Vec<(String, String)>,
}

/// What a reference leads to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) place: String,
    /// The dynamic anchor it names, if it names one.
    pub(crate) dynamic: Option<String>,
}

impl Resources {
    pub(crate) fn scan(document: &Value) -> Result<Self, Invalid> {
        let mut resources = Self::default();
        let base = Url::parse(NO_BASE).expect("a URL");
        resources.begin(String::new(), base.clone());
        resources.visit(document, "", &base)?;
        Ok(resources)
    }

    fn begin(&mut self, place: String, base: Url) {
        self.by_uri.insert(base.to_string(), place.clone());
        self.bases.insert(place, base);
    }

    fn visit(&mut self, schema: &Value, place: &str, base: &Url) -> Result<(), Invalid> {
        let Value::Object(map) = schema else {
            return Ok(());
        };
        let mut base = base.clone();
        if let Some(id) = map.get("$id") {
            let joined = id.as_str().and_then(|id| base.join(id).ok());
            let Some(mut own) = joined.filter(|own| own.fragment().unwrap_or("").is_empty()) else {
                let why = "must be a URI reference without a fragment";
                return Err(Invalid::new(&format!("{place}/$id"), why));
            };
            own.set_fragment(None);
            if self.bases.len() >= BASES_MAX {
                return Err(Invalid::new(&format!("{place}/$id"), "is one $id too many"));
            }
            self.begin(place.to_owned(), own.clone());
            base = own;
        }
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let Some(Value::String(name)) = map.get(keyword) {
                let key = (base.to_string(), name.clone());
                self.anchors.insert(key, place.to_owned());
                if keyword == "$dynamicAnchor" {
                    self.dynamic.push((place.to_owned(), name.clone()));
                }
            }
        }
        for (keyword, value) in map {
            let below = format!("{place}/{}", escaped(keyword));
            self.visit_keyword(keyword, value, &below, &base)?;
        }
        Ok(())
    }

    fn visit_keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        place: &str,
        base: &Url,
    ) -> Result<(), Invalid> {
        match value {
            _ if ONE.contains(&keyword) => self.visit(value, place, base)?,
            Value::Array(items) if LISTS.contains(&keyword) => {
                for (index, item) in items.iter().enumerate() {
                    self.visit(item, &format!("{place}/{index}"), base)?;
                }
            }
            Value::Object(map) if MAPS.contains(&keyword) => {
                for (name, schema) in map {
                    self.visit(schema, &format!("{place}/{}", escaped(name)), base)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the place where the base of `place` begins.
    pub(crate) fn resource_of(&self, place: &str) -> &str {
        let holds = |start: &str| {
            place
                .strip_prefix(start)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let begun = self.bases.keys().filter(|start| holds(start));
        begun
            .max_by_key(|start| start.len())
            .map_or("", String::as_str)
    }

    /// Finds what a reference at `place` leads to; the error finishes "this value …".
    pub(crate) fn resolve(&self, place: &str, reference: &str) -> Result<Target, String> {
        let base = &self.bases[self.resource_of(place)];
        let mut uri = base
            .join(reference)
            .map_err(|_| "is not a URI reference".to_owned())?;
        let fragment = uri.fragment().map(decoded).unwrap_or_default();
        uri.set_fragment(None);
        let Some(start) = self.by_uri.get(uri.as_str()) else {
            return Err("leads to another document; only this one is looked at".to_owned());
        };
        if fragment.is_empty() || fragment.starts_with('/') {
            return Ok(Target {
                place: format!("{start}{fragment}"),
                dynamic: None,
            });
        }
        let key = (uri.to_string(), fragment);
        let found = self.anchors.get(&key);
        let place = found.ok_or_else(|| "names an anchor that there is not".to_owned())?;
        let is_dynamic = |(at, name): &(String, String)| at == place && *name == key.1;
        let is_dynamic = self.dynamic.iter().any(is_dynamic);
        Ok(Target {
            place: place.clone(),
            dynamic: is_dynamic.then_some(key.1),
        })
    }
}

/// Writes a name as a token of a JSON pointer.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn decoded(fragment: &str) -> String {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let (b'%', Some(byte)) = (first, byte) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

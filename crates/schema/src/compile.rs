//! Compiles a schema document into nodes that refer to each other by number.
//!
//! Nodes are compiled from a list of work and never by recursion. A place that is referred to many
//! times is one node.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::keywords::Keyword;
use crate::resources::{Resources, Target};

/// The draft that is understood.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// What one schema, and one check against it, may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Places of the document that are schemas.
    pub nodes: usize,
    /// Patterns.
    pub patterns: usize,
    /// Steps of one check.
    pub steps: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            nodes: 5_000,
            patterns: 64,
            steps: 200_000,
        }
    }
}

/// A document that is not a schema, or not one that can be checked within bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Invalid {
    /// Where: names and positions from the top of the document.
    pub place: Vec<String>,
    /// Finishes the sentence "this value …".
    pub why: String,
}

impl Invalid {
    pub(crate) fn new(pointer: &str, why: impl Into<String>) -> Self {
        let tokens = pointer.split('/').skip(1);
        let name = |token: &str| token.replace("~1", "/").replace("~0", "~");
        Self {
            place: tokens.map(name).collect(),
            why: why.into(),
        }
    }
}

/// The number of a node.
pub(crate) type NodeId = usize;

/// One schema of a document.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Where its base begins, as a number.
    pub(crate) resource: usize,
    pub(crate) keywords: Vec<Keyword>,
}

/// A compiled schema. Shared between threads as it is.
#[derive(Debug)]
pub struct Schema {
    pub(crate) nodes: Vec<Node>,
    /// What a dynamic anchor of a resource names.
    pub(crate) dynamic: HashMap<(usize, String), NodeId>,
    /// Whether anything asks what was evaluated; otherwise nothing keeps book.
    pub(crate) tracks: bool,
    pub(crate) steps: u64,
}

/// Says whether a document declares a draft other than 2020-12.
pub fn is_other_draft(document: &Value) -> bool {
    match document.get("$schema") {
        Some(Value::String(draft)) => draft.trim_end_matches('#') != DRAFT,
        _ => false,
    }
}

impl Schema {
    /// Compiles a document, an object or a boolean.
    pub fn compile(document: &Value, bounds: Bounds) -> Result<Self, Invalid> {
        if is_other_draft(document) {
            let why = format!("is a draft that cannot be checked; {DRAFT} can");
            return Err(Invalid::new("/$schema", why));
        }
        let mut compiler = Compiler {
            document,
            bounds,
            resources: Resources::scan(document)?,
            ids: HashMap::new(),
            resource_ids: HashMap::new(),
            work: Vec::new(),
            patterns: 0,
        };
        let mut schema = Self {
            nodes: Vec::new(),
            dynamic: HashMap::new(),
            tracks: false,
            steps: bounds.steps,
        };
        compiler.node(String::new());
        let anchors = compiler.resources.dynamic.clone();
        for (place, name) in anchors {
            let resource = compiler.resource(&place);
            let node = compiler.node(place);
            schema.dynamic.insert((resource, name), node);
        }
        while let Some((id, place)) = compiler.work.pop() {
            if compiler.ids.len() > bounds.nodes {
                let why = format!("has more than {} schemas in it", bounds.nodes);
                return Err(Invalid::new("", why));
            }
            let node = compiler.compile(&place)?;
            schema.tracks |= node.keywords.iter().any(Keyword::asks_what_was_evaluated);
            if schema.nodes.len() <= id {
                schema.nodes.resize_with(id + 1, Node::default);
            }
            schema.nodes[id] = node;
        }
        Ok(schema)
    }
}

/// What is known while a document is compiled.
pub(crate) struct Compiler<'a> {
    document: &'a Value,
    bounds: Bounds,
    resources: Resources,
    ids: HashMap<String, NodeId>,
    resource_ids: HashMap<String, usize>,
    work: Vec<(NodeId, String)>,
    patterns: usize,
}

impl Compiler<'_> {
    /// Returns the number of the node at a place, which is compiled later.
    pub(crate) fn node(&mut self, place: String) -> NodeId {
        if let Some(id) = self.ids.get(&place) {
            return *id;
        }
        let id = self.ids.len();
        self.ids.insert(place.clone(), id);
        self.work.push((id, place));
        id
    }

    fn resource(&mut self, place: &str) -> usize {
        let start = self.resources.resource_of(place).to_owned();
        let next = self.resource_ids.len();
        *self.resource_ids.entry(start).or_insert(next)
    }

    fn compile(&mut self, place: &str) -> Result<Node, Invalid> {
        let resource = self.resource(place);
        let keywords = match self.document.pointer(place) {
            Some(Value::Bool(true)) => Vec::new(),
            Some(Value::Bool(false)) => vec![Keyword::Never],
            Some(Value::Object(map)) => Keyword::of(map, place, self)?,
            Some(_) => {
                return Err(Invalid::new(
                    place,
                    "must be a schema: an object or a boolean",
                ));
            }
            None => return Err(Invalid::new(place, "is referred to and is not there")),
        };
        Ok(Node { resource, keywords })
    }

    /// Follows a reference; a fault is one of the reference.
    pub(crate) fn target(&mut self, place: &str, text: &Value) -> Result<Target, Invalid> {
        let Some(text) = text.as_str() else {
            return Err(Invalid::new(place, "must be a string"));
        };
        let target = self.resources.resolve(place, text);
        let target = target.map_err(|why| Invalid::new(place, why))?;
        if self.document.pointer(&target.place).is_none() {
            return Err(Invalid::new(place, "leads to nothing in this schema"));
        }
        Ok(target)
    }

    /// Compiles a pattern, while there are not too many.
    pub(crate) fn pattern(&mut self, place: &str, text: &str) -> Result<regex::Regex, Invalid> {
        self.patterns += 1;
        if self.patterns > self.bounds.patterns {
            let max = self.bounds.patterns;
            return Err(Invalid::new(
                place,
                format!("is one pattern more than {max}"),
            ));
        }
        crate::pattern::compile(text).map_err(|why| Invalid::new(place, why))
    }
}

/// The members of a schema that is an object, with its place.
pub(crate) type Members = Map<String, Value>;

//! Checks one value against a compiled schema, on a budget.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::Value;

use crate::compile::{NodeId, Schema};
use crate::keywords::{Branches, Contains, Counted, Keyword, Measure, MemberSchemas, Type};
use crate::number::{canonical, compare, is_integer, is_multiple};

/// Mismatches that are reported of one value, at the most.
pub const MISMATCHES_MAX: usize = 20;
/// How deep schemas may be applied within each other.
const DEPTH_MAX: usize = 256;

/// Where a value does not match, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Names and positions from the top of the value.
    pub path: Vec<String>,
    /// Finishes the sentence "this value …".
    pub msg: String,
}

impl Schema {
    /// Checks a value; the error has at least one mismatch and at most [`MISMATCHES_MAX`].
    pub fn check(&self, value: &Value) -> Result<(), Vec<Mismatch>> {
        let mut check = Check {
            schema: self,
            steps: self.steps,
            depth: 0,
            scope: Vec::new(),
            path: Vec::new(),
            silent: 0,
            mismatches: Vec::new(),
        };
        match check.apply(0, value) {
            Ok(outcome) if outcome.matches => Ok(()),
            Ok(_) => Err(check.mismatches),
            Err(Stop(msg)) => Err(vec![Mismatch {
                path: Vec::new(),
                msg: msg.to_owned(),
            }]),
        }
    }
}

/// The check ended without a verdict, which refuses the value.
struct Stop(&'static str);

/// The part of a value that a mismatch is reported for.
#[derive(Clone, Copy)]
enum Part<'v> {
    Member(&'v str),
    Item(usize),
}

/// What a schema said of a value, and which of its parts it looked at.
#[derive(Default)]
struct Outcome<'v> {
    matches: bool,
    seen: Seen<'v>,
}

#[derive(Default)]
struct Seen<'v> {
    members: HashSet<&'v str>,
    items: HashSet<usize>,
}

impl Seen<'_> {
    fn add(&mut self, other: Self) {
        self.members.extend(other.members);
        self.items.extend(other.items);
    }
}

struct Check<'s, 'v> {
    schema: &'s Schema,
    steps: u64,
    depth: usize,
    /// The resources that were entered, for dynamic references.
    scope: Vec<usize>,
    path: Vec<Part<'v>>,
    /// Above zero in a branch whose mismatches are nobody's fault.
    silent: usize,
    mismatches: Vec<Mismatch>,
}

type Verdict = Result<bool, Stop>;

impl<'s, 'v> Check<'s, 'v> {
    fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        let left = self.steps.checked_sub(steps as u64);
        self.steps = left.ok_or(Stop("takes more steps to check than are allowed"))?;
        Ok(())
    }

    fn apply(&mut self, node: NodeId, value: &'v Value) -> Result<Outcome<'v>, Stop> {
        self.spend(1)?;
        if self.depth == DEPTH_MAX {
            return Err(Stop("is nested too deeply, or its schema refers to itself"));
        }
        let schema = self.schema;
        let node = &schema.nodes[node];
        let enters = self.scope.last() != Some(&node.resource);
        if enters {
            self.scope.push(node.resource);
        }
        self.depth += 1;
        let mut outcome = Outcome {
            matches: true,
            seen: Seen::default(),
        };
        for keyword in &node.keywords {
            let matches = self.keyword(keyword, value, &mut outcome.seen)?;
            outcome.matches &= matches;
            if !matches && (self.silent > 0 || self.mismatches.len() == MISMATCHES_MAX) {
                break;
            }
        }
        self.depth -= 1;
        if enters {
            self.scope.pop();
        }
        if !outcome.matches {
            outcome.seen = Seen::default();
        }
        Ok(outcome)
    }

    fn keyword(&mut self, keyword: &'s Keyword, value: &'v Value, seen: &mut Seen<'v>) -> Verdict {
        match keyword {
            Keyword::PrefixItems(nodes) => self.items(0, nodes, value, seen),
            Keyword::Items(from, node) => self.all_items(*from, *node, value, seen),
            Keyword::Contains(contains) => self.contains(contains, value, seen),
            Keyword::Members(schemas) => self.members(schemas, value, seen),
            Keyword::PropertyNames(node) => self.names(*node, value),
            Keyword::DependentSchemas(pairs) => {
                let mut matches = true;
                for (name, node) in pairs {
                    if value.as_object().is_some_and(|map| map.contains_key(name)) {
                        matches &= self.in_place(*node, value, seen)?;
                    }
                }
                Ok(matches)
            }
            Keyword::AllOf(nodes) => {
                let mut matches = true;
                for node in nodes {
                    matches &= self.in_place(*node, value, seen)?;
                }
                Ok(matches)
            }
            Keyword::AnyOf(nodes) => self.any_of(nodes, value, seen),
            Keyword::OneOf(nodes) => self.one_of(nodes, value, seen),
            Keyword::Not(node) => {
                let matches = self.silently(*node, value)?.matches;
                self.demand(!matches, || "matches what it must not".to_owned())
            }
            Keyword::If(branches) => self.branch(branches, value, seen),
            Keyword::Ref(node) => self.in_place(*node, value, seen),
            Keyword::DynamicRef(node, name) => {
                let node = name
                    .as_ref()
                    .and_then(|name| self.dynamic(name))
                    .unwrap_or(*node);
                self.in_place(node, value, seen)
            }
            Keyword::UnevaluatedItems(node) => self.unevaluated_items(*node, value, seen),
            Keyword::UnevaluatedProperties(node) => self.unevaluated_members(*node, value, seen),
            plain => self.plain(plain, value),
        }
    }

    /// Demands that need no other schema.
    fn plain(&mut self, keyword: &Keyword, value: &Value) -> Verdict {
        match (keyword, value) {
            (Keyword::Never, _) => self.demand(false, || "is not allowed".to_owned()),
            (Keyword::Types(types), _) => {
                let matches = types.iter().any(|known| is_of(*known, value));
                self.demand(matches, || {
                    let names: Vec<_> = types.iter().map(|known| known.name()).collect();
                    format!("must be {}", names.join(" or "))
                })
            }
            (Keyword::Enum(texts), _) => {
                let text = self.canonical(value)?;
                self.demand(texts.contains(&text), || one_of_texts(texts))
            }
            (Keyword::Const(expected), _) => {
                let text = self.canonical(value)?;
                self.demand(text == *expected, || format!("must be {}", short(expected)))
            }
            (Keyword::Number(measure, bound), Value::Number(number)) => {
                let (matches, words) = match measure {
                    Measure::MultipleOf => (is_multiple(number, bound), "must be a multiple of"),
                    Measure::Maximum => (compare(number, bound).is_le(), "must be at most"),
                    Measure::ExclusiveMaximum => (compare(number, bound).is_lt(), "must be below"),
                    Measure::Minimum => (compare(number, bound).is_ge(), "must be at least"),
                    Measure::ExclusiveMinimum => (compare(number, bound).is_gt(), "must be above"),
                };
                self.demand(matches, || format!("{words} {bound}"))
            }
            (Keyword::Count(counted, bound), _) => self.count(*counted, *bound, value),
            (Keyword::Pattern(pattern, text), Value::String(string)) => {
                self.spend(string.len() / 8)?;
                self.demand(pattern.is_match(string), || {
                    format!("must match the pattern {}", short(text))
                })
            }
            (Keyword::UniqueItems, Value::Array(items)) => self.unique(items),
            (Keyword::Required(names), Value::Object(_)) => self.required(names, value),
            (Keyword::DependentRequired(pairs), Value::Object(map)) => {
                let mut matches = true;
                for (name, names) in pairs {
                    if map.contains_key(name) {
                        matches &= self.required(names, value)?;
                    }
                }
                Ok(matches)
            }
            _ => Ok(true), // A demand on another type of value.
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "its callers are arms that end in it"
    )]
    fn demand(&mut self, holds: bool, msg: impl FnOnce() -> String) -> Verdict {
        if !holds && self.silent == 0 && self.mismatches.len() < MISMATCHES_MAX {
            let part = |part: &Part<'_>| match part {
                Part::Member(name) => (*name).to_owned(),
                Part::Item(index) => index.to_string(),
            };
            self.mismatches.push(Mismatch {
                path: self.path.iter().map(part).collect(),
                msg: msg(),
            });
        }
        Ok(holds)
    }

    fn canonical(&mut self, value: &Value) -> Result<String, Stop> {
        let mut text = String::new();
        canonical(value, &mut text);
        self.spend(text.len() / 8)?;
        Ok(text)
    }

    fn count(&mut self, counted: Counted, bound: u64, value: &Value) -> Verdict {
        let (count, what) = match (counted, value) {
            (Counted::MaxLength | Counted::MinLength, Value::String(text)) => {
                (text.chars().count(), "characters")
            }
            (Counted::MaxItems | Counted::MinItems, Value::Array(items)) => (items.len(), "items"),
            (Counted::MaxProperties | Counted::MinProperties, Value::Object(map)) => {
                (map.len(), "properties")
            }
            _ => return Ok(true),
        };
        let is_max = matches!(
            counted,
            Counted::MaxLength | Counted::MaxItems | Counted::MaxProperties
        );
        let order = (count as u64).cmp(&bound);
        if is_max {
            let msg = || format!("has {count} {what}; at most {bound} are allowed");
            self.demand(order != Ordering::Greater, msg)
        } else {
            let msg = || format!("has {count} {what}; at least {bound} are needed");
            self.demand(order != Ordering::Less, msg)
        }
    }

    fn unique(&mut self, items: &[Value]) -> Verdict {
        let mut texts = HashSet::with_capacity(items.len());
        for item in items {
            let text = self.canonical(item)?;
            if !texts.insert(text) {
                return self.demand(false, || "has an item twice".to_owned());
            }
        }
        Ok(true)
    }

    fn required(&mut self, names: &[String], value: &Value) -> Verdict {
        let mut matches = true;
        for name in names {
            let holds = value.get(name).is_some();
            matches &= self.demand(holds, || {
                format!("has no {}, which is required", short(name))
            })?;
        }
        Ok(matches)
    }

    // ---- Schemas within schemas ----------------------------------------------------------------

    fn in_place(&mut self, node: NodeId, value: &'v Value, seen: &mut Seen<'v>) -> Verdict {
        let outcome = self.apply(node, value)?;
        seen.add(outcome.seen);
        Ok(outcome.matches)
    }

    fn silently(&mut self, node: NodeId, value: &'v Value) -> Result<Outcome<'v>, Stop> {
        self.silent += 1;
        let outcome = self.apply(node, value)?;
        self.silent -= 1;
        Ok(outcome)
    }

    fn below(&mut self, part: Part<'v>, node: NodeId, value: &'v Value) -> Verdict {
        self.path.push(part);
        let outcome = self.apply(node, value)?;
        self.path.pop();
        Ok(outcome.matches)
    }

    fn any_of(&mut self, nodes: &[NodeId], value: &'v Value, seen: &mut Seen<'v>) -> Verdict {
        let mut matches = false;
        for node in nodes {
            let outcome = self.silently(*node, value)?;
            seen.add(outcome.seen);
            matches |= outcome.matches;
            if matches && !self.schema.tracks {
                break; // The others could only add to what was evaluated.
            }
        }
        let len = nodes.len();
        self.demand(matches, || {
            format!("matches none of the {len} schemas of anyOf")
        })
    }

    fn one_of(&mut self, nodes: &[NodeId], value: &'v Value, seen: &mut Seen<'v>) -> Verdict {
        let mut count = 0;
        for node in nodes {
            let outcome = self.silently(*node, value)?;
            seen.add(outcome.seen);
            count += usize::from(outcome.matches);
        }
        let len = nodes.len();
        self.demand(count == 1, || match count {
            0 => format!("matches none of the {len} schemas of oneOf"),
            _ => format!("matches {count} of the {len} schemas of oneOf, and must match one"),
        })
    }

    fn branch(&mut self, branches: &Branches, value: &'v Value, seen: &mut Seen<'v>) -> Verdict {
        let test = self.silently(branches.test, value)?;
        seen.add(test.seen);
        let next = if test.matches {
            branches.then
        } else {
            branches.otherwise
        };
        next.map_or(Ok(true), |node| self.in_place(node, value, seen))
    }

    /// Finds what a dynamic anchor names in the outermost resource that has it.
    fn dynamic(&self, name: &str) -> Option<NodeId> {
        let find = |resource: &usize| self.schema.dynamic.get(&(*resource, name.to_owned()));
        self.scope.iter().find_map(find).copied()
    }

    fn items(
        &mut self,
        from: usize,
        nodes: &[NodeId],
        value: &'v Value,
        seen: &mut Seen<'v>,
    ) -> Verdict {
        let Value::Array(items) = value else {
            return Ok(true);
        };
        let mut matches = true;
        for (index, (item, node)) in items.iter().skip(from).zip(nodes).enumerate() {
            matches &= self.below(Part::Item(from + index), *node, item)?;
            self.note_item(from + index, seen);
        }
        Ok(matches)
    }

    fn all_items(
        &mut self,
        from: usize,
        node: NodeId,
        value: &'v Value,
        seen: &mut Seen<'v>,
    ) -> Verdict {
        let len = value.as_array().map_or(0, Vec::len).saturating_sub(from);
        self.items(from, &vec![node; len], value, seen)
    }

    fn note_item(&self, index: usize, seen: &mut Seen<'v>) {
        if self.schema.tracks {
            seen.items.insert(index);
        }
    }

    fn note_member(&self, name: &'v str, seen: &mut Seen<'v>) {
        if self.schema.tracks {
            seen.members.insert(name);
        }
    }

    fn contains(&mut self, contains: &Contains, value: &'v Value, seen: &mut Seen<'v>) -> Verdict {
        let Value::Array(items) = value else {
            return Ok(true);
        };
        let mut count = 0;
        for (index, item) in items.iter().enumerate() {
            if self.silently(contains.node, item)?.matches {
                count += 1;
                self.note_item(index, seen);
            }
        }
        let Contains { min, max, .. } = *contains;
        self.demand((min..=max).contains(&count), || {
            if count < min {
                format!("contains {count} of what at least {min} are needed of")
            } else {
                format!("contains {count} of what at most {max} are allowed of")
            }
        })
    }

    fn members(
        &mut self,
        schemas: &'s MemberSchemas,
        value: &'v Value,
        seen: &mut Seen<'v>,
    ) -> Verdict {
        let Value::Object(map) = value else {
            return Ok(true);
        };
        let mut matches = true;
        for (name, member) in map {
            let mut nodes: Vec<NodeId> = schemas.by_name.get(name).copied().into_iter().collect();
            for (pattern, node) in &schemas.by_pattern {
                self.spend(1 + name.len() / 8)?;
                if pattern.is_match(name) {
                    nodes.push(*node);
                }
            }
            if nodes.is_empty() {
                nodes.extend(schemas.others);
            }
            if !nodes.is_empty() {
                self.note_member(name, seen);
            }
            for node in nodes {
                matches &= self.below(Part::Member(name), node, member)?;
            }
        }
        Ok(matches)
    }

    fn names(&mut self, node: NodeId, value: &Value) -> Verdict {
        let Value::Object(map) = value else {
            return Ok(true);
        };
        let mut matches = true;
        for name in map.keys() {
            let name_value = Value::String(name.clone());
            let mut check = Check {
                schema: self.schema,
                steps: self.steps,
                depth: self.depth,
                scope: self.scope.clone(),
                path: Vec::new(),
                silent: 1,
                mismatches: Vec::new(),
            };
            let holds = check.apply(node, &name_value)?.matches;
            self.steps = check.steps;
            matches &= self.demand(holds, || {
                format!(
                    "has a property with a name that is not allowed: {}",
                    short(name)
                )
            })?;
        }
        Ok(matches)
    }

    fn unevaluated_items(
        &mut self,
        node: NodeId,
        value: &'v Value,
        seen: &mut Seen<'v>,
    ) -> Verdict {
        let Value::Array(items) = value else {
            return Ok(true);
        };
        let mut matches = true;
        for (index, item) in items.iter().enumerate() {
            if !seen.items.contains(&index) {
                matches &= self.below(Part::Item(index), node, item)?;
                self.note_item(index, seen);
            }
        }
        Ok(matches)
    }

    fn unevaluated_members(
        &mut self,
        node: NodeId,
        value: &'v Value,
        seen: &mut Seen<'v>,
    ) -> Verdict {
        let Value::Object(map) = value else {
            return Ok(true);
        };
        let mut matches = true;
        for (name, member) in map {
            if !seen.members.contains(name.as_str()) {
                matches &= self.below(Part::Member(name), node, member)?;
                self.note_member(name, seen);
            }
        }
        Ok(matches)
    }
}

fn is_of(known: Type, value: &Value) -> bool {
    match (known, value) {
        (Type::Null, Value::Null)
        | (Type::Boolean, Value::Bool(_))
        | (Type::Number, Value::Number(_))
        | (Type::String, Value::String(_))
        | (Type::Array, Value::Array(_))
        | (Type::Object, Value::Object(_)) => true,
        (Type::Integer, Value::Number(number)) => is_integer(number),
        _ => false,
    }
}

/// Shortens a text of the schema's, so that an error stays one line of bearable length.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(CHARS_MAX).collect();
    format!("{start}…")
}

fn one_of_texts(texts: &[String]) -> String {
    short(&format!("must be one of {}", texts.join(", ")))
}

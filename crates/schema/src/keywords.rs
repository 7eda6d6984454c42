//! What a schema demands, keyword by keyword.

use regex::Regex;
use serde_json::{Number, Value};

use crate::compile::{Compiler, Invalid, Members, NodeId};
use crate::number::canonical;
use crate::resources::escaped;

/// One demand. Those that ask what the others evaluated come last in a node.
#[derive(Debug)]
pub(crate) enum Keyword {
    Never,
    Types(Vec<Type>),
    /// One of these texts of values.
    Enum(Vec<String>),
    Const(String),
    Number(Measure, Number),
    /// A count of characters, items or members.
    Count(Counted, u64),
    Pattern(Regex, String),
    PrefixItems(Vec<NodeId>),
    /// Items from a position on.
    Items(usize, NodeId),
    Contains(Contains),
    UniqueItems,
    Members(MemberSchemas),
    PropertyNames(NodeId),
    Required(Vec<String>),
    DependentRequired(Vec<(String, Vec<String>)>),
    DependentSchemas(Vec<(String, NodeId)>),
    AllOf(Vec<NodeId>),
    AnyOf(Vec<NodeId>),
    OneOf(Vec<NodeId>),
    Not(NodeId),
    If(Branches),
    Ref(NodeId),
    DynamicRef(NodeId, Option<String>),
    UnevaluatedItems(NodeId),
    UnevaluatedProperties(NodeId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    MultipleOf,
    Maximum,
    ExclusiveMaximum,
    Minimum,
    ExclusiveMinimum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    MaxLength,
    MinLength,
    MaxItems,
    MinItems,
    MaxProperties,
    MinProperties,
}

#[derive(Debug)]
pub(crate) struct Contains {
    pub(crate) node: NodeId,
    pub(crate) min: u64,
    pub(crate) max: u64,
}

/// `properties`, `patternProperties` and `additionalProperties`, which depend on each other.
#[derive(Debug, Default)]
pub(crate) struct MemberSchemas {
    pub(crate) by_name: std::collections::HashMap<String, NodeId>,
    pub(crate) by_pattern: Vec<(Regex, NodeId)>,
    pub(crate) others: Option<NodeId>,
}

#[derive(Debug)]
pub(crate) struct Branches {
    pub(crate) test: NodeId,
    pub(crate) then: Option<NodeId>,
    pub(crate) otherwise: Option<NodeId>,
}

impl Type {
    const ALL: [(&'static str, Self); 7] = [
        ("null", Self::Null),
        ("boolean", Self::Boolean),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("string", Self::String),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    fn parse(value: &Value) -> Option<Self> {
        let name = value.as_str()?;
        let found = Self::ALL.iter().find(|(known, _)| *known == name)?;
        Some(found.1)
    }

    pub(crate) fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, known)| *known == self);
        found.map_or("", |(name, _)| name)
    }
}

/// A keyword being read: its name, value and place.
struct Reading<'a, 'c, 'd> {
    compiler: &'c mut Compiler<'d>,
    members: &'a Members,
    place: String,
    value: &'a Value,
}

impl Keyword {
    pub(crate) fn asks_what_was_evaluated(&self) -> bool {
        matches!(
            self,
            Self::UnevaluatedItems(_) | Self::UnevaluatedProperties(_)
        )
    }

    /// Reads the members of a schema.
    pub(crate) fn of(
        members: &Members,
        place: &str,
        compiler: &mut Compiler<'_>,
    ) -> Result<Vec<Self>, Invalid> {
        let mut keywords = Vec::new();
        for (name, value) in members {
            let reading = Reading {
                compiler,
                members,
                place: format!("{place}/{}", escaped(name)),
                value,
            };
            keywords.extend(reading.keyword(name, place)?);
        }
        let is_about = |name: &&str| members.contains_key(*name);
        let names = ["properties", "patternProperties", "additionalProperties"];
        if names.iter().any(is_about) {
            keywords.push(Self::Members(member_schemas(members, place, compiler)?));
        }
        keywords.sort_by_key(Self::asks_what_was_evaluated);
        Ok(keywords)
    }
}

impl Reading<'_, '_, '_> {
    fn keyword(mut self, name: &str, schema: &str) -> Result<Option<Keyword>, Invalid> {
        Ok(Some(match name {
            "type" => Keyword::Types(self.types()?),
            "enum" => Keyword::Enum(self.array()?.iter().map(text).collect()),
            "const" => Keyword::Const(text(self.value)),
            "pattern" => {
                let pattern = self.string()?;
                Keyword::Pattern(self.compiler.pattern(&self.place, &pattern)?, pattern)
            }
            "prefixItems" => Keyword::PrefixItems(self.nodes()?),
            "items" => {
                let prefix = self.members.get("prefixItems").and_then(Value::as_array);
                Keyword::Items(prefix.map_or(0, Vec::len), self.node())
            }
            "contains" => Keyword::Contains(self.contains()?),
            "uniqueItems" => match self.value.as_bool() {
                Some(true) => Keyword::UniqueItems,
                Some(false) => return Ok(None),
                None => return Err(self.fault("must be a boolean")),
            },
            "propertyNames" => Keyword::PropertyNames(self.node()),
            "required" => Keyword::Required(strings(self.value).ok_or_else(|| self.names())?),
            "dependentRequired" => Keyword::DependentRequired(self.dependent_required()?),
            "dependentSchemas" => Keyword::DependentSchemas(self.named_nodes()?),
            "allOf" => Keyword::AllOf(self.nodes()?),
            "anyOf" => Keyword::AnyOf(self.nodes()?),
            "oneOf" => Keyword::OneOf(self.nodes()?),
            "not" => Keyword::Not(self.node()),
            "if" => Keyword::If(Branches {
                test: self.node(),
                then: self.beside(schema, "then"),
                otherwise: self.beside(schema, "else"),
            }),
            "$ref" => {
                let target = self.compiler.target(&self.place, self.value)?;
                Keyword::Ref(self.compiler.node(target.place))
            }
            "$dynamicRef" => {
                let target = self.compiler.target(&self.place, self.value)?;
                Keyword::DynamicRef(self.compiler.node(target.place), target.dynamic)
            }
            "unevaluatedItems" => Keyword::UnevaluatedItems(self.node()),
            "unevaluatedProperties" => Keyword::UnevaluatedProperties(self.node()),
            _ => return self.measured(name),
        }))
    }

    fn measured(&self, name: &str) -> Result<Option<Keyword>, Invalid> {
        let counted = match name {
            "maxLength" => Counted::MaxLength,
            "minLength" => Counted::MinLength,
            "maxItems" => Counted::MaxItems,
            "minItems" => Counted::MinItems,
            "maxProperties" => Counted::MaxProperties,
            "minProperties" => Counted::MinProperties,
            _ => return self.number(name),
        };
        Ok(Some(Keyword::Count(counted, self.count(self.value)?)))
    }

    fn number(&self, name: &str) -> Result<Option<Keyword>, Invalid> {
        let measure = match name {
            "multipleOf" => Measure::MultipleOf,
            "maximum" => Measure::Maximum,
            "exclusiveMaximum" => Measure::ExclusiveMaximum,
            "minimum" => Measure::Minimum,
            "exclusiveMinimum" => Measure::ExclusiveMinimum,
            _ => return Ok(None), // A note for people, or a keyword of somebody else's.
        };
        let Value::Number(number) = self.value else {
            return Err(self.fault("must be a number"));
        };
        if measure == Measure::MultipleOf && number.as_f64().is_none_or(|value| value <= 0.0) {
            return Err(self.fault("must be above 0"));
        }
        Ok(Some(Keyword::Number(measure, number.clone())))
    }

    fn fault(&self, why: &str) -> Invalid {
        Invalid::new(&self.place, why)
    }

    fn names(&self) -> Invalid {
        self.fault("must be an array of strings")
    }

    fn node(&mut self) -> NodeId {
        self.compiler.node(self.place.clone())
    }

    /// Returns the schema under another keyword of the same schema.
    fn beside(&mut self, schema: &str, name: &str) -> Option<NodeId> {
        let is_there = self.members.contains_key(name);
        is_there.then(|| self.compiler.node(format!("{schema}/{name}")))
    }

    fn array(&self) -> Result<&[Value], Invalid> {
        let array = self.value.as_array().map(Vec::as_slice);
        array.ok_or_else(|| self.fault("must be an array"))
    }

    fn string(&self) -> Result<String, Invalid> {
        let string = self.value.as_str().map(str::to_owned);
        string.ok_or_else(|| self.fault("must be a string"))
    }

    fn count(&self, value: &Value) -> Result<u64, Invalid> {
        let whole = value.as_u64().or_else(|| {
            let float = value.as_f64().filter(|float| float.fract() == 0.0)?;
            format!("{float:.0}").parse().ok()
        });
        whole.ok_or_else(|| self.fault("must be a whole number of at least 0"))
    }

    fn types(&self) -> Result<Vec<Type>, Invalid> {
        let why = "must be a type, or an array of types: null, boolean, integer, number, string, \
                   array, object";
        let given = match self.value {
            Value::Array(types) => types.as_slice(),
            one => std::slice::from_ref(one),
        };
        let types: Option<Vec<Type>> = given.iter().map(Type::parse).collect();
        types.ok_or_else(|| self.fault(why))
    }

    fn nodes(&mut self) -> Result<Vec<NodeId>, Invalid> {
        let len = self.array()?.len();
        if len == 0 {
            return Err(self.fault("must have at least one schema"));
        }
        let place = &self.place;
        let node = |index| self.compiler.node(format!("{place}/{index}"));
        Ok((0..len).map(node).collect())
    }

    fn named_nodes(&mut self) -> Result<Vec<(String, NodeId)>, Invalid> {
        let Value::Object(map) = self.value else {
            return Err(self.fault("must be an object of schemas"));
        };
        let place = &self.place;
        let named = map.keys().map(|name| {
            let node = self.compiler.node(format!("{place}/{}", escaped(name)));
            (name.clone(), node)
        });
        Ok(named.collect())
    }

    fn contains(&mut self) -> Result<Contains, Invalid> {
        let bound = |name: &str, default| match self.members.get(name) {
            None => Ok(default),
            Some(value) => self.count(value),
        };
        Ok(Contains {
            min: bound("minContains", 1)?,
            max: bound("maxContains", u64::MAX)?,
            node: self.node(),
        })
    }

    fn dependent_required(&self) -> Result<Vec<(String, Vec<String>)>, Invalid> {
        let Value::Object(map) = self.value else {
            return Err(self.fault("must be an object of arrays of strings"));
        };
        let read = |(name, value): (&String, &Value)| Some((name.clone(), strings(value)?));
        let pairs: Option<_> = map.iter().map(read).collect();
        pairs.ok_or_else(|| self.fault("must be an object of arrays of strings"))
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let string = |item: &Value| item.as_str().map(str::to_owned);
    value.as_array()?.iter().map(string).collect()
}

fn text(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    text
}

fn member_schemas(
    members: &Members,
    place: &str,
    compiler: &mut Compiler<'_>,
) -> Result<MemberSchemas, Invalid> {
    let mut schemas = MemberSchemas::default();
    for keyword in ["properties", "patternProperties"] {
        let below = format!("{place}/{keyword}");
        let map = match members.get(keyword) {
            None => continue,
            Some(Value::Object(map)) => map,
            Some(_) => return Err(Invalid::new(&below, "must be an object of schemas")),
        };
        for name in map.keys() {
            let place = format!("{below}/{}", escaped(name));
            let node = compiler.node(place.clone());
            if keyword == "properties" {
                schemas.by_name.insert(name.clone(), node);
            } else {
                let pattern = compiler.pattern(&place, name)?;
                schemas.by_pattern.push((pattern, node));
            }
        }
    }
    if members.contains_key("additionalProperties") {
        schemas.others = Some(compiler.node(format!("{place}/additionalProperties")));
    }
    Ok(schemas)
}

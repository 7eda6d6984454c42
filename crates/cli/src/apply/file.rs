//! The file: applications and their sources, in TOML, in the manner of the server's settings.

use std::path::Path;

use serde_json::{Map, Value, json};
use toml::Table;

use crate::exit::Failure;
use crate::text::Hidden;

/// The most bytes of a file that a secret is read from.
const SECRET_LEN_MAX: usize = 64 * 1024;

/// Fields of a source, as the file names them and as the API does.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("name", "name"),
    ("provider", "provider"),
    ("scheme", "scheme"),
    ("public_url", "publicUrl"),
    ("verify", "verify"),
    ("tolerance_seconds", "toleranceSeconds"),
    ("max_body_bytes", "maxBodyBytes"),
    ("content_types", "contentTypes"),
    ("deduplication", "deduplication"),
    ("event_type", "eventType"),
    ("response", "response"),
    ("allowed_ips", "allowedIps"),
    ("requests_per_second", "requestsPerSecond"),
    ("metadata", "metadata"),
];

/// Fields within the objects of a source, as the file names them and as the API does.
const WITHIN: &[(&str, &[(&str, &str)])] = &[
    (
        "deduplication",
        &[
            ("keys", "keys"),
            ("window_seconds", "windowSeconds"),
            ("conflict", "conflict"),
            ("replay_guard", "replayGuard"),
        ],
    ),
    (
        "event_type",
        &[
            ("from", "from"),
            ("template", "template"),
            ("fallback", "fallback"),
        ],
    ),
    (
        "response",
        &[
            ("status", "status"),
            ("body", "body"),
            ("content_type", "contentType"),
        ],
    ),
];

/// An application as the file has it.
#[derive(Debug)]
pub(super) struct Application {
    pub(super) uid: String,
    pub(super) name: Option<String>,
    pub(super) sources: Vec<Source>,
}

/// A source as the file has it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) uid: String,
    /// By the names of the API.
    pub(super) fields: Map<String, Value>,
    /// The file says which secrets; otherwise they stay as they are.
    pub(super) names_secrets: bool,
    pub(super) secrets: Vec<Hidden>,
    pub(super) verify_token: Option<Hidden>,
    pub(super) paused: bool,
}

impl Source {
    /// What creates it.
    pub(super) fn whole(&self) -> Value {
        let mut body = self.fields.clone();
        body.insert("uid".to_owned(), json!(self.uid));
        if self.names_secrets {
            let secrets: Vec<&str> = self.secrets.iter().map(Hidden::reveal).collect();
            body.insert("secrets".to_owned(), json!(secrets));
        }
        if let Some(token) = &self.verify_token {
            body.insert("verifyToken".to_owned(), json!(token.reveal()));
        }
        Value::Object(body)
    }
}

/// Reads a file, and the secrets that it refers to; the error lists every fault.
///
/// `variable` reads a variable of the environment. Files are looked for beside this one.
pub(super) fn read(
    name: &str,
    bytes: &[u8],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Application>, Failure> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Failure::usage(format!("{name} is no text")))?;
    let table: Table = text
        .parse()
        .map_err(|error| Failure::usage(format!("{name} is not TOML: {error}")))?;
    let mut reading = Reading {
        beside: Path::new(name).parent().unwrap_or(Path::new("")),
        variable: &variable,
        faults: Vec::new(),
    };
    let found = reading.applications(table);
    if reading.faults.is_empty() {
        return Ok(found);
    }
    Err(Failure::usage(format!(
        "{name}: {}",
        reading.faults.join("; ")
    )))
}

struct Reading<'a> {
    beside: &'a Path,
    variable: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<String>,
}

impl Reading<'_> {
    fn fault(&mut self, place: &str, what: &str) {
        self.faults.push(format!("{place}: {what}"));
    }

    /// The tables of a table, by their names.
    fn tables(&mut self, place: &str, value: toml::Value) -> Vec<(String, Table)> {
        let toml::Value::Table(table) = value else {
            self.fault(place, "is not a table");
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in table {
            match value {
                toml::Value::Table(table) => found.push((name, table)),
                _ => self.fault(&format!("{place}.{name}"), "is not a table"),
            }
        }
        found
    }

    fn applications(&mut self, table: Table) -> Vec<Application> {
        let mut found = Vec::new();
        for (section, value) in table {
            if section != "application" {
                self.fault(&section, "is unknown; the file has [application.UID]");
                continue;
            }
            for (uid, table) in self.tables("application", value) {
                found.push(self.application(uid, table));
            }
        }
        found
    }

    fn application(&mut self, uid: String, table: Table) -> Application {
        let place = format!("application.{uid}");
        let mut application = Application {
            uid,
            name: None,
            sources: Vec::new(),
        };
        for (field, value) in table {
            let place = format!("{place}.{field}");
            match (field.as_str(), value) {
                ("name", toml::Value::String(name)) => application.name = Some(name),
                ("name", _) => self.fault(&place, "is not a text"),
                ("source", value) => {
                    for (uid, table) in self.tables(&place, value) {
                        let place = format!("{place}.{uid}");
                        application.sources.push(self.source(&place, uid, table));
                    }
                }
                _ => self.fault(&place, "is unknown; there are `name` and `source`"),
            }
        }
        application
    }

    fn source(&mut self, place: &str, uid: String, table: Table) -> Source {
        let mut source = Source {
            fields: Map::new(),
            names_secrets: false,
            secrets: Vec::new(),
            verify_token: None,
            paused: false,
            uid,
        };
        for (field, value) in table {
            let place = format!("{place}.{field}");
            match (field.as_str(), value) {
                ("paused", toml::Value::Boolean(paused)) => source.paused = paused,
                ("paused", _) => self.fault(&place, "is neither true nor false"),
                ("secrets", toml::Value::Array(references)) => {
                    source.names_secrets = true;
                    for (index, reference) in references.into_iter().enumerate() {
                        let secret = self.secret(&format!("{place}.{index}"), &reference);
                        source.secrets.extend(secret);
                    }
                }
                ("secrets", _) => self.fault(&place, "is not a list"),
                ("verify_token", value) => source.verify_token = self.secret(&place, &value),
                (_, value) => self.field(&place, &field, value, &mut source.fields),
            }
        }
        for needed in ["name", "provider"] {
            if !source.fields.contains_key(needed) {
                self.fault(&format!("{place}.{needed}"), "is missing");
            }
        }
        source
    }

    fn field(
        &mut self,
        place: &str,
        field: &str,
        value: toml::Value,
        into: &mut Map<String, Value>,
    ) {
        let known = FIELDS.iter().find(|(ours, _)| *ours == field);
        let Some((_, name)) = known else {
            self.fault(place, "is not a field of a source");
            return;
        };
        let mut value = plain(value);
        let within = WITHIN.iter().find(|(ours, _)| *ours == field);
        if let (Some((_, names)), Value::Object(members)) = (within, &mut value) {
            let mut renamed = Map::new();
            for (member, value) in std::mem::take(members) {
                match names.iter().find(|(ours, _)| *ours == member) {
                    Some((_, name)) => drop(renamed.insert((*name).to_owned(), value)),
                    None => self.fault(&format!("{place}.{member}"), "is not a field of it"),
                }
            }
            *members = renamed;
        }
        into.insert((*name).to_owned(), value);
    }

    /// Reads what `{ file = "…" }` or `{ env = "…" }` refers to.
    fn secret(&mut self, place: &str, reference: &toml::Value) -> Option<Hidden> {
        let members = reference.as_table().filter(|members| members.len() == 1);
        let member = members.and_then(|members| members.iter().next());
        let found = match member.map(|(name, value)| (name.as_str(), value.as_str())) {
            Some(("file", Some(file))) => self.secret_file(file),
            Some(("env", Some(name))) => {
                let value = (self.variable)(name).filter(|value| !value.is_empty());
                value.ok_or_else(|| format!("${name} is not set"))
            }
            // A secret in the file itself would lie wherever the file does.
            _ => Err("is neither { file = \"…\" } nor { env = \"…\" }".to_owned()),
        };
        match found {
            Ok(text) => Some(Hidden::new(text.trim())),
            Err(what) => {
                self.fault(place, &what);
                None
            }
        }
    }

    fn secret_file(&self, file: &str) -> Result<String, String> {
        let path = self.beside.join(file);
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        if text.trim().is_empty() || text.len() > SECRET_LEN_MAX {
            return Err(format!("{} is empty or too long", path.display()));
        }
        Ok(text)
    }
}

/// TOML as JSON; times become texts.
fn plain(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(plain).collect(),
        toml::Value::Table(table) => {
            let members = table.into_iter().map(|(name, value)| (name, plain(value)));
            Value::Object(members.collect())
        }
    }
}

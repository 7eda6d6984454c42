//! Reads the layers and remembers where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize as _;
use toml::{Table, Value};

use super::Config;

/// What every variable of the environment that is a setting starts with.
const PREFIX: &str = "POSTHASTE__";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One effective setting, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Values as given, by section and name, the last layer's on top.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    values: BTreeMap<(String, String), (Value, Origin)>,
    faults: Vec<String>,
}

impl Layers {
    /// Adds a TOML file.
    pub(crate) fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        self.text(&text, path)
    }

    /// Adds what stands in a TOML file.
    fn text(&mut self, text: &str, path: &Path) -> anyhow::Result<()> {
        let table: Table = text
            .parse()
            .with_context(|| format!("{} is not TOML", path.display()))?;
        let origin = Origin::File(path.to_owned());
        for (section, values) in table {
            match values {
                Value::Table(values) => {
                    for (name, value) in values {
                        self.values
                            .insert((section.clone(), name), (value, origin.clone()));
                    }
                }
                _ => self
                    .faults
                    .push(format!("{section}: is not in a section ({origin})")),
            }
        }
        Ok(())
    }

    /// Adds variables such as `POSTHASTE__DELIVERY__TIMEOUT=30s`.
    pub(crate) fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            let rest = rest.to_ascii_lowercase();
            let Some((section, name)) = rest.split_once("__") else {
                self.faults
                    .push(format!("${variable}: is not {PREFIX}<SECTION>__<NAME>"));
                continue;
            };
            let key = (section.to_owned(), name.to_owned());
            self.values
                .insert(key, (literal(&text), Origin::Environment(variable)));
        }
    }

    /// Adds a flag.
    pub(crate) fn flag(&mut self, flag: &'static str, section: &str, name: &str, value: Value) {
        self.values.insert(
            (section.to_owned(), name.to_owned()),
            (value, Origin::Flag(flag)),
        );
    }

    /// Reads all values; the error lists every fault.
    pub(crate) fn read(&self) -> anyhow::Result<Config> {
        let mut faults = self.faults.clone();
        let mut table = Table::new();
        for ((section, name), (value, origin)) in &self.values {
            // Each value by itself first, so that each fault is found and named.
            let alone = nested(section, Table::from_iter([(name.clone(), value.clone())]));
            if let Err(error) = Config::deserialize(Value::Table(alone)) {
                let what = error.message().trim().to_owned();
                faults.push(format!("{section}.{name}: {what} ({origin})"));
            } else {
                let values = table
                    .entry(section.clone())
                    .or_insert_with(|| Table::new().into());
                let values = values.as_table_mut().expect("only tables are put here");
                values.insert(name.clone(), value.clone());
            }
        }
        let config = Config::deserialize(Value::Table(table)).unwrap_or_default();
        for fault in config.faults() {
            let name = fault.split(':').next().unwrap_or_default();
            faults.push(format!("{fault} ({})", self.origin(name)));
        }
        if !faults.is_empty() {
            bail!("the settings have faults:\n  {}", faults.join("\n  "));
        }
        Ok(config)
    }

    fn origin(&self, setting: &str) -> Origin {
        let known = setting
            .split_once('.')
            .and_then(|(section, name)| self.values.get(&(section.to_owned(), name.to_owned())));
        known.map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Returns every setting with its value and origin.
    pub(crate) fn show(&self, config: &Config) -> anyhow::Result<Vec<Setting>> {
        let Value::Table(sections) = Value::try_from(config)? else {
            bail!("not a table")
        };
        let mut settings = Vec::new();
        for (section, values) in sections {
            let Value::Table(values) = values else {
                continue;
            };
            for (name, value) in values {
                let name = format!("{section}.{name}");
                let origin = self.origin(&name);
                settings.push(Setting {
                    name,
                    value: value.to_string(),
                    origin,
                });
            }
        }
        Ok(settings)
    }
}

fn nested(section: &str, values: Table) -> Table {
    Table::from_iter([(section.to_owned(), Value::Table(values))])
}

/// Reads the text of a variable: a whole number, `true` or `false`, or else plain text.
fn literal(text: &str) -> Value {
    match (text.parse::<bool>(), text.parse::<i64>()) {
        (Ok(value), _) => Value::Boolean(value),
        (_, Ok(value)) => Value::Integer(value),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    fn environment(pairs: &[(&str, &str)]) -> Layers {
        let mut layers = Layers::default();
        let pairs = pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        layers.environment(pairs);
        layers
    }

    #[test]
    fn no_layer_at_all_gives_the_defaults() {
        let config = Layers::default().read().expect("valid");

        assert_eq!(config.server.listen, "127.0.0.1:8411");
        assert_eq!(config.delivery.retry_schedule.0.len(), 10);
        assert!(!config.egress.allow_private);
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("posthaste.toml");
        let text = "[server]\nlisten = '127.0.0.1:1'\n[delivery]\ntimeout = '9s'\n\
                    concurrency_max = 9\nretry_schedule = ['0s', '1m']";
        std::fs::write(&path, text).expect("written");
        let mut layers = Layers::default();
        layers.file(&path).expect("read");
        layers.environment(
            [
                ("POSTHASTE__DELIVERY__TIMEOUT".to_owned(), "8s".to_owned()),
                (
                    "POSTHASTE__SERVER__LISTEN".to_owned(),
                    "127.0.0.1:2".to_owned(),
                ),
            ]
            .into_iter(),
        );
        layers.flag(
            "--listen",
            "server",
            "listen",
            Value::String("127.0.0.1:3".to_owned()),
        );

        let config = layers.read().expect("valid");
        let shown = layers.show(&config).expect("shown");

        assert_eq!(config.server.listen, "127.0.0.1:3");
        assert_eq!(config.delivery.timeout, Span::seconds(8));
        assert_eq!(config.delivery.concurrency_max, 9);
        assert_eq!(
            config.delivery.retry_schedule.0,
            [Span::seconds(0), Span::seconds(60)]
        );
        let origin = |name: &str| {
            shown
                .iter()
                .find(|setting| setting.name == name)
                .map(|s| s.origin.to_string())
        };
        assert_eq!(origin("server.listen").as_deref(), Some("--listen"));
        assert_eq!(
            origin("delivery.timeout").as_deref(),
            Some("$POSTHASTE__DELIVERY__TIMEOUT")
        );
        assert_eq!(
            origin("delivery.concurrency_max"),
            Some(path.display().to_string())
        );
        assert_eq!(origin("log.level").as_deref(), Some("default"));
    }

    #[test]
    fn a_list_in_the_environment_is_joined_by_commas() {
        let layers = environment(&[("POSTHASTE__DELIVERY__RETRY_SCHEDULE", "0s,1s,2s")]);

        let config = layers.read().expect("valid");

        let waits = [0, 1, 2].map(Span::seconds);
        assert_eq!(config.delivery.retry_schedule.0, waits);
    }

    #[test]
    fn all_faults_are_listed_with_setting_and_origin() {
        let layers = environment(&[
            ("POSTHASTE__DELIVERY__TIMEOUT", "soon"),
            ("POSTHASTE__DELIVERY__TIMEOUTS", "5s"),
            ("POSTHASTE__DELIVERY__CONCURRENCY_MAX", "0"),
            ("POSTHASTE__NOWHERE__X", "1"),
            ("POSTHASTE__SERVER__LISTEN", "everywhere"),
            ("POSTHASTE__LOOSE", "1"),
        ]);

        let error = layers.read().expect_err("faulty").to_string();

        for expected in [
            "delivery.timeout: \"soon\" is not a length of time",
            "delivery.timeouts: unknown field",
            "delivery.concurrency_max: must be at least 1 ($POSTHASTE__DELIVERY__CONCURRENCY_MAX)",
            "nowhere.x: unknown field",
            "server.listen: is not an address and port",
            "$POSTHASTE__LOOSE: is not",
        ] {
            assert!(error.contains(expected), "{expected} is missing in {error}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let layers = environment(&[("POSTHASTE__SECRETS__MASTER_KEY", "phk_verysecret")]);

        let config = layers.read().expect("valid");
        let shown = format!("{:?}{config:?}", layers.show(&config).expect("shown"));

        assert!(!shown.contains("verysecret"), "{shown}");
        assert!(shown.contains("***"));
    }

    #[test]
    fn credentials_of_a_proxy_are_never_shown() {
        for url in ["http://me:hush@proxy:3128", "http://me:hu@sh1@proxy:3128"] {
            let layers = environment(&[("POSTHASTE__EGRESS__PROXY", url)]);

            let config = layers.read().expect("valid");
            let shown = format!("{:?}{config:?}", layers.show(&config).expect("shown"));

            assert!(!shown.contains("hush") && !shown.contains("sh1"), "{shown}");
            assert!(shown.contains("http://***@proxy:3128"), "{shown}");
        }
        let layers = environment(&[("POSTHASTE__EGRESS__PROXY", "socks5://me:hush@proxy:1")]);
        let error = layers.read().expect_err("faulty").to_string();
        assert!(error.contains("egress.proxy: is not a proxy"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn one_address_of_each_family_can_be_connected_from() {
        let both = [("POSTHASTE__EGRESS__BIND", "192.0.2.7, 2001:db8::7")];
        let bind = environment(&both).read().expect("valid").egress.bind();
        let expected = egress::Bind {
            v4: "192.0.2.7".parse().ok(),
            v6: "2001:db8::7".parse().ok(),
        };
        assert_eq!(bind, Ok(expected));

        for (text, fault) in [
            (
                "192.0.2.7,192.0.2.8",
                "egress.bind: has 192.0.2.7 and 192.0.2.8",
            ),
            ("eth0", "egress.bind: invalid IP address"),
        ] {
            let error = environment(&[("POSTHASTE__EGRESS__BIND", text)]).read();
            let error = error.expect_err("faulty").to_string();
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn the_documentation_names_every_setting_with_its_default() {
        let documented = include_str!("../../../../docs/configuration.md");
        let layers = Layers::default();
        let config = layers.read().expect("valid");

        for setting in layers.show(&config).expect("shown") {
            let (section, name) = setting.name.split_once('.').expect("a section");
            let value = setting.value.trim_matches('"');
            let row = format!("| `{name}` | `{value}` |");
            let heading = format!("## `[{section}]`");
            let found = documented.split("## ").any(|part| {
                part.starts_with(heading.trim_start_matches("## ")) && part.contains(&row)
            });
            assert!(found, "{heading} lacks {row}");
        }
    }

    #[test]
    fn the_page_of_limits_has_each_with_its_default_and_no_other() {
        let page = include_str!("../../../../docs/reference/limits.md");
        let layers = Layers::default();
        let config = layers.read().expect("valid");

        let shown = layers.show(&config).expect("shown");
        let expected: Vec<String> = shown
            .iter()
            .filter(|setting| setting.name.starts_with("limits."))
            .map(|setting| {
                let value = setting.value.trim_matches('"');
                format!("| `{}` | `{value}` |", setting.name)
            })
            .collect();

        let rows = page.lines().filter(|line| line.starts_with("| `limits."));
        let rows: Vec<&str> = rows.collect();
        assert_eq!(rows.len(), expected.len());
        for row in expected {
            assert!(rows.iter().any(|line| line.starts_with(&row)), "{row}");
        }
    }

    /// Whatever stands in the file: an error that says what is wrong, and never a crash.
    #[test]
    fn no_file_breaks_it() {
        posthaste_fuzz::run("config", |input| {
            let text = String::from_utf8_lossy(input);
            let mut layers = Layers::default();
            if layers.text(&text, Path::new("posthaste.toml")).is_ok() {
                // Effective, or refused with every fault named.
                let _ = layers.read();
            }
        });
    }
}

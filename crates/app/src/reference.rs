//! The reference of all commands, written from the commands themselves.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use crate::commands::Arguments;

const INTRODUCTION: &str = "# Commands

Written by `posthaste help --all` from the commands themselves. [The guide](../guides/cli.md)
shows them at work.

Exit codes: 0 done; 1 failed; 2 asked in a way that makes no sense; 3 not found; 4 the key is
missing, wrong or not allowed to; 5 conflict; 6 unavailable or too slow, trying later may help;
7 a delivery failed (`send --wait`); 8 some of many failed; 130 interrupted.
";

/// Options that many commands share, by the heading they stand under.
const SHARED: [&str; 2] = ["Output", "Server"];

/// All commands, as Markdown.
pub(crate) fn markdown() -> String {
    let mut root = Arguments::command().term_width(100);
    root.build();
    let mut out = INTRODUCTION.to_owned();
    let example = root
        .find_subcommand("app")
        .and_then(|app| app.find_subcommand("ls"));
    for heading in SHARED {
        let _ = write!(out, "\n## Options under \"{heading}\"\n\n");
        let shared = example.into_iter().flat_map(Command::get_arguments);
        for option in shared.filter(|option| option.get_help_heading() == Some(heading)) {
            argument(option, &mut out);
        }
    }
    for command in root.get_subcommands() {
        describe(command, "posthaste", &mut out);
    }
    out
}

fn describe(command: &Command, above: &str, out: &mut String) {
    if command.is_hide_set() || command.get_name() == "help" && above != "posthaste" {
        return;
    }
    let name = format!("{above} {}", command.get_name());
    let _ = write!(out, "\n## {name}\n\n");
    let about = command.get_long_about().or_else(|| command.get_about());
    let _ = writeln!(
        out,
        "{}",
        about.map(ToString::to_string).unwrap_or_default()
    );
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        let _ = write!(out, "\nAlso: `{}`\n", aliases.join("`, `"));
    }
    let mut own = command
        .get_arguments()
        .filter(|argument| !SHARED.contains(&argument.get_help_heading().unwrap_or_default()))
        .filter(|argument| !argument.is_hide_set() && !is_everywhere(argument))
        .peekable();
    if own.peek().is_some() {
        out.push('\n');
    }
    for option in own {
        argument(option, out);
    }
    if let Some(examples) = command.get_after_help() {
        let text = examples.to_string();
        let _ = write!(out, "\n```text\n{}\n```\n", text.trim_end());
    }
    for verb in command.get_subcommands() {
        describe(verb, &name, out);
    }
}

fn is_everywhere(argument: &Arg) -> bool {
    matches!(argument.get_id().as_str(), "help" | "version")
}

/// One line: how it is written, what it means, what it is when it is not given.
fn argument(argument: &Arg, out: &mut String) {
    if argument.is_hide_set() {
        return;
    }
    let shown = argument.to_string();
    let short = argument.get_short().map(|short| format!("-{short}, "));
    let help = argument.get_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let _ = write!(out, "- `{}{shown}`: {help}", short.unwrap_or_default());
    let values = argument.get_possible_values();
    let values: Vec<&str> = values
        .iter()
        .map(clap::builder::PossibleValue::get_name)
        .collect();
    if !values.is_empty() && argument.get_action().takes_values() {
        let _ = write!(out, "; one of `{}`", values.join("`, `"));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(out, "; `{}`", variable.to_string_lossy());
    }
    let defaults = argument.get_default_values().iter();
    let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && argument.get_action().takes_values() {
        let _ = write!(out, "; default `{}`", defaults.join(","));
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");
    const GUIDES: [&str; 2] = ["cli.md", "listen.md"];

    #[test]
    fn the_committed_reference_is_that_of_the_commands() {
        let committed = std::fs::read_to_string(FILE).unwrap_or_default();

        assert!(
            committed == markdown(),
            "docs/reference/cli.md is out of date; run this file's ignored test to write it anew"
        );
    }

    #[test]
    #[ignore = "writes docs/reference/cli.md"]
    fn write_the_reference() {
        std::fs::write(FILE, markdown()).unwrap();
    }

    #[test]
    fn every_example_is_a_command_line_that_is_understood() {
        let mut text = markdown();
        for guide in GUIDES {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/");
            text.push_str(&std::fs::read_to_string(format!("{path}{guide}")).unwrap());
        }
        let text = text.replace("\\\n", " ");
        let examples = text.lines().map(str::trim);
        let examples = examples.filter(|line| line.starts_with("posthaste "));

        let mut count = 0;
        for example in examples {
            let parsed = Arguments::try_parse_from(words(example));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            count += 1;
        }
        assert!(count > 40, "only {count} examples were found");
    }

    /// Splits a line as a shell does, up to a pipe, a redirection or a comment.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.chars() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None, '|' | '<' | '>' | '#' | '&') => break,
                (None, ' ') if word.is_empty() => {}
                (None, ' ') => words.push(std::mem::take(&mut word)),
                (_, c) => word.push(c),
            }
        }
        words.extend((!word.is_empty()).then_some(word));
        words
    }
}

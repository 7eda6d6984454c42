//! What a command shows: the same things as columns for people or as data for programs.
//!
//! What the server sent stays what it sent: `json` and `ndjson` pass its bytes on, so no number
//! loses a digit and no field is missing. Only columns choose.

mod cell;
mod detail;
mod table;
#[cfg(test)]
mod tests;
mod yaml;

use std::io::Write;

use domain::Timestamp;
use serde_json::value::RawValue;

pub(crate) use cell::{Cell, Kind, cell, fields, names, text, time};

use crate::Streams;
use crate::exit::Failure;
use crate::world;

/// How things are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns, and whole times
    Wide,
    /// One JSON value: the server's answer, or an array of all that was listed
    Json,
    /// One JSON value a line
    Ndjson,
    /// YAML documents
    Yaml,
    /// The ids alone
    Id,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set; anywhere when CLICOLOR_FORCE is
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// What to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Print no notes, and tables without their heading
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// When to colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
}

impl OutputArgs {
    /// Says whether a program reads the output, so that failures must be data too.
    pub(crate) fn wants_json(&self) -> bool {
        matches!(self.output, Format::Json | Format::Ndjson)
    }

    /// Settles what is left open by what the output is.
    pub(crate) fn look(&self, streams: &Streams<'_>) -> Look {
        let around = &streams.around;
        let colour = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => around.colour,
        };
        Look {
            format: self.output,
            quiet: self.quiet,
            colour,
            // A log or a diff wants the time itself; a person wants to know how long ago.
            relative: around.out_is_terminal && self.output == Format::Table,
            now: world::now(),
        }
    }
}

/// How things look to this reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    pub(crate) colour: bool,
    /// Times as `3m ago`.
    pub(crate) relative: bool,
    pub(crate) now: Timestamp,
}

impl Look {
    fn is_wide(&self) -> bool {
        self.format == Format::Wide
    }
}

/// JSON on one line. A payload keeps the line breaks that it was published with; in JSON they
/// stand between values only, where a blank is as good.
pub(crate) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

#[cfg(test)]
impl Look {
    pub(crate) fn plain() -> Self {
        Self {
            format: Format::Table,
            quiet: false,
            colour: false,
            relative: false,
            now: Timestamp::from_unix_seconds(0),
        }
    }
}

/// Shows one thing.
pub(crate) fn one(
    look: &Look,
    kind: &Kind,
    thing: &RawValue,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match look.format {
        Format::Table | Format::Wide => detail::write(look, thing, out)?,
        Format::Json => writeln!(out, "{}", thing.get())?,
        Format::Ndjson => writeln!(out, "{}", one_line(thing.get()))?,
        Format::Yaml => yaml::write(thing, out)?,
        Format::Id => writeln!(out, "{}", kind.id_of(thing)?)?,
    }
    Ok(())
}

/// Shows things as they come, a page at a time.
pub(crate) struct Many<'a> {
    look: Look,
    kind: &'a Kind,
    table: table::Table,
    shown: usize,
}

impl<'a> Many<'a> {
    pub(crate) fn new(look: Look, kind: &'a Kind) -> Self {
        Self {
            look,
            kind,
            table: table::Table::new(&look, kind),
            shown: 0,
        }
    }

    /// Shows a page, at once: who lists a million does not wait for the last.
    pub(crate) fn page(
        &mut self,
        things: &[Box<RawValue>],
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        match self.look.format {
            Format::Table | Format::Wide => {
                self.table
                    .page(&self.look, self.kind, things, self.shown == 0, out)?;
            }
            Format::Json => {
                for (index, thing) in things.iter().enumerate() {
                    let start = if self.shown + index == 0 { "[" } else { "," };
                    write!(out, "{start}\n  {}", thing.get())?;
                }
            }
            Format::Ndjson => {
                for thing in things {
                    writeln!(out, "{}", one_line(thing.get()))?;
                }
            }
            Format::Yaml => {
                for thing in things {
                    writeln!(out, "---")?;
                    yaml::write(thing, out)?;
                }
            }
            Format::Id => {
                for thing in things {
                    writeln!(out, "{}", self.kind.id_of(thing)?)?;
                }
            }
        }
        self.shown += things.len();
        out.flush()?;
        Ok(())
    }

    /// Says nothing of an empty list: it was not listed to its end.
    pub(crate) fn hush(&mut self) {
        self.look.quiet = true;
    }

    /// Ends the output; returns how many there were.
    pub(crate) fn finish(self, streams: &mut Streams<'_>) -> Result<usize, Failure> {
        match (self.look.format, self.shown) {
            (Format::Json, 0) => writeln!(streams.out, "[]")?,
            (Format::Json, _) => writeln!(streams.out, "\n]")?,
            (Format::Table | Format::Wide, 0) if !self.look.quiet => {
                writeln!(streams.err, "There are no {}.", self.kind.plural)?;
            }
            _ => {}
        }
        Ok(self.shown)
    }
}

//! Aligned columns.

use std::io::{self, Write};

use serde_json::value::RawValue;

use super::Look;
use super::cell::{Cell, Column, Kind, fields};
use crate::exit::Failure;

const GAP: &str = "  ";

/// The columns of a table and how wide they are so far.
pub(super) struct Table {
    columns: Vec<Column>,
    widths: Vec<usize>,
}

impl Table {
    pub(super) fn new(look: &Look, kind: &Kind) -> Self {
        let columns = kind.columns.iter().copied();
        let columns: Vec<Column> = columns
            .filter(|column| look.is_wide() || !column.wide)
            .collect();
        // Without a heading its words need no room.
        let widths = columns
            .iter()
            .map(|column| if look.quiet { 0 } else { column.title.len() });
        Self {
            widths: widths.collect(),
            columns,
        }
    }

    /// Writes a page. The first decides the widths; later ones only widen them.
    pub(super) fn page(
        &mut self,
        look: &Look,
        kind: &Kind,
        things: &[Box<RawValue>],
        is_first: bool,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        debug_assert!(!kind.columns.is_empty());
        let mut lines = Vec::with_capacity(things.len());
        for thing in things {
            let thing = fields(thing)?;
            let cells = self
                .columns
                .iter()
                .map(|column| (column.show)(&thing, look));
            lines.push(cells.collect::<Vec<Cell>>());
        }
        for line in &lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        if is_first && !things.is_empty() && !look.quiet {
            let titles = self.columns.iter().map(|column| Cell {
                text: column.title.to_owned(),
                tone: super::cell::Tone::Faint,
            });
            self.line(look, &titles.collect::<Vec<_>>(), out)?;
        }
        for line in &lines {
            self.line(look, line, out)?;
        }
        Ok(())
    }

    fn line(&self, look: &Look, cells: &[Cell], out: &mut dyn Write) -> io::Result<()> {
        let last = cells.len().saturating_sub(1);
        for (index, (cell, width)) in cells.iter().zip(&self.widths).enumerate() {
            let code = cell.tone.code();
            if look.colour && !code.is_empty() {
                write!(out, "\u{1b}[{code}m{}\u{1b}[0m", cell.text)?;
            } else {
                write!(out, "{}", cell.text)?;
            }
            // No blanks at the end of a line: they only show where it is copied.
            if index < last {
                let room = width - cell.text.chars().count();
                write!(out, "{:room$}{GAP}", "")?;
            }
        }
        writeln!(out)
    }
}

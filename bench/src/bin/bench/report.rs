//! Tables for people, and the same figures for machines.

use std::fmt::Write as _;

use anyhow::ensure;
use posthaste_bench::machine::Machine;
use serde::Serialize;
use serde_json::Value;

/// Everything one command measured.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    machine: Machine,
    command: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// One scenario's table.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    /// What was done, in a sentence.
    pub(crate) about: String,
    #[serde(skip)]
    pub(crate) header: Vec<&'static str>,
    #[serde(skip)]
    pub(crate) rows: Vec<Vec<String>>,
    /// Every round's figures.
    pub(crate) figures: Value,
    /// Accepted messages that did not arrive in time.
    pub(crate) lost: u64,
    /// The first complaint of a publisher, if any.
    pub(crate) complaint: Option<String>,
}

impl Results {
    pub(crate) fn new(machine: Machine, command: Vec<String>) -> Self {
        Self {
            machine,
            command,
            sections: Vec::new(),
        }
    }

    /// Fails when anything was lost or refused: fast and wrong is no result.
    pub(crate) fn verdict(&self) -> anyhow::Result<()> {
        for section in &self.sections {
            let name = section.name;
            ensure!(
                section.lost == 0,
                "`{name}` lost {} deliveries",
                section.lost
            );
            if let Some(complaint) = &section.complaint {
                anyhow::bail!("`{name}`: a publish failed: {complaint}");
            }
        }
        Ok(())
    }
}

impl Section {
    /// Writes a heading, the sentence and the table.
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("### {}\n\n{}\n\n", self.name, self.about);
        let rule = vec!["---"; self.header.len()];
        for row in [self.header.as_slice(), rule.as_slice()] {
            writeln!(out, "| {} |", row.join(" | ")).expect("a string takes everything");
        }
        for row in &self.rows {
            writeln!(out, "| {} |", row.join(" | ")).expect("a string takes everything");
        }
        if let Some(complaint) = &self.complaint {
            writeln!(out, "\nA publish failed: {complaint}").expect("a string takes everything");
        }
        out
    }
}

/// Writes a count with thin groups of three, `12,345`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits are ASCII"))
        .collect();
    groups.join(",")
}

/// Rounds a rate to a count.
pub(crate) fn rate(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are positive and far below 2^53"
    )]
    let whole = value.round() as u64;
    count(whole)
}

/// Writes bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
    let value = bytes as f64 / (1024.0 * 1024.0);
    format!("{value:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        let written = [7, 1_000, 1_234_567].map(count);

        assert_eq!(written, ["7", "1,000", "1,234,567"]);
    }
}

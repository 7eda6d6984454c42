//! Adds up what the test programs report.

use std::fmt;

/// How many tests there were, over every test program that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Summary {
    /// Takes in a line of output; most lines say nothing about counts.
    ///
    /// The line looked for is the last one of each test program:
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; …`.
    pub(crate) fn look(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split("; ") {
            let Some((count, what)) = part.split_once(' ') else {
                continue;
            };
            let Ok(count) = count.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Summary {
        let mut summary = Summary::default();
        for line in lines {
            summary.look(line);
        }
        summary
    }

    #[test]
    fn counts_are_added_over_all_test_programs() {
        let summary = of(&[
            "running 14 tests",
            "test some::case ... ok",
            "test result: ok. 12 passed; 0 failed; 2 ignored; 0 measured; 3 filtered out; \
             finished in 0.01s",
            "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; \
             finished in 1.20s",
        ]);

        assert_eq!(
            summary,
            Summary {
                passed: 16,
                failed: 1,
                skipped: 2
            }
        );
    }

    #[test]
    fn a_line_that_only_mentions_a_result_counts_nothing() {
        assert_eq!(
            of(&["the test result: ok. 5 passed; 1 failed"]),
            Summary::default()
        );
    }

    #[test]
    fn skipped_tests_are_named_only_if_there_are_any() {
        let some = Summary {
            passed: 3,
            failed: 0,
            skipped: 1,
        };
        let none = Summary { skipped: 0, ..some };

        assert_eq!(none.to_string(), "3 passed, 0 failed");
        assert_eq!(some.to_string(), "3 passed, 0 failed, 1 skipped");
    }
}

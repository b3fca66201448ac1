//! Counting tests in the output of other programs, so that one summary line can speak for all.

use std::{
    fmt,
    io::{BufRead as _, BufReader},
    ops::AddAssign,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::process;

/// Results of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl AddAssign for Counts {
    fn add_assign(
        &mut self,
        Self {
            passed,
            failed,
            skipped,
        }: Self,
    ) {
        self.passed += passed;
        self.failed += failed;
        self.skipped += skipped;
    }
}

/// The line that ends a test run.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Whose summary lines are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; …`, once for each test binary; a test that prints
    /// `skipped: why` and returns is no passed test.
    Libtest,
    /// `5 passed, 0 failed`, alone on a line.
    Lab,
}

/// Adds up the summaries in a program's output.
pub struct Tally {
    format: Format,
    counts: Counts,
    skips: u32,
    summaries: u32,
}

impl Tally {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            counts: Counts::default(),
            skips: 0,
            summaries: 0,
        }
    }

    /// Reads one line of output, colours and all.
    pub fn line(&mut self, line: &str) {
        let line = without_colour(line);
        let line = line.trim();
        if self.format == Format::Libtest && line.starts_with("skipped: ") {
            self.skips += 1;
        }
        let found = match self.format {
            Format::Libtest => libtest(line),
            Format::Lab => lab(line),
        };
        if let Some(counts) = found {
            self.counts += counts;
            self.summaries += 1;
        }
    }

    /// What the program's end makes of it: one that failed without a failed test, or said nothing, is itself a failure.
    pub fn finish(self, succeeded: bool) -> Counts {
        let mut counts = self.counts;
        let moved = self.skips.min(counts.passed);
        counts.passed -= moved;
        counts.skipped += moved;
        if self.summaries == 0 || (!succeeded && counts.failed == 0) {
            counts.failed += 1;
        }
        counts
    }
}

fn libtest(line: &str) -> Option<Counts> {
    let (_, fields) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = Counts::default();
    for field in fields.split("; ") {
        let (number, name) = field.split_once(' ')?;
        match name {
            "passed" => counts.passed = number.parse().ok()?,
            "failed" => counts.failed = number.parse().ok()?,
            "ignored" => counts.skipped = number.parse().ok()?,
            _ => break,
        }
    }
    Some(counts)
}

/// `N passed, N failed` or `N passed, N failed, N skipped`, and nothing else.
pub fn lab(line: &str) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut fields = line.split(", ");
    counts.passed = fields.next()?.strip_suffix(" passed")?.parse().ok()?;
    counts.failed = fields.next()?.strip_suffix(" failed")?.parse().ok()?;
    if let Some(skipped) = fields.next() {
        counts.skipped = skipped.strip_suffix(" skipped")?.parse().ok()?;
    }
    fields.next().is_none().then_some(counts)
}

/// The text without terminal escape sequences (`ESC [ … letter`).
pub fn without_colour(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|c: char| c.is_ascii_alphabetic())
            .map_or(part.len(), |at| at + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

/// Runs a command, shows its output as it comes, and counts the tests in it.
///
/// # Errors
/// When the command cannot start or its output cannot be read.
pub fn run_counted(command: &mut Command, format: Format) -> Result<Counts> {
    println!("$ {}", process::shown(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::shown(command)))?;
    let mut tally = Tally::new(format);
    let output = child.stdout.take().context("the child has no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.line(&line);
    }
    Ok(tally.finish(child.wait()?.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u32, failed: u32, skipped: u32) -> Counts {
        Counts {
            passed,
            failed,
            skipped,
        }
    }

    fn tally(format: Format, output: &str, succeeded: bool) -> Counts {
        let mut tally = Tally::new(format);
        output.lines().for_each(|line| tally.line(line));
        tally.finish(succeeded)
    }

    const TWO_BINARIES: &str = "running 2 tests\ntest a ... ok\n\
        test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
        test result: \u{1b}[31mFAILED\u{1b}[m. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";

    #[test]
    fn adds_up_the_test_binaries() {
        assert_eq!(tally(Format::Libtest, TWO_BINARIES, false), counts(5, 1, 1));
    }

    #[test]
    fn a_test_that_skipped_itself_did_not_pass() {
        let output = "skipped: no kprobes here\n test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n";
        assert_eq!(tally(Format::Libtest, output, true), counts(1, 0, 1));
    }

    #[test]
    fn a_program_that_dies_silently_is_a_failure() {
        assert_eq!(
            tally(Format::Libtest, "error: could not compile `auditor`", false),
            counts(0, 1, 0)
        );
        assert_eq!(tally(Format::Lab, "", true), counts(0, 1, 0));
        assert_eq!(
            tally(Format::Lab, "12 passed, 0 failed", false),
            counts(12, 1, 0)
        );
    }

    #[test]
    fn a_lab_summary_stands_alone_on_its_line() {
        assert_eq!(
            tally(Format::Lab, "\u{1b}[32m12 passed, 0 failed\u{1b}[0m", true),
            counts(12, 0, 0)
        );
        assert_eq!(
            lab("12 passed, 0 failed, 3 skipped"),
            Some(counts(12, 0, 3))
        );
        assert_eq!(lab("so far 12 passed, 0 failed"), None);
        assert_eq!(lab("12 passed, 0 failed, 3 skipped, 1 lost"), None);
    }

    #[test]
    fn the_last_line_is_the_contracts() {
        assert_eq!(counts(3, 0, 1).to_string(), "3 passed, 0 failed, 1 skipped");
    }
}

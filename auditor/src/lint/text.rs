//! The report for people.

use std::fmt::Write as _;

use super::finding::{Report, Severity};
use crate::{event::word, plain::one_line};

/// One finding in a few lines: what, of whom, why, what to do.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        line(
            &mut out,
            "",
            &format!(
                "{}: {} [{}]",
                word(&finding.severity),
                finding.subject,
                finding.id
            ),
        );
        if let Some(role) = finding
            .role
            .as_deref()
            .filter(|role| *role != finding.subject.name)
        {
            let file = match &finding.file {
                Some(file) => format!(" ({file})"),
                None => String::new(),
            };
            line(&mut out, "  role: ", &format!("{role}{file}"));
        } else if let Some(file) = &finding.file {
            line(&mut out, "  file: ", file);
        }
        line(&mut out, "  ", &finding.message);
        line(&mut out, "  help: ", &finding.remedy);
        if let Some(statement) = &finding.statement {
            line(&mut out, "  statement: ", &statement.to_string());
        }
        out.push('\n');
    }
    for undecided in &report.undecided {
        line(
            &mut out,
            "undecided: ",
            &format!("{}: {}", undecided.subject, undecided.question),
        );
        for lack in &undecided.lacks {
            line(&mut out, "  depends on: ", lack);
        }
        out.push('\n');
    }
    let shown = report.findings.len();
    let found = report.errors + report.warnings;
    if found > shown {
        let _ = writeln!(out, "… and {} more\n", found - shown);
    }
    let checked = report.checked;
    let _ = writeln!(
        out,
        "{}, {}, {}, {}: {}, {}, {} undecided",
        plural(checked.associations, "association"),
        plural(checked.service_accounts, "ServiceAccount"),
        plural(checked.pods, "pod"),
        plural(checked.roles, "role"),
        plural(report.errors, "error"),
        plural(report.warnings, "warning"),
        report.undecided.len(),
    );
    out
}

fn plural(count: usize, noun: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{end}")
}

fn line(out: &mut String, before: &str, text: &str) {
    let _ = writeln!(out, "{before}{}", one_line(text));
}

impl Report {
    /// Whether there is anything of this severity, or a graver one.
    #[must_use]
    pub fn has(&self, severity: Severity) -> bool {
        self.errors > 0 || (severity == Severity::Warning && self.warnings > 0)
    }
}

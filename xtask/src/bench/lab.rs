//! `lab measure`: its progress on the terminal, its figures as JSON.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Subject;
use crate::process;

/// Runs it with the auditor and the backend of the subject.
///
/// # Errors
/// When it fails, or prints no JSON.
pub(super) fn measure(subject: &Subject, arguments: &[&str]) -> Result<Value> {
    let mut lab = Command::new(&subject.lab);
    lab.arg("measure").args(arguments);
    lab.arg("--auditor").arg(&subject.auditor);
    lab.args(["--backend", subject.backend]);
    println!("$ {}", process::shown(&lab));
    // Its progress is on standard error.
    lab.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = lab.output().context("cannot start the lab")?;
    if !output.status.success() {
        bail!("`{}` failed: {}", process::shown(&lab), output.status);
    }
    json(&String::from_utf8_lossy(&output.stdout))
}

/// The last line that is a JSON object or array.
pub fn json(printed: &str) -> Result<Value> {
    let mut lines = printed.lines().rev().map(str::trim);
    let line = lines.find(|line| line.starts_with(['{', '[']) && line.ends_with(['}', ']']));
    let line = line.context("no figures were printed")?;
    serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))
}

/// A number of the figures; NaN where there is none.
pub fn number(figures: &Value, key: &str) -> f64 {
    figures[key].as_f64().unwrap_or(f64::NAN)
}

/// A count of the figures.
pub fn count(figures: &Value, key: &str) -> u64 {
    figures[key].as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_last_line_that_is_json() {
        let value = json("[   1.2] the kernel's\n{\"a\": 1.5}\nguest: 1.0 s\n").unwrap();
        assert_eq!((number(&value, "a"), count(&value, "b")), (1.5, 0));
        assert!(number(&value, "b").is_nan());
        assert!(json("nothing").is_err());
    }
}

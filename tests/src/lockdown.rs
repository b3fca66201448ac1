//! A kernel that was booted with `lockdown=integrity`, as Bottlerocket's is: what was played before was played under it. Then it is
//! locked down further, which cannot be undone: what the auditor says of a kernel whose memory no program may read.

use std::{
    fs,
    process::{Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    auditor::flags,
    check::Check,
    node::Lab,
    play::Score,
    report::{self, Mark},
};

/// `none [integrity] confidentiality` (security/lockdown/lockdown.c)
const LEVEL: &str = "/sys/kernel/security/lockdown";

/// # Errors
/// Where the lab cannot be made. What is not as it must be is a failed row.
pub fn run(check: &Check) -> Result<Score> {
    let lab = Lab::new(&check.helpers)?;
    let mut score = Score::default();
    let mut tell = |name: &str, result: Result<String>| {
        let (mark, about) = match result {
            Ok(about) => (Mark::Passed, about),
            Err(error) => (Mark::Failed, format!("{error:#}")),
        };
        println!("{}", report::step(check.paint, mark, name, &about));
        match mark {
            Mark::Passed => score.passed += 1,
            _ => score.failed += 1,
        }
    };
    tell("lockdown-integrity", booted_with_integrity());
    tell("lockdown-confidentiality", confidentiality(&lab, check));
    Ok(score)
}

fn booted_with_integrity() -> Result<String> {
    let level = fs::read_to_string(LEVEL).context(LEVEL)?;
    ensure!(level.contains("[integrity]"), "{LEVEL} says {level:?}");
    Ok("what was played before was played under lockdown=integrity".to_owned())
}

fn confidentiality(lab: &Lab, check: &Check) -> Result<String> {
    fs::write(LEVEL, "confidentiality").context("lock the kernel down")?;
    let output = auditor(lab, check, &["check", "--output", "json"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`auditor check` ({}): {said}", output.status))?;
    judge(&report).with_context(|| format!("{report}"))?;
    ensure!(
        output.status.code() == Some(1),
        "`auditor check` ended with {}",
        output.status
    );
    let output = auditor(lab, check, &["run"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && said.contains("lockdown=confidentiality"),
        "`auditor run` ended with {}: {said}",
        output.status
    );
    Ok("`auditor check` names it, and `auditor run` ends as it says".to_owned())
}

/// Ends by itself, or the job's limit ends it.
fn auditor(lab: &Lab, check: &Check, words: &[&str]) -> Result<Output> {
    let mut command = lab.auditor("system.slice/auditor.service", &check.auditor, &[])?;
    command.args(words).args(flags(lab)).stdin(Stdio::null());
    command.output().context("start the auditor")
}

fn judge(report: &Value) -> Result<()> {
    let row = |name: &str| {
        let rows = report["checks"].as_array().into_iter().flatten();
        let mut named = rows.filter(|row| row["check"] == name);
        named.next().with_context(|| format!("no row {name}"))
    };
    let lockdown = row("lockdown")?;
    let detail = lockdown["detail"].as_str().unwrap_or_default();
    ensure!(
        lockdown["state"] == "degraded" && detail.contains("confidentiality"),
        "it does not name the lockdown: {lockdown}"
    );
    ensure!(
        lockdown["remedy"].is_string(),
        "it says no remedy: {lockdown}"
    );
    ensure!(report["ok"] == false, "`run` is said to work");
    let opens = row("probe file_open")?;
    ensure!(
        opens["state"] == "failed",
        "opens are said to be seen: {opens}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_lockdown_must_be_named_and_nothing_may_be_said_to_work() {
        let lockdown = json!({"check": "lockdown", "state": "degraded", "detail": "confidentiality: …", "remedy": "boot …"});
        let opens = json!({"check": "probe file_open", "state": "failed"});
        let good = json!({"ok": false, "checks": [lockdown, opens]});
        judge(&good).unwrap();
        for (path, other) in [
            ("/ok", json!(true)),
            ("/checks/0/state", json!("info")),
            ("/checks/0/remedy", Value::Null),
            ("/checks/1/state", json!("ok")),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = other;
            assert!(judge(&bad).is_err(), "{path}");
        }
    }
}

//! Runs `auditor check` on a lab's node, and holds what it found of each hook against what must be proven.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    auditor::{flags, may_lack},
    node::Lab,
    play::Score,
    report::{self, Mark, Paint},
    sys::machine::Machine,
};

pub struct Check {
    pub auditor: PathBuf,
    pub backend: String,
    pub helpers: PathBuf,
    pub paint: Paint,
}

/// Hooks, and whether they have a canary: cgroups are not the auditor's to make, and exec sessions are somebody else's.
const HOOKS: [(&str, bool); 13] = [
    ("agent_accept", true),
    ("cgroup_lifecycle", false),
    ("connect", true),
    ("connect_attempt", true),
    ("connect_outcome", true),
    ("denied_open", true),
    ("descriptor_received", true),
    ("exec_session", false),
    ("file_open", true),
    ("listen", true),
    ("memory_access", true),
    ("open_before", true),
    ("socket_create", true),
];

pub fn run(check: &Check) -> Result<Score> {
    let lab = Lab::new(&check.helpers)?;
    let mut command = lab.auditor("system.slice/auditor.service", &check.auditor, &[])?;
    command
        .arg("check")
        .args(flags(&lab))
        .args(["--backend", &check.backend])
        .args(["--watch-denied", "--output", "json"]);
    let output = command.output().context("start the auditor")?;
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        format!(
            "`auditor check` ({}) printed no report\n{said}",
            output.status
        )
    })?;
    // In the words of `run`, which a refusal is known by.
    let failed = failed(&report);
    ensure!(
        failed.is_empty() && report["ok"] == true && output.status.success(),
        "`auditor check` ended with {}\n{}",
        output.status,
        failed.join("\n")
    );
    let file_open = report["hooks"]["file_open"]["backend"].as_str();
    let may_lack = may_lack(file_open.unwrap_or("?"), &Machine::this());
    let mut score = Score::default();
    let known = HOOKS.map(|(hook, _)| hook);
    let reported = report["hooks"]
        .as_object()
        .context("a report without hooks")?;
    let unknown = reported.keys().find(|hook| !known.contains(&hook.as_str()));
    ensure!(unknown.is_none(), "the lab's list has no hook {unknown:?}");
    for (hook, has_canary) in HOOKS {
        let found = &report["hooks"][hook];
        let (mark, about) = match judge(found, has_canary, &check.backend, may_lack) {
            Ok(about) => (Mark::Passed, about),
            Err(error) => (Mark::Failed, format!("{error:#}")),
        };
        let name = format!("check-{}", hook.replace('_', "-"));
        println!("{}", report::step(check.paint, mark, &name, &about));
        match mark {
            Mark::Passed => score.passed += 1,
            _ => score.failed += 1,
        }
    }
    Ok(score)
}

fn failed(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().into_iter().flatten();
    let failed = checks.filter(|check| check["state"] == "failed");
    let detail = |check: &Value| check["detail"].as_str().unwrap_or("?").to_owned();
    failed.map(|c| format!("auditor: {}", detail(c))).collect()
}

/// How a hook is watched; an error where less is proven than must be.
fn judge(hook: &Value, has_canary: bool, forced: &str, may_lack: bool) -> Result<String> {
    let ways = hook["ways"]
        .as_array()
        .context("the report has no such hook")?;
    let mut proven = Vec::new();
    for way in ways {
        let backend = way["backend"].as_str().context("a way without a name")?;
        let reason = way["reason"].as_str().unwrap_or("no reason");
        let works = way["works"] == true;
        ensure!(
            works || backend != forced || may_lack,
            "{backend} does not work: {reason}"
        );
        // A look at /proc proves itself by what it finds.
        if works && has_canary && backend != "proc" {
            ensure!(way["proven"] == true, "{backend}'s canary did not fire");
            proven.push(backend);
        }
    }
    match hook["backend"].as_str() {
        Some(used) if has_canary && used != "proc" => {
            ensure!(proven.contains(&used), "{used} is in use and not proven");
            Ok(format!("by {used}; proven: {}", proven.join(", ")))
        }
        Some(used) => Ok(format!("by {used}")),
        None => {
            ensure!(may_lack && hook["required"] == false, "nothing watches it");
            Ok("not watched on this backend".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hook(used: Option<&str>, works: bool, proven: bool) -> Value {
        let way = json!({"backend": "fentry", "works": works, "proven": proven, "reason": null});
        json!({"required": false, "backend": used, "ways": [way]})
    }

    #[test]
    fn what_has_a_canary_must_be_proven() {
        let is_right = |hook: &Value, has_canary| judge(hook, has_canary, "fentry", false).is_ok();
        assert!(is_right(&hook(Some("fentry"), true, true), true));
        assert!(!is_right(&hook(Some("fentry"), true, false), true));
        assert!(is_right(&hook(Some("fentry"), true, false), false));
        assert!(!is_right(&Value::Null, true), "left out of the report");
    }

    #[test]
    fn what_works_besides_must_be_proven_too() {
        let mut both = hook(Some("fentry"), true, true);
        let mut kprobe = both["ways"][0].clone();
        kprobe["backend"] = "kprobe".into();
        kprobe["proven"] = false.into();
        both["ways"].as_array_mut().unwrap().push(kprobe);
        assert!(judge(&both, true, "fentry", false).is_err());
        both["ways"][1]["works"] = false.into();
        assert!(judge(&both, true, "fentry", false).is_ok());
        assert!(judge(&both, true, "kprobe", false).is_err(), "asked for");
    }

    #[test]
    fn nothing_may_watch_only_where_the_backend_is_the_lesser_one() {
        let unwatched = hook(None, false, false);
        assert!(judge(&unwatched, true, "syscall", true).is_ok());
        assert!(judge(&unwatched, true, "auto", false).is_err());
        let mut required = unwatched;
        required["required"] = true.into();
        assert!(judge(&required, true, "syscall", true).is_err());
    }
}

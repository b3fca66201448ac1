//! The attack simulation's alerts, as Prometheus' own engine judges them: on the samples of an auditor that ran in a guest, where this
//! machine's kernel lacks what tells of some scenes. A real Prometheus has them of this machine's auditor (`cargo xtask e2e prometheus`).

use std::{fs, iter, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::guest::Target;
use crate::{manifests::Files, process, prometheus};

/// Those that a PodMonitor gives the auditor's series.
const TARGET: &str = r#"namespace="credential-auditor",pod="credential-auditor-x7k2p",container="auditor",job="credential-auditor/credential-auditor",instance="10.0.1.5:9756",node="ip-10-0-1-5""#;
/// The alerts of findings.
const FINDINGS: &str = r#"alertstate="firing",finding!="""#;
/// What takes a hook of fentry or a kprobe, which this machine's kernel may lack: the reason for all this.
const HOOKED: &str = "raw-socket";

/// That exactly the announced alerts fire for the samples, and none before they came.
///
/// # Errors
/// With promtool's words, and when there are no samples or no promtool.
pub fn check(target: Target, samples: Option<&str>) -> Result<()> {
    let text = samples.context("the attack simulation left no samples")?;
    let samples: Value = serde_json::from_str(text).context("a torn line of samples")?;
    let announced = samples["announced"]
        .as_array()
        .context("nothing is announced")?;
    ensure!(
        announced
            .iter()
            .any(|one| one["labels"]["finding"] == HOOKED),
        "nobody tells of the attack simulation's {HOOKED}"
    );
    let promtool = prometheus::programs()?.promtool;
    let file =
        process::target_directory().join(format!("vm-alerts-{target}.json").replace(' ', "-"));
    let rules = std::path::absolute(Files::ours().rules)?;
    fs::write(
        &file,
        test(&samples["samples"], announced, &rules).to_string(),
    )
    .with_context(|| file.display().to_string())?;
    process::capture(Command::new(promtool).args(["test", "rules"]).arg(&file))
        .context("alerts of the attack simulation")?;
    println!(
        "vm-test: {target}: by promtool, exactly the {} announced alerts of the attack simulation fire on the auditor's samples, {HOOKED}'s too",
        announced.len(),
    );
    Ok(())
}

/// For `promtool test rules`; JSON is YAML. `samples`: lines of the text exposition format, of findings alone. The auditor has run for an
/// hour, and they come after two minutes.
fn test(samples: &Value, announced: &[Value], rules: &Path) -> Value {
    let started =
        json!({"series": format!("process_start_time_seconds{{{TARGET}}}"), "values": "-3600x20"});
    let samples = samples.as_array().into_iter().flatten();
    let found = samples.filter_map(Value::as_str).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap_or((line, ""));
        let series = series.strip_suffix('}').unwrap_or(series);
        json!({"series": format!("{series},{TARGET}}}"), "values": format!("_ _ _ _ {value}x16")})
    });
    let input: Vec<Value> = iter::once(started).chain(found).collect();
    let none =
        json!({"expr": format!("ALERTS{{{FINDINGS}}}"), "eval_time": "90s", "exp_samples": []});
    let all = count(FINDINGS, announced.len());
    let each = announced.iter().map(|one| {
        let mut selector = format!("{FINDINGS},alertname={}", one["alert"]);
        for (name, value) in one["labels"].as_object().into_iter().flatten() {
            selector += &format!(",{name}={value}");
        }
        count(&selector, 1)
    });
    let asked: Vec<Value> = [none, all].into_iter().chain(each).collect();
    json!({
        "rule_files": [rules],
        "evaluation_interval": "30s",
        "tests": [{"interval": "30s", "input_series": input, "promql_expr_test": asked}],
    })
}

fn count(selector: &str, count: usize) -> Value {
    json!({"expr": format!("count(ALERTS{{{selector}}})"), "eval_time": "3m", "exp_samples": [{"labels": "{}", "value": count}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: &str = r#"{"samples": ["credential_auditor_findings_total{finding=\"raw-socket\",severity=\"medium\",workload_namespace=\"sim\",workload_service_account=\"workload\"} 1"],
        "announced": [{"scene": "raw-socket", "alert": "CredentialSuspicious", "labels": {"finding": "raw-socket", "finding_severity": "medium",
        "workload_namespace": "sim", "workload_service_account": "workload"}}]}"#;

    fn judged(samples: &str) -> Result<()> {
        let line = crate::vm::kernels::lines(&["6.12".to_owned()])?[0];
        let arch = crate::vm::arch::Arch::X86_64;
        check(Target { line, arch }, Some(samples))
    }

    #[test]
    fn promtool_says_which_alert_does_not_fire() {
        if prometheus::programs().is_err() {
            println!("skipped: no promtool");
            return;
        }
        judged(SAMPLES).unwrap();
        for (has, other) in [
            // Another severity, another alert, one too many, another workload's.
            ("severity=\\\"medium", "severity=\\\"info"),
            ("CredentialSuspicious", "CredentialTheft"),
            ("finding=\\\"raw-socket", "finding=\\\"foreign-token-open"),
            ("service_account=\\\"workload", "service_account=\\\"victim"),
        ] {
            assert_ne!(SAMPLES.replace(has, other), SAMPLES, "{has}");
            assert!(judged(&SAMPLES.replace(has, other)).is_err(), "{other}");
        }
    }

    #[test]
    fn without_the_raw_socket_it_proves_nothing() {
        let without = r#"{"samples": [], "announced": []}"#;
        assert!(
            judged(without)
                .unwrap_err()
                .to_string()
                .contains("raw-socket")
        );
        assert!(judged("{\"samp").is_err());
    }
}

//! What is asked by `kubectl exec` in the auditor's container: of the one program that the image has.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    contained::{Deployed, PROGRAM, STATE_DIR},
    node::Node,
};

/// `auditor status`
///
/// # Errors
/// It does not answer.
pub fn status(node: &Node, deployed: &Deployed) -> Result<()> {
    let words = [
        PROGRAM,
        "status",
        "--state-dir",
        STATE_DIR,
        "--output",
        "json",
    ];
    let status = ask(node, deployed, &words)?;
    ensure!(status.is_object(), "{status}");
    Ok(())
}

/// `auditor check` with the DaemonSet's own flags, and what it finds by itself: the kubelet's executable and the agent's network
/// namespace, both through the host's /proc.
///
/// # Errors
/// Something that `run` needs is missing, or was not found where nodes have it.
pub fn check(node: &Node, deployed: &Deployed) -> Result<()> {
    let words = words(&deployed.argv);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // It ends with 1 where something fails, and that is an error here.
    let report = ask(node, deployed, &words)?;
    let kubelet = node.lab.kubelet_program();
    judge(&report, &format!("{} in ", kubelet.display())).with_context(|| format!("{report}"))
}

/// Those of `auditor run`, but for what a second auditor cannot have at the same time, and what the lab names and a node has by default.
fn words(argv: &[String]) -> Vec<String> {
    let left_out = ["--agent-netns", "--state-dir", "--backend"];
    let name = |word: &String| word.split('=').next().unwrap_or_default().to_owned();
    let kept = argv.iter().filter(|word| !left_out.contains(&&*name(word)));
    let mut words: Vec<String> = kept
        .map(|word| if word == "run" { "check" } else { word })
        .map(str::to_owned)
        .collect();
    words.push("--metrics-listen=127.0.0.1:0".to_owned());
    words
}

fn judge(report: &Value, kubelet: &str) -> Result<()> {
    for (name, begins) in [
        ("kubelet", kubelet),
        ("agent-netns", "/host/proc/1/ns/net"),
        ("mountinfo", "/host/proc/1/mountinfo"),
    ] {
        let rows = report["checks"].as_array().into_iter().flatten();
        let mut named = rows.filter(|row| row["check"] == name);
        let row = named.next().with_context(|| format!("no row {name}"))?;
        let detail = row["detail"].as_str().unwrap_or_default();
        ensure!(row["state"] == "ok" && detail.starts_with(begins), "{row}");
    }
    Ok(())
}

fn ask(node: &Node, deployed: &Deployed, words: &[&str]) -> Result<Value> {
    let said = node.runtime.exec(&node.lab, &deployed.id, words)?;
    serde_json::from_str(&said).with_context(|| said.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_found_by_itself_is_told() {
        let row =
            |check: &str, detail: &str| json!({"check": check, "state": "ok", "detail": detail});
        let good = json!({"checks": [
            row("kubelet", "/usr/bin/kubelet in /a.service"),
            row("agent-netns", "/host/proc/1/ns/net"),
            row("mountinfo", "/host/proc/1/mountinfo"),
        ]});
        let kubelet = "/usr/bin/kubelet in ";
        judge(&good, kubelet).unwrap();
        for (path, other) in [
            ("/checks/0/detail", "/bin-lab/kubelet in /a.service"),
            ("/checks/0/state", "degraded"),
            ("/checks/1/detail", "/run/node-network"),
            ("/checks/2/check", "mounts"),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = other.into();
            assert!(judge(&bad, kubelet).is_err(), "{path}");
        }
    }

    #[test]
    fn it_asks_as_the_daemon_set_does() {
        let argv = [
            "/auditor",
            "run",
            "--host-proc=/host/proc",
            "--agent-netns=/n",
            "--state-dir=/s",
        ];
        let words = words(&argv.map(str::to_owned));
        let asked = [
            "/auditor",
            "check",
            "--host-proc=/host/proc",
            "--metrics-listen=127.0.0.1:0",
        ];
        assert_eq!(words, asked);
    }
}

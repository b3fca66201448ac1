//! What is done with recorded lines: `replay`, `explain` and `policy` on what the real auditor writes of the real node.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use support::{auditor, is_root};

/// Own and others' tokens, roles, metadata, what adds up over several events, and what policy changes.
const SCENES: [&str; 14] = [
    "own-irsa",
    "own-pod-identity-v4",
    "theft-through-host-path",
    "harvest",
    "harvest-by-exempted-scanner",
    "kubectl-exec",
    "role-drift",
    "imds-fallback",
    "imds-by-policy",
    "eks-csi-nodes",
    "eks-controllers",
    "csi-driver-for-others",
    "unassociated-pod-at-agent",
    "moved-into-victims-cgroup",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(args: &[&str]) -> Output {
    Command::new(auditor())
        .args(args)
        .current_dir(root())
        .output()
        .expect("the auditor cannot be started")
}

#[track_caller]
fn stdout(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{error}");
    text
}

/// The policy of the lab, but for where the kubelet is.
fn policy(dir: &Path) -> PathBuf {
    let default = fs::read_to_string(root().join("manifests/policy/default.yaml"));
    let default = default.expect("the default policy");
    let exempt = "exempt:\n  - {match: {namespace: ops, service_account: scanner, finding: foreign-token-open}, reason: scanner}\n";
    let path = dir.join("policy.yaml");
    fs::write(&path, default.replacen("exempt:\n", exempt, 1)).expect("write the policy");
    path
}

fn record(lines: &Path) {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.args(["play", "--color", "never", "--auditor"])
        .arg(auditor())
        .arg("--output-file")
        .arg(lines);
    for scene in SCENES {
        lab.args(["--scene", scene]);
    }
    let played = lab.output().expect("the lab cannot be started");
    let text = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success(), "{text}");
}

#[test]
fn what_the_auditor_wrote_is_judged_explained_and_proposed_from() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (lines, policy) = (dir.path().join("lines.jsonl"), policy(dir.path()));
    record(&lines);
    let (lines, policy) = (lines.to_str().unwrap(), policy.to_str().unwrap());

    // The same policy and bindings change nothing.
    let replayed = stdout(&run(&[
        "replay", lines, "--policy", policy, "--output", "json",
    ]));
    let replayed: Value = serde_json::from_str(&replayed).unwrap();
    assert_eq!(replayed["changes"], serde_json::json!([]), "{replayed:#}");
    assert_eq!(
        replayed["not_judged_again"],
        serde_json::json!({}),
        "{replayed:#}"
    );
    assert_eq!(replayed["unreadable"], serde_json::json!({}));
    assert!(replayed["events"].as_u64() > Some(20), "{replayed:#}");

    // Another one changes what it says.
    let text = stdout(&run(&["replay", lines]));
    assert!(text.contains("node-role-fallback"), "{text}");
    assert!(text.contains(" -> "), "{text}");

    // Every event is explained, and what stands on its line has fired.
    let written = fs::read_to_string(lines).unwrap();
    let mut explained = 0;
    for line in written.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(findings) = line["findings"].as_array() else {
            continue;
        };
        let id = line["id"].as_str().unwrap();
        let said = run(&["explain", lines, id, "--policy", policy, "--output", "json"]);
        let said: Value = serde_json::from_str(&stdout(&said)).unwrap();
        let fired: Vec<&Value> = said["rules"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|rule| rule["outcome"] == "fired" || rule["outcome"] == "exempted")
            .map(|rule| &rule["rule"])
            .collect();
        let told: Vec<&Value> = findings.iter().map(|finding| &finding["id"]).collect();
        assert_eq!(fired, told, "{id}");
        // With the policy that it was judged by nothing is left open.
        let open = said["rules"].to_string();
        assert!(!open.contains("decided-by-more"), "{said:#}");
        explained += 1;
    }
    assert!(explained > 20, "{explained}");
    assert_eq!(
        run(&["explain", lines, "no-such-id"]).status.code(),
        Some(1)
    );

    // What is proposed is a policy, and replayed with it the own programs are expected.
    let proposed = stdout(&run(&["policy", "suggest", lines]));
    let path = dir.path().join("proposed.yaml");
    fs::write(&path, &proposed).unwrap();
    let path = path.to_str().unwrap();
    let checked = stdout(&run(&["policy", "check", path]));
    assert!(
        checked.contains("0 errors, 0 warnings"),
        "{checked}\n{proposed}"
    );
    let again = stdout(&run(&[
        "replay", lines, "--policy", path, "--output", "json",
    ]));
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(
        again["findings"]["unexpected-executable:medium"],
        Value::Null,
        "{proposed}"
    );
}

#[test]
fn a_policy_that_cannot_be_used_is_told_with_every_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.yaml");
    fs::write(
        &path,
        "version: 1\nagents: []\nseverity: {raw-socket: low}\n",
    )
    .unwrap();
    let output = run(&["policy", "check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "bad.yaml:2:1: error: unknown field `agents`",
        "bad.yaml:3:24: error: unknown variant `low`",
        "cannot be used: 2 errors",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    for args in [
        &["policy", "check", "/nonexistent"][..],
        &["replay", "/nonexistent"],
        &["explain", "/nonexistent", "x"],
        &["policy", "suggest", "/nonexistent"],
    ] {
        assert_eq!(run(args).status.code(), Some(1), "{args:?}");
    }
    for args in [
        &["replay"][..],
        &["replay", "a", "--cluster", "kube"],
        &["policy", "suggest"],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}

/// The commands below `EXAMPLES:`, each with its continued lines.
fn examples(help: &str) -> Vec<String> {
    let (_, examples) = help.split_once("EXAMPLES:\n").expect("examples");
    let (examples, _) = examples.split_once("EXIT STATUS:").expect("exit codes");
    let mut commands = Vec::new();
    for block in examples.split("\n\n") {
        let command: Vec<&str> = block
            .lines()
            .filter(|line| line.starts_with("    "))
            .collect();
        if !command.is_empty() {
            commands.push(command.join("\n"));
        }
    }
    commands
}

#[test]
fn every_example_of_the_help_runs() {
    let dir = tempfile::tempdir().unwrap();
    for shared in ["docs", "manifests"] {
        std::os::unix::fs::symlink(root().join(shared), dir.path().join(shared)).unwrap();
    }
    let bin = auditor().parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut ran = 0;
    for command in ["replay", "explain", "policy"] {
        let help = stdout(&run(&[command, "--help"]));
        for example in examples(&help) {
            let output = Command::new("bash")
                .args(["-o", "pipefail", "-e", "-c", &example])
                .env("PATH", &path)
                .current_dir(dir.path())
                .output()
                .unwrap();
            let text = stdout(&output);
            assert!(!text.is_empty(), "{example}");
            ran += 1;
        }
    }
    assert!(ran >= 8, "{ran}");
}

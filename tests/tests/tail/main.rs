//! `auditor tail` and `--output text`: what people see, of recorded streams and of a real daemon's.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, in its helpers as well"
)]

#[path = "../support/mod.rs"]
mod support;

mod following;
mod terminal;

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lab::{
    auditor::{Envelope, terminate},
    patience,
};
use serde_json::{Value, json};
use support::{Inputs, assert_refused, auditor, finish, helpers, is_root};

fn tail(args: &[&str]) -> Command {
    let mut command = Command::new(auditor());
    command.arg("tail").args(args);
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(variable);
    }
    command
}

fn shown(args: &[&str]) -> String {
    let output = finish(tail(args));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/samples")
}

/// The scenes of the sample: what each event type and verdict looks like, as far as every backend shows it.
const SCENES: [&str; 15] = [
    "own-irsa",
    "own-pod-identity-v4",
    "short-lived-container",
    "theft-through-host-path",
    "theft-through-hard-link",
    "harvest",
    "kubectl-exec",
    "moved-into-victims-cgroup",
    "host-process",
    "role-drift",
    "unassociated-pod-at-agent",
    "imds-fallback",
    "raw-tcp-to-agent",
    "impostor-in-own-network",
    "identity-not-injected",
];

/// Played anew, and written, with `UPDATE_SAMPLES=1`.
fn record(to: &Path) {
    let output = to.join("stream.jsonl");
    let mut lab = Command::new(helpers().join("lab"));
    lab.arg("play")
        .arg("--auditor")
        .arg(auditor())
        .arg("--output-file")
        .arg(&output);
    lab.args(SCENES.iter().flat_map(|scene| ["--scene", scene]));
    assert!(lab.status().unwrap().success());
    let _ = fs::remove_file(output.with_extension("metrics"));
    fs::write(to.join("stream.txt"), shown(&[output.to_str().unwrap()])).unwrap();
}

#[test]
fn the_sample_is_a_whole_stream_and_is_shown_as_the_documents_say() {
    if std::env::var_os("UPDATE_SAMPLES").is_some() && is_root() {
        record(&samples());
    }
    let path = samples().join("stream.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut envelope = Envelope::default();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| envelope.check(&format!("{line}\n")).unwrap())
        .collect();
    let types: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line["event"].as_str())
        .collect();
    for event in [
        "ready",
        "stopped",
        "token_open",
        "credential_connect",
        "connection_closed",
        "agent_accept",
        "finding",
    ] {
        assert!(types.contains(event), "no {event}: {types:?}");
    }
    let want = fs::read_to_string(samples().join("stream.txt")).unwrap();
    assert_eq!(
        shown(&[path.to_str().unwrap()]),
        want,
        "run it with UPDATE_SAMPLES=1 where that is meant"
    );
    assert_eq!(want.lines().count(), lines.len());
}

#[test]
fn filters_pick_and_every_way_in_shows_the_same() {
    let path = samples().join("stream.jsonl");
    let path = path.to_str().unwrap();
    let all = shown(&[path]);
    let of = |args: &[&str]| shown(&[args, &[path]].concat());
    let violations: Vec<&str> = all
        .lines()
        .filter(|line| line.contains(" VIOLATION "))
        .collect();
    assert!(violations.len() > 2);
    assert_eq!(
        of(&["--verdict", "violation"]).lines().collect::<Vec<_>>(),
        violations
    );
    let thefts = of(&["--finding", "foreign-token-open", "--namespace", "payments"]);
    assert!(
        thefts.lines().count() >= 1
            && thefts
                .lines()
                .all(|line| line.contains("foreign-token-open:critical"))
    );
    assert_eq!(of(&["--pod", "shop/no-such-pod"]), "");
    assert_eq!(of(&["--since", "2100-01-01"]), "");
    assert_eq!(of(&["--since", "2000-01-01"]), all);
    let last: Vec<&str> = all.lines().rev().take(3).collect();
    assert_eq!(of(&["-n", "3"]).lines().rev().collect::<Vec<_>>(), last);
    assert!(
        of(&["--event", "stopped", "--ids"])
            .trim_end()
            .ends_with(|c: char| c.is_ascii_hexdigit())
    );

    // Through a pipe.
    let mut child = tail(&["-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, text) = (child.stdin.take().unwrap(), fs::read(path).unwrap());
    let writer = thread::spawn(move || stdin.write_all(&text));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), all);
}

#[test]
fn colours_are_asked_for_or_a_terminals() {
    let path = samples().join("stream.jsonl");
    let path = path.to_str().unwrap();
    let plain = shown(&[path]);
    assert!(!plain.contains('\x1b'));
    let painted = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = tail(args);
        let output = finish({
            command.arg(path).envs(variables.iter().copied());
            command
        });
        output.stdout.contains(&0x1b)
    };
    assert!(painted(&[], &["--color", "always"]));
    assert!(painted(&[("CLICOLOR_FORCE", "1")], &[]));
    assert!(!painted(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[]));
    assert!(painted(&[("NO_COLOR", "1")], &["--color", "always"]));
    assert!(!painted(&[("CLICOLOR_FORCE", "1")], &["--color", "never"]));
}

#[test]
fn what_is_no_event_is_told_by_its_number_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.jsonl");
    let good = |seq: u64| {
        let line = json!({
            "schema": "auditor/v1", "event": "health", "run_id": "r", "seq": seq, "time": "2026-11-22T12:00:00Z",
            "component": "sink", "state": "ok", "message": format!("number {seq}"),
        });
        line.to_string()
    };
    let torn = &good(1)[..40];
    let long = "x".repeat(100_000);
    let other = good(1).replace("auditor/v1", "auditor/v7");
    let text = [
        &good(0),
        "not json",
        torn,
        &long,
        &other,
        "{}",
        &good(4),
        &good(5)[..60],
    ]
    .join("\n");
    fs::write(&path, text).unwrap();
    let output = finish(tail(&[path.to_str().unwrap()]));
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{stdout}");
    assert!(
        lines[0].contains("number 0") && lines[2].contains("number 4"),
        "{stdout}"
    );
    assert!(
        lines[1].contains("GAP") && lines[1].contains("3 lines are missing here, before seq 4"),
        "{stdout}"
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    for (line, why) in [
        (2, "not JSON"),
        (3, "torn"),
        (4, "too long"),
        (5, "of another version: its schema is \"auditor/v7\""),
        (6, "no event of the auditor"),
        (8, "torn"),
    ] {
        assert!(
            stderr.contains(&format!("x.jsonl:{line}: skipped: {why}")),
            "{line}: {stderr}"
        );
    }
}

#[test]
fn run_writes_text_for_people_where_it_is_told_to() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut child = inputs
        .command()
        .args(["--output", "text"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text = || fs::read_to_string(inputs.path("out.jsonl")).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(20) * patience();
    while !text().contains(" ready ") {
        assert!(
            Instant::now() < deadline && child.try_wait().unwrap().is_none(),
            "{}",
            text()
        );
        thread::sleep(Duration::from_millis(20));
    }
    assert!(
        terminate(&mut child, Duration::from_secs(2))
            .unwrap()
            .success()
    );
    let text = text();
    assert!(!text.contains('\x1b'), "{text}");
    assert!(text.lines().all(|line| line.starts_with("20")), "{text}");
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("20") && last.contains(" stopped ") && last.contains("SIGTERM"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_read_is_told_with_a_remedy() {
    assert_refused(
        &finish(tail(&["/no/such/file"])),
        1,
        &["cannot read /no/such/file", "help: "],
    );
    assert_refused(
        &finish(tail(&["/tmp"])),
        1,
        &["cannot read /tmp", "help: name a file in it"],
    );
    for bad in [
        ["--verdict", "bad"],
        ["--event", "bad"],
        ["--finding", "bad"],
        ["--since", "bad"],
        ["--lines", "-1"],
    ] {
        assert_refused(&finish(tail(&bad)), 2, &[bad[0]]);
    }
}

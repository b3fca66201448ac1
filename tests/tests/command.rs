//! The `lab` command itself, and the whole of it with the real auditor.

mod support;

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use lab::{auditor::terminate, cleanup};
use support::{auditor, is_root};

fn lab(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(args).stdin(Stdio::null());
    command
}

#[test]
fn every_scene_brings_forth_exactly_the_expected_lines() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("lines.jsonl");
    let run = lab(&["play", "--color", "never", "--auditor"])
        .arg(auditor())
        .arg("--output-file")
        .arg(&output)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{stdout}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let summary = stdout.lines().last().unwrap_or_default();
    assert!(summary.contains(" passed, 0 failed"), "{stdout}");
    // What nothing watches on this kernel is left out, and nothing else.
    let skipped = |line: &&str| line.starts_with("skip ");
    let unwatched = |why: &str| {
        why.starts_with("skipped: no way to watch ") || why.starts_with("skipped: nothing watches ")
    };
    let lines: Vec<_> = stdout.lines().collect();
    let other = lines
        .windows(2)
        .find(|pair| skipped(&pair[0]) && !unwatched(pair[1].trim_start()));
    assert_eq!(other, None);
    let played = lines.iter().filter(|line| line.starts_with("ok ")).count();
    assert!(
        played > lines.iter().filter(|line| skipped(line)).count(),
        "{stdout}"
    );
    assert!(stdout.contains(&*output.to_string_lossy()) && output.exists());
}

#[test]
fn recycled_device_numbers_lay_no_open_to_the_wrong_pod() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = lab(&["churn", "--cycles", "100", "--auditor"])
        .arg(auditor())
        .arg("--output-file")
        .arg(dir.path().join("lines.jsonl"))
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{stdout}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let lines: Vec<_> = stdout.lines().collect();
    let [counts, "100 passed, 0 failed"] = lines[..] else {
        panic!("{stdout}");
    };
    assert!(
        counts.starts_with("100 opens, ") && counts.ends_with(" 0 misattributed"),
        "{stdout}"
    );
}

#[test]
fn a_program_that_is_no_auditor_is_no_success() {
    if !is_root() {
        return;
    }
    let run = lab(&["play", "--scene", "own-irsa", "--auditor", "/bin/true"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("the auditor ended by itself"));
}

#[test]
fn an_unknown_scene_is_named() {
    let run = lab(&["play", "--scene", "no-such-scene", "--auditor", "/bin/true"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("no-such-scene"));
}

#[test]
fn a_signal_leaves_nothing_behind() {
    if !is_root() {
        return;
    }
    let mut child = lab(&["rehearse"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let prefix = format!("{}-", child.id());
    let ours = || {
        fs::read_dir(cleanup::STATE)
            .into_iter()
            .flatten()
            .flatten()
            .find(|e| e.file_name().to_string_lossy().starts_with(&prefix))
            .map(|e| e.path())
    };
    // It may have to wait for another test's lab.
    let deadline = Instant::now() + Duration::from_secs(120);
    // Its first pod runs.
    let dir = loop {
        if let Some(dir) = ours()
            && dir.join("roots").exists()
        {
            break dir;
        }
        assert!(Instant::now() < deadline, "no lab appears");
        thread::sleep(Duration::from_millis(2));
    };
    let cgroup = fs::read_to_string(dir.join("cgroup")).unwrap();
    let status = terminate(&mut child, Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(128 + 15));
    assert!(!dir.exists() && !fs::exists(cgroup).unwrap());
    assert!(
        !lab::sys::mounts::list()
            .unwrap()
            .iter()
            .any(|m| m.mount_point.starts_with(&dir))
    );
}

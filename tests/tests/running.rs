//! The daemon's life: reloads, signals, state.

mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use lab::auditor::terminate;
use serde_json::Value;
use support::{Inputs, Running, assert_refused, finish, is_root};

fn is_refused_reload(line: &Value, component: &str, file: &str) -> bool {
    line["event"] == "health"
        && line["component"] == component
        && line["state"] == "reload-refused"
        && line["message"].as_str().is_some_and(|m| m.contains(file))
}

#[test]
fn a_broken_file_keeps_the_old_one_and_says_so() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut auditor = Running::start(&inputs);
    auditor.ready();
    for (component, name) in [
        ("cluster", "cluster.json"),
        ("associations", "associations.json"),
        ("policy", "policy.yaml"),
    ] {
        inputs.write(name, "{ broken");
        auditor.until(|line| is_refused_reload(line, component, name));
    }
    assert!(
        terminate(&mut auditor.child, Duration::from_secs(2))
            .unwrap()
            .success()
    );
}

#[test]
fn sigterm_ends_it_within_two_seconds_with_its_totals() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut auditor = Running::start(&inputs);
    let before = auditor.ready();
    assert_eq!(before[0]["seq"], 0);
    let status = terminate(&mut auditor.child, Duration::from_secs(2)).unwrap();
    assert_eq!(status.code(), Some(0));
    let rest = auditor.rest();
    let stopped = rest.last().unwrap();
    assert_eq!(stopped["event"], "stopped");
    assert_eq!(stopped["run_id"], before[0]["run_id"]);
    assert!(stopped["matched"].is_u64(), "{stopped}");
}

#[test]
fn a_second_auditor_with_the_same_state_says_so_and_leaves() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut auditor = Running::start(&inputs);
    auditor.ready();
    // Everything of its own but the state.
    let elsewhere = Inputs::new();
    let state = inputs.path("state");
    let mut second = std::process::Command::new(support::auditor());
    second.args(elsewhere.args().into_iter().map(|arg| {
        if Path::new(&arg) == elsewhere.path("state") {
            state.to_string_lossy().into_owned()
        } else {
            arg
        }
    }));
    let started = Instant::now();
    assert_refused(
        &finish(second),
        1,
        &[&state.to_string_lossy(), "another auditor"],
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(
        auditor.child.try_wait().unwrap().is_none(),
        "the first one goes on"
    );
}

#[test]
fn after_a_sigkill_the_next_run_tells_of_the_gap() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut first = Running::start(&inputs);
    let run_id = first.ready()[0]["run_id"].clone();
    // A heartbeat a second: the gap's start is known to that.
    std::thread::sleep(Duration::from_millis(1_200));
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let mut second = Running::start(&inputs);
    let lines = second.until(|line| line["event"] == "health" && line["state"] == "restart-gap");
    assert_ne!(lines[0]["run_id"], run_id);
    assert!(
        terminate(&mut second.child, Duration::from_secs(2))
            .unwrap()
            .success()
    );

    // A clean stop is no gap.
    let mut third = Running::start(&inputs);
    let mut lines = third.ready();
    assert!(
        terminate(&mut third.child, Duration::from_secs(2))
            .unwrap()
            .success()
    );
    lines.extend(third.rest());
    assert!(
        !lines.iter().any(|l| l["state"] == "restart-gap"),
        "{lines:#?}"
    );
}

//! The self-test of a running auditor: its canaries disturb nobody, and a probe that is stopped from outside is noticed. The
//! kernel and the probes are the real ones; they are stopped as an intruder with root would stop them.

#[path = "../support/mod.rs"]
mod support;
mod tamper;

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lab::{auditor::terminate, patience};
use serde_json::Value;
use support::{Inputs, Running, get, is_root};

/// An auditor that plays its canaries once a second, and its `ready`.
fn start(inputs: &Inputs) -> (Running, Value) {
    let mut command: Command = inputs.command();
    command.args(["--self-test-interval", "1"]);
    let mut auditor = Running::spawn(inputs, command);
    let ready = auditor.ready().pop().expect("what the test stands on");
    (auditor, ready)
}

/// Waits for the metrics to have that line.
fn until_metric(ready: &Value, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(15) * patience();
    loop {
        let (_, metrics) = get(ready, "/metrics");
        if metrics.lines().any(|found| found == line) {
            return;
        }
        assert!(Instant::now() < deadline, "no {line}: {metrics}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn is_self_test(line: &Value, state: &str, hook: &str) -> bool {
    line["event"] == "health"
        && line["component"] == "self-test"
        && line["state"] == state
        && line["message"].as_str().is_some_and(|m| m.contains(hook))
}

#[test]
fn canaries_disturb_nobody() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let (mut auditor, ready) = start(&inputs);
    for hook in [
        "file_open",
        "connect",
        "connect_outcome",
        "agent_accept",
        "listen",
    ] {
        until_metric(
            &ready,
            &format!("credential_auditor_self_test_success{{hook=\"{hook}\"}} 1"),
        );
    }
    // Several rounds: one canary each 250 ms.
    thread::sleep(Duration::from_secs(6));
    assert_eq!(get(&ready, "/readyz").0, 200);
    assert!(
        terminate(&mut auditor.child, Duration::from_secs(2))
            .unwrap()
            .success()
    );
    let rest = auditor.rest();
    // On a machine of its own nothing else happens; on a shared one, other tests' events may.
    let ours: Vec<_> = rest
        .iter()
        .filter(|line| {
            line["event"] == "health"
                || line["process"]["pid"] == auditor.child.id()
                || line["event"] == "loss"
        })
        .collect();
    assert!(ours.is_empty(), "{ours:#?}");
    let stopped = rest.last().unwrap();
    let count = |name: &str| stopped[name].as_u64().unwrap();
    assert_eq!(
        count("matched"),
        [
            "lines",
            "counted_only",
            "folded",
            "merged",
            "lost",
            "queued"
        ]
        .map(count)
        .iter()
        .sum::<u64>(),
        "{stopped}"
    );
}

#[test]
fn coverage_is_told_on_the_first_line_and_in_the_metrics() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let (_auditor, ready) = start(&inputs);
    let coverage = ready["coverage"].as_object().unwrap();
    assert!(coverage.len() >= 40);
    let (_, metrics) = get(&ready, "/metrics");
    for (technique, seen) in coverage {
        let value = u8::from(seen.as_bool().unwrap());
        let line = format!("credential_auditor_coverage{{technique=\"{technique}\"}} {value}");
        assert!(metrics.lines().any(|found| found == line), "no {line}");
    }
    // What no backend misses, and what only a function's entry shows.
    assert_eq!(coverage["openat"], true);
    let at_entry = ["fentry", "kprobe"]
        .map(Value::from)
        .contains(&ready["backends"]["file_open"]["backend"]);
    assert_eq!(coverage["io_uring_openat"], at_entry);
}

#[test]
fn optional_probes_that_are_not_there_are_told() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let mut auditor = Running::start(&inputs);
    let lines = auditor.ready();
    let ready = lines.last().unwrap();
    for (hook, status) in ready["backends"].as_object().unwrap() {
        let is_told = lines.iter().any(|line| {
            line["event"] == "health"
                && line["component"] == "probe"
                && line["state"] == "degraded"
                && line["message"]
                    .as_str()
                    .is_some_and(|m| m.starts_with(&format!("{hook} is not watched")))
        });
        assert_eq!(is_told, status["backend"] == "none", "{hook}: {lines:#?}");
    }
}

/// The links of tracing programs refuse BPF_LINK_DETACH (EOPNOTSUPP, tried on 6.18), so an intruder makes the auditor itself let go of it.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_probe_that_is_stopped_from_outside_is_noticed() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let (mut auditor, ready) = start(&inputs);
    let pid = auditor.child.id();
    let programs = ready["backends"]["file_open"]["programs"]
        .as_object()
        .unwrap();
    let id = programs.values().next().unwrap().as_u64().unwrap();
    let link = tamper::link_of_program(pid, id).unwrap();
    tamper::release_in(pid, link).unwrap();
    assert!(tamper::link_of_program(pid, id).is_err(), "it is gone");

    let lines = auditor.until(|line| is_self_test(line, "degraded", "file_open"));
    let message = lines.last().unwrap()["message"].as_str().unwrap();
    for part in [
        "canary did not fire",
        "opens of tokens may go unseen since 20",
        "restart this pod",
    ] {
        assert!(message.contains(part), "{message}");
    }
    until_metric(
        &ready,
        "credential_auditor_self_test_success{hook=\"file_open\"} 0",
    );
    until_metric(
        &ready,
        "credential_auditor_coverage{technique=\"openat\"} 0",
    );
    until_metric(
        &ready,
        "credential_auditor_coverage{technique=\"connect\"} 1",
    );
    let (status, why) = get(&ready, "/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("file_open"), "{why}");
    // Told once, and the auditor goes on with what still works.
    assert!(
        terminate(&mut auditor.child, Duration::from_secs(2))
            .unwrap()
            .success()
    );
    let again = auditor.rest();
    assert!(
        !again
            .iter()
            .any(|line| is_self_test(line, "degraded", "file_open")),
        "{again:#?}"
    );
}

/// An intruder fills the map in which the canary's address is registered, and empties it again.
#[test]
fn a_probe_that_works_again_is_told() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let (mut auditor, ready) = start(&inputs);
    let endpoints = tamper::Map::steal(auditor.child.id(), tamper::ENDPOINTS).unwrap();
    let added = endpoints.fill().unwrap();
    assert!(!added.is_empty());
    auditor.until(|line| is_self_test(line, "degraded", "probe connect "));
    until_metric(
        &ready,
        "credential_auditor_self_test_success{hook=\"connect\"} 0",
    );
    assert_eq!(get(&ready, "/readyz").0, 503);
    endpoints.empty(&added).unwrap();
    auditor.until(|line| is_self_test(line, "ok", "probe connect "));
    until_metric(
        &ready,
        "credential_auditor_self_test_success{hook=\"connect\"} 1",
    );
    let deadline = Instant::now() + Duration::from_secs(15) * patience();
    while get(&ready, "/readyz").0 != 200 {
        assert!(Instant::now() < deadline, "it stays not ready");
        thread::sleep(Duration::from_millis(50));
    }
}

//! How it says it, and that it leaves everything as it was.

use crate::{
    place::{Place, assert_state, found},
    support::{Running, assert_refused, finish, is_root},
};

#[test]
fn it_leaves_nothing_behind() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let state = place.inputs.path("new/state");
    let place = place.with("--state-dir", state.to_string_lossy());
    place.check();
    assert!(!place.inputs.path("new").exists());
    assert!(!place.inputs.path("out.jsonl").exists());
    // What is there stays, and is not written to.
    place.inputs.write("out.jsonl", "{}\n");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("uses.json"), "{}").unwrap();
    place.check();
    assert_eq!(
        std::fs::read_to_string(place.inputs.path("out.jsonl")).unwrap(),
        "{}\n"
    );
    let left: Vec<_> = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["uses.json"]);
}

#[test]
fn an_auditor_that_runs_already_is_named() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let mut running = Running::start(&place.inputs);
    running.ready();
    let report = place.check();
    assert_state(&report, "state-dir", "failed");
    let detail = found(&report, "state-dir")["detail"].as_str().unwrap();
    assert!(detail.contains("another auditor"), "{detail}");
    assert!(running.child.try_wait().unwrap().is_none(), "it goes on");
}

#[test]
fn the_table_names_what_failed_first_and_is_painted_for_terminals_only() {
    if !is_root() {
        return;
    }
    let place = Place::new().with("--output-file", "/nonexistent/out.jsonl");
    let output = finish(place.command("check"));
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    let mut lines = table.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with("FAILED") && first.contains("/nonexistent/out.jsonl"),
        "{table}"
    );
    // Where it is wrapped, the remedy stands below all of it.
    let mut below = lines.take_while(|line| line.starts_with(' '));
    assert!(below.any(|line| line.contains("=> ")), "{table}");
    assert!(
        table.ends_with("`auditor run` would not work: 1 failed\n"),
        "{table}"
    );
    assert!(!table.contains('\x1b'), "{table}");
}

#[test]
fn wrong_flags_are_usage_errors_as_with_run() {
    for (flag, value) in [
        ("--output", "xml"),
        ("--backend", "magic"),
        ("--cluster", "ftp:x"),
    ] {
        let place = Place::new().with(flag, value);
        assert_refused(&finish(place.command("check")), 2, &[flag, value]);
    }
}

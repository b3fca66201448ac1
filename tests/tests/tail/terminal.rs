//! A terminal gets colours, its width, and nobody's commands.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use super::{
    samples,
    support::{auditor, finish},
};

/// What is shown on a terminal that is `columns` wide.
fn on_a_terminal(columns: u32, path: &Path) -> String {
    let command = format!(
        "stty cols {columns}; exec '{}' tail '{}'",
        auditor().display(),
        path.display()
    );
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("TERM", "xterm");
    script.env_remove("NO_COLOR");
    let output = finish(script);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .replace("\r\n", "\n")
}

/// The text without its colours, of which none may be left open at a line's end.
fn without_colours(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut is_open = false;
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('\x1b') {
            out.push_str(before);
            let numbers = after.strip_prefix('[').expect("only colours");
            let (number, after) = numbers.split_once('m').expect("only colours");
            assert!(
                number.chars().all(|c| c.is_ascii_digit() || c == ';'),
                "{line:?}"
            );
            is_open = number != "0";
            rest = after;
        }
        assert!(!is_open, "{line:?}");
        out.push_str(rest);
        out.push('\n');
    }
    out
}

const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[1;1H\u{9b}2J\r\nFORGED \u{202e}\u{200b}";

/// A line that says `HOSTILE` wherever it may say anything.
fn hostile_line(event: &str) -> String {
    let pod =
        json!({"namespace": HOSTILE, "name": HOSTILE, "uid": HOSTILE, "service_account": HOSTILE});
    let line = json!({
        "schema": "auditor/v1", "event": event, "id": HOSTILE, "run_id": HOSTILE, "seq": 1, "time": HOSTILE,
        "verdict": HOSTILE, "relation": HOSTILE, "undetermined": [HOSTILE], "pod": pod, "subject": pod, "listener": pod,
        "findings": [{"id": HOSTILE, "severity": HOSTILE, "message": HOSTILE, "exempted_by": HOSTILE}],
        "process": {"exe": HOSTILE, "comm": HOSTILE, "tty": HOSTILE, "exec_session": true},
        "token": {"kind": HOSTILE, "owner": pod}, "access": {"via": HOSTILE, "flags": [HOSTILE]},
        "connection": {"endpoint": HOSTILE, "dst": HOSTILE, "outcome": HOSTILE, "owner": pod},
        "socket": {"local": HOSTILE, "family": HOSTILE, "type": HOSTILE}, "target": {"comm": HOSTILE, "pod": pod},
        "binding": {"role_arn": HOSTILE}, "peer": HOSTILE, "endpoint": HOSTILE, "via": HOSTILE, "from": HOSTILE, "to": HOSTILE,
        "state": HOSTILE, "component": HOSTILE, "message": HOSTILE, "reason": HOSTILE, "ring": HOSTILE, "of": HOSTILE,
        "version": HOSTILE, "kernel": HOSTILE, "backends": {HOSTILE: {"backend": HOSTILE}}, "exe_inode": HOSTILE,
    });
    format!("{line}\n")
}

#[test]
fn a_terminal_gets_colours_and_its_width_and_no_commands_of_anybodys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile\x1b[2J.jsonl");
    let events = [
        "token_open",
        "token_received",
        "credential_connect",
        "connection_closed",
        "agent_accept",
        "listen",
        "memory_access",
        "socket_create",
        "finding",
        "summary",
        "loss",
        "health",
        "ready",
        "stopped",
        HOSTILE,
    ];
    let mut text: String = events.iter().map(|event| hostile_line(event)).collect();
    text.push_str(&format!("{HOSTILE}\n"));
    fs::write(&path, text).unwrap();
    for columns in [60, 100, 400] {
        let text = on_a_terminal(columns, &path);
        let plain = without_colours(&text);
        for line in plain.lines() {
            assert!(
                !line
                    .chars()
                    .any(|c| c.is_control() || "\u{202e}\u{200b}".contains(c)),
                "{line:?}"
            );
            // Notes are stderr's, and whole.
            let is_note = line.starts_with("auditor: ");
            assert!(
                is_note || line.chars().count() <= columns as usize,
                "{line}"
            );
            assert!(!line.starts_with("FORGED"), "{line}");
        }
    }
    let sample = samples().join("stream.jsonl");
    let text = on_a_terminal(100, &sample);
    assert!(text.contains("\x1b[1;31mVIOLATION\x1b[0m"), "{text}");
    let plain = without_colours(&text);
    assert!(plain.starts_with("-- 20"), "the day stands above: {plain}");
    assert!(plain.lines().any(|line| line.ends_with('…')), "{plain}");
}

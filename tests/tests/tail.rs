//! `auditor tail` and `--output text`: what people see, of recorded streams and of a real daemon's.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, in its helpers as well"
)]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use lab::{
    auditor::{Envelope, terminate},
    patience,
};
use serde_json::{Value, json};
use support::{Inputs, Running, assert_refused, auditor, finish, helpers, is_root};

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

/// A tail that goes on until it is stopped.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn until(&self, words: &[&str]) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20) * patience();
        let mut lines = Vec::new();
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    let is_it = words.iter().all(|word| line.contains(word));
                    lines.push(line);
                    if is_it {
                        return lines;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {words:?}: {lines:#?}")
                }
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ends(child: &mut Child, within: Duration) -> ExitStatus {
    let deadline = Instant::now() + within * patience();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
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

fn read_line(stdout: ChildStdout) -> String {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    line
}

#[test]
fn a_reader_who_goes_ends_it_cleanly_also_while_nothing_comes() {
    let path = samples().join("stream.jsonl");
    let dir = tempfile::tempdir().unwrap();
    // More than a pipe holds.
    let big = dir.path().join("big.jsonl");
    fs::write(&big, fs::read_to_string(&path).unwrap().repeat(200)).unwrap();
    let quiet = |mut command: Command| {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    // While it writes, while it follows, and while it waits for its own input.
    let mut writes = quiet(tail(&[big.to_str().unwrap()])).spawn().unwrap();
    let mut follows = quiet(tail(&["-f", path.to_str().unwrap()]))
        .spawn()
        .unwrap();
    let mut waits = quiet(tail(&[])).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = waits.stdin.take().unwrap();
    stdin.write_all(&fs::read(&path).unwrap()).unwrap();
    for child in [&mut writes, &mut follows, &mut waits] {
        assert!(read_line(child.stdout.take().unwrap()).contains("20"));
        let status = ends(child, Duration::from_secs(5));
        assert_eq!(status.code(), Some(0));
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert!(
            !stderr.contains("panic") && !stderr.contains("cannot"),
            "{stderr}"
        );
    }
    drop(stdin);
}

#[test]
fn a_live_daemons_file_is_followed_over_rotations_and_no_line_is_missed() {
    if !is_root() {
        return;
    }
    let inputs = Inputs::new();
    let path = inputs.path("out.jsonl");
    let _ = fs::remove_file(&path);
    // It may be there first.
    let following = Following::start(tail(&["--follow", path.to_str().unwrap()]));
    let mut daemon = Running::start(&inputs);
    following.until(&["ready"]);
    let mut shown = 0;
    for round in 0..3 {
        for text in ["{ broken", "version: 1\n"] {
            inputs.write("policy.yaml", text);
            let words = match text {
                "{ broken" => ["health", "reload-refused"],
                _ => ["health", "can be read again"],
            };
            shown += following.until(&words).len();
            match round {
                0 => fs::rename(&path, inputs.path("out.1")).unwrap_or_default(),
                // With a new file there already, as logrotate's `create` makes one.
                1 => {
                    let _ = fs::rename(&path, inputs.path("out.2"));
                    fs::write(&path, "").unwrap();
                }
                _ => {
                    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                    file.set_len(0).unwrap();
                    // Who cuts a file and lets it grow past where its reader was, within one look, hides it.
                    thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }
    assert_eq!(shown, 6, "nothing but these");
    assert!(
        terminate(&mut daemon.child, Duration::from_secs(2))
            .unwrap()
            .success()
    );
    let last = following.until(&["stopped", "SIGTERM"]);
    assert!(last.iter().all(|line| !line.contains("GAP")), "{last:?}");
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

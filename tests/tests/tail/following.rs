//! A tail that goes on: over rotations, and until its reader goes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use lab::{auditor::terminate, patience};

use super::{
    samples,
    support::{Inputs, Running, is_root},
    tail,
};

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

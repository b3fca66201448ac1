//! A running `auditor run`, from its `ready` line to its end.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    node::{NODE, Node},
    process,
};

const READY_LIMIT: Duration = Duration::from_secs(60);
/// The contract is 2 s; the rest is for a busy machine.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Stopped when dropped.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts the auditor on a made-up node and waits until every probe is attached.
    ///
    /// # Errors
    /// When it ends or says nothing; the message is the last line of its log.
    pub fn start(auditor: &Path, node: &Node, backend: &str) -> Result<Self> {
        let mut command = Command::new(auditor);
        command.args([
            "run",
            "--node-name",
            NODE,
            "--backend",
            backend,
            "--metrics-listen",
            "127.0.0.1:0",
        ]);
        command
            .arg("--cluster")
            .arg(format!("file:{}", node.cluster().display()));
        command
            .arg("--associations")
            .arg(format!("file:{}", node.associations().display()));
        command.arg("--kubelet-root").arg(node.kubelet_root());
        // There is no agent on this node; some machines hide the default, PID 1's namespaces.
        command.args(["--agent-netns", "/proc/self/ns/net"]);
        let log = File::create(node.log())?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start `{}`", process::shown(&command)))?;
        let mut daemon = Self { child };
        daemon
            .wait_until_ready()
            .with_context(|| last_words(&node.log()))?;
        Ok(daemon)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let events = self.child.stdout.take().context("no standard output")?;
        let (sender, receiver) = mpsc::channel();
        // Reads on for as long as the auditor lives, or its output would block it.
        thread::spawn(move || {
            let mut sender = Some(sender);
            for line in BufReader::new(events).split(b'\n') {
                let Ok(line) = line else { return };
                if is_ready(&line)
                    && let Some(sender) = sender.take()
                {
                    // Nobody listens any more after the time limit.
                    let _ = sender.send(());
                }
            }
        });
        match receiver.recv_timeout(READY_LIMIT) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => bail!("`auditor run` ended before it was ready"),
            Err(RecvTimeoutError::Timeout) => bail!(
                "`auditor run` was not ready after {} s",
                READY_LIMIT.as_secs()
            ),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// SIGTERM, and SIGKILL after a time; by process id.
pub fn terminate(child: &mut Child) {
    // The shell's own kill: not every machine has a program of that name.
    let kill = Command::new("sh")
        .args(["-c", "kill -TERM \"$0\"", &child.id().to_string()])
        .status();
    let begun = Instant::now();
    while kill.is_ok() && begun.elapsed() < STOP_LIMIT {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
    // Both fail only when it is gone already.
    let _ = child.kill();
    let _ = child.wait();
}

fn is_ready(line: &[u8]) -> bool {
    line.starts_with(b"{")
        && line
            .windows(15)
            .any(|window| window == br#""event":"ready""#)
}

/// Why it ended, from its log.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    reason(&text).unwrap_or("it logged nothing").to_owned()
}

/// The error that the auditor reports at its end (`auditor: …`, then perhaps `help: …`), else the last line.
fn reason(log: &str) -> Option<&str> {
    let mut lines = log.trim_end().lines().rev();
    let error = lines.clone().find(|line| line.starts_with("auditor: "));
    error.or_else(|| lines.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_ready_line() {
        assert!(is_ready(
            br#"{"schema":"auditor/v1","event":"ready","id":"0"}"#
        ));
        assert!(!is_ready(br#"{"schema":"auditor/v1","event":"stopped"}"#));
    }

    #[test]
    fn the_error_says_more_than_its_remedy() {
        let log = "INFO not in use\nauditor: no way to watch\nhelp: try another\n";
        assert_eq!(reason(log), Some("auditor: no way to watch"));
        assert_eq!(reason("Killed\n"), Some("Killed"));
        assert_eq!(reason(""), None);
    }
}

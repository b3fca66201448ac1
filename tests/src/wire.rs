//! How the lab talks to the programs it runs: one JSON request a line on stdin, one JSON reply a line on stdout.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What became of a command that a container's process ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// In the namespace of whoever started it.
    pub pid: u32,
    /// Exit code; 128 + signal where a signal ended it.
    pub status: i32,
    pub stdout: String,
}

impl Output {
    /// The command's output, or an error that quotes it: a scene whose act did not happen proves nothing.
    pub fn succeeded(self) -> Result<String> {
        if self.status != 0 {
            bail!(
                "the command ended with status {}: {}",
                self.status,
                self.stdout.trim_end()
            );
        }
        Ok(self.stdout)
    }
}

/// A command for a container's init to run as its own child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRequest {
    pub argv: Vec<String>,
}

/// Answers requests on stdin until it ends. A failed request is answered, not fatal.
pub fn serve<Q: DeserializeOwned, A: Serialize>(
    mut handle: impl FnMut(Q) -> Result<A>,
) -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let reply: Result<A, String> = serde_json::from_str(&line)
            .with_context(|| format!("request {line}"))
            .and_then(&mut handle)
            .map_err(|e| format!("{e:#}"));
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &reply)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

/// Reads one reply as [`serve`] writes it.
pub fn parse_reply<A: DeserializeOwned>(line: &str) -> Result<A> {
    let reply: Result<A, String> =
        serde_json::from_str(line).with_context(|| format!("reply {line:?}"))?;
    reply.map_err(|e| anyhow!(e))
}

/// A program that answers requests; killed when dropped.
pub struct Worker {
    name: String,
    child: Child,
    /// None once it was closed.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    pub fn spawn(name: impl Into<String>, mut command: Command) -> Result<Self> {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name}: {:?}", command.get_program()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("{name}: no pipes");
        };
        Ok(Self {
            name,
            child,
            stdin: Some(stdin),
            stdout: BufReader::new(stdout),
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes its stdin and waits until it has ended by itself.
    pub fn finish(mut self, limit: Duration) -> Result<()> {
        self.stdin = None;
        let deadline = Instant::now() + limit;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("{} does not end when its stdin does", self.name);
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    pub fn call<Q: Serialize, A: DeserializeOwned>(&mut self, request: &Q) -> Result<A> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let stdin = self.stdin.as_mut().context("its stdin was closed")?;
        stdin
            .write_all(line.as_bytes())
            .with_context(|| format!("{} is gone", self.name))?;
        let mut reply = String::new();
        if self.stdout.read_line(&mut reply)? == 0 {
            bail!(
                "{} ended without an answer to {}",
                self.name,
                line.trim_end()
            );
        }
        parse_reply(&reply).with_context(|| self.name.clone())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Fails only where it has ended by itself, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An argument vector from anything that looks like strings.
pub fn argv<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Vec<String> {
    words
        .into_iter()
        .map(|w| w.as_ref().to_string_lossy().into_owned())
        .collect()
}

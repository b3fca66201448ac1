//! Runs the real `auditor run` and reads its lines as they are written.

mod lines;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    node::{CLUSTER_NAME, INSTANCE_ID, Lab, NODE_NAME},
    patience,
};

pub use lines::{Envelope, Lines};

/// How the auditor is run on a lab.
#[derive(Clone, Debug)]
pub struct Options {
    pub program: PathBuf,
    pub backend: String,
    /// Where its lines go.
    pub output: PathBuf,
    /// Further flags.
    pub args: Vec<String>,
    /// Further environment.
    pub env: Vec<(String, String)>,
}

impl Options {
    /// The same with `--watch-denied`, and lines of its own beside the others'.
    pub fn watching_denied(&self) -> Self {
        let mut this = self.clone();
        this.output = self.output.with_extension("denied.jsonl");
        this.args.push("--watch-denied".into());
        this
    }
}

pub struct Auditor {
    child: Child,
    lines: Lines,
    log: PathBuf,
}

impl Auditor {
    /// Starts it and waits for its `ready`, which is returned.
    pub fn start(lab: &Lab, options: &Options) -> Result<(Self, Value)> {
        ensure!(
            options.program.is_file(),
            "there is no auditor at {}: build it (cargo build --release -p auditor) or name it with --auditor",
            options.program.display()
        );
        // An earlier run's lines must not be taken for this one's.
        match fs::remove_file(&options.output) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("replace {}", options.output.display()));
            }
            _ => {}
        }
        let log = lab.dir().join("auditor.log");
        let mut command = lab.command("system.slice/auditor.service", &options.program)?;
        command
            .arg("run")
            .args(flags(lab))
            .arg("--backend")
            .arg(&options.backend)
            .args(&options.args)
            .envs(options.env.iter().map(|(name, value)| (name, value)));
        command.arg("--output-file").arg(&options.output);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = command.spawn().context("start the auditor")?;
        let mut this = Self {
            child,
            lines: Lines::new(&options.output),
            log,
        };
        let ready = this.wait_ready()?;
        Ok((this, ready))
    }

    fn wait_ready(&mut self) -> Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(60) * patience();
        loop {
            match self.next(deadline)? {
                Some(line) if line["event"] == "ready" => return Ok(line),
                Some(line) if line["event"] == "health" => {}
                Some(line) => bail!("the auditor wrote this before it was ready: {line}"),
                None => bail!("the auditor is not ready in time\n{}", self.log_tail()),
            }
        }
    }

    /// The next line; none where `deadline` passes first.
    pub fn next(&mut self, deadline: Instant) -> Result<Option<Value>> {
        loop {
            if let Some(line) = self.lines.try_next()? {
                return Ok(Some(line));
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the auditor ended by itself with {status}\n{}",
                    self.log_tail()
                );
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops it with SIGTERM and returns the lines that were left, with `stopped` as the last.
    pub fn stop(mut self) -> Result<Vec<Value>> {
        let limit = Duration::from_secs(2) * patience();
        let status = terminate(&mut self.child, limit)
            .with_context(|| format!("stop the auditor\n{}", self.log_tail()))?;
        ensure!(
            status.success(),
            "the auditor ended with {status} after SIGTERM\n{}",
            self.log_tail()
        );
        let mut rest = Vec::new();
        while let Some(line) = self.lines.try_next()? {
            rest.push(line);
        }
        ensure!(
            rest.last().is_some_and(|l| l["event"] == "stopped"),
            "the last line is not `stopped`: {:?}",
            rest.last()
        );
        Ok(rest)
    }

    /// The end of what it wrote to stderr.
    pub fn log_tail(&self) -> String {
        format!("the end of the auditor's log:\n  {}", tail(&self.log))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n  ")
}

impl Drop for Auditor {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// SIGTERM, and the exit status if it comes within `limit`.
pub fn terminate(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let pid = Pid::from_raw(child.id().try_into()?).context("no pid")?;
    kill_process(pid, Signal::TERM)?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        ensure!(
            Instant::now() < deadline,
            "it still runs {limit:?} after SIGTERM"
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// The flags that point an auditor at this lab.
pub fn flags(lab: &Lab) -> Vec<String> {
    let path = |p: &Path| p.to_string_lossy().into_owned();
    let [cluster, associations] = lab.cluster.sources();
    let state = lab.dir().join("state");
    [
        ("--node-name", NODE_NAME.to_owned()),
        ("--cluster-name", CLUSTER_NAME.to_owned()),
        ("--instance-id", INSTANCE_ID.to_owned()),
        ("--cluster", cluster),
        ("--associations", associations),
        ("--policy", path(&lab.policy_file())),
        ("--kubelet-root", path(&lab.kubelet_root())),
        ("--cgroup-root", path(lab.cgroup_root())),
        ("--agent-netns", path(&lab.network.node())),
        ("--state-dir", path(&state)),
        ("--metrics-listen", "127.0.0.1:0".to_owned()),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect()
}

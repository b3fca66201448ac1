//! Runs the real `auditor run` and reads its lines as they are written.

mod account;
mod lines;
pub mod ocsf;
pub mod schema;
mod sequence;
mod totals;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    confinement::Confinement,
    node::{CLUSTER_NAME, INSTANCE_ID, Lab, NODE_NAME},
    patience,
    sys::machine::Machine,
};

pub use account::Account;
pub use lines::{Envelope, Lines, parse};
pub use sequence::{Sequence, explained_hole};
pub use totals::Totals;

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
    /// Those of the DaemonSet's capabilities that it has not.
    pub without: Vec<String>,
}

impl Options {
    /// With which privileges it runs.
    pub fn confinement(&self) -> Result<Confinement> {
        let whole = Confinement::of_manifest();
        let mut without = self.without.iter();
        without.try_fold(whole?, |confinement, name| confinement.without(name))
    }

    /// The same with `--watch-denied`, and lines of its own beside the others'.
    pub fn watching_denied(&self) -> Self {
        let mut this = self.clone();
        this.output = self.output.with_extension("denied.jsonl");
        this.args.push("--watch-denied".into());
        this
    }
}

pub struct Auditor {
    /// Itself, or what has started it, passes signals on and ends as it does.
    child: Child,
    pid: u32,
    lines: Lines,
    log: PathBuf,
}

impl Auditor {
    /// Starts it and waits for its `ready`, which is returned.
    pub fn start(lab: &Lab, options: &Options) -> Result<(Self, Value)> {
        Self::start_with(lab, options, &flags(lab), &[])
    }

    /// The same with other flags than the lab's.
    pub fn start_with(
        lab: &Lab,
        options: &Options,
        flags: &[String],
        environment: &[(&str, PathBuf)],
    ) -> Result<(Self, Value)> {
        ensure!(
            options.program.is_file(),
            "there is no auditor at {}: build it (cargo build --release -p auditor) or name it with --auditor",
            options.program.display()
        );
        let mut command = lab.auditor(
            "system.slice/auditor.service",
            &options.program,
            &options.without,
        )?;
        command
            .arg("run")
            .args(flags)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .arg("--backend")
            .arg(&options.backend)
            .args(&options.args)
            .envs(options.env.iter().map(|(name, value)| (name, value)));
        command.arg("--output-file").arg(&options.output);
        remove(&options.output)?;
        let (this, ready) = Self::spawn(lab, options, command, Stdio::null())?;
        options.confinement()?.verify(this.pid())?;
        Ok((this, ready))
    }

    /// By a command that ends with it and passes signals on to it. Its lines are those of the command's standard output; `pid` tells
    /// its process once there is one.
    pub fn start_command(
        lab: &Lab,
        options: &Options,
        command: Command,
        pid: impl Fn() -> Option<u32>,
    ) -> Result<(Self, Value)> {
        remove(&options.output)?;
        let lines = File::create(&options.output)?;
        let (mut this, ready) = Self::spawn(lab, options, command, lines)?;
        this.pid = pid().context("nobody tells the auditor's process")?;
        Ok((this, ready))
    }

    /// Starts a command whose lines come to `options.output`, and waits for the `ready` among them.
    fn spawn(
        lab: &Lab,
        options: &Options,
        mut command: Command,
        stdout: impl Into<Stdio>,
    ) -> Result<(Self, Value)> {
        let log = lab.dir().join("auditor.log");
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(File::create(&log)?);
        let child = command.spawn().context("start the auditor")?;
        let mut this = Self {
            pid: child.id(),
            child,
            lines: Lines::new(&options.output),
            log,
        };
        let ready = this.wait_ready()?;
        ensure_forced(&options.backend, &ready)?;
        Ok((this, ready))
    }

    fn wait_ready(&mut self) -> Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(30) * patience();
        let mut doubts = Vec::new();
        loop {
            match self.next(deadline)? {
                Some(line) if line["event"] == "ready" => {
                    if !may_lack(&watched_by(&line, "file_open"), &Machine::this()) {
                        ensure!(doubts.is_empty(), "said before `ready`: {doubts:?}");
                    }
                    return Ok(line);
                }
                Some(line) if line["event"] == "health" => doubts.extend(doubt(&line)),
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
        let status = terminate_by(&mut self.child, self.pid, limit)
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
        self.pid
    }
}

/// An earlier run's lines must not be taken for this one's.
fn remove(output: &Path) -> Result<()> {
    match fs::remove_file(output) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("replace {}", output.display()))
        }
        _ => Ok(()),
    }
}

/// How a hook is watched, by the `ready` line.
pub fn watched_by(ready: &Value, hook: &str) -> String {
    let backend = ready["backends"][hook]["backend"].as_str();
    backend.unwrap_or("?").to_owned()
}

/// Whether an auditor that watches opens so on such a machine may be without some hooks, and say so.
pub fn may_lack(file_open: &str, machine: &Machine) -> bool {
    file_open == "syscall" || machine.is_best_effort()
}

/// A backend that was asked for is the one in use: else everything would be held against another one's declarations.
fn ensure_forced(forced: &str, ready: &Value) -> Result<()> {
    if forced == "auto" {
        return Ok(());
    }
    // System calls tell of opens only.
    let connect = match forced {
        "syscall" => "tracepoint",
        other => other,
    };
    for (hook, wanted) in [("file_open", forced), ("connect", connect)] {
        let found = watched_by(ready, hook);
        ensure!(
            found == wanted,
            "--backend {forced} was asked for, and the auditor watches {hook} by {found}"
        );
    }
    Ok(())
}

/// What a health line says against the programs.
fn doubt(health: &Value) -> Option<String> {
    let is_of_probes = matches!(health["component"].as_str(), Some("probe" | "self-test"));
    let message = health["message"].as_str().unwrap_or("?");
    (is_of_probes && health["state"] != "ok").then(|| message.to_owned())
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

/// The kernel's grace periods have no limit of their own; a test has.
const LONGEST_GRACE: Duration = Duration::from_secs(60);

/// SIGTERM, and the exit status if it comes within `limit`. The clock stands while the kernel has it wait for a grace period:
/// detaching a probe ends when every task of the machine has slept once (synchronize_rcu_tasks), which takes as long as others
/// keep the processors busy, and is nothing that the auditor can influence.
pub fn terminate(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let worker = child.id();
    terminate_by(child, worker, limit)
}

/// The same of a child whose work another process does.
fn terminate_by(child: &mut Child, worker: u32, limit: Duration) -> Result<ExitStatus> {
    let pid = Pid::from_raw(child.id().try_into()?).context("no pid")?;
    kill_process(pid, Signal::TERM)?;
    let begun = Instant::now();
    let mut grace = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait()? {
            if !grace.is_zero() {
                eprintln!(
                    "ended {:?} after SIGTERM, {grace:?} of it in grace periods",
                    begun.elapsed()
                );
            }
            return Ok(status);
        }
        let step = Instant::now();
        let at = waits_in(worker);
        ensure!(
            begun.elapsed().saturating_sub(grace) < limit && grace < LONGEST_GRACE,
            "it still runs {:?} after SIGTERM, {grace:?} of it in grace periods; now in {at:?}",
            begun.elapsed()
        );
        thread::sleep(Duration::from_millis(2));
        if at.contains("rcu") {
            grace += step.elapsed();
        }
    }
}

/// The kernel's function in which its first thread, which detaches, waits: proc_pid_wchan(5).
fn waits_in(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_backend_than_the_forced_one_is_an_error() {
        let ready = |file_open: &str, connect: &str| json!({"backends": {"file_open": {"backend": file_open}, "connect": {"backend": connect}}});
        assert!(ensure_forced("auto", &ready("kprobe", "fentry")).is_ok());
        assert!(ensure_forced("fentry", &ready("fentry", "fentry")).is_ok());
        assert!(ensure_forced("syscall", &ready("syscall", "tracepoint")).is_ok());
        assert!(ensure_forced("kprobe", &ready("syscall", "tracepoint")).is_err());
        assert!(ensure_forced("fentry", &ready("fentry", "kprobe")).is_err());
        assert!(ensure_forced("fentry", &json!({})).is_err());
    }

    #[test]
    fn only_a_degraded_probe_is_a_doubt() {
        let health = |component: &str, state: &str| {
            doubt(&json!({"component": component, "state": state, "message": "m"})).is_some()
        };
        assert!(health("probe", "degraded"));
        assert!(health("self-test", "degraded"));
        assert!(!health("self-test", "ok"));
        assert!(!health("associations", "degraded"));
    }

    #[test]
    fn hooks_may_be_missing_only_by_system_calls_and_on_old_kernels() {
        let machine = |kernel| Machine {
            arch: "x86_64".into(),
            kernel,
        };
        assert!(may_lack("syscall", &machine((6, 18))));
        assert!(may_lack("fentry", &machine((5, 10))));
        assert!(!may_lack("fentry", &machine((6, 1))));
        assert!(!may_lack("kprobe", &machine((6, 1))));
    }
}

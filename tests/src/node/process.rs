//! Processes in pods and beside them.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};

use super::{Lab, Pod, lifecycle::CONTAINER, shim};
use crate::{
    confinement,
    wire::{self, Output, RunRequest},
};

impl Lab {
    /// By the workload: the container's init runs it as its own child.
    pub fn run(&mut self, pod: &Pod, argv: &[&str]) -> Result<String> {
        let argv = wire::argv(argv);
        let reply = self.tell(pod, &serde_json::to_string(&RunRequest { argv })?)?;
        serde_json::from_value::<Output>(reply)?
            .succeeded()
            .with_context(|| format!("in {}", pod.key()))
    }

    /// By `kubectl exec`: from outside the container.
    pub fn exec(&mut self, pod: &Pod, argv: &[&str]) -> Result<String> {
        let request = shim::Request::Exec {
            name: CONTAINER.into(),
            argv: wire::argv(argv),
        };
        self.ended(pod, &request)?
            .succeeded()
            .with_context(|| format!("in {}", pod.key()))
    }

    /// Waits for a container that ends by itself.
    pub fn wait(&mut self, pod: &Pod) -> Result<String> {
        self.ended(
            pod,
            &shim::Request::Wait {
                name: CONTAINER.into(),
            },
        )?
        .succeeded()
    }

    /// A word to the container's init, and its answer.
    pub fn tell(&mut self, pod: &Pod, line: &str) -> Result<serde_json::Value> {
        let request = shim::Request::Tell {
            name: CONTAINER.into(),
            line: line.into(),
        };
        match self.running(pod)?.shim.call(&request)? {
            shim::Reply::Told { value } => Ok(value),
            other => bail!("unexpected reply {other:?}"),
        }
    }

    fn ended(&mut self, pod: &Pod, request: &shim::Request) -> Result<Output> {
        match self.running(pod)?.shim.call(request)? {
            shim::Reply::Ended(output) => Ok(output),
            other => bail!("unexpected reply {other:?}"),
        }
    }

    /// A process outside every pod, in the cgroup of a host service.
    pub fn run_on_host(&self, argv: &[&str]) -> Result<String> {
        self.run_in_cgroup(&self.cgroup_root().join("system.slice/ssh.service"), argv)
    }

    /// A process of the host that has moved itself into `cgroup`.
    pub fn run_in_cgroup(&self, cgroup: &Path, argv: &[&str]) -> Result<String> {
        let (program, args) = argv.split_first().context("an empty command line")?;
        let output = Command::new(self.helpers().join("enter"))
            .arg("--cgroup")
            .arg(cgroup)
            .arg("--")
            .arg(self.helpers().join(program))
            .args(args)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{argv:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// The auditor, started in `cgroup` (relative to the lab's root) with the privileges that the DaemonSet gives it, but for
    /// capabilities that are named. Its command and flags are to follow.
    pub fn auditor(&self, cgroup: &str, program: &Path, without: &[String]) -> Result<Command> {
        let mut command = self.command(cgroup, &self.helpers().join("enter"))?;
        command.args(confinement::options(without)).arg(program);
        Ok(command)
    }

    /// A program of the node's own, started in `cgroup` (relative to the lab's root).
    pub fn command(&self, cgroup: &str, program: &Path) -> Result<Command> {
        fs::create_dir_all(self.cgroup_root().join(cgroup))?;
        Ok(self.place().enter(cgroup, None, program))
    }
}

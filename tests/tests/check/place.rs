//! A node in some state, and what `auditor check` and `auditor run` make of it.

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use lab::{auditor::terminate, confinement, patience};
use serde_json::Value;

use crate::support::{Inputs, Running, auditor, finish, get, helpers};

/// A node in some state, on which any of the auditor's commands can be run.
pub struct Place {
    pub inputs: Inputs,
    /// What stands before the auditor: a program that makes the place. Without one it has the DaemonSet's privileges.
    wrapper: Vec<String>,
    /// Those of the DaemonSet's capabilities that it has not.
    missing: Vec<String>,
    /// Flags without the command.
    flags: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Held while commands run.
    pub _held: Option<Box<dyn Send>>,
    _kubelet: KubeletCgroup,
}

/// A cgroup for a kubelet that has not started yet: the policy names it, and a program.
struct KubeletCgroup(PathBuf);

impl KubeletCgroup {
    fn new(inputs: &Inputs) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "check-kubelet-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Ordering::Relaxed)
        );
        inputs.write(
            "policy.yaml",
            &format!("version: 1\nkubelet: {{cgroup: /{name}, executable: /bin/sh}}\n"),
        );
        let path = lab::cgroup::find_root()
            .expect("what the test stands on")
            .join(name);
        // Those who are not root skip.
        let _ = std::fs::create_dir(&path);
        Self(path)
    }
}

impl Drop for KubeletCgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

impl Place {
    pub fn new() -> Self {
        let inputs = Inputs::new();
        let flags = inputs.args().split_off(1);
        let kubelet = KubeletCgroup::new(&inputs);
        Self {
            _kubelet: kubelet,
            inputs,
            wrapper: Vec::new(),
            missing: Vec::new(),
            flags,
            env: Vec::new(),
            _held: None,
        }
    }

    pub fn wrapped(words: &[&str]) -> Self {
        let mut place = Self::new();
        place.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
        place
    }

    /// With the DaemonSet's privileges but for a capability.
    pub fn lacking(capability: &str) -> Self {
        Self {
            missing: vec![capability.to_owned()],
            ..Self::new()
        }
    }

    /// In a place made by the helper `enter`.
    pub fn entered(options: &[&str]) -> Self {
        let enter = helpers().join("enter");
        let mut words = vec![enter.to_str().expect("what the test stands on")];
        words.extend(options);
        words.push("--");
        Self::wrapped(&words)
    }

    pub fn with(mut self, flag: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        match self.flags.iter().position(|found| found == flag) {
            Some(at) => self.flags[at + 1] = value,
            None => self.flags.extend([flag.to_owned(), value]),
        }
        self
    }

    pub fn without(mut self, flag: &str) -> Self {
        if let Some(at) = self.flags.iter().position(|found| found == flag) {
            self.flags.drain(at..at + 2);
        }
        self
    }

    pub fn command(&self, subcommand: &str) -> Command {
        let mut command = match self.wrapper.split_first() {
            None => confinement::command(&helpers(), &auditor(), &self.missing),
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(auditor());
                command
            }
        };
        command
            .arg(subcommand)
            .args(&self.flags)
            .env_remove("KUBERNETES_SERVICE_HOST")
            .envs(self.env.clone());
        command
    }

    /// The report, which agrees with the exit code.
    pub fn check(&self) -> Value {
        let mut command = self.command("check");
        command.args(["--output", "json"]);
        let output = finish(command);
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let ok = report["ok"].as_bool().expect("what the test stands on");
        assert_eq!(output.status.code(), Some(i32::from(!ok)), "{report:#}");
        report
    }

    /// Whether `run` comes to answer /readyz with 200; it ends by itself with 1 otherwise, or stays not ready.
    pub fn run_works(&self) -> bool {
        let mut running = Running::spawn(&self.inputs, self.command("run"));
        let deadline = Instant::now() + Duration::from_secs(30) * patience();
        let ready = loop {
            match running.poll() {
                Err(_) => {
                    let status = running.child.wait().expect("what the test stands on");
                    assert_eq!(status.code(), Some(1), "it ended by itself");
                    return false;
                }
                Ok(Some(line)) if line["event"] == "ready" => break line,
                Ok(_) => assert!(Instant::now() < deadline, "it neither starts nor ends"),
            }
            thread::sleep(Duration::from_millis(5));
        };
        let until = Instant::now() + Duration::from_secs(2) * patience();
        let mut works = false;
        while !works && Instant::now() < until {
            works = get(&ready, "/readyz").0 == 200;
            thread::sleep(Duration::from_millis(20));
        }
        terminate(&mut running.child, Duration::from_secs(2) * patience())
            .expect("what the test stands on");
        works
    }
}

/// The row of that name.
pub fn found<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["checks"]
        .as_array()
        .expect("what the test stands on")
        .iter()
        .find(|check| check["check"] == name)
        .unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

pub fn assert_state(report: &Value, name: &str, state: &str) {
    let check = found(report, name);
    assert_eq!(check["state"], state, "{check}");
    if state == "failed" || state == "degraded" {
        assert!(check["remedy"].is_string(), "no remedy: {check}");
    }
}
